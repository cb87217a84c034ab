//! Workers on the queue: hot rows, deadlocks, a transaction an event, rows without an event.

use std::time::Duration;

use eventfabric::runner::{Host, TransactionMode};
use serde_json::json;

use super::rig::{Running, World, deeds, deploy_guest, good, quick};

const SEEN: &str = "SELECT count(*) FROM hostile_async.seen WHERE position > 0";

/// Notes every row that comes to the retries.
const WATCH: &str = "
    CREATE TABLE public.moved (position bigint);
    CREATE FUNCTION public.note_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO public.moved VALUES (NEW.global_position); RETURN NULL; END $$;
    CREATE TRIGGER note_moved AFTER INSERT ON eventfabric.projection_retries
        FOR EACH ROW EXECUTE FUNCTION public.note_moved();";

#[tokio::test]
async fn workers_that_deadlock_on_hot_rows_take_turns_and_no_event_is_moved_to_the_retries() {
    let world = World::new().await;
    let mut config = quick();
    config.runner.r#async.workers = 4;
    config.runner.r#async.batch = 2;
    let deployer = Host::open(world.db.options(), quick(), None).await.unwrap();
    deploy_guest(&deployer, "hostile_async").await;
    world.execute("INSERT INTO hostile_async.seen VALUES (-1, ''), (-2, '')").await;
    sqlx::raw_sql(WATCH).execute(&world.eyes).await.unwrap();
    // Each batch takes both rows, and every second one in the other order; the work between makes the
    // workers meet.
    let hot = |row: i64| {
        let sql = "UPDATE seen SET note = (length(note) + n)::text
                   FROM (SELECT count(*) AS n FROM generate_series(1, 20000)) AS work
                   WHERE position = $1";
        json!({"do": "exec", "sql": sql, "params": [row]})
    };
    let store = world.store().await;
    let rows = [-1, -2, -2, -1];
    let events: Vec<_> = rows.into_iter().cycle().take(120).map(hot).collect();
    deeds(&store, &events).await;
    let running = Running::start(&world, config).await;
    world.until_number(SEEN, 120).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    assert_eq!(world.number("SELECT count(*) FROM public.moved").await, 0);
    running.stop().await;
}

/// Notes the transaction of every row that is written.
const TRANSACTIONS: &str = "
    CREATE TABLE public.transactions (id xid8);
    CREATE FUNCTION public.note_transaction() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO public.transactions VALUES (pg_current_xact_id()); RETURN NULL; END $$;
    CREATE TRIGGER note_transaction AFTER INSERT ON hostile_async.seen
        FOR EACH ROW EXECUTE FUNCTION public.note_transaction();";

#[tokio::test]
async fn in_row_mode_each_event_is_a_transaction_and_in_batch_mode_all_are_one() {
    for (mode, wanted) in [(TransactionMode::Row, 10), (TransactionMode::Batch, 1)] {
        let (world, mut config) = (World::new().await, quick());
        let host = Host::open(world.db.options(), config.clone(), None).await.unwrap();
        deploy_guest(&host, "hostile_async").await;
        sqlx::raw_sql(TRANSACTIONS).execute(&world.eyes).await.unwrap();
        deeds(host.store(), &good(10)).await;
        config.runner.r#async.transaction_mode = mode;
        let running = Running::start(&world, config).await;
        world.until_number(SEEN, 10).await;
        let transactions = "SELECT count(DISTINCT id) FROM public.transactions";
        assert_eq!(world.number(transactions).await, wanted, "{mode:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_lock_that_another_program_holds_is_waited_for_in_turn() {
    let (world, config) = (World::new().await, quick());
    let host = Host::open(world.db.options(), config.clone(), None).await.unwrap();
    deploy_guest(&host, "hostile_async").await;
    world.execute("INSERT INTO hostile_async.seen VALUES (-1, '')").await;
    sqlx::raw_sql(WATCH).execute(&world.eyes).await.unwrap();
    let mut other = world.eyes.begin().await.unwrap();
    let lock = "UPDATE hostile_async.seen SET note = 'held' WHERE position = -1";
    sqlx::raw_sql(lock).execute(&mut *other).await.unwrap();
    let sql = "UPDATE seen SET note = note || ', then done' WHERE position = -1";
    deeds(host.store(), &[json!({"do": "exec", "sql": sql, "params": []})]).await;
    let running = Running::start(&world, config).await;
    // It gave way, and now waits inside of its turn, for longer than it would have before.
    world
        .until_number(
            "SELECT count(*) FROM pg_locks turn JOIN pg_locks row USING (pid)
             WHERE turn.locktype = 'advisory' AND turn.granted AND turn.classid = 1702258225
               AND row.locktype = 'transactionid' AND NOT row.granted
               AND turn.database = (SELECT oid FROM pg_database
                                    WHERE datname = current_database())",
            1,
        )
        .await;
    other.commit().await.unwrap();
    world.until_number(SEEN, 1).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    assert_eq!(world.number("SELECT count(*) FROM public.moved").await, 0);
    let note = "SELECT count(*) FROM hostile_async.seen WHERE note = 'held, then done'";
    assert_eq!(world.number(note).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn rows_of_the_outbox_whose_events_are_gone_vanish_and_hold_up_nothing() {
    let (world, mut config) = (World::new().await, quick());
    config.runner.r#async.batch = 2;
    // Nothing but the work itself makes the worker go on.
    config.runner.poll = Duration::from_secs(3600);
    let host = Host::open(world.db.options(), config.clone(), None).await.unwrap();
    deploy_guest(&host, "hostile_async").await;
    let gone = "INSERT INTO eventfabric.outbox (global_position, tenant_id)
                SELECT 1000000 + n, 'default' FROM generate_series($1, $1 + 4) AS n";
    for from in [1, 6] {
        sqlx::query(gone).bind(from).execute(&world.eyes).await.unwrap();
        deeds(host.store(), &good(3)).await;
    }
    let running = Running::start(&world, config).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    assert_eq!(world.number(SEEN).await, 6);
    running.stop().await;
}
