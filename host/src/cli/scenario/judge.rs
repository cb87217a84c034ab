//! Runs a scenario, and says what is not as expected.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::appended;
use super::format::{Expect, Scenario, Trouble, events};
use super::requests;
use super::rows::{Wanted, compare};
use crate::cli::{failures, output};
use crate::event::Event;
use crate::plugin::Rehearsal;
use crate::projection::Failure;
use crate::runner::{Run, Scene, Workbench};
use crate::sandbox::whole_table;

/// What became of a scenario.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Outcome {
    /// The file.
    pub file: PathBuf,
    /// What it is about.
    text: String,
    /// All is as expected.
    pub ok: bool,
    /// What is not.
    problems: Vec<String>,
    /// How long it took.
    ms: u64,
}

impl Outcome {
    /// For people.
    pub(in crate::cli) fn lines(&self) -> String {
        let said = if self.ok { output::good("ok  ") } else { output::bad("FAIL") };
        let file = self.file.display().to_string();
        let mut text =
            format!("{said}  {file}  {} ({} ms)\n", output::on_one_line(&self.text), self.ms);
        for line in self.problems.iter().flat_map(|problem| problem.lines()) {
            text.push_str(&format!("      {line}\n"));
        }
        text
    }
}

/// Runs the scenario of a file.
///
/// # Errors
/// The database's. What is wrong with the file is a problem of the scenario.
pub(in crate::cli) async fn judge(bench: &Workbench<'_>, file: PathBuf) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let (text, problems) = match Scenario::read(&file) {
        Err(why) => (String::new(), vec![format!("the file: {why}")]),
        Ok(scenario) => match events(&scenario.given) {
            Err(why) => (scenario.text, vec![format!("given: {why}")]),
            Ok(events) => {
                let problems = problems(bench, &scenario, &events).await?;
                (scenario.text, problems)
            }
        },
    };
    let ms = begun.elapsed().as_millis() as u64;
    Ok(Outcome { file, text, ok: problems.is_empty(), problems, ms })
}

async fn problems(
    bench: &Workbench<'_>,
    scenario: &Scenario,
    given: &[Event],
) -> anyhow::Result<Vec<String>> {
    let config = Arc::new(scenario.config.clone());
    let description = &bench.plugin().description;
    // An event that says nothing of its topic is taken to have one that fits.
    let fits =
        |event: &Event| event.topic.is_none() || description.topics.matches(event.topic.as_deref());
    let (wanted, unwanted): (Vec<Event>, Vec<Event>) = given
        .iter()
        .cloned()
        .partition(|event| description.wants_type(&event.event_type) && fits(event));
    let appends = scenario.expect.appended.as_deref().unwrap_or_default();
    let answers = scenario.answers.iter().cloned().map(Into::into).collect();
    let rehearsal = Arc::new(Rehearsal::new(answers));
    let scene = Scene {
        events: &wanted,
        given,
        appends: Some(appended::aggregates(appends)),
        config: config.clone(),
        rehearsal: rehearsal.clone(),
    };
    let mut run = bench.run(&scene, wanted.len().max(1), true).await?;
    let failed = Failed::of(&run, &wanted);
    let mut problems = wrong_errors(&failed, scenario.expect.error.as_ref());
    let as_expected = problems.is_empty();
    problems.extend(missing_lines(&run.lines, &scenario.expect.logs));
    problems.extend(requests::wrong(&rehearsal.kept(), scenario.expect.requests.as_deref()));
    // After another failure than the one that is expected, there are other rows, too.
    if as_expected {
        problems.extend(wrong_rows(&mut run, &scenario.expect).await);
        problems.extend(missing_statements(&run, &scenario.expect.statements));
        if let Some(expected) = &scenario.expect.appended {
            problems.extend(appended::compare(&run.appended, expected));
        }
    }
    let together = (run.tables().await?, appended::lines(&run.appended));
    run.end().await?;
    // A reactor has got them one by one.
    if failed.is_empty() && wanted.len() > 1 && !bench.plugin().is_reactor() {
        let mut run = bench.run(&scene, 1, false).await?;
        problems.extend(other_alone(&mut run, &together, &wanted).await?);
        run.end().await?;
    }
    let is_asked = scenario.expect.appended.is_some() || !bench.plugin().is_process_manager();
    if !problems.is_empty() && !is_asked {
        problems.push(
            "(it may append what `expect.appended` names, and the scenario has none)".to_owned(),
        );
    }
    if !problems.is_empty() && !unwanted.is_empty() {
        let of: Vec<String> = unwanted
            .iter()
            .map(|event| format!("{} ({})", event.position, event.event_type))
            .collect();
        problems.push(format!(
            "(these events are not for the plugin, by their type or topic, so it did not get them: {})",
            of.join(", ")
        ));
    }
    Ok(problems)
}

/// An event that failed, or the end of all.
struct Failed {
    event: Option<usize>,
    what: String,
    failure: Failure,
}

impl Failed {
    fn of(run: &Run<'_>, events: &[Event]) -> Vec<Self> {
        let alone = run.failed.iter().map(|(index, failure)| (Some(*index), failure));
        let last = run.stopped.iter().map(|failure| (failure.index, failure));
        let of = |(index, failure): (Option<usize>, &Failure)| {
            let event = index.and_then(|index| events.get(index));
            let what = match event {
                Some(event) => {
                    format!("event {} ({} of {})", event.position, event.event_type, event.stream)
                }
                None => "the plugin".to_owned(),
            };
            let event = event.map(|event| event.position as usize);
            Self { event, what, failure: failure.clone() }
        };
        alone.chain(last).map(of).collect()
    }

    fn is(&self, trouble: &Trouble) -> bool {
        trouble.event.is_none_or(|event| self.event == Some(event))
            && trouble.kind.is_none_or(|kind| self.failure.class() == kind)
            && trouble.message.as_ref().is_none_or(|part| self.failure.message.contains(part))
    }
}

fn wrong_errors(failed: &[Failed], expected: Option<&Trouble>) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(expected) = expected
        && !failed.iter().any(|failed| failed.is(expected))
    {
        let mut what = vec![match expected.event {
            Some(event) => format!("that event {event} fails"),
            None => "that an event fails".to_owned(),
        }];
        what.extend(expected.kind.map(|kind| format!("as `{}`", kind.as_str())));
        what.extend(expected.message.as_ref().map(|part| format!("with \"{part}\"")));
        problems.push(format!("expected {}; none did so", what.join(" ")));
    }
    for failed in failed.iter().filter(|failed| !expected.is_some_and(|it| failed.is(it))) {
        let class = failed.failure.class().as_str();
        let lines = failures::lines(&failed.failure).join("\n");
        problems.push(format!("{} fails as `{class}`: {lines}", failed.what));
    }
    problems
}

async fn wrong_rows(run: &mut Run<'_>, expect: &Expect) -> Vec<String> {
    let mut problems = Vec::new();
    for (table, rows) in &expect.tables {
        let sql = whole_table(table);
        let title = format!("table {table}");
        let wanted = Wanted { title: &title, sql: &sql, rows, ordered: false };
        problems.extend(compare(run, &wanted).await);
    }
    for asked in &expect.queries {
        let title =
            format!("query `{}`", asked.sql.split_whitespace().collect::<Vec<_>>().join(" "));
        let (rows, ordered) = (&*asked.rows, asked.ordered);
        problems
            .extend(compare(run, &Wanted { title: &title, sql: &asked.sql, rows, ordered }).await);
    }
    problems
}

fn missing_statements(run: &Run<'_>, expected: &[String]) -> Vec<String> {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut used: Vec<String> =
        run.steps.iter().flat_map(|step| step.statements()).map(plain).collect();
    used.sort();
    used.dedup();
    let missing = expected.iter().map(|part| plain(part));
    missing
        .filter(|part| !used.iter().any(|text| text.contains(part)))
        .map(|part| {
            let list: Vec<String> = used.iter().map(|text| format!("\n  | {text}")).collect();
            format!("no statement has `{part}`; these were used:{}", list.concat())
        })
        .collect()
}

fn missing_lines(logged: &[String], expected: &[String]) -> Vec<String> {
    let missing = expected.iter().filter(|part| !logged.iter().any(|line| line.contains(&**part)));
    let list = |line: &String| {
        output::printable(line).lines().map(|line| format!("\n  | {line}")).collect::<String>()
    };
    missing
        .map(|part| match logged {
            [] => format!("no line that was logged has `{part}`; none was logged"),
            _ => {
                let list: String = logged.iter().map(list).collect();
                format!("no line that was logged has `{part}`; these were:{list}")
            }
        })
        .collect()
}

/// What is other when the plugin gets event by event: a rebuild, or a slow day, cuts batches anew.
async fn other_alone(
    run: &mut Run<'_>,
    (together, appended): &(BTreeMap<String, Vec<String>>, Vec<String>),
    events: &[Event],
) -> anyhow::Result<Vec<String>> {
    let how = "handled event by event, and not in one batch,";
    if let Some(failed) = Failed::of(run, events).first() {
        let lines = failures::lines(&failed.failure).join("\n");
        return Ok(vec![format!("{how} {} fails: {lines}", failed.what)]);
    }
    if appended::lines(&run.appended) != *appended {
        return Ok(vec![format!(
            "{how} the plugin appends other events: what it decides by must be in its tables or in the \
             streams"
        )]);
    }
    let alone = run.tables().await?;
    let differ = together.iter().filter(|(table, rows)| alone.get(*table) != Some(rows));
    Ok(differ
        .map(|(table, rows)| {
            let empty = Vec::new();
            let other = alone.get(table).unwrap_or(&empty);
            let only = |these: &[String], those: &[String], sign| -> String {
                let differ = these.iter().filter(|row| !those.contains(row));
                differ.map(|row| format!("\n  {sign} {}", output::on_one_line(row))).collect()
            };
            format!(
                "{how} the events leave other rows in {table} (- in one batch, + event by event){}{}",
                only(rows, other, '-'),
                only(other, rows, '+')
            )
        })
        .collect())
}
