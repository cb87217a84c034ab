//! `eventfabric run`

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::args;
use super::connect::Context;
use super::run_tenants::Tenants;
use crate::http::{HttpConfig, Server};
use crate::tenancy::Directory;
use crate::{db, store};

pub(super) async fn run(context: &Context, command: args::Run) -> anyhow::Result<()> {
    let plugins = command.plugins.or_else(|| context.settings.plugins.clone());
    if let Some(dir) = &plugins {
        anyhow::ensure!(dir.is_dir(), "the plugin folder {} is not there", dir.display());
    }
    let all_tenants = command.all_tenants || context.settings.tenancy.run_all;
    if all_tenants && !context.has_database() {
        anyhow::ensure!(
            command.http.or(context.settings.http.listen).is_none(),
            "the HTTP API needs a database of its own beside those of the tenants: give \
             --database-url"
        );
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        Tenants::open(context, plugins, !command.no_migrate).await?.run(context, stop).await;
        tracing::info!("stopped");
        return Ok(());
    }
    let pool = context.pool().await?;
    if !command.no_migrate {
        let report = store::migrate::migrate(&pool).await?;
        tracing::info!(applied = report.applied.len(), already = report.already, "migrated");
    }
    let database = pool.connect_options().get_database().unwrap_or_default().to_owned();
    pool.close().await;
    tracing::info!(database, version = env!("CARGO_PKG_VERSION"), "starting");
    let host = Arc::new(context.host(None).await?);
    let directory =
        Directory::fixed(context.settings.tenants.clone()).with_table(host.store().pool().clone());
    let tenants = match all_tenants {
        true => Some(Tenants::open(context, plugins.clone(), !command.no_migrate).await?),
        false => None,
    };
    let stop = CancellationToken::new();
    let http = context.settings.http.clone();
    let config = HttpConfig {
        listen: command.http.or(http.listen),
        allow_anonymous: http.allow_anonymous || command.http_no_tokens,
        ..http
    };
    let server = match config.listen {
        Some(listen) => {
            let topics = context.settings.topics.clone();
            let server = Server::bind(host.clone(), &config, topics, listen, stop.clone()).await?;
            Some(match &tenants {
                Some(tenants) => server.with_fleet(tenants.fleet()),
                None => server.without_tenants(directory),
            })
        }
        None => None,
    };
    stop_on_signals(stop.clone())?;
    let served = server.map(|server| tokio::spawn(server.run()));
    let others = async {
        if let Some(tenants) = &tenants {
            tenants.run(context, stop.clone()).await;
        }
    };
    let own = async {
        let ran = host.run(plugins, stop.clone()).await;
        stop.cancel();
        ran
    };
    let (ran, ()) = tokio::join!(own, others);
    if let Some(served) = served {
        served.await.context("the HTTP API")?;
    }
    ran?;
    db::close(host.store().pool()).await;
    tracing::info!("stopped");
    Ok(())
}

/// The first signal finishes the batches in hand; the second one ends the process at once, which
/// is as safe: what was not committed did not happen.
pub(super) fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: finishing the batches in hand (again to stop at once)");
        stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::warn!("stopped at once; what was not committed will be done again");
        std::process::exit(130);
    });
    Ok(())
}
