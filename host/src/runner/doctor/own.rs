//! The settings of the host itself, and whether it fits to what else works on the database.

use std::collections::BTreeSet;

use super::{Finding, Found, Patient};
use crate::{plugin, store};

/// Settings that a host refuses, and those that do not go together.
pub(super) async fn settings(patient: &Patient) -> Found {
    let config = &patient.config;
    let projections = config.projections.iter().map(|(name, new)| {
        new.check().map_err(|error| anyhow::Error::new(error).context(format!("projection.{name}")))
    });
    let checks = [config.runner.check(), config.limits.check()].into_iter().chain(projections);
    let mut found: Vec<Finding> = checks
        .filter_map(Result::err)
        .map(|error| {
            let what = format!("a host does not start with them: {error:#}");
            Finding::problem(
                "settings",
                what,
                "change it; `eventfabric config show` tells where it is set",
            )
        })
        .collect();
    let (batch, append) = (config.limits.batch, config.append_timeout);
    if batch >= append {
        found.push(Finding::warning(
            "append_timeout",
            format!(
                "an append is given up after {append:?}, and an inline plugin that is part of it may take \
                 {batch:?} (limits.batch)"
            ),
            "make append_timeout longer than limits.batch",
        ));
    }
    let (poll, stall) = (config.runner.poll, config.runner.stall);
    if poll >= stall {
        found.push(Finding::warning(
            "runner.stall",
            format!(
                "what waits for its next look, each {poll:?} (runner.poll), is called a stall after {stall:?}"
            ),
            "make runner.stall much longer than runner.poll",
        ));
    }
    Ok(found)
}

/// Settings for plugins that nobody has deployed.
pub(super) async fn names(patient: &Patient) -> Found {
    let config = &patient.config;
    let known: BTreeSet<String> =
        plugin::registered(&patient.pool).await?.into_iter().map(|plugin| plugin.name).collect();
    let named = [
        ("limits.plugin", config.limits.plugin.keys().collect::<Vec<_>>()),
        ("sandbox.plugin", config.sandbox.plugin.keys().collect()),
        ("plugin", config.plugins.keys().collect()),
        ("projection", config.projections.keys().collect()),
    ];
    let named =
        named.into_iter().flat_map(|(of, names)| names.into_iter().map(move |name| (of, name)));
    let mut found: Vec<Finding> = named
        .filter(|(_, name)| !known.contains(*name))
        .map(|(of, name)| {
            Finding::note(
                format!("{of}.{name}"),
                "no plugin of this name is deployed, so these settings are for nobody",
                "deploy it, or mend the name: `eventfabric projections list` has those that are",
            )
        })
        .collect();
    found.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(found)
}

/// Whether all hosts are of one version, and this one can run every plugin that is active.
pub(super) async fn versions(patient: &Patient) -> Found {
    let mine = env!("CARGO_PKG_VERSION");
    let hosts = store::hosts(&patient.pool).await?;
    let mut found: Vec<Finding> = hosts
        .into_iter()
        .filter(|host| host.version != mine)
        .map(|host| {
            Finding::warning(
                format!("host {}", host.name),
                format!("it runs version {}, and this program is {mine}", host.version),
                "finish the upgrade: replace the hosts one by one, SIGTERM first",
            )
        })
        .collect();
    if !patient.components {
        return Ok(found);
    }
    let registered = plugin::registered(&patient.pool).await?;
    for active in registered.iter().filter(|active| !active.is_relay()) {
        let name = &active.name;
        if let Err(error) = plugin::runnable(&patient.pool, name, &active.version).await? {
            found.push(Finding::problem(
                format!("projection {name}"),
                format!("this program can't run its active version: {error}"),
                "build the plugin anew and deploy it, or use the version of eventfabric that it is for",
            ));
        }
    }
    Ok(found)
}
