//! A transaction on a real PostgreSQL that is rolled back.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU32, Ordering},
};

use ::postgres::{
    Client, NoTls, Statement,
    error::{DbError, ErrorPosition, SqlState},
    types::ToSql,
};

use super::postgres_value::{Cell, Param, fits};
use crate::{
    Backend, BatchError, Call, FromRow, Projection, RowSet, SqlError, SqlErrorKind, Tx, Value,
};

/// The variable that names the server, such as `postgres://user@localhost/test`.
const VARIABLE: &str = "EVENTFABRIC_TEST_DATABASE_URL";

/// A projection's tables in a schema of their own, made by its migrations on a transaction that is
/// never committed: tests see each other's rows no more than projections do, and leave nothing
/// behind.
///
/// Statements are what the host would run, short of its sandbox: `now()`, other schemas and the
/// like are refused there and not here.
///
/// ```no_run
/// use eventfabric_sdk::{prelude::*, testing::{self, PgTx}};
/// # struct Owners;
/// # impl Projection for Owners {
/// #     type Event = serde_json::Value;
/// #     fn describe() -> Description { Description::new("owners") }
/// #     fn handle(_: &Tx, _: &Event<Self::Event>) -> Result<()> { Ok(()) }
/// # }
///
/// let db = PgTx::new::<Owners>();
/// testing::run::<Owners>(&db, [testing::event("AccountOpened", r#"{"owner": "Ada"}"#)])?;
/// assert_eq!(db.read::<(String,)>("SELECT name FROM owners"), [("Ada".into(),)]);
/// # Ok::<(), eventfabric_sdk::Failure>(())
/// ```
pub struct PgTx {
    client: RefCell<Client>,
}

impl PgTx {
    /// On the server that `EVENTFABRIC_TEST_DATABASE_URL` names.
    ///
    /// # Panics
    /// Where the variable is not set, and as [`on`](Self::on).
    pub fn new<P: Projection>() -> Self {
        Self::from_env::<P>().unwrap_or_else(|| {
            panic!("set {VARIABLE} to a PostgreSQL to test on, postgres://user@localhost/test")
        })
    }

    /// The same, but `None` where the variable is not set, for tests that run without a server.
    pub fn from_env<P: Projection>() -> Option<Self> {
        std::env::var(VARIABLE).ok().map(|url| Self::on::<P>(&url))
    }

    /// On the server of this address.
    ///
    /// # Panics
    /// Where the server can't be reached or a migration fails, saying which.
    pub fn on<P: Projection>(url: &str) -> Self {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let description = P::describe();
        let schema = format!(
            "{}_test_{}_{}",
            description.name(),
            std::process::id(),
            SCHEMAS.fetch_add(1, Ordering::Relaxed)
        );
        let mut client = Client::connect(url, NoTls)
            .unwrap_or_else(|error| panic!("no connection to {VARIABLE}: {error}"));
        let begin =
            format!("BEGIN; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, pg_temp");
        client.batch_execute(&begin).unwrap_or_else(|error| panic!("schema {schema}: {error}"));
        for step in description.steps() {
            client.batch_execute(&step.sql).unwrap_or_else(|error| {
                let said =
                    error.as_db_error().map_or_else(|| error.to_string(), DbError::to_string);
                panic!("migration {} ({}): {said}", step.number, step.name)
            });
        }
        Self { client: RefCell::new(client) }
    }

    /// What a query finds now.
    ///
    /// # Panics
    /// Where it fails.
    pub fn read<T: FromRow>(&self, statement: &str) -> Vec<T> {
        Tx::new(self).query(statement, Vec::new()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn prepare(&self, statement: &str) -> Result<Statement, SqlError> {
        self.client.borrow_mut().prepare(statement).map_err(failure)
    }

    fn execute_prepared(&self, statement: &Statement, params: &[Value]) -> Result<u64, SqlError> {
        let params = bind(statement, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| it as _).collect();
        self.client.borrow_mut().execute(statement, &params).map_err(failure)
    }
}

impl Backend for PgTx {
    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, SqlError> {
        self.execute_prepared(&self.prepare(statement)?, params)
    }

    fn query(&self, statement: &str, params: &[Value]) -> Result<RowSet, SqlError> {
        let statement = self.prepare(statement)?;
        let params = bind(&statement, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| it as _).collect();
        let rows = self.client.borrow_mut().query(&statement, &params).map_err(failure)?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows = rows.iter().map(|row| {
            (0..row.len())
                .map(|place| row.try_get::<_, Option<Cell>>(place))
                .map(|cell| Ok(cell.map_err(failure)?.map_or(Value::Null, |Cell(value)| value)))
                .collect()
        });
        Ok(RowSet { columns, rows: rows.collect::<Result<_, SqlError>>()? })
    }

    fn execute_batch(&self, statements: &[String], calls: &[Call]) -> Result<Vec<u64>, BatchError> {
        let mut prepared: Vec<Option<Statement>> = vec![None; statements.len()];
        let mut run = |call: &Call| {
            let place = call.statement as usize;
            let statement = match &prepared[place] {
                Some(statement) => statement,
                None => prepared[place].insert(self.prepare(&statements[place])?),
            };
            self.execute_prepared(statement, &call.params)
        };
        (0..)
            .zip(calls)
            .map(|(index, call)| run(call).map_err(|error| BatchError { call: index, error }))
            .collect()
    }
}

fn bind<'a>(statement: &Statement, params: &'a [Value]) -> Result<Vec<Param<'a>>, SqlError> {
    let types = statement.params();
    if types.len() != params.len() {
        let message = format!("{} parameters for {} places", params.len(), types.len());
        return Err(super::sql_error(SqlErrorKind::Invalid, "08P01", &message));
    }
    for (number, (value, kind)) in (1..).zip(params.iter().zip(types)) {
        if !fits(value, kind) {
            let message = format!("parameter ${number} is {value:?}, but {kind} is expected");
            return Err(super::sql_error(SqlErrorKind::Invalid, "42804", &message));
        }
    }
    Ok(params.iter().map(Param).collect())
}

fn failure(error: ::postgres::Error) -> SqlError {
    let Some(db) = error.as_db_error() else {
        let lost = error.is_closed();
        let kind = if lost { SqlErrorKind::Connection } else { SqlErrorKind::Invalid };
        return super::sql_error(kind, "", &error.to_string());
    };
    SqlError {
        kind: kind(db.code()),
        sqlstate: db.code().code().to_owned(),
        message: db.message().to_owned(),
        detail: db.detail().map(str::to_owned),
        hint: db.hint().map(str::to_owned),
        constraint: db.constraint().map(str::to_owned),
        table: db.table().map(str::to_owned),
        column: db.column().map(str::to_owned),
        position: match db.position() {
            Some(ErrorPosition::Original(place)) => Some(*place),
            _ => None,
        },
    }
}

fn kind(state: &SqlState) -> SqlErrorKind {
    match state.code() {
        "42501" => SqlErrorKind::Denied,
        "25P02" => SqlErrorKind::Aborted,
        "55P03" | "57014" => SqlErrorKind::Retryable,
        code => match code.get(..2) {
            Some("40") => SqlErrorKind::Retryable,
            Some("22" | "23") => SqlErrorKind::Constraint,
            Some("53" | "54") => SqlErrorKind::Limit,
            Some("08" | "57") => SqlErrorKind::Connection,
            _ => SqlErrorKind::Invalid,
        },
    }
}
