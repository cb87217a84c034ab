//! What the hostile guest can be asked to do.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    hint::black_box,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use eventfabric_sdk::{FailureKind, RawTx, Value, log};
use serde_json::Value as Json;

use crate::{Outcome, blame};

/// What an event asks for in `do`. `n` is how often or how much, where that has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// `ok`: nothing but the row in `seen`.
    Ok,
    /// `loop`: never returns.
    Loop,
    /// `recurse`: until the stack is used up.
    Recurse,
    /// `memory`: takes memory until there is none.
    Memory,
    /// `panic`: with a message.
    Panic,
    /// `exit`: ends the process that it believes to be.
    Exit,
    /// `retry`: fails, asking for another try.
    Retry,
    /// `poison`: fails, blaming the event.
    Poison,
    /// `fatal`: fails, blaming itself.
    Fatal,
    /// `nul`: fails with words that PostgreSQL can't store.
    Nul,
    /// `sql_error`: a statement about a table that does not exist.
    SqlError,
    /// `swallow_sql_error`: the same, but goes on and reports success.
    SwallowSqlError,
    /// `constraint`: two rows with one key.
    Constraint,
    /// `exec`: runs `sql` with `params`; the note is the number of rows.
    Exec,
    /// `query`: runs `sql` with `params`; the note is what came back.
    Query,
    /// `many_statements`: runs one statement `n` times (100,000).
    ManyStatements,
    /// `distinct_statements`: runs `n` different texts (10,000).
    DistinctStatements,
    /// `many_rows`: asks for `n` rows at once (10,000,000).
    ManyRows,
    /// `log_flood`: writes `n` lines (100,000).
    LogFlood,
    /// `long_message`: fails with a message of `n` bytes (10,000,000).
    LongMessage,
    /// `print`: writes to standard output and standard error.
    Print,
    /// `environment`: the note is the number of variables and arguments.
    Environment,
    /// `sleep_clock`: sleeps `n` milliseconds (3,600,000).
    SleepClock,
    /// `spin_clock`: waits for the clock to move on by `n` milliseconds (1).
    SpinClock,
    /// `read_clock`: the note is the time, in microseconds since 1970.
    ReadClock,
    /// `use_random`: the note is a random number.
    UseRandom,
}

impl Deed {
    /// The deed of a name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ok" => Self::Ok,
            "loop" => Self::Loop,
            "recurse" => Self::Recurse,
            "memory" => Self::Memory,
            "panic" => Self::Panic,
            "exit" => Self::Exit,
            "retry" => Self::Retry,
            "poison" => Self::Poison,
            "fatal" => Self::Fatal,
            "nul" => Self::Nul,
            "sql_error" => Self::SqlError,
            "swallow_sql_error" => Self::SwallowSqlError,
            "constraint" => Self::Constraint,
            "exec" => Self::Exec,
            "query" => Self::Query,
            "many_statements" => Self::ManyStatements,
            "distinct_statements" => Self::DistinctStatements,
            "many_rows" => Self::ManyRows,
            "log_flood" => Self::LogFlood,
            "long_message" => Self::LongMessage,
            "print" => Self::Print,
            "environment" => Self::Environment,
            "sleep_clock" => Self::SleepClock,
            "spin_clock" => Self::SpinClock,
            "read_clock" => Self::ReadClock,
            "use_random" => Self::UseRandom,
            _ => return None,
        })
    }

    /// Does it, and returns the note for `seen`.
    pub(crate) fn run(self, tx: &RawTx, payload: &Json) -> Outcome<String> {
        let n = |otherwise: u64| payload["n"].as_u64().unwrap_or(otherwise);
        match self {
            Self::Ok => {}
            Self::Loop => loop {
                black_box(());
            },
            Self::Recurse => return Ok(recurse(0).to_string()),
            Self::Memory => take_memory(),
            Self::Panic => panic!("the event asked for a panic"),
            Self::Exit => std::process::exit(3),
            Self::Retry => return Err((FailureKind::Retry, "the event asked for a retry".into())),
            Self::Poison => return Err((FailureKind::Poison, "the event says poison".into())),
            Self::Fatal => return Err((FailureKind::Fatal, "the event says fatal".into())),
            Self::Nul => return Err((FailureKind::Poison, "before \0 after".into())),
            Self::SqlError => drop(exec(tx, "INSERT INTO missing VALUES (1)", &[])?),
            Self::SwallowSqlError => {
                let swallowed = exec(tx, "INSERT INTO missing VALUES (1)", &[]).is_err();
                log::info!("swallowed: {swallowed}");
            }
            Self::Constraint => {
                for _ in 0..2 {
                    exec(tx, "INSERT INTO seen VALUES (-1, 'twice')", &[])?;
                }
            }
            Self::Exec => return Ok(exec(tx, sql(payload), &params(payload))?.to_string()),
            Self::Query => {
                let set = tx.query(sql(payload), &params(payload)).map_err(blame)?;
                return Ok(format!("{:?}", set.rows));
            }
            Self::ManyStatements => {
                for _ in 0..n(100_000) {
                    exec(tx, "SELECT 1", &[])?;
                }
            }
            Self::DistinctStatements => {
                for number in 0..n(10_000) {
                    exec(tx, &format!("SELECT {number}"), &[])?;
                }
            }
            Self::ManyRows => {
                let rows = [Value::Int64(n(10_000_000) as i64)];
                tx.query("SELECT generate_series(1::bigint, $1)", &rows).map_err(blame)?;
            }
            Self::LogFlood => {
                for number in 0..n(100_000) {
                    log::info!("line {number}");
                }
            }
            Self::LongMessage => {
                let message = "x".repeat(n(10_000_000) as usize);
                return Err((FailureKind::Poison, message));
            }
            Self::Print => {
                println!("to standard output");
                eprintln!("to standard error");
            }
            Self::Environment => {
                return Ok((std::env::vars().count() + std::env::args().count()).to_string());
            }
            Self::SleepClock => std::thread::sleep(Duration::from_millis(n(3_600_000))),
            Self::SpinClock => {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(n(1)) {}
            }
            Self::ReadClock => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                return Ok(now.map_or(0, |since| since.as_micros()).to_string());
            }
            Self::UseRandom => return Ok(RandomState::new().build_hasher().finish().to_string()),
        }
        Ok(payload["do"].as_str().unwrap_or("ok").to_owned())
    }
}

fn exec(tx: &RawTx, statement: &str, params: &[Value]) -> Outcome<u64> {
    tx.execute(statement, params).map_err(blame)
}

fn sql(payload: &Json) -> &str {
    payload["sql"].as_str().unwrap_or_default()
}

fn params(payload: &Json) -> Vec<Value> {
    let params = payload["params"].as_array().map_or(&[][..], Vec::as_slice);
    params.iter().map(param).collect()
}

fn param(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Boolean(*it),
        Json::Number(it) => match it.as_i64() {
            Some(whole) => Value::Int64(whole),
            None => Value::Float64(it.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(it) => Value::Text(it.clone()),
        other => Value::Json(other.to_string()),
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(true) { recurse(depth + 1) + frame[(depth % 64) as usize] } else { depth }
}

fn take_memory() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}
