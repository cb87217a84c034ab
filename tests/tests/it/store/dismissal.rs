//! Dismissing events: what reads, queues and snapshots make of it, and the record of who did it.

use chrono::{DateTime, Utc};
use eventfabric::event::{Event, ExpectedVersion, StreamId, TenantId};
use eventfabric::store::{
    Dismissal, DismissalFilter, EventRef, EventStore, LetterFilter, LogFilter, StoreError, requeue,
};
use eventfabric_tests::TestDb;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::{events, number, store, versions};

/// Account/1 with five events, at positions 1 to 5.
async fn account() -> (TestDb, EventStore, StreamId) {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::NoStream, events(5)).await.unwrap();
    (db, store, stream)
}

fn at(positions: &[i64]) -> Vec<EventRef> {
    positions.iter().map(|position| EventRef::Position(*position)).collect()
}

async fn history(store: &EventStore) -> Vec<Dismissal> {
    let filter = DismissalFilter { history: true, ..DismissalFilter::default() };
    store.dismissals(&filter, 100).await.unwrap()
}

/// Positions in the outbox, in the order of the queue.
async fn outbox(db: &TestDb) -> Vec<i64> {
    sqlx::query_scalar("SELECT global_position FROM eventfabric.outbox ORDER BY id")
        .fetch_all(&mut db.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_dismissed_event_is_left_out_of_reads_and_its_version_stays_taken() {
    let (_db, store, stream) = account().await;
    let done = store.dismiss(&at(&[2, 4]), "typing error", "ops").await.unwrap();
    let said: Vec<_> = done
        .iter()
        .map(|d| (d.position, d.version, d.reason.as_deref(), d.dismissed_by.as_deref()))
        .collect();
    let (reason, by) = (Some("typing error"), Some("ops"));
    assert_eq!(said, [(4, Some(4), reason, by), (2, Some(2), reason, by)]);
    assert!(done.iter().all(|d| d.undone_at.is_none() && d.event_id.is_some()));

    assert_eq!(versions(&store, &stream).await, [1, 3, 5]);
    let log: Vec<Event> = store.read_log(LogFilter::default()).try_collect().await.unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(store.query().of_stream(stream.clone()).count().await.unwrap(), 3);
    let all = LogFilter { dismissed: true, ..LogFilter::default() };
    let all: Vec<Event> = store.read_log(all).try_collect().await.unwrap();
    let dismissed: Vec<bool> = all.iter().map(|event| event.dismissed_at.is_some()).collect();
    assert_eq!(dismissed, [false, true, false, true, false]);

    let next = store.append(stream.clone(), ExpectedVersion::Exact(5), events(1)).await.unwrap();
    assert_eq!(next.events[0].version, 6);
    // The last event, too: the stream does not go back.
    store.dismiss(&at(&[6]), "typing error", "ops").await.unwrap();
    let next = store.append(stream.clone(), ExpectedVersion::Exact(6), events(1)).await.unwrap();
    assert_eq!(next.events[0].version, 7);
    assert_eq!(versions(&store, &stream).await, [1, 3, 5, 7]);
}

#[tokio::test]
async fn an_undone_dismissal_gives_the_event_back_and_the_record_keeps_both() {
    let (_db, store, stream) = account().await;
    let id = store.load_by_positions(&[2]).await.unwrap()[0].id;
    store.dismiss(&[id.into()], "wrong", "ada").await.unwrap();
    let undone = store.undo_dismissal(&at(&[2]), "bob").await.unwrap();
    assert_eq!(undone.len(), 1);
    assert_eq!(undone[0].undone_by.as_deref(), Some("bob"));
    assert_eq!(versions(&store, &stream).await, [1, 2, 3, 4, 5]);
    let event = store.load_by_ids(&[id]).await.unwrap().remove(0);
    assert!(event.dismissed_at.is_none());

    store.dismiss(&at(&[2]), "wrong after all", "cleo").await.unwrap();
    let record = history(&store).await;
    let said: Vec<_> = record
        .iter()
        .map(|d| {
            (d.reason.as_deref(), d.dismissed_by.as_deref(), d.undone_by.as_deref(), d.event_id)
        })
        .collect();
    assert_eq!(
        said,
        [
            (Some("wrong after all"), Some("cleo"), None, Some(id)),
            (Some("wrong"), Some("ada"), Some("bob"), Some(id)),
        ]
    );
    assert!(record[1].undone_at.is_some() && record[0].undone_at.is_none());

    let standing = store.dismissals(&DismissalFilter::default(), 100).await.unwrap();
    assert_eq!(standing.iter().map(|d| d.number).collect::<Vec<_>>(), [record[0].number]);
    let of = |event| DismissalFilter { event: Some(event), history: true, ..Default::default() };
    assert_eq!(store.dismissals(&of(id.into()), 100).await.unwrap().len(), 2);
    assert_eq!(store.dismissals(&of(2.into()), 1).await.unwrap().len(), 1);
    assert!(store.dismissals(&of(1.into()), 100).await.unwrap().is_empty());
    let older = DismissalFilter { before: Some(record[0].number), ..of(2.into()) };
    assert_eq!(store.dismissals(&older, 100).await.unwrap()[0].number, record[1].number);
    let json = serde_json::to_value(&record[1]).unwrap();
    assert_eq!((&json["type"], &json["undone_by"]), (&"Counted".into(), &"bob".into()));
}

#[tokio::test]
async fn a_dismissal_that_cannot_be_made_says_why_and_changes_nothing() {
    let (_db, store, stream) = account().await;
    store.dismiss(&at(&[3]), "typing error", "ops").await.unwrap();
    let unknown = Uuid::now_v7();
    for (events, reason, by, words) in [
        (at(&[1, 3]), "r", "b", &["3", "ops", "typing error"][..]),
        (vec![], "r", "b", &["at least one"]),
        (at(&[1]), " ", "b", &["reason"]),
        (at(&[1]), "r", "", &["who"]),
        (at(&[1]), "r\0", "b", &["NUL"]),
        (at(&[1]), &"r".repeat(10_001), "b", &["10000"]),
        (at(&[1]), "r", &"b".repeat(513), &["512"]),
    ] {
        let error = store.dismiss(&events, reason, by).await.unwrap_err();
        assert!(matches!(error, StoreError::InvalidDismissal(_)), "{error:?}");
        for word in words {
            assert!(error.to_string().contains(word), "no `{word}` in: {error}");
        }
    }
    let names = [EventRef::Position(1), EventRef::Position(99), EventRef::Id(unknown)];
    for error in [
        store.dismiss(&names, "r", "b").await.unwrap_err(),
        store.undo_dismissal(&names, "b").await.unwrap_err(),
    ] {
        let StoreError::UnknownEvents { missing } = error else { panic!("{error:?}") };
        assert_eq!(missing, ["99".to_owned(), unknown.to_string()]);
    }
    for (events, by, word) in
        [(at(&[3, 1]), "b", "event 1 is not dismissed"), (at(&[3]), " ", "who")]
    {
        let error = store.undo_dismissal(&events, by).await.unwrap_err();
        assert!(matches!(error, StoreError::InvalidDismissal(_)), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(versions(&store, &stream).await, [1, 2, 4, 5]);
    assert_eq!(history(&store).await.len(), 1);
    // The same event by both of its names is one event.
    let id = store.load_by_positions(&[1]).await.unwrap()[0].id;
    assert_eq!(store.dismiss(&[1.into(), id.into()], "r", "b").await.unwrap().len(), 1);
}

#[tokio::test]
async fn waiting_deliveries_leave_the_queues_and_come_back_where_they_were() {
    let (db, store, _) = account().await;
    let mut conn = db.connect().await;
    conn.execute(sqlx::raw_sql(
        "UPDATE eventfabric.outbox
         SET topic = 'accounts', attempts = 2, last_error = 'e', locked_at = now(), locked_by = 'w'
         WHERE global_position = 2;
         DELETE FROM eventfabric.outbox WHERE global_position = 3;
         INSERT INTO eventfabric.projection_retries
                (projection_name, global_position, outbox_id, attempts, last_error,
                 first_failed_at, topic, plugin_version, next_attempt_at)
         VALUES ('mails', 3, 3, 4, 'no', '2026-01-01', 't', 'v', now() + interval '1 hour'),
                ('search', 3, 3, 1, NULL, '2026-01-02', 't', 'v', now()),
                ('mails', 4, 4, 1, NULL, '2026-01-02', NULL, 'v', now())",
    ))
    .await
    .unwrap();
    let since = "SELECT created_at FROM eventfabric.outbox WHERE global_position = 2";
    let before: DateTime<Utc> = sqlx::query_scalar(since).fetch_one(&mut conn).await.unwrap();

    let done = store.dismiss(&at(&[2, 3]), "r", "b").await.unwrap();
    assert_eq!(done.iter().map(|d| (d.position, d.held)).collect::<Vec<_>>(), [(3, 2), (2, 1)]);
    assert_eq!(outbox(&db).await, [1, 4, 5]);
    let retries = "SELECT count(*) FROM eventfabric.projection_retries";
    assert_eq!(number(&mut conn, retries).await, 1, "those of other events stay");

    store.undo_dismissal(&at(&[2, 3]), "b").await.unwrap();
    assert_eq!(outbox(&db).await, [1, 2, 4, 5], "in its old place, and 3 was not there before");
    let row: (String, i32, String, bool, DateTime<Utc>) = sqlx::query_as(
        "SELECT topic, attempts, last_error, locked_at IS NULL AND locked_by IS NULL, created_at
         FROM eventfabric.outbox WHERE global_position = 2",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(row, ("accounts".to_owned(), 2, "e".to_owned(), true, before));
    let back: Vec<(String, i32, Option<String>, String, bool)> = sqlx::query_as(
        "SELECT projection_name, attempts, last_error, first_failed_at::date::text,
                next_attempt_at <= now()
         FROM eventfabric.projection_retries WHERE global_position = 3 ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let (mails, search) = ("mails".to_owned(), "search".to_owned());
    assert_eq!(
        back,
        [
            (mails, 4, Some("no".to_owned()), "2026-01-01".to_owned(), true),
            (search, 1, None, "2026-01-02".to_owned(), true),
        ]
    );
    let held = "SELECT count(*) FROM eventfabric.dismissed_deliveries";
    assert_eq!(number(&mut conn, held).await, 0);
}

#[tokio::test]
async fn a_dismissal_by_another_program_is_recorded_and_holds_its_deliveries_back() {
    let (db, store, stream) = account().await;
    // As the TypeScript library dismisses, with a login that knows nothing of our tables.
    let mut superuser = PgConnection::connect_with(&db.superuser()).await.unwrap();
    superuser
        .execute(sqlx::raw_sql(
            "BEGIN;
             CREATE ROLE eventfabric_test_other NOLOGIN;
             GRANT USAGE ON SCHEMA eventfabric TO eventfabric_test_other;
             GRANT SELECT, UPDATE ON eventfabric.events TO eventfabric_test_other;
             SET LOCAL ROLE eventfabric_test_other;
             UPDATE eventfabric.events
             SET dismissed_at = '2026-01-01', dismissed_reason = 'theirs', dismissed_by = 'lib'
             WHERE global_position = 2;
             RESET ROLE;
             DROP OWNED BY eventfabric_test_other;
             DROP ROLE eventfabric_test_other;
             COMMIT",
        ))
        .await
        .unwrap();
    assert_eq!(versions(&store, &stream).await, [1, 3, 4, 5]);
    assert_eq!(outbox(&db).await, [1, 3, 4, 5]);
    let record = history(&store).await;
    assert_eq!(
        (record[0].reason.as_deref(), record[0].dismissed_by.as_deref(), record[0].held),
        (Some("theirs"), Some("lib"), 1)
    );
    // Dismissed once more, with another reason: that is another line of the record.
    superuser
        .execute(
            "UPDATE eventfabric.events SET dismissed_at = '2026-01-02', dismissed_reason = 'more'
             WHERE global_position = 2",
        )
        .await
        .unwrap();
    let record = history(&store).await;
    assert_eq!(record.len(), 2);
    assert!(record[0].undone_at.is_none() && record[1].undone_at.is_some());

    store.undo_dismissal(&at(&[2]), "ops").await.unwrap();
    assert_eq!(outbox(&db).await, [1, 2, 3, 4, 5]);
    superuser
        .execute("UPDATE eventfabric.events SET dismissed_at = now() WHERE global_position = 4")
        .await
        .unwrap();
    let login: String =
        sqlx::query_scalar("SELECT session_user::text").fetch_one(&mut superuser).await.unwrap();
    let last = history(&store).await.remove(0);
    assert_eq!(last.dismissed_by, Some(login), "where the program names nobody");
}

#[tokio::test]
async fn snapshots_that_hold_a_dismissed_event_are_dropped_and_older_ones_stay() {
    let (db, store, _) = account().await;
    let mut conn = db.connect().await;
    let put = "INSERT INTO eventfabric.snapshots
                   (aggregate_name, aggregate_id, aggregate_version, snapshot_schema_version, state,
                    tenant_id)
               VALUES ('Account', '1', 3, 1, '{}', 'default'), ('Account', '2', 3, 1, '{}', 'default'),
                      ('Account', '1', 3, 1, '{}', 'acme')
               ON CONFLICT DO NOTHING";
    let count = "SELECT count(*) FROM eventfabric.snapshots";
    conn.execute(put).await.unwrap();
    store.dismiss(&at(&[4]), "r", "b").await.unwrap();
    assert_eq!(number(&mut conn, count).await, 3, "made before that event");
    store.dismiss(&at(&[3]), "r", "b").await.unwrap();
    assert_eq!(number(&mut conn, count).await, 2, "that of this stream alone");
    conn.execute(put).await.unwrap();
    store.undo_dismissal(&at(&[3]), "b").await.unwrap();
    assert_eq!(number(&mut conn, count).await, 2, "it lacks the event");
}

#[tokio::test]
async fn a_dismissal_waits_for_the_worker_that_delivers_the_event() {
    let (db, store, _) = account().await;
    let mut worker = db.connect().await;
    let mut tx = worker.begin().await.unwrap();
    tx.execute("SELECT FROM eventfabric.outbox WHERE global_position = 2 FOR UPDATE")
        .await
        .unwrap();
    let dismissing = {
        let store = store.clone();
        tokio::spawn(async move { store.dismiss(&at(&[2]), "r", "b").await })
    };
    let mut eyes = db.connect().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    crate::runners::until("the dismissal waits", async || number(&mut eyes, waiting).await == 1)
        .await;
    // Readers of the log do not wait for who waits.
    let writing = "SELECT count(*) FROM pg_locks
                   WHERE relation = 'eventfabric.events'::regclass AND mode = 'RowExclusiveLock'
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(number(&mut eyes, writing).await, 0);
    // The worker has delivered it, and one projection is to try it again.
    tx.execute(sqlx::raw_sql(
        "DELETE FROM eventfabric.outbox WHERE global_position = 2;
         INSERT INTO eventfabric.projection_retries
                (projection_name, global_position, outbox_id, attempts)
         VALUES ('mails', 2, 2, 1)",
    ))
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let done = dismissing.await.unwrap().unwrap();
    assert_eq!(done[0].held, 1, "the retry that the worker left behind");
    let retries = "SELECT count(*) FROM eventfabric.projection_retries";
    assert_eq!(number(&mut eyes, retries).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_dismiss_an_event_at_once_one_does_and_the_others_are_told() {
    let (_db, store, stream) = account().await;
    let tries = (0..20).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let events = if n % 2 == 0 { at(&[2, 3]) } else { at(&[3, 2]) };
            store.dismiss(&events, "r", &format!("by {n}")).await
        })
    });
    let answers = futures::future::try_join_all(tries).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::InvalidDismissal(_)), "{error:?}");
    }
    assert_eq!(versions(&store, &stream).await, [1, 4, 5]);
    assert_eq!(history(&store).await.len(), 2);
}

#[tokio::test]
async fn dead_letters_of_a_dismissed_event_wait_for_the_end_of_its_dismissal() {
    let (db, store, _) = account().await;
    let mut conn = db.connect().await;
    conn.execute(
        "INSERT INTO eventfabric.outbox_dead_letters
             (outbox_id, global_position, attempts, projection_name)
         VALUES (2, 2, 8, 'mails'), (3, 3, 8, 'mails')",
    )
    .await
    .unwrap();
    store.dismiss(&at(&[2]), "r", "b").await.unwrap();
    assert_eq!(requeue(store.pool(), &LetterFilter::default()).await.unwrap(), 1);
    store.undo_dismissal(&at(&[2]), "b").await.unwrap();
    assert_eq!(requeue(store.pool(), &LetterFilter::default()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_tenant_dismisses_its_own_events_alone() {
    let (_db, store, _) = account().await;
    let acme = store.tenant(&"acme".parse::<TenantId>().unwrap());
    let own = StreamId::new("Account", "1").in_tenant("acme");
    store.append(own, ExpectedVersion::NoStream, events(1)).await.unwrap();
    let error = acme.dismiss(&at(&[6, 1]), "r", "b").await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownEvents { missing } if *missing == ["1"]));
    store.dismiss(&at(&[1]), "r", "b").await.unwrap();
    assert!(acme.undo_dismissal(&at(&[1]), "b").await.is_err());
    assert!(acme.dismissals(&DismissalFilter::default(), 10).await.unwrap().is_empty());
    let others = DismissalFilter { tenant: Some("default".into()), ..Default::default() };
    assert!(acme.dismissals(&others, 10).await.unwrap().is_empty());
    acme.dismiss(&at(&[6]), "r", "b").await.unwrap();
    assert_eq!(acme.dismissals(&others, 10).await.unwrap().len(), 1);
}

#[test]
fn an_event_is_named_by_position_or_id() {
    let id = Uuid::now_v7();
    assert_eq!("17".parse(), Ok(EventRef::Position(17)));
    assert_eq!(id.to_string().parse(), Ok(EventRef::Id(id)));
    for wrong in ["", "x", "1.5", "99999999999999999999"] {
        let error = wrong.parse::<EventRef>().unwrap_err();
        assert!(error.to_string().contains("position or its id"), "{wrong}");
    }
}
