//! A batch of calls in one round trip: the calls are rows of an `unnest`, and each row calls the
//! function of its statement.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection};

use super::convert::{check_params, misfit};
use super::error::{BatchError, SqlError, SqlErrorKind};
use super::execute::Call;
use super::statement::{Count, Prepared};
use super::value::Value;
use super::wire::{self, ArrayBuilder, Raw, Wire};

/// Calls of one round trip at most.
const MAX_CALLS: usize = 5_000;
/// Bytes of parameters of one round trip, about.
const MAX_BYTES: usize = 8 << 20;
/// Statements of one round trip at most: the text of the call grows with them.
const MAX_STATEMENTS: usize = 64;

/// Some calls of a batch, ready to be sent.
pub(super) struct Segment {
    /// How many.
    pub calls: usize,
    sql: String,
    arguments: PgArguments,
}

impl Segment {
    /// Runs them and tells their counts.
    pub async fn run(self, conn: &mut PgConnection) -> sqlx::Result<Vec<u64>> {
        let counts: Vec<i64> = sqlx::query_scalar_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_all(conn)
            .await?;
        Ok(counts.into_iter().map(i64::unsigned_abs).collect())
    }
}

/// How many rows a call of this statement wrote or returned, as an expression.
///
/// An argument must stand in the call, or the server would run it once for the whole batch.
pub(super) fn count(prepared: &Prepared, args: &str) -> String {
    let function = &prepared.function;
    let rows = format!("(SELECT pg_catalog.count(*) FROM {function}({args}))");
    let tables = match &prepared.count {
        Count::Answered => return format!("{function}({args})"),
        Count::One => return format!("COALESCE({function}({args}), 0)"),
        Count::Rows => return rows,
        Count::Written(tables) => tables,
    };
    let written: Vec<String> = tables
        .iter()
        .map(|oid| {
            format!(
                "pg_catalog.pg_stat_get_xact_tuples_inserted({oid})
                 + pg_catalog.pg_stat_get_xact_tuples_updated({oid})
                 + pg_catalog.pg_stat_get_xact_tuples_deleted({oid})"
            )
        })
        .collect();
    let written = written.join(" + ");
    // Evaluated from left to right: the counters before, the call, the counters after.
    format!("(- ({written}) + CASE WHEN {rows} >= 0 THEN {written} END)")
}

/// Builds the next round trip, from call `from` on.
///
/// Statements share the columns of the `unnest`: the first bigint parameter of each stands in the
/// same column, and so on.
pub(super) fn segment(
    known: &[Option<Arc<Prepared>>],
    calls: &[Call],
    from: usize,
) -> Result<Segment, BatchError> {
    let mut order: Vec<u32> = Vec::new();
    let mut columns: Vec<(Wire, ArrayBuilder)> = Vec::new();
    let mut places: HashMap<(Wire, usize), usize> = HashMap::new();
    let mut layouts: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut which = ArrayBuilder::new(Wire::Int4);
    let mut bytes = 0;
    let mut taken = 0;
    for (at, call) in calls.iter().enumerate().skip(from).take(MAX_CALLS) {
        let failed = |error| BatchError { call: at as u32, error };
        let Some(Some(prepared)) = known.get(call.statement as usize) else {
            return Err(failed(SqlError::new(SqlErrorKind::Invalid, "no such statement")));
        };
        if let Entry::Vacant(vacant) = layouts.entry(call.statement) {
            if order.len() == MAX_STATEMENTS {
                break;
            }
            order.push(call.statement);
            let mut used: HashMap<Wire, usize> = HashMap::new();
            let mut layout = Vec::with_capacity(prepared.params.len());
            for param in &prepared.params {
                // An array inside an array does not exist: it goes as its text.
                let kind = if param.array { Wire::Text } else { param.wire };
                let nth = used.entry(kind).or_default();
                let place = *places.entry((kind, *nth)).or_insert_with(|| {
                    let mut column = ArrayBuilder::new(kind);
                    for _ in 0..taken {
                        let _ = column.push(|_| Ok::<_, std::convert::Infallible>(false));
                    }
                    columns.push((kind, column));
                    columns.len() - 1
                });
                *nth += 1;
                layout.push(place);
            }
            vacant.insert(layout);
        }
        check_params(prepared, &call.params).map_err(failed)?;
        let layout = &layouts[&call.statement];
        for (number, (param, value)) in prepared.params.iter().zip(&call.params).enumerate() {
            let (kind, column) = &mut columns[layout[number]];
            column
                .push(|out| {
                    let before = out.len();
                    let written = if *value == Value::Null {
                        false
                    } else if param.array || param.cast && value.elements().is_some() {
                        out.extend(wire::literal(value)?.bytes());
                        true
                    } else {
                        wire::write(out, *kind, param.cast, value)?
                    };
                    bytes += out.len() - before;
                    Ok(written)
                })
                .map_err(|why: String| failed(misfit(number, param, &why)))?;
        }
        for (place, (_, column)) in columns.iter_mut().enumerate() {
            if !layout.contains(&place) {
                let _ = column.push(|_| Ok::<_, std::convert::Infallible>(false));
            }
        }
        let position = order.iter().position(|s| *s == call.statement).unwrap_or_default() as i32;
        let _ = which.push(|out| {
            out.extend(position.to_be_bytes());
            Ok::<_, std::convert::Infallible>(true)
        });
        taken += 1;
        if bytes > MAX_BYTES {
            break;
        }
    }
    let sql = text(known, &order, &layouts, &columns);
    let mut arguments = PgArguments::default();
    let all = std::iter::once((Wire::Int4, which)).chain(columns);
    for (kind, column) in all {
        let raw = Raw { oid: kind.oids().1, bytes: Some(column.finish()) };
        arguments
            .add(raw)
            .map_err(|e| BatchError { call: from as u32, error: sqlx::Error::Encode(e).into() })?;
    }
    Ok(Segment { calls: taken, sql, arguments })
}

fn text(
    known: &[Option<Arc<Prepared>>],
    order: &[u32],
    layouts: &HashMap<u32, Vec<usize>>,
    columns: &[(Wire, ArrayBuilder)],
) -> String {
    let branches: Vec<String> = order
        .iter()
        .filter_map(|statement| {
            let prepared = known.get(*statement as usize)?.as_ref()?;
            let args: Vec<String> = prepared
                .params
                .iter()
                .zip(&layouts[statement])
                .map(|(param, place)| format!("u.p{place}::{}", param.type_name))
                .collect();
            let args = if args.is_empty() { "u.k".to_owned() } else { args.join(", ") };
            Some(count(prepared, &args))
        })
        .collect();
    let call = match branches.as_slice() {
        [only] => only.clone(),
        many => {
            let whens: Vec<String> =
                many.iter().enumerate().map(|(n, c)| format!("WHEN {n} THEN {c}")).collect();
            format!("CASE u.k {} END", whens.join(" "))
        }
    };
    let mut sources = vec!["pg_catalog.unnest($1)".to_owned()];
    let mut names = vec!["k".to_owned()];
    for place in 0..columns.len() {
        sources.push(format!("pg_catalog.unnest(${})", place + 2));
        names.push(format!("p{place}"));
    }
    let (sources, names) = (sources.join(", "), names.join(", "));
    format!("SELECT {call} FROM ROWS FROM ({sources}) AS u ({names})")
}
