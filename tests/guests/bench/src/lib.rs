//! The same two read models written in several ways, chosen by the setting `way`. The benchmark
//! uses events, statements and sums of this crate natively, too, so that both do the same.

pub mod aircraft;
pub mod carriers;
mod flight;

use eventfabric_sdk::prelude::*;

pub use flight::Flight;

/// What the guest says of itself. `name` ends with digits that the benchmark replaces in the
/// component, to deploy it many times; so it must be there in one piece.
pub fn describe(name: &'static str, mode: Mode) -> Description {
    Description::new(std::hint::black_box(name))
        .text("Writes the same read models in several ways")
        .mode(mode)
        .events(["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"])
        .migration(1, "create the tables", TABLES)
}

/// The read models; natively they are made in a schema of another name.
pub const TABLES: &str = "
    CREATE TABLE carriers (
        carrier           text PRIMARY KEY,
        departed          bigint NOT NULL,
        arrived           bigint NOT NULL,
        diverted          bigint NOT NULL,
        cancelled         bigint NOT NULL,
        arr_delay_minutes bigint NOT NULL
    );
    CREATE TABLE aircraft (
        aircraft     text PRIMARY KEY,
        last_airport text   NOT NULL,
        legs         bigint NOT NULL,
        ferried      bigint NOT NULL,
        air_minutes  bigint NOT NULL
    );
    CREATE TABLE seen (position bigint PRIMARY KEY)";

/// Keeps the server busy until it is cancelled.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

const SEE: &str = "INSERT INTO seen (position) VALUES ($1)";

/// Handles a batch in the way that the operator has set.
///
/// # Errors
/// Those of its statements; fatal for a way that there is not.
pub fn handle(tx: &Tx<'_>, events: &[Event<Flight>]) -> Result<()> {
    let way = config::get("way").unwrap_or_default();
    match way.as_str() {
        "nothing" => Ok(()),
        "seen" => events.iter().try_for_each(|event| tx.run(SEE, params![event.position as i64])),
        // `execute`: an awaited round trip an event.
        "carriers execute" => events.iter().try_for_each(|event| {
            tx.execute(carriers::UPSERT, carriers::params(&event.data)).map(drop)
        }),
        "aircraft execute" => events.iter().try_for_each(|event| {
            tx.execute(aircraft::UPSERT, aircraft::params(&event.aggregate_id, &event.data))
                .map(drop)
        }),
        // `execute-batch`: the same statements, sent together.
        "carriers batch" => events
            .iter()
            .try_for_each(|event| tx.run(carriers::UPSERT, carriers::params(&event.data))),
        "aircraft batch" => events.iter().try_for_each(|event| {
            tx.run(aircraft::UPSERT, aircraft::params(&event.aggregate_id, &event.data))
        }),
        // Summed up first: a row is written once a batch.
        "carriers merged" => carriers::sums(events.iter().map(|event| &event.data))
            .into_iter()
            .try_for_each(|(carrier, sums)| tx.run(carriers::UPSERT, sums.params(carrier))),
        "aircraft merged" => aircraft::merged(tx, events),
        // What a neighbour may do to others.
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => {
            let mut taken = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "endless sql" => tx.execute(ENDLESS, params![]).map(drop),
        other => Err(Error::fatal(format_args!("the setting `way` is {other:?}"))),
    }
}
