//! The guests that the hosts run, and what is asked of each.

use clap::ValueEnum;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// Its package, projection and schema.
    pub name: &'static str,
    /// It can't handle the events whose fate is bad, and they become dead letters.
    pub buries: bool,
    /// It keeps the order of each stream, whatever that holds up.
    pub ordered: bool,
    /// It gets what is appended through the library alone.
    pub inline: bool,
    /// It follows the log, in as many shards as one likes.
    pub shards: bool,
    /// What may come over it without harm: attempts that fail this way do not count.
    pub moods: &'static [&'static str],
}

/// Catch-up, and it handles everything.
pub const CATCH_UP: Guest = Guest {
    name: "torture_catchup",
    buries: false,
    ordered: false,
    inline: false,
    shards: true,
    moods: &["retry", "slow", "trap", "sql"],
};
/// Catch-up, and it sets aside what it can't handle.
pub const ASIDE: Guest =
    Guest { name: "torture_aside", buries: true, moods: &["retry", "slow"], ..CATCH_UP };
/// Async, in any order.
pub const ASYNC: Guest = Guest { name: "torture_async", shards: false, ..ASIDE };
/// Async, in the order of each stream.
pub const ORDERED: Guest = Guest { name: "torture_ordered", ordered: true, ..ASYNC };
/// Inline.
pub const INLINE: Guest = Guest {
    name: "torture_inline",
    buries: false,
    ordered: false,
    inline: true,
    shards: false,
    moods: &["retry", "slow", "trap", "sql"],
};

/// What a host may be asked for beyond the three modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// A catch-up projection that sets aside what it can't handle
    SetAside,
    /// An async projection that keeps the order of each stream
    StreamOrder,
}

/// Those of a run.
pub fn chosen(extras: &[Extra]) -> Vec<Guest> {
    let mut guests = vec![CATCH_UP, ASYNC, INLINE];
    guests.extend(extras.iter().map(|extra| match extra {
        Extra::SetAside => ASIDE,
        Extra::StreamOrder => ORDERED,
    }));
    guests
}

/// How the hosts begin those that are not as by default.
pub const SETTINGS: &[(&str, &str)] = &[
    ("EVENTFABRIC_PROJECTION__TORTURE_ASIDE__ON_POISON", "set-aside"),
    ("EVENTFABRIC_PROJECTION__TORTURE_ORDERED__STREAM_ORDER", "true"),
];
