//! What a plugin's SQL may do.

#![allow(missing_docs, clippy::unused_async)]

mod value;

pub use value::Value;

use crate::db::Tx;

pub struct PluginSql;

impl PluginSql {
    pub async fn execute(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<u64, SqlError> {
        let _ = (tx, statement, params);
        Ok(0)
    }

    pub async fn query(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<RowSet, SqlError> {
        let _ = (tx, statement, params);
        Ok(RowSet { columns: Vec::new(), rows: Vec::new() })
    }

    pub async fn execute_batch(
        &self,
        tx: &mut Tx,
        statements: &[String],
        calls: Vec<Call>,
    ) -> Result<Vec<u64>, BatchError> {
        let _ = (tx, statements);
        Ok(vec![0; calls.len()])
    }

    pub async fn settle(&self, tx: &mut Tx) -> Result<(), SqlError> {
        let _ = tx;
        Ok(())
    }
}

#[derive(Debug, Clone)]
pub struct Call {
    pub statement: u32,
    pub params: Vec<Value>,
}

#[derive(Debug, Clone)]
pub struct RowSet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlErrorKind {
    Retryable,
    Constraint,
    Denied,
    Invalid,
    Limit,
    Aborted,
    Connection,
}

#[derive(Debug, Clone)]
pub struct SqlError {
    pub kind: SqlErrorKind,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub constraint: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub position: Option<u32>,
}

#[derive(Debug, Clone)]
pub struct BatchError {
    pub call: u32,
    pub error: SqlError,
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct SandboxConfig {}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SandboxError;
#[derive(Clone)]
pub struct Sandbox;
pub struct TextRows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}
impl Sandbox {
    pub fn new(_c: sqlx::PgPool, _config: SandboxConfig) -> Self {
        Self
    }
    pub async fn prepare(&self, _d: &crate::projection::Description) -> Result<(), SandboxError> {
        Ok(())
    }
    pub async fn plugin(&self, _n: &str) -> Result<std::sync::Arc<PluginSql>, SandboxError> {
        Err(SandboxError)
    }
    pub async fn read(&self, _name: &str, _sql: &str) -> Result<TextRows, SandboxError> {
        Err(SandboxError)
    }
}
