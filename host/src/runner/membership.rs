//! Which hosts run on the database, and how they share the catch-up projections: every piece of work
//! is preferred by one of them, the one with the greatest hash of host and work (rendezvous hashing:
//! Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996). So the work is even,
//! nobody assigns it, and when a host goes only its own part moves.
//!
//! A preference is no lease: what keeps two hosts from the same events is the lock on the checkpoint.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::relay::Relay;

/// How often a host says that it is there.
const BEAT: Duration = Duration::from_millis(500);
/// A host that was not heard of for this long is taken to be gone, and its share moves when the
/// others look the next time. That leaves half of the five seconds that are promised to a busy machine.
const GONE: Duration = Duration::from_secs(2);

/// A host of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    id: Uuid,
    /// The relays that it has the settings of, as [`Relay::key`] names them.
    relays: Vec<String>,
    /// It knows of parked events.
    parks: bool,
}

/// The hosts of a database, as one of them sees it.
#[derive(Debug)]
pub(super) struct Membership {
    own: Member,
    /// Machine and process, for people.
    name: String,
    alive: watch::Sender<Vec<Member>>,
}

impl Membership {
    /// One that knows of no other yet. `relays`: those that this host has the settings of.
    pub(super) fn new(relays: &[Arc<Relay>]) -> Self {
        let relays = relays.iter().map(|relay| relay.key()).collect();
        let own = Member { id: Uuid::new_v4(), relays, parks: true };
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = format!("{machine}:{}", std::process::id());
        // Which others there are shows the first look.
        let alive = watch::Sender::new(vec![Member { parks: false, ..own.clone() }]);
        Self { own, name, alive }
    }

    /// What this host is known by.
    pub(super) fn id(&self) -> Uuid {
        self.own.id
    }

    /// The name of this host.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this host is the one that prefers a piece of work: of all hosts, or of those that have the settings
    /// of `relay`, to which it belongs.
    pub(super) fn prefers(&self, work: &str, relay: Option<&Relay>) -> bool {
        let relay = relay.map(Relay::key);
        let alive = self.alive.borrow();
        let can = alive
            .iter()
            .filter(|host| relay.as_ref().is_none_or(|relay| host.relays.contains(relay)));
        first(can.map(|host| host.id), work) == Some(self.own.id)
    }

    /// Whether every host knows of parked events: those of before migration 040 do not look for them.
    pub(super) fn all_know_parked(&self) -> bool {
        self.alive.borrow().iter().all(|host| host.parks)
    }

    /// Tells of hosts that come and go.
    pub(super) fn changes(&self) -> watch::Receiver<Vec<Member>> {
        self.alive.subscribe()
    }

    /// Says that this host is there, and looks who else is, until cancelled; then says goodbye.
    pub(super) async fn follow(&self, pool: PgPool, stop: CancellationToken) {
        let version = env!("CARGO_PKG_VERSION");
        loop {
            let beat = sqlx::query_file!(
                "src/runner/sql/host_beat.sql",
                self.own.id,
                self.name,
                version,
                GONE.as_secs_f64(),
                &self.own.relays
            );
            let seen = tokio::select! {
                () = stop.cancelled() => break,
                seen = beat.fetch_all(&pool) => seen,
            };
            match seen {
                Ok(rows) => {
                    let others = rows.into_iter().filter(|row| row.host_id != self.own.id);
                    let others = others.map(|row| Member {
                        id: row.host_id,
                        relays: row.relays,
                        parks: row.parks,
                    });
                    let mut alive: Vec<Member> = others.collect();
                    alive.push(self.own.clone());
                    alive.sort_unstable_by_key(|host| host.id);
                    self.alive.send_if_modified(|known| {
                        let differs = *known != alive;
                        if differs {
                            tracing::debug!(hosts = alive.len(), "hosts came or went");
                            *known = alive;
                        }
                        differs
                    });
                }
                Err(error) => tracing::debug!(%error, "it is not known which hosts there are"),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        let gone = sqlx::query_file!("src/runner/sql/host_gone.sql", self.own.id).execute(&pool);
        if let Ok(Err(error)) = tokio::time::timeout(BEAT, gone).await {
            tracing::debug!(%error, "the other hosts will miss this one in a moment");
        }
    }
}

/// The host with the greatest weight for a piece of work.
fn first(hosts: impl Iterator<Item = Uuid>, work: &str) -> Option<Uuid> {
    hosts.max_by_key(|host| (weight(host, work), *host))
}

/// FNV-1a with a final mix (`fmix64` of MurmurHash3), so that hosts of one version agree, and those of
/// others, too. No security depends on it.
fn weight(host: &Uuid, work: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in host.as_bytes().iter().chain(work.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::event::Event;
    use crate::projection::Failure;
    use crate::runner::Sink;

    fn works() -> impl Iterator<Item = String> {
        (0..1000).map(|n| format!("projection_{n}/default/0"))
    }

    #[test]
    fn work_is_shared_evenly() {
        let hosts: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        for host in &hosts {
            let share =
                works().filter(|work| first(hosts.iter().copied(), work) == Some(*host)).count();
            assert!((200..300).contains(&share), "{share}");
        }
    }

    #[test]
    fn when_a_host_goes_only_its_own_work_moves() {
        let all: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let gone = all[1];
        let left: Vec<Uuid> = all.iter().copied().filter(|host| *host != gone).collect();
        for work in works() {
            let before = first(all.iter().copied(), &work);
            assert!(before == Some(gone) || first(left.iter().copied(), &work) == before, "{work}");
        }
    }

    #[test]
    fn the_work_of_a_relay_is_for_hosts_with_its_settings_alone() {
        let relay = |form: &str| {
            Arc::new(Relay {
                name: Relay::projection("r"),
                text: String::new(),
                form: form.to_owned(),
                types: Vec::new(),
                aggregates: Vec::new(),
                batch: 1,
                time: Duration::ZERO,
                sink: Box::new(Nowhere),
            })
        };
        let (settings, older) = (relay("new"), relay("old"));
        let own = Membership::new(std::slice::from_ref(&settings));
        let others = [vec![], vec![older.key()], vec![Relay::projection("r")]];
        own.alive.send_modify(|alive| {
            let others = others.into_iter().enumerate();
            alive.extend(others.map(|(n, relays)| Member {
                id: Uuid::from_u128(n as u128),
                relays,
                parks: true,
            }));
        });
        assert!(works().all(|work| own.prefers(&work, Some(&settings))));
        let all = works().filter(|work| own.prefers(work, None)).count();
        assert!((200..300).contains(&all), "{all}");
    }

    struct Nowhere;

    impl Sink for Nowhere {
        fn put<'a>(&'a self, _: &'a [Event]) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }
    }
}
