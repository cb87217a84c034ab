//! Settings: flags over `EVENTFABRIC_*` over `eventfabric.toml`.

mod given;
#[cfg(test)]
mod limits;
mod names;
#[cfg(test)]
mod reference;
mod shown;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::event::TenantId;
use crate::http::HttpConfig;
use crate::plugin::{Limits, NewProjection};
use crate::relay::NatsConfig;
use crate::runner::{HostConfig, RunnerConfig};
use crate::sandbox::SandboxConfig;
use crate::store::seal::Seal;
use crate::telemetry::TelemetryConfig;
use crate::tenancy::{DatabaseUrl, TenancyConfig};

pub use given::{Given, Source, Unknown, WrongSettings};

/// The file that is read when none is named, if it is there.
pub const FILE: &str = "eventfabric.toml";

/// All settings with their defaults. In the environment two underscores part the levels:
/// `EVENTFABRIC_RUNNER__POLL=1s`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `postgres://user:password@host:5432/database`.
    pub database_url: Option<String>,
    /// The directory of a private PostgreSQL; used instead of `database_url`.
    pub embedded: Option<PathBuf>,
    /// The folder whose components are deployed.
    pub plugins: Option<PathBuf>,
    /// Where compiled plugins are kept, in a folder of this user alone.
    pub cache_dir: Option<PathBuf>,
    /// Connections for appends and runners, at most.
    pub max_connections: u32,
    /// Connections for queries that plugins answer, at most.
    pub query_connections: u32,
    /// Appends that arrive together share transactions.
    pub group_commit: bool,
    /// What an append may take as a whole, its inline plugins included.
    #[serde(with = "humantime_serde")]
    pub append_timeout: Duration,
    /// The keys that seal and verify events, one a line as NAME:HEX; the first one seals.
    pub seal_key: Option<Seal>,
    /// A file with such keys, for who wants them neither in the environment nor in the settings.
    pub seal_key_file: Option<PathBuf>,
    /// Topics of aggregates: the label of their events in the outbox.
    pub topics: BTreeMap<String, String>,
    /// Tenants that have a database of their own: where it is.
    pub tenants: BTreeMap<TenantId, DatabaseUrl>,
    /// How the databases of tenants are opened and kept.
    pub tenancy: TenancyConfig,
    /// The runners.
    pub runner: RunnerConfig,
    /// The HTTP API.
    pub http: HttpConfig,
    /// Traces for a collector.
    pub telemetry: TelemetryConfig,
    /// The limits of plugins.
    pub limits: Limits,
    /// The limits of their SQL.
    pub sandbox: SandboxConfig,
    /// Relays of the log to streams of NATS JetStream, by name.
    pub relay: BTreeMap<String, NatsConfig>,
    /// How projections begin that are new to the database, by name.
    pub projection: HashMap<String, NewProjection>,
    /// Settings of plugins, by plugin: what `config.get` answers them.
    pub plugin: HashMap<String, BTreeMap<String, String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: None,
            embedded: None,
            plugins: None,
            cache_dir: default_cache_dir(),
            max_connections: HostConfig::default().max_connections,
            query_connections: HostConfig::default().query_connections,
            group_commit: HostConfig::default().group_commit,
            append_timeout: HostConfig::default().append_timeout,
            seal_key: None,
            seal_key_file: None,
            topics: BTreeMap::new(),
            tenants: BTreeMap::new(),
            tenancy: TenancyConfig::default(),
            runner: RunnerConfig::default(),
            http: HttpConfig::default(),
            telemetry: TelemetryConfig::default(),
            limits: Limits::default(),
            sandbox: SandboxConfig::default(),
            relay: BTreeMap::new(),
            projection: HashMap::new(),
            plugin: HashMap::new(),
        }
    }
}

impl Settings {
    /// Reads the file (`file`, or [`FILE`] where it is there) and the environment.
    ///
    /// # Errors
    /// [`WrongSettings`], and a file of keys that can't be read.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::of(&Given::read(file)?)
    }

    /// The same of what was read already.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn of(given: &Given) -> anyhow::Result<Self> {
        let mut settings = given.settings()?;
        settings.read_seal_keys()?;
        let relays = NatsConfig::check_all(&settings.relay);
        relays.map_err(|error| WrongSettings::Meaning(format!("{error:#}")))?;
        Ok(settings)
    }

    /// Every setting that has a value or could have one: its path, the value without what is secret in it,
    /// and where it is from.
    pub fn shown(&self, given: &Given) -> Vec<(String, serde_json::Value, Source)> {
        shown::of(self, given)
    }

    fn read_seal_keys(&mut self) -> anyhow::Result<()> {
        let Some(file) = &self.seal_key_file else { return Ok(()) };
        anyhow::ensure!(self.seal_key.is_none(), "set seal_key or seal_key_file, not both");
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("seal_key_file {} cannot be read", file.display()))?;
        let seal = text.parse().with_context(|| format!("seal_key_file {}", file.display()))?;
        self.seal_key = Some(seal);
        Ok(())
    }

    /// What a host is told.
    pub fn host(&self) -> HostConfig {
        HostConfig {
            runner: self.runner.clone(),
            limits: self.limits.clone(),
            sandbox: self.sandbox.clone(),
            plugins: self
                .plugin
                .iter()
                .map(|(name, config)| (name.clone(), Arc::new(config.clone())))
                .collect(),
            projections: self.projection.clone(),
            relays: self
                .relay
                .iter()
                .map(|(name, relay)| relay.relay(name, &self.topics))
                .collect(),
            topics: self.topics.clone(),
            cache_dir: self.cache_dir.clone(),
            compile_apart: true,
            max_connections: self.max_connections,
            query_connections: self.query_connections,
            group_commit: self.group_commit,
            append_timeout: self.append_timeout,
            seal: self.seal_key.clone(),
            upcasters: HostConfig::default().upcasters,
        }
    }
}

/// Variables with the same prefix that are read in other places: by the command line before the
/// settings are known, by the private server, by this project's tests.
fn is_elsewhere(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "log" | "log_format" | "config" | "postgres_bin" | "bin")
        || name.starts_with("test_")
}

fn default_cache_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .map(|dir| dir.join("eventfabric"))
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;

    fn parse(toml: &str) -> Result<Settings, Box<figment::Error>> {
        Figment::new().merge(Toml::string(toml)).extract().map_err(Box::new)
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let settings = parse("[runner]\npoll = \"1s\"\n[limits]\nbatch = \"3s\"").unwrap();
        assert_eq!(settings.runner.poll, Duration::from_secs(1));
        assert_eq!(settings.runner.catch_up.batch, RunnerConfig::default().catch_up.batch);
        assert_eq!(settings.limits.batch, Duration::from_secs(3));
        assert_eq!(settings.sandbox, SandboxConfig::default());
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused() {
        assert!(parse("pluggins = \"x\"").unwrap_err().to_string().contains("pluggins"));
        assert!(parse("[runner]\npol = \"1s\"").unwrap_err().to_string().contains("pol"));
    }

    #[test]
    fn settings_of_a_plugin_are_its_own() {
        let settings = parse("[plugin.owners]\nregion = \"eu\"").unwrap();
        assert_eq!(settings.host().plugins["owners"]["region"], "eu");
    }

    #[test]
    fn the_address_of_a_tenant_is_in_no_error() {
        let settings = parse("[tenants]\nacme = \"postgres://me:hunter2@db/acme\"").unwrap();
        assert_eq!(settings.tenants.len(), 1);
        assert!(!format!("{settings:?}").contains("hunter2"));
        for wrong in ["acme = \"mysql://me:hunter2@db/acme\"", "\"\" = \"postgres://hunter2@d/a\""]
        {
            let error = parse(&format!("[tenants]\n{wrong}")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(parse("[tenants]\nacme = 7").unwrap_err().to_string().contains("tenants.acme"));
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        assert!(is_elsewhere("LOG") && is_elsewhere("test_server") && !is_elsewhere("plugins"));
    }
}
