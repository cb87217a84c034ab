//! `eventfabric run --all-tenants`

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connect::Context;
use super::run::stop_on_signals;
use crate::runner::Fleet;
use crate::settings::Settings;
use crate::store;
use crate::tenancy::{Directory, Tenants};

pub(super) async fn run(
    context: &Context,
    plugins: Option<PathBuf>,
    migrate: bool,
) -> anyhow::Result<()> {
    let settings = &context.settings;
    if migrate && (settings.database_url.is_some() || settings.embedded.is_some()) {
        // The table of the directory is one of the store's.
        let pool = context.pool().await?;
        store::migrate::migrate(&pool).await?;
        pool.close().await;
    }
    let directory = context.directory().await?;
    let hosts =
        Tenants::hosts(directory.clone(), settings.tenancy.clone(), settings.host(), migrate)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting, for all tenants");
    let fleet = Arc::new(Fleet::new(hosts, plugins));
    tokio::select! {
        () = fleet.run(stop) => {}
        () = follow_settings(context, &directory) => {}
    }
    tracing::info!("stopped");
    Ok(())
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
