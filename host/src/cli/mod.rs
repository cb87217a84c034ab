//! The command line: one file a command.

mod answers;
mod append;
mod args;
mod attack;
mod build;
mod changes;
mod codes;
mod completions;
mod config;
mod connect;
mod costs;
mod counted;
mod deploy;
mod dev;
mod dismiss;
mod dlq;
mod doctor;
#[cfg(test)]
mod document;
mod events;
mod exit;
mod explain;
mod export;
mod failures;
mod grants;
mod home;
mod import;
mod inspect;
mod line;
mod logging;
mod logs;
mod migrate;
mod output;
mod partitions;
mod plugin;
mod projections;
mod query;
mod rebuild;
mod replay;
mod run;
mod run_tenants;
mod scaffold;
mod scenario;
mod schemas;
mod settings;
mod snapshots;
mod stats;
mod status;
mod tenants;
mod types;
mod verify;
mod versions;
mod wait;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser as _;
use connect::Context;

use crate::settings::WrongSettings;
use crate::telemetry;

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    if let Some(code) = crate::plugin::compile_worker() {
        return code;
    }
    let args = Args::parse();
    logging::start(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return exit::FAILED.into();
        }
    };
    match runtime.block_on(dispatch(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", exit::message(&error));
            if let Some(code) = codes::of(&error) {
                eprintln!("code: {code} (`eventfabric explain {code}` tells more)");
            }
            exit::code(&error).into()
        }
    }
}

async fn dispatch(args: Args) -> anyhow::Result<()> {
    let context = Context::new(&args)?;
    let telemetry = telemetry::start(&context.settings.telemetry)
        .map_err(|error| WrongSettings::Meaning(error.to_string()))?;
    let result = match args.command {
        Command::Migrate(command) => migrate::run(&context, command).await,
        Command::Run(command) => run::run(&context, command).await,
        Command::Append(command) => append::run(&context, command).await,
        Command::Import(command) => import::run(&context, command).await,
        Command::Events(command) => events::run(&context, command).await,
        Command::Stats(command) => stats::run(&context, command).await,
        Command::Doctor(command) => doctor::run(&context, command).await,
        Command::Dismiss(command) => dismiss::dismiss(&context, command).await,
        Command::Undismiss(command) => dismiss::undismiss(&context, command).await,
        Command::Dismissed(command) => dismiss::list(&context, command).await,
        Command::Projections(command) => projections::run(&context, command).await,
        Command::Query(command) => query::run(&context, command).await,
        Command::Dlq(command) => dlq::run(&context, command).await,
        Command::Plugin(command) => plugin::run(&context, command).await,
        Command::Dev(command) => dev::run(&context, command).await,
        Command::Snapshots(command) => snapshots::run(&context, command).await,
        Command::Partitions(command) => partitions::run(&context, command).await,
        Command::Schemas(command) => schemas::run(&context, command).await,
        Command::Types(command) => types::run(&context, command).await,
        Command::Verify(command) => verify::run(&context, command).await,
        Command::Tenants(command) => tenants::run(&context, command).await,
        Command::Wait(command) => wait::run(&context, command).await,
        Command::Config(command) => settings::run(&context, command),
        Command::Explain(command) => explain::run(&command),
        Command::Completions(command) => completions::completions(&command),
        Command::Manual(command) => completions::manual(&command),
    };
    context.close().await;
    telemetry.finish().await;
    result
}
