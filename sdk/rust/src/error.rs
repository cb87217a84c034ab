//! Why a batch was not handled, and what the host shall do about it.

use std::{any::Any, fmt};

use crate::{AppendError, FailureKind, SqlError, SqlErrorKind, http::SendError};

/// The result of everything that can fail in a projection.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: what the host shall do ([`FailureKind`]), a message for people and, where it is
/// known, the event to blame.
///
/// `?` makes one of any error of the standard kind: an SQL error gets its kind from the database
/// (see [`Error::sql`]), one of a request from what went wrong (see [`Error::request`]), every other error counts as poison, as it came from the event's data.
/// (This type does not implement [`std::error::Error`] itself, or else `?` could not do that.)
///
/// ```
/// use eventfabric_sdk::prelude::*;
///
/// fn minutes(text: &str) -> Result<i64> {
///     Ok(text.parse::<i64>()?)
/// }
/// let error = minutes("soon").unwrap_err();
/// assert_eq!(error.kind(), FailureKind::Poison);
/// assert_eq!(error.message(), "invalid digit found in string");
///
/// let error = Error::retry("the price list has not arrived yet").context("order 42");
/// assert_eq!(error.to_string(), "retry: order 42: the price list has not arrived yet");
/// ```
#[derive(Clone, PartialEq)]
pub struct Error {
    kind: FailureKind,
    message: String,
    event: Option<u32>,
    sql: Option<Box<SqlError>>,
}

impl Error {
    fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), event: None, sql: None }
    }

    /// The same event can succeed later: the host tries it again, with a growing delay.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Retry, message)
    }

    /// This event can never succeed: the host sets it aside, and goes on with the others.
    pub fn poison(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Poison, message)
    }

    /// The plugin itself is wrong, for every event: the host stops the projection.
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Fatal, message)
    }

    /// The failure of a statement. What can pass (locks, lost connections) is worth a retry;
    /// constraints and data blame the event; everything else blames the plugin.
    ///
    /// The message holds all that an author needs to mend it: the server's message with SQLSTATE,
    /// detail and hint, and the statement with the place in it.
    pub fn sql(error: SqlError, statement: &str) -> Self {
        let kind = match error.kind {
            SqlErrorKind::Retryable | SqlErrorKind::Connection => FailureKind::Retry,
            SqlErrorKind::Constraint => FailureKind::Poison,
            SqlErrorKind::Denied
            | SqlErrorKind::Invalid
            | SqlErrorKind::Limit
            | SqlErrorKind::Aborted => FailureKind::Fatal,
        };
        let message = describe(&error, statement);
        Self { kind, message, event: None, sql: Some(Box::new(error)) }
    }

    /// The failure of an append: a lost race and the database are worth a retry, everything else blames the
    /// event.
    fn append(error: &AppendError) -> Self {
        match error {
            AppendError::Conflict(version) => Self::retry(format_args!(
                "somebody else has appended to the stream, which is at version {version}"
            )),
            AppendError::Database(message) => Self::retry(message),
            AppendError::Denied(message)
            | AppendError::Invalid(message)
            | AppendError::Limit(message) => Self::poison(message),
        }
    }

    /// A request without an answer. Time-outs and connections are worth a retry; everything else blames the
    /// event, for it may have named the server.
    pub fn request(error: &SendError) -> Self {
        match error {
            SendError::Timeout(why) => Self::retry(format_args!("timeout: {why}")),
            SendError::Connection(why) => Self::retry(format_args!("connection: {why}")),
            SendError::Denied(why) => Self::poison(format_args!("denied: {why}")),
            SendError::Invalid(why) => Self::poison(format_args!("invalid request: {why}")),
            SendError::Limit(why) => Self::poison(format_args!("limit: {why}")),
        }
    }

    /// Blames the event at this index of the batch.
    #[must_use]
    pub fn at(mut self, index: u32) -> Self {
        self.event = Some(index);
        self
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the host shall do.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What went wrong, for the person who reads the log or the dead letter.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The index in the batch of the event to blame, where it is known.
    pub fn event(&self) -> Option<u32> {
        self.event
    }

    /// What the database said, if it was a statement that failed.
    pub fn sql_error(&self) -> Option<&SqlError> {
        self.sql.as_deref()
    }
}

fn describe(error: &SqlError, statement: &str) -> String {
    let mut text = error.message.clone();
    if !error.sqlstate.is_empty() {
        text += &format!(" (SQLSTATE {})", error.sqlstate);
    }
    for (label, part) in [("detail", &error.detail), ("hint", &error.hint)] {
        if let Some(part) = part {
            text += &format!("\n{label}: {part}");
        }
    }
    if !statement.is_empty() {
        text += &format!("\nstatement: {statement}");
    }
    if let Some(place) = error.position {
        let rest: String =
            statement.chars().skip(place.saturating_sub(1) as usize).take(40).collect();
        text += &format!("\nat character {place}: {rest}");
    }
    text
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any = &error as &dyn Any;
        if let Some(error) = any.downcast_ref::<SqlError>() {
            Self::sql(error.clone(), "")
        } else if let Some(error) = any.downcast_ref::<AppendError>() {
            Self::append(error)
        } else if let Some(error) = any.downcast_ref::<SendError>() {
            Self::request(error)
        } else {
            Self::poison(error)
        }
    }
}

impl From<Error> for crate::Failure {
    fn from(error: Error) -> Self {
        Self { index: error.event, kind: error.kind, message: error.message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureKind::Retry => "retry",
            FailureKind::Poison => "poison",
            FailureKind::Fatal => "fatal",
        };
        write!(f, "{kind}: {}", self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.event.map_or(Ok(()), |index| write!(f, " (event {index} of the batch)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sql_error;

    #[test]
    fn the_kind_follows_from_what_the_database_said() {
        for (sql, failure) in [
            (SqlErrorKind::Retryable, FailureKind::Retry),
            (SqlErrorKind::Connection, FailureKind::Retry),
            (SqlErrorKind::Constraint, FailureKind::Poison),
            (SqlErrorKind::Denied, FailureKind::Fatal),
            (SqlErrorKind::Invalid, FailureKind::Fatal),
            (SqlErrorKind::Limit, FailureKind::Fatal),
        ] {
            assert_eq!(Error::sql(sql_error(sql, "XX000", "no"), "SELECT 1").kind(), failure);
        }
    }

    #[test]
    fn the_message_names_statement_state_detail_and_place() {
        let error = SqlError {
            detail: Some("Key (id)=(1) already exists.".into()),
            position: Some(13),
            ..sql_error(SqlErrorKind::Constraint, "23505", "duplicate key")
        };
        assert_eq!(
            Error::sql(error, "INSERT INTO things VALUES ($1)").message(),
            "duplicate key (SQLSTATE 23505)\n\
             detail: Key (id)=(1) already exists.\n\
             statement: INSERT INTO things VALUES ($1)\n\
             at character 13: things VALUES ($1)"
        );
    }

    #[test]
    fn a_raw_sql_error_keeps_its_kind_through_the_question_mark() {
        let failed = || -> Result<()> {
            Err(sql_error(SqlErrorKind::Retryable, "40001", "could not serialize"))?;
            Ok(())
        };
        assert_eq!(failed().unwrap_err().kind(), FailureKind::Retry);
    }
}
