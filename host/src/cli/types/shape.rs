//! What values have in common.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use serde_json::Value;
use uuid::Uuid;

use super::name::Names;
use super::{Field, OfEvent, Type, ValueType};

/// An object with more fields than this is taken for a list by key, and not for a type.
const FIELDS: usize = 100;

/// What a value is, beside null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything: values of several kinds, or none but null.
    Any,
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// One that is at least 0 and larger than a signed one.
    Unsigned,
    Number,
    Text,
    Uuid,
    /// RFC 3339.
    DateTime,
    Date,
    List(Box<ValueType>),
    /// A type by its name.
    Named(String),
}

/// What was seen at one place.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// So many values.
    pub count: u64,
    nulls: u64,
    bools: u64,
    numbers: u64,
    /// Among the numbers.
    integers: u64,
    negative: bool,
    large: bool,
    texts: u64,
    /// Among the texts.
    uuids: u64,
    times: u64,
    dates: u64,
    lists: u64,
    items: Option<Box<Seen>>,
    objects: u64,
    fields: BTreeMap<String, Seen>,
}

impl Seen {
    pub(super) fn add(&mut self, value: &Value) {
        self.count += 1;
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.bools += 1,
            Value::Number(number) => {
                self.numbers += 1;
                self.integers += u64::from(number.is_i64() || number.is_u64());
                self.negative |= number.as_i64().is_some_and(|number| number < 0);
                self.large |= number.is_u64() && !number.is_i64();
            }
            Value::String(text) => {
                self.texts += 1;
                self.uuids += u64::from(text.len() == 36 && Uuid::try_parse(text).is_ok());
                self.times += u64::from(DateTime::parse_from_rfc3339(text).is_ok());
                let is_date = text.len() == 10 && text.parse::<NaiveDate>().is_ok();
                self.dates += u64::from(is_date);
            }
            Value::Array(items) => {
                self.lists += 1;
                let seen = self.items.get_or_insert_default();
                items.iter().for_each(|item| seen.add(item));
            }
            Value::Object(fields) => {
                self.objects += 1;
                for (name, value) in fields {
                    self.fields.entry(name.clone()).or_default().add(value);
                }
            }
        }
    }

    /// Adds the type of these objects, and of the objects in them.
    pub(super) fn declare(
        &self,
        name: String,
        event: Option<OfEvent>,
        names: &mut Names,
        types: &mut Vec<Type>,
    ) {
        let at = types.len();
        types.push(Type { name: name.clone(), event, fields: Vec::new() });
        let mut fields = Vec::new();
        for (field, seen) in &self.fields {
            let of = seen.value_type(&format!("{name}_{field}"), names, types);
            let optional = seen.count < self.objects;
            fields.push(Field { name: field.clone(), of, optional });
        }
        types[at].fields = fields;
    }

    /// What these values are. An object gets a type of its own, called as its place.
    fn value_type(&self, place: &str, names: &mut Names, types: &mut Vec<Type>) -> ValueType {
        let kinds = [self.bools, self.numbers, self.texts, self.lists, self.objects];
        let several = kinds.iter().filter(|count| **count > 0).count() > 1;
        let kind = match () {
            () if several => Kind::Any,
            () if self.bools > 0 => Kind::Bool,
            () if self.numbers > 0 => self.number(),
            () if self.texts > 0 => self.text(),
            () if self.lists > 0 => {
                let none = Seen::default();
                let items = self.items.as_deref().unwrap_or(&none);
                Kind::List(Box::new(items.value_type(&format!("{place}_item"), names, types)))
            }
            () if self.objects > 0 && self.fields.len() <= FIELDS => {
                let name = names.free(place);
                self.declare(name.clone(), None, names, types);
                Kind::Named(name)
            }
            () => Kind::Any,
        };
        ValueType { kind, nullable: self.nulls > 0 }
    }

    fn number(&self) -> Kind {
        match (self.integers == self.numbers, self.large, self.negative) {
            (true, false, _) => Kind::Integer,
            (true, true, false) => Kind::Unsigned,
            _ => Kind::Number,
        }
    }

    fn text(&self) -> Kind {
        match self.texts {
            all if all == self.uuids => Kind::Uuid,
            all if all == self.times => Kind::DateTime,
            all if all == self.dates => Kind::Date,
            _ => Kind::Text,
        }
    }
}
