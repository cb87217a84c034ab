//! The project's own tasks: `cargo xtask api-test | bank | bench | book | demo | dist | fuzz | nats | plugins |
//! prepare | sdks | soak | test | torture | ui | ui-test | upgrade`.
//!
//! It has few dependencies, so that it compiles in seconds; what needs a database is done by the
//! program `testdb` of the tests, what needs the host by the host.

#![forbid(unsafe_code)]

mod api_test;
mod bank;
mod bench;
mod book;
mod demo;
mod dist;
mod fuzz;
mod nats;
mod plugins;
mod prepare;
mod run;
mod sdks;
mod soak;
mod test;
mod torture;
mod ui;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Try the HTTP API with requests that schemathesis makes up from its OpenAPI document
    ApiTest,
    /// Run the bank example twice on one database, and compare what it says
    Bank,
    /// Measure, with optimisation, on a private PostgreSQL with its default settings
    Bench {
        /// Only this measurement of the store alone, of host/benches
        #[arg(long, value_name = "NAME", conflicts_with = "arguments")]
        of_store: Option<String>,
        /// Passed on, for example `--quick --only append,catch-up --json FILE`; see `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the book of docs into target/book
    Book,
    /// Show the main job from end to end, on a private PostgreSQL and real data
    Demo {
        /// Build the host with optimisation
        #[arg(long)]
        release: bool,
    },
    /// Make a package of the program, with completions, manual pages, systemd unit and licences
    Dist,
    /// Give the host what nobody would write by hand: statements, values, components, lines, requests
    Fuzz {
        /// Passed on, for example `--seconds 3600 --only statements,ordinary`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Find the NATS server that the tests of relays use, or fetch it, and print where it is
    Nats,
    /// Build the example plugins and the tests' guests as WebAssembly components
    Plugins,
    /// Describe the host's SQL statements anew, from a scratch database, in host/.sqlx
    Prepare {
        /// Change nothing; fail when host/.sqlx is not what the statements and the schema give
        #[arg(long)]
        check: bool,
    },
    /// Build and test the SDKs, and a plugin of each kind in each language
    Sdks {
        /// Only these
        languages: Vec<sdks::Language>,
        /// Write the results into sdk/README.md
        #[arg(long)]
        update: bool,
    },
    /// Deliver a million events on a PostgreSQL of its own, and look whether anything grows
    Soak {
        /// Passed on, for example `--deliveries 100000 --rounds 10`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Let hosts, writers and a nemesis loose on a PostgreSQL of their own, and check what came of it
    Torture {
        /// Passed on, for example `--seed 7 --seconds 60 --hosts 3 --runs 20`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run every check: format, plugins, statements, lints, tests, documentation tests
    Test {
        /// Passed on to the test runner, for example a filter of test names
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Build the dashboard, host/ui, into host/ui/dist
    Ui {
        /// Change nothing; fail when host/ui/dist is not what the sources give
        #[arg(long)]
        check: bool,
    },
    /// Try the dashboard in a browser, on a host of its own with data
    UiTest {
        /// Take pictures of its pages instead, into this folder
        #[arg(long, value_name = "FOLDER")]
        shots: Option<std::path::PathBuf>,
    },
    /// Migrate a database while a host of an earlier revision works on it, and have today's take over
    Upgrade {
        /// The earlier revision [default: the newest one with other migrations than today]
        revision: Option<String>,
        /// A program that is there already, instead of a revision
        #[arg(long, conflicts_with = "revision")]
        program: Option<std::path::PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::ApiTest => api_test::api_test(),
        Task::Bank => bank::bank(),
        Task::Bench { of_store: Some(name), .. } => bench::of_store(&name),
        Task::Bench { of_store: None, arguments } => bench::bench(&arguments),
        Task::Book => book::book(),
        Task::Demo { release } => demo::demo(release),
        Task::Dist => dist::dist(),
        Task::Fuzz { arguments } => fuzz::fuzz(&arguments),
        Task::Nats => nats::server()
            .map(|server| println!("{}", server.display()))
            .map_err(anyhow::Error::msg),
        Task::Plugins => plugins::build(),
        Task::Prepare { check } => prepare::prepare(check),
        Task::Sdks { languages, update } => sdks::sdks(&languages, update),
        Task::Soak { arguments } => soak::soak(&arguments),
        Task::Test { arguments } => test::test(&arguments),
        Task::Torture { arguments } => torture::torture(&arguments),
        Task::Ui { check } => ui::ui(check),
        Task::UiTest { shots } => ui::ui_test(shots.as_deref()),
        Task::Upgrade { revision, program } => {
            upgrade::upgrade(revision.as_deref(), program.as_deref())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
