//! store

pub mod migrate;
