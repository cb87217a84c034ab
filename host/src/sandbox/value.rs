//! Values on their way between a plugin and PostgreSQL.

/// A value as the contract has it (`value` in `wit/projection.wit`): 64-bit integers, numerics and
/// times are exact.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// SQL NULL of whatever type.
    Null,
    /// boolean
    Bool(bool),
    /// smallint
    Int16(i16),
    /// integer
    Int32(i32),
    /// bigint
    Int64(i64),
    /// real
    Float32(#[serde(with = "float")] f32),
    /// double precision
    Float64(#[serde(with = "float")] f64),
    /// numeric, as decimal text
    Numeric(String),
    /// text
    Text(String),
    /// bytea
    Bytes(Vec<u8>),
    /// uuid in its canonical text form
    Uuid(String),
    /// timestamptz, microseconds since 1970
    Timestamptz(i64),
    /// date, days since 1970
    Date(i32),
    /// json and jsonb, as text
    Json(String),
    /// boolean[]
    BoolArray(Vec<Option<bool>>),
    /// smallint[]
    Int16Array(Vec<Option<i16>>),
    /// integer[]
    Int32Array(Vec<Option<i32>>),
    /// bigint[]
    Int64Array(Vec<Option<i64>>),
    /// real[]
    Float32Array(#[serde(with = "float::array")] Vec<Option<f32>>),
    /// double precision[]
    Float64Array(#[serde(with = "float::array")] Vec<Option<f64>>),
    /// numeric[]
    NumericArray(Vec<Option<String>>),
    /// text[]
    TextArray(Vec<Option<String>>),
    /// bytea[]
    BytesArray(Vec<Option<Vec<u8>>>),
    /// uuid[]
    UuidArray(Vec<Option<String>>),
    /// timestamptz[]
    TimestamptzArray(Vec<Option<i64>>),
    /// date[]
    DateArray(Vec<Option<i32>>),
    /// json[] and jsonb[]
    JsonArray(Vec<Option<String>>),
    /// Any other type in PostgreSQL's text form, with the name of the type (may be empty in a
    /// parameter).
    Other {
        /// PostgreSQL's name of the type.
        type_name: String,
        /// The value as PostgreSQL writes it.
        text: String,
    },
}

impl Value {
    /// What this is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "boolean",
            Self::BoolArray(_) => "boolean[]",
            Self::Int16(_) => "smallint",
            Self::Int16Array(_) => "smallint[]",
            Self::Int32(_) => "integer",
            Self::Int32Array(_) => "integer[]",
            Self::Int64(_) => "bigint",
            Self::Int64Array(_) => "bigint[]",
            Self::Float32(_) => "real",
            Self::Float32Array(_) => "real[]",
            Self::Float64(_) => "double precision",
            Self::Float64Array(_) => "double precision[]",
            Self::Numeric(_) => "numeric",
            Self::NumericArray(_) => "numeric[]",
            Self::Text(_) => "text",
            Self::TextArray(_) => "text[]",
            Self::Bytes(_) => "bytea",
            Self::BytesArray(_) => "bytea[]",
            Self::Uuid(_) => "uuid",
            Self::UuidArray(_) => "uuid[]",
            Self::Timestamptz(_) => "timestamptz",
            Self::TimestamptzArray(_) => "timestamptz[]",
            Self::Date(_) => "date",
            Self::DateArray(_) => "date[]",
            Self::Json(_) => "json",
            Self::JsonArray(_) => "json[]",
            Self::Other { .. } => "a value of another type",
        }
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(&self) -> Option<Vec<Value>> {
        fn all<T: Clone>(list: &[Option<T>], make: fn(T) -> Value) -> Option<Vec<Value>> {
            Some(list.iter().map(|e| e.clone().map_or(Value::Null, make)).collect())
        }
        match self {
            Self::BoolArray(list) => all(list, Self::Bool),
            Self::Int16Array(list) => all(list, Self::Int16),
            Self::Int32Array(list) => all(list, Self::Int32),
            Self::Int64Array(list) => all(list, Self::Int64),
            Self::Float32Array(list) => all(list, Self::Float32),
            Self::Float64Array(list) => all(list, Self::Float64),
            Self::NumericArray(list) => all(list, Self::Numeric),
            Self::TextArray(list) => all(list, Self::Text),
            Self::BytesArray(list) => all(list, Self::Bytes),
            Self::UuidArray(list) => all(list, Self::Uuid),
            Self::TimestamptzArray(list) => all(list, Self::Timestamptz),
            Self::DateArray(list) => all(list, Self::Date),
            Self::JsonArray(list) => all(list, Self::Json),
            _ => None,
        }
    }

    /// The array of elements that were read over this wire.
    pub(super) fn array(elements: Vec<Option<Value>>, wire: super::wire::Wire) -> Value {
        use super::wire::Wire;
        macro_rules! gather {
            ($array:ident, $scalar:ident) => {
                Self::$array(
                    elements
                        .into_iter()
                        .map(|e| match e {
                            Some(Self::$scalar(x)) => Some(x),
                            _ => None,
                        })
                        .collect(),
                )
            };
        }
        match wire {
            Wire::Bool => gather!(BoolArray, Bool),
            Wire::Int2 => gather!(Int16Array, Int16),
            Wire::Int4 => gather!(Int32Array, Int32),
            Wire::Int8 => gather!(Int64Array, Int64),
            Wire::Float4 => gather!(Float32Array, Float32),
            Wire::Float8 => gather!(Float64Array, Float64),
            Wire::Text => gather!(TextArray, Text),
            Wire::Bytea => gather!(BytesArray, Bytes),
            Wire::Uuid => gather!(UuidArray, Uuid),
            Wire::Timestamptz | Wire::Timestamp => gather!(TimestamptzArray, Timestamptz),
            Wire::Date => gather!(DateArray, Date),
            Wire::Json | Wire::Jsonb => gather!(JsonArray, Json),
        }
    }
}

/// Floats as text, for JSON has no NaN and no infinity. Rust reads back exactly what it writes.
mod float {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    pub mod array {
        use super::*;

        pub fn serialize<T: Display, S: Serializer>(
            list: &[Option<T>],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.collect_seq(list.iter().map(|value| value.as_ref().map(T::to_string)))
        }

        pub fn deserialize<'de, T, D>(from: D) -> Result<Vec<Option<T>>, D::Error>
        where
            T: FromStr<Err: Display>,
            D: Deserializer<'de>,
        {
            let list = Vec::<Option<String>>::deserialize(from)?;
            let read = |text: String| text.parse().map_err(D::Error::custom);
            list.into_iter().map(|text| text.map(read).transpose()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_json_as_they_were() {
        for value in [
            Value::Null,
            Value::Int64(9_007_199_254_740_993),
            Value::Float32(0.1),
            Value::Float64(f64::INFINITY),
            Value::Float64(-0.0),
            Value::Float64Array(vec![Some(0.1), None, Some(f64::MIN_POSITIVE)]),
            Value::Numeric("12.50".to_owned()),
            Value::BytesArray(vec![Some(vec![0, 255]), None]),
            Value::Other { type_name: "mood".to_owned(), text: "ok".to_owned() },
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        }
        let json = serde_json::to_string(&Value::Float32(f32::NAN)).unwrap();
        let read = serde_json::from_str(&json).unwrap();
        assert!(matches!(read, Value::Float32(x) if x.is_nan()), "{json}");
    }
}
