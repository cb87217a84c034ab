//! Another version of `counter`: the same name, other bytes.

#[path = "../../counter_v1/src/counter.rs"]
mod counter;

pub use counter::Counter;

const VERSION: &str = "v2";
