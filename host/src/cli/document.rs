//! `docs/reference/cli.md`, from what `--help` says; and the commands and settings that pages show.

use clap::{CommandFactory as _, Parser as _};
use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::args::Args;
use crate::settings::Settings;

fn docs() -> std::path::PathBuf {
    eventfabric_testdb::workspace().join("docs")
}

#[test]
fn the_golden_list_of_commands_is_what_help_says() {
    let mut program = Args::command();
    program.build();
    let mut made = "# Commands\n\nWhat `--help` says, of all commands. The options of the first list are those of every command.\n"
        .to_owned();
    section(program, "eventfabric", &mut made);
    let path = docs().join("reference/cli.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "{} tells of other commands: UPDATE_GOLDEN=1", path.display());
}

fn section(command: clap::Command, path: &str, made: &mut String) {
    let root = !path.contains(' ');
    let mut command = command.mut_args(|arg| {
        let hidden = !root && arg.is_global_set();
        arg.hide_env_values(true).hide(hidden)
    });
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    made.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(sub.clone(), &format!("{path} {}", sub.get_name()), made);
    }
}

/// The pages of the book, and the README.
fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut left = vec![docs(), docs().with_file_name("README.md")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "md") {
            pages.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    pages
}

/// The blocks of code of a page with what they are said to be.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

#[test]
fn the_settings_that_pages_show_are_settings() {
    let mut count = 0;
    for (path, page) in pages() {
        for (_, block) in blocks(&page).filter(|(language, _)| *language == "toml") {
            let read = Figment::new().merge(Toml::string(block)).extract::<Settings>();
            assert!(read.is_ok(), "{path}: {}\n{block}", read.unwrap_err());
            count += 1;
        }
    }
    assert!(count > 3, "where have the settings gone?");
}

#[test]
fn the_commands_that_pages_show_are_commands() {
    let mut count = 0;
    for (path, page) in pages() {
        for (_, block) in
            blocks(&page).filter(|(language, _)| matches!(*language, "sh" | "console" | "text"))
        {
            let joined = block.replace("\\\n", " ");
            for line in joined.lines().map(|line| line.trim_start().trim_start_matches("$ ")) {
                if !line.starts_with("eventfabric ") {
                    continue;
                }
                let parsed = Args::try_parse_from(words(line));
                assert!(parsed.is_ok(), "{path}: {line}\n{}", parsed.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 100, "where have the commands gone?");
}

/// The words of the first command of a line, as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for char in line.chars() {
        let last = words.last_mut().unwrap();
        match quote {
            Some(open) if open == char => quote = None,
            Some(_) => last.push(char),
            None if matches!(char, '\'' | '"') => quote = Some(char),
            None if matches!(char, '|' | '>' | '<' | '&' | '#') && last.is_empty() => break,
            None if char == ' ' => {
                if !last.is_empty() {
                    words.push(String::new());
                }
            }
            None => last.push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
