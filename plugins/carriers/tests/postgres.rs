//! The projection's SQL on a real server, named by `EVENTFABRIC_TEST_DATABASE_URL`; without one
//! there is nothing to test.

use carriers::Carriers;
use eventfabric_sdk::testing::{self, PgTx, event};

#[test]
fn sums_grow_from_batch_to_batch() {
    let Some(db) = PgTx::from_env::<Carriers>() else { return };
    for _ in 0..2 {
        let batch = [
            event("FlightDeparted", r#"{"carrier": "UA"}"#),
            event("FlightArrived", r#"{"carrier": "UA", "arr_delay": -12}"#),
            event("FlightDiverted", r#"{"carrier": "AA"}"#),
            event("FlightCancelled", r#"{"carrier": "AA"}"#),
        ];
        testing::run::<Carriers>(&db, batch).unwrap();
    }
    type Row = (String, i64, i64, i64, i64, i64);
    assert_eq!(
        db.read::<Row>("SELECT * FROM carriers ORDER BY carrier"),
        [("AA".into(), 0, 0, 2, 2, 0), ("UA".into(), 2, 2, 0, 0, -24)]
    );
}
