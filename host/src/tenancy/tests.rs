//! What is open, and how often it is opened: without a database, and on a clock that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::sync::oneshot;

use super::error::TenantError;
use super::opened::{Closing, Lease, Opened};
use crate::event::TenantId;

const IDLE: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts what is open.
#[derive(Clone, Default)]
struct Counts {
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Counts {
    fn now(&self) -> (usize, usize) {
        (self.opened.load(Ordering::SeqCst), self.closed.load(Ordering::SeqCst))
    }
}

struct Thing(Counts);

impl Closing for Thing {
    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        std::future::ready(()).boxed()
    }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

async fn open(
    opened: &Opened<Thing>,
    counts: &Counts,
    name: &str,
) -> Result<Lease<Thing>, TenantError> {
    let (counts, tenant) = (counts.clone(), tenant(name));
    let opening = opened.get(&tenant, |place| async move {
        let place = place.take().await?;
        counts.opened.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok((Thing(counts), Some(place)))
    });
    opening.await
}

async fn fail(opened: &Opened<Thing>, tries: &AtomicUsize, name: &str) -> TenantError {
    let reason = format!("attempt {}", tries.load(Ordering::SeqCst) + 1);
    let tenant = tenant(name);
    let opening = opened.get(&tenant, |_| {
        tries.fetch_add(1, Ordering::SeqCst);
        let error = TenantError::unavailable(&tenant, reason);
        async move { Err(error) }
    });
    opening.await.err().expect("it fails")
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_one_attempt() {
    let (opened, counts) = (Opened::new(4, IDLE, PATIENCE), Counts::default());
    let leases = join_all((0..50).map(|_| open(&opened, &counts, "acme"))).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(counts.now(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_goes_on_when_who_asked_has_gone_away() {
    let (opened, counts) = (Opened::new(4, IDLE, PATIENCE), Counts::default());
    let (go, wait) = oneshot::channel::<()>();
    let inner = counts.clone();
    let acme = tenant("acme");
    let first = opened.get(&acme, |_| async move {
        wait.await.unwrap();
        inner.opened.fetch_add(1, Ordering::SeqCst);
        Ok((Thing(inner), None))
    });
    assert!(tokio::time::timeout(Duration::from_millis(1), first).await.is_err());
    go.send(()).unwrap();
    assert!(open(&opened, &counts, "acme").await.is_ok());
    assert_eq!(counts.now(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_while_and_the_next_one_for_longer() {
    let (opened, tries) = (Opened::<Thing>::new(4, IDLE, PATIENCE), AtomicUsize::new(0));
    let mut greatest = Duration::ZERO;
    for attempt in 1..=12 {
        let error = fail(&opened, &tries, "acme").await;
        let again = fail(&opened, &tries, "acme").await;
        assert_eq!(tries.load(Ordering::SeqCst), attempt, "the second one asked nobody");
        assert_eq!(error.to_string(), again.to_string());
        let TenantError::Unavailable { retry_in, .. } = error else { panic!("{error:?}") };
        greatest = greatest.max(retry_in);
        tokio::time::sleep(retry_in).await;
    }
    assert!(greatest > Duration::from_secs(1) && greatest <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_fails_costs_another_one_nothing_and_can_come_back() {
    let (opened, counts) = (Opened::new(1, IDLE, PATIENCE), Counts::default());
    let tries = AtomicUsize::new(0);
    let error = fail(&opened, &tries, "acme").await;
    assert!(open(&opened, &counts, "globex").await.is_ok());
    let TenantError::Unavailable { retry_in, .. } = error else { panic!("{error:?}") };
    tokio::time::sleep(retry_in).await;
    assert!(open(&opened, &counts, "acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_is_a_failure_like_any_other() {
    let (opened, counts) = (Opened::new(4, IDLE, PATIENCE), Counts::default());
    let acme = tenant("acme");
    let error = opened.get(&acme, |_| async { panic!("on purpose") }).await.err().unwrap();
    let TenantError::Unavailable { retry_in, .. } = error else { panic!("{error:?}") };
    tokio::time::sleep(retry_in).await;
    assert!(open(&opened, &counts, "acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tenant_is_not_remembered() {
    let opened = Opened::<Thing>::new(4, IDLE, PATIENCE);
    let tries = AtomicUsize::new(0);
    for _ in 0..3 {
        let acme = tenant("acme");
        let opening = opened.get(&acme, |_| {
            tries.fetch_add(1, Ordering::SeqCst);
            async { Err(TenantError::Unknown(tenant("acme"))) }
        });
        assert!(matches!(opening.await.err(), Some(TenantError::Unknown(_))));
    }
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn the_one_that_was_used_longest_ago_makes_room() {
    let (opened, counts) = (Opened::new(2, IDLE, PATIENCE), Counts::default());
    for name in ["a", "b", "a", "c"] {
        open(&opened, &counts, name).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut left = opened.tenants();
    left.sort();
    assert_eq!(left, [tenant("a"), tenant("c")]);
    assert_eq!(counts.now(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_is_not_closed_for_another_one() {
    let (opened, counts) = (Opened::new(2, IDLE, PATIENCE), Counts::default());
    let a = open(&opened, &counts, "a").await.unwrap();
    let b = open(&opened, &counts, "b").await.unwrap();
    let error = open(&opened, &counts, "c").await.err().unwrap();
    assert!(matches!(error, TenantError::Busy { open: 2 }), "{error:?}");
    assert_eq!(counts.now(), (2, 0));
    // One that waits gets the place of the first one that is let go.
    let (c, ()) = tokio::join!(open(&opened, &counts, "c"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(b);
    });
    assert!(c.is_ok());
    assert_eq!(counts.now(), (3, 1));
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_closed_and_what_is_in_use_is_not() {
    let (opened, counts) = (Opened::new(4, IDLE, PATIENCE), Counts::default());
    opened.close_idle_ones();
    let held = open(&opened, &counts, "held").await.unwrap();
    open(&opened, &counts, "idle").await.unwrap();
    tokio::time::sleep(IDLE + Duration::from_secs(60)).await;
    assert_eq!(opened.tenants(), [tenant("held")]);
    assert_eq!(counts.now(), (2, 1));
    // Its rest begins when it is let go.
    drop(held);
    tokio::time::sleep(IDLE / 2).await;
    assert_eq!(counts.now(), (2, 1));
    tokio::time::sleep(IDLE).await;
    assert_eq!(counts.now(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_opened_anew() {
    let (opened, counts) = (Opened::new(4, IDLE, PATIENCE), Counts::default());
    let old = open(&opened, &counts, "acme").await.unwrap();
    opened.forget(&tenant("acme"));
    let new = open(&opened, &counts, "acme").await.unwrap();
    assert_eq!(counts.now(), (2, 0));
    drop((old, new));
}
