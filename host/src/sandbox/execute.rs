//! Runs a plugin's statements through the functions that were made of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgPool, Row as _, ValueRef as _};

use super::batch;
use super::convert::{arguments, column_sql, read, single_args, too_large_sql};
use super::error::{BatchError, SqlError, SqlErrorKind};
use super::record::Recorder;
use super::roles::{self, CALLS, Names};
use super::room::{Full, Room};
use super::single;
use super::statement::Prepared;
use super::value::Value;
use super::{SandboxConfig, policy};
use crate::db::{self, Tx};

/// One use of a statement in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Index into the list of statements, from 0.
    pub statement: u32,
    /// `$1`, `$2`, …
    pub params: Vec<Value>,
}

/// Rows of a query. Every row has one value a column.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RowSet {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// A statement of a plugin, as the host knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StatementInfo {
    /// What the plugin wrote.
    pub text: String,
    /// The tables and views that it reads; those of other schemas with the schema.
    pub reads: Vec<String>,
    /// The tables that it writes.
    pub writes: Vec<String>,
    /// What it does by a grant, such as `read public.airports`.
    pub grants: Vec<String>,
    /// The types of its parameters.
    pub params: Vec<String>,
    /// The names and types of its result's columns; none where it returns no rows.
    pub columns: Vec<(String, String)>,
}

/// What a plugin may do in SQL: its statements, each judged once and kept as a function of the
/// server.
#[derive(Debug)]
pub struct PluginSql {
    pub(super) control: PgPool,
    pub(super) config: SandboxConfig,
    pub(super) names: Names,
    /// The version whose statements these are; none for a plugin as such.
    pub(super) version: Option<String>,
    deferred: Vec<String>,
    room: Room,
    statements: RwLock<HashMap<String, Arc<Prepared>>>,
    recorder: Recorder,
}

impl PluginSql {
    /// The pool of the host's own errands on the plugin's database: cancelling a statement is one.
    pub fn control(&self) -> &PgPool {
        &self.control
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &str {
        &self.names.plugin
    }

    /// Keeps what is asked and answered, where it is told to.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Loads the statements that are known. `live` names the plugin's own tables, of which these may be
    /// the shadow.
    pub(super) async fn load(
        control: PgPool,
        config: SandboxConfig,
        names: Names,
        live: &Names,
        version: Option<String>,
    ) -> Result<Self, SqlError> {
        let rows = sqlx::query(
            "SELECT statement, description FROM eventfabric.plugin_statements s
             WHERE schema_name = $1 AND policy = $2
               AND ($4::text IS NULL
                    OR EXISTS (SELECT FROM eventfabric.plugin_manifests m
                               WHERE (m.plugin_name, m.version, m.sha256) = ($3, $4, s.sha256)))",
        )
        .bind(&names.schema)
        .bind(policy::VERSION)
        .bind(&names.plugin)
        .bind(&version)
        .fetch_all(&control)
        .await?;
        let mut statements = HashMap::new();
        for row in rows {
            let sqlx::types::Json(prepared) = row.try_get(1)?;
            statements.insert(row.try_get(0)?, Arc::new(prepared));
        }
        let deferred = sqlx::query_scalar(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.conname)
             FROM pg_catalog.pg_constraint c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
             WHERE n.nspname = $1 AND c.condeferrable AND c.condeferred
             ORDER BY 1",
        )
        .bind(&names.schema)
        .fetch_all(&control)
        .await?;
        let schemas = [live.clone(), live.shadow(), live.old()].map(|names| names.schema);
        let room = Room::new(config.schema_bytes, &names.plugin, schemas.into());
        let statements = RwLock::new(statements);
        let recorder = Recorder::default();
        Ok(Self { control, config, names, version, deferred, room, statements, recorder })
    }

    /// Runs a statement and tells how many rows it wrote or, where it returns rows, how many it
    /// returned. An error dooms the transaction.
    pub async fn execute(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<u64, SqlError> {
        guard(tx)?;
        let done = self.try_execute(tx, statement, &params).await;
        done.inspect(|rows| self.room.wrote(*rows)).map_err(|error| self.doom(tx, statement, error))
    }

    /// Runs a statement and returns its rows; none where it returns none. An error dooms the
    /// transaction.
    pub async fn query(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<RowSet, SqlError> {
        guard(tx)?;
        let done = self.try_query(tx, statement, &params).await;
        done.map_err(|error| self.doom(tx, statement, error))
    }

    /// The same for a statement that can change or lock nothing; any other one is denied.
    pub async fn select(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: Vec<Value>,
    ) -> Result<RowSet, SqlError> {
        guard(tx)?;
        let prepared = self.prepared(statement).await;
        if let Err(error) = prepared.and_then(|prepared| prepared.only_reads()) {
            return Err(self.doom(tx, statement, error));
        }
        self.query(tx, statement, params).await.map_err(|error| match error.sqlstate.as_str() {
            // A table that was replaced in this very moment can't be opened any more.
            "XX000" => SqlError { kind: SqlErrorKind::Retryable, ..error },
            _ => error,
        })
    }

    /// Rows and bytes that one answer may have.
    pub fn most(&self) -> (usize, usize) {
        (self.config.max_rows, self.config.max_result_bytes)
    }

    /// Runs many statements in order, in few round trips, and tells for each what
    /// [`PluginSql::execute`] tells. When one fails, none has an effect, and the transaction is
    /// doomed.
    pub async fn execute_batch(
        &self,
        tx: &mut Tx,
        statements: &[String],
        calls: Vec<Call>,
    ) -> Result<Vec<u64>, BatchError> {
        guard(tx).map_err(|error| BatchError { call: 0, error })?;
        match self.try_batch(tx, statements, &calls).await {
            Ok(counts) => {
                self.room.wrote(counts.iter().sum());
                Ok(counts)
            }
            Err(BatchError { call, error }) => {
                let text = calls
                    .get(call as usize)
                    .and_then(|c| statements.get(c.statement as usize))
                    .map_or("", String::as_str);
                Err(BatchError { call, error: self.doom(tx, text, error) })
            }
        }
    }

    /// Has the server check the plugin's deferred constraints now. The host calls it before it takes
    /// the transaction back: at COMMIT they would fail as the host's. Afterwards they are deferred
    /// again, for the same transaction may serve the plugin once more.
    pub async fn settle(&self, tx: &mut Tx) -> Result<(), SqlError> {
        guard(tx)?;
        if self.deferred.is_empty() {
            return Ok(());
        }
        let names = self.deferred.join(", ");
        for when in ["IMMEDIATE", "DEFERRED"] {
            let done = roles::run(tx.conn(), format!("SET CONSTRAINTS {names} {when}")).await;
            done.map_err(|error| self.doom(tx, "", error.into()))?;
        }
        Ok(())
    }

    /// Has a statement judged and added to those of the version, without running it.
    pub async fn admit(&self, statement: &str) -> Result<(), SqlError> {
        self.prepared(statement).await.map(drop)
    }

    /// Whether the plugin's tables have grown beyond their limit, this transaction's rows included.
    /// Looks now and then only.
    pub async fn check_room(&self, tx: &mut Tx) -> Result<Option<Full>, SqlError> {
        guard(tx)?;
        self.room.check(tx).await.map_err(|error| self.doom(tx, "", error.into()))
    }

    /// The statements that are known, sorted by their text.
    pub fn manifest(&self) -> Vec<StatementInfo> {
        let statements = self.statements.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = statements
            .iter()
            .map(|(text, prepared)| StatementInfo {
                text: text.clone(),
                reads: prepared.reads.clone(),
                writes: prepared.writes.clone(),
                grants: prepared.grants.clone(),
                params: prepared.params.iter().map(|p| p.type_name.clone()).collect(),
                columns: prepared
                    .columns
                    .iter()
                    .map(|c| (c.name.clone(), c.type_name.clone()))
                    .collect(),
            })
            .collect();
        list.sort_by(|a, b| a.text.cmp(&b.text));
        list
    }

    /// Notes the failure. A function that is gone was dropped by another host's migration, or with a
    /// grant: the statement is forgotten, and the next try makes it again. (A table of another plugin that
    /// is replaced in this very moment can't be opened any more, which the server takes for an internal
    /// error.)
    fn doom(&self, tx: &mut Tx, statement: &str, mut error: SqlError) -> SqlError {
        tx.doom();
        let borrows = || {
            let statements = self.statements.read().unwrap_or_else(PoisonError::into_inner);
            statements.get(statement).is_some_and(|prepared| !prepared.grants.is_empty())
        };
        let gone = error.sqlstate == "42883" && error.message.contains(CALLS)
            || error.sqlstate == "0A000" && error.message.contains("cached plan")
            || error.sqlstate == "XX000" && borrows();
        if gone {
            self.statements.write().unwrap_or_else(PoisonError::into_inner).remove(statement);
            error.kind = SqlErrorKind::Retryable;
            error.hint = Some("the tables have changed meanwhile: try again".to_owned());
        }
        error
    }

    async fn try_execute(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: &[Value],
    ) -> Result<u64, SqlError> {
        let prepared = self.prepared(statement).await?;
        let arguments = arguments(&prepared, params)?;
        let args = single_args(&prepared);
        let call = if prepared.around {
            format!("{}({args})", single::around(&prepared.function))
        } else {
            batch::count(&prepared, &args)
        };
        let sql = format!("SELECT {call}");
        let count: i64 =
            sqlx::query_scalar_with(AssertSqlSafe(sql), arguments).fetch_one(tx.conn()).await?;
        Ok(count.unsigned_abs())
    }

    async fn try_query(
        &self,
        tx: &mut Tx,
        statement: &str,
        params: &[Value],
    ) -> Result<RowSet, SqlError> {
        let prepared = self.prepared(statement).await?;
        if prepared.columns.is_empty() {
            self.try_execute(tx, statement, params).await?;
            return Ok(RowSet { columns: Vec::new(), rows: Vec::new() });
        }
        let arguments = arguments(&prepared, params)?;
        let max_bytes = self.config.max_result_bytes;
        let mut too_large = Vec::new();
        let mut columns: Vec<String> = Vec::new();
        for (number, column) in (1..).zip(&prepared.columns) {
            let value = column_sql(number, column);
            columns.push(match too_large_sql(number, column, max_bytes) {
                Some(test) => {
                    too_large.push(test.clone());
                    format!("CASE WHEN NOT {test} THEN {value} END")
                }
                None => value,
            });
        }
        too_large.push("false".to_owned());
        columns.push(too_large.join(" OR "));
        let sql = format!(
            "SELECT {} FROM {}({}) AS q LIMIT {}",
            columns.join(", "),
            prepared.function,
            single_args(&prepared),
            self.config.max_rows + 1
        );
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut found = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(tx.conn());
        while let Some(row) = found.try_next().await? {
            let mut values = Vec::with_capacity(prepared.columns.len());
            for (at, column) in prepared.columns.iter().enumerate() {
                let raw = row.try_get_raw(at)?;
                if raw.is_null() {
                    values.push(Value::Null);
                    continue;
                }
                let raw = raw.as_bytes().map_err(sqlx::Error::Decode)?;
                bytes += raw.len();
                values.push(read(column, raw).map_err(|why| {
                    SqlError::new(
                        SqlErrorKind::Invalid,
                        format!("column {} holds {why}", column.name),
                    )
                })?);
            }
            rows.push(values);
            let too_large = row.try_get(prepared.columns.len())?;
            if rows.len() > self.config.max_rows || bytes > max_bytes || too_large {
                let message = format!(
                    "the query returns more than {} rows or {max_bytes} bytes",
                    self.config.max_rows
                );
                return Err(SqlError::new(SqlErrorKind::Limit, message)
                    .with_hint("ask for fewer rows, with LIMIT or a narrower WHERE"));
            }
        }
        drop(found);
        Ok(RowSet { columns: prepared.columns.iter().map(|c| c.name.clone()).collect(), rows })
    }

    async fn try_batch(
        &self,
        tx: &mut Tx,
        statements: &[String],
        calls: &[Call],
    ) -> Result<Vec<u64>, BatchError> {
        let mut known: Vec<Option<Arc<Prepared>>> = vec![None; statements.len()];
        for (at, call) in calls.iter().enumerate() {
            let failed = |error| BatchError { call: at as u32, error };
            let index = call.statement as usize;
            let text = statements.get(index).ok_or_else(|| {
                failed(SqlError::new(
                    SqlErrorKind::Invalid,
                    format!("there is no statement {index} in the batch"),
                ))
            })?;
            if known[index].is_none() {
                known[index] = Some(self.prepared(text).await.map_err(failed)?);
            }
        }
        let mut counts = Vec::with_capacity(calls.len());
        let mut next = 0;
        while next < calls.len() {
            let segment = batch::segment(&known, calls, next)?;
            let end = next + segment.calls;
            // Aborts of the segment leave the transaction alive, to find the call to blame.
            let failed = |error: sqlx::Error| BatchError { call: next as u32, error: error.into() };
            tx.savepoint("eventfabric_batch").await.map_err(failed)?;
            match segment.run(tx.conn()).await {
                Ok(more) => counts.extend(more),
                // Nobody's fault, or out of time: not to be done again call by call.
                Err(error) if beyond_blame(&error) => return Err(failed(error)),
                Err(error) => {
                    tx.rollback_to("eventfabric_batch").await.map_err(failed)?;
                    for (at, call) in (next..end).zip(&calls[next..end]) {
                        let text = &statements[call.statement as usize];
                        let count = self.try_execute(tx, text, &call.params).await;
                        counts.push(count.map_err(|error| BatchError { call: at as u32, error })?);
                    }
                    // Each call works on its own, so all of them are done now.
                    tracing::warn!(plugin = self.names.plugin, %error, "a batch failed as a whole");
                }
            }
            tx.release("eventfabric_batch").await.map_err(failed)?;
            next = end;
        }
        Ok(counts)
    }

    async fn prepared(&self, text: &str) -> Result<Arc<Prepared>, SqlError> {
        {
            let statements = self.statements.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(prepared) = statements.get(text) {
                return Ok(prepared.clone());
            }
        }
        self.config.allows_text(text)?;
        let prepared = Arc::new(self.learn(text).await?);
        let mut statements = self.statements.write().unwrap_or_else(PoisonError::into_inner);
        Ok(statements.entry(text.to_owned()).or_insert(prepared).clone())
    }
}

/// A transaction in which a statement failed takes no other.
fn guard(tx: &Tx) -> Result<(), SqlError> {
    if tx.is_doomed() { Err(SqlError::aborted()) } else { Ok(()) }
}

/// Whether no single call of a batch is to blame: the connection, a lock, the deadline.
fn beyond_blame(error: &sqlx::Error) -> bool {
    let retryable = ["40001", "40P01", "55P03", "57014"];
    db::is_connection_lost(error)
        || error
            .as_database_error()
            .and_then(|e| e.code())
            .is_some_and(|code| retryable.contains(&code.as_ref()))
}
