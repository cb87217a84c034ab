//! The upgrade of a database with live data: a host and a writer of an earlier revision work on it while today's
//! program migrates it, and while a host of today works beside them and takes over.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::demo::{Host, MODELS, PLUGINS, WEEK};
use crate::plugins;
use crate::run::{cargo, command, output, root, run, target_dir};

/// Lines of a writer, and how many it hands over at a time.
const LINES: usize = 1500;
const BATCH: usize = 10;
/// The pause between.
const PAUSE: Duration = Duration::from_millis(200);
/// What does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(180);

/// Lets the upgrade from a program, or from that of a revision, happen and looks whether anything was lost,
/// failed or was done twice.
pub fn upgrade(revision: Option<&str>, program: Option<&Path>) -> anyhow::Result<()> {
    let old = match program {
        Some(program) => std::path::absolute(program)?,
        None => build_old(revision)?,
    };
    let version = output(command(&old).arg("--version"))?;
    println!("from {} ({})", version.trim(), old.display());
    Upgrade::prepare(old)?.happen()
}

/// The newest revision whose migrations are others than today's.
fn before_the_last_migration() -> anyhow::Result<String> {
    let last = output(command("git").args(["log", "-1", "--format=%H", "--", "migrations"]))?;
    Ok(format!("{}^", last.trim()))
}

struct Upgrade {
    /// The data, the logs.
    dir: PathBuf,
    postgres: PathBuf,
    plugins: PathBuf,
    old: PathBuf,
    new: PathBuf,
}

impl Upgrade {
    fn prepare(old: PathBuf) -> anyhow::Result<Self> {
        let dir = target_dir().join("upgrade");
        plugins::build_only(&PLUGINS)?;
        run(&mut cargo(&["build", "--workspace", "--bin", "eventfabric"]))?;

        let testdb = crate::run::testdb()?;
        let postgres = output(command(&testdb).arg("reachable").arg(dir.join("postgres")))?;
        let postgres = PathBuf::from(postgres.trim());
        if postgres.is_dir() {
            run(command(&testdb).arg("stop-in").arg(&postgres))?;
            fs::remove_dir_all(&postgres).with_context(|| postgres.display().to_string())?;
        }
        let plugins = dir.join("plugins");
        fs::create_dir_all(&plugins)?;
        for plugin in PLUGINS {
            fs::copy(plugins::file(plugin), plugins.join(format!("{plugin}.wasm")))?;
        }
        let new = built();
        Ok(Self { dir, postgres, plugins, old, new })
    }

    fn happen(&self) -> anyhow::Result<()> {
        let [lines_old, lines_new] = self.lines()?;
        let old = self.start_host(&self.old, "old")?;
        let writer = self.start_writer(&self.old, "old", lines_old)?;
        self.until_flights(&self.old, 50)?;

        println!("migrating, while the host before works");
        run(&mut self.eventfabric(&self.new, &["migrate"]))?;
        let now = self.flights(&self.new)?;
        self.until_flights(&self.new, now + 50)?;

        println!("a host and a writer of today beside it");
        let new = self.start_host(&self.new, "new")?;
        let writer_new = self.start_writer(&self.new, "new", lines_new)?;
        let now = self.flights(&self.new)?;
        self.until_flights(&self.new, now + 100)?;

        println!("the host before ends");
        old.stop()?;
        writer.done()?;
        writer_new.done()?;
        run(&mut self.eventfabric(&self.new, &["wait", "--caught-up", "--timeout", "120s"]))?;
        self.check()?;
        new.stop()?;
        let said = [self.warnings("old")?, self.warnings("new")?].concat();
        ensure!(said.is_empty(), "the hosts have warned:\n{}", said.join("\n"));
        println!(
            "nothing failed, was lost or was done twice; the data is in {}",
            self.dir.display()
        );
        Ok(())
    }

    fn eventfabric(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = command(program);
        command
            .arg(format!("--embedded={}", self.postgres.display()))
            .args(["--log", "warn"])
            .args(arguments)
            .env("XDG_CACHE_HOME", self.dir.join("cache"));
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    fn start_host(&self, program: &Path, name: &str) -> anyhow::Result<Host> {
        let mut run = command(program);
        run.arg(format!("--embedded={}", self.postgres.display()))
            .args(["--log-format", "json", "--log", "info", "run", "--plugins"])
            .arg(&self.plugins)
            .env("XDG_CACHE_HOME", self.dir.join("cache"));
        let mut host = Host::start(&mut run, &self.log(name))?;
        host.wait_for(|line| line["message"] == "running")?;
        Ok(host)
    }

    /// The first lines of the week for two writers: what belongs to one stream is one writer's.
    fn lines(&self) -> anyhow::Result<[Vec<String>; 2]> {
        let week = root().join(format!("{WEEK}.ndjson.gz"));
        let text = output(command("gzip").arg("-dc").arg(week))?;
        let mut lines = [Vec::new(), Vec::new()];
        for line in text.lines() {
            let event: Value = serde_json::from_str(line)?;
            let stream = format!("{}/{}", event["aggregate"], event["id"]);
            let part = stream.bytes().map(usize::from).sum::<usize>() % 2;
            if lines[part].len() < LINES {
                lines[part].push(line.to_owned());
            }
        }
        Ok(lines)
    }

    /// Imports the lines at a steady pace. One append that fails ends it.
    fn start_writer(
        &self,
        program: &Path,
        name: &'static str,
        lines: Vec<String>,
    ) -> anyhow::Result<Writer> {
        let batch = BATCH.to_string();
        let mut import =
            self.eventfabric(program, &["import", "-", "--source", name, "--batch", &batch]);
        let log = self.dir.join(format!("writer-{name}.log"));
        let mut child = import
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("a writer cannot be started")?;
        let mut stdin = child.stdin.take().context("a writer without input")?;
        let feeding = spawn(move || {
            for some in lines.chunks(BATCH) {
                stdin.write_all((some.join("\n") + "\n").as_bytes())?;
                sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Writer { name, child, feeding, log })
    }

    fn flights(&self, program: &Path) -> anyhow::Result<u64> {
        let sql = "SELECT count(*) AS n FROM board";
        let json = output(&mut self.eventfabric(program, &["query", "board", sql, "--json"]))?;
        let rows: Value = serde_json::from_str(&json)?;
        rows[0]["n"].as_str().and_then(|n| n.parse().ok()).context("no number of flights")
    }

    fn until_flights(&self, program: &Path, wanted: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.flights(program)? < wanted {
            ensure!(
                Instant::now() < deadline,
                "the flights do not come; see {}",
                self.dir.display()
            );
            sleep(PAUSE);
        }
        Ok(())
    }

    /// Compares what the projections have made of the log with what they make of it anew.
    fn check(&self) -> anyhow::Result<()> {
        let letters = output(&mut self.eventfabric(&self.new, &["dlq", "list", "--json"]))?;
        let letters: Vec<Value> =
            serde_json::from_str(&letters).with_context(|| format!("dead letters: {letters}"))?;
        ensure!(letters.is_empty(), "there are dead letters: {letters:?}");
        for model in &MODELS {
            let plugin = model.plugin;
            let sql = format!("SELECT {} FROM {plugin} ORDER BY {}", model.columns, model.order);
            let rows =
                || output(&mut self.eventfabric(&self.new, &["query", plugin, &sql, "--json"]));
            let live = rows()?;
            run(&mut self.eventfabric(&self.new, &["projections", "rebuild", plugin]))?;
            ensure!(live == rows()?, "{plugin} has other rows than a rebuild makes");
            println!("{plugin}: as a rebuild makes it");
        }
        Ok(())
    }

    /// What a host has warned of.
    fn warnings(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(self.log(name))?;
        // What is no line of the log is a panic's.
        let lines = text.lines().filter(|line| !line.is_empty()).filter(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["level"].as_str().is_none_or(|level| matches!(level, "ERROR" | "WARN"))
        });
        Ok(lines.map(|line| format!("{name}: {line}")).collect())
    }
}

fn built() -> PathBuf {
    target_dir().join("debug").join(format!("eventfabric{}", std::env::consts::EXE_SUFFIX))
}

/// Builds the program of a revision. What it has in common with today's is not compiled again: the folder of
/// what is built is the same, so today's must be built after it.
fn build_old(revision: Option<&str>) -> anyhow::Result<PathBuf> {
    let revision = revision.map_or_else(before_the_last_migration, |it| Ok(it.to_owned()))?;
    let short = output(command("git").args(["log", "-1", "--format=%h (%ad) %s", &revision]))?;
    println!("building {}", short.trim());
    let dir = target_dir().join("upgrade");
    let (source, archive) = (dir.join("source"), dir.join("source.tar"));
    if source.is_dir() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    run(command("git").args(["archive", "--output"]).arg(&archive).arg(&revision))?;
    run(command("tar").arg("-xf").arg(&archive).arg("-C").arg(&source))?;
    let mut build = cargo(&["build", "--workspace", "--bin", "eventfabric", "--target-dir"]);
    run(build.arg(target_dir()).current_dir(&source))?;
    let old = dir.join("old");
    fs::copy(built(), &old)?;
    Ok(old)
}

/// A program that imports what it is handed.
struct Writer {
    name: &'static str,
    child: Child,
    feeding: JoinHandle<std::io::Result<()>>,
    log: PathBuf,
}

impl Writer {
    /// Waits until all was appended.
    fn done(mut self) -> anyhow::Result<()> {
        let fed = self.feeding.join();
        let status = self.child.wait()?;
        if !status.success() || !matches!(fed, Ok(Ok(()))) {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("an append of the {} writer failed ({status}):\n{said}", self.name);
        }
        println!("the {} writer has appended all of its events", self.name);
        Ok(())
    }
}
