//! `eventfabric snapshots list|rebuild|delete`

use clap::Subcommand;

use super::connect::Context;
use super::{exit, output};
use crate::store::{self, SnapshotFilter, SnapshotInfo};

#[derive(Debug, clap::Args)]
pub(super) struct Snapshots {
    #[command(subcommand)]
    command: SnapshotsCommand,
}

#[derive(Debug, Subcommand)]
enum SnapshotsCommand {
    /// Which snapshots there are, and how far their streams have gone on since
    List {
        #[command(flatten)]
        which: Which,
        /// Only those that are to be made anew
        #[arg(long)]
        rebuild_requested: bool,
        /// Snapshots, at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: i64,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Have snapshots made anew from the events, by the program that owns the aggregate
    ///
    /// What an aggregate's state looks like is known to that program alone. So this marks the
    /// snapshots: from now on they are not used, loads read all events, and the next save of each
    /// aggregate writes a new one. `SessionFactory::rebuild_snapshots` does all of them at once.
    Rebuild(Chosen),
    /// Delete snapshots: the next loads read all events, the next ones are written as they fall due
    Delete(Chosen),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only of this kind of aggregate
    #[arg(long)]
    aggregate: Option<String>,
    /// Only of the aggregate with this id
    #[arg(long, requires = "aggregate")]
    id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    #[command(flatten)]
    which: Which,
    /// All snapshots of the database
    #[arg(long, conflicts_with_all = ["tenant", "aggregate", "id"])]
    all: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl SnapshotsCommand {
    fn tenant(&self) -> Option<&str> {
        let (Self::List { which, .. }
        | Self::Rebuild(Chosen { which, .. })
        | Self::Delete(Chosen { which, .. })) = self;
        which.tenant.as_deref()
    }
}

impl From<Which> for SnapshotFilter {
    fn from(which: Which) -> Self {
        let Which { tenant, aggregate, id } = which;
        Self { tenant, aggregate, id, rebuild_requested: false }
    }
}

impl Chosen {
    fn filter(self) -> anyhow::Result<SnapshotFilter> {
        if !self.all && self.which.tenant.is_none() && self.which.aggregate.is_none() {
            return Err(exit::bad_input(
                "which snapshots? Give --aggregate, --tenant, both with --id, or --all",
            ));
        }
        Ok(self.which.into())
    }
}

pub(super) async fn run(context: &Context, command: Snapshots) -> anyhow::Result<()> {
    let pool = context.pool_of(command.command.tenant()).await?;
    match command.command {
        SnapshotsCommand::List { which, rebuild_requested, limit, json } => {
            let filter = SnapshotFilter { rebuild_requested, ..which.into() };
            let list = store::snapshots(&pool, &filter, None, limit).await?;
            let header = ["stream", "version", "behind", "schema", "bytes", "written", "remarks"];
            output::list(&list, json, &header, |info| {
                vec![
                    info.stream().to_string(),
                    info.version.to_string(),
                    info.stream_version.map_or("?".to_owned(), |stream| {
                        (i64::from(stream) - i64::from(info.version)).to_string()
                    }),
                    info.schema_version.to_string(),
                    info.stored_bytes.to_string(),
                    info.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    remarks(info).to_owned(),
                ]
            })
        }
        SnapshotsCommand::Rebuild(chosen) => {
            let json = chosen.json;
            let marked = store::request_snapshot_rebuild(&pool, &chosen.filter()?).await?;
            if json {
                return output::value(&serde_json::json!({ "rebuild_requested": marked }));
            }
            output::line(&match marked {
                0 => "there is no such snapshot".to_owned(),
                n => format!(
                    "{n} to be made anew: by the next save of each aggregate, or by its program's \
                     rebuild_snapshots"
                ),
            })
        }
        SnapshotsCommand::Delete(chosen) => {
            let json = chosen.json;
            let deleted = store::delete_snapshots(&pool, &chosen.filter()?).await?;
            if json {
                return output::value(&serde_json::json!({ "deleted": deleted }));
            }
            output::line(&match deleted {
                0 => "there is no such snapshot".to_owned(),
                n => format!("{n} deleted"),
            })
        }
    }
}

fn remarks(info: &SnapshotInfo) -> &'static str {
    match info.stream_version {
        _ if info.rebuild_requested_at.is_some() => "to be made anew",
        None => "no such stream",
        Some(stream) if stream < info.version => "newer than its stream: not used",
        Some(_) => "",
    }
}
