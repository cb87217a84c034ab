//! Plugins: from the bytes of a component to an instance that handles a batch, within limits.
//!
//! Knows the sandbox and the transaction that it lends to a plugin; knows nothing of the log, of
//! checkpoints, or of which plugin runs where.

mod active;
mod bindings;
mod causes;
mod compile;
mod config;
mod contract;
mod costs;
mod deployments;
mod describe;
mod engine;
mod event_log;
mod failure;
mod folder;
mod host;
mod inspect;
mod instance;
mod limits;
mod lines;
mod logs;
mod outgoing;
mod process;
mod queries;
mod ranges;
mod registry;
mod script;
mod session;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod traced;
mod version;
mod wasi;
mod watch;

use crate::code::codes;

use std::time::Duration;

use crate::projection::Mode;

pub use active::Active;
pub use compile::compile_worker;
pub use config::{ConfigError, ConfigValue, config, set_config};
pub use costs::{Cost, Costs, Meter, OTHER, ProjectionCost, TypeCost, costs};
pub use deployments::{
    Action, Deployment, KnownVersion, Origin, Outcome, VersionState, deployments, remove, retire,
    versions,
};
pub use engine::Runtime;
pub use event_log::{Answer, Answered, EventLog, Known, LogError};
pub use inspect::{OUTGOING, runnable};
pub use instance::{Beyond, HandleStats, Plugin};
pub use limits::{Limits, PluginLimits};
pub use lines::Level as LogLevel;
pub use logs::{LogConfig, LogLine, logs};
#[cfg(feature = "telemetry")]
pub(crate) use outgoing::client_tls;
pub use outgoing::{HttpAnswer, Kept, Rehearsal, Requests, SendError};
pub use queries::{Ask, InvalidParameter, arguments};
pub use ranges::{Range, ranges};
pub use registry::{PluginConfig, RELAY, Registered, Registry, Snapshot, registered};
pub use script::Script;
pub use settings::{
    MAX_SHARDS, NewProjection, OnPoison, Paused, ProjectionSettings, SettingsChange, SettingsError,
    Start, change, check_shards, pause, renew, resume,
};
pub use version::{InvalidVersion, Version, check_name, short};
pub use watch::{Found, FoundError, Item, Settle, watch};

/// Why a file is not a plugin that this host can run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than the limit `component_bytes`.
    #[error("the plugin has {bytes} bytes; the limit (`component_bytes`) is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Something else than a WebAssembly component.
    #[error("this is no WebAssembly component: {what}; {hint}")]
    NotAComponent {
        /// What it is.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// It asks for more than a projection gets.
    #[error("the plugin imports {name}, which is not granted: {hint}")]
    Import {
        /// The import.
        name: String,
        /// The setting that would grant it, or that nothing can.
        hint: &'static str,
    },
    /// It asks to append events, and runs in appends.
    #[error(
        "the plugin imports {import} and has the mode inline, which runs within an append: make it catch-up \
         or async"
    )]
    InlineProcess {
        /// The import.
        import: &'static str,
    },
    /// It asks to append events, and no operator has let it.
    #[error(
        "the plugin imports {import}, which is not granted: `eventfabric plugin grants {plugin} --add \
         append:AGGREGATE` lets it append to streams of an aggregate"
    )]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// The import.
        import: &'static str,
    },
    /// It lacks a function of the world `projection`.
    #[error("the plugin does not export `{name}`: build it against the world `projection`")]
    MissingExport {
        /// The function.
        name: &'static str,
    },
    /// It has an extension of the contract in a version that this host does not speak.
    #[error(
        "the plugin is built with {name}, and this host speaks version {known} of it: build with that, or \
         take another host"
    )]
    Extension {
        /// The export or import.
        name: String,
        /// The version that is known.
        known: &'static str,
    },
    /// It sends requests, and is not delivered to in the only way in which that can be.
    #[error(
        "the plugin imports {OUTGOING}, and is {0}: only an async one may send requests, for with another mode \
         appends, or all later events, would wait for a server; give it the mode async"
    )]
    Reactor(Mode),
    /// What it would send requests by can't be made.
    #[error("TLS could not be set up: {0}")]
    Client(String),
    /// A function has another type than in the contract.
    #[error("the plugin does not fit the contract eventfabric:projection@0.1.0: {0}")]
    Contract(String),
    /// It is not valid, or uses a feature that the engine does not have.
    #[error("the plugin does not compile: {0}")]
    Compile(String),
    /// Compiling it takes longer than the limit `compile_time`.
    #[error(
        "the plugin takes more than {limit:?} on processors to compile, and the compiler was stopped: make \
         it smaller, or raise `limits.compile_time`"
    )]
    CompileTime {
        /// The limit.
        limit: Duration,
    },
    /// Compiling it takes more memory than the limit `compile_memory`.
    #[error(
        "the plugin takes more than {limit} bytes of memory to compile, and the compiler was \
         stopped: make it smaller, or raise `limits.compile_memory`"
    )]
    CompileMemory {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It did not return a description.
    #[error("the plugin did not describe itself: {0}")]
    Describe(String),
    /// Its name can't be the name of a schema.
    #[error("the plugin calls itself {name:?}: {reason}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A query that it describes makes no sense.
    #[error("the plugin's queries are wrong: {0}")]
    InvalidQuery(String),
    /// Its description makes no sense.
    #[error("the plugin's description is wrong: {0}")]
    InvalidDescription(String),
}

codes!(LoadError {
    Self::TooLarge { .. } => "plugin-too-large",
    Self::NotAComponent { .. } => "not-a-component",
    Self::Import { .. } => "import-unknown",
    Self::InlineProcess { .. } | Self::Reactor(_) => "plugin-mode",
    Self::NotGranted { .. } => "import-not-granted",
    Self::Client(_) => "plugin-client",
    Self::MissingExport { .. } => "export-missing",
    Self::Extension { .. } => "extension-version",
    Self::Contract(_) => "contract-mismatch",
    Self::Compile(_) => "component-invalid",
    Self::CompileTime { .. } => "compile-time",
    Self::CompileMemory { .. } => "compile-memory",
    Self::Describe(_) => "describe-failed",
    Self::InvalidName { .. } => "plugin-name",
    Self::InvalidQuery(_) => "plugin-queries",
    Self::InvalidDescription(_) => "plugin-description",
});
