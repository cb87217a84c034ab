//! What a plugin asked of its database, and what it was answered.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{BatchError, Call, RowSet, SqlError, Value};

/// A call of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchCall {
    /// The statement.
    pub statement: String,
    /// `$1`, `$2`, …
    pub params: Vec<Value>,
}

impl BatchCall {
    /// Those of a batch. A call that names no statement of it has none.
    pub fn all(statements: &[String], calls: &[Call]) -> Vec<Self> {
        let one = |call: &Call| {
            let statement = statements.get(call.statement as usize).cloned().unwrap_or_default();
            Self { statement, params: call.params.clone() }
        };
        calls.iter().map(one).collect()
    }
}

/// One question of a plugin with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// `execute`: how many rows it wrote or returned.
    Execute {
        /// The statement.
        statement: String,
        /// `$1`, `$2`, …
        params: Vec<Value>,
        /// What it was answered.
        answer: Result<u64, SqlError>,
    },
    /// `query`: the rows.
    Query {
        /// The statement.
        statement: String,
        /// `$1`, `$2`, …
        params: Vec<Value>,
        /// What it was answered.
        answer: Result<RowSet, SqlError>,
    },
    /// `execute-batch`: the same as of `execute`, of each call.
    Batch {
        /// In order.
        calls: Vec<BatchCall>,
        /// What it was answered.
        answer: Result<Vec<u64>, BatchError>,
    },
    /// Streams of the log, read or appended to.
    Log {
        /// What was asked.
        asked: serde_json::Value,
        /// What was answered.
        answer: serde_json::Value,
    },
    /// Constraints that are deferred to the end failed there.
    End(SqlError),
}

impl Step {
    /// The statements that it ran.
    pub fn statements(&self) -> Vec<&str> {
        match self {
            Self::Execute { statement, .. } | Self::Query { statement, .. } => vec![statement],
            Self::Batch { calls, .. } => calls.iter().map(|call| &*call.statement).collect(),
            Self::Log { .. } | Self::End(_) => Vec::new(),
        }
    }
}

/// Keeps what is noted from [`Recorder::begin`] to [`Recorder::end`].
#[derive(Debug)]
pub struct Recorder<T = Step>(Mutex<Option<Vec<T>>>);

impl<T> Default for Recorder<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Recorder<T> {
    /// Begins anew.
    pub fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Ends, with what was kept.
    pub fn end(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Keeps what is told, if that is wanted.
    pub fn note(&self, tell: impl FnOnce() -> T) {
        if let Some(kept) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            kept.push(tell());
        }
    }
}
