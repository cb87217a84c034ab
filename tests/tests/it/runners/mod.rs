//! The runners, as an operator meets them: hosts in this process or in processes of their own, on a
//! real database. Plugins are the examples and the guests of `tests/guests`.

mod ahead;
mod answers;
mod async_letters;
mod async_order;
mod async_start;
mod async_workers;
mod caps;
mod costs;
mod crash;
mod deploy;
mod dismissal;
mod failures_async;
mod failures_catch_up;
mod failures_inline;
mod faults;
mod inline;
mod month;
mod outages;
mod parked;
pub mod rig;
mod scheduled;
mod sessions;
mod settings;
mod shards;
mod shutdown;
mod tenants;
mod told;
mod upcast;
mod versions;
pub mod week;

pub use rig::until;
