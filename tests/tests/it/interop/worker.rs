//! A worker of the library beside ours: it claims rows in one transaction, handles each in another,
//! and deletes it there.

use std::collections::BTreeSet;

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::{Append, EventStore};
use eventfabric_tests::TestDb;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::library_append;
use crate::runners::rig::{Process, Running, World, deploy_guest, quick};
use crate::store::events;

/// What a worker has claimed: rows of the outbox and their positions.
type Claims = Vec<(i64, i64)>;

/// A stand-in for a worker of the library, written from its protocol.
struct Worker {
    conn: PgConnection,
    name: &'static str,
}

impl Worker {
    async fn new(db: &TestDb, name: &'static str) -> Self {
        let mut conn = db.connect().await;
        conn.execute("CREATE TABLE IF NOT EXISTS public.handled (position bigint PRIMARY KEY)")
            .await
            .unwrap();
        Self { conn, name }
    }

    /// Claims rows whose topic is one of these; `None` for all.
    async fn claim(&mut self, limit: i64, topics: Option<&[&str]>) -> Claims {
        sqlx::query_as(
            "WITH free AS (
                 SELECT id FROM eventfabric.outbox
                 WHERE dead_lettered_at IS NULL AND locked_at IS NULL
                   AND ($3::text[] IS NULL OR topic = ANY ($3))
                 ORDER BY id
                 LIMIT $1
                 FOR UPDATE SKIP LOCKED
             )
             UPDATE eventfabric.outbox o
             SET locked_at = now(), locked_by = $2, attempts = attempts + 1
             FROM free
             WHERE o.id = free.id
             RETURNING o.id, o.global_position",
        )
        .bind(limit)
        .bind(self.name)
        .bind(topics)
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }

    /// Loads each event as the library does, handles it, and deletes its row.
    async fn handle(&mut self, claims: &Claims) {
        for (id, position) in claims {
            let mut tx = self.conn.begin().await.unwrap();
            let (of_type, of_version): (Option<String>, Option<String>) = sqlx::query_as(
                "SELECT jsonb_typeof(payload->'type'), jsonb_typeof(payload->'version')
                 FROM eventfabric.events WHERE global_position = $1",
            )
            .bind(position)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
            assert_eq!(
                (of_type.as_deref(), of_version.as_deref()),
                (Some("string"), Some("number"))
            );
            sqlx::query("INSERT INTO public.handled VALUES ($1)")
                .bind(position)
                .execute(&mut *tx)
                .await
                .unwrap();
            sqlx::query("DELETE FROM eventfabric.outbox WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    }
}

async fn append(store: &EventStore, id: &str, topic: Option<&str>, count: i64) -> Vec<i64> {
    let append = Append {
        stream: StreamId::new("Account", id),
        expected: ExpectedVersion::Any,
        topic: topic.map(str::to_owned),
        events: events(count),
    };
    let appended = store.append_all(vec![append]).await.unwrap();
    appended.events.iter().map(|event| event.position).collect()
}

async fn positions(world: &World, table: &str) -> BTreeSet<i64> {
    let sql = format!("SELECT position::text FROM {table}");
    world.texts(&sql).await.iter().map(|position| position.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_worker_of_the_library_delivers_what_we_append_by_its_topics() {
    let world = World::new().await;
    let store = world.store().await;
    let named = append(&store, "1", Some("accounts"), 3).await;
    let other = append(&store, "2", Some("orders"), 1).await;
    let none = append(&store, "3", None, 2).await;
    let mut worker = Worker::new(&world.db, "library-1").await;
    let claims = worker.claim(10, Some(&["accounts"])).await;
    worker.handle(&claims).await;
    assert_eq!(positions(&world, "public.handled").await, named.into_iter().collect());
    let claims = worker.claim(10, None).await;
    worker.handle(&claims).await;
    let rest: BTreeSet<i64> = other.into_iter().chain(none).collect();
    assert!(positions(&world, "public.handled").await.is_superset(&rest));
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.outbox").await, 0);
}

#[tokio::test]
async fn rows_that_a_living_worker_of_the_library_holds_are_its_own_and_the_others_wait_for_it() {
    let world = World::new().await;
    let store = world.store().await;
    append(&store, "1", None, 10).await;
    let mut worker = Worker::new(&world.db, "library-1").await;
    let claims = worker.claim(3, None).await;
    assert_eq!(claims.len(), 3);
    let deployer =
        eventfabric::runner::Host::open(world.db.options(), quick(), None).await.unwrap();
    deploy_guest(&deployer, "hostile_async").await;

    let host = Process::host(&world, None, &[("EVENTFABRIC_RUNNER__ASYNC__FOREIGN_LEASE", "1h")]);
    host.until_log("workers of another program take rows").await;
    assert!(host.log().contains("library-1"));
    assert_eq!(world.number("SELECT count(*) FROM hostile_async.seen").await, 0);
    // Once the worker is done with what it holds, the queue is free.
    worker.handle(&claims).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    let theirs = positions(&world, "public.handled").await;
    let ours = positions(&world, "hostile_async.seen").await;
    assert_eq!((theirs.len(), ours.len()), (3, 7));
    assert!(theirs.is_disjoint(&ours));
}

#[tokio::test]
async fn with_workers_and_writers_of_both_every_row_is_delivered_by_exactly_one_side() {
    const ROUNDS: i32 = 40;
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let mut writer = world.db.connect().await;
    let theirs = tokio::spawn(async move {
        let stream = StreamId::new("Account", "theirs");
        for version in 0..ROUNDS {
            library_append(&mut writer, &stream, version, 1).await.unwrap();
        }
    });
    let store = running.host.store().clone();
    let ours = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            append(&store, "ours", None, 1).await;
        }
    });
    let mut worker = Worker::new(&world.db, "library-1").await;
    while !(theirs.is_finished() && ours.is_finished()) {
        let claims = worker.claim(2, None).await;
        worker.handle(&claims).await;
        tokio::task::yield_now().await;
    }
    theirs.await.unwrap();
    ours.await.unwrap();
    world.until_number("SELECT count(*) FROM eventfabric.outbox", 0).await;
    let all =
        positions(&world, "(SELECT global_position AS position FROM eventfabric.events) e").await;
    assert_eq!(all.len(), 2 * ROUNDS as usize);
    let (theirs, ours) =
        (positions(&world, "public.handled").await, positions(&world, "hostile_async.seen").await);
    assert!(theirs.is_disjoint(&ours), "{:?}", theirs.intersection(&ours).collect::<Vec<_>>());
    assert_eq!(theirs.union(&ours).copied().collect::<BTreeSet<_>>(), all);
    // What the library appends reaches our catch-up projections in the order of the log.
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 2 * i64::from(ROUNDS)).await;
    running.stop().await;
}
