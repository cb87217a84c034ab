//! The same event ids again: a writer that got no answer asks once more.

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::{Append, StoreError};
use uuid::Uuid;

use super::{event, events, rows, store, with_ids};

fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

#[tokio::test]
async fn the_same_ids_again_answer_as_the_first_time_and_write_nothing() {
    let (db, store) = store().await;
    let (stream, ids) = (StreamId::new("Account", "1"), ids(3));
    let first =
        store.append(stream.clone(), ExpectedVersion::NoStream, with_ids(&ids)).await.unwrap();
    assert!(!first.repeated);
    store.append(stream.clone(), ExpectedVersion::Exact(3), events(1)).await.unwrap();
    let before = rows(&db).await;
    for expected in [
        ExpectedVersion::Any,
        ExpectedVersion::NoStream,
        ExpectedVersion::StreamExists,
        ExpectedVersion::Exact(0),
        ExpectedVersion::Exact(3),
        ExpectedVersion::Exact(4),
        ExpectedVersion::Exact(99),
    ] {
        let again = store.append(stream.clone(), expected, with_ids(&ids)).await.unwrap();
        assert!(again.repeated, "{expected}");
        assert_eq!(again.events, first.events, "{expected}");
        assert_eq!(rows(&db).await, before, "{expected}");
    }
}

#[tokio::test]
async fn an_append_of_several_streams_is_recognised_as_a_whole() {
    let (db, store) = store().await;
    let ids = ids(4);
    let append = |id: &str, ids: &[Uuid]| Append {
        stream: StreamId::new("Account", id),
        expected: ExpectedVersion::NoStream,
        topic: None,
        events: with_ids(ids),
    };
    let appends = || vec![append("b", &ids[..2]), append("a", &ids[2..])];
    let first = store.append_all(appends()).await.unwrap();
    let again = store.append_all(appends()).await.unwrap();
    assert_eq!((again.repeated, again.events), (true, first.events));
    assert_eq!(rows(&db).await, (4, 4, 4));
}

#[tokio::test]
async fn ids_that_overlap_an_earlier_append_in_part_are_refused() {
    let (db, store) = store().await;
    let (stream, ids) = (StreamId::new("Account", "1"), ids(3));
    store.append(stream.clone(), ExpectedVersion::Any, with_ids(&ids[..2])).await.unwrap();
    for some in [&ids[1..], &[ids[2], ids[0]]] {
        let error =
            store.append(stream.clone(), ExpectedVersion::Any, with_ids(some)).await.unwrap_err();
        let StoreError::DuplicateEvent { id, stream: of, version } = &error else {
            panic!("{error:?}")
        };
        assert!(some.contains(id) && of == &stream);
        assert_eq!(*id, ids[*version as usize - 1]);
        assert!(error.to_string().contains("an id names one event for ever"), "{error}");
        assert_eq!(rows(&db).await, (2, 2, 2));
    }
}

#[tokio::test]
async fn an_id_of_another_stream_or_type_is_refused() {
    let (db, store) = store().await;
    let (stream, ids) = (StreamId::new("Account", "1"), ids(1));
    store.append(stream.clone(), ExpectedVersion::Any, with_ids(&ids)).await.unwrap();
    for other in [StreamId::new("Account", "2"), StreamId::new("Order", "1")] {
        let error = store.append(other, ExpectedVersion::Any, with_ids(&ids)).await.unwrap_err();
        let StoreError::DuplicateEvent { id, stream: of, version } = error else {
            panic!("{error:?}")
        };
        assert_eq!((id, of, version), (ids[0], stream.clone(), 1));
    }
    let elsewhere = stream.clone().in_tenant("acme");
    let error = store.append(elsewhere, ExpectedVersion::Any, with_ids(&ids)).await.unwrap_err();
    assert!(matches!(error, StoreError::EventIdTaken { id } if id == ids[0]), "{error:?}");
    let other_type = NewEvent { id: Some(ids[0]), ..event("Closed", 1) };
    let error = store.append(stream, ExpectedVersion::Any, vec![other_type]).await.unwrap_err();
    assert!(matches!(error, StoreError::DuplicateEvent { .. }), "{error:?}");
    assert_eq!(rows(&db).await, (1, 1, 1));
}

#[tokio::test]
async fn an_id_twice_in_one_append_is_the_callers_fault_and_said_so() {
    let (db, store) = store().await;
    let id = Uuid::now_v7();
    let twice = with_ids(&[id, id]);
    let error =
        store.append(StreamId::new("Account", "1"), ExpectedVersion::Any, twice).await.unwrap_err();
    assert!(
        matches!(error, StoreError::InvalidEvent { index: 1, .. }),
        "an error about the event, not about the database: {error:?}"
    );
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    assert_eq!(rows(&db).await, (0, 0, 0));
}

#[tokio::test]
async fn writers_that_repeat_one_append_at_once_write_it_once() {
    let (db, store) = store().await;
    let ids = ids(3);
    let tries = (0..20).map(|_| {
        let (store, ids) = (store.clone(), ids.clone());
        tokio::spawn(async move {
            let stream = StreamId::new("Account", "1");
            store.append(stream, ExpectedVersion::NoStream, with_ids(&ids)).await.unwrap()
        })
    });
    let answers = futures::future::try_join_all(tries).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    assert!(answers.iter().all(|answer| answer.events == answers[0].events));
    assert_eq!(rows(&db).await, (3, 3, 3));
}
