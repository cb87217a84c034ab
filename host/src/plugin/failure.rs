//! What a batch that did not end well means to the runner, and to the person who reads of it.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::host::{State, Stop};
use super::lines::cut;
use super::session::Trouble;
use crate::projection::{Failure, FailureKind};
use crate::sandbox::SqlErrorKind;

/// The longest message, for it goes into logs and dead letters.
const MESSAGE_BYTES: usize = 8 * 1024;

/// The class of a statement's failure, for a plugin that does not say.
fn kind_of(kind: SqlErrorKind) -> FailureKind {
    match kind {
        SqlErrorKind::Retryable | SqlErrorKind::Connection => FailureKind::Retry,
        SqlErrorKind::Constraint | SqlErrorKind::Limit => FailureKind::Poison,
        SqlErrorKind::Denied | SqlErrorKind::Invalid | SqlErrorKind::Aborted => FailureKind::Fatal,
    }
}

/// The plugin returned a failure of its own.
pub fn returned(state: &State, mut failure: Failure, events: usize) -> Failure {
    if failure.index.is_some_and(|index| index >= events) {
        failure.index = None;
    }
    failure.message = cut(&failure.message, MESSAGE_BYTES).to_owned();
    finish(state, failure)
}

/// The plugin returned well, but one of its statements had failed.
pub fn swallowed(state: &State, trouble: &Trouble) -> Failure {
    let message = "the plugin went on after an error of SQL, which had undone its batch";
    finish(state, Failure::new(kind_of(trouble.error.kind), message))
}

/// The plugin did not return.
pub fn stopped(state: &State, error: &wasmtime::Error) -> Failure {
    let trouble = state.session.as_ref().and_then(|session| session.trouble.as_ref());
    let (kind, mut message) = explain(state, error);
    // A plugin that gives up (panics) over an error of SQL: the error tells what to do, for a
    // deadlock must not cost an event.
    let kind = match trouble {
        Some(trouble) if gave_up(error) => kind_of(trouble.error.kind),
        _ => kind,
    };
    let lines = state.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if gave_up(error)
        && let Some(words) = lines.last_words()
    {
        message = format!("{message}: {words}");
    }
    drop(lines);
    tracing::debug!(target: "plugin", error = ?error, "a plugin was stopped");
    let trapped = kind == FailureKind::Poison;
    finish(state, Failure { trapped, ..Failure::new(kind, message) })
}

/// Why the engine stopped, in plain words.
pub fn explain(state: &State, error: &wasmtime::Error) -> (FailureKind, String) {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        let kind = if *stop == Stop::Lost { FailureKind::Retry } else { FailureKind::Poison };
        return (kind, format!("the plugin {stop}"));
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return (FailureKind::Retry, "no room for another plugin instance".to_owned());
    }
    let limits = &state.limits;
    if let Some(refused) = state.space.refused {
        let limit = match refused {
            "memory" => format!("{} MiB", limits.memory_bytes / (1024 * 1024)),
            _ => limits.table_elements.to_string(),
        };
        return (
            FailureKind::Poison,
            format!("the plugin needs {refused} above its limit of {limit}"),
        );
    }
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => {
            "trapped: unreachable (the plugin panicked)".to_owned()
        }
        Some(Trap::StackOverflow) => {
            format!("trapped: recursed too deep (its stack has {} KiB)", limits.stack_bytes / 1024)
        }
        Some(Trap::CannotEnterComponent) => {
            "trapped: an earlier call had left it in an unfinished state".to_owned()
        }
        Some(trap) => format!("trapped: {trap}"),
        None => format!("stopped: {}", error.root_cause()),
    };
    (FailureKind::Poison, message)
}

/// Whether it was the plugin that ended, as in a panic, and not the host that ended it.
fn gave_up(error: &wasmtime::Error) -> bool {
    match error.downcast_ref::<Trap>() {
        Some(trap) => *trap != Trap::StackOverflow,
        None => matches!(error.downcast_ref::<Stop>(), Some(Stop::Exit(_) | Stop::Lost)),
    }
}

/// Adds what is known of SQL, whatever the plugin made of it.
fn finish(state: &State, mut failure: Failure) -> Failure {
    let Some(session) = &state.session else { return failure };
    if let Some(Trouble { statement, error }) = &session.trouble {
        if !failure.message.contains(&error.message) {
            failure.message.push_str(&format!(": {}", error.message));
            if !error.sqlstate.is_empty() {
                failure.message.push_str(&format!(" (SQLSTATE {})", error.sqlstate));
            }
            if let Some(detail) = &error.detail {
                failure.message.push_str(&format!("; {detail}"));
            }
            if let Some(hint) = &error.hint {
                failure.message.push_str(&format!("; hint: {hint}"));
            }
        }
        if !statement.is_empty() && !failure.message.contains(statement.as_str()) {
            failure.message.push_str(&format!("; in: {statement}"));
        }
    }
    if session.is_lost() {
        // Nobody's fault: neither the event's nor the plugin's.
        failure.kind = FailureKind::Retry;
        failure.index = None;
        failure.connection_lost = true;
    }
    failure
}
