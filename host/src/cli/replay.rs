//! `eventfabric plugin replay`

use std::path::PathBuf;

use serde_json::json;

use super::connect::Context;
use super::projections::short;
use super::{exit, inspect, output, versions};
use crate::runner::{self, Capsule, Ended, Verdict};
use crate::sandbox::{BatchCall, Step, Value};

/// Characters of a value, and of a statement, that are shown.
const VALUE: usize = 60;
const STATEMENT: usize = 200;

/// What to replay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`eventfabric dlq show ID --export FILE` makes a capsule. No database is needed: the handler gets the answers \
that were recorded. It ends with 1 while the event still fails, so it can be given to `git bisect run`.

Examples:
  eventfabric plugin replay letter-17.json
  eventfabric plugin replay letter-17.json --wasm \"$(eventfabric plugin build --json | jq -r .file)\"")]
pub(super) struct Replay {
    /// The capsule
    capsule: PathBuf,
    /// Another component than the one that failed [default: the .wasm beside the capsule]
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Replay) -> anyhow::Result<()> {
    let text = versions::bytes(&command.capsule).await?;
    let capsule = Capsule::read(&String::from_utf8_lossy(&text))
        .map_err(|why| exit::bad_input(format!("{}: {why}", command.capsule.display())))?;
    let beside = command.capsule.with_extension("wasm");
    let (plugin, _) = inspect::load(context, command.wasm.as_ref().unwrap_or(&beside)).await?;
    if plugin.description.name != capsule.plugin {
        return Err(exit::bad_input(format!(
            "the capsule is of the plugin `{}`, and the component is `{}`",
            capsule.plugin, plugin.description.name
        )));
    }
    let (verdict, taken) = runner::replay(&capsule, &plugin).await;
    let fails = matches!(verdict, Verdict::Same | Verdict::Other { .. });
    if command.json {
        output::value(&json!({
            "plugin": capsule.plugin,
            "recorded_version": capsule.version,
            "version": plugin.version.full(),
            "recorded": capsule.again,
            "steps": taken,
            "outcome": verdict,
        }))?;
    } else {
        let version = match plugin.version.full() == capsule.version {
            true => format!("version {}, which failed", plugin.version),
            false => format!("version {}, and {} failed", plugin.version, short(&capsule.version)),
        };
        let event = capsule.event();
        output::line(&format!(
            "{} ({version}) on event {}, {} of {}",
            capsule.plugin, event.position, event.event_type, event.stream
        ))?;
        for (number, step) in (1..).zip(&capsule.steps[..taken]) {
            for line in lines(step) {
                output::line(&format!("{number:>4}  {line}"))?;
            }
        }
        output::line(&told(&verdict, &capsule))?;
    }
    anyhow::ensure!(!fails, "the event fails");
    Ok(())
}

fn told(verdict: &Verdict, capsule: &Capsule) -> String {
    match verdict {
        Verdict::Same => format!("the same failure: {}", ended(capsule.again.as_ref())),
        Verdict::Other { failure } => format!(
            "another failure: {}\nand it was: {}",
            ended(Some(failure)),
            ended(capsule.again.as_ref())
        ),
        Verdict::Well => "no failure: the event is handled".to_owned(),
        Verdict::Astray { ran, recorded } => {
            let mut text = "it goes another way from here, and what the database would say was not recorded. It \
                            runs:\n"
                .to_owned();
            for call in ran {
                text.push_str(&format!("      {}\n", statement(call)));
            }
            text.push_str("  and it had run:\n");
            match recorded {
                Some(step) => {
                    for line in lines(step) {
                        text.push_str(&format!("      {line}\n"));
                    }
                }
                None => text.push_str("      nothing more\n"),
            }
            text.push_str(&format!("  and failed: {}", ended(capsule.again.as_ref())));
            text
        }
    }
}

fn ended(ended: Option<&Ended>) -> String {
    match ended {
        None => "it did not fail when the capsule was made".to_owned(),
        Some(ended) => format!(
            "{}: {}",
            ended.class.as_deref().unwrap_or("failed"),
            output::printable(&ended.error)
        ),
    }
}

/// What a step asked, and what it was answered.
fn lines(step: &Step) -> Vec<String> {
    let of = |statement: &str, params: &[Value], answer: String| {
        let call = BatchCall { statement: statement.to_owned(), params: params.to_vec() };
        format!("{} → {answer}", self::statement(&call))
    };
    match step {
        Step::Log { asked, answer } => vec![format!("{asked} → {answer}")],
        Step::Execute { statement, params, answer } => {
            let answer = match answer {
                Ok(rows) => format!("{rows} rows"),
                Err(error) => format!("error: {error}"),
            };
            vec![of(statement, params, answer)]
        }
        Step::Query { statement, params, answer } => {
            let answer = match answer {
                Ok(set) => {
                    let row = |row: &Vec<Value>| format!("({})", values(row));
                    let rows: Vec<String> = set.rows.iter().take(3).map(row).collect();
                    format!("{} rows {}", set.rows.len(), rows.join(" "))
                }
                Err(error) => format!("error: {error}"),
            };
            vec![of(statement, params, answer)]
        }
        Step::Batch { calls, answer } => (0..)
            .zip(calls)
            .map(|(at, call): (u32, _)| {
                let answer = match answer {
                    Ok(counts) => {
                        format!("{} rows", counts.get(at as usize).copied().unwrap_or_default())
                    }
                    Err(failed) if failed.call == at => format!("error: {}", failed.error),
                    Err(_) => "undone".to_owned(),
                };
                of(&call.statement, &call.params, answer)
            })
            .collect(),
        Step::End(error) => vec![format!("deferred constraints → error: {error}")],
    }
}

fn statement(call: &BatchCall) -> String {
    let text = call.statement.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{} [{}]", cut(&text, STATEMENT), values(&call.params))
}

fn values(values: &[Value]) -> String {
    let one = |value: &Value| match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(named)) => {
            cut(&named.values().map(ToString::to_string).collect::<String>(), VALUE)
        }
        _ => "NULL".to_owned(),
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn cut(text: &str, most: usize) -> String {
    let text = output::on_one_line(text);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
