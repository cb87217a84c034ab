//! Another month than the one whose read models are kept: its flights are made up here, and what the
//! plugins must make of them is computed here, by the rules of `tests/data/make_flights.py`.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::rig::{Process, World, folder};
use super::week::assert_table;

const CARRIERS: [&str; 4] = ["AA", "B6", "UA", "WN"];
const AIRPORTS: [&str; 6] = ["JFK", "LGA", "EWR", "ORD", "LAX", "ATL"];

/// Numbers that look random, the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

struct Made {
    at: DateTime<Utc>,
    tail: String,
    kind: &'static str,
    payload: Value,
}

/// The flights of a month, in the order in which things happened.
fn flights(first: &str, days: i64, seed: u64) -> Vec<Made> {
    let (start, mut dice): (DateTime<Utc>, _) = (first.parse().unwrap(), Dice(seed));
    let mut made = Vec::new();
    for n in 0..days * 40 {
        let scheduled = start + Duration::days(n / 40) + Duration::minutes(dice.below(1440) as i64);
        let origin = dice.below(6) as usize;
        let dest = (origin + 1 + dice.below(5) as usize) % 6;
        let base = json!({
            "carrier": CARRIERS[dice.below(4) as usize], "flight": n,
            "origin": AIRPORTS[origin], "dest": AIRPORTS[dest],
            "scheduled": scheduled.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        });
        let tail = match dice.below(30) {
            0 => "unknown".to_owned(),
            n => format!("N{n}"),
        };
        let mut emit = |kind, at, more: Value| {
            let mut payload = base.clone();
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            made.push(Made { at, tail: tail.clone(), kind, payload });
        };
        let fate = dice.below(100);
        if fate < 3 {
            emit("FlightCancelled", scheduled, json!({}));
            continue;
        }
        let delay = dice.below(200) as i64 - 15;
        let departed = scheduled + Duration::minutes(delay);
        emit("FlightDeparted", departed, json!({"dep_delay": delay, "distance": 100 + n}));
        if fate < 5 {
            emit("FlightDiverted", departed + Duration::minutes(1), json!({}));
        } else {
            let (air, late) = (30 + dice.below(300) as i64, dice.below(200) as i64 - 40);
            let arrived = departed + Duration::minutes(air);
            emit("FlightArrived", arrived, json!({"arr_delay": late, "air_time": air}));
        }
    }
    made.sort_by_key(|event| event.at);
    made
}

fn carriers(events: &[Made]) -> Vec<String> {
    let mut totals: BTreeMap<&str, [i64; 5]> = BTreeMap::new();
    for event in events {
        let total = totals.entry(event.payload["carrier"].as_str().unwrap()).or_default();
        let kinds = ["FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled"];
        total[kinds.iter().position(|kind| *kind == event.kind).unwrap()] += 1;
        total[4] += event.payload["arr_delay"].as_i64().unwrap_or(0);
    }
    let line = |(carrier, t): (&str, [i64; 5])| {
        format!("{carrier},{},{},{},{},{}", t[0], t[1], t[2], t[3], t[4])
    };
    totals.into_iter().map(line).collect()
}

fn aircraft(events: &[Made]) -> Vec<String> {
    let mut all: BTreeMap<&str, (&str, i64, i64, i64)> = BTreeMap::new();
    for event in events {
        let (airport, legs, ferried, minutes) = all.entry(&event.tail).or_default();
        match event.kind {
            "FlightDeparted" => {
                let origin = event.payload["origin"].as_str().unwrap();
                *ferried += i64::from(!airport.is_empty() && *airport != origin);
                (*airport, *legs) = (origin, *legs + 1);
            }
            "FlightArrived" => {
                *airport = event.payload["dest"].as_str().unwrap();
                *minutes += event.payload["air_time"].as_i64().unwrap();
            }
            _ => {}
        }
    }
    let line = |(tail, (airport, legs, ferried, minutes)): (&str, (&str, i64, i64, i64))| {
        format!("{tail},{airport},{legs},{ferried},{minutes}")
    };
    all.into_iter().map(line).collect()
}

#[tokio::test]
async fn the_read_models_of_other_months_are_right_as_well() {
    let (world, plugins) = (World::new().await, folder(&["aircraft", "carriers"]));
    let _host = Process::host(&world, Some(plugins.path()), &[]);
    world.until_number("SELECT count(*) FROM eventfabric.projections", 2).await;
    // A short month, one whose last day is the 31st, and one over the end of a year.
    let mut events = Vec::new();
    for (seed, (first, days)) in (1..).zip([
        ("2013-02-01T00:00:00Z", 28),
        ("2013-07-01T00:00:00Z", 31),
        ("2013-12-15T00:00:00Z", 31),
    ]) {
        events.extend(flights(first, days, seed));
    }
    let lines: Vec<String> = events
        .iter()
        .map(|event| {
            json!({"aggregate": "Aircraft", "id": event.tail, "type": event.kind, "version": 1,
                   "occurred_at": event.at, "payload": event.payload})
            .to_string()
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("months.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    Process::start(&world, &["import", file.to_str().unwrap()], &[]).succeeded().await;
    let wait = ["wait", "--caught-up", "--timeout", "60s"];
    Process::start(&world, &wait, &[]).succeeded().await;
    let columns = "carrier, departed, arrived, diverted, cancelled, arr_delay_minutes";
    assert_table(&world, "carriers", columns, carriers(&events)).await;
    let columns = "aircraft, nullif(last_airport, ''), legs, ferried, air_minutes";
    assert_table(&world, "aircraft", columns, aircraft(&events)).await;
}
