//! `eventfabric plugin config`

use std::collections::BTreeMap;

use serde::Serialize;

use super::connect::Context;
use super::projections::tell;
use super::{exit, output};
use crate::plugin::{self, ConfigError};

/// The settings of a plugin: what `config.get` answers it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Settings that are set here are in the database, for all hosts, and win over those of [plugin.NAME] in the
settings file, key by key. Hosts follow within a second; no batch sees both. The history says who changed
which key, and not its values.

Examples:
  eventfabric plugin config carriers get
  eventfabric plugin config carriers set region eu --by ada
  eventfabric plugin config carriers unset region")]
pub(super) struct Config {
    /// The plugin; it need not have been deployed yet
    name: String,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// One setting, or all of them, with where each comes from
    Get {
        /// The setting
        key: Option<String>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a setting a value, for all hosts
    Set {
        /// The setting
        key: String,
        /// Its value
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Who you are
        #[arg(long, env = "USER", default_value = "somebody")]
        by: String,
    },
    /// Take a setting out of the database: what the settings file says holds again
    Unset {
        /// The setting
        key: String,
        /// Who you are
        #[arg(long, env = "USER", default_value = "somebody")]
        by: String,
    },
}

/// A setting and where it comes from.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: String,
    /// `database`, or `file` for the settings of this process.
    from: &'static str,
    set_at: Option<chrono::DateTime<chrono::Utc>>,
    set_by: Option<String>,
}

pub(super) async fn run(context: &Context, command: Config) -> anyhow::Result<()> {
    let (pool, name) = (context.pool().await?, command.name);
    match command.command {
        ConfigCommand::Get { key, json } => {
            let settings = settings(context, &pool, &name).await?;
            let Some(key) = key else {
                let header = ["key", "value", "from", "since", "by"];
                return output::list(&settings, json, &header, |setting: &Setting| {
                    vec![
                        setting.key.clone(),
                        setting.value.clone(),
                        setting.from.to_owned(),
                        setting.set_at.map_or_else(String::new, output::time),
                        setting.set_by.clone().unwrap_or_default(),
                    ]
                });
            };
            match settings.into_iter().find(|setting| setting.key == key) {
                Some(setting) if json => output::value(&setting),
                Some(setting) => output::line(&setting.value),
                None => Err(exit::bad_input(format!("`{name}` has no setting `{key}`"))),
            }
        }
        ConfigCommand::Set { key, value, by } => {
            let changed = change(&pool, &name, &key, Some(value), &by).await?;
            said(&pool, changed, &format!("{key} of {name} is set"), "has that value already").await
        }
        ConfigCommand::Unset { key, by } => {
            let changed = change(&pool, &name, &key, None, &by).await?;
            said(&pool, changed, &format!("{key} of {name} is unset"), "was not set here").await
        }
    }
}

/// Those of the database, and those of the settings file that they leave.
async fn settings(
    context: &Context,
    pool: &sqlx::PgPool,
    name: &str,
) -> anyhow::Result<Vec<Setting>> {
    let of_file = context.settings.plugin.get(name).into_iter().flatten();
    let mut all: BTreeMap<String, Setting> = of_file
        .map(|(key, value)| {
            let (key, value) = (key.clone(), value.clone());
            (key.clone(), Setting { key, value, from: "file", set_at: None, set_by: None })
        })
        .collect();
    for stored in plugin::config(pool, name).await? {
        let setting = Setting {
            key: stored.key.clone(),
            value: stored.value,
            from: "database",
            set_at: Some(stored.set_at),
            set_by: stored.set_by,
        };
        all.insert(stored.key, setting);
    }
    Ok(all.into_values().collect())
}

async fn change(
    pool: &sqlx::PgPool,
    name: &str,
    key: &str,
    value: Option<String>,
    by: &str,
) -> anyhow::Result<bool> {
    let changes = BTreeMap::from([(key.to_owned(), value)]);
    plugin::set_config(pool, name, &changes, false, by).await.map_err(|error| match error {
        ConfigError::Value(why) => exit::bad_input(why),
        error => error.into(),
    })
}

async fn said(pool: &sqlx::PgPool, changed: bool, done: &str, not: &str) -> anyhow::Result<()> {
    if changed {
        tell(pool).await?;
        return output::line(done);
    }
    output::line(&format!("nothing is changed: it {not}"))
}
