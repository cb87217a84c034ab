//! `eventfabric run --all-tenants`

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connect::Context;
use crate::runner::Fleet;
use crate::settings::Settings;
use crate::tenancy::{self, Directory};

/// The tenants that have a database of their own, to be run.
pub(super) struct Tenants {
    directory: Directory,
    fleet: Arc<Fleet>,
}

impl Tenants {
    pub(super) async fn open(
        context: &Context,
        plugins: Option<PathBuf>,
        migrate: bool,
    ) -> anyhow::Result<Self> {
        let directory = context.directory().await?;
        let settings = &context.settings;
        let (tenancy, host) = (settings.tenancy.clone(), settings.host());
        let hosts = tenancy::Tenants::hosts(directory.clone(), tenancy, host, migrate)?;
        Ok(Self { directory, fleet: Arc::new(Fleet::new(hosts, plugins)) })
    }

    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Runs them until `stop` is cancelled.
    pub(super) async fn run(&self, context: &Context, stop: CancellationToken) {
        tokio::select! {
            () = self.fleet.run(stop) => {}
            () = follow_settings(context, &self.directory) => {}
        }
    }
}

/// Takes tenants from the settings file as it changes. Never ends.
async fn follow_settings(context: &Context, directory: &Directory) {
    let mut known = context.settings.tenants.clone();
    let mut failing = false;
    loop {
        tokio::time::sleep(context.settings.tenancy.follow).await;
        match Settings::read(context.config.as_deref()) {
            Ok(settings) => {
                failing = false;
                if settings.tenants != known {
                    known.clone_from(&settings.tenants);
                    directory.replace_fixed(settings.tenants);
                }
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the settings cannot be read; the tenants that are known go on"
                );
            }
            Err(_) => {}
        }
    }
}
