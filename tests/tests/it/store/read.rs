//! Reading streams and the log, in pages.

use eventfabric::event::{Event, ExpectedVersion, StreamId};
use eventfabric::store::{Append, Direction, EventStore, LogFilter};
use eventfabric_tests::TestDb;
use futures::TryStreamExt as _;
use sqlx::Executor as _;

use super::{event, events, store};

async fn read(store: &EventStore, direction: Direction, from: Option<i32>) -> Vec<i32> {
    let events: Vec<Event> = store
        .read_stream(StreamId::new("Account", "1"), direction, from)
        .try_collect()
        .await
        .unwrap();
    events.iter().map(|event| event.version).collect()
}

#[tokio::test]
async fn a_stream_is_read_forward_and_backward_over_many_pages() {
    let (_db, store) = store().await;
    let stream = StreamId::new("Account", "1");
    let appended = store.append(stream, ExpectedVersion::Any, events(1203)).await.unwrap();
    assert_eq!(appended.events.len(), 1203);
    let up = |from, to| (from..=to).collect::<Vec<i32>>();
    let down = |from, to| (to..=from).rev().collect::<Vec<i32>>();
    use Direction::{Backward, Forward};
    assert_eq!(read(&store, Forward, None).await, up(1, 1203));
    assert_eq!(read(&store, Backward, None).await, down(1203, 1));
    for (from, to) in [(1, 1203), (0, 1203), (2, 1203), (203, 1203), (204, 1203), (1203, 1203)] {
        assert_eq!(read(&store, Forward, Some(from)).await, up(from.max(1), to), "from {from}");
    }
    for from in [1, 2, 500, 501, 1000, 1203] {
        assert_eq!(read(&store, Backward, Some(from)).await, down(from, 1), "from {from}");
    }
    assert_eq!(read(&store, Backward, Some(9999)).await, down(1203, 1));
    assert!(read(&store, Forward, Some(1204)).await.is_empty());
    assert!(read(&store, Backward, Some(0)).await.is_empty());
}

#[tokio::test]
async fn a_stream_of_exactly_whole_pages_ends() {
    let (_db, store) = store().await;
    store.append(StreamId::new("Account", "1"), ExpectedVersion::Any, events(1000)).await.unwrap();
    assert_eq!(read(&store, Direction::Forward, None).await.len(), 1000);
    assert_eq!(read(&store, Direction::Backward, None).await.len(), 1000);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_empty() {
    let (_db, store) = store().await;
    assert!(read(&store, Direction::Forward, None).await.is_empty());
    assert!(read(&store, Direction::Backward, None).await.is_empty());
}

/// Six events: two aggregates, three types, two tenants.
async fn log() -> (TestDb, EventStore, Vec<i64>) {
    let (db, store) = store().await;
    let append = |aggregate: &str, tenant: &str, types: [&str; 2]| Append {
        stream: StreamId::new(aggregate, "1").in_tenant(tenant),
        expected: ExpectedVersion::NoStream,
        topic: None,
        events: types.map(|t| event(t, 1)).to_vec(),
    };
    let appended = store
        .append_all(vec![
            append("Account", "default", ["Opened", "Counted"]),
            append("Account", "acme", ["Opened", "Closed"]),
            append("Order", "default", ["Opened", "Counted"]),
        ])
        .await
        .unwrap();
    let positions = appended.events.iter().map(|event| event.position).collect();
    (db, store, positions)
}

/// The numbers, from 1, of the events of [`log`] that match.
async fn matching(store: &EventStore, positions: &[i64], filter: LogFilter) -> Vec<usize> {
    let found: Vec<Event> = store.read_log(filter).try_collect().await.unwrap();
    found
        .iter()
        .map(|event| positions.iter().position(|p| *p == event.position).unwrap() + 1)
        .collect()
}

#[tokio::test]
async fn the_log_is_filtered_by_type_aggregate_tenant_and_place() {
    let (_db, store, p) = log().await;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let all = LogFilter::default;
    let cases = [
        (all(), vec![1, 2, 3, 4, 5, 6]),
        (LogFilter { types: words(&["Opened"]), ..all() }, vec![1, 3, 5]),
        (LogFilter { types: words(&["Closed", "Counted"]), ..all() }, vec![2, 4, 6]),
        (LogFilter { types: words(&["opened"]), ..all() }, vec![]),
        (LogFilter { aggregates: words(&["Order"]), ..all() }, vec![5, 6]),
        (LogFilter { aggregates: words(&["Order", "Account"]), ..all() }, vec![1, 2, 3, 4, 5, 6]),
        (LogFilter { tenant: Some("acme".into()), ..all() }, vec![3, 4]),
        (LogFilter { tenant: Some("nobody".into()), ..all() }, vec![]),
        (LogFilter { after: p[1], ..all() }, vec![3, 4, 5, 6]),
        (LogFilter { until: Some(p[3]), ..all() }, vec![1, 2, 3, 4]),
        (LogFilter { after: p[0], until: Some(p[4]), ..all() }, vec![2, 3, 4, 5]),
        (LogFilter { after: p[5], ..all() }, vec![]),
        (
            LogFilter {
                types: words(&["Opened"]),
                aggregates: words(&["Account"]),
                tenant: Some("default".into()),
                ..all()
            },
            vec![1],
        ),
    ];
    for (filter, wanted) in cases {
        assert_eq!(matching(&store, &p, filter.clone()).await, wanted, "{filter:?}");
    }
}

#[tokio::test]
async fn a_long_log_is_read_in_the_order_of_positions_without_gap_or_repetition() {
    let (_db, store) = store().await;
    for n in 0..3 {
        let stream = StreamId::new("Account", format!("{n}"));
        store.append(stream, ExpectedVersion::Any, events(401)).await.unwrap();
    }
    let found: Vec<Event> = store.read_log(LogFilter::default()).try_collect().await.unwrap();
    assert_eq!(found.len(), 1203);
    assert!(found.is_sorted_by(|a, b| a.position < b.position));
}

#[tokio::test]
async fn dismissed_events_are_left_out_unless_asked_for() {
    let (db, store, p) = log().await;
    db.connect()
        .await
        .execute(
            "UPDATE eventfabric.events SET dismissed_at = now()
             WHERE aggregate_name = 'Account' AND aggregate_version = 1",
        )
        .await
        .unwrap();
    assert_eq!(matching(&store, &p, LogFilter::default()).await, [2, 4, 5, 6]);
    let all = LogFilter { dismissed: true, ..LogFilter::default() };
    assert_eq!(matching(&store, &p, all).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(read(&store, Direction::Forward, None).await, [2]);
    assert_eq!(read(&store, Direction::Backward, None).await, [2]);
}

#[tokio::test]
async fn pages_full_of_dismissed_events_do_not_end_a_read() {
    let (db, store) = store().await;
    store.append(StreamId::new("Account", "1"), ExpectedVersion::Any, events(1600)).await.unwrap();
    db.connect()
        .await
        .execute(
            "UPDATE eventfabric.events SET dismissed_at = now()
             WHERE aggregate_version BETWEEN 2 AND 1599",
        )
        .await
        .unwrap();
    assert_eq!(read(&store, Direction::Forward, None).await, [1, 1600]);
    assert_eq!(read(&store, Direction::Backward, None).await, [1600, 1]);
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let (_db, store) = store().await;
    let (a, b) = (StreamId::new("Account", "1"), StreamId::new("Account", "1").in_tenant("acme"));
    store.append(a.clone(), ExpectedVersion::NoStream, events(2)).await.unwrap();
    store.append(b.clone(), ExpectedVersion::NoStream, events(3)).await.unwrap();
    store.append(a.clone(), ExpectedVersion::Exact(2), events(1)).await.unwrap();
    for (stream, wanted) in [(a, vec![1, 2, 3]), (b, vec![1, 2, 3])] {
        let found = super::all(&store, &stream).await;
        assert_eq!(found.iter().map(|event| event.version).collect::<Vec<_>>(), wanted);
        assert!(found.iter().all(|event| event.stream == stream));
    }
    let tenants = eventfabric::store::tenants(store.pool()).await.unwrap();
    assert_eq!(tenants, ["acme", "default"]);
}
