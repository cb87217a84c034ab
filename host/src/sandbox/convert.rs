//! Between a plugin's values and the parameters and columns of a statement.

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use super::error::{SqlError, SqlErrorKind};
use super::statement::{Param, Prepared, Read, ResultColumn};
use super::value::Value;
use super::wire::{self, ArrayBuilder, Raw, Wire};

/// The arguments of a single call: `$1::type, $2::type, …`
pub(super) fn single_args(prepared: &Prepared) -> String {
    if prepared.params.is_empty() {
        return "0".to_owned();
    }
    let args: Vec<String> =
        (1..).zip(&prepared.params).map(|(n, p)| format!("${n}::{}", p.type_name)).collect();
    args.join(", ")
}

/// How a column stands in the list of a query.
pub(super) fn column_sql(number: usize, column: &ResultColumn) -> String {
    match column.read {
        Read::Scalar(_) | Read::Array(_) => format!("q.c{number}"),
        Read::Numeric | Read::Other => format!("q.c{number}::text"),
        Read::NumericArray => format!("q.c{number}::text[]"),
    }
}

/// Whether a value of a column has more bytes than may be taken, as SQL; none where it cannot. It is
/// asked of the server, which would send a gigabyte before anybody could count it. What is small even
/// when it was compressed 256 times is not looked at any further.
pub(super) fn too_large_sql(number: usize, column: &ResultColumn, max: usize) -> Option<String> {
    let value = format!("q.c{number}");
    let size = match column.read {
        Read::Scalar(Wire::Text) => format!("pg_catalog.octet_length({value}::text)"),
        Read::Scalar(Wire::Bytea) => format!("pg_catalog.octet_length({value})"),
        Read::Scalar(Wire::Json | Wire::Jsonb)
        | Read::Array(_)
        | Read::Numeric
        | Read::NumericArray
        | Read::Other => format!(
            "CASE WHEN pg_catalog.pg_column_size({value}) > {} THEN
                 greatest(pg_catalog.pg_column_size({value}), pg_catalog.octet_length({value}::text))
             END",
            max / 256
        ),
        Read::Scalar(_) => return None,
    };
    Some(format!("coalesce({size} > {max}, false)"))
}

/// Reads a column's bytes.
pub(super) fn read(column: &ResultColumn, raw: &[u8]) -> Result<Value, String> {
    let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
    Ok(match column.read {
        Read::Scalar(kind) => wire::read(kind, raw)?,
        Read::Array(kind) => Value::array(wire::read_array(kind, raw)?, kind),
        Read::Numeric => Value::Numeric(text(raw)),
        Read::NumericArray => {
            match Value::array(wire::read_array(wire::Wire::Text, raw)?, wire::Wire::Text) {
                Value::TextArray(list) => Value::NumericArray(list),
                other => other,
            }
        }
        Read::Other => Value::Other { type_name: column.type_name.clone(), text: text(raw) },
    })
}

/// Refuses a wrong number of parameters.
pub(super) fn check_params(prepared: &Prepared, params: &[Value]) -> Result<(), SqlError> {
    if prepared.params.len() == params.len() {
        return Ok(());
    }
    Err(SqlError::new(
        SqlErrorKind::Invalid,
        format!(
            "the statement has {} parameters, and {} were given",
            prepared.params.len(),
            params.len()
        ),
    ))
}

/// The error of a parameter that does not fit.
pub(super) fn misfit(number: usize, param: &Param, why: &str) -> SqlError {
    SqlError::new(
        SqlErrorKind::Invalid,
        format!("parameter ${} is of the type {}: {why}", number + 1, param.type_name),
    )
}

/// The parameters of a single call, ready to be sent.
pub(super) fn arguments(prepared: &Prepared, params: &[Value]) -> Result<PgArguments, SqlError> {
    check_params(prepared, params)?;
    let mut arguments = PgArguments::default();
    for (at, (param, value)) in prepared.params.iter().zip(params).enumerate() {
        let raw = raw(param, value).map_err(|why| misfit(at, param, &why))?;
        arguments.add(raw).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn raw(param: &Param, value: &Value) -> Result<Raw, String> {
    let (scalar, array) = param.wire.oids();
    if *value == Value::Null {
        return Ok(Raw { oid: if param.array { array } else { scalar }, bytes: None });
    }
    if param.array
        && let Some(elements) = value.elements()
    {
        let mut builder = ArrayBuilder::new(param.wire);
        for element in &elements {
            builder.push(|out| wire::write(out, param.wire, false, element))?;
        }
        return Ok(Raw { oid: array, bytes: Some(builder.finish()) });
    }
    let mut bytes = Vec::new();
    if param.array || param.cast && value.elements().is_some() {
        bytes = wire::literal(value)?.into_bytes();
        return Ok(Raw { oid: 25, bytes: Some(bytes) });
    }
    wire::write(&mut bytes, param.wire, param.cast, value)?;
    Ok(Raw { oid: scalar, bytes: Some(bytes) })
}
