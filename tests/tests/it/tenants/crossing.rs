//! One tenant tries to get at another one's rows, by every call of its handle.

use std::sync::Arc;

use eventfabric::event::{ExpectedVersion, NewEvent, StreamName, TenantId};
use eventfabric::session::{AggregateSetup, SessionError, SessionFactory, SnapshotPolicy};
use eventfabric::store::{
    Direction, EventStore, LogFilter, SnapshotFilter, StoreError, TenantAppend, TenantStore,
};
use eventfabric_tests::{TestDb, database};
use futures::TryStreamExt as _;
use uuid::Uuid;

use super::{log, tenant};
use crate::session::{Account, factory, opened};
use crate::store::{event, events, rows, with_ids};

/// Two tenants of one database, the first with three events in `Account/1`.
async fn two() -> (TestDb, TenantStore, TenantStore, Vec<Uuid>) {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await).with_group_commit();
    let (acme, globex) = (store.tenant(&tenant("acme")), store.tenant(&tenant("globex")));
    let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    acme.append(account(), ExpectedVersion::NoStream, with_ids(&ids)).await.unwrap();
    (db, acme, globex, ids)
}

fn account() -> StreamName {
    StreamName::new("Account", "1")
}

async fn read(store: &TenantStore, direction: Direction) -> Vec<i32> {
    let events = store.read_stream(account(), direction, None);
    events.map_ok(|event| event.version).try_collect().await.unwrap()
}

#[tokio::test]
async fn streams_of_the_same_name_are_two_streams() {
    let (_db, acme, globex, _) = two().await;
    let appended = globex.append(account(), ExpectedVersion::NoStream, events(1)).await.unwrap();
    assert_eq!(appended.events[0].version, 1);
    assert_eq!(read(&acme, Direction::Forward).await, [1, 2, 3]);
    assert_eq!(read(&acme, Direction::Backward).await, [3, 2, 1]);
    assert_eq!(read(&globex, Direction::Forward).await, [1]);
    assert_eq!(read(&globex, Direction::Backward).await, [1]);
    // Each expects what its own stream is like.
    acme.append(account(), ExpectedVersion::Exact(3), events(1)).await.unwrap();
    globex.append(account(), ExpectedVersion::Exact(1), events(1)).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_another_tenant_is_not_there() {
    let (db, _acme, globex, _) = two().await;
    assert!(read(&globex, Direction::Forward).await.is_empty());
    assert!(read(&globex, Direction::Backward).await.is_empty());
    for expected in [ExpectedVersion::StreamExists, ExpectedVersion::Exact(3)] {
        let error = globex.append(account(), expected, events(1)).await.unwrap_err();
        let StoreError::Conflict { stream, actual, .. } = &error else { panic!("{error:?}") };
        assert_eq!((stream.tenant.as_str(), *actual), ("globex", 0));
    }
    assert_eq!(rows(&db).await, (3, 3, 3));
}

#[tokio::test]
async fn the_log_shows_a_tenant_its_own_events_whatever_it_asks_for() {
    let (_db, acme, globex, _) = two().await;
    globex.append(StreamName::new("Order", "7"), ExpectedVersion::Any, events(2)).await.unwrap();
    assert_eq!(log(&acme).await.len(), 3);
    let own = log(&globex).await;
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|event| event.stream.tenant == "globex"));
    for filter in [
        LogFilter { after: 0, until: Some(i64::MAX), ..LogFilter::default() },
        LogFilter { aggregates: vec!["Account".into()], ..LogFilter::default() },
        LogFilter { types: vec!["Counted".into()], dismissed: true, ..LogFilter::default() },
        LogFilter { tenant: Some("globex".into()), ..LogFilter::default() },
    ] {
        let seen: Vec<_> = globex.read_log(filter).try_collect().await.unwrap();
        assert!(seen.iter().all(|event| event.stream.tenant == "globex"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_filter_that_names_another_tenant_is_refused_and_reads_nothing() {
    let (_db, _acme, globex, _) = two().await;
    let filter = LogFilter { tenant: Some("acme".into()), ..LogFilter::default() };
    let answer = globex.read_log(filter).try_collect::<Vec<_>>().await;
    let error = answer.unwrap_err();
    assert!(matches!(&error, StoreError::OtherTenant { asked, .. } if asked == "acme"));
    assert!(error.to_string().contains("globex alone"), "{error}");
}

#[tokio::test]
async fn an_event_id_of_another_tenant_is_taken_and_nothing_more_is_told() {
    let (db, acme, globex, ids) = two().await;
    for (stream, expected) in [
        (account(), ExpectedVersion::Any),
        (account(), ExpectedVersion::NoStream),
        (account(), ExpectedVersion::Exact(3)),
        (StreamName::new("Account", "other"), ExpectedVersion::Any),
    ] {
        // The very append of the other tenant, and one that has an id in common with it.
        for stolen in [&ids[..], &[Uuid::now_v7(), ids[1]]] {
            let answer = globex.append(stream.clone(), expected, with_ids(stolen)).await;
            let error = answer.unwrap_err();
            match &error {
                StoreError::EventIdTaken { id } => assert!(stolen.contains(id)),
                StoreError::Conflict { stream, actual: 0, .. } => {
                    assert_eq!(stream.tenant, "globex");
                }
                other => panic!("{other:?}"),
            }
            let told = format!("{error} {error:?}");
            assert!(!told.contains("acme"), "{told}");
            assert!(!told.contains("version: ") || told.contains("actual"), "{told}");
        }
    }
    assert_eq!(rows(&db).await, (3, 3, 3));
    assert!(log(&globex).await.is_empty());
    // Its own tenant is told where the event is, or that its append was made before.
    let again = acme.append(account(), ExpectedVersion::Any, with_ids(&ids)).await.unwrap();
    assert!(again.repeated);
    let other = StreamName::new("Account", "2");
    let error = acme.append(other, ExpectedVersion::Any, with_ids(&ids)).await.unwrap_err();
    assert!(matches!(error, StoreError::DuplicateEvent { version: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_query_finds_the_tenants_own_events_whatever_it_asks_for() {
    let (_db, acme, globex, ids) = two().await;
    let own = globex.append(account(), ExpectedVersion::Any, events(2)).await.unwrap();
    let q = || globex.query();
    for query in [
        q(),
        q().aggregate("Account"),
        q().positions(0..),
        q().of_stream(account().of(globex.id())),
        q().payload_path("$"),
        q().newest_first(),
    ] {
        let found = query.clone().load().await.unwrap();
        assert!(found.iter().all(|event| event.stream.tenant == "globex"), "{found:?}");
        assert_eq!((found.len(), query.count().await.unwrap()), (2, 2));
    }
    assert_eq!(q().event_id(ids[0]).count().await.unwrap(), 0);
    for query in [q().tenant("acme"), q().of_stream(account().of(acme.id()))] {
        for error in [query.clone().load().await.unwrap_err(), query.count().await.unwrap_err()] {
            let refused =
                matches!(&error, StoreError::OtherTenant { asked, .. } if asked == "acme");
            assert!(refused, "{error:?}");
        }
    }

    let first = own.events[0].position;
    assert_eq!(globex.load_by_positions(&[first]).await.unwrap().len(), 1);
    assert_eq!(globex.load_by_ids(&[own.events[1].id]).await.unwrap().len(), 1);
    // Another tenant's are no more there than those that nobody has.
    for error in [
        globex.load_by_positions(&[first, 1]).await.unwrap_err(),
        globex.load_by_ids(&[own.events[0].id, ids[0]]).await.unwrap_err(),
    ] {
        let StoreError::UnknownEvents { missing } = &error else { panic!("{error:?}") };
        assert_eq!(missing.len(), 1);
        assert!(!format!("{error} {error:?}").contains("acme"), "{error:?}");
    }
    let statistics = globex.statistics().await.unwrap();
    assert_eq!((statistics.total.events, statistics.streams), (2, 1));
    assert_eq!(globex.backlog().await.unwrap().rows, 2);
    assert_eq!(acme.backlog().await.unwrap().rows, 3);
}

#[tokio::test]
async fn known_ids_are_the_tenants_own() {
    let (_db, acme, globex, ids) = two().await;
    let own = Uuid::now_v7();
    globex.append(account(), ExpectedVersion::Any, with_ids(&[own])).await.unwrap();
    let all = [ids.clone(), vec![own]].concat();
    assert_eq!(globex.known_ids(&all).await.unwrap(), [own]);
    let mut known = acme.known_ids(&all).await.unwrap();
    known.sort();
    assert_eq!(known, ids);
}

#[tokio::test]
async fn an_append_of_several_streams_stays_in_its_tenant() {
    let (db, acme, globex, _) = two().await;
    let appends = ["1", "2"].map(|id| TenantAppend {
        stream: StreamName::new("Account", id),
        expected: ExpectedVersion::NoStream,
        topic: Some("accounts".into()),
        events: events(2),
    });
    globex.append_all(appends.to_vec()).await.unwrap();
    assert_eq!(log(&globex).await.len(), 4);
    assert_eq!(log(&acme).await.len(), 3);
    let outbox: Vec<(String, i64)> =
        sqlx::query_as("SELECT tenant_id, count(*) FROM eventfabric.outbox GROUP BY 1 ORDER BY 1")
            .fetch_all(&mut db.connect().await)
            .await
            .unwrap();
    assert_eq!(outbox, [("acme".to_owned(), 3), ("globex".to_owned(), 4)]);
}

#[tokio::test]
async fn appends_of_many_tenants_that_share_transactions_stay_apart() {
    let db = database().await;
    let store = EventStore::new(db.pool(8).await).with_group_commit();
    let tenants: Vec<TenantId> = (0..20).map(|n| tenant(&format!("tenant {n}"))).collect();
    let tries = (0..200).map(|n| {
        let store = store.tenant(&tenants[n % 20]);
        tokio::spawn(async move {
            let own = NewEvent { correlation_id: Some(store.id().to_string()), ..event("Own", 1) };
            store.append(account(), ExpectedVersion::Any, vec![own]).await.unwrap()
        })
    });
    futures::future::try_join_all(tries).await.unwrap();
    for id in &tenants {
        let own = log(&store.tenant(id)).await;
        assert_eq!(
            own.iter().map(|event| event.version).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
        assert!(own.iter().all(|event| event.correlation_id.as_deref() == Some(id.as_str())));
    }
}

#[tokio::test]
async fn names_that_look_like_sql_or_like_another_tenant_name_no_other() {
    let (db, acme, _globex, _) = two().await;
    let store = EventStore::new(db.pool(2).await);
    for name in ["acme' OR '1'='1", "acme/Account", "ACME", "acme ", "%", "*", "a_me"] {
        let other = store.tenant(&tenant(name));
        assert!(log(&other).await.is_empty(), "{name}");
        let appended = other.append(account(), ExpectedVersion::NoStream, events(1)).await.unwrap();
        assert_eq!(appended.events[0].version, 1, "{name}");
        assert_eq!(log(&other).await.len(), 1, "{name}");
    }
    assert_eq!(log(&acme).await.len(), 3);
    for name in ["", "a\0b", &"x".repeat(513)] {
        assert!(name.parse::<TenantId>().is_err(), "{} bytes", name.len());
    }
}

#[tokio::test]
async fn a_handle_keeps_what_it_was_given_until_its_last_clone_and_read_are_gone() {
    let (_db, acme, _, _) = two().await;
    let lease: Arc<str> = "lease".into();
    let held = acme.holding(Arc::new(lease.clone()));
    let (clone, reading) = (held.clone(), held.read_log(LogFilter::default()));
    let query = held.query().stream();
    drop(held);
    drop(clone);
    assert_eq!(Arc::strong_count(&lease), 2);
    drop(reading);
    assert_eq!(Arc::strong_count(&lease), 2);
    drop(query);
    assert_eq!(Arc::strong_count(&lease), 1);
}

#[tokio::test]
async fn sessions_of_one_tenant_have_no_way_to_another() {
    let (db, acme, globex, _) = two().await;
    let every = |account: AggregateSetup<Account>| account.snapshots(SnapshotPolicy::every(1), 1);
    let all = factory(EventStore::new(db.pool(4).await), every);
    let (acme, globex) = (all.for_tenant(&acme), all.for_tenant(&globex));
    opened(&acme, "mine", 1).await;
    opened(&globex, "mine", 2).await;
    opened(&globex, "theirs", 3).await;
    let cents = async |factory: &SessionFactory, id: &str| {
        let found = factory.repository::<Account>().find(id).await.unwrap();
        found.map(|(account, _)| account.cents)
    };
    assert_eq!((cents(&acme, "mine").await, cents(&globex, "mine").await), (Some(1), Some(2)));
    assert_eq!((cents(&acme, "theirs").await, cents(&globex, "theirs").await), (None, Some(3)));
    assert_eq!(acme.session().tenant(), "acme");
    // Naming the other one is refused, by everything that a session does.
    let refused = |error: SessionError| {
        assert!(matches!(error, SessionError::Store(StoreError::OtherTenant { .. })), "{error:?}");
    };
    let before = rows(&db).await;
    let crossing = acme.clone().in_tenant("globex");
    let mut session = crossing.session();
    refused(session.find::<Account>("theirs").await.unwrap_err());
    refused(session.load::<Account>("theirs").await.unwrap_err());
    refused(session.load_or_start::<Account>("new").await.unwrap_err());
    refused(session.start_stream::<Account>("new").unwrap_err());
    refused(session.append("Note", "1", ExpectedVersion::Any, events(1)).unwrap_err());
    session.save().await.unwrap();
    let repository = crossing.repository::<Account>();
    refused(repository.load("theirs").await.unwrap_err());
    let deposit = |account: &mut Account| {
        account.deposit(1);
        Ok::<_, SessionError>(())
    };
    refused(repository.modify("theirs", deposit).await.unwrap_err());
    refused(repository.create("new", deposit).await.unwrap_err());
    refused(crossing.rebuild_snapshots::<Account>(SnapshotFilter::default()).await.unwrap_err());
    let theirs = SnapshotFilter { tenant: Some("globex".to_owned()), ..Default::default() };
    refused(acme.rebuild_snapshots::<Account>(theirs).await.unwrap_err());
    assert_eq!(rows(&db).await, before);
    // Its own it may name; and all are its own.
    acme.clone().in_tenant("acme").session().load::<Account>("mine").await.unwrap();
    let rebuilt = acme.rebuild_snapshots::<Account>(SnapshotFilter::default()).await.unwrap();
    assert_eq!((rebuilt.rebuilt, rebuilt.failed.len()), (1, 0));
    let rebuilt = all.rebuild_snapshots::<Account>(SnapshotFilter::default()).await.unwrap();
    assert_eq!(rebuilt.rebuilt, 3);
}

#[tokio::test]
#[should_panic(expected = "confined to one tenant")]
async fn a_factory_of_one_tenant_does_not_give_away_the_store_of_all() {
    let (db, acme, ..) = two().await;
    let all = factory(EventStore::new(db.pool(1).await), |account| account);
    all.for_tenant(&acme).store();
}
