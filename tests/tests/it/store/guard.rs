//! What the database itself keeps: the log is append-only, and inline plugins are not passed by.

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::StoreError;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{all, events, number, rows, store, versions};

#[tokio::test]
async fn the_log_cannot_be_changed_not_even_by_a_superuser() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::Any, events(3)).await.unwrap();
    let mut superuser = PgConnection::connect_with(&db.superuser()).await.unwrap();
    let mut owner = db.connect().await;
    for sql in [
        "UPDATE eventfabric.events SET payload = '{}'",
        "UPDATE eventfabric.events SET type = 'Other', dismissed_at = now()",
        "UPDATE eventfabric.events SET aggregate_version = aggregate_version + 10",
        "UPDATE eventfabric.events SET global_position = 100 WHERE global_position = 1",
        "UPDATE eventfabric.events SET tenant_id = 'acme'",
        "UPDATE eventfabric.events SET event_id = gen_random_uuid()",
        "UPDATE eventfabric.events SET aggregate_name = 'Other'",
        "UPDATE eventfabric.events SET aggregate_id = '2'",
        "UPDATE eventfabric.events SET version = 2",
        "UPDATE eventfabric.events SET occurred_at = occurred_at + interval '1 microsecond'",
        "UPDATE eventfabric.events SET correlation_id = 'c'",
        "UPDATE eventfabric.events SET causation_id = 'c'",
        // The same number to JSON, but not the same text.
        "UPDATE eventfabric.events
         SET payload = jsonb_set(payload, '{n}', to_jsonb((payload->>'n')::numeric + 0.00))",
        "DELETE FROM eventfabric.events",
        "DELETE FROM eventfabric.events WHERE aggregate_version = 3",
        "TRUNCATE eventfabric.events",
        "TRUNCATE eventfabric.events CASCADE",
    ] {
        for conn in [&mut superuser, &mut owner] {
            let error = conn.execute(sql).await.unwrap_err();
            let error = error.as_database_error().unwrap();
            assert_eq!(error.code().as_deref(), Some("23001"), "{sql}: {error}");
            assert!(error.message().contains("append-only"), "{sql}: {error}");
        }
    }
    assert_eq!(versions(&store, &stream).await, [1, 2, 3]);
}

#[tokio::test]
async fn an_event_can_be_dismissed_and_taken_back_but_not_changed_on_the_way() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::Any, events(3)).await.unwrap();
    let mut conn = db.connect().await;
    conn.execute(
        "UPDATE eventfabric.events
         SET dismissed_at = now(), dismissed_reason = 'typing error', dismissed_by = 'ops'
         WHERE aggregate_version = 2",
    )
    .await
    .unwrap();
    assert_eq!(versions(&store, &stream).await, [1, 3]);
    // Its version stays taken.
    let next = store.append(stream.clone(), ExpectedVersion::Exact(3), events(1)).await.unwrap();
    assert_eq!(next.events[0].version, 4);

    let both = "UPDATE eventfabric.events SET dismissed_at = NULL, payload = '{}'
                WHERE aggregate_version = 2";
    assert!(conn.execute(both).await.unwrap_err().to_string().contains("append-only"));
    conn.execute("UPDATE eventfabric.events SET dismissed_at = NULL WHERE aggregate_version = 2")
        .await
        .unwrap();
    assert_eq!(versions(&store, &stream).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn maintenance_is_possible_for_who_says_so_in_that_transaction_alone() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::Any, events(3)).await.unwrap();
    let mut conn = db.connect().await;
    conn.execute(
        "BEGIN; SET LOCAL eventfabric.maintenance = 'on';
         DELETE FROM eventfabric.events WHERE aggregate_version = 3; COMMIT",
    )
    .await
    .unwrap();
    assert_eq!(versions(&store, &stream).await, [1, 2]);
    assert!(conn.execute("DELETE FROM eventfabric.events").await.is_err(), "it has ended");
}

#[tokio::test]
async fn a_version_and_an_id_exist_once_whoever_writes() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    store.append(stream.clone(), ExpectedVersion::Any, events(1)).await.unwrap();
    let event = all(&store, &stream).await.remove(0);
    let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
    for (id, version, constraint) in [
        (uuid::Uuid::now_v7(), 1, "events_tenant_aggregate_version_key"),
        (event.id, 2, "events_event_id_key"),
    ] {
        let error = sqlx::query(
            "INSERT INTO eventfabric.events
                 (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
             VALUES ($1, 'Account', '1', $2, 'T', 1, '{}')",
        )
        .bind(id)
        .bind(version)
        .execute(&mut conn)
        .await
        .unwrap_err();
        assert_eq!(error.as_database_error().unwrap().constraint(), Some(constraint));
    }
}

/// Registers a plugin of a mode behind the host's back.
async fn register(conn: &mut PgConnection, name: &str, mode: &str) {
    sqlx::query(
        "INSERT INTO eventfabric.plugin_versions (sha256, plugin_name, bytes, description)
         VALUES ('abc', $1, '', '{}')",
    )
    .bind(name)
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO eventfabric.projections (projection_name, mode, active_sha256)
         VALUES ($1, $2, 'abc')",
    )
    .bind(name)
    .bind(mode)
    .execute(conn)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_writer_without_the_inline_plugins_of_the_database_is_refused() {
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
    register(&mut conn, "follows", "catch-up").await;
    register(&mut conn, "follows_too", "async").await;
    store.append(stream.clone(), ExpectedVersion::Any, events(1)).await.unwrap();

    register(&mut conn, "inline_one", "inline").await;
    for expected in [ExpectedVersion::Any, ExpectedVersion::Exact(1), ExpectedVersion::NoStream] {
        let error = store.append(stream.clone(), expected, events(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::InlineMissing), "{error:?}");
        assert!(error.to_string().contains("append through the host"), "{error}");
    }
    assert_eq!(rows(&db).await, (1, 1, 1), "nothing is written past an inline plugin");

    conn.execute("DELETE FROM eventfabric.projections WHERE mode = 'inline'").await.unwrap();
    store.append(stream, ExpectedVersion::Exact(1), events(1)).await.unwrap();
}

#[tokio::test]
async fn an_append_without_inline_plugins_is_one_transaction_of_one_statement() {
    let (db, store) = store().await;
    let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
    // A transaction that the store begins has a time-out of its own; a lone statement has none.
    conn.execute(
        "CREATE TABLE public.seen (timeout text);
         GRANT ALL ON public.seen TO PUBLIC;
         CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO public.seen VALUES (current_setting('statement_timeout'));
             RETURN NULL;
         END $$;
         CREATE TRIGGER see AFTER INSERT ON eventfabric.events EXECUTE FUNCTION public.see()",
    )
    .await
    .unwrap();
    for n in 0..3 {
        let stream = StreamId::new("Account", format!("{n}"));
        store.append(stream, ExpectedVersion::NoStream, events(2)).await.unwrap();
    }
    assert_eq!(number(&mut conn, "SELECT count(*) FROM public.seen").await, 3);
    let begun = "SELECT count(*) FROM public.seen WHERE timeout <> '0'";
    assert_eq!(number(&mut conn, begun).await, 0, "one round trip and no transaction around it");
}
