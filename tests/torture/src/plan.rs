//! What goes wrong and when, drawn from chance alone: a seed stands for one plan.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::guests::Guest;

/// One evil. Hosts are known by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A host ends by SIGKILL and begins anew.
    Kill(usize),
    /// A host stands still.
    Pause(usize, Duration),
    /// Some backends of hosts end, chosen by the server.
    Backends,
    /// The server ends by this signal and begins anew.
    Restart(&'static str),
    /// The connections of a host end.
    Cut(usize),
    /// What a host and the server say does not arrive.
    Silence(usize, Duration),
    /// A guest fails, or is slow.
    Mood(Guest, &'static str, Duration),
    /// A guest has so many shards from now on.
    Shards(Guest, i32),
    /// A guest has this priority from now on.
    Priority(Guest, i32),
    /// A projection is paused.
    Rest(Guest, Duration),
    /// Dead letters of a guest are tried again. They are as bad as before.
    Requeue(Guest),
    /// Another version of a guest's code is deployed.
    Swap(Guest, u8),
}

impl Deed {
    /// What many of them are called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kills of hosts",
            Self::Pause(..) => "pauses of hosts",
            Self::Backends => "killed backends",
            Self::Restart("KILL") => "crashes of the server",
            Self::Restart("QUIT") => "immediate restarts of the server",
            Self::Restart(_) => "fast restarts of the server",
            Self::Cut(_) => "cut connections",
            Self::Silence(..) => "silences of the network",
            Self::Mood(..) => "bad moods",
            Self::Shards(..) | Self::Priority(..) => "changed settings",
            Self::Rest(..) => "paused projections",
            Self::Requeue(_) => "requeues",
            Self::Swap(..) => "swaps of plugins",
        }
    }
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// So long after the one before has ended.
    pub after: Duration,
    /// What it is.
    pub deed: Deed,
    /// What begins so much later, whether or not the first has ended.
    pub beside: Option<(Duration, Deed)>,
}

/// All that a nemesis does, without end.
pub struct Plan {
    chance: StdRng,
    hosts: usize,
    guests: Vec<Guest>,
    version: u8,
}

impl Plan {
    /// That of a run.
    pub fn new(chance: StdRng, hosts: usize, guests: Vec<Guest>) -> Self {
        Self { chance, hosts, guests, version: 0 }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.chance.random_range(range))
    }

    fn deed(&mut self) -> Deed {
        let which = self.chance.random_range(0..self.hosts);
        let guest = self.guests[self.chance.random_range(0..self.guests.len())];
        let short = self.millis(100..1_500);
        let long = self.millis(1_000..8_000);
        match self.chance.random_range(0..100) {
            0..16 => Deed::Kill(which),
            16..28 => Deed::Pause(which, long),
            28..42 => Deed::Backends,
            42..46 => Deed::Restart("KILL"),
            46..49 => Deed::Restart("QUIT"),
            49..51 => Deed::Restart("INT"),
            51..61 => Deed::Cut(which),
            61..67 => Deed::Silence(which, long),
            67..78 => {
                let word = guest.moods[self.chance.random_range(0..guest.moods.len())];
                Deed::Mood(guest, word, short)
            }
            78..84 if guest.shards => Deed::Shards(guest, self.chance.random_range(1..5)),
            78..84 => Deed::Priority(guest, self.chance.random_range(0..9)),
            84..89 if !guest.inline => Deed::Rest(guest, short),
            89..94 if guest.buries => Deed::Requeue(guest),
            _ => {
                self.version = self.version.wrapping_add(1);
                Deed::Swap(guest, self.version)
            }
        }
    }
}

impl Iterator for Plan {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        let after = self.millis(200..2_500);
        let deed = self.deed();
        let beside = self.chance.random_bool(0.4).then(|| (self.millis(0..1_500), self.deed()));
        Some(Blow { after, deed, beside })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;
    use crate::guests::{Extra, chosen};

    fn plan(seed: u64) -> Vec<Blow> {
        let guests = chosen(&[Extra::SetAside, Extra::StreamOrder]);
        Plan::new(StdRng::seed_from_u64(seed), 3, guests).take(1_000).collect()
    }

    #[test]
    fn a_seed_is_one_plan() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn everything_happens_alone_and_beside_everything_else() {
        let plan = plan(1);
        let alone: BTreeSet<_> =
            plan.iter().filter(|blow| blow.beside.is_none()).map(|blow| blow.deed.name()).collect();
        assert_eq!(alone.len(), 13, "{alone:?}");
        let pairs: BTreeSet<_> = plan
            .iter()
            .filter_map(|blow| Some((blow.deed.name(), blow.beside.as_ref()?.1.name())))
            .collect();
        for pair in [
            ("pauses of hosts", "kills of hosts"),
            ("crashes of the server", "cut connections"),
            ("silences of the network", "killed backends"),
        ] {
            assert!(pairs.contains(&pair), "{pair:?} is not among {pairs:?}");
        }
    }
}
