//! What drives the projections: inline in the append's transaction, catch-up from a checkpoint,
//! async from the outbox.

mod answers;
mod backfill;
mod blue_green;
mod breaker;
mod canary;
mod capsule;
mod catch_up;
mod check;
mod config;
mod contention;
mod deliver;
mod deploy;
mod diff;
pub mod doctor;
mod fallback;
mod fleet;
mod folder;
mod head;
mod health;
mod host;
mod idle;
mod inline;
mod membership;
mod outage;
mod outbox;
mod partitions;
mod query;
mod rebuild;
mod reset;
mod retries;
mod retry;
mod scheduled;
mod stall;
mod status;
mod supervisor;
mod tail;
mod tasks;
mod tenants;
#[cfg(test)]
mod tests;
mod topics;
mod workbench;

pub use capsule::{Capsule, Ended, Verdict, replay, rerun};
mod traced;
mod trial;

pub use blue_green::{Tables, deploy_rebuilt, has_tables, retire, roll_back_rebuilt};
pub use canary::{Canary, Measured, Trial};
pub use check::{Checked, Difference, check};
pub use config::{AsyncConfig, CatchUpConfig, PartitionsConfig, RunnerConfig, TransactionMode};
pub use deploy::{DeployError, Deployed, deploy, deploy_from, roll_back};
pub use diff::{Diff, OnlyIn, diff};
pub use fleet::{Fleet, TenantState};
pub use head::Head;
pub use health::{Health, ProjectionHealth, health};
pub use host::{Host, HostConfig};
pub use inline::InlinePlugins;
pub use query::{QueryError, QueryRequest};
pub use rebuild::{RebuildError, RebuildOptions, RebuildProgress, Rebuilt, rebuild};
pub use reset::{ResetError, reset};
pub use scheduled::deploy_at;
pub use stall::Stall;
pub use status::{Progress, ProjectionStatus, RebuildStatus, progress, rate, statuses};
pub use tenants::Hosts;
pub use workbench::{Run, Scene, Workbench};
