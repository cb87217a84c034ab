//! Plugins that answer events with events: once, whatever happens, and only where they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use eventfabric::event::StreamId;
use eventfabric::plugin::{Limits, Start};
use eventfabric::runner::{DeployError, Host, HostConfig, deploy, reset};
use eventfabric::sandbox::Grant;
use eventfabric::store::EventStore;
use eventfabric_tests::wasm;
use serde_json::{Value, json};

use super::rig::{
    Process, Running, World, append, deploy_bytes, deploy_guest, other_version, quick, until,
};
use crate::rebuild;

const APPENDED: &str = "SELECT count(*) FROM eventfabric.events WHERE causation_id IS NOT NULL";
const ORDERED: &str = "SELECT aggregate_name || '/' || aggregate_id || ' ' || type || ' ' || aggregate_version
                       FROM eventfabric.events WHERE causation_id IS NOT NULL ORDER BY global_position";

async fn grant(host: &Host, plugin: &str, grants: &[&str]) {
    let add: Vec<Grant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    host.registry().sandbox().change_grants(plugin, &add, &[], None).await.unwrap();
}

/// A host with the answering guest of a mode, which may append to `Answers` and ask again.
async fn answering(world: &World, mode: &str, config: HostConfig) -> Running {
    let running = Running::start(world, config).await;
    let name = format!("answering_{mode}");
    grant(&running.host, &name, &["append:Answers", "append:Ask", "append:Deeds"]).await;
    deploy_guest(&running.host, &name).await;
    running
}

async fn ask(running: &Running, tenant: &str, steps: &[Value]) -> i64 {
    let stream = StreamId::new("Ask", "1").in_tenant(tenant);
    append(running.host.store(), stream, "Ask", &[json!({"steps": steps})]).await[0]
}

/// What the guest wrote down of an event, once it has.
async fn note(world: &World, guest: &str, position: i64) -> String {
    let sql = format!("SELECT count(*) FROM {guest}.seen WHERE position = {position}");
    world.until_number(&sql, 1).await;
    let sql = format!("SELECT note FROM {guest}.seen WHERE position = {position}");
    world.texts(&sql).await.remove(0)
}

fn to(id: &str) -> Value {
    json!({"append": {"aggregate": "Answers", "id": id}})
}

async fn request(store: &EventStore, id: usize, from: usize, to: usize, amount: i64) {
    let payload = json!({"from": from.to_string(), "to": to.to_string(), "amount": amount});
    let stream = StreamId::new("Transfer", format!("t{id}"));
    append(store, stream, "TransferRequested", &[payload]).await;
}

#[tokio::test]
async fn transfers_happen_once_however_often_hosts_are_killed() {
    let world = World::new().await;
    for grant in ["append:Account", "append:Transfer"] {
        Process::start(&world, &["plugin", "grants", "transfers", "--add", grant], &[])
            .succeeded()
            .await;
    }
    let file = wasm("transfers");
    Process::start(&world, &["plugin", "deploy", file.to_str().unwrap()], &[]).succeeded().await;
    let store = world.store().await;
    for account in 0..5 {
        let stream = StreamId::new("Account", account.to_string());
        append(&store, stream, "MoneyDeposited", &[json!({"amount": 100})]).await;
    }
    const ENDED: &str = "SELECT count(*) FROM eventfabric.events
                         WHERE type IN ('TransferCompleted', 'TransferRefused')";
    const TRANSFERS: usize = 120;
    const ROUNDS: usize = 4;
    let mut hosts = [Process::host(&world, None, &[]), Process::host(&world, None, &[])];
    for round in 0..ROUNDS {
        for id in (0..TRANSFERS).filter(|id| id % ROUNDS == round) {
            request(&store, id, id % 5, (id * 3 + 1) % 5, (id % 60) as i64 + 1).await;
        }
        // In the middle of it: some of this round have ended.
        let some = (round * TRANSFERS / ROUNDS) as i64 + 1;
        until("some have ended", async || world.number(ENDED).await >= some).await;
        hosts[round % 2].signal("KILL");
        hosts[round % 2] = Process::host(&world, None, &[]);
    }
    world.until_number(ENDED, TRANSFERS as i64).await;
    let once = "SELECT count(*) FROM (
                    SELECT aggregate_id FROM eventfabric.events
                    WHERE type IN ('TransferCompleted', 'TransferRefused')
                    GROUP BY aggregate_id HAVING count(*) = 1) t";
    assert_eq!(world.number(once).await, TRANSFERS as i64);
    let moved = |kind: &str| {
        format!(
            "SELECT count(*) FROM eventfabric.events m
             JOIN eventfabric.events c ON c.aggregate_id = m.payload ->> 'transfer'
                                      AND c.type = 'TransferCompleted'
             WHERE m.type = '{kind}' AND m.causation_id IS NOT NULL"
        )
    };
    let completed = world
        .number("SELECT count(*) FROM eventfabric.events WHERE type = 'TransferCompleted'")
        .await;
    assert!(completed > 0 && completed < TRANSFERS as i64, "some of both: {completed}");
    assert_eq!(world.number(&moved("MoneyWithdrawn")).await, completed);
    assert_eq!(world.number(&moved("MoneyDeposited")).await, completed);
    assert_eq!(world.number(APPENDED).await, 2 * completed + TRANSFERS as i64);
    let sum = "SELECT sum(CASE type WHEN 'MoneyWithdrawn' THEN -1 ELSE 1 END * (payload ->> 'amount')::bigint)::bigint
               FROM eventfabric.events WHERE aggregate_name = 'Account'";
    assert_eq!(world.number(sum).await, 500, "nothing came, nothing went");
    let overdrawn = "SELECT count(*) FROM (
        SELECT sum(CASE type WHEN 'MoneyWithdrawn' THEN -1 ELSE 1 END * (payload ->> 'amount')::bigint)
                   OVER (PARTITION BY aggregate_id ORDER BY aggregate_version) AS balance
        FROM eventfabric.events WHERE aggregate_name = 'Account') b WHERE balance < 0";
    assert_eq!(world.number(overdrawn).await, 0, "never was there less than nothing");
    assert_eq!(world.number("SELECT count(*) FROM transfers.transfers").await, TRANSFERS as i64);
}

#[tokio::test]
async fn an_answer_names_its_cause_and_goes_to_its_tenant_and_its_topics() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    let two = json!({"append": {"aggregate": "Answers", "id": "x", "topics": ["a", "a", "b"]}});
    let first = ask(&running, "acme", &[two]).await;
    let second =
        ask(&running, "acme", &[to("x"), json!({"load": {"aggregate": "Answers", "id": "x"}})])
            .await;
    assert_eq!(note(&world, "answering_catchup", first).await, "3");
    assert_eq!(note(&world, "answering_catchup", second).await, "4; 4 to 4");
    let same = format!(
        "SELECT count(*) FROM eventfabric.events a JOIN eventfabric.events c ON c.event_id::text = a.causation_id
         WHERE c.global_position = {first} AND a.correlation_id = c.event_id::text AND a.tenant_id = 'acme'"
    );
    assert_eq!(world.number(&same).await, 3);
    let topics =
        "SELECT topic FROM eventfabric.outbox WHERE topic IS NOT NULL ORDER BY global_position";
    assert_eq!(world.texts(topics).await, ["a", "a", "b"]);
    // Another tenant has another stream of that name.
    let third =
        ask(&running, "other", &[json!({"load": {"aggregate": "Answers", "id": "x"}})]).await;
    assert_eq!(note(&world, "answering_catchup", third).await, "0 to 0");
    running.stop().await;
}

/// An append with two topics takes two statements.
#[tokio::test]
async fn what_is_refused_has_written_nothing_of_it() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    let half = json!({"try": {"aggregate": "Answers", "id": "x", "topics": ["a", "NUL"]}});
    let position = ask(&running, "default", &[half, to("x"), to("x")]).await;
    let note = note(&world, "answering_catchup", position).await;
    let told: Vec<&str> = note.split("; ").collect();
    assert!(told[0].contains("NUL"), "{note}");
    assert_eq!(told[1..], ["1", "2"]);
    assert_eq!(world.number(APPENDED).await, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_conflict_is_told_and_the_transaction_goes_on() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    let wrong =
        |expected: u32| json!({"try": {"aggregate": "Answers", "id": "x", "expected": expected}});
    let steps = [to("x"), wrong(0), wrong(7), wrong(1), to("x")];
    let position = ask(&running, "default", &steps).await;
    let note = note(&world, "answering_catchup", position).await;
    let told: Vec<&str> = note.split("; ").collect();
    assert!(told[1].contains("Conflict(1)") && told[2].contains("Conflict(1)"), "{note}");
    assert_eq!((told[0], told[3], told[4]), ("1", "2", "3"));
    assert_eq!(world.number(APPENDED).await, 3);
    running.stop().await;
}

#[tokio::test]
async fn only_what_the_operator_grants_is_appended_to() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let bytes: Arc<[u8]> = std::fs::read(wasm("answering_catchup")).unwrap().into();
    let refused = deploy(running.host.registry(), bytes, "a test", 100).await.unwrap_err();
    assert!(matches!(refused, DeployError::Load(_)), "{refused}");
    for part in ["event-store@0.1.0", "plugin grants answering_catchup --add append:"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let inline: Arc<[u8]> = std::fs::read(wasm("answering_inline")).unwrap().into();
    let refused = deploy(running.host.registry(), inline, "a test", 100).await.unwrap_err();
    assert!(refused.to_string().contains("mode inline"), "{refused}");
    running.stop().await;

    let running = answering(&world, "catchup", quick()).await;
    let secret = json!({"try": {"aggregate": "Secrets", "id": "x"}});
    let position = ask(&running, "default", &[secret, to("x")]).await;
    let told = note(&world, "answering_catchup", position).await;
    assert!(told.contains("append:Secrets is not granted to answering_catchup"), "{told}");
    assert!(told.ends_with("; 1"), "the transaction went on: {told}");
    // Taken away, it holds for the next batch of whichever host.
    let taken: Grant = "append:Answers".parse().unwrap();
    let sandbox = running.host.registry().sandbox();
    sandbox.change_grants("answering_catchup", &[], &[taken], None).await.unwrap();
    ask(&running, "default", &[to("x")]).await;
    let why = world.stopped("answering_catchup").await;
    assert!(why.contains("append:Answers is not granted"), "{why}");
    assert_eq!(world.number(APPENDED).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn plugins_that_answer_themselves_are_stopped() {
    let world = World::new().await;
    let limits = Limits { chain: 4, ..quick().limits };
    let running = answering(&world, "catchup", HostConfig { limits, ..quick() }).await;
    ask(&running, "default", &[json!({"again": {}})]).await;
    let why = world.stopped("answering_catchup").await;
    assert!(why.contains("limits.chain"), "{why}");
    assert_eq!(world.number(APPENDED).await, 4);
    let lengths = "SELECT count(*) FROM eventfabric.event_chains c
                   JOIN eventfabric.events e USING (global_position) WHERE c.length = e.aggregate_version - 1";
    assert_eq!(world.number(lengths).await, 4);
    running.stop().await;
}

#[tokio::test]
async fn limits_are_kept_and_told() {
    let world = World::new().await;
    let limits = Limits { events_appended: 2, appended_bytes: 100, ..quick().limits };
    let running = answering(&world, "catchup", HostConfig { limits, ..quick() }).await;
    let long =
        json!({"try": {"aggregate": "Answers", "id": "x", "data": {"text": "x".repeat(100)}}});
    let bytes = ask(&running, "default", &[long]).await;
    assert!(note(&world, "answering_catchup", bytes).await.contains("limits.appended_bytes"));
    let more = json!({"try": {"aggregate": "Answers", "id": "x"}});
    let events = ask(&running, "default", &[to("x"), to("x"), more]).await;
    let told = note(&world, "answering_catchup", events).await;
    assert!(told.starts_with("1; 2; ") && told.contains("limits.events_appended"), "{told}");
    running.stop().await;
}

#[tokio::test]
async fn what_was_appended_stays_when_the_plugin_begins_anew() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    let load = json!({"load": {"aggregate": "Answers", "id": "x"}});
    let mut positions = Vec::new();
    for _ in 0..3 {
        let steps = [load.clone(), to("x"), load.clone(), to("y"), load.clone()];
        positions.push(ask(&running, "default", &steps).await);
    }
    let mut before = Vec::new();
    for position in &positions {
        before.push(note(&world, "answering_catchup", *position).await);
    }
    assert_eq!(before[1], "1 to 1; 2; 2 to 2; 2; 2 to 2");
    let log = world.texts(ORDERED).await;
    let sandbox = running.host.registry().sandbox();
    let pool = running.host.store().pool();
    reset(pool, sandbox, "answering_catchup", Start::Default, true).await.unwrap();
    let after = ask(&running, "default", &[to("x")]).await;
    assert_eq!(note(&world, "answering_catchup", after).await, "4");
    for (position, before) in positions.iter().zip(&before) {
        assert_eq!(&note(&world, "answering_catchup", *position).await, before, "as it was then");
    }
    let again = world.texts(ORDERED).await;
    assert_eq!(again[..log.len()], log);
    assert_eq!(again.len(), log.len() + 1);
    // A rebuild, and a version with tables of its own, append nothing either.
    let rebuilt = rebuild::run(&running.host, "answering_catchup", &rebuild::options()).await;
    assert_eq!(rebuilt.unwrap().events, 4);
    for (position, before) in positions.iter().zip(&before) {
        assert_eq!(&note(&world, "answering_catchup", *position).await, before, "rebuilt");
    }
    deploy_bytes(&running.host, other_version("answering_catchup")).await;
    assert_eq!(world.texts(ORDERED).await, again);
    running.stop().await;
}

#[tokio::test]
async fn a_handler_that_has_changed_appends_nothing_else() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    ask(&running, "default", &[to("x")]).await;
    world.until_number(APPENDED, 1).await;
    running.stop().await;
    let other = Arc::new(BTreeMap::from([("type".to_owned(), "Other".to_owned())]));
    let plugins = [("answering_catchup".to_owned(), other)].into();
    let running = Running::start(&world, HostConfig { plugins, ..quick() }).await;
    let failed = rebuild::run(&running.host, "answering_catchup", &rebuild::options()).await;
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("its handler has changed"), "{failed}");
    let sandbox = running.host.registry().sandbox();
    let pool = running.host.store().pool();
    reset(pool, sandbox, "answering_catchup", Start::Default, true).await.unwrap();
    let why = world.stopped("answering_catchup").await;
    assert!(why.contains("its handler has changed"), "{why}");
    assert_eq!(world.number(APPENDED).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn inline_projections_run_on_what_is_appended_and_may_refuse_it() {
    let world = World::new().await;
    // One place for all: an inline plugin has its own.
    let limits = Limits { instances: 1, ..quick().limits };
    let running = answering(&world, "catchup", HostConfig { limits, ..quick() }).await;
    deploy_guest(&running.host, "hostile_inline").await;
    let deed = |data: Value| json!({"append": {"aggregate": "Deeds", "id": "1", "type": "Deed", "data": data}});
    let good = ask(&running, "default", &[deed(json!({"do": "ok"}))]).await;
    assert_eq!(note(&world, "answering_catchup", good).await, "1");
    let seen = "SELECT count(*) FROM hostile_inline.seen s
                JOIN eventfabric.events e ON e.global_position = s.position WHERE e.type = 'Deed'";
    assert_eq!(world.number(seen).await, 1);
    ask(&running, "default", &[to("x"), deed(json!({"do": "poison"}))]).await;
    let why = world.stopped("answering_catchup").await;
    assert!(why.contains("inline plugin hostile_inline"), "{why}");
    assert_eq!(world.number(APPENDED).await, 1, "all of it was rolled back");
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_appended_by_who_fails_or_goes_round_the_host() {
    let world = World::new().await;
    let running = answering(&world, "async", quick()).await;
    let sql = |sql: &str| json!({"sql": sql});
    for steps in [
        vec![to("x"), json!({"refuse": {}})],
        vec![to("x"), json!({"panic": {}})],
        vec![sql("SELECT 1/0"), json!({"try": {"aggregate": "Answers", "id": "x"}})],
        vec![sql("SELECT 1/0"), json!({"load": {"aggregate": "Answers", "id": "x"}})],
        vec![to("x"), sql("SELECT 1/0")],
    ] {
        ask(&running, "default", &steps).await;
    }
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 5).await;
    assert_eq!(world.number(APPENDED).await, 0);
    // To go round the host stops the projection.
    ask(&running, "default", &[to("x"), sql("SELECT count(*) FROM eventfabric.events")]).await;
    let why = world.stopped("answering_async").await;
    assert!(why.contains("eventfabric.events"), "{why}");
    assert_eq!(world.number(APPENDED).await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_query_reaches_no_stream() {
    let world = World::new().await;
    let running = answering(&world, "catchup", quick()).await;
    running.stop().await;
    let mut query =
        Process::start(&world, &["plugin", "query", "answering_catchup", "steal", "--json"], &[]);
    query.ended().await;
    let answer = query.output();
    assert!(answer.contains("Denied"), "{answer} {}", query.log());
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.events").await, 0);
}

#[tokio::test]
async fn async_workers_of_two_hosts_share_streams_and_append_each_answer_once() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.workers = 2;
    let one = answering(&world, "async", config.clone()).await;
    let other = Running::start(&world, config).await;
    const ASKED: i64 = 120;
    for n in 0..ASKED {
        // In either order, so that they get in each other's way.
        let (a, b) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let stream = StreamId::new("Ask", n.to_string());
        append(one.host.store(), stream, "Ask", &[json!({"steps": [to(a), to(b)]})]).await;
    }
    world.until_number("SELECT count(*) FROM answering_async.seen", ASKED).await;
    assert_eq!(world.number(APPENDED).await, 2 * ASKED);
    let versions =
        "SELECT count(DISTINCT aggregate_id || aggregate_version) FROM eventfabric.events
                    WHERE aggregate_name = 'Answers' AND aggregate_version <= 120";
    assert_eq!(world.number(versions).await, 2 * ASKED, "without holes");
    let dead = "SELECT count(*) FROM eventfabric.outbox_dead_letters";
    assert_eq!(world.number(dead).await, 0);
    one.stop().await;
    other.stop().await;
}
