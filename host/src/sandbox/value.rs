//! Values on their way between a plugin and PostgreSQL.

/// A value as the contract has it (`value` in `wit/projection.wit`): 64-bit integers, numerics and
/// times are exact.
#[derive(Debug, Clone, PartialEq)]
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
    Float32(f32),
    /// double precision
    Float64(f64),
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
    Float32Array(Vec<Option<f32>>),
    /// double precision[]
    Float64Array(Vec<Option<f64>>),
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
