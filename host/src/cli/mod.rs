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

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command, LogFormat};
use connect::Context;

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    if let Some(code) = crate::plugin::compile_worker() {
        return code;
    }
    let args = Args::parse();
    start_logging(&args);
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
    result
}

/// What is logged to an author, who looks at rows.
const QUIET: &str = "warn,sqlx=error,plugin=off";

fn start_logging(args: &Args) {
    // A slow statement is news to who runs a host; who asks for much is told by the wait.
    let usual = match args.command {
        // What a relay meets is said by the relay.
        Command::Run(_) => "info,sqlx=warn,async_nats=off",
        // What went wrong in the plugin is told by the command itself.
        Command::Dev(_) => QUIET,
        Command::Plugin(ref plugin) if plugin.is_of_author() => QUIET,
        _ => "info,sqlx=error",
    };
    let filter = args.log.clone().unwrap_or_else(|| usual.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("warning: --log {filter}: {error}; logging at info");
        EnvFilter::new("info")
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Human => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
        }
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
