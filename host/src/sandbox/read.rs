//! An operator's query over a plugin's tables: judged like a statement of the plugin, run as its
//! reader, and answered page by page.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::Sandbox;
use super::error::{SandboxError, SqlError, SqlErrorKind, while_doing};
use super::roles::{self, Names, ident};
use super::statement::{self, Place, Prepared};
use super::{grant, rights};
use crate::db::{self, Tx};

/// A row in PostgreSQL's text form; none stands for NULL.
pub type TextRow = Vec<Option<String>>;

/// Rows in PostgreSQL's text form with what their columns are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextTable {
    /// Their names and types.
    pub columns: Vec<(String, String)>,
    /// The rows.
    pub rows: Vec<TextRow>,
}

const CONTEXT: &str = "reading for an operator";

/// An operator's query that is being answered. Dropped, it ends, and leaves nothing in the database.
#[derive(Debug)]
pub struct Reading {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Dropped, it closes its connection, which ends the query.
    tx: Tx,
}

impl Sandbox {
    /// Begins to answer an operator's query: one SELECT over the plugin's tables, under the same
    /// rules as a statement of the plugin, as a role that may read them and nothing else, in a
    /// transaction that can write nothing.
    ///
    /// The function of the query is made in a schema of its own, and neither is ever committed: no
    /// other session sees them or waits for them, and a reader that is killed leaves nothing behind.
    ///
    /// # Errors
    /// The plugin is not known; the query is refused or wrong; the database is away or read-only.
    pub async fn read(&self, name: &str, sql: &str) -> Result<Reading, SandboxError> {
        match self.try_read(name, sql).await {
            Err(error) if error.is_denied() => {
                db::close_idle(&self.control).await;
                self.try_read(name, sql).await
            }
            reading => reading,
        }
    }

    async fn try_read(&self, name: &str, sql: &str) -> Result<Reading, SandboxError> {
        let names = self.known(name).await?;
        self.ensure_reader(&names).await?;
        // Who asks decides how long it may take.
        let begin = Tx::begin(&self.control, Duration::MAX).await;
        let mut tx = begin.map_err(while_doing(CONTEXT))?;
        let columns = begin_reading(tx.conn(), &names, sql).await?;
        let columns = columns.into_iter().map(|(name, _)| name).collect();
        Ok(Reading { columns, tx })
    }

    /// Plugins that an older host made ready have no reader.
    async fn ensure_reader(&self, names: &Names) -> Result<(), SandboxError> {
        let mut tx = self.control.begin().await.map_err(while_doing(CONTEXT))?;
        if roles::has_reader(&mut tx, names).await.map_err(while_doing(CONTEXT))? {
            return Ok(());
        }
        roles::lock(&mut tx).await?;
        roles::ensure(&mut tx, names).await?;
        let granted = grant::granted(&mut tx, &names.plugin).await.map_err(while_doing(CONTEXT))?;
        rights::mend(&mut tx, names, &granted).await?;
        tx.commit().await.map_err(while_doing(CONTEXT))
    }
}

impl Reading {
    /// The next rows, at most this many; none at the end.
    ///
    /// # Errors
    /// The query fails, or the connection is lost.
    pub async fn page(&mut self, rows: usize) -> Result<Vec<TextRow>, SandboxError> {
        fetch(self.tx.conn(), rows).await
    }
}

/// Judges a query and opens its cursor. Answers the names and types of its columns.
pub(super) async fn begin_reading(
    conn: &mut PgConnection,
    names: &Names,
    sql: &str,
) -> Result<Vec<(String, String)>, SandboxError> {
    let prepared = make(conn, names, sql).await?;
    if !prepared.select || prepared.columns.is_empty() {
        return Err(SqlError::new(SqlErrorKind::Denied, "only a SELECT can be read").into());
    }
    if !prepared.params.is_empty() {
        let error = SqlError::new(SqlErrorKind::Invalid, "there are no parameters here");
        return Err(error.with_hint("write the values into the text").into());
    }
    open(conn, &prepared).await.map_err(SqlError::from)?;
    Ok(prepared.columns.into_iter().map(|column| (column.name, column.type_name)).collect())
}

/// The next rows of the cursor, at most this many.
pub(super) async fn fetch(
    conn: &mut PgConnection,
    rows: usize,
) -> Result<Vec<TextRow>, SandboxError> {
    let fetch = format!("FETCH {rows} FROM eventfabric_reading");
    let found = sqlx::query(AssertSqlSafe(fetch))
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(SqlError::from)?;
    let rows = found.iter().map(|row| (0..row.len()).map(|at| row.try_get(at)).collect());
    rows.collect::<sqlx::Result<_>>().map_err(while_doing(CONTEXT))
}

/// Makes the function of the query, in a schema that exists in this transaction alone.
async fn make(conn: &mut PgConnection, names: &Names, sql: &str) -> Result<Prepared, SandboxError> {
    // A client that is gone is noticed while its query runs.
    let settings = "SET LOCAL check_function_bodies = on; \
                    SET LOCAL client_connection_check_interval = '5s'";
    let schema = ident(&format!("eventfabric_reading_{}", uuid::Uuid::now_v7().simple()));
    roles::run(conn, format!("{settings}; CREATE SCHEMA {schema}"))
        .await
        .map_err(while_doing(CONTEXT))?;
    let host = roles::host(conn).await.map_err(while_doing(CONTEXT))?;
    let place = Place { schema: &schema, role: &names.reader };
    Ok(statement::make(conn, host, names, place, sql).await?)
}

/// Opens the cursor that the pages come from. The function stands in a list of columns, where it
/// runs as far as rows are taken; in FROM the server would keep its whole result first.
async fn open(conn: &mut PgConnection, prepared: &Prepared) -> sqlx::Result<()> {
    let columns: Vec<String> = match prepared.columns.len() {
        1 => vec!["q.r::text".to_owned()],
        n => (1..=n).map(|n| format!("(q.r).c{n}::text")).collect(),
    };
    let cursor = format!(
        "SET LOCAL search_path = ''; SET LOCAL transaction_read_only = on;
         DECLARE eventfabric_reading NO SCROLL CURSOR FOR
         SELECT {} FROM (SELECT {}(0) AS r) AS q",
        columns.join(", "),
        prepared.function,
    );
    roles::run(conn, cursor).await
}
