//! The arguments of every command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::embedded::DEFAULT_DIR;
use crate::trace::TraceContext;

/// An event store on PostgreSQL whose projections are WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(
    name = "eventfabric",
    version,
    arg_required_else_help = true,
    after_help = "\
Settings come from flags, then EVENTFABRIC_* variables, then eventfabric.toml.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the stream is not at the expected version;
4 the input can't be used; 5 the database can't be reached; 6 not done in the time given;
7 the log is not what was sealed."
)]
pub(super) struct Args {
    /// The database: postgres://user:password@host:5432/database [env: EVENTFABRIC_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "embedded")]
    pub database_url: Option<String>,

    /// Use a private PostgreSQL in DIR instead: found or downloaded, started and stopped as needed
    #[arg(long, global = true, value_name = "DIR", num_args = 0..=1, require_equals = true,
          default_missing_value = DEFAULT_DIR)]
    pub embedded: Option<PathBuf>,

    /// The settings file [default: eventfabric.toml, where it is there]
    #[arg(long, global = true, value_name = "FILE", env = "EVENTFABRIC_CONFIG")]
    pub config: Option<PathBuf>,

    /// What to log to stderr, such as `debug` or `eventfabric=debug,plugin=trace`
    /// [default: info,sqlx=warn]
    #[arg(long, global = true, value_name = "FILTER", env = "EVENTFABRIC_LOG")]
    pub log: Option<String>,

    /// How the log looks
    #[arg(long, global = true, value_enum, default_value_t, env = "EVENTFABRIC_LOG_FORMAT")]
    pub log_format: LogFormat,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make or update the tables of the event store
    Migrate(Migrate),
    /// Run the projections, and deploy plugins from a folder
    Run(Run),
    /// Append one event
    Append(Append),
    /// Append the events of an NDJSON file, one a line
    Import(Import),
    /// Read the log, or one stream
    Events(super::events::Events),
    /// Count the events by type and aggregate, and what waits to be delivered
    Stats(super::stats::Stats),
    /// The settings of this process
    Config(super::settings::Config),
    /// Look whether anything is wrong, and what to do about it
    Doctor(super::doctor::Doctor),
    /// Leave events out of reads and deliveries from now on; they stay in the log
    Dismiss(super::dismiss::Dismiss),
    /// Take dismissals back
    Undismiss(super::dismiss::Undismiss),
    /// Which events are dismissed, and who did it
    Dismissed(super::dismiss::Dismissed),
    /// Show the projections and how they stand
    Projections(Projections),
    /// Read the tables of a plugin
    Query(Query),
    /// Dead letters: events that a projection could not handle
    #[command(subcommand)]
    Dlq(super::dlq::Dlq),
    /// Plugins: make, build and test them; deploy, compare and roll back their versions
    Plugin(Plugin),
    /// Work on a plugin: on every save build it, run its scenarios and show the rows that it makes
    Dev(super::dev::Dev),
    /// Snapshots of aggregates
    Snapshots(super::snapshots::Snapshots),
    /// The log in partitions by position
    Partitions(super::partitions::Partitions),
    /// JSON Schemas of events, and whether appends are checked against them
    Schemas(super::schemas::Schemas),
    /// Write the types of events, as they are in the log, in the language of a plugin
    Types(super::types::Types),
    /// Look whether the log is what was sealed
    Verify(super::verify::Verify),
    /// Tenants that have a database of their own
    Tenants(super::tenants::Tenants),
    /// Wait for the projections
    Wait(Wait),
    /// What the code of an error means, and what to do
    Explain(super::explain::Explain),
    /// Print what a shell needs to complete these commands
    Completions(super::completions::Completions),
    /// Write the manual pages of these commands
    Manual(super::completions::Manual),
}

#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Deploy every .wasm of this folder, now and whenever one changes
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// Run those of all tenants that have a database of their own, too (see `tenants`), and follow
    /// the directory
    #[arg(long)]
    pub all_tenants: bool,
    /// Serve the HTTP API, such as on 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Let everybody on this machine use the HTTP API, on a loopback address
    #[arg(long)]
    pub http_no_tokens: bool,
    /// Refuse to run on a database that needs migrations, instead of applying them
    #[arg(long)]
    pub no_migrate: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Append {
    /// The kind of aggregate, such as Account
    #[arg(long)]
    pub aggregate: String,
    /// Which aggregate of that kind
    #[arg(long)]
    pub id: String,
    /// The type of the event, such as AccountOpened
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: String,
    /// The payload, a JSON object; `-` reads it from stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub payload: String,
    /// The version of the payload's schema
    #[arg(long, default_value_t = 1)]
    pub schema_version: i32,
    /// What the stream must be like: any, none, exists, or the version of its last event
    #[arg(long, value_name = "VERSION", default_value = "any", value_parser = expected_version,
          allow_hyphen_values = true)]
    pub expected: crate::event::ExpectedVersion,
    /// The id of the event; appending it again changes nothing
    #[arg(long, value_name = "UUID")]
    pub event_id: Option<Uuid>,
    /// The tenant; one that has a database of its own (see `tenants`) gets the event there
    #[arg(long, default_value = crate::event::DEFAULT_TENANT)]
    pub tenant: String,
    /// The label in the outbox [default: the aggregate's topic in the settings]
    #[arg(long)]
    pub topic: Option<String>,
    /// When it happened, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub occurred_at: Option<DateTime<Utc>>,
    /// What belongs together
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// What caused it
    #[arg(long, value_name = "ID")]
    pub causation_id: Option<String>,
    /// The trace that it belongs to, as W3C Trace Context has it [default: the variable TRACEPARENT, with
    /// TRACESTATE, where they are valid]
    #[arg(long, value_name = "TRACEPARENT")]
    pub traceparent: Option<TraceContext>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// NDJSON, gzipped or not; `-` reads stdin.
    ///
    /// A line: {"aggregate", "id", "type", "payload"} and, where wanted, "version" (of the
    /// payload's schema), "occurred_at", "event_id", "tenant", "topic", "correlation_id",
    /// "causation_id", "traceparent".
    pub file: PathBuf,
    /// Events in a transaction
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// The tenant of lines that name none. Where it has a database of its own (see `tenants`), that is
    /// imported into
    #[arg(long, default_value = crate::event::DEFAULT_TENANT)]
    pub tenant: String,
    /// What makes lines the same: a line with the same source, number and text is imported once
    /// [default: the name of the file, without .gz]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// What to do at a line that can't be used: stop there, or go on with the others
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnError,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// What is before the line is imported, what is after it is not
    #[default]
    Stop,
    /// The line is left out
    Skip,
}

#[derive(Debug, clap::Args)]
pub(super) struct Projections {
    #[command(subcommand)]
    pub command: ProjectionsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProjectionsCommand {
    /// Which projections there are
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// How they stand: state, position, what is left to do and how old it is, errors, rebuilds
    Status(super::status::Status),
    /// What they cost: time in the plugin and in SQL, statements, rows and bytes, all together and for an event of
    /// each type
    Costs(super::costs::Costs),
    /// Change how one works, for all hosts, while they run
    Set(super::projections::Set),
    /// Have no host run one; events wait for it
    Pause(super::projections::Pause),
    /// Have the hosts run one again that was paused, or that an error has stopped
    Resume {
        /// The projection
        name: String,
    },
    /// Fill new tables from the log by its active version, while the old ones are served, and put them
    /// into their place; run again, it goes on where it was interrupted
    Rebuild(super::rebuild::Rebuild),
    /// Have a catch-up projection go on from another place in the log
    Reset(super::rebuild::Reset),
}

#[derive(Debug, clap::Args)]
pub(super) struct Query {
    /// The plugin, whose tables are named without a schema
    pub plugin: String,
    /// One SELECT; it runs as the plugin's reader, and writes nothing
    pub sql: String,
    /// Print this many rows, at most, and end with 1 where there are more; 0 for all
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub limit: usize,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    pub command: PluginCommand,
}

impl Plugin {
    /// Whether it is run on an author's machine, again and again.
    pub(super) fn is_of_author(&self) -> bool {
        matches!(
            self.command,
            PluginCommand::New(_)
                | PluginCommand::Build(_)
                | PluginCommand::Test(_)
                | PluginCommand::Replay(_)
        )
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Make the folder of a new plugin: a projection that builds, with a table, scenarios and tests
    New(super::scaffold::New),
    /// Build the component of a plugin's folder by the tools of its language
    Build(super::build::Build),
    /// Run a plugin's scenarios: given these events, expect these rows
    Test(super::scenario::Test),
    /// Handle the event of a capsule (see `dlq show --export`) once more, with the answers that the database
    /// gave
    Replay(super::replay::Replay),
    /// Make a component the active version of its projection, for all hosts
    Deploy(super::deploy::Deploy),
    /// Look at a component as a deploy would, in tables that go again
    Check(super::versions::Check),
    /// What a component would change: description, imports, statements, and the rows it makes of the same events
    Diff(super::versions::Compare),
    /// The versions of a plugin that were active
    Versions(super::versions::Past),
    /// What became of each version of a plugin, refused ones included
    History(super::versions::Past),
    /// Make a version active again that was so before
    Rollback(super::deploy::Rollback),
    /// Drop the tables that were kept when another version came with new ones
    Retire(super::deploy::Retire),
    /// The settings of a plugin in the database, for all hosts
    Config(super::config::Config),
    /// What a plugin has said, and says
    Logs(super::logs::Logs),
    /// Have no host run a plugin for a while: as `projections pause`
    Pause(super::projections::Pause),
    /// Have the hosts run a plugin again: as `projections resume`
    Resume {
        /// The plugin
        name: String,
    },
    /// Have no host run a plugin any more
    Remove(super::versions::Remove),
    /// What a component says of itself, and whether this host would run it; needs no database
    Inspect {
        /// A .wasm file
        file: PathBuf,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// What a deployed plugin is granted, and which statements its active version uses: what each reads
    /// and writes
    Show {
        /// The plugin
        name: String,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the SQL with which an administrator makes the roles of plugins, where the host may make none
    Roles {
        /// The plugins
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Have a strict sandbox know a statement of the active version of a plugin; it is judged, and not run
    Learn {
        /// The plugin
        name: String,
        /// The statements, exactly as the plugin writes them
        #[arg(required = true)]
        sql: Vec<String>,
    },
    /// Ask a query that a plugin answers, as `GET /v1/query/PLUGIN/QUERY` does
    Query(super::answers::Ask),
    /// Let a plugin use what is not its own, or no longer; without --add and --remove, what it may use
    Grants(super::grants::Grants),
}

#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// Until every projection has handled every event that is there
    #[arg(long, required = true)]
    pub caught_up: bool,
    /// How long, at most
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

fn expected_version(text: &str) -> Result<crate::event::ExpectedVersion, String> {
    use crate::event::ExpectedVersion;
    match text {
        "any" => Ok(ExpectedVersion::Any),
        "none" => Ok(ExpectedVersion::NoStream),
        "exists" => Ok(ExpectedVersion::StreamExists),
        number => match number.parse::<i32>() {
            Ok(version) if version >= 0 => Ok(ExpectedVersion::Exact(version)),
            _ => Err("give `any`, `none`, `exists`, or a version from 0".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Args::command().debug_assert();
    }
}
