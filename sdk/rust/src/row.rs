//! Rows on their way from the database.

use std::rc::Rc;

use crate::{Date, Error, Json, Numeric, Other, Result, RowSet, Timestamptz, Uuid, Value};

/// One row of a query.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The rows of a set.
    pub(crate) fn all(set: RowSet) -> Vec<Self> {
        let columns: Rc<[String]> = set.columns.into();
        set.rows.into_iter().map(|values| Self { columns: Rc::clone(&columns), values }).collect()
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Takes the value of a column out of the row, by its name.
    ///
    /// # Errors
    /// Fatal, where there is no such column or its value does not fit `T`.
    pub fn take<T: FromValue>(&mut self, column: &str) -> Result<T> {
        let Some(place) = self.columns.iter().position(|name| name == column) else {
            return Err(Error::fatal(format_args!(
                "the query returns no column `{column}`, only {}",
                self.columns.join(", ")
            )));
        };
        self.take_at(place)
    }

    /// Takes the value of a column out of the row, by its place from 0.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_at<T: FromValue>(&mut self, place: usize) -> Result<T> {
        let Some(value) = self.values.get_mut(place) else {
            return Err(Error::fatal(format_args!("the query returns no column {}", place + 1)));
        };
        T::from_value(std::mem::replace(value, Value::Null)).map_err(|error| {
            error.context(format_args!(
                "column `{}`",
                self.columns.get(place).map_or("?", String::as_str)
            ))
        })
    }
}

/// What a row can become: a struct by `#[derive(FromRow)]`, whose fields are named like the
/// columns (or say `#[column("name")]`), or a tuple, by place.
///
/// ```
/// use eventfabric_sdk::{prelude::*, testing::{RecordingTx, rows}};
///
/// #[derive(FromRow, Debug, PartialEq)]
/// struct Plane {
///     aircraft: String,
///     legs: i64,
///     #[column("last_airport")]
///     at: Option<String>,
/// }
/// let db = RecordingTx::new();
/// db.answer("SELECT", rows(["aircraft", "last_airport", "legs"], [params!["N1", "JFK", 3]]));
/// let planes: Vec<Plane> = Tx::new(&db).query("SELECT * FROM aircraft", params![])?;
/// assert_eq!(planes, [Plane { aircraft: "N1".into(), legs: 3, at: Some("JFK".into()) }]);
/// # Ok::<(), Error>(())
/// ```
pub trait FromRow: Sized {
    /// Reads a row.
    ///
    /// # Errors
    /// Fatal, naming the column that is missing or does not fit.
    fn from_row(row: Row) -> Result<Self>;
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self> {
        Ok(row)
    }
}

macro_rules! tuple {
    ($($type:ident $place:literal),*) => {
        impl<$($type: FromValue),*> FromRow for ($($type,)*) {
            fn from_row(mut row: Row) -> Result<Self> {
                Ok(($(row.take_at::<$type>($place)?,)*))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// What a value of the database can become. Integers fit every integer type that holds them, and
/// so do whole numerics (`sum` of a bigint is one); nothing is rounded. `Option` takes NULL.
pub trait FromValue: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// Fatal, where it does not fit.
    fn from_value(value: Value) -> Result<Self>;
}

fn misfit<T>(value: &Value) -> Error {
    let hint = if matches!(value, Value::Null) { " (use Option for NULL)" } else { "" };
    let kind = std::any::type_name::<T>();
    Error::fatal(format_args!("{value:?} does not fit {kind}{hint}"))
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self> {
        Ok(value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! integer {
    ($($rust:ty),*) => {$(
        impl FromValue for $rust {
            fn from_value(value: Value) -> Result<Self> {
                match &value {
                    Value::Int16(number) => (*number).try_into().ok(),
                    Value::Int32(number) => (*number).try_into().ok(),
                    Value::Int64(number) => (*number).try_into().ok(),
                    Value::Numeric(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| misfit::<$rust>(&value))
            }
        }
    )*};
}

integer!(i16, i32, i64, u16, u32, u64, usize);

macro_rules! exactly {
    ($($rust:ty: $($pattern:pat => $value:expr),+;)*) => {$(
        impl FromValue for $rust {
            fn from_value(value: Value) -> Result<Self> {
                match value {
                    $($pattern => Ok($value),)+
                    value => Err(misfit::<$rust>(&value)),
                }
            }
        }
    )*};
}

exactly! {
    bool: Value::Boolean(it) => it;
    f32: Value::Float32(it) => it;
    f64: Value::Float64(it) => it, Value::Float32(it) => it.into();
    String: Value::Text(it) => it;
    Vec<u8>: Value::Bytes(it) => it;
    Uuid: Value::Uuid(it) => Self(it);
    Numeric: Value::Numeric(it) => Self(it);
    Json: Value::Json(it) => Self(it);
    Timestamptz: Value::Timestamptz(it) => Self(it);
    Date: Value::Date(it) => Self(it);
    Other: Value::Other((type_name, text)) => Self { type_name, text };
    Vec<Option<bool>>: Value::BoolArray(it) => it;
    Vec<Option<i16>>: Value::Int16Array(it) => it;
    Vec<Option<i32>>: Value::Int32Array(it) => it;
    Vec<Option<i64>>: Value::Int64Array(it) => it;
    Vec<Option<f32>>: Value::Float32Array(it) => it;
    Vec<Option<f64>>: Value::Float64Array(it) => it;
    Vec<Option<String>>: Value::TextArray(it) => it;
    Vec<Option<Vec<u8>>>: Value::BytesArray(it) => it;
    Vec<Option<Uuid>>: Value::UuidArray(it) => wrapped(it, Uuid);
    Vec<Option<Numeric>>: Value::NumericArray(it) => wrapped(it, Numeric);
    Vec<Option<Json>>: Value::JsonArray(it) => wrapped(it, Json);
    Vec<Option<Timestamptz>>: Value::TimestamptzArray(it) => wrapped(it, Timestamptz);
    Vec<Option<Date>>: Value::DateArray(it) => wrapped(it, Date);
}

fn wrapped<A, B>(items: Vec<Option<A>>, wrap: fn(A) -> B) -> Vec<Option<B>> {
    items.into_iter().map(|item| item.map(wrap)).collect()
}

macro_rules! without_nulls {
    ($($rust:ty),*) => {$(
        impl FromValue for Vec<$rust> {
            fn from_value(value: Value) -> Result<Self> {
                let items = Vec::<Option<$rust>>::from_value(value)?;
                items.into_iter().collect::<Option<_>>().ok_or_else(|| {
                    Error::fatal("the array holds a NULL (use Vec<Option<…>>)")
                })
            }
        }
    )*};
}

without_nulls!(
    bool,
    i16,
    i32,
    i64,
    f32,
    f64,
    String,
    Vec<u8>,
    Uuid,
    Numeric,
    Json,
    Timestamptz,
    Date
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_fit_where_nothing_is_lost() {
        assert_eq!(i64::from_value(Value::Int16(-3)).unwrap(), -3);
        assert_eq!(u32::from_value(Value::Int64(4_294_967_295)).unwrap(), u32::MAX);
        assert_eq!(i64::from_value(Value::Numeric("12".into())).unwrap(), 12);
        assert!(i64::from_value(Value::Numeric("12.5".into())).is_err());
        assert_eq!(
            i16::from_value(Value::Int32(40_000)).unwrap_err().message(),
            "Value::Int32(40000) does not fit i16"
        );
    }

    #[test]
    fn null_needs_an_option() {
        assert_eq!(Option::<bool>::from_value(Value::Null).unwrap(), None);
        let error = String::from_value(Value::Null).unwrap_err();
        assert!(error.message().ends_with("(use Option for NULL)"), "{error}");
    }

    #[test]
    fn a_missing_column_is_named() {
        let set =
            RowSet { columns: vec!["a".into(), "b".into()], rows: vec![vec![Value::Null; 2]] };
        let mut row = Row::all(set).remove(0);
        assert_eq!(
            row.take::<i32>("c").unwrap_err().message(),
            "the query returns no column `c`, only a, b"
        );
        assert!(row.take::<i32>("a").unwrap_err().message().starts_with("column `a`: Value::Null"));
    }
}
