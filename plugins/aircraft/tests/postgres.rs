//! The projection's SQL on a real server, named by `EVENTFABRIC_TEST_DATABASE_URL`; without one
//! there is nothing to test.

use aircraft::Fleet;
use eventfabric_sdk::{
    RawEvent,
    testing::{self, PgTx, event},
};

fn of(aircraft: &str, event: RawEvent) -> RawEvent {
    RawEvent { aggregate_id: aircraft.into(), ..event }
}

#[test]
fn the_end_does_not_depend_on_where_batches_are_cut() {
    let flights = || {
        [
            of("N1", event("FlightDeparted", r#"{"origin": "EWR"}"#)),
            of("N2", event("FlightCancelled", "{}")),
            of("N1", event("FlightArrived", r#"{"dest": "IAH", "air_time": 227}"#)),
            of("N1", event("FlightDeparted", r#"{"origin": "JFK"}"#)),
            of("N2", event("FlightDeparted", r#"{"origin": "LGA"}"#)),
            of("N1", event("FlightDiverted", "{}")),
        ]
    };
    for size in 1..=6 {
        let Some(db) = PgTx::from_env::<Fleet>() else { return };
        for batch in flights().chunks(size) {
            testing::run::<Fleet>(&db, batch.to_vec()).unwrap();
        }
        type Row = (String, String, i64, i64, i64);
        assert_eq!(
            db.read::<Row>("SELECT * FROM aircraft ORDER BY aircraft"),
            [("N1".into(), "JFK".into(), 2, 1, 227), ("N2".into(), "LGA".into(), 1, 0, 0)],
            "batches of {size}"
        );
    }
}
