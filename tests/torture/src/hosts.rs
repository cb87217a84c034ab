//! The host processes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::guests::{self, Guest};
use crate::proxy::Proxy;
use crate::world::{World, signal};

/// What makes trouble pass quickly. Only poison counts its attempts.
const SETTINGS: &[(&str, &str)] = &[
    ("EVENTFABRIC_RUNNER__POLL", "100ms"),
    ("EVENTFABRIC_RUNNER__CATCH_UP__MAX_ATTEMPTS", "4"),
    ("EVENTFABRIC_RUNNER__CATCH_UP__BACKOFF", "{base=\"20ms\",cap=\"500ms\"}"),
    ("EVENTFABRIC_RUNNER__ASYNC__WORKERS", "2"),
    ("EVENTFABRIC_RUNNER__ASYNC__MAX_ATTEMPTS", "4"),
    ("EVENTFABRIC_RUNNER__ASYNC__MAX_RETRIES", "1000000"),
    // Its plugins trap by design, and letters that are requeued do so again, all at once: no reason to stop here.
    ("EVENTFABRIC_RUNNER__ASYNC__STOP_AFTER", "1000"),
    ("EVENTFABRIC_RUNNER__ASYNC__BACKOFF", "{base=\"20ms\",cap=\"500ms\"}"),
];

/// All of them, each behind a proxy of its own.
pub struct Hosts {
    hosts: Vec<Mutex<Host>>,
    /// The ways of the hosts to the server.
    pub proxies: Vec<Proxy>,
    /// What they run.
    pub guests: Vec<Guest>,
    components: PathBuf,
}

struct Host {
    number: usize,
    start: Start,
    child: Child,
    /// What ended without being told to.
    surprises: Vec<String>,
}

/// How a host is started, each time.
struct Start {
    program: PathBuf,
    database_url: String,
    plugins: PathBuf,
    /// Where its log goes, after that of the processes before it.
    log: PathBuf,
}

impl Hosts {
    /// Puts the guests into the folder, migrates by the first host, and starts them all.
    pub async fn start(
        world: &World,
        program: &Path,
        components: &Path,
        guests: Vec<Guest>,
        count: usize,
    ) -> anyhow::Result<Self> {
        for guest in &guests {
            let file = format!("{}.wasm", guest.name);
            std::fs::copy(components.join(&file), world.plugins().join(&file))
                .with_context(|| format!("{file} is not built"))?;
        }
        let (mut hosts, mut proxies) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let proxy = Proxy::start(world.port()).await?;
            let start = Start {
                program: program.to_owned(),
                database_url: world.url_by(proxy.port),
                plugins: world.plugins(),
                log: world.dir().join(format!("host-{number}.log")),
            };
            let child = start.spawn()?;
            hosts.push(Mutex::new(Host { number, start, child, surprises: Vec::new() }));
            proxies.push(proxy);
        }
        Ok(Self { hosts, proxies, guests, components: components.to_owned() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// SIGKILL, and another process in its place.
    pub async fn kill(&self, which: usize) -> anyhow::Result<()> {
        let mut host = self.hosts[which].lock().await;
        host.child.kill().await?;
        host.child = host.start.spawn()?;
        Ok(())
    }

    /// SIGSTOP for some time, and SIGCONT.
    pub async fn pause(&self, which: usize, time: Duration) -> anyhow::Result<()> {
        let Some(pid) = self.hosts[which].lock().await.child.id() else { return Ok(()) };
        signal(&pid.to_string(), "STOP")?;
        tokio::time::sleep(time).await;
        // It may have been killed meanwhile, and its number be another process'.
        let host = self.hosts[which].lock().await;
        if host.child.id() != Some(pid) {
            return Ok(());
        }
        signal(&pid.to_string(), "CONT")
    }

    /// Starts those again that ended by themselves, as a supervisor of the machine would.
    pub async fn supervise(&self) -> anyhow::Result<()> {
        for host in &self.hosts {
            let mut host = host.lock().await;
            if let Some(status) = host.child.try_wait()? {
                let number = host.number;
                if status.code() == Some(101) || status.code().is_none() {
                    host.surprises.push(format!("host {number} ended: {status}"));
                }
                host.child = host.start.spawn()?;
            }
        }
        Ok(())
    }

    /// Puts a guest into the folder whose code is another version of the same.
    pub fn swap(&self, world: &World, guest: Guest, version: u8) -> anyhow::Result<()> {
        let file = format!("{}.wasm", guest.name);
        let mut bytes = std::fs::read(self.components.join(&file))?;
        // A custom section at the end changes the hash and nothing else.
        bytes.extend([0, 6, 4, b't', b'e', b's', b't', version]);
        let beside = world.plugins().join(format!("{file}.part"));
        std::fs::write(&beside, bytes)?;
        Ok(std::fs::rename(beside, world.plugins().join(file))?)
    }

    /// What the hosts themselves gave away.
    pub async fn findings(&self) -> anyhow::Result<Vec<String>> {
        let mut findings = Vec::new();
        for host in &self.hosts {
            let host = host.lock().await;
            findings.extend(host.surprises.iter().cloned());
            let log = std::fs::read_to_string(&host.start.log)?;
            let panics = log
                .lines()
                .filter(|line| line.contains("panicked at") && !line.contains("the mood is bad"));
            findings.extend(
                panics
                    .filter(|line| line.contains("host/src"))
                    .map(|line| format!("host {}: {line}", host.number)),
            );
        }
        Ok(findings)
    }

    /// Ends them in good order; those that take too long are killed.
    pub async fn stop(&self) {
        for host in &self.hosts {
            let mut host = host.lock().await;
            if let Some(pid) = host.child.id() {
                let _ = signal(&pid.to_string(), "TERM");
            }
            if tokio::time::timeout(Duration::from_secs(20), host.child.wait()).await.is_err() {
                let _ = host.child.kill().await;
            }
        }
    }
}

impl Start {
    fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--plugins"])
            .arg(&self.plugins)
            .env("EVENTFABRIC_DATABASE_URL", &self.database_url)
            .env("XDG_CACHE_HOME", eventfabric_testdb::target_dir().join("it-cache"))
            .envs(SETTINGS.iter().chain(guests::SETTINGS).copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        command.spawn().with_context(|| self.program.display().to_string())
    }
}
