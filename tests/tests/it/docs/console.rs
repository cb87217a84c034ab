//! The blocks ```` ```console ```` and ```` ```sh ```` of a page are run, all in one shell, on a database of their own; what a
//! comment `<!-- given … -->` says is run before. Every command has to end well. Lines below one of `console` are what it
//! prints: `[..]` stands for any text, and a line `...` for any lines.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use eventfabric_tests::{database, eventfabric_bin, target_dir, wasm, workspace};
use futures::StreamExt as _;

use super::blocks::is_list;
use super::{pages, text};

/// How long a page may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A command, or several.
struct Step {
    command: String,
    /// What it prints, where the page says so.
    prints: Option<Vec<String>>,
    /// The reader does not see it.
    given: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_book_do_what_they_say() {
    let with_steps = pages().into_iter().filter_map(|page| {
        let steps = steps(&text(&page), !is_list(&page));
        steps.iter().any(|step| !step.given).then_some((page, steps))
    });
    let said: Vec<Result<(), String>> = futures::stream::iter(with_steps)
        .map(|(page, steps)| async move { run(&page, &steps).await })
        .buffer_unordered(3)
        .collect()
        .await;
    assert!(said.len() > 15, "where have the commands gone?");
    let wrong: Vec<String> = said.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn run(page: &Path, steps: &[Step]) -> Result<(), String> {
    let db = database().await;
    let (folder, said) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        script += &format!("exec >\"$SAID/{number}\" 2>&1\n{}\n", step.command);
    }
    let bin = eventfabric_bin();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = tokio::process::Command::new("bash");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENTFABRIC_") {
            shell.env_remove(name);
        }
    }
    shell
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", bin.parent().unwrap().display()))
        .env("SAID", said.path())
        .env("PLUGINS", wasm("aircraft").parent().unwrap())
        .env("WEEK", workspace().join("tests/data/flights-2013-01-week1.ndjson.gz"))
        .env("EVENTFABRIC_DATABASE_URL", db.url())
        .env("EVENTFABRIC_LOG", "error")
        .env("XDG_CACHE_HOME", target_dir().join("it-cache"))
        .stdin(Stdio::null())
        .process_group(0);
    let mut child = shell.spawn().unwrap();
    let group = format!("-{}", child.id().unwrap());
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    // What was started in the background and is still there.
    let kill = ["-s", "KILL", "--", &group];
    let _ = std::process::Command::new("kill").args(kill).stderr(Stdio::null()).status();
    let printed = |number: usize| std::fs::read_to_string(said.path().join(number.to_string()));
    for (number, step) in steps.iter().enumerate() {
        let Ok(text) = printed(number) else { break };
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let last = number + 1 == steps.len() || printed(number + 1).is_err();
        let failed = last && !matches!(&ended, Ok(Ok(status)) if status.success());
        let other = step.prints.as_ref().is_some_and(|expected| !fits(expected, &lines));
        if failed || other {
            let (page, command) = (page.display(), &step.command);
            return Err(format!("{page}: `{command}` ({ended:?}) prints\n{text}"));
        }
    }
    Ok(())
}

fn fits(expected: &[String], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((any, expected)), _) if any == "..." => {
            (0..=lines.len()).any(|skipped| fits(expected, &lines[skipped..]))
        }
        (Some((one, expected)), Some((line, lines))) => {
            line_fits(one, line) && fits(expected, lines)
        }
        (Some(_), None) => false,
    }
}

fn line_fits(expected: &str, line: &str) -> bool {
    let mut parts = expected.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The steps of a page, with those of its blocks `sh` or without.
fn steps(page: &str, with_sh: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if line == "<!-- given" {
            let given: Vec<&str> = lines.by_ref().take_while(|line| *line != "-->").collect();
            steps.push(Step { command: given.join("\n"), prints: None, given: true });
        } else if with_sh && line.trim_start() == "```sh" {
            let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
            let block: Vec<&str> =
                block.map(|line| line.get(indent..).unwrap_or_default()).collect();
            steps.push(Step { command: block.join("\n"), prints: None, given: false });
        } else if line.trim_start() == "```console" {
            for line in lines.by_ref().take_while(|line| line.trim_start() != "```") {
                let line = line.get(indent..).unwrap_or_default();
                if let Some(command) = line.strip_prefix("$ ") {
                    let command = command.to_owned();
                    steps.push(Step { command, prints: Some(Vec::new()), given: false });
                } else if let Some(prints) = steps.last_mut().and_then(|step| step.prints.as_mut())
                {
                    prints.push(line.to_owned());
                }
            }
        }
    }
    steps
}

#[test]
fn what_a_command_prints_is_compared() {
    let expected = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&expected("a\n...\nz [..] y"), &["a", "b", "c", "z 1 y"]));
    assert!(fits(&expected("a\n...\nz"), &["a", "z"]));
    assert!(!fits(&expected("a\n...\nz"), &["a", "b"]));
    assert!(!fits(&expected("a"), &["a", "b"]));
    assert!(!fits(&[], &["a"]));
    assert!(!fits(&expected("a [..] b"), &["a 1 c"]));
}
