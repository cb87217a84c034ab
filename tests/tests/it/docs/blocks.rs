//! Every block of code of the book and the README is of a kind that some test runs, reads or compiles; what none can run
//! is told here, with the reason.

use std::path::{Path, PathBuf};

use eventfabric_tests::workspace;

use super::pages;

/// Pages whose blocks `sh` show what there is to choose from, or need what no test has. Their commands of the program
/// are parsed (`the_commands_that_pages_show_are_commands`, in the host's own tests).
const LISTS: [(&str, &str); 7] = [
    ("README.md", "commands to choose from, and tasks that take long"),
    ("docs/authors.md", "it is walked by the tests in `authors`"),
    ("docs/how-to/nats.md", "a server of NATS, whose relays the tests in `relay` try"),
    (
        "docs/how-to/traces.md",
        "a collector in a container; the tests in `traces` have one of their own",
    ),
    ("docs/performance.md", "measurements that take long"),
    ("docs/tenants.md", "servers of others; the tests in `tenants` have some"),
    ("docs/versions.md", "commands to choose from, whose ways the tests in `runners` go"),
];

/// Pages with commands as `text`: steps that end at another machine, or with a prompt of another program.
const BY_HAND: [(&str, &str); 5] = [
    ("docs/how-to/add-tenant.md", "the database is on another server"),
    ("docs/how-to/back-up.md", "a server is stopped, restored and started"),
    ("docs/how-to/managed-postgresql.md", "the server is somebody else's"),
    ("docs/how-to/partition.md", "a partition that is full holds millions of events"),
    (
        "docs/tutorial/",
        "the tools of five languages; `cargo xtask sdks` builds and tests the templates",
    ),
];

/// What those pages may start.
const PROGRAMS: [&str; 19] = [
    "cargo",
    "cat",
    "cd",
    "cp",
    "createdb",
    "curl",
    "docker",
    "eventfabric",
    "export",
    "mkdir",
    "nats",
    "nats-server",
    "pg_basebackup",
    "pg_ctl",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "psql",
    "touch",
];

/// A block of a page.
pub(super) struct Block {
    pub(super) page: PathBuf,
    pub(super) line: usize,
    /// What it is said to be: the language, and more after a comma.
    pub(super) kind: String,
    pub(super) text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}: ```{}", self.page.display(), self.line, self.kind)
    }
}

/// The blocks of the book and the README.
pub(super) fn blocks() -> Vec<Block> {
    let mut pages = pages();
    pages.push(workspace().join("README.md"));
    let parts = std::fs::read_dir(workspace().join("docs/tutorial/parts")).unwrap();
    pages.extend(parts.map(|part| part.unwrap().path()));
    pages.iter().flat_map(|page| of_page(page)).collect()
}

fn of_page(page: &Path) -> Vec<Block> {
    of_text(page, &std::fs::read_to_string(page).unwrap())
}

/// The blocks of a page, whose text is this.
pub(super) fn of_text(page: &Path, text: &str) -> Vec<Block> {
    let page = page.strip_prefix(workspace()).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let inside =
            lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
        let inside: Vec<&str> = inside.map(|line| line.get(indent..).unwrap_or_default()).collect();
        blocks.push(Block {
            page: page.to_owned(),
            line: number + 1,
            kind: kind.to_owned(),
            text: inside.join("\n") + "\n",
        });
    }
    blocks
}

fn listed(list: &[(&str, &str)], page: &Path) -> bool {
    let page = page.strip_prefix(workspace()).unwrap_or(page).to_string_lossy();
    list.iter().any(|(named, _)| page == *named || named.ends_with('/') && page.starts_with(named))
}

/// Whether the blocks `sh` of a page are not to be run.
pub(super) fn is_list(page: &Path) -> bool {
    listed(&LISTS, page)
}

#[test]
fn every_block_is_of_a_kind_that_some_test_knows() {
    let blocks = blocks();
    assert!(blocks.len() > 150, "where have the blocks gone?");
    let wrong: Vec<String> = blocks
        .iter()
        .filter_map(|block| Some((block.place(), wrong(block)?)))
        .map(|(place, why)| format!("{place}: {why}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a block.
fn wrong(block: &Block) -> Option<String> {
    let tutorial = block.page.starts_with("docs/tutorial");
    match block.kind.as_str() {
        // Run (console.rs, sql.rs), compiled (rust.rs), read (the settings in the host's own tests).
        "console" | "sql" | "rust" | "rust,ignore" | "toml" => None,
        // Of the documentation of the crate itself.
        "rust,no_run" | "toml,cargo" if block.page.ends_with("sessions.md") => None,
        "sh" if is_list(&block.page) => unknown(&block.text),
        "sh" => None,
        // What a program prints, or a drawing; and commands that nobody can run here.
        "" | "text" if block.text.contains("\n$ ") || block.text.starts_with("$ ") => {
            if !listed(&BY_HAND, &block.page) {
                return Some("commands that are run are `console` or `sh`".to_owned());
            }
            let commands = block.text.lines().filter_map(|line| line.strip_prefix("$ "));
            unknown(&commands.collect::<Vec<_>>().join("\n"))
        }
        "" | "text" => None,
        "json" => {
            // Some lines of a list are one, too.
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text);
            let whole = read(&block.text).or_else(|_| read(&format!("[{}]", block.text)));
            whole.err().map(|error| error.to_string())
        }
        "wit" if block.text.starts_with("{{#include ../../wit/") => None,
        // Templates, and changes to them (tutorial.rs).
        "c" | "go" | "python" | "typescript" if tutorial => None,
        _ => Some("no test knows what to do with it".to_owned()),
    }
}

/// What is started that is not on the list.
fn unknown(commands: &str) -> Option<String> {
    let joined = commands.replace("\\\n", " ");
    let lines =
        joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let programs = lines.flat_map(|line| line.split(" && ")).filter_map(|command| {
        // Variables of the command alone.
        command.split_whitespace().find(|word| !word.split('=').next().is_some_and(is_variable))
    });
    let other: Vec<&str> = programs.filter(|program| !PROGRAMS.contains(program)).collect();
    (!other.is_empty()).then(|| format!("nobody knows {other:?}: run it, or say why not"))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[test]
fn what_is_new_is_told() {
    let block = |page: &str, kind: &str, text: &str| Block {
        page: page.into(),
        line: 1,
        kind: kind.to_owned(),
        text: text.to_owned(),
    };
    assert!(wrong(&block("docs/a.md", "yaml", "a: 1\n")).is_some());
    assert!(wrong(&block("docs/a.md", "text", "$ eventfabric run\n")).is_some());
    assert!(wrong(&block("docs/a.md", "c", "int x;\n")).is_some());
    assert!(wrong(&block("docs/a.md", "json", "{]\n")).is_some());
    assert!(wrong(&block("docs/versions.md", "sh", "A=1 kubectl get pods\n")).is_some());
    assert!(
        wrong(&block("docs/versions.md", "sh", "A=1 eventfabric run \\\n   --plugins x\n"))
            .is_none()
    );
}

#[test]
fn the_lists_name_pages_that_need_them() {
    let blocks = blocks();
    for (page, _) in LISTS {
        let needs = |block: &Block| block.page == Path::new(page) && block.kind == "sh";
        assert!(blocks.iter().any(needs), "{page} has no block `sh`");
    }
    for (page, _) in BY_HAND {
        let needs = |block: &Block| listed(&[(page, "")], &block.page) && block.text.contains("$ ");
        assert!(
            blocks.iter().any(|block| block.kind == "text" && needs(block)),
            "{page} has no commands"
        );
    }
}
