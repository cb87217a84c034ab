//! The first version of `counter`.

mod counter;

const VERSION: &str = "v1";
