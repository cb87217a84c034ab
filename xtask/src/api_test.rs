//! The HTTP API against its own OpenAPI document: a host on a scratch database, and schemathesis,
//! which makes requests up from the document, right ones and wrong ones.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::run::{cargo, command, has, output, run, target_dir, testdb};

/// What is installed from PyPI.
const SCHEMATHESIS: &str = "schemathesis>=4.32,<5";
/// Requests that are made up for each operation and phase.
const EXAMPLES: &str = "30";
const TOKEN: &str = "a-token-for-the-api-test";
/// A subscription has no end by itself, and schemathesis reads answers to their end. The tenants that
/// it makes up are let in, so that more than their names is tried.
const SETTINGS: &str = r#"
[http]
new_tenants = true

[[http.tokens]]
name = "api-test"
token = "a-token-for-the-api-test"
scopes = ["append", "read", "admin", "metrics"]

[http.limits]
subscription = "200ms"
"#;
/// Rules between fields, such as one of two headers, are not in a document; so a request that the
/// document allows may be refused, with an answer that it has.
const NOT_CHECKED: &str = "positive_data_acceptance,negative_data_rejection";

/// Runs it; an error when an answer is not as documented, or the host does not end well.
pub fn api_test() -> anyhow::Result<()> {
    let schemathesis = installed()?;
    println!("schemathesis: {}", schemathesis.display());
    run(&mut cargo(&["build", "--package", "eventfabric", "--bin", "eventfabric"]))?;
    let database = private_database()?;
    let settings = folder().join("eventfabric.toml");
    fs::write(&settings, SETTINGS).with_context(|| settings.display().to_string())?;
    let address = format!("127.0.0.1:{}", free_port()?);
    println!("a host on {address}, with a database in {}", database.display());
    let mut host = Host::start(&database, &settings, &address)?;
    let document = format!("http://{address}/openapi.json");
    let mut test = command(schemathesis);
    test.args(["run", &document, "--wait-for-schema", "60", "--no-color", "--seed", "1"])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--exclude-checks", NOT_CHECKED])
        .args(["--max-examples", EXAMPLES, "--continue-on-failure"])
        // What it writes down of its work.
        .current_dir(folder());
    let tested = run(&mut test);
    host.stop()?;
    tested.with_context(|| format!("the log of the host is {}", log().display()))?;
    println!("the API answers as its document says");
    Ok(())
}

/// The folder of a private PostgreSQL, without what an earlier run has left.
fn private_database() -> anyhow::Result<PathBuf> {
    let testdb = testdb()?;
    let dir = output(command(&testdb).arg("reachable").arg(folder()))?;
    let dir = Path::new(dir.trim()).join("postgres");
    if dir.is_dir() {
        run(command(&testdb).arg("stop-in").arg(&dir))?;
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    Ok(dir)
}

/// The program, in a Python environment of its own in the target folder.
fn installed() -> anyhow::Result<PathBuf> {
    ensure!(
        has(command("python3").args(["-c", "import sys; assert sys.version_info >= (3, 10)"])),
        "this task needs python3, 3.10 or newer, for schemathesis (https://schemathesis.io); \
         install it and try again"
    );
    let venv = folder().join("venv");
    let program = venv.join("bin/schemathesis");
    if !has(command(&program).arg("--version")) {
        println!("installing {SCHEMATHESIS} from PyPI in {}", venv.display());
        run(command("python3").args(["-m", "venv"]).arg(&venv))
            .context("python3 makes no environment; the package python3-venv may be missing")?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SCHEMATHESIS];
        run(command(venv.join("bin/python")).args(pip))?;
    }
    Ok(program)
}

fn folder() -> PathBuf {
    target_dir().join("api-test")
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn log() -> PathBuf {
    folder().join("host.log")
}

/// A host that is stopped with this value.
struct Host(Child);

impl Host {
    fn start(database: &Path, settings: &Path, address: &str) -> anyhow::Result<Self> {
        let program =
            target_dir().join("debug").join(format!("eventfabric{}", env::consts::EXE_SUFFIX));
        let mut host = command(program);
        host.arg(format!("--embedded={}", database.display()));
        host.args(["run", "--http", address, "--config"]).arg(settings);
        host.stderr(fs::File::create(log())?);
        Ok(Self(host.spawn().context("the host does not start")?))
    }

    /// Asks it to stop, and takes it amiss when it has ended before or does not end well.
    fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.0.try_wait()? {
            bail!("the host ended during the test ({status}); its log is {}", log().display());
        }
        run(Command::new("kill").args(["-s", "TERM", &self.0.id().to_string()]))?;
        for _ in 0..300 {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the host ended with {status}; see {}", log().display());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the host does not stop")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
