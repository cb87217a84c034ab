//! The settings of tenants with databases of their own, with their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the databases of tenants are opened and kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenancyConfig {
    /// `run` runs the projections of all tenants of the directory.
    pub run_all: bool,
    /// Databases that are open at a time, at most; those that run projections are not counted.
    pub max_open: usize,
    /// One that nobody has used for this long is closed.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// How long to wait for a database to answer, for a connection to it, or for another one to be
    /// closed where all are in use.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// Connections to one database, at most.
    pub connections: u32,
    /// How often the directory is read by what must follow its changes.
    #[serde(with = "humantime_serde")]
    pub follow: Duration,
    /// Databases that are migrated, or started to be run, at the same time.
    pub at_once: usize,
}

impl Default for TenancyConfig {
    fn default() -> Self {
        Self {
            run_all: false,
            max_open: 64,
            idle: Duration::from_secs(300),
            patience: Duration::from_secs(5),
            connections: 5,
            follow: Duration::from_secs(5),
            at_once: 4,
        }
    }
}

impl TenancyConfig {
    /// Refuses what would open nothing or spin.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("max_open", self.max_open),
            ("connections", self.connections as usize),
            ("at_once", self.at_once),
        ] {
            anyhow::ensure!(value > 0, "tenancy.{name} is 0, and must be at least 1");
        }
        for (name, value) in
            [("idle", self.idle), ("patience", self.patience), ("follow", self.follow)]
        {
            anyhow::ensure!(!value.is_zero(), "tenancy.{name} must be longer than nothing");
        }
        Ok(())
    }
}
