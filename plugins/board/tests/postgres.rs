//! The projection's SQL on a real server, named by `EVENTFABRIC_TEST_DATABASE_URL`; without one
//! there is nothing to test.

use board::Board;
use eventfabric_sdk::{
    RawEvent, Value,
    testing::{self, PgTx, event},
};

fn flight(kind: &str, day: u32, more: &str) -> RawEvent {
    let payload = format!(
        r#"{{"scheduled": "2013-01-{day:02}T10:15:00Z", "carrier": "UA", "flight": 1545,
            "origin": "EWR", "dest": "IAH"{more}}}"#
    );
    RawEvent { aggregate_id: "N1".into(), ..event(kind, &payload) }
}

#[test]
fn a_flight_keeps_its_row_and_what_is_known_of_it() {
    let Some(db) = PgTx::from_env::<Board>() else { return };
    let batch = [
        flight("FlightDeparted", 1, r#", "dep_delay": 2"#),
        flight("FlightCancelled", 2, ""),
        flight("FlightArrived", 1, r#", "arr_delay": 11"#),
    ];
    testing::run::<Board>(&db, batch).unwrap();
    type Row = (String, Option<i32>, Option<i32>, i64);
    assert_eq!(
        db.read::<Row>(
            "SELECT status, dep_delay, arr_delay, position FROM board ORDER BY scheduled"
        ),
        [("arrived".into(), Some(2), Some(11), 3), ("cancelled".into(), None, None, 2)]
    );
}

#[test]
fn departures_are_in_the_order_of_the_timetable() {
    let Some(db) = PgTx::from_env::<Board>() else { return };
    let days = [3, 1, 2].map(|day| flight("FlightDeparted", day, ""));
    testing::run::<Board>(&db, days).unwrap();
    let origin = ("origin", Value::Text("EWR".into()));
    let ask = |more: &[(&'static str, Value)]| {
        let given = [origin.clone()].into_iter().chain(more.iter().cloned());
        let set = testing::query::<Board>(&db, "departures", given).unwrap();
        assert_eq!(set.columns[0], "scheduled");
        set.rows.into_iter().map(|mut row| row.remove(0)).collect::<Vec<_>>()
    };
    let day =
        |day: i64| Value::Timestamptz((1_356_998_400 + (day - 1) * 86_400 + 36_900) * 1_000_000);
    assert_eq!(ask(&[]), [day(1), day(2), day(3)]);
    assert_eq!(ask(&[("from", day(2)), ("limit", Value::Int64(1))]), [day(2)]);
    assert_eq!(ask(&[("carrier", Value::Text("AA".into()))]), []);
}
