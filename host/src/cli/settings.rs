//! `eventfabric config`

use serde::Serialize;
use serde_json::Value;

use super::connect::Context;
use super::output;
use crate::settings::Source;

/// The settings of this process.
#[derive(Debug, clap::Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Every setting, with its value and where it is from: the default, the settings file with its line, a
    /// variable of the environment, a flag. Passwords, keys, tokens and what plugins are set to are not shown
    Show {
        /// Leave out what has its default
        #[arg(long)]
        set: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    value: Value,
    from: Source,
}

pub(super) fn run(context: &Context, command: Config) -> anyhow::Result<()> {
    let ConfigCommand::Show { set, json } = command.command;
    let settings = context.settings.shown(&context.given).into_iter();
    let settings: Vec<Setting> = settings
        .map(|(name, value, from)| Setting { name, value, from })
        .filter(|setting| !set || setting.from != Source::Default)
        .collect();
    output::list(&settings, json, &["setting", "value", "from"], |setting: &Setting| {
        let value = match &setting.value {
            Value::Null => "(none)".to_owned(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        vec![setting.name.clone(), value, setting.from.to_string()]
    })
}
