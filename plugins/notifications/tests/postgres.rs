//! The projection's SQL on a real server, named by `EVENTFABRIC_TEST_DATABASE_URL`; without one
//! there is nothing to test.

use eventfabric_sdk::testing::{self, PgTx, event};
use notifications::Notifications;

#[test]
fn every_event_is_one_message() {
    let Some(db) = PgTx::from_env::<Notifications>() else { return };
    testing::run::<Notifications>(&db, [event("Account.Opened", r#"{"owner": "Ada"}"#)]).unwrap();
    type Row = (String, String);
    assert_eq!(
        db.read::<Row>("SELECT account, message FROM notifications ORDER BY position"),
        [("1".into(), "Welcome, Ada".into())]
    );
}
