//! Exit codes, documented in `eventfabric --help` and the README.

use crate::code::Coded;
use crate::settings::WrongSettings;
use crate::store::{StoreError, describe};

pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const CONFLICT: u8 = 3;
pub(super) const BAD_INPUT: u8 = 4;
pub(super) const UNREACHABLE: u8 = 5;
pub(super) const NOT_IN_TIME: u8 = 6;
pub(super) const NOT_AS_SEALED: u8 = 7;

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Exit {
    pub code: u8,
    pub message: String,
}

/// An error about what the caller gave.
pub(super) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    Exit { code: BAD_INPUT, message: message.into() }.into()
}

/// An error of the host's own, about what the caller gave, in words of the command. It keeps its code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    pub code: &'static str,
    message: String,
}

/// The same as [`bad_input`], of an error that has a code.
pub(super) fn refused(error: &impl Coded, message: impl Into<String>) -> anyhow::Error {
    Refused { code: error.code(), message: message.into() }.into()
}

/// The exit code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAILED)
}

/// An error and its causes in one line: those of the database with their cure, and nothing twice.
pub(super) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let plain = cause.to_string();
        if message.contains(&plain) {
            continue;
        }
        let described = cause.downcast_ref::<sqlx::Error>().map(describe);
        let text = described.as_ref().unwrap_or(&plain);
        // What follows an error of the database says the same with fewer words.
        let last = described.is_some();
        // Nor twice with other words around it.
        let said = cause
            .downcast_ref::<sqlx::Error>()
            .and_then(sqlx::Error::as_database_error)
            .is_some_and(|db| text.starts_with("database error") && message.contains(db.message()));
        if !said && !message.contains(text) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(text);
        }
        if last {
            break;
        }
    }
    message
}

impl Exit {
    /// The code of what has no type of its own; none where the message is all that can be said.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self.code {
            USAGE => Some("usage"),
            BAD_INPUT => Some("bad-input"),
            UNREACHABLE => Some("database-unavailable"),
            NOT_IN_TIME => Some("not-in-time"),
            NOT_AS_SEALED => Some("not-as-sealed"),
            _ => None,
        }
    }
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(exit) = cause.downcast_ref::<Exit>() {
        return Some(exit.code);
    }
    if cause.is::<WrongSettings>() {
        return Some(USAGE);
    }
    if cause.is::<Refused>() {
        return Some(BAD_INPUT);
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Conflict { .. } => Some(CONFLICT),
            StoreError::InvalidEvent { .. }
            | StoreError::InvalidAppend(_)
            | StoreError::InvalidQuery(_)
            | StoreError::InvalidDismissal(_)
            | StoreError::UnknownEvents { .. }
            | StoreError::DuplicateEvent { .. }
            | StoreError::EventIdTaken { .. }
            | StoreError::OtherTenant { .. } => Some(BAD_INPUT),
            StoreError::QueryTimedOut(_)
            | StoreError::AppendTimedOut { .. }
            | StoreError::AppendUnanswered { .. } => Some(NOT_IN_TIME),
            error if error.is_bad_data() => Some(BAD_INPUT),
            StoreError::Database(error) => unreachable_code(error),
            _ => None,
        };
    }
    cause.downcast_ref::<sqlx::Error>().and_then(unreachable_code)
}

fn unreachable_code(error: &sqlx::Error) -> Option<u8> {
    crate::db::is_connection_lost(error).then_some(UNREACHABLE)
}
