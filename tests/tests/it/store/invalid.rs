//! What can't be stored is refused in words that name it, before anything is written.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::StoreError;
use serde_json::value::RawValue;

use super::{event, rows, store};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// The error for one event, which must not be the database's.
async fn refused(stream: StreamId, events: Vec<NewEvent>) -> String {
    let (db, store) = store().await;
    let error = store.append(stream, ExpectedVersion::Any, events).await.unwrap_err();
    assert!(
        matches!(error, StoreError::InvalidEvent { .. } | StoreError::InvalidAppend(_)),
        "{error:?}"
    );
    assert_eq!(rows(&db).await, (0, 0, 0));
    error.to_string()
}

async fn refused_event(change: impl FnOnce(&mut NewEvent)) -> String {
    let mut second = event("Counted", 2);
    change(&mut second);
    let text = refused(StreamId::new("Account", "1"), vec![event("Counted", 1), second]).await;
    assert!(text.starts_with("event 1 (") && text.contains("Account/1"), "which one: {text}");
    text
}

#[tokio::test]
async fn a_stream_without_a_name_is_refused() {
    for (stream, what) in [
        (StreamId::new("", "1"), "aggregate"),
        (StreamId::new("Account", ""), "id"),
        (StreamId::new("Account", "1").in_tenant(""), "tenant"),
    ] {
        let text = refused(stream, vec![event("T", 1)]).await;
        assert!(text.contains(&format!("the {what} of a stream")), "{text}");
    }
}

#[tokio::test]
async fn a_name_of_513_bytes_is_refused_and_one_of_512_is_stored() {
    let long = "ü".repeat(256);
    for (stream, what) in [
        (StreamId::new(format!("{long}x"), "1"), "aggregate"),
        (StreamId::new("Account", format!("{long}x")), "id"),
        (StreamId::new("Account", "1").in_tenant(format!("{long}x")), "tenant"),
    ] {
        let text = refused(stream, vec![event("T", 1)]).await;
        assert!(
            text.contains(&format!("the {what} of a stream")) && text.contains("513"),
            "{text}"
        );
    }
    let (_db, store) = store().await;
    // Letters that do not compress: an index entry has them all.
    let mut state = 1_u64;
    let mut noise = || -> String {
        (0..512)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'!' + (state >> 33) as u8 % 90)
            })
            .collect()
    };
    let stream = StreamId::new(noise(), noise()).in_tenant(noise());
    store.append(stream.clone(), ExpectedVersion::NoStream, vec![event("T", 1)]).await.unwrap();
    assert_eq!(super::versions(&store, &stream).await, [1]);
}

#[tokio::test]
async fn nul_is_refused_wherever_postgresql_cannot_store_it() {
    for stream in [
        StreamId::new("Acc\0unt", "1"),
        StreamId::new("Account", "\0"),
        StreamId::new("Account", "1").in_tenant("a\0"),
    ] {
        let text = refused(stream, vec![event("T", 1)]).await;
        assert!(text.contains("NUL"), "{text}");
    }
    for text in [
        refused_event(|event| event.event_type = "Co\0unted".into()).await,
        refused_event(|event| event.correlation_id = Some("a\0b".into())).await,
        refused_event(|event| event.causation_id = Some("\0".into())).await,
        refused_event(|event| event.payload = raw(r#"{"deep":[{"a":"b\u0000c"}]}"#)).await,
        refused_event(|event| event.payload = raw(r#"{"\u0000":1}"#)).await,
    ] {
        assert!(text.contains("NUL") || text.contains("\\u0000"), "{text}");
    }
}

#[tokio::test]
async fn a_topic_with_nul_is_refused() {
    let (db, store) = store().await;
    let append = eventfabric::store::Append {
        stream: StreamId::new("Account", "1"),
        expected: ExpectedVersion::Any,
        topic: Some("acc\0unts".into()),
        events: vec![event("T", 1)],
    };
    let error = store.append_all(vec![append]).await.unwrap_err();
    assert!(matches!(error, StoreError::InvalidAppend(_)), "{error:?}");
    assert!(error.to_string().contains("topic"), "{error}");
    assert_eq!(rows(&db).await, (0, 0, 0));
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_refused() {
    for payload in ["[1, 2]", "null", "1", "\"text\"", "true"] {
        let text = refused_event(|event| event.payload = raw(payload)).await;
        assert!(text.contains("must be a JSON object"), "{payload}: {text}");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_refused_as_jsonb_cannot_hold_it() {
    for payload in [r#"{"a":"\ud83d"}"#, r#"{"a":"\ude00"}"#, r#"{"a":"\uD83Dx\uDE00"}"#] {
        let text = refused_event(|event| event.payload = raw(payload)).await;
        assert!(text.contains("surrogate"), "{payload}: {text}");
    }
    let (_db, store) = store().await;
    for payload in [r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\\ud83d"}"#] {
        let event = NewEvent { payload: raw(payload), ..event("T", 1) };
        let stream = StreamId::new("Account", "1");
        store.append(stream, ExpectedVersion::Any, vec![event]).await.unwrap();
    }
}

#[tokio::test]
async fn a_payload_that_contradicts_its_event_is_refused() {
    let text = refused_event(|event| event.payload = raw(r#"{"type":"Other"}"#)).await;
    assert!(text.contains("Other"), "{text}");
    let text = refused_event(|event| event.payload = raw(r#"{"version":"1"}"#)).await;
    assert!(text.contains("version"), "{text}");
}

#[tokio::test]
async fn an_event_without_a_type_or_a_schema_version_is_refused() {
    let text = refused_event(|event| event.event_type = String::new()).await;
    assert!(text.contains("needs a type"), "{text}");
    for version in [0, -1] {
        let text = refused_event(|event| event.schema_version = version).await;
        assert!(text.contains("start at 1"), "{text}");
    }
}

#[tokio::test]
async fn an_append_of_nothing_is_refused() {
    let text = refused(StreamId::new("Account", "1"), Vec::new()).await;
    assert!(text.contains("at least one event"), "{text}");
}
