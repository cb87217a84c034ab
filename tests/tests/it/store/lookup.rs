//! Events by name, and what there is of them.

use eventfabric::event::{Event, ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, EventStore, StoreError};
use serde_json::json;
use sqlx::Executor as _;
use uuid::Uuid;

use super::{event, events, store};

async fn appended(store: &EventStore, id: &str, n: i64) -> Vec<(i64, Uuid)> {
    let stream = StreamId::new("Account", id);
    let appended = store.append(stream, ExpectedVersion::Any, events(n)).await.unwrap();
    appended.events.iter().map(|event| (event.position, event.id)).collect()
}

fn unknown(error: StoreError) -> Vec<String> {
    match error {
        StoreError::UnknownEvents { missing } => missing,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_are_loaded_by_name_in_the_order_asked_for() {
    let (db, store) = store().await;
    let known = appended(&store, "1", 2300).await;
    let wanted: Vec<(i64, Uuid)> = known.iter().rev().chain(&known[..2]).copied().collect();
    let names = |events: Vec<Event>| -> Vec<(i64, Uuid)> {
        events.iter().map(|event| (event.position, event.id)).collect()
    };
    let positions: Vec<i64> = wanted.iter().map(|(position, _)| *position).collect();
    assert_eq!(names(store.load_by_positions(&positions).await.unwrap()), wanted);
    let ids: Vec<Uuid> = wanted.iter().map(|(_, id)| *id).collect();
    assert_eq!(names(store.load_by_ids(&ids).await.unwrap()), wanted);
    assert!(store.load_by_positions(&[]).await.unwrap().is_empty());
    assert!(store.load_by_ids(&[]).await.unwrap().is_empty());

    // One that is asked for by name is given, dismissed or not, and says so.
    db.connect()
        .await
        .execute("UPDATE eventfabric.events SET dismissed_at = now() WHERE aggregate_version = 1")
        .await
        .unwrap();
    let first = store.load_by_positions(&[known[0].0, known[1].0]).await.unwrap();
    assert!(first[0].dismissed_at.is_some() && first[1].dismissed_at.is_none());
    assert!(store.load_by_ids(&[known[0].1]).await.unwrap()[0].dismissed_at.is_some());
}

#[tokio::test]
async fn names_that_are_in_no_event_are_said() {
    let (_db, store) = store().await;
    let (position, id) = appended(&store, "1", 1).await[0];
    let error = store.load_by_positions(&[position + 7, position, -1]).await.unwrap_err();
    assert_eq!(unknown(error), [(position + 7).to_string(), "-1".to_owned()]);
    let other = Uuid::now_v7();
    let error = store.load_by_ids(&[id, other]).await.unwrap_err();
    assert!(error.to_string().contains(&other.to_string()), "{error}");
    assert_eq!(unknown(error), [other.to_string()]);
    let many: Vec<i64> = (1000..1015).collect();
    let error = store.load_by_positions(&many).await.unwrap_err().to_string();
    assert!(error.ends_with("1008, 1009 and 5 more"), "{error}");
}

#[tokio::test]
async fn statistics_count_types_and_aggregates() {
    let (db, store) = store().await;
    let nothing = store.statistics(None).await.unwrap();
    assert_eq!((nothing.total.events, nothing.streams), (0, 0));
    assert!(nothing.types.is_empty() && nothing.aggregates.is_empty());

    let append = |aggregate: &str, id: &str, tenant: &str, events: Vec<NewEvent>| Append {
        stream: StreamId::new(aggregate, id).in_tenant(tenant),
        expected: ExpectedVersion::NoStream,
        topic: None,
        events,
    };
    let newer = NewEvent { schema_version: 3, ..event("Opened", 3) };
    store
        .append_all(vec![
            append("Account", "1", "default", vec![event("Opened", 1), event("Closed", 1)]),
            append("Account", "2", "default", vec![newer]),
            append("Order", "1", "acme", vec![event("Opened", 1)]),
        ])
        .await
        .unwrap();
    db.connect()
        .await
        .execute("UPDATE eventfabric.events SET dismissed_at = now() WHERE type = 'Closed'")
        .await
        .unwrap();

    let all = store.statistics(None).await.unwrap();
    assert_eq!((all.total.events, all.total.dismissed, all.streams), (4, 1, 3));
    assert_eq!((all.total.first_position, all.total.last_position), (Some(1), Some(4)));
    let types: Vec<_> = all
        .types
        .iter()
        .map(|t| (t.event_type.as_str(), t.tally.events, t.tally.dismissed, &t.schema_versions[..]))
        .collect();
    assert_eq!(types, [("Closed", 1, 1, &[1][..]), ("Opened", 3, 0, &[1, 3])]);
    assert_eq!(
        (all.types[1].tally.first_position, all.types[1].tally.last_position),
        (Some(1), Some(4))
    );
    let aggregates: Vec<_> = all
        .aggregates
        .iter()
        .map(|a| (a.aggregate.as_str(), a.streams, a.tally.events, a.tally.dismissed))
        .collect();
    assert_eq!(aggregates, [("Account", 2, 3, 1), ("Order", 1, 1, 0)]);
    let json = serde_json::to_value(&all).unwrap();
    assert_eq!(json["events"], 4);
    assert_eq!(json["types"][0]["type"], "Closed");
    assert_eq!(json["types"][0]["events"], 1);

    let acme = store.statistics(Some("acme")).await.unwrap();
    assert_eq!((acme.total.events, acme.streams, acme.types.len()), (1, 1, 1));
    assert_eq!(acme.aggregates.len(), 1, "nothing of another tenant");
}

#[tokio::test]
async fn the_backlog_tells_topics_claims_retries_and_dead_letters() {
    let (db, store) = store().await;
    let nothing = store.backlog(None).await.unwrap();
    assert_eq!((nothing.rows, nothing.oldest_at), (0, None));
    let append = |id: &str, tenant: &str, topic: Option<&str>, n: i64| Append {
        stream: StreamId::new("Account", id).in_tenant(tenant),
        expected: ExpectedVersion::NoStream,
        topic: topic.map(str::to_owned),
        events: events(n),
    };
    store
        .append_all(vec![
            append("1", "default", Some("accounts"), 3),
            append("2", "default", None, 1),
            append("3", "acme", Some("accounts"), 1),
        ])
        .await
        .unwrap();
    db.connect()
        .await
        .execute(sqlx::raw_sql(
            "UPDATE eventfabric.outbox SET locked_at = now(), locked_by = 'w' WHERE id = 1;
             INSERT INTO eventfabric.projection_retries
                    (projection_name, global_position, outbox_id, attempts, tenant_id)
             VALUES ('mails', 2, 2, 1, 'default'), ('mails', 5, 5, 1, 'acme');
             INSERT INTO eventfabric.outbox_dead_letters
                    (outbox_id, global_position, attempts, projection_name)
             VALUES (1, 1, 8, 'mails'), (1, 1, 5, NULL)",
        ))
        .await
        .unwrap();

    let backlog = store.backlog(None).await.unwrap();
    let topics: Vec<_> =
        backlog.topics.iter().map(|t| (t.topic.as_deref(), t.rows, t.claimed)).collect();
    assert_eq!(topics, [(None, 1, 0), (Some("accounts"), 4, 1)]);
    assert_eq!(backlog.rows, 5);
    assert_eq!(backlog.oldest_at, backlog.topics.iter().map(|t| t.oldest_at).min());
    assert!(backlog.oldest_seconds.is_some_and(|seconds| seconds >= 0.0));
    let projections: Vec<_> = backlog
        .projections
        .iter()
        .map(|p| (p.projection.as_deref(), p.retries, p.dead_letters))
        .collect();
    assert_eq!(projections, [(Some("mails"), 2, 1), (None, 0, 1)]);

    let acme = store.backlog(Some("acme")).await.unwrap();
    assert_eq!((acme.rows, acme.topics.len(), acme.projections.len()), (1, 1, 1));
    let json = json!(serde_json::to_value(&acme).unwrap()["topics"][0]["topic"]);
    assert_eq!(json, "accounts");
}
