//! What projections cost: counted by each host, parted among types of events, added up over hosts.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::plugin::{ProjectionCost, TypeCost, costs};
use eventfabric::runner::{CatchUpConfig, HostConfig, RunnerConfig};
use eventfabric::store::EventStore;
use serde_json::{Value, json};

use super::rig::{Process, Running, World, deploy_bytes, deploy_guest, other_version, quick};

/// Appends an event of each type and payload, in this order.
async fn append(store: &EventStore, events: &[(&str, Value)]) {
    let events = events.iter().map(|(name, payload)| NewEvent::new(*name, payload).unwrap());
    let (stream, any) = (StreamId::new("Deeds", "1"), ExpectedVersion::Any);
    store.append(stream, any, events.collect()).await.unwrap();
}

async fn of(world: &World, projection: &str) -> ProjectionCost {
    costs(&world.eyes, Some(projection)).await.unwrap().remove(0)
}

fn type_of<'a>(cost: &'a ProjectionCost, name: &str) -> &'a TypeCost {
    cost.types.iter().find(|one| one.event_type == name).unwrap()
}

fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 0.1, "{found}, and not {wanted}");
}

#[tokio::test]
async fn a_dear_type_is_told_from_a_cheap_one_although_they_share_their_batches() {
    let world = World::new().await;
    let store = world.store().await;
    let dear = json!({"do": "many_statements", "n": 100});
    let many: Vec<(&str, Value)> = (0..600_u64)
        .map(|n| match n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 {
            0 => ("Dear", dear.clone()),
            _ => ("Cheap", json!({})),
        })
        .collect();
    let dears = many.iter().filter(|(name, _)| *name == "Dear").count() as u64;
    append(&store, &many).await;
    let catch_up = CatchUpConfig { batch: 10, ..quick().runner.catch_up };
    let runner = RunnerConfig { catch_up, ..quick().runner };
    let running = Running::start(&world, HostConfig { runner, ..quick() }).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 600).await;
    running.stop().await;

    // An `execute` of a SELECT tells its rows, too.
    // What was tried before the deploy is not in it, though it was handled, too.
    let cost = of(&world, "hostile_catchup").await;
    assert_eq!((cost.hosts, cost.cost.events, cost.cost.failed_calls), (1, 600, 0));
    assert_eq!(
        (cost.cost.statements, cost.cost.rows_written),
        (600 + 100 * dears, 600 + 100 * dears)
    );
    assert!(cost.cost.calls >= 60, "{cost:?}");
    assert!(cost.cost.wasm_us > 0 && cost.cost.bytes > 600 * 50, "{cost:?}");
    let (dear, cheap) = (type_of(&cost, "Dear"), type_of(&cost, "Cheap"));
    assert_eq!((dear.events, cheap.events), (dears, 600 - dears));
    assert!(!dear.exact && !cheap.exact);
    near(dear.statements, 101.0);
    near(cheap.statements, 1.0);
    near(dear.rows_written, 101.0);
    assert!(dear.sql_margin_us > 0.0 && cheap.sql_margin_us > 0.0, "{cost:?}");
    let told: f64 = cost.types.iter().map(|one| one.sql_us * one.events as f64).sum();
    near(told / cost.cost.sql_us as f64, 1.0);

    let shown = async |arguments: &[&str]| {
        let mut process = Process::start(&world, arguments, &[]);
        assert!(process.ended().await.success(), "{}", process.log());
        process.output()
    };
    let table = shown(&["projections", "costs", "hostile_catchup"]).await;
    for text in ["(all)", "Dear", "Cheap", "~ 101", "~ 1.00", "±"] {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    let told = shown(&["projections", "costs", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told[0]["statements"], json!(cost.cost.statements), "{told}");
    let status = shown(&["projections", "status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["cost"]["events"], json!(600), "{status}");
}

#[tokio::test]
async fn an_append_of_one_type_costs_exactly_what_it_costs_and_what_fails_counts_as_such() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_inline").await;
    let store = running.host.store();
    let rows = json!({"do": "many_rows", "n": 7});
    for _ in 0..3 {
        append(store, &[("Cheap", json!({}))]).await;
        append(store, &[("Rows", rows.clone()), ("Rows", rows.clone())]).await;
    }
    let poison = vec![NewEvent::new("Cheap", &json!({"do": "poison"})).unwrap()];
    let (stream, any) = (StreamId::new("Deeds", "2"), ExpectedVersion::Any);
    store.append(stream, any, poison).await.unwrap_err();
    running.stop().await;

    let cost = of(&world, "hostile_inline").await;
    assert_eq!((cost.cost.events, cost.cost.rows_read), (9, 6 * 7));
    assert!(cost.cost.failed_calls >= 1, "{cost:?}");
    assert_eq!(cost.cost.calls - cost.cost.failed_calls, 6);
    let (cheap, rows) = (type_of(&cost, "Cheap"), type_of(&cost, "Rows"));
    assert!(cheap.exact && rows.exact);
    assert_eq!((cheap.events, rows.events), (3, 6));
    near(cheap.statements, 1.0);
    near(rows.statements, 2.0);
    near(rows.rows_read, 7.0);
    assert_eq!((rows.wasm_margin_us, rows.sql_margin_us), (0.0, 0.0));
}

#[tokio::test]
async fn hosts_are_added_up_another_version_begins_anew_and_who_is_long_gone_is_forgotten() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let first = deploy_guest(&running.host, "hostile_async").await.version;
    append(running.host.store(), &[("Cheap", json!({})), ("Cheap", json!({}))]).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 2).await;
    for (age, events) in [("1 minute", 5), ("61 minutes", 1000)] {
        let host = format!(
            "INSERT INTO eventfabric.projection_costs VALUES
             ('hostile_async', gen_random_uuid(), '{first}', now() - interval '{age}', {events}, 1, 0, 10, 20, 5, 0,
              5, 100, '[{{\"event_type\": \"Cheap\", \"events\": {events}, \"wasm_us\": 1}}]')"
        );
        world.execute(&host).await;
    }
    running.stop().await;
    let cost = of(&world, "hostile_async").await;
    assert_eq!((cost.hosts, cost.cost.events), (2, 7), "{cost:?}");
    assert_eq!(type_of(&cost, "Cheap").events, 7);

    let running = Running::start(&world, quick()).await;
    deploy_bytes(&running.host, other_version("hostile_async")).await;
    assert!(costs(&world.eyes, None).await.unwrap().is_empty(), "nothing is known of it yet");
    append(running.host.store(), &[("Cheap", json!({}))]).await;
    world.until_number("SELECT count(*) FROM hostile_async.seen", 3).await;
    running.stop().await;
    assert_eq!(of(&world, "hostile_async").await.cost.events, 1);
}
