//! What is set once for all events of a session.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::session::SessionError;
use serde_json::json;

use super::{Account, Bank, BankEvent, bank, opened, stream};
use crate::store::all;

#[tokio::test]
async fn correlation_causation_and_metadata_are_set_once_a_session() {
    let (_db, factory) = bank().await;
    let request = factory
        .clone()
        .correlated("request-7")
        .caused_by("command-1")
        .with_metadata("user", "ada")
        .with_metadata("roles", json!(["teller"]));
    let mut session = request.session();
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Ada");
    session[account].close();
    let own = NewEvent {
        causation_id: Some("itself".to_owned()),
        ..NewEvent::new("Noted", &json!({})).unwrap()
    };
    session.append("Note", "1", ExpectedVersion::Any, [own]).unwrap();
    session.save().await.unwrap();
    let mut events = all(factory.store(), &stream("1")).await;
    events.extend(all(factory.store(), &StreamId::new("Note", "1")).await);
    assert_eq!(events.len(), 3);
    for event in &events {
        assert_eq!(event.correlation_id.as_deref(), Some("request-7"));
        let metadata = serde_json::Value::from(event.metadata());
        assert_eq!(metadata, json!({"user": "ada", "roles": ["teller"]}));
    }
    let causes: Vec<_> = events.iter().map(|e| e.causation_id.as_deref().unwrap()).collect();
    assert_eq!(causes, ["command-1", "command-1", "itself"]);
    let (loaded, _) = factory.repository::<Account>().load("1").await.unwrap();
    assert_eq!((loaded.owner.as_str(), loaded.closed), ("Ada", true));

    let mut session = request.session();
    let clash = NewEvent::new("Noted", &json!({"metadata": 1})).unwrap();
    session.append("Note", "2", ExpectedVersion::Any, [clash]).unwrap();
    let error = session.save().await.unwrap_err();
    assert!(matches!(&error, SessionError::Encode { event_type, .. } if event_type == "Noted"));
}

#[tokio::test]
async fn a_session_sees_the_streams_of_its_tenant_only() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 3).await;
    let acme = factory.clone().in_tenant("acme");
    let mut session = acme.session();
    assert_eq!(session.find::<Account>("1").await.unwrap(), None);
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Grace");
    let saved = session.save().await.unwrap();
    assert_eq!(saved.streams[0].stream, stream("1").in_tenant("acme"));
    assert_eq!(factory.repository::<Account>().load("1").await.unwrap().0.owner, "Ada");
    assert_eq!(acme.repository::<Account>().load("1").await.unwrap().0.owner, "Grace");
}

#[tokio::test]
async fn events_bear_the_topic_of_their_aggregate() {
    let (db, factory) = bank().await;
    let mut session = factory.session();
    let bank = session.start_stream::<Bank>("1").unwrap();
    session.raise(bank, BankEvent::AccountAdded);
    let account = session.start_stream::<Account>("1").unwrap();
    session[account].open("Ada");
    let raw = || [NewEvent::new("AccountAdded", &json!({})).unwrap()];
    session.append("Bank", "2", ExpectedVersion::Any, raw()).unwrap();
    session.append("Unknown", "1", ExpectedVersion::Any, raw()).unwrap();
    session.save().await.unwrap();
    let topics: Vec<Option<String>> =
        sqlx::query_scalar("SELECT topic FROM eventfabric.outbox ORDER BY id")
            .fetch_all(&mut db.connect().await)
            .await
            .unwrap();
    assert_eq!(topics, [Some("banks".to_owned()), None, Some("banks".to_owned()), None]);
}
