//! Many writers at once.

use std::collections::BTreeMap;
use std::time::Duration;

use eventfabric::event::{ExpectedVersion, StreamId};
use eventfabric::store::{Append, StoreError};

use super::{all, event, events, rows, store, versions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_that_expect_one_version_exactly_one_wins_it() {
    const WRITERS: i64 = 200;
    const VERSIONS: i32 = 5;
    let (db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    let tasks = (0..WRITERS).map(|writer| {
        let (store, stream) = (store.clone(), stream.clone());
        tokio::spawn(async move {
            let mut won = Vec::new();
            for version in 0..VERSIONS {
                let expected = ExpectedVersion::Exact(version);
                match store.append(stream.clone(), expected, vec![event("Won", writer)]).await {
                    Ok(appended) => won.push((appended.events[0].version, writer)),
                    Err(StoreError::Conflict { actual, .. }) => assert!(actual > version),
                    Err(error) => panic!("{error}"),
                }
            }
            won
        })
    });
    let won: Vec<_> =
        futures::future::try_join_all(tasks).await.unwrap().into_iter().flatten().collect();
    let winners: BTreeMap<i32, i64> = won.iter().copied().collect();
    assert_eq!(winners.len(), won.len(), "nobody won a version twice");
    assert_eq!(winners.keys().copied().collect::<Vec<_>>(), (1..=VERSIONS).collect::<Vec<_>>());
    for event in all(&store, &stream).await {
        let payload: serde_json::Value = serde_json::from_str(event.payload.get()).unwrap();
        assert_eq!(payload["n"].as_i64(), Some(winners[&event.version]), "{event:?}");
    }
    assert_eq!(rows(&db).await, (5, 5, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_streams_in_opposite_order_do_not_deadlock() {
    const ROUNDS: usize = 50;
    let (_db, store) = store().await;
    let streams: Vec<StreamId> = (0..6).map(|n| StreamId::new("Account", format!("{n}"))).collect();
    let writer = |mut order: Vec<StreamId>| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                order.rotate_left(1);
                let appends = order
                    .iter()
                    .map(|stream| Append {
                        stream: stream.clone(),
                        expected: ExpectedVersion::Any,
                        topic: None,
                        events: events(1),
                    })
                    .collect();
                store.append_all(appends).await.unwrap();
            }
        })
    };
    let backward: Vec<StreamId> = streams.iter().rev().cloned().collect();
    let writers = [
        writer(streams.clone()),
        writer(backward.clone()),
        writer(streams.clone()),
        writer(backward),
    ];
    tokio::time::timeout(Duration::from_secs(60), futures::future::try_join_all(writers))
        .await
        .expect("nobody waits for ever")
        .unwrap();
    let wanted: Vec<i32> = (1..=4 * ROUNDS as i32).collect();
    for stream in &streams {
        assert_eq!(versions(&store, stream).await, wanted, "{stream}");
    }
}
