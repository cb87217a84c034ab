//! Values in PostgreSQL's own forms: text on the way there, binary on the way back.

use std::error::Error;

use ::postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use bytes::{BufMut, BytesMut};

use crate::{Date, Timestamptz, Value};

type Fault = Box<dyn Error + Sync + Send>;

/// Microseconds and days from 1970 to 2000, where PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// Whether a parameter may stand where the statement expects this type. A bare text form would
/// let the server read a text as a number, which the host does not.
pub(super) fn fits(value: &Value, kind: &Type) -> bool {
    use Value as V;
    if let Kind::Domain(base) = kind.kind() {
        return fits(value, base);
    }
    match value {
        V::Null | V::Other(_) => true,
        V::Boolean(_) => *kind == Type::BOOL,
        V::Int16(_) | V::Int32(_) | V::Int64(_) => {
            [Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC].contains(kind)
        }
        V::Float32(_) | V::Float64(_) => [Type::FLOAT4, Type::FLOAT8].contains(kind),
        V::Numeric(_) => *kind == Type::NUMERIC,
        V::Text(_) => {
            [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(kind)
        }
        V::Bytes(_) => *kind == Type::BYTEA,
        V::Uuid(_) => *kind == Type::UUID,
        V::Timestamptz(_) => *kind == Type::TIMESTAMPTZ,
        V::Date(_) => *kind == Type::DATE,
        V::Json(_) => [Type::JSON, Type::JSONB].contains(kind),
        array => match kind.kind() {
            Kind::Array(item) => fits(&sample(array), item),
            _ => false,
        },
    }
}

/// Some value of the type of an array's items.
fn sample(array: &Value) -> Value {
    use Value as V;
    match array {
        V::BoolArray(_) => V::Boolean(false),
        V::Int16Array(_) | V::Int32Array(_) | V::Int64Array(_) => V::Int64(0),
        V::Float32Array(_) | V::Float64Array(_) => V::Float64(0.0),
        V::NumericArray(_) => V::Numeric(String::new()),
        V::TextArray(_) => V::Text(String::new()),
        V::BytesArray(_) => V::Bytes(Vec::new()),
        V::UuidArray(_) => V::Uuid(String::new()),
        V::TimestamptzArray(_) => V::Timestamptz(0),
        V::DateArray(_) => V::Date(0),
        V::JsonArray(_) => V::Json(String::new()),
        _ => V::Null,
    }
}

/// A parameter, sent as text.
#[derive(Debug)]
pub(super) struct Param<'a>(pub(super) &'a Value);

impl ToSql for Param<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match text(self.0) {
            Some(text) => {
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn text(value: &Value) -> Option<String> {
    use Value as V;
    Some(match value {
        V::Null => return None,
        V::Boolean(it) => it.to_string(),
        V::Int16(it) => it.to_string(),
        V::Int32(it) => it.to_string(),
        V::Int64(it) => it.to_string(),
        V::Float32(it) => it.to_string(),
        V::Float64(it) => it.to_string(),
        V::Numeric(it) | V::Text(it) | V::Uuid(it) | V::Json(it) | V::Other((_, it)) => it.clone(),
        V::Bytes(it) => hex(it),
        V::Timestamptz(it) => Timestamptz(*it).to_string(),
        V::Date(it) => Date(*it).to_string(),
        V::BoolArray(it) => array(it, bool::to_string),
        V::Int16Array(it) => array(it, i16::to_string),
        V::Int32Array(it) => array(it, i32::to_string),
        V::Int64Array(it) => array(it, i64::to_string),
        V::Float32Array(it) => array(it, f32::to_string),
        V::Float64Array(it) => array(it, f64::to_string),
        V::NumericArray(it) | V::TextArray(it) | V::UuidArray(it) | V::JsonArray(it) => {
            array(it, String::clone)
        }
        V::BytesArray(it) => array(it, |bytes| hex(bytes)),
        V::TimestamptzArray(it) => array(it, |it| Timestamptz(*it).to_string()),
        V::DateArray(it) => array(it, |it| Date(*it).to_string()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("\\x"), |text, byte| text + &format!("{byte:02x}"))
}

fn array<T>(items: &[Option<T>], text: impl Fn(&T) -> String) -> String {
    let quoted = |item: &T| {
        let text = text(item).replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{text}\"")
    };
    let items: Vec<_> =
        items.iter().map(|item| item.as_ref().map_or_else(|| "NULL".into(), quoted)).collect();
    format!("{{{}}}", items.join(","))
}

/// A value of a row.
#[derive(Debug)]
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self(match kind.kind() {
            Kind::Array(item) => items(item, Vec::<Option<Self>>::from_sql(kind, raw)?)?,
            Kind::Domain(base) => return Self::from_sql(base, raw),
            Kind::Enum(_) => Value::Other((kind.name().into(), str::from_utf8(raw)?.into())),
            _ => scalar(kind, raw)?,
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn scalar(kind: &Type, raw: &[u8]) -> Result<Value, Fault> {
    let string = |raw: &[u8]| Ok::<_, Fault>(str::from_utf8(raw)?.to_owned());
    Ok(match *kind {
        Type::BOOL => Value::Boolean(bool::from_sql(kind, raw)?),
        Type::INT2 => Value::Int16(i16::from_sql(kind, raw)?),
        Type::INT4 => Value::Int32(i32::from_sql(kind, raw)?),
        Type::INT8 => Value::Int64(i64::from_sql(kind, raw)?),
        Type::FLOAT4 => Value::Float32(f32::from_sql(kind, raw)?),
        Type::FLOAT8 => Value::Float64(f64::from_sql(kind, raw)?),
        Type::NUMERIC => Value::Numeric(numeric(raw)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            Value::Text(string(raw)?)
        }
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::UUID => Value::Uuid(uuid(raw)),
        Type::TIMESTAMPTZ => Value::Timestamptz(i64::from_be_bytes(raw.try_into()?) + EPOCH),
        Type::DATE => Value::Date(i32::from_be_bytes(raw.try_into()?) + EPOCH_DAYS),
        Type::JSON => Value::Json(string(raw)?),
        // A version byte comes first.
        Type::JSONB => Value::Json(string(raw.get(1..).unwrap_or_default())?),
        _ => {
            return Err(format!("PgTx can't read the type {kind}; cast it to text in tests").into());
        }
    })
}

fn items(item: &Type, cells: Vec<Option<Cell>>) -> Result<Value, Fault> {
    macro_rules! collect {
        ($($kind:pat => $array:ident from $($variant:ident)|+;)*) => {
            match *item {
                $($kind => Value::$array(cells.into_iter().map(|cell| cell.and_then(|cell| match cell.0 {
                    $(Value::$variant(it) => Some(it),)+
                    _ => None,
                })).collect()),)*
                _ => return Err(format!("PgTx can't read arrays of {item}").into()),
            }
        };
    }
    Ok(collect! {
        Type::BOOL => BoolArray from Boolean;
        Type::INT2 => Int16Array from Int16;
        Type::INT4 => Int32Array from Int32;
        Type::INT8 => Int64Array from Int64;
        Type::FLOAT4 => Float32Array from Float32;
        Type::FLOAT8 => Float64Array from Float64;
        Type::NUMERIC => NumericArray from Numeric;
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => TextArray from Text;
        Type::BYTEA => BytesArray from Bytes;
        Type::UUID => UuidArray from Uuid;
        Type::TIMESTAMPTZ => TimestamptzArray from Timestamptz;
        Type::DATE => DateArray from Date;
        Type::JSON | Type::JSONB => JsonArray from Json;
    })
}

fn uuid(raw: &[u8]) -> String {
    let mut text = String::new();
    for (place, byte) in raw.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

/// Decimal text from groups of four digits: count, weight of the first group, sign, digits after
/// the point, groups.
fn numeric(raw: &[u8]) -> Result<String, Fault> {
    let words: Vec<i16> =
        raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign, scale, groups @ ..] = words.as_slice() else {
        return Err("a numeric is cut short".into());
    };
    match *sign as u16 {
        0xC000 => return Ok("NaN".into()),
        0xD000 => return Ok("Infinity".into()),
        0xF000 => return Ok("-Infinity".into()),
        _ => {}
    }
    let group = |place: i32| {
        usize::try_from(place).ok().and_then(|place| groups.get(place)).copied().unwrap_or(0)
    };
    let weight = i32::from(*weight);
    let mut text = String::new();
    for place in 0..=weight {
        text += &format!("{:04}", group(place));
    }
    let whole = text.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction = String::new();
    for place in 0..=(i32::from(*scale) / 4) {
        fraction += &format!("{:04}", group(weight + 1 + place));
    }
    fraction.truncate(*scale as usize);
    let sign = if *sign as u16 == 0x4000 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}
