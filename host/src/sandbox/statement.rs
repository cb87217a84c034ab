//! Makes a function of a statement: the server parses and binds it, the judge reads its tree, and
//! the plugin's role becomes its owner.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgTypeInfo;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Either, Executor as _, PgConnection, Row as _,
    SqlSafeStr as _, Statement as _,
};

use super::error::{SqlError, SqlErrorKind};
use super::grant::{self, Granted};
use super::judge::{self, Verdict};
use super::policy;
use super::roles::{self, Host, Names, ident};
use super::single;
use super::split::{self, Lexeme};
use super::wire::Wire;

/// A parameter of a statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Param {
    /// PostgreSQL's name of the type, with its schema where it is the plugin's.
    pub type_name: String,
    pub wire: Wire,
    pub array: bool,
    /// It goes as text, and the server casts it.
    pub cast: bool,
}

/// A column of a statement's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResultColumn {
    pub name: String,
    pub type_name: String,
    pub read: Read,
}

/// How a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Read {
    Scalar(Wire),
    Array(Wire),
    /// As text, and given as numeric.
    Numeric,
    /// As text[], and given as numeric[].
    NumericArray,
    /// As text, and given with the name of its type.
    Other,
}

/// How the rows that a statement wrote or returned are counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Count {
    /// The function answers it.
    Answered,
    /// The function answers something where it wrote its one row, and nothing where it wrote none.
    One,
    /// The function returns a row for each.
    Rows,
    /// MERGE before PostgreSQL 17 cannot return rows: the difference of the server's own counters
    /// of these tables, around the call.
    Written(Vec<u32>),
}

/// A statement that was judged, and the function that was made of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// Quoted, with its schema.
    pub function: String,
    pub params: Vec<Param>,
    pub columns: Vec<ResultColumn>,
    pub count: Count,
    /// There is a function around it for single calls ([`single`]).
    pub around: bool,
    /// Relations that it reads; those of other schemas with the schema.
    pub reads: Vec<String>,
    /// Tables that it writes.
    pub writes: Vec<String>,
    /// What it does by a grant, such as `read public.airports`.
    pub grants: Vec<String>,
    /// It can change or lock nothing.
    pub select: bool,
}

impl Prepared {
    /// Denies what could change or lock anything.
    pub fn only_reads(&self) -> Result<(), SqlError> {
        if self.select {
            return Ok(());
        }
        Err(denied("a query only reads: this statement writes, or locks rows"))
    }

    /// Whether what is stored of a statement says the same. (Who has used it stands there, too.)
    pub fn is_described_by(&self, stored: &serde_json::Value) -> bool {
        let mine = serde_json::to_value(self).unwrap_or_default();
        mine.as_object()
            .is_some_and(|mine| mine.iter().all(|(name, value)| stored.get(name) == Some(value)))
    }
}

pub(super) fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn denied(reason: impl Into<String>) -> SqlError {
    SqlError::new(SqlErrorKind::Denied, reason)
}

/// Where the function of a statement is made, and whose it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// A schema of the host's, quoted.
    pub schema: &'a str,
    /// The role that the function runs as.
    pub role: &'a str,
}

/// Makes and judges the function of a statement: in a transaction under [`roles::lock`], or in a
/// schema that no other transaction knows. An error leaves the transaction to be rolled back.
pub(super) async fn make(
    conn: &mut PgConnection,
    host: Host,
    names: &Names,
    place: Place<'_>,
    statement: &str,
) -> Result<Prepared, SqlError> {
    let pieces = split::split(statement).map_err(|e| {
        SqlError::new(SqlErrorKind::Invalid, format!("the statement is wrong: {e}"))
    })?;
    let end = match pieces.as_slice() {
        [piece] => piece.text.as_ptr() as usize - statement.as_ptr() as usize + piece.text.len(),
        [] => return Err(SqlError::new(SqlErrorKind::Invalid, "the statement is empty")),
        _ => {
            return Err(denied("only one statement at a time is allowed")
                .with_hint("give each statement to a call of its own"));
        }
    };
    // Up to the last word: what stands in front stays, so that the server's positions are right.
    let statement = &statement[..end];
    let with = pieces[0].lexemes.first() == Some(&Lexeme::Word("WITH".to_owned()));
    let granted = grant::granted(conn, &names.plugin).await?;
    search(conn, &names.schema).await?;
    // What this connection remembers of the text may be of before a migration.
    conn.clear_cached_statements().await?;
    // Under the extended protocol the server takes one command only, and runs nothing here.
    let described = (&mut *conn).prepare(AssertSqlSafe(statement).into_sql_str()).await?;
    let oids = |types: &[PgTypeInfo]| -> Vec<u32> {
        types.iter().map(|t| t.oid().map_or(0, |oid| oid.0)).collect()
    };
    let params = match described.parameters() {
        Some(Either::Left(types)) => oids(types),
        _ => Vec::new(),
    };
    if params.len() > 100 {
        return Err(SqlError::new(
            SqlErrorKind::Limit,
            format!("the statement has {} parameters; PostgreSQL's limit is 100", params.len()),
        )
        .with_hint("pass arrays and unnest them, or use execute-batch"));
    }
    let outputs: Vec<(String, u32)> = described
        .columns()
        .iter()
        .map(|c| (c.name().to_owned(), c.type_info().oid().map_or(0, |oid| oid.0)))
        .collect();
    drop(described);
    search(conn, "").await?;
    let types = type_names(conn, &params, &outputs).await?;
    search(conn, &names.schema).await?;

    let function = format!("{}.{}", place.schema, ident(&name_of(names, statement)));
    // Without a parameter of its own it takes one, so that a call always depends on its row.
    let integer = ["integer".to_owned()];
    let taken = if params.is_empty() { &integer } else { &types[..params.len()] };
    let signature = Signature { function: &function, types: taken };
    let returns = match outputs.len() {
        0 => "void".to_owned(),
        _ => format!(
            "TABLE ({})",
            (1..)
                .zip(&types[params.len()..])
                .map(|(n, t)| format!("c{n} {t}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    single::drop(conn, &function).await?;
    let mut facts = create(conn, names, &granted, signature, &returns, statement).await?;
    let command = facts.first_command.unwrap_or(0);
    let mut count = Count::Rows;
    if outputs.is_empty() {
        if command == MERGE && host.version < 170_000 {
            count = Count::Written(written_tables(conn, &facts.relations).await?);
        } else if matches!(command, INSERT | UPDATE | DELETE | MERGE) {
            roles::run(conn, format!("DROP FUNCTION {}", signature.plain())).await?;
            let returning = format!("{statement}\nRETURNING 1");
            if with {
                // What WITH writes must stand at the top.
                facts =
                    create(conn, names, &granted, signature, "SETOF integer", &returning).await?;
            } else if command == INSERT && facts.one_row() {
                // Of no other statement is it known; this one is spared a third of its time (carriers: 8.8
                // instead of 12 us a call).
                count = Count::One;
                facts = create(conn, names, &granted, signature, "bigint", &returning).await?;
            } else {
                count = Count::Answered;
                let counted = format!(
                    "WITH written AS (\n{returning}\n) SELECT pg_catalog.count(*) FROM written"
                );
                facts = create(conn, names, &granted, signature, "bigint", &counted).await?;
            }
        } else {
            return Err(denied("a SELECT without columns is of no use"));
        }
    }
    let plain = signature.plain();
    let prepared = Prepared {
        function,
        params: params
            .iter()
            .zip(&types)
            .map(|(oid, name)| {
                let wire = Wire::of(*oid);
                let (kind, array) = wire.unwrap_or((Wire::Text, false));
                Param { type_name: name.clone(), wire: kind, array, cast: wire.is_none() }
            })
            .collect(),
        columns: outputs
            .into_iter()
            .zip(&types[params.len()..])
            .map(|((name, oid), type_name)| ResultColumn {
                name,
                type_name: type_name.clone(),
                read: match (oid, Wire::of(oid)) {
                    (1700, _) => Read::Numeric,
                    (1231, _) => Read::NumericArray,
                    // The contract has no time without a zone.
                    (1114 | 1115, _) | (_, None) => Read::Other,
                    (_, Some((wire, false))) => Read::Scalar(wire),
                    (_, Some((wire, true))) => Read::Array(wire),
                },
            })
            .collect(),
        around: matches!(count, Count::Answered | Count::One) && single::needed(host),
        count,
        reads: relation_names(conn, names, facts.reads()).await?,
        writes: relation_names(conn, names, facts.writes()).await?,
        grants: granted.used(&facts).collect(),
        select: facts.commands.iter().all(|c| *c == SELECT) && !facts.locks_rows,
    };
    if prepared.around {
        single::make(conn, &prepared).await?;
    }
    roles::hand_over(conn, host, place.schema, &plain, place.role).await?;
    Ok(prepared)
}

const SELECT: u32 = 1;
const UPDATE: u32 = 2;
const INSERT: u32 = 3;
const DELETE: u32 = 4;
const MERGE: u32 = 5;

/// The name of the function of a statement: what all hosts make of it begins with the same
/// [`single::STEM`] bytes, and ends with the version of those that make it alike. So hosts of two versions
/// leave each other's alone.
fn name_of(names: &Names, statement: &str) -> String {
    let of = format!("{}\n{statement}", names.schema);
    format!("s_{}_{}", &sha256(&of)[..single::STEM - 2], policy::VERSION)
}

/// The function of a statement that [`make`] has judged, for another schema: its name without and with
/// the schema of the functions.
pub(super) fn function_of(names: &Names, text: &str) -> Option<(String, String)> {
    let pieces = split::split(text).ok()?;
    let piece = pieces.first()?;
    let end = piece.text.as_ptr() as usize - text.as_ptr() as usize + piece.text.len();
    let name = ident(&name_of(names, &text[..end]));
    let function = format!("{}.{name}", roles::CALLS);
    Some((name, function))
}

impl Prepared {
    /// The same statement once its schema has another name, and its function, too.
    pub(super) fn moved(mut self, from: &str, to: &str, function: String) -> Self {
        let (from, to) = (format!("{from}."), format!("{}.", ident(to)));
        let params = self.params.iter_mut().map(|param| &mut param.type_name);
        let columns = self.columns.iter_mut().map(|column| &mut column.type_name);
        for name in params.chain(columns) {
            if let Some(rest) = name.strip_prefix(&from) {
                *name = format!("{to}{rest}");
            }
        }
        Self { function, ..self }
    }
}

/// Where names without a schema are looked up: the plugin's schema and PostgreSQL's own, and the
/// temporary tables last, where they can shadow nothing.
async fn search(conn: &mut PgConnection, schema: &str) -> Result<(), SqlError> {
    let path =
        if schema.is_empty() { "''".to_owned() } else { format!("{}, pg_temp", ident(schema)) };
    Ok(roles::run(conn, format!("SET LOCAL search_path = {path}")).await?)
}

/// A function and the types of what it takes.
#[derive(Clone, Copy)]
struct Signature<'a> {
    /// Quoted, with its schema.
    function: &'a str,
    types: &'a [String],
}

impl Signature<'_> {
    fn plain(self) -> String {
        format!("{}({})", self.function, self.types.join(", "))
    }

    /// With a name for each parameter: without, pg_dump writes the body of a function that returns a table
    /// in a way that the server can't read (`""` for every parameter). A statement that uses such a name for
    /// anything does not get so far: alone, where it is described, it does not exist.
    fn named(self) -> String {
        let params: Vec<String> =
            (1..).zip(self.types).map(|(n, name)| format!("\"${n}\" {name}")).collect();
        format!("{}({})", self.function, params.join(", "))
    }
}

/// Makes the function and judges its tree.
async fn create(
    conn: &mut PgConnection,
    names: &Names,
    granted: &Granted,
    signature: Signature<'_>,
    returns: &str,
    statement: &str,
) -> Result<super::tree::Facts, SqlError> {
    let sql = format!(
        "CREATE FUNCTION {} RETURNS {returns} LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC\n{statement}\n; END",
        signature.named()
    );
    // With arguments, if none, sqlx speaks the extended protocol: one command.
    sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(&mut *conn).await.map_err(|e| {
        let mut error = SqlError::from(e);
        error.position = None;
        if matches!(error.sqlstate.as_str(), "42601" | "0A000") {
            // The text stands alone, so it is its kind that does not fit into a function.
            error.kind = SqlErrorKind::Denied;
            error.hint = Some(
                "only SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES are allowed".to_owned(),
            );
        }
        error
    })?;
    let tree: Option<String> = sqlx::query_scalar(
        "SELECT p.prosqlbody::text FROM pg_catalog.pg_proc p
         WHERE p.oid = $1::pg_catalog.regprocedure",
    )
    .bind(signature.plain())
    .fetch_one(&mut *conn)
    .await?;
    let tree = tree.ok_or_else(|| denied("the server made no parse tree of the statement"))?;
    let judged = judge::judge(conn, &names.schema, judge::Place::Statement, granted, &tree).await;
    let facts = judged.map_err(|verdict| match verdict {
        Verdict::Denied(reason) => denied(reason),
        Verdict::Database(error) => error.into(),
    })?;
    if facts.roots != 1 {
        return Err(denied("only one statement at a time is allowed"));
    }
    let tells_time = facts.types.iter().any(|oid| policy::CLOCK_TYPES.contains(oid));
    if let (true, Some(text)) = (tells_time, clock_text(statement)) {
        return Err(denied(format!(
            "'{text}' is not allowed beside dates and times: it reads the clock"
        ))
        .with_hint("take the time from the event; give a text that only looks so as a parameter"));
    }
    Ok(facts)
}

/// A string in a statement that PostgreSQL reads as the time of day, where a date or a time is wanted.
/// This keeps accidents away: text that is put together while the statement runs can't be seen here.
fn clock_text(statement: &str) -> Option<&str> {
    let strings = statement.split('\'').skip(1).step_by(2);
    strings
        .map(str::trim)
        .find(|text| policy::CLOCK_TEXTS.iter().any(|t| t.eq_ignore_ascii_case(text)))
}

async fn type_names(
    conn: &mut PgConnection,
    params: &[u32],
    outputs: &[(String, u32)],
) -> Result<Vec<String>, SqlError> {
    let oids: Vec<i64> =
        params.iter().copied().chain(outputs.iter().map(|(_, oid)| *oid)).map(i64::from).collect();
    let rows = sqlx::query(
        "SELECT pg_catalog.format_type(u.id::oid, -1), t.typtype::text
         FROM pg_catalog.unnest($1::bigint[]) WITH ORDINALITY AS u (id, n)
         LEFT JOIN pg_catalog.pg_type t ON t.oid = u.id::oid ORDER BY u.n",
    )
    .bind(oids)
    .fetch_all(&mut *conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let name: String = row.try_get(0)?;
            // "record" is a pseudo-type: a result without columns of its own.
            if row.try_get::<Option<String>, _>(1)?.as_deref() == Some("p") {
                return Err(SqlError::new(
                    SqlErrorKind::Invalid,
                    format!("a column or parameter of the type {name} cannot be passed"),
                )
                .with_hint("name the columns one by one, or make JSON of them with to_jsonb"));
            }
            Ok(name)
        })
        .collect()
}

/// The names of relations; those of other schemas with the schema.
async fn relation_names(
    conn: &mut PgConnection,
    names: &Names,
    relations: impl Iterator<Item = u32>,
) -> Result<Vec<String>, SqlError> {
    Ok(sqlx::query_scalar(
        "SELECT DISTINCT CASE WHEN n.nspname = $2 THEN c.relname::text
                              ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid::bigint = ANY ($1::bigint[]) ORDER BY 1",
    )
    .bind(relations.map(i64::from).collect::<Vec<_>>())
    .bind(&names.schema)
    .fetch_all(conn)
    .await?)
}

/// The tables of a MERGE with their partitions.
async fn written_tables(
    conn: &mut PgConnection,
    relations: &std::collections::BTreeSet<u32>,
) -> Result<Vec<u32>, SqlError> {
    let oids: Vec<i64> = sqlx::query_scalar(
        "WITH RECURSIVE tree (id) AS (
             SELECT oid FROM pg_catalog.pg_class WHERE oid::bigint = ANY ($1::bigint[])
             UNION
             SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON tree.id = i.inhparent
         )
         SELECT id::bigint FROM tree",
    )
    .bind(relations.iter().map(|oid| i64::from(*oid)).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(oids.into_iter().filter_map(|oid| u32::try_from(oid).ok()).collect())
}
