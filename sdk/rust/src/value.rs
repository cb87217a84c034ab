//! Rust values on their way to the database.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Date, Result, Timestamptz};

pub use crate::bindings::eventfabric::projection::sql::Value;

impl Value {
    /// About how many bytes it holds outside of itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        fn sum<T>(items: &[Option<T>], bytes: impl Fn(&T) -> usize) -> usize {
            size_of_val(items) + items.iter().flatten().map(bytes).sum::<usize>()
        }
        match self {
            Self::Numeric(text) | Self::Text(text) | Self::Uuid(text) | Self::Json(text) => {
                text.len()
            }
            Self::Bytes(bytes) => bytes.len(),
            Self::NumericArray(items)
            | Self::TextArray(items)
            | Self::UuidArray(items)
            | Self::JsonArray(items) => sum(items, String::len),
            Self::BytesArray(items) => sum(items, Vec::len),
            Self::Other((name, text)) => name.len() + text.len(),
            Self::BoolArray(items) => size_of_val(&**items),
            Self::Int16Array(items) => size_of_val(&**items),
            Self::Int32Array(items) | Self::DateArray(items) => size_of_val(&**items),
            Self::Int64Array(items) | Self::TimestamptzArray(items) => size_of_val(&**items),
            Self::Float32Array(items) => size_of_val(&**items),
            Self::Float64Array(items) => size_of_val(&**items),
            _ => 0,
        }
    }
}

/// Parameters of a statement, in order. They are taken by reference, so nothing moves out of an
/// event.
///
/// ```
/// use eventfabric_sdk::prelude::*;
///
/// let carrier = String::from("UA");
/// let params = params![carrier, 1545, None::<f64>, Json::of(&[1, 2])?];
/// assert_eq!(params[0], Value::Text(carrier));
/// assert_eq!(params[1..3], [Value::Int32(1545), Value::Null]);
/// assert_eq!(params[3], Value::Json("[1,2]".into()));
/// # Ok::<(), Error>(())
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::ToValue::to_value(&$value)),*] };
}

/// What can be a parameter. See [`params!`](crate::params).
///
/// | Rust | PostgreSQL |
/// |---|---|
/// | `i16`, `i32`, `i64` | smallint, integer, bigint |
/// | `u8`, `u16`, `u32`, `u64`, `usize` | integer or bigint, the smallest that holds every value; a number past bigint goes as numeric, exactly |
/// | `f32`, `f64`, `bool` | real, double precision, boolean |
/// | `str`, `String`, `char`, `Cow<str>` | text |
/// | `[u8]`, `Vec<u8>` | bytea |
/// | [`Uuid`], [`Numeric`], [`Json`], [`Timestamptz`], [`Date`], [`Other`] | as named |
/// | `Option<T>` | `T` or NULL |
/// | `[T]`, `Vec<T>`, `Vec<Option<T>>` | an array, for `= ANY($1)` and `unnest($1)` |
pub trait ToValue {
    /// The value for the database.
    fn to_value(&self) -> Value;
}

/// What can stand in an array. See [`ToValue`].
pub trait ArrayItem {
    /// An array of these.
    fn array<'a>(items: impl Iterator<Item = &'a Self>) -> Value
    where
        Self: 'a;
}

macro_rules! scalar {
    ($($rust:ty => $variant:ident |$it:ident| $convert:expr;)*) => {$(
        impl ToValue for $rust {
            fn to_value(&self) -> Value {
                let $it = self;
                Value::$variant($convert)
            }
        }

        impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                value.to_value()
            }
        }
    )*};
}

macro_rules! item {
    ($($rust:ty => $array:ident |$it:ident| $convert:expr;)*) => {$(
        impl ArrayItem for $rust {
            fn array<'a>(items: impl Iterator<Item = &'a Self>) -> Value
            where
                Self: 'a,
            {
                Value::$array(items.map(|$it| Some($convert)).collect())
            }
        }

        impl ArrayItem for Option<$rust> {
            fn array<'a>(items: impl Iterator<Item = &'a Self>) -> Value
            where
                Self: 'a,
            {
                Value::$array(items.map(|item| item.as_ref().map(|$it| $convert)).collect())
            }
        }
    )*};
}

scalar! {
    bool => Boolean |it| *it;
    i16 => Int16 |it| *it;
    i32 => Int32 |it| *it;
    i64 => Int64 |it| *it;
    u8 => Int32 |it| i32::from(*it);
    u16 => Int32 |it| i32::from(*it);
    u32 => Int64 |it| i64::from(*it);
    f32 => Float32 |it| *it;
    f64 => Float64 |it| *it;
    String => Text |it| it.clone();
    char => Text |it| it.to_string();
    Uuid => Uuid |it| it.0.clone();
    Numeric => Numeric |it| it.0.clone();
    Json => Json |it| it.0.clone();
    Timestamptz => Timestamptz |it| it.0;
    Date => Date |it| it.0;
    Other => Other |it| (it.type_name.clone(), it.text.clone());
}

item! {
    bool => BoolArray |it| *it;
    i16 => Int16Array |it| *it;
    i32 => Int32Array |it| *it;
    i64 => Int64Array |it| *it;
    u16 => Int32Array |it| i32::from(*it);
    u32 => Int64Array |it| i64::from(*it);
    f32 => Float32Array |it| *it;
    f64 => Float64Array |it| *it;
    &str => TextArray |it| (*it).to_owned();
    String => TextArray |it| it.clone();
    &String => TextArray |it| (*it).clone();
    Vec<u8> => BytesArray |it| it.clone();
    Uuid => UuidArray |it| it.0.clone();
    Numeric => NumericArray |it| it.0.clone();
    Json => JsonArray |it| it.0.clone();
    Timestamptz => TimestamptzArray |it| it.0;
    Date => DateArray |it| it.0;
}

impl ArrayItem for u8 {
    fn array<'a>(items: impl Iterator<Item = &'a Self>) -> Value {
        Value::Bytes(items.copied().collect())
    }
}

impl ToValue for u64 {
    fn to_value(&self) -> Value {
        i64::try_from(*self).map_or_else(|_| Value::Numeric(self.to_string()), Value::Int64)
    }
}

impl ToValue for usize {
    fn to_value(&self) -> Value {
        (*self as u64).to_value()
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for Cow<'_, str> {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ArrayItem> ToValue for [T] {
    fn to_value(&self) -> Value {
        T::array(self.iter())
    }
}

impl<T: ArrayItem, const N: usize> ToValue for [T; N] {
    fn to_value(&self) -> Value {
        T::array(self.iter())
    }
}

impl<T: ArrayItem> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        T::array(self.iter())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        value.to_value()
    }
}

impl<T: ToValue> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.to_value()
    }
}

impl<T: ArrayItem> From<Vec<T>> for Value {
    fn from(value: Vec<T>) -> Self {
        value.to_value()
    }
}

/// A uuid in its canonical text form, 36 characters in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uuid(pub String);

/// A numeric as decimal text, such as `-12.50`: exact, of any length.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numeric(pub String);

/// JSON text, for json and jsonb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(pub String);

impl Json {
    /// The JSON of any value.
    ///
    /// # Errors
    /// Poison, where the value has no JSON form (a map whose keys are no strings).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        Ok(Self(serde_json::to_string(value)?))
    }

    /// Reads it as a type of its own.
    ///
    /// # Errors
    /// Poison, where the text is not what `T` expects.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_str(&self.0)?)
    }
}

/// A value of any other type in PostgreSQL's own text form: an enum of the plugin, an interval, a
/// range, an inet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// PostgreSQL's name of the type. It may be empty in a parameter.
    pub type_name: String,
    /// The value as PostgreSQL writes it.
    pub text: String,
}

impl Other {
    /// A parameter whose type follows from the statement.
    pub fn text(text: impl Into<String>) -> Self {
        Self { type_name: String::new(), text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact() {
        assert_eq!(
            params![9_007_199_254_740_993_i64, u32::MAX, u64::MAX, 7_usize],
            [
                Value::Int64(9_007_199_254_740_993),
                Value::Int64(4_294_967_295),
                Value::Numeric("18446744073709551615".into()),
                Value::Int64(7),
            ]
        );
    }

    #[test]
    fn arrays_keep_their_type_and_their_nulls() {
        let names = vec!["a", "b"];
        assert_eq!(
            params![names, [Some(1_i16), None], vec![1_u8, 2], Vec::<String>::new()],
            [
                Value::TextArray(vec![Some("a".into()), Some("b".into())]),
                Value::Int16Array(vec![Some(1), None]),
                Value::Bytes(vec![1, 2]),
                Value::TextArray(vec![]),
            ]
        );
    }

    #[test]
    fn parameters_are_taken_by_reference() {
        let name = String::from("UA");
        let borrowed: &str = &name;
        assert_eq!(params![name, borrowed, Some(&name), 'x'].len(), 4);
        assert_eq!(name, "UA");
    }
}
