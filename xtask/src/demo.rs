//! The main job, shown from end to end: a host on a private PostgreSQL, three plugins, a week of
//! real flights, and a plugin that is replaced while the host runs.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::plugins;
use crate::run::{cargo, command, output, root, run, target_dir};

pub const PLUGINS: [&str; 3] = ["aircraft", "board", "carriers"];
pub const WEEK: &str = "tests/data/flights-2013-01-week1";

/// A read model, how to read it as the expected one is written, and what to show of it.
pub struct Model {
    pub plugin: &'static str,
    mode: &'static str,
    pub columns: &'static str,
    pub order: &'static str,
    show: &'static str,
}

pub const MODELS: [Model; 3] = [
    Model {
        plugin: "carriers",
        mode: "async: from the outbox",
        columns: "carrier, departed, arrived, diverted, cancelled, arr_delay_minutes",
        order: "carrier COLLATE \"C\"",
        show: "SELECT * FROM carriers ORDER BY departed DESC LIMIT 5",
    },
    Model {
        plugin: "aircraft",
        mode: "catch-up: in the order of the log, from a checkpoint",
        columns: "aircraft, last_airport, legs, ferried, air_minutes",
        order: "aircraft COLLATE \"C\"",
        show: "SELECT * FROM aircraft ORDER BY air_minutes DESC LIMIT 5",
    },
    Model {
        plugin: "board",
        mode: "inline: in the transaction of each append",
        columns: "to_char(scheduled AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS \
                  scheduled, carrier, flight, origin, dest, aircraft, status, dep_delay, arr_delay",
        order: "board.scheduled, carrier COLLATE \"C\", flight, origin COLLATE \"C\"",
        show: "SELECT scheduled, carrier, flight, origin, dest, status, arr_delay FROM board \
               ORDER BY scheduled DESC, carrier LIMIT 5",
    },
];

/// Shows it all; an error when something is not as it should be.
pub fn demo(release: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    step("Building the three plugins as WebAssembly components", "cargo xtask plugins");
    plugins::build_only(&PLUGINS)?;

    step("Building the host", "cargo build --bin eventfabric");
    let mut build = cargo(&["build", "--workspace", "--bin", "eventfabric"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let demo = Demo::prepare(release)?;

    step("Making the tables, on a PostgreSQL of our own", &demo.by_hand("migrate"));
    run(&mut demo.eventfabric(&["migrate"]))?;

    let folder = demo.plugins.display().to_string();
    step("Starting the host", &demo.by_hand(&format!("run --plugins {folder}")));
    for plugin in PLUGINS {
        demo.deploy(&plugins::file(plugin), plugin)?;
    }
    let mut host = demo.start_host()?;
    host.wait_for(|line| line["message"] == "running")?;
    println!("running, with {}", PLUGINS.join(", "));

    let week = format!("{WEEK}.ndjson.gz");
    step(
        "Importing a week of flights while the projections run",
        &demo.by_hand(&format!("import {week}")),
    );
    run(&mut demo.eventfabric(&["import", &week]))?;

    step("Waiting for the projections", &demo.by_hand("wait --caught-up"));
    run(&mut demo.eventfabric(&["wait", "--caught-up", "--timeout", "120s"]))?;
    run(&mut demo.eventfabric(&["projections", "status"]))?;

    for model in &MODELS {
        let plugin = model.plugin;
        step(
            &format!("{plugin} ({})", model.mode),
            &demo.by_hand(&format!("query {plugin} \"{}\"", model.show)),
        );
        run(&mut demo.eventfabric(&["query", plugin, model.show]))?;
        let rows = demo.compare(model)?;
        println!("all {rows} rows equal {WEEK}.{plugin}.csv, which another program computed");
    }

    demo.replace_carriers(&mut host)?;

    step("Stopping the host", "Ctrl-C, or kill -TERM");
    host.stop()?;
    println!("\ndone in {:.0?}; the data is in {}", started.elapsed(), demo.dir.display());
    println!("to go on: {}", demo.by_hand(&format!("run --plugins {folder}")));
    Ok(())
}

fn step(what: &str, by_hand: &str) {
    println!("\n=== {what}\n    by hand: {by_hand}\n");
}

struct Demo {
    dir: PathBuf,
    plugins: PathBuf,
    binary: PathBuf,
}

impl Demo {
    /// Begins anew, with nothing of an earlier demo.
    fn prepare(release: bool) -> anyhow::Result<Self> {
        let profile = if release { "release" } else { "debug" };
        let binary =
            target_dir().join(profile).join(format!("eventfabric{}", std::env::consts::EXE_SUFFIX));
        let testdb = crate::run::testdb()?;
        let wanted = target_dir().join("demo");
        let dir = output(command(&testdb).arg("reachable").arg(&wanted))?;
        let demo = Self { dir: dir.trim().into(), plugins: wanted.join("plugins"), binary };
        if demo.dir.join("postgres").is_dir() {
            run(command(&testdb).arg("stop-in").arg(demo.dir.join("postgres")))?;
            fs::remove_dir_all(demo.dir.join("postgres")).with_context(|| {
                format!("the data of an earlier demo in {}", demo.dir.display())
            })?;
        }
        if wanted.is_dir() {
            fs::remove_dir_all(&wanted)?;
        }
        fs::create_dir_all(&demo.plugins)?;
        Ok(demo)
    }

    fn eventfabric(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.binary);
        command.arg(format!("--embedded={}", self.dir.join("postgres").display()));
        command.args(["--log", "warn"]).args(arguments);
        command
    }

    fn by_hand(&self, arguments: &str) -> String {
        let short = |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string();
        format!(
            "{} --embedded={} {arguments}",
            short(&self.binary),
            short(&self.dir.join("postgres"))
        )
    }

    /// Puts a component into the folder the way it should be done: whole, by a rename.
    fn deploy(&self, file: &Path, plugin: &str) -> anyhow::Result<()> {
        let part = self.plugins.join(format!("{plugin}.wasm.part"));
        fs::copy(file, &part).with_context(|| file.display().to_string())?;
        fs::rename(part, self.plugins.join(format!("{plugin}.wasm")))?;
        Ok(())
    }

    fn start_host(&self) -> anyhow::Result<Host> {
        let path = target_dir().join("demo").join("host.log");
        let mut run = command(&self.binary);
        run.arg(format!("--embedded={}", self.dir.join("postgres").display()))
            .args(["--log-format", "json", "--log", "info", "run", "--plugins"])
            .arg(&self.plugins);
        Host::start(&mut run, &path)
    }

    /// Compares a read model with the one that another program computed. Answers its rows.
    fn compare(&self, model: &Model) -> anyhow::Result<usize> {
        let table = model.plugin;
        let sql = format!("SELECT {} FROM {table} ORDER BY {}", model.columns, model.order);
        let json = output(&mut self.eventfabric(&["query", model.plugin, &sql, "--json"]))?;
        let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&json)?;
        let path = root().join(format!("{WEEK}.{}.csv", model.plugin));
        let expected = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut lines = expected.lines();
        let header: Vec<&str> = lines.next().context("an empty file")?.split(',').collect();
        let expected: Vec<&str> = lines.collect();
        ensure!(
            rows.len() == expected.len(),
            "{table} has {} rows, expected {}",
            rows.len(),
            expected.len()
        );
        for (row, expected) in rows.iter().zip(expected) {
            let cells: Vec<&str> =
                header.iter().map(|column| row[*column].as_str().unwrap_or_default()).collect();
            let line = cells.join(",");
            ensure!(line == expected, "{table} has {line}, expected {expected}");
        }
        Ok(rows.len())
    }

    /// Builds a changed `carriers`, drops it in, and sees it take over.
    fn replace_carriers(&self, host: &mut Host) -> anyhow::Result<()> {
        step(
            "Replacing a plugin while the host runs",
            "change plugins/carriers, build it, and copy it into the plugin folder",
        );
        let changed = build_changed_carriers()?;
        let dropped = Instant::now();
        self.deploy(&changed, "carriers")?;
        let line = host.wait_for(|line| {
            line["message"] == "deployed"
                && line["plugin"] == "carriers"
                && line["before"].is_string()
        })?;
        let took = dropped.elapsed();
        println!("the host's log:  {line}\n");
        println!("version before   {}", line["before"].as_str().unwrap_or_default());
        println!("version now      {}", line["version"].as_str().unwrap_or_default());
        println!(
            "since the file settled {} (loading, {} events on trial, swap), of a version that this \
             machine has never seen; a release build (--release) on an idle machine takes less than \
             100 ms",
            text(&line["since_settled"]),
            line["tried"]
        );
        println!("since it was dropped in, with the 150 ms that it takes to settle: {took:.0?}");
        run(&mut self.eventfabric(&["projections", "list"]))?;
        let rows = self.compare(&MODELS[0])?;
        println!("carriers still has its {rows} rows, as expected");
        Ok(())
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Copies `carriers` to a package of its own, changes a line, and builds it.
fn build_changed_carriers() -> anyhow::Result<PathBuf> {
    let from = root().join("plugins/carriers");
    let to = target_dir().join("demo").join("carriers");
    for folder in ["src", "migrations"] {
        fs::create_dir_all(to.join(folder))?;
        for file in fs::read_dir(from.join(folder))? {
            let file = file?;
            fs::copy(file.path(), to.join(folder).join(file.file_name()))?;
        }
    }
    let source = to.join("src/lib.rs");
    let text = fs::read_to_string(&source)?;
    let marker = "Flights of each carrier";
    ensure!(text.contains(marker), "plugins/carriers has changed: it lacks `{marker}`");
    // Another version at each run: one that was seen before is in the cache of compiled plugins.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let changed = format!("Changed by the demo ({now}): flights of each carrier");
    fs::write(&source, text.replacen(marker, &changed, 1))?;
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock"))?;
    let manifest = format!(
        "[package]\nname = \"carriers\"\nversion = \"0.1.1\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\neventfabric-sdk = {{ path = {:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         [profile.release]\nlto = true\npanic = \"abort\"\nstrip = true\n",
        root().join("sdk/rust")
    );
    fs::write(to.join("Cargo.toml"), manifest)?;
    let target = target_dir().join("demo").join("build");
    let mut build = cargo(&["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    build.arg("--target-dir").arg(&target).current_dir(&to);
    run(&mut build)?;
    Ok(target.join("wasm32-wasip2/release/carriers.wasm"))
}

/// The host, as a process of its own, and its log.
pub struct Host {
    child: Child,
    log: BufReader<File>,
}

impl Host {
    /// Starts it, with its log in a file.
    pub fn start(run: &mut Command, log: &Path) -> anyhow::Result<Self> {
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        let child = run.spawn().context("the host cannot be started")?;
        println!("its log: {}", log.display());
        Ok(Self { child, log: BufReader::new(File::open(log)?) })
    }

    /// Reads the log until a line is as wanted.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut text = String::new();
        loop {
            let at = self.log.stream_position()?;
            text.clear();
            if self.log.read_line(&mut text)? > 0 && text.ends_with('\n') {
                let line: Value = serde_json::from_str(&text).unwrap_or_default();
                if wanted(&line) {
                    return Ok(line);
                }
                if matches!(line["level"].as_str(), Some("ERROR" | "WARN")) {
                    println!("the host says: {}", text.trim());
                }
                continue;
            }
            // Nothing, or half a line: again from its beginning.
            self.log.seek(SeekFrom::Start(at))?;
            if let Some(status) = self.child.try_wait()? {
                bail!("the host ended: {status}; see its log");
            }
            ensure!(Instant::now() < deadline, "the host did not get there; see its log");
            sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to finish, and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the host ended with {status}");
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
