//! The command line of EventFabric.

fn main() {}
