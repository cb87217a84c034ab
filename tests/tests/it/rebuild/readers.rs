//! Whoever reads the tables by their names sees the old ones or the new ones, and never an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventfabric::runner::RebuildOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;

use super::super::runners::rig::{Running, World, deploy_guest, quick};
use super::{assert_all_seen, deeds, ok, options, run, table, until_seen};

/// Counts rows again and again until it is told to stop. Answers how often, and the least count.
fn read(pool: PgPool, stop: Arc<AtomicBool>, sql: &'static str) -> JoinHandle<(u64, i64)> {
    tokio::spawn(async move {
        let (mut times, mut least) = (0, i64::MAX);
        while !stop.load(Ordering::Relaxed) {
            let rows: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
            (times, least) = (times + 1, least.min(rows));
        }
        (times, least)
    })
}

#[tokio::test]
async fn readers_see_one_or_the_other_and_no_error() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 10, ok()).await;
    until_seen(&world, "hostile_catchup", 70).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [
        "SELECT count(*) FROM hostile_catchup.seen",
        // Two names in one statement: of the same tables, every row has its own.
        "SELECT count(*) FROM hostile_catchup.seen a JOIN hostile_catchup.seen b
         ON a.position = b.position AND a.tableoid = b.tableoid",
    ]
    .map(|sql| read(world.eyes.clone(), stop.clone(), sql));
    let (host, told) = (running.host.clone(), stop.clone());
    let operator = tokio::spawn(async move {
        let mut times = 0;
        while !told.load(Ordering::Relaxed) {
            let sql = "SELECT count(*) FROM seen";
            let mut read = host.registry().sandbox().read("hostile_catchup", sql).await.unwrap();
            assert_eq!(read.page(10).await.unwrap(), [[Some("70".to_owned())]]);
            times += 1;
        }
        times
    });
    for _ in 0..4 {
        run(&running.host, "hostile_catchup", &options()).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let (times, least) = reader.await.unwrap();
        assert!(times > 4);
        assert_eq!(least, 70);
    }
    assert!(operator.await.unwrap() > 4);
    assert_all_seen(&world, "hostile_catchup").await;
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_stays_is_waited_for_and_holds_up_nobody() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_inline").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    let before = table(&world, "hostile_inline.seen").await;
    let mut report = world.eyes.begin().await.unwrap();
    let sql = "SELECT count(*) FROM hostile_inline.seen";
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *report).await.unwrap();
    assert_eq!(rows, 7);
    let host = running.host.clone();
    let rebuilding = tokio::spawn(async move { run(&host, "hostile_inline", &options()).await });
    world.until_number("SELECT count(*) FROM eventfabric.projection_rebuilds", 1).await;
    // Appends go on, and so do other readers.
    deeds(running.host.store(), "default", 10, ok()).await;
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *report).await.unwrap();
    assert_eq!(rows, 77);
    assert_eq!(table(&world, "hostile_inline.seen").await, before);
    assert!(!rebuilding.is_finished());
    report.rollback().await.unwrap();
    rebuilding.await.unwrap().unwrap();
    assert_ne!(table(&world, "hostile_inline.seen").await, before);
    assert_all_seen(&world, "hostile_inline").await;
    running.stop().await;
}

#[tokio::test]
async fn the_grants_of_an_operator_are_carried_over() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 1, ok()).await;
    until_seen(&world, "hostile_catchup", 7).await;
    // Roles belong to the whole server.
    let id = uuid::Uuid::now_v7().simple();
    let (all, some) = (format!("all_{id}"), format!("some_{id}"));
    for sql in [
        format!("CREATE ROLE {all}"),
        format!("CREATE ROLE {some}"),
        format!("GRANT USAGE ON SCHEMA hostile_catchup TO {all}, {some}"),
        format!("GRANT SELECT ON hostile_catchup.seen TO {all} WITH GRANT OPTION"),
        format!("GRANT SELECT (position) ON hostile_catchup.seen TO {some}"),
    ] {
        world.execute(&sql).await;
    }
    run(&running.host, "hostile_catchup", &options()).await.unwrap();
    let may = async |question: String| {
        let sql = format!("SELECT ({question})::int::bigint");
        world.number(&sql).await == 1
    };
    let select = "'hostile_catchup.seen', 'SELECT";
    assert!(may(format!("has_schema_privilege('{some}', 'hostile_catchup', 'USAGE')")).await);
    assert!(may(format!("has_table_privilege('{all}', {select} WITH GRANT OPTION')")).await);
    assert!(!may(format!("has_table_privilege('{some}', {select}')")).await);
    let column = |name| {
        format!("has_column_privilege('{some}', 'hostile_catchup.seen', '{name}', 'SELECT')")
    };
    assert!(may(column("position")).await && !may(column("note")).await);
    for role in [&all, &some] {
        world.execute(&format!("DROP OWNED BY {role}")).await;
        world.execute(&format!("DROP ROLE {role}")).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn the_old_tables_are_kept_beside_the_new_ones_where_that_is_asked_for() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deeds(running.host.store(), "default", 2, ok()).await;
    until_seen(&world, "hostile_catchup", 14).await;
    let keep = RebuildOptions { keep_old: true, ..options() };
    // The second time there are kept ones already.
    for kept in [14, 21] {
        let before = table(&world, "hostile_catchup.seen").await;
        run(&running.host, "hostile_catchup", &keep).await.unwrap();
        assert_eq!(table(&world, "hostile_catchup__old.seen").await, before);
        deeds(running.host.store(), "default", 1, ok()).await;
        assert_all_seen(&world, "hostile_catchup").await;
        let sql = "SELECT count(*) FROM hostile_catchup__old.seen";
        assert_eq!(world.number(sql).await, kept);
    }
    // The plugin's role has no way into them.
    let role: String = sqlx::query_scalar(AssertSqlSafe(
        "SELECT exec_role FROM eventfabric.plugin_schemas WHERE schema_name = 'hostile_catchup'",
    ))
    .fetch_one(&world.eyes)
    .await
    .unwrap();
    let sql = format!(
        "SELECT (has_table_privilege('{role}', 'hostile_catchup.seen', 'INSERT')
                 AND NOT has_table_privilege('{role}', 'hostile_catchup__old.seen', 'SELECT')
                )::int::bigint"
    );
    assert_eq!(world.number(&sql).await, 1);
    running.stop().await;
}
