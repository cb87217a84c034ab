//! What is open for tenants: opened when it is first asked for, once however many ask, closed when
//! it is idle, and never more of it than fits.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::TenantError;
use crate::backoff::Backoff;
use crate::event::TenantId;

/// Between attempts at a database that did not open.
const REOPEN: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(30) };

/// What can be open for a tenant.
pub(super) trait Closing: Send + Sync + 'static {
    /// Lets go of its connections.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What is open, by tenant. Cheap to clone.
pub(super) struct Opened<T: Closing>(Arc<Table<T>>);

struct Table<T> {
    slots: Mutex<HashMap<TenantId, Slot<T>>>,
    room: Arc<Semaphore>,
    size: usize,
    idle: Duration,
    patience: Duration,
    /// Somebody has let go of something.
    released: Notify,
}

enum Slot<T> {
    Opening(Opening<T>),
    Open { held: Arc<Held<T>>, used: Instant },
    Failed { error: TenantError, attempts: u32, until: Instant },
}

type Opening<T> = Shared<BoxFuture<'static, Result<Arc<Held<T>>, TenantError>>>;

/// Something open, and its place among those that fit.
struct Held<T> {
    value: T,
    _place: Option<OwnedSemaphorePermit>,
}

/// The use of something open. It is not closed before its last lease is dropped.
pub(super) struct Lease<T: Closing> {
    held: Option<Arc<Held<T>>>,
    tenant: TenantId,
    table: Arc<Table<T>>,
}

impl<T: Closing> Opened<T> {
    /// At most `size` at a time; closed after `idle` without use; waits `patience` for a place.
    pub(super) fn new(size: usize, idle: Duration, patience: Duration) -> Self {
        Self(Arc::new(Table {
            slots: Mutex::default(),
            room: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            size,
            idle,
            patience,
            released: Notify::new(),
        }))
    }

    /// What is open for a tenant. Opens it where it is not; who asks meanwhile shares the attempt,
    /// and who asks soon after a failed one gets its error.
    pub(super) async fn get<F>(
        &self,
        tenant: &TenantId,
        open: impl FnOnce(Place<T>) -> F,
    ) -> Result<Lease<T>, TenantError>
    where
        F: Future<Output = Result<(T, Option<OwnedSemaphorePermit>), TenantError>> + Send + 'static,
    {
        let opening = {
            let mut slots = self.0.lock();
            let attempts = match slots.get_mut(tenant) {
                Some(Slot::Open { held, used }) => {
                    *used = Instant::now();
                    return Ok(self.lease(tenant, held.clone()));
                }
                Some(Slot::Opening(opening)) => Err(opening.clone()),
                Some(Slot::Failed { error, until, .. }) if Instant::now() < *until => {
                    return Err(error.clone());
                }
                Some(Slot::Failed { attempts, .. }) => Ok(*attempts),
                None => Ok(0),
            };
            match attempts {
                Err(opening) => opening,
                Ok(attempts) => {
                    let open = open(Place(self.0.clone()));
                    let opening = start(self.0.clone(), tenant.clone(), attempts, open);
                    slots.insert(tenant.clone(), Slot::Opening(opening.clone()));
                    opening
                }
            }
        };
        Ok(self.lease(tenant, opening.await?))
    }

    /// The tenants for which something is open.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        let slots = self.0.lock();
        let open = slots.iter().filter(|(_, slot)| matches!(slot, Slot::Open { .. }));
        open.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Looks at what is open for a tenant; that is no use of it.
    pub(super) fn look<R>(&self, tenant: &TenantId, look: impl FnOnce(&T) -> R) -> Option<R> {
        match self.0.lock().get(tenant) {
            Some(Slot::Open { held, .. }) => Some(look(&held.value)),
            _ => None,
        }
    }

    /// Lets go of what is open for a tenant, or of the error that it got; it is closed when nobody
    /// uses it any more.
    pub(super) fn forget(&self, tenant: &TenantId) {
        let mut slots = self.0.lock();
        if !matches!(slots.get(tenant), Some(Slot::Opening(_)))
            && let Some(Slot::Open { held, .. }) = slots.remove(tenant)
        {
            close_unused(held);
        }
    }

    /// Closes what nobody has used for long, as long as this table lives.
    pub(super) fn close_idle_ones(&self) {
        let (table, idle) = (Arc::downgrade(&self.0), self.0.idle);
        let pause = (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(30));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(table) = Weak::upgrade(&table) else { return };
                let close = table.take(|held, used| unused(held) && used.elapsed() >= idle);
                for held in close {
                    close_unused(held);
                }
            }
        });
    }

    /// Closes everything, in use or not.
    pub(super) async fn close(&self) {
        let all = self.0.take(|_, _| true);
        futures::future::join_all(all.iter().map(|held| held.value.close())).await;
    }

    fn lease(&self, tenant: &TenantId, held: Arc<Held<T>>) -> Lease<T> {
        Lease { held: Some(held), tenant: tenant.clone(), table: self.0.clone() }
    }
}

/// Opens in a task of its own, which goes on when those who asked have gone away.
fn start<T: Closing>(
    table: Arc<Table<T>>,
    tenant: TenantId,
    attempts: u32,
    open: impl Future<Output = Result<(T, Option<OwnedSemaphorePermit>), TenantError>> + Send + 'static,
) -> Opening<T> {
    let task = tokio::spawn(async move {
        let opened = match tokio::spawn(open).await {
            Ok(opened) => opened,
            Err(error) => Err(TenantError::unavailable(&tenant, error.to_string())),
        };
        let mut slots = table.lock();
        match opened {
            Ok((value, place)) => {
                let held = Arc::new(Held { value, _place: place });
                let slot = Slot::Open { held: held.clone(), used: Instant::now() };
                slots.insert(tenant, slot);
                Ok(held)
            }
            Err(mut error) => {
                match &mut error {
                    TenantError::Unavailable { retry_in, .. } => {
                        *retry_in = REOPEN.delay(attempts + 1);
                        let until = Instant::now() + *retry_in;
                        let slot =
                            Slot::Failed { error: error.clone(), attempts: attempts + 1, until };
                        slots.insert(tenant, slot);
                    }
                    // Says nothing of this tenant's database: the next one to ask may try at once.
                    _ => drop(slots.remove(&tenant)),
                }
                Err(error)
            }
        }
    });
    let opening = async move {
        match task.await {
            Ok(opened) => opened,
            Err(error) => Err(TenantError::Stopped(error.to_string())),
        }
    };
    opening.boxed().shared()
}

impl<T> Table<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Slot<T>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is open and fits.
    fn take(&self, fits: impl Fn(&Arc<Held<T>>, Instant) -> bool) -> Vec<Arc<Held<T>>> {
        let mut slots = self.lock();
        let out = slots.extract_if(|_, slot| match slot {
            Slot::Open { held, used } => fits(held, *used),
            _ => false,
        });
        let held = out.filter_map(|(_, slot)| match slot {
            Slot::Open { held, .. } => Some(held),
            _ => None,
        });
        held.collect()
    }

    /// Takes out the one that was used longest ago, of those that nobody uses.
    fn take_oldest(&self) -> Option<Arc<Held<T>>> {
        let oldest = {
            let slots = self.lock();
            let unused = slots.values().filter_map(|slot| match slot {
                Slot::Open { held, used } if unused(held) && held._place.is_some() => Some(*used),
                _ => None,
            });
            unused.min()?
        };
        self.take(|held, used| unused(held) && held._place.is_some() && used == oldest).pop()
    }
}

/// A place among those that may be open at a time.
pub(super) struct Place<T: Closing>(Arc<Table<T>>);

impl<T: Closing> Place<T> {
    /// Takes a place; closes what was used longest ago where all are taken, and waits a while where
    /// all are in use.
    pub(super) async fn take(self) -> Result<OwnedSemaphorePermit, TenantError> {
        let table = self.0;
        let wait = async {
            loop {
                let released = table.released.notified();
                if let Ok(place) = table.room.clone().try_acquire_owned() {
                    return place;
                }
                match table.take_oldest() {
                    Some(oldest) => {
                        oldest.value.close().await;
                        drop(oldest);
                    }
                    None => released.await,
                }
            }
        };
        tokio::time::timeout(table.patience, wait)
            .await
            .map_err(|_| TenantError::Busy { open: table.size })
    }
}

/// Nobody but the table holds it. (The table is locked, or it was taken out of it.)
fn unused<T>(held: &Arc<Held<T>>) -> bool {
    Arc::strong_count(held) == 1
}

/// Closes it now, where nobody uses it; otherwise its connections are closed with the last lease.
fn close_unused<T: Closing>(held: Arc<Held<T>>) {
    if unused(&held) {
        tokio::spawn(async move { held.value.close().await });
    }
}

impl<T: Closing> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held.as_ref().expect("held until it is dropped").value
    }
}

impl<T: Closing> Drop for Lease<T> {
    fn drop(&mut self) {
        let mut slots = self.table.lock();
        if let Some(Slot::Open { held, used }) = slots.get_mut(&self.tenant)
            && self.held.as_ref().is_some_and(|own| Arc::ptr_eq(own, held))
        {
            *used = Instant::now();
        }
        drop(self.held.take());
        drop(slots);
        self.table.released.notify_one();
    }
}
