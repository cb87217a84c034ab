//! A value of every kind, from text and back.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use eventfabric_sdk::{Other, prelude::*};
use serde_json::{Map, Value as JsonValue};

/// A row of the table `written`, with all its values as text.
#[derive(Deserialize)]
pub struct Written {
    name: String,
    values: BTreeMap<String, Text>,
}

/// A value as text, or an array of such.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Many(Vec<Option<String>>),
}

impl Written {
    /// Writes the row, reads it, and writes what was read.
    pub fn write(&self, tx: &Tx) -> Result<()> {
        tx.run(&insert("written"), Row::parse(&self.values)?.params(&self.name))?;
        let select = format!("SELECT {} FROM written WHERE name = $1", columns());
        let read: Row = tx.query_one(&select, params![self.name])?;
        tx.run(&insert("echoed"), read.params(&self.name))?;
        tx.run(
            "INSERT INTO shown (name, shown) VALUES ($1, $2)",
            params![self.name, Json::of(&read.shown())?],
        )
    }
}

fn columns() -> String {
    COLUMNS.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn insert(table: &str) -> String {
    let places: Vec<String> = (1..=COLUMNS.len() + 1).map(|n| format!("${n}")).collect();
    format!("INSERT INTO {table} (name, {}) VALUES ({})", columns(), places.join(", "))
}

/// What the language makes of a text, and the other way round.
trait Kind: Sized {
    /// Whether there is one text for each value.
    const SHOWN: bool = true;

    fn parse(text: &str) -> Result<Self>;

    fn show(&self) -> String;
}

macro_rules! kinds {
    ($($rust:ty $(, shown = $shown:literal)?: |$text:ident| $parse:expr, |$it:ident| $show:expr;)*) => {$(
        impl Kind for $rust {
            $(const SHOWN: bool = $shown;)?

            fn parse($text: &str) -> Result<Self> {
                Ok($parse)
            }

            fn show(&self) -> String {
                let $it = self;
                $show
            }
        }

        impl Column for Vec<Option<$rust>> {
            const SHOWN: bool = <$rust as Kind>::SHOWN;

            fn read(text: &Text) -> Result<Self> {
                let Text::Many(items) = text else {
                    return Err(Error::poison("one value where a list is expected"));
                };
                items.iter().map(|item| item.as_deref().map(<$rust as Kind>::parse).transpose()).collect()
            }

            fn text(&self) -> JsonValue {
                self.iter().map(|item| item.as_ref().map(Kind::show)).collect()
            }
        }
    )*};
}

kinds! {
    bool: |text| number(text)?, |it| it.to_string();
    i16: |text| number(text)?, |it| it.to_string();
    i32: |text| number(text)?, |it| it.to_string();
    i64: |text| number(text)?, |it| it.to_string();
    f32, shown = false: |text| number(text)?, |it| it.to_string();
    f64, shown = false: |text| number(text)?, |it| it.to_string();
    Json, shown = false: |text| Self(text.to_owned()), |it| it.0.clone();
    String: |text| text.to_owned(), |it| it.clone();
    Numeric: |text| Self(text.to_owned()), |it| it.0.clone();
    Uuid: |text| Self(text.to_owned()), |it| it.0.clone();
    Vec<u8>: |text| hex::decode(text)?, |it| hex::encode(it);
    Timestamptz: |text| Self(number(text)?), |it| it.0.to_string();
    Date: |text| Self(number(text)?), |it| it.0.to_string();
}

impl Kind for Other {
    fn parse(text: &str) -> Result<Self> {
        Ok(Self::text(text))
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error| Error::poison(format_args!("`{text}`: {error}")))
}

/// What can stand in a column of the table.
trait Column: Sized {
    const SHOWN: bool;

    fn read(text: &Text) -> Result<Self>;

    fn text(&self) -> JsonValue;
}

impl<T: Kind> Column for T {
    const SHOWN: bool = T::SHOWN;

    fn read(text: &Text) -> Result<Self> {
        match text {
            Text::One(text) => T::parse(text),
            Text::Many(_) => Err(Error::poison("a list where one value is expected")),
        }
    }

    fn text(&self) -> JsonValue {
        self.show().into()
    }
}

macro_rules! row {
    ($($column:ident: $rust:ty,)*) => {
        #[derive(FromRow)]
        struct Row {
            $($column: Option<$rust>,)*
        }

        const COLUMNS: &[&str] = &[$(stringify!($column)),*];

        impl Row {
            fn parse(values: &BTreeMap<String, Text>) -> Result<Self> {
                Ok(Self {
                    $($column: values.get(stringify!($column)).map(<$rust as Column>::read).transpose()?,)*
                })
            }

            fn params(&self, name: &str) -> Vec<Value> {
                params![name, $(self.$column),*]
            }

            fn shown(&self) -> Map<String, JsonValue> {
                let mut shown = Map::new();
                $(if <$rust as Column>::SHOWN && let Some(value) = &self.$column {
                    shown.insert(stringify!($column).to_owned(), value.text());
                })*
                shown
            }
        }
    };
}

row! {
    bool: bool,
    int16: i16,
    int32: i32,
    int64: i64,
    float32: f32,
    float64: f64,
    numeric: Numeric,
    text: String,
    bytes: Vec<u8>,
    uuid: Uuid,
    timestamptz: Timestamptz,
    date: Date,
    json: Json,
    mood: Other,
    span: Other,
    bool_array: Vec<Option<bool>>,
    int16_array: Vec<Option<i16>>,
    int32_array: Vec<Option<i32>>,
    int64_array: Vec<Option<i64>>,
    float32_array: Vec<Option<f32>>,
    float64_array: Vec<Option<f64>>,
    numeric_array: Vec<Option<Numeric>>,
    text_array: Vec<Option<String>>,
    bytes_array: Vec<Option<Vec<u8>>>,
    uuid_array: Vec<Option<Uuid>>,
    timestamptz_array: Vec<Option<Timestamptz>>,
    date_array: Vec<Option<Date>>,
    json_array: Vec<Option<Json>>,
}
