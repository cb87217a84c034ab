//! Appends against the schemas that are registered for their events.

use std::sync::Arc;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{
    EventStore, SchemaError, StoreError, enforce_schema, register_schema, remove_schema, schemas,
};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{all, event, rows, store, with_ids};

/// A payload of `Counted` is a small number and nothing else.
fn counted() -> Value {
    json!({
        "type": "object",
        "properties": {"n": {"type": "integer", "maximum": 100}},
        "required": ["n"],
        "additionalProperties": false,
    })
}

async fn register(store: &EventStore, schema: &Value, enforced: bool) {
    register_schema(store.pool(), "Counted", 1, schema, enforced, Some("ada")).await.unwrap();
}

fn stream(id: impl std::fmt::Display) -> StreamId {
    StreamId::new("Account", id.to_string())
}

async fn append(store: &EventStore, id: usize, n: i64) -> Result<(), StoreError> {
    let appended = store.append(stream(id), ExpectedVersion::Any, vec![event("Counted", n)]).await;
    appended.map(drop)
}

fn is_misfit(appended: Result<(), StoreError>) {
    match appended {
        Err(StoreError::InvalidEvent { index: 0, reason, .. }) => {
            assert!(
                reason.contains("/n: ") && reason.contains("schemas show Counted 1"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_schema_holds_for_every_store_from_the_moment_that_it_is_enforced() {
    let (db, store) = store().await;
    // Each of them knows another state of the schemas.
    let stores = [
        store.clone(),
        EventStore::new(db.pool(2).await),
        EventStore::new(db.pool(2).await).with_group_commit(),
    ];
    for (id, store) in stores.iter().enumerate() {
        append(store, id, 1000).await.unwrap();
    }
    register(&store, &counted(), false).await;
    for (id, store) in stores.iter().enumerate() {
        append(store, id, 1000).await.unwrap();
    }
    assert!(enforce_schema(store.pool(), "Counted", 1, true).await.unwrap());
    let before = rows(&db).await;
    for (id, store) in stores.iter().enumerate() {
        is_misfit(append(store, id, 1000).await);
        let new = vec![event("Other", 1000), event("Counted", 1000)];
        let several = store.append(stream(id), ExpectedVersion::Any, new).await;
        assert!(matches!(several, Err(StoreError::InvalidEvent { index: 1, .. })), "{several:?}");
    }
    assert_eq!(rows(&db).await, before);
    for (id, store) in stores.iter().enumerate() {
        append(store, id, 1).await.unwrap();
        // Another version of the payload, and another type.
        let next = NewEvent { schema_version: 2, ..event("Counted", 1000) };
        store
            .append(stream(id), ExpectedVersion::Any, vec![next, event("Other", 1)])
            .await
            .unwrap();
    }
    // What was refused is let in as soon as the schema is gone, by those who knew it, too.
    assert!(remove_schema(store.pool(), "Counted", 1).await.unwrap());
    for (id, store) in stores.iter().enumerate() {
        append(store, id, 1000).await.unwrap();
    }
    assert!(!remove_schema(store.pool(), "Counted", 1).await.unwrap());
    assert!(!enforce_schema(store.pool(), "Counted", 1, true).await.unwrap());
}

#[tokio::test]
async fn one_that_does_not_fit_keeps_nothing_from_the_others_of_its_group() {
    let (_db, store) = store().await;
    let store = store.with_group_commit();
    register(&store, &counted(), true).await;
    let store = Arc::new(store);
    let appends = (0..40_usize).map(|n| {
        let store = store.clone();
        async move { append(&store, n, if n % 4 == 0 { 1000 } else { 1 }).await }
    });
    for (n, appended) in join_all(appends).await.into_iter().enumerate() {
        match n % 4 {
            0 => is_misfit(appended),
            _ => appended.unwrap(),
        }
    }
    let mut written = 0;
    for n in 0..40 {
        written += all(&store, &stream(n)).await.len();
    }
    assert_eq!(written, 30);
}

#[tokio::test]
async fn a_registration_is_for_ever_and_a_second_one_the_same() {
    let (_db, store) = store().await;
    register(&store, &counted(), true).await;
    register(&store, &counted(), true).await;
    let found = schemas(store.pool(), Some("Counted"), None).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].schema, found[0].enforced), (&counted(), true));
    assert_eq!(found[0].registered_by.as_deref(), Some("ada"));
    let other = register_schema(store.pool(), "Counted", 1, &json!({}), false, None).await;
    assert!(matches!(other, Err(SchemaError::Taken { .. })), "{other:?}");
    is_misfit(append(&store, 1, 1000).await);
    for (event_type, version, schema) in
        [("Counted", 2, json!({"type": "strange"})), ("", 1, json!({})), ("Counted", 0, json!({}))]
    {
        let wrong = register_schema(store.pool(), event_type, version, &schema, true, None).await;
        assert!(matches!(wrong, Err(SchemaError::Invalid(_))), "{wrong:?}");
    }
    assert_eq!(schemas(store.pool(), None, None).await.unwrap().len(), 1);
}

/// A client that did not hear the answer asks again, and what it wrote is there: that it would be refused
/// today changes nothing.
#[tokio::test]
async fn what_is_in_the_log_already_is_answered_as_the_first_time() {
    let (_db, store) = store().await;
    let mut new = with_ids(&[uuid::Uuid::from_u128(7)]);
    new[0].payload = event("Counted", 1000).payload;
    let first = store.append(stream(1), ExpectedVersion::NoStream, new.clone()).await.unwrap();
    register(&store, &counted(), true).await;
    is_misfit(append(&store, 2, 1000).await);
    let again = store.append(stream(1), ExpectedVersion::NoStream, new).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.events, first.events);
}

/// A failover to a server that lags behind brings an earlier state back.
#[tokio::test]
async fn a_state_that_has_gone_back_is_taken_as_it_is() {
    let (_db, store) = store().await;
    register(&store, &counted(), true).await;
    is_misfit(append(&store, 1, 1000).await);
    let back = "WITH s AS (DELETE FROM eventfabric.event_schemas)
                UPDATE eventfabric.event_schemas_generation SET generation = 0";
    sqlx::query(back).execute(store.pool()).await.unwrap();
    append(&store, 1, 1000).await.unwrap();
}

/// A row that somebody has written past the host.
#[tokio::test]
async fn a_schema_that_is_none_is_named_and_lets_nothing_in() {
    let (_db, store) = store().await;
    register(&store, &counted(), true).await;
    let broken = "WITH s AS (UPDATE eventfabric.event_schemas SET schema = '{\"type\": 1}')
                  UPDATE eventfabric.event_schemas_generation SET generation = generation + 1";
    sqlx::query(broken).execute(store.pool()).await.unwrap();
    let refused = append(&store, 1, 1).await;
    assert!(matches!(&refused, Err(StoreError::UnusableSchema { .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("schemas remove"));
    remove_schema(store.pool(), "Counted", 1).await.unwrap();
    append(&store, 1, 1).await.unwrap();
}
