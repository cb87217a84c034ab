//! Compiling in a process of its own, which has limits and can be stopped at any time.
//!
//! The host writes the length of the component and the component to the child's input, and leaves
//! that open; the child writes the code to its output. It ends when its input does, so it does not
//! outlive a host that was killed.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;

use super::gave_up;
use crate::plugin::LoadError;
use crate::plugin::engine;
use crate::plugin::limits::Limits;

/// The first argument of a compiler; the others are the bytes of memory and the seconds of processors that it may use.
const ARGUMENT: &str = "compile-component";

/// The exit code that says: the component is at fault, and the output for errors tells how.
const REFUSED: u8 = 3;

/// The host and the serving of events come first.
const NICE: i32 = 10;

/// The child may take so much longer than its time on processors: it comes last on a machine that is busy.
const PATIENCE: u32 = 5;

/// What the system ends a process by that has used up its time on processors.
const SIGXCPU: i32 = 24;

/// What is read of the child's complaints.
const COMPLAINT: u64 = 64 << 10;

/// How a program says that it got no more memory: Rust's allocator, the system, and a pool of
/// threads that has no room for a stack.
const OUT_OF_MEMORY: [&str; 4] =
    ["memory allocation of", "Cannot allocate memory", "ThreadPoolBuildError", "os error 11"];

/// Compiles a component in a child.
pub(super) async fn compile(limits: &Limits, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let mut child = command(limits)
        .and_then(|mut command| command.spawn())
        .map_err(|error| gave_up(format_args!("its process cannot be started: {error}")))?;
    let (Some(mut input), Some(output), Some(complaints)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(gave_up("its pipes are not there"));
    };
    let (mut code, mut said) = (Vec::new(), Vec::new());
    let most = limits.compile_memory as u64;
    let work = async {
        let write = async {
            input.write_all(&(bytes.len() as u64).to_le_bytes()).await?;
            input.write_all(bytes).await
        };
        let (mut output, mut complaints) = (output.take(most), complaints.take(COMPLAINT));
        let (written, read, _) =
            tokio::join!(write, output.read_to_end(&mut code), complaints.read_to_end(&mut said));
        let ended = child.wait().await;
        // How it ended says more than that its pipes broke.
        ended.and_then(
            |ended| if ended.success() { written.and(read).map(|_| ended) } else { Ok(ended) },
        )
    };
    let ended = tokio::time::timeout(limits.compile_time.saturating_mul(PATIENCE), work).await;
    let Ok(ended) = ended else {
        child.kill().await.map_err(gave_up)?;
        return Err(LoadError::CompileTime { limit: limits.compile_time });
    };
    let ended = ended.map_err(gave_up)?;
    if ended.success() {
        return Ok(code);
    }
    Err(failure(ended, &String::from_utf8_lossy(&said), limits))
}

fn command(limits: &Limits) -> std::io::Result<Command> {
    let mut command = Command::new(program()?);
    command
        .arg(ARGUMENT)
        .arg(limits.compile_memory.to_string())
        .arg(limits.compile_time.as_secs().saturating_add(1).to_string())
        // The address of the database and all secrets stay here.
        .env_clear()
        .current_dir("/")
        // An interrupt at the terminal is for the host, which stops its children.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// The file that this process runs: on Linux also after another one has taken its place.
pub fn program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

fn failure(ended: ExitStatus, said: &str, limits: &Limits) -> LoadError {
    let said = said.trim();
    if ended.code() == Some(REFUSED.into()) {
        return LoadError::Compile(said.to_owned());
    }
    if OUT_OF_MEMORY.iter().any(|text| said.contains(text)) {
        return LoadError::CompileMemory { limit: limits.compile_memory };
    }
    if ended.signal() == Some(SIGXCPU) {
        return LoadError::CompileTime { limit: limits.compile_time };
    }
    if let Some(signal) = ended.signal() {
        return gave_up(format_args!(
            "its process was ended by signal {signal}{}; it is tried again with the next deploy. {said}",
            if signal == 9 { " (by hand, or because the machine has no memory left)" } else { "" },
        ));
    }
    gave_up(said)
}

/// Compiles what comes in, if this process was started as a compiler; `None` if it was not. A
/// program that embeds the host and sets
/// [`HostConfig::compile_apart`](crate::runner::HostConfig::compile_apart) calls it first of all in
/// its `main`, and ends with the code.
#[must_use]
pub fn compile_worker() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let mut number = || arguments.next().and_then(|number| number.parse().ok());
    let (memory, seconds) = (number(), number());
    let (code, error) = match serve(memory, seconds) {
        Ok(Ok(())) => return Some(ExitCode::SUCCESS),
        Ok(Err(refused)) => (REFUSED.into(), engine::plain(refused)),
        Err(error) => (ExitCode::FAILURE, error),
    };
    eprintln!("{error:#}");
    Some(code)
}

/// Answers a request. The error inside is the compiler's word on the component.
fn serve(memory: Option<u64>, seconds: Option<u64>) -> anyhow::Result<wasmtime::Result<()>> {
    let limit = |most| Rlimit { current: most, maximum: most };
    // What is private and can be written to. Address space would count what is only laid out.
    setrlimit(Resource::Data, limit(memory))?;
    setrlimit(Resource::Core, limit(Some(0)))?;
    // A second later it would be SIGKILL, which tells nothing.
    let later = seconds.map(|seconds| seconds.saturating_add(1));
    setrlimit(Resource::Cpu, Rlimit { current: seconds, maximum: later })?;
    nice(NICE)?;
    // Where the machine runs out of memory, this process goes before the host and the database.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");

    let mut input = std::io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    input.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut bytes)?;
    drop(input);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        // The host is gone, or wants no answer.
        std::process::exit(1)
    });
    let engine = Engine::new(&engine::compiling()).map_err(engine::plain)?;
    let code = match engine.precompile_component(&bytes) {
        Ok(code) => code,
        Err(error) => return Ok(Err(error)),
    };
    let mut output = std::io::stdout().lock();
    output.write_all(&code)?;
    output.flush()?;
    Ok(Ok(()))
}
