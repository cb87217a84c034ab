//! The safe head, with commits interleaved by hand: no event below it can still appear, and no
//! transaction delays it that cannot write.

mod random;
mod two_phase;

use std::time::{Duration, Instant};

use eventfabric::store::{Look, SafeHead};
use eventfabric_tests::{TestDb, database};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Looks at a head that must not move: more than enough for what waits a few milliseconds.
const LOOKS: usize = 8;

/// A log with a head that follows it.
struct Log {
    db: TestDb,
    pool: PgPool,
    head: SafeHead,
}

impl Log {
    /// A log whose positions 1 to `n` are committed and seen.
    async fn of(n: i64) -> Self {
        let db = database().await;
        let pool = db.pool(2).await;
        let mut log = Self { db, pool, head: SafeHead::from(0) };
        let mut writer = log.writer().await;
        for _ in 0..n {
            writer.insert().await;
        }
        assert_eq!(log.reaches(n).await, n);
        log
    }

    async fn writer(&self) -> Writer {
        Writer(self.db.connect().await)
    }

    /// Looks until the head is at the position.
    async fn reaches(&mut self, position: i64) -> i64 {
        let start = Instant::now();
        loop {
            let look = self.head.look(&self.pool).await.unwrap();
            let at = self.head.position();
            if at >= position || start.elapsed() > PATIENCE {
                return at;
            }
            match look {
                Look::More => {}
                Look::AtEnd => panic!("{at} is called the end before {position}"),
                Look::AtHole(wait) => tokio::time::sleep(wait).await,
                Look::Shorter => panic!("nothing was taken out of the log"),
            }
        }
    }

    /// Looks many times and asserts that a hole keeps the head where it is.
    async fn stays_at(&mut self, position: i64) {
        for _ in 0..LOOKS {
            let look = self.head.look(&self.pool).await.unwrap();
            assert_eq!(self.head.position(), position);
            match look {
                Look::AtHole(wait) => tokio::time::sleep(wait).await,
                Look::More => {}
                Look::AtEnd => panic!("the hole after {position} is taken for the end"),
                Look::Shorter => panic!("nothing was taken out of the log"),
            }
        }
        assert!(self.head.stopped().is_some_and(|(_, writers)| writers > 0));
    }
}

/// A program of its own that writes events by plain SQL, as any client may.
struct Writer(PgConnection);

const INSERT: &str = "INSERT INTO eventfabric.events
         (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
     VALUES (gen_random_uuid(), 'A', gen_random_uuid()::text, 1, 'T', 1, '{}')
     RETURNING global_position";

impl Writer {
    /// Inserts an event, in the open transaction if there is one.
    async fn insert(&mut self) -> i64 {
        sqlx::query_scalar(INSERT).fetch_one(&mut self.0).await.unwrap()
    }

    async fn run(&mut self, sql: &'static str) {
        self.0.execute(sql).await.unwrap();
    }
}

#[tokio::test]
async fn position_7_that_commits_after_8_is_waited_for() {
    let mut log = Log::of(6).await;
    let (mut early, mut late) = (log.writer().await, log.writer().await);
    late.run("BEGIN").await;
    assert_eq!(late.insert().await, 7);
    assert_eq!(early.insert().await, 8);
    log.stays_at(6).await;
    late.run("COMMIT").await;
    assert_eq!(log.reaches(8).await, 8);
    assert_eq!(log.head.look(&log.pool).await.unwrap(), Look::AtEnd);
    assert!(log.head.stopped().is_none());
}

#[tokio::test]
async fn a_commit_that_is_on_its_way_closes_its_hole_without_a_look_at_the_locks() {
    let mut log = Log::of(6).await;
    let (mut early, mut late) = (log.writer().await, log.writer().await);
    late.run("BEGIN").await;
    late.insert().await;
    early.insert().await;
    assert!(matches!(log.head.look(&log.pool).await.unwrap(), Look::AtHole(_)));
    assert_eq!(log.head.position(), 6);
    late.run("COMMIT").await;
    log.head.look(&log.pool).await.unwrap();
    assert_eq!(log.head.position(), 8, "at the very next look");
}

#[tokio::test]
async fn the_hole_of_a_transaction_that_rolls_back_is_passed() {
    let mut log = Log::of(6).await;
    let (mut other, mut undone) = (log.writer().await, log.writer().await);
    undone.run("BEGIN").await;
    undone.insert().await;
    other.insert().await;
    log.stays_at(6).await;
    undone.run("ROLLBACK").await;
    assert_eq!(log.reaches(8).await, 8);
}

#[tokio::test]
async fn the_hole_of_a_session_that_dies_is_passed() {
    let mut log = Log::of(6).await;
    let (mut other, mut dies) = (log.writer().await, log.writer().await);
    dies.run("BEGIN").await;
    dies.insert().await;
    other.insert().await;
    log.stays_at(6).await;
    dies.0.close_hard().await.unwrap();
    assert_eq!(log.reaches(8).await, 8);
}

#[tokio::test]
async fn a_transaction_that_stays_open_keeps_the_head_whatever_commits_meanwhile() {
    for end in ["COMMIT", "ROLLBACK"] {
        let mut log = Log::of(6).await;
        let (mut other, mut long) = (log.writer().await, log.writer().await);
        long.run("BEGIN").await;
        assert_eq!(long.insert().await, 7);
        for round in 0..4 {
            for _ in 0..5 {
                other.insert().await;
            }
            log.stays_at(6).await;
            let stopped = log.head.stopped().unwrap();
            assert_eq!(stopped.1, 1, "round {round}: it waits for the long one alone");
        }
        long.run(end).await;
        assert_eq!(log.reaches(27).await, 27, "{end}");
    }
}

#[tokio::test]
async fn a_savepoint_that_is_rolled_back_leaves_a_hole_that_is_passed_at_the_end() {
    let mut log = Log::of(6).await;
    let (mut other, mut writer) = (log.writer().await, log.writer().await);
    writer.run("BEGIN; SAVEPOINT s").await;
    assert_eq!(writer.insert().await, 7);
    writer.run("ROLLBACK TO SAVEPOINT s").await;
    other.insert().await;
    // Undone for good, and its lock with it: nothing is left to wait for.
    assert_eq!(log.reaches(8).await, 8);
    assert_eq!(writer.insert().await, 9);
    other.insert().await;
    log.stays_at(8).await;
    writer.run("SAVEPOINT s").await;
    assert_eq!(writer.insert().await, 11);
    writer.run("ROLLBACK TO SAVEPOINT s").await;
    other.insert().await;
    log.stays_at(8).await;
    writer.run("COMMIT").await;
    assert_eq!(log.reaches(12).await, 12);
}

#[tokio::test]
async fn several_holes_of_several_writers_are_passed_one_by_one() {
    let mut log = Log::of(6).await;
    let mut other = log.writer().await;
    let mut writers = Vec::new();
    for position in [7, 9, 11, 13] {
        let mut writer = log.writer().await;
        writer.run("BEGIN").await;
        assert_eq!(writer.insert().await, position);
        assert_eq!(other.insert().await, position + 1);
        writers.push(writer);
    }
    log.stays_at(6).await;
    // Not in their order: the second hole is no more than the first one lets it be.
    writers[1].run("COMMIT").await;
    log.stays_at(6).await;
    writers[0].run("COMMIT").await;
    assert_eq!(log.reaches(10).await, 10);
    log.stays_at(10).await;
    writers[3].run("ROLLBACK").await;
    log.stays_at(10).await;
    writers[2].run("COMMIT").await;
    assert_eq!(log.reaches(14).await, 14);
}

#[tokio::test]
async fn a_writer_that_begins_after_the_listing_does_not_delay_the_head() {
    let mut log = Log::of(6).await;
    let (mut other, mut first, mut second) =
        (log.writer().await, log.writer().await, log.writer().await);
    first.run("BEGIN").await;
    first.insert().await;
    other.insert().await;
    log.stays_at(6).await;
    second.run("BEGIN").await;
    assert_eq!(second.insert().await, 9);
    log.stays_at(6).await;
    assert_eq!(log.head.stopped().unwrap().1, 1);
    first.run("ROLLBACK").await;
    assert_eq!(log.reaches(8).await, 8, "the second one cannot fill the first one's hole");
    other.insert().await;
    log.stays_at(8).await;
    second.run("COMMIT").await;
    assert_eq!(log.reaches(10).await, 10);
}

#[tokio::test]
async fn a_writer_that_never_stops_does_not_keep_the_head_for_ever() {
    let mut log = Log::of(6).await;
    let (mut other, mut a, mut b) = (log.writer().await, log.writer().await, log.writer().await);
    a.run("BEGIN").await;
    a.insert().await;
    other.insert().await;
    log.stays_at(6).await;
    // At every moment some transaction is open, never the same one for long.
    for _ in 0..5 {
        b.run("BEGIN").await;
        b.insert().await;
        a.run("ROLLBACK; BEGIN").await;
        a.insert().await;
        b.run("COMMIT").await;
    }
    assert!(log.reaches(8).await >= 8);
}

#[tokio::test]
async fn readers_and_maintenance_do_not_delay_the_head() {
    let mut log = Log::of(6).await;
    let (mut other, mut undone) = (log.writer().await, log.writer().await);
    let mut reader = log.writer().await;
    reader
        .run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM eventfabric.events")
        .await;
    let mut locker = log.writer().await;
    locker.run("BEGIN; SELECT * FROM eventfabric.events FOR SHARE").await;
    // VACUUM and ANALYZE hold this one while they work.
    let mut vacuum = log.writer().await;
    vacuum.run("BEGIN; LOCK TABLE eventfabric.events IN SHARE UPDATE EXCLUSIVE MODE").await;
    // Writes to other tables, under a lock of the kind that a writer of the log has.
    let mut elsewhere = log.writer().await;
    elsewhere
        .run("BEGIN; UPDATE eventfabric.outbox SET attempts = 1; DELETE FROM eventfabric.snapshots")
        .await;
    undone.run("BEGIN").await;
    undone.insert().await;
    undone.run("ROLLBACK").await;
    other.insert().await;
    assert_eq!(log.reaches(8).await, 8);
}

#[tokio::test]
async fn writers_of_other_databases_do_not_delay_the_head() {
    let mut log = Log::of(6).await;
    let elsewhere = Log::of(0).await;
    let mut stranger = elsewhere.writer().await;
    stranger.run("BEGIN").await;
    stranger.insert().await;
    let mut writer = log.writer().await;
    writer.run("SELECT nextval('eventfabric.events_global_position_seq')").await;
    writer.insert().await;
    assert_eq!(log.reaches(8).await, 8);
}

#[tokio::test]
async fn a_log_with_old_holes_is_read_to_its_end_at_the_start() {
    let db = database().await;
    let mut conn = PgConnection::connect_with(&db.options()).await.unwrap();
    conn.execute(
        "INSERT INTO eventfabric.events
             (global_position, event_id, aggregate_name, aggregate_id, aggregate_version, type,
              version, payload)
         SELECT n, gen_random_uuid(), 'A', n::text, 1, 'T', 1, '{}'
         FROM generate_series(3, 25000) n
         WHERE n % 1000 <> 7 AND n NOT BETWEEN 12000 AND 14000;
         SELECT setval('eventfabric.events_global_position_seq', 25000)",
    )
    .await
    .unwrap();
    let pool = db.pool(2).await;
    let mut log = Log { db, pool, head: SafeHead::from(0) };
    assert_eq!(log.reaches(25_000).await, 25_000);
    let start = Instant::now();
    // Whoever begins further on sees the same.
    for position in [1, 6, 12_500, 24_999] {
        log.head = SafeHead::from(position);
        assert_eq!(log.reaches(25_000).await, 25_000);
    }
    assert!(start.elapsed() < PATIENCE, "one wait for all holes, not one for each");
}

#[tokio::test]
async fn an_empty_log_is_at_its_end() {
    let mut log = Log::of(0).await;
    assert_eq!(log.head.look(&log.pool).await.unwrap(), Look::AtEnd);
    assert_eq!(log.head.position(), 0);
    let mut writer = log.writer().await;
    writer.run("BEGIN").await;
    writer.insert().await;
    assert_eq!(log.head.look(&log.pool).await.unwrap(), Look::AtEnd, "nothing is visible yet");
    writer.run("COMMIT").await;
    assert_eq!(log.reaches(1).await, 1);
}
