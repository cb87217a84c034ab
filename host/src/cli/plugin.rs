//! `eventfabric plugin …`: which file has which command.

use super::args::{self, PluginCommand};
use super::connect::Context;
use super::{
    answers, build, config, deploy, grants, inspect, logs, output, projections, replay, scaffold,
    scenario, versions,
};

pub(super) async fn run(context: &Context, command: args::Plugin) -> anyhow::Result<()> {
    match command.command {
        PluginCommand::New(command) => scaffold::run(&command),
        PluginCommand::Build(command) => build::run(context, command).await,
        PluginCommand::Test(command) => scenario::run(context, command).await,
        PluginCommand::Replay(command) => replay::run(context, command).await,
        PluginCommand::Deploy(command) => deploy::deploy(context, command).await,
        PluginCommand::Check(command) => versions::check(context, command).await,
        PluginCommand::Diff(command) => versions::compare(context, command).await,
        PluginCommand::Versions(command) => versions::versions(context, command).await,
        PluginCommand::History(command) => versions::history(context, command).await,
        PluginCommand::Rollback(command) => deploy::rollback(context, command).await,
        PluginCommand::Retire(command) => deploy::retire(context, command).await,
        PluginCommand::Config(command) => config::run(context, command).await,
        PluginCommand::Logs(command) => logs::run(context, command).await,
        PluginCommand::Pause(command) => projections::pause(&context.pool().await?, &command).await,
        PluginCommand::Resume { name } => projections::resume(&context.pool().await?, &name).await,
        PluginCommand::Remove(command) => versions::remove(context, command).await,
        PluginCommand::Inspect { file, json } => inspect::run(context, &file, json).await,
        PluginCommand::Show { name, json } => grants::show(context, &name, json).await,
        PluginCommand::Learn { name, sql } => grants::learn(context, &name, &sql).await,
        PluginCommand::Roles { names } => {
            context.pool().await?;
            output::text(&context.sandbox().await?.roles_script(&names).await?)
        }
        PluginCommand::Query(command) => answers::run(context, command).await,
        PluginCommand::Grants(command) => grants::run(context, command).await,
    }
}
