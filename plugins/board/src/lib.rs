//! The departure board: the state of each flight, correct the moment the event is committed.
//!
//! An inline projection runs in the transaction of the append, so what it reads and writes must be
//! little: one upsert an event, by key. A flight is named by its scheduled departure, carrier,
//! number and origin. (The number alone comes back the next day, and some twice a day.)
//!
//! Passengers read it at `/v1/query/board/departures?origin=JFK`.

use eventfabric_sdk::prelude::*;

const UPSERT: &str = "
    INSERT INTO board AS b (scheduled, carrier, flight, origin, dest, aircraft, status,
                            dep_delay, arr_delay, changed, position)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (scheduled, carrier, flight, origin) DO UPDATE SET
        aircraft = EXCLUDED.aircraft,
        status = EXCLUDED.status,
        dep_delay = coalesce(EXCLUDED.dep_delay, b.dep_delay),
        arr_delay = coalesce(EXCLUDED.arr_delay, b.arr_delay),
        changed = EXCLUDED.changed,
        position = EXCLUDED.position";

/// What every event of a flight holds, and the delays where they are known.
#[derive(Debug, Deserialize)]
pub struct Flight {
    scheduled: Timestamptz,
    carrier: String,
    flight: i32,
    origin: String,
    dest: String,
    dep_delay: Option<i32>,
    arr_delay: Option<i32>,
}

/// The projection.
pub struct Board;

impl Projection for Board {
    type Event = Flight;

    fn describe() -> Description {
        Description::new("board")
            .text("The departure board: the state of each flight")
            .mode(Mode::Inline)
            .events(["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"])
            .migrations(migrations!["migrations/001_create_board.sql"])
    }

    fn handle(tx: &Tx, event: &Event<Flight>) -> Result<()> {
        let status = match event.event_type.as_str() {
            "FlightDeparted" => "departed",
            "FlightArrived" => "arrived",
            "FlightDiverted" => "diverted",
            "FlightCancelled" => "cancelled",
            other => return Err(event.poison(format_args!("{other} is not about a flight"))),
        };
        let Flight { scheduled, carrier, flight, origin, dest, dep_delay, arr_delay } = &event.data;
        tx.run(
            UPSERT,
            params![
                scheduled,
                carrier,
                flight,
                origin,
                dest,
                event.aggregate_id,
                status,
                dep_delay,
                arr_delay,
                event.occurred_at(),
                event.position,
            ],
        )
    }
}

const DEPARTURES: &str = "
    SELECT scheduled, carrier, flight, dest, status, dep_delay
    FROM board
    WHERE origin = $1
      AND ($2::text IS NULL OR carrier = $2)
      AND ($3::timestamptz IS NULL OR scheduled >= $3)
    ORDER BY scheduled, carrier, flight
    LIMIT $4";

/// What a passenger asks.
#[derive(Debug, Params)]
pub struct Departures {
    /// The airport, such as JFK
    origin: String,
    /// Only flights of this carrier, such as UA
    carrier: Option<String>,
    /// Only flights from this time on, by the timetable
    from: Option<Timestamptz>,
    /// How many, 20 if not said and 1,000 at most
    limit: Option<i64>,
}

fn departures(tx: &Tx, params: Departures) -> Result<RowSet> {
    let Departures { origin, carrier, from, limit } = params;
    let limit = limit.unwrap_or(20);
    if !(1..=1000).contains(&limit) {
        return Err(Error::poison("limit: it is from 1 to 1,000"));
    }
    tx.row_set(DEPARTURES, params![origin, carrier, from, limit])
}

impl Queries for Board {
    fn queries() -> Vec<Query> {
        vec![
            Query::new("departures", departures)
                .text("The flights of an airport, by the timetable"),
        ]
    }
}

export_projection!(Board, queries);

#[cfg(test)]
mod tests {
    use super::*;
    use eventfabric_sdk::testing::{self, RecordingTx, events_from_ndjson};

    const FLIGHT: &str = concat!(
        r#"{"aggregate":"Aircraft","id":"N14228","type":"FlightDeparted","version":1,"occurred_at":"2013-01-01T10:17:00Z","payload":{"carrier":"UA","flight":1545,"origin":"EWR","dest":"IAH","scheduled":"2013-01-01T10:15:00Z","dep_delay":2,"distance":1400}}"#,
        "\n",
        r#"{"aggregate":"Aircraft","id":"N14228","type":"FlightArrived","version":1,"occurred_at":"2013-01-01T14:04:00Z","payload":{"carrier":"UA","flight":1545,"origin":"EWR","dest":"IAH","scheduled":"2013-01-01T10:15:00Z","arr_delay":11,"air_time":227}}"#,
    );

    #[test]
    fn every_event_is_one_upsert_of_its_flight() {
        let db = RecordingTx::new();
        testing::run::<Board>(&db, events_from_ndjson(FLIGHT)).unwrap();
        let scheduled = Timestamptz(1_357_035_300_000_000);
        let calls = db.calls_of("INSERT INTO board");
        assert_eq!(
            calls[0],
            params![
                scheduled,
                "UA",
                1545,
                "EWR",
                "IAH",
                "N14228",
                "departed",
                2,
                None::<i32>,
                Timestamptz(1_357_035_420_000_000),
                1_u64
            ]
        );
        assert_eq!(calls[1][6..9], params!["arrived", None::<i32>, 11]);
        assert_eq!(db.round_trips(), 1);
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused() {
        let db = RecordingTx::new();
        let given = [("origin", Value::Text("JFK".into())), ("limit", Value::Int64(0))];
        let failure = testing::query::<Board>(&db, "departures", given).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Poison);
        assert!(failure.message.starts_with("limit:"), "{}", failure.message);
        assert_eq!(db.round_trips(), 0);
    }

    #[test]
    fn the_failing_upsert_blames_its_event() {
        use eventfabric_sdk::SqlErrorKind;
        let db = RecordingTx::new();
        db.answer("INSERT", testing::rows::<0>([], []));
        db.fail(
            "INSERT",
            testing::sql_error(SqlErrorKind::Constraint, "23514", "violates check constraint"),
        );
        let failure = testing::run::<Board>(&db, events_from_ndjson(FLIGHT)).unwrap_err();
        assert_eq!((failure.kind, failure.index), (FailureKind::Poison, Some(1)));
    }
}
