//! What drives the projections: inline in the append's transaction, catch-up from a checkpoint,
//! async from the outbox.

mod catch_up;
mod config;
mod deliver;
mod deploy;
mod fleet;
mod folder;
mod head;
mod host;
mod inline;
mod outage;
mod outbox;
mod partitions;
mod retries;
mod status;
mod supervisor;
mod tenants;

pub use config::{AsyncConfig, CatchUpConfig, PartitionsConfig, RunnerConfig};
pub use deploy::{DeployError, Deployed, deploy};
pub use fleet::{Fleet, TenantState};
pub use head::Head;
pub use host::{Host, HostConfig};
pub use inline::InlinePlugins;
pub use status::{Progress, ProjectionStatus, progress, statuses};
pub use tenants::Hosts;
