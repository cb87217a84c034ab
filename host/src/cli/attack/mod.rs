//! `eventfabric doctor --attack`

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;

use super::connect::Context;
use super::exit::{Exit, FAILED};
use super::output;
use crate::sandbox::attack::{Group, Outcome, Stop, run as attack};

/// Attacks the sandbox in the operator's own database, in transactions that are rolled back. Ends
/// with 1 when an attack was not stopped.
pub(super) async fn run(context: &Context, json: bool) -> anyhow::Result<()> {
    context.pool().await?;
    let options = context.options().await?;
    let mut tried = Vec::new();
    for group in Group::ALL {
        let outcomes = attack(&options, &context.settings.sandbox, group).await?;
        if !json {
            print(group, &outcomes)?;
        }
        tried.extend(outcomes.into_iter().map(|outcome| (group, outcome)));
    }
    let through = tried.iter().filter(|(_, outcome)| outcome.stopped.is_none()).count();
    if json {
        let attacks: Vec<_> = tried.iter().map(|(group, outcome)| entry(*group, outcome)).collect();
        output::value(&serde_json::json!({ "held": through == 0, "attacks": attacks }))?;
    } else {
        output::line(&format!(
            "{} attacks, {through} not stopped. Nothing of them is left in the database.",
            tried.len()
        ))?;
    }
    if through == 0 {
        return Ok(());
    }
    let message = format!("{through} of {} attacks on the sandbox were not stopped", tried.len());
    Err(Exit { code: FAILED, message }.into())
}

fn entry(group: Group, outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "group": group,
        "name": outcome.attack.name,
        "stopped_by": outcome.stopped,
        "answer": outcome.answer,
    })
}

/// What stopped an attack, in two words.
fn by(stopped: Option<Stop>) -> &'static str {
    match stopped {
        Some(Stop::WallOne) => "wall one",
        Some(Stop::WallTwo) => "wall two",
        Some(Stop::Limit) => "a limit",
        Some(Stop::Server) => "PostgreSQL",
        None => "NOTHING",
    }
}

fn print(group: Group, outcomes: &[Outcome]) -> anyhow::Result<()> {
    output::line(group.title())?;
    for outcome in outcomes {
        let name = outcome.attack.name;
        // An answer may hold the whole text of an attack.
        let answer: String = output::on_one_line(&outcome.answer).chars().take(120).collect();
        output::line(&format!("  {:<10}  {name}: {answer}", by(outcome.stopped)))?;
    }
    Ok(())
}
