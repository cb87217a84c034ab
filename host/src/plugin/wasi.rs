//! The WASI that a projection gets: enough for the runtimes of languages to start, and nothing to
//! hold on to.
//!
//! There are no arguments, no variables, no input. What is printed goes to the log. Time stands
//! still at the first event of the batch, and chance follows from the projection and that event:
//! the same log gives the same tables. Nothing ever waits: a timer is over at once, and the
//! monotonic clock has moved on to its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmtime::Result;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamResult, subscribe,
};

use super::host::{State, Stop};
use super::lines::{Lines, Stream};

/// What the monotonic clock moves on each time that it is looked at.
const STEP_NANOSECONDS: u64 = 1000;

/// Bytes of chance that a plugin gets in one call. Seeds take 32.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Bytes that a plugin may write to stdout or stderr at once.
const WRITE_BYTES: usize = 4096;

/// Time and chance of one batch.
pub struct World {
    micros: i64,
    monotonic: Arc<AtomicU64>,
    seed: [u8; 32],
    block: u64,
    unused: Vec<u8>,
}

impl World {
    /// The world at a time (microseconds since 1970), with a seed for its random numbers.
    pub fn new(micros: i64, seed: [u8; 32]) -> Self {
        let nanos = u64::try_from(micros).unwrap_or(0).saturating_mul(1000);
        let monotonic = Arc::new(AtomicU64::new(nanos));
        Self { micros, monotonic, seed, block: 0, unused: Vec::new() }
    }

    /// The seed for a batch of a projection that starts at a position.
    pub fn seed(projection: &str, position: i64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(position.to_be_bytes());
        hash.update(projection);
        hash.finalize().into()
    }

    /// SHA-256 in counter mode: the same for ever, unlike the generators of a library.
    fn random(&mut self, len: usize) -> Vec<u8> {
        while self.unused.len() < len {
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(self.block.to_be_bytes());
            self.block += 1;
            self.unused.extend_from_slice(&hash.finalize());
        }
        let rest = self.unused.split_off(len);
        std::mem::replace(&mut self.unused, rest)
    }

    fn random_u64(&mut self) -> u64 {
        let bytes = self.random(8);
        bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links what [`super::inspect`] lets through, and nothing else.
pub fn add_to_linker(l: &mut Linker<State>) -> Result<()> {
    error::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    poll::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    streams::add_to_linker::<State, Table>(l, |state| &mut state.table)?;
    environment::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    exit::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    stdin::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    stdout::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    stderr::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    terminal_input::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    terminal_output::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    terminal_stdin::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    terminal_stdout::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    terminal_stderr::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wall_clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    monotonic_clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    random::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    insecure::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    insecure_seed::add_to_linker::<State, HasSelf<State>>(l, |state| state)
}

impl environment::Host for State {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for State {
    fn exit(&mut self, status: std::result::Result<(), ()>) -> Result<()> {
        Err(Stop::Exit(u8::from(status.is_err())).into())
    }

    fn exit_with_code(&mut self, status_code: u8) -> Result<()> {
        Err(Stop::Exit(status_code).into())
    }
}

impl stdin::Host for State {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.printer(Stream::Out)
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.printer(Stream::Err)
    }
}

impl State {
    fn printer(&mut self, stream: Stream) -> Result<Resource<DynOutputStream>> {
        let printer: DynOutputStream = Box::new(Printer { stream, lines: self.lines.clone() });
        Ok(self.table.push(printer)?)
    }
}

/// stdout or stderr.
struct Printer {
    stream: Stream,
    lines: Arc<Mutex<Lines>>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl terminal_input::Host for State {}
impl terminal_input::HostTerminalInput for State {
    fn drop(&mut self, _: Resource<terminal_input::TerminalInput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_output::Host for State {}
impl terminal_output::HostTerminalOutput for State {
    fn drop(&mut self, _: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        // WASI has no time before 1970.
        let micros = u64::try_from(self.world.micros).unwrap_or(0);
        let nanoseconds = (micros % 1_000_000) as u32 * 1000;
        Ok(wall_clock::Datetime { seconds: micros / 1_000_000, nanoseconds })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        let now = self.world.monotonic.load(Ordering::Relaxed).saturating_add(STEP_NANOSECONDS);
        self.world.monotonic.store(now, Ordering::Relaxed);
        Ok(now)
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(STEP_NANOSECONDS)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let clock = self.world.monotonic.clone();
        let timer = self.table.push(Timer { clock, when })?;
        subscribe(&mut self.table, timer)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        let now = self.world.monotonic.load(Ordering::Relaxed);
        self.subscribe_instant(now.saturating_add(duration))
    }
}

/// A timer that is over as soon as somebody waits for it.
struct Timer {
    clock: Arc<AtomicU64>,
    when: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.clock.fetch_max(self.when, Ordering::Relaxed);
    }
}

impl State {
    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > RANDOM_BYTES {
            return Err(Stop::Random(RANDOM_BYTES).into());
        }
        Ok(self.world.random(len as usize))
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.world.random_u64())
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.world.random_u64())
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.world.random_u64(), self.world.random_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_from_projection_and_position() {
        let draw = |name, position| World::new(0, World::seed(name, position)).random(40);
        assert_eq!(draw("carriers", 7), draw("carriers", 7));
        assert_ne!(draw("carriers", 7), draw("carriers", 8));
        assert_ne!(draw("carriers", 7), draw("fleets", 7));
    }

    #[test]
    fn chance_does_not_depend_on_how_it_is_asked_for() {
        let (mut a, mut b) = (World::new(0, [1; 32]), World::new(0, [1; 32]));
        let whole = a.random(100);
        let parts = [b.random(3), b.random(64), b.random(33)].concat();
        assert_eq!(whole, parts);
    }

    #[test]
    fn a_draw_of_chance_is_the_same_in_every_release() {
        let first = World::new(0, World::seed("carriers", 1)).random(8);
        assert_eq!(hex::encode(first), "31bf620557347723");
    }
}
