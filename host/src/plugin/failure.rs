//! What a batch that did not end well means to the runner, and to the person who reads of it.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::host::{State, Stop};
use super::lines::cut;
use super::session::{Session, Trouble};
use crate::projection::{Failure, FailureKind};
use crate::sandbox::SqlErrorKind;

/// Bytes of the message of a failure, for it goes into logs and dead letters; what is longer is cut.
const MESSAGE_BYTES: usize = 8 * 1024;

/// As much of a statement as a message quotes.
const QUOTED_BYTES: usize = 300;

/// The class of a statement's failure, for a plugin that does not say.
fn kind_of(kind: SqlErrorKind) -> FailureKind {
    match kind {
        SqlErrorKind::Retryable | SqlErrorKind::Connection => FailureKind::Retry,
        SqlErrorKind::Constraint | SqlErrorKind::Limit => FailureKind::Poison,
        SqlErrorKind::Denied | SqlErrorKind::Invalid | SqlErrorKind::Aborted => FailureKind::Fatal,
    }
}

fn trouble(state: &State) -> Option<&Trouble> {
    match (&state.session, &state.script) {
        (Some(session), _) => session.trouble.as_ref(),
        (None, Some(script)) => script.trouble.as_ref(),
        (None, None) => None,
    }
}

/// The plugin returned a failure of its own.
pub fn returned(state: &State, mut failure: Failure, events: usize) -> Failure {
    if failure.index.is_some_and(|index| index >= events) {
        failure.index = None;
    }
    failure.message = cut(&failure.message, MESSAGE_BYTES).to_owned();
    // A deadlock or a lock that was not free in time is no event's fault, whatever the plugin says.
    if trouble(state).is_some_and(|trouble| trouble.error.kind == SqlErrorKind::Retryable) {
        failure.kind = FailureKind::Retry;
        failure.index = None;
    }
    // What an inline projection refuses it refuses again, and the contract has the plugin ask for a retry.
    if state.session.as_ref().is_some_and(|session| session.refused) {
        failure.kind = FailureKind::Poison;
    }
    finish(state, failure)
}

/// The plugin returned well, but one of its statements had failed.
pub fn swallowed(state: &State, trouble: &Trouble) -> Failure {
    let message = "the plugin went on after an error of SQL, which had undone its batch";
    finish(state, Failure::new(kind_of(trouble.error.kind), message))
}

/// The plugin did not return.
pub fn stopped(state: &State, error: &wasmtime::Error) -> Failure {
    let (kind, mut message) = explain(state, error);
    // A plugin that gives up (panics) over an error of SQL: the error tells what to do, for a
    // deadlock must not cost an event.
    let kind = match trouble(state) {
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
    let costly = trapped || matches!(error.downcast_ref(), Some(Stop::SqlDeadline(_)));
    finish(state, Failure { trapped, costly, ..Failure::new(kind, message) })
}

/// Why the engine stopped, in plain words.
fn explain(state: &State, error: &wasmtime::Error) -> (FailureKind, String) {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return (FailureKind::Retry, "no room for another plugin instance".to_owned());
    }
    let limits = &state.limits;
    // Out of memory, most languages panic or exit; some don't even start.
    let is_start = error.downcast_ref::<Stop>().is_none() && error.downcast_ref::<Trap>().is_none();
    if let Some(refused) = state.space.refused
        && (gave_up(error) || is_start)
    {
        let limit = match refused {
            "memory" => format!("{} MiB", limits.memory_bytes / (1024 * 1024)),
            _ => limits.table_elements.to_string(),
        };
        return (
            FailureKind::Poison,
            format!("the plugin needs {refused} above its limit of {limit}"),
        );
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        // What waits for the database may wait for a lock, which says nothing of the event.
        let kind = match stop {
            Stop::Lost | Stop::SqlDeadline(_) | Stop::LockDeadline(_) => FailureKind::Retry,
            Stop::Full(_) => FailureKind::Fatal,
            _ => FailureKind::Poison,
        };
        return (kind, format!("the plugin {stop}"));
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
        // The stack of Rust and C is in linear memory, below everything else.
        Some(Trap::MemoryOutOfBounds) => "trapped: out of bounds memory access (or recursed too \
                                          deep: the plugin's own stack ends there)"
            .to_owned(),
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
fn finish(state: &State, failure: Failure) -> Failure {
    let mut failure = with_sql(state, failure);
    // PostgreSQL stores no NUL, and a failure is stored.
    failure.message = without_nul(failure.message);
    failure.statement = failure.statement.map(without_nul);
    failure
}

fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn with_sql(state: &State, mut failure: Failure) -> Failure {
    if let Some(Trouble { statement, error }) = trouble(state) {
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
        let quoted = cut(statement, QUOTED_BYTES);
        if !quoted.is_empty() && !failure.message.contains(quoted) {
            failure.message.push_str(&format!("; in: {quoted}"));
        }
        failure.costly |= error.kind == SqlErrorKind::Limit;
        failure.sqlstate = Some(error.sqlstate.clone()).filter(|state| !state.is_empty());
        failure.statement = Some(statement.clone()).filter(|statement| !statement.is_empty());
        failure.place = error.position;
    }
    if state.session.as_ref().is_some_and(Session::is_lost) {
        // Nobody's fault: neither the event's nor the plugin's.
        failure.kind = FailureKind::Retry;
        failure.index = None;
        failure.connection_lost = true;
        failure.costly = false;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_sql_decides_where_the_plugin_does_not() {
        for (sql, expected) in [
            (SqlErrorKind::Retryable, FailureKind::Retry),
            (SqlErrorKind::Connection, FailureKind::Retry),
            (SqlErrorKind::Constraint, FailureKind::Poison),
            (SqlErrorKind::Limit, FailureKind::Poison),
            (SqlErrorKind::Denied, FailureKind::Fatal),
            (SqlErrorKind::Invalid, FailureKind::Fatal),
        ] {
            assert_eq!(kind_of(sql), expected, "{sql:?}");
        }
    }

    #[test]
    fn a_panic_is_the_plugins_own_end_and_a_time_out_is_not() {
        let gave_up = |error: wasmtime::Error| gave_up(&error);
        assert!(gave_up(Trap::UnreachableCodeReached.into()));
        assert!(gave_up(Stop::Exit(1).into()));
        assert!(!gave_up(Trap::StackOverflow.into()));
        assert!(!gave_up(Stop::HostCalls(1).into()));
    }
}
