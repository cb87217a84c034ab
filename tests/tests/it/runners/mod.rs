//! The runners, as an operator meets them: hosts in this process or in processes of their own, on a
//! real database. Plugins are the examples and the guests of `tests/guests`.

mod crash;
mod deploy;
mod dismissal;
mod failures_async;
mod failures_catch_up;
mod failures_inline;
mod faults;
mod month;
mod outages;
pub mod rig;
mod sessions;
mod shutdown;
mod tenants;
mod upcast;
mod week;

pub use rig::until;
