//! Making the schema, and taking over one that the TypeScript library has made.

mod agreement;
mod golden;
mod takeover;

use eventfabric::store::migrate::{MIGRATIONS, MigrateError, check, migrate};
use eventfabric_tests::{bare_database, database};
use sqlx::{Connection as _, Executor as _, PgConnection};

#[tokio::test]
async fn an_empty_database_gets_every_migration_in_order() {
    let db = bare_database().await;
    let pool = db.pool(2).await;
    let names: Vec<_> = MIGRATIONS.iter().map(|m| m.name).collect();

    let status = check(&pool).await.unwrap();
    assert_eq!((status.pending.as_slice(), status.already), (names.as_slice(), 0));

    let report = migrate(&pool).await.unwrap();
    let applied: Vec<_> = report.applied.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((applied, report.already), (names, 0));
    assert!(check(&pool).await.unwrap().is_current());
}

#[tokio::test]
async fn a_second_migration_finds_nothing_to_do() {
    let db = database().await;
    let pool = db.pool(2).await;
    let report = migrate(&pool).await.unwrap();
    assert_eq!((report.applied.len(), report.already), (0, MIGRATIONS.len()));
}

#[tokio::test]
async fn programs_that_migrate_at_once_share_the_work_and_repeat_none() {
    let db = bare_database().await;
    let pools = [db.pool(1).await, db.pool(1).await, db.pool(1).await];
    let (a, b, c) = tokio::join!(migrate(&pools[0]), migrate(&pools[1]), migrate(&pools[2]));
    let applied: usize = [a, b, c].iter().map(|r| r.as_ref().unwrap().applied.len()).sum();
    assert_eq!(applied, MIGRATIONS.len());
}

#[tokio::test]
async fn a_program_that_is_killed_while_it_waits_or_works_leaves_no_lock() {
    let db = bare_database().await;
    let pool = db.pool(4).await;
    // Dropped at the first point at which it waits, and at later ones.
    for polls in [1, 5, 20, 60] {
        let mut work = Box::pin(migrate(&pool));
        for _ in 0..polls {
            if futures::poll!(&mut work).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    migrate(&pool).await.unwrap();
    assert!(check(&pool).await.unwrap().is_current());
}

#[tokio::test]
async fn a_newer_database_is_refused_by_name_and_left_alone() {
    let db = bare_database().await;
    let pool = db.pool(2).await;
    let mut conn = db.connect().await;
    conn.execute(
        "CREATE SCHEMA eventfabric;
         CREATE TABLE eventfabric.schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
         INSERT INTO eventfabric.schema_migrations VALUES ('001_init'), ('007_partitioning'), ('900_later')",
    )
    .await
    .unwrap();

    for error in [migrate(&pool).await.unwrap_err(), check(&pool).await.unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains(&db.name) && text.contains("use a newer eventfabric"), "{text}");
        let MigrateError::NewerThanBinary { names, .. } = error else { panic!("{error:?}") };
        assert_eq!(names, ["900_later"]);
    }
    assert_eq!(recorded(&mut conn).await.len(), 3);
}

#[tokio::test]
async fn a_read_only_database_is_said_to_be_so() {
    let db = bare_database().await;
    let mut conn = db.connect().await;
    let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name);
    conn.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let error = migrate(&db.pool(1).await).await.unwrap_err();
    assert!(matches!(error, MigrateError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn a_current_database_that_is_read_only_needs_no_writing() {
    let db = database().await;
    let mut conn = db.connect().await;
    let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name);
    conn.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    assert_eq!(migrate(&db.pool(1).await).await.unwrap().already, MIGRATIONS.len());
}

#[tokio::test]
async fn a_role_without_rights_is_told_which_and_for_what() {
    let db = bare_database().await;
    let mut admin = PgConnection::connect_with(&db.superuser()).await.unwrap();
    let sql = format!("ALTER DATABASE {} OWNER TO postgres", db.name);
    admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let error = migrate(&db.pool(1).await).await.unwrap_err();
    assert!(matches!(error, MigrateError::Denied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("schema eventfabric") && text.contains("role eventfabric"), "{text}");
}

#[tokio::test]
async fn a_migration_that_fails_is_named_rolled_back_and_can_be_tried_again() {
    let db = bare_database().await;
    let pool = db.pool(1).await;
    let mut conn = db.connect().await;
    conn.execute("CREATE SCHEMA eventfabric; CREATE TABLE eventfabric.snapshots (mine int)")
        .await
        .unwrap();

    let error = migrate(&pool).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("migration 004_snapshots") && text.contains("already exists"), "{text}");
    assert_eq!(recorded(&mut conn).await.len(), 3, "those before it stay");

    conn.execute("DROP TABLE eventfabric.snapshots").await.unwrap();
    assert_eq!(migrate(&pool).await.unwrap().already, 3);
}

async fn recorded(conn: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM eventfabric.schema_migrations ORDER BY name")
        .fetch_all(conn)
        .await
        .unwrap()
}
