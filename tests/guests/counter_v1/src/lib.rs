//! The first version of `counter`.

mod counter;

pub use counter::Counter;

const VERSION: &str = "v1";
