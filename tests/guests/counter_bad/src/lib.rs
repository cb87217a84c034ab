//! A version of `counter` that traps at its first event: the host must keep the one it has.

#[path = "../../counter_v1/src/counter.rs"]
mod counter;

pub use counter::Counter;

const VERSION: &str = "bad";
