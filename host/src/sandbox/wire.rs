//! Values as PostgreSQL's binary protocol has them.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Postgres;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};

use super::value::Value;

/// Microseconds from 1970 to 2000, where PostgreSQL's clock begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;

/// How a value crosses the wire. Types that are not listed go as text and are cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Text,
    Bytea,
    Uuid,
    Timestamptz,
    Timestamp,
    Date,
    Json,
    Jsonb,
}

impl Wire {
    /// The wire of a type, and whether it is an array of it. None: as text.
    pub fn of(oid: u32) -> Option<(Self, bool)> {
        Some(match oid {
            16 => (Self::Bool, false),
            21 => (Self::Int2, false),
            23 => (Self::Int4, false),
            20 => (Self::Int8, false),
            700 => (Self::Float4, false),
            701 => (Self::Float8, false),
            25 | 1043 | 1042 | 19 => (Self::Text, false),
            17 => (Self::Bytea, false),
            2950 => (Self::Uuid, false),
            1184 => (Self::Timestamptz, false),
            1114 => (Self::Timestamp, false),
            1082 => (Self::Date, false),
            114 => (Self::Json, false),
            3802 => (Self::Jsonb, false),
            1000 => (Self::Bool, true),
            1005 => (Self::Int2, true),
            1007 => (Self::Int4, true),
            1016 => (Self::Int8, true),
            1021 => (Self::Float4, true),
            1022 => (Self::Float8, true),
            1009 | 1015 | 1014 | 1003 => (Self::Text, true),
            1001 => (Self::Bytea, true),
            2951 => (Self::Uuid, true),
            1185 => (Self::Timestamptz, true),
            1115 => (Self::Timestamp, true),
            1182 => (Self::Date, true),
            199 => (Self::Json, true),
            3807 => (Self::Jsonb, true),
            _ => return None,
        })
    }

    /// The type that goes over the wire, and its array type.
    pub fn oids(self) -> (u32, u32) {
        match self {
            Self::Bool => (16, 1000),
            Self::Int2 => (21, 1005),
            Self::Int4 => (23, 1007),
            Self::Int8 => (20, 1016),
            Self::Float4 => (700, 1021),
            Self::Float8 => (701, 1022),
            Self::Text => (25, 1009),
            Self::Bytea => (17, 1001),
            Self::Uuid => (2950, 2951),
            Self::Timestamptz => (1184, 1185),
            Self::Timestamp => (1114, 1115),
            Self::Date => (1082, 1182),
            Self::Json => (114, 199),
            Self::Jsonb => (3802, 3807),
        }
    }
}

/// Bytes of a value with the object id of their type.
pub(super) struct Raw {
    pub oid: u32,
    pub bytes: Option<Vec<u8>>,
}

impl sqlx::Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(25))
    }
}

impl Encode<'_, Postgres> for Raw {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// Builds the binary form of a one-dimensional array.
pub(super) struct ArrayBuilder {
    oid: u32,
    buffer: Vec<u8>,
    count: i32,
    has_null: bool,
}

impl ArrayBuilder {
    pub fn new(element: Wire) -> Self {
        // Dimensions, nulls, element type, length, lower bound: filled in at the end.
        Self { oid: element.oids().0, buffer: vec![0; 20], count: 0, has_null: false }
    }

    /// Appends what `write` writes; `Ok(false)` from it stands for NULL.
    pub fn push<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&(-1i32).to_be_bytes());
        if write(&mut self.buffer)? {
            let length = i32::try_from(self.buffer.len() - at - 4).unwrap_or(i32::MAX);
            self.buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
        } else {
            self.has_null = true;
        }
        self.count += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Vec<u8> {
        let header = [1, i32::from(self.has_null), self.oid as i32, self.count, 1];
        for (at, number) in header.into_iter().enumerate() {
            self.buffer[at * 4..at * 4 + 4].copy_from_slice(&number.to_be_bytes());
        }
        self.buffer
    }
}

/// Appends the binary form of a scalar; false for NULL. The error says why it does not fit.
pub(super) fn write(
    out: &mut Vec<u8>,
    wire: Wire,
    cast: bool,
    value: &Value,
) -> Result<bool, String> {
    let wrong = || Err(format!("got {}", value.kind()));
    match (wire, value) {
        (_, Value::Null) => return Ok(false),
        (Wire::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (Wire::Int2 | Wire::Int4 | Wire::Int8, _) => {
            let number = match value {
                Value::Int16(n) => i64::from(*n),
                Value::Int32(n) => i64::from(*n),
                Value::Int64(n) => *n,
                _ => return wrong(),
            };
            let range = |_| format!("{number} is out of its range");
            match wire {
                Wire::Int2 => out.extend(i16::try_from(number).map_err(range)?.to_be_bytes()),
                Wire::Int4 => out.extend(i32::try_from(number).map_err(range)?.to_be_bytes()),
                _ => out.extend(number.to_be_bytes()),
            }
        }
        (Wire::Float4 | Wire::Float8, _) => {
            let number = match value {
                Value::Float32(n) => f64::from(*n),
                Value::Float64(n) => *n,
                Value::Int16(n) => f64::from(*n),
                Value::Int32(n) => f64::from(*n),
                Value::Int64(n) if n.unsigned_abs() <= 1 << 53 => *n as f64,
                Value::Int64(n) => return Err(format!("{n} is no exact floating-point number")),
                _ => return wrong(),
            };
            if wire == Wire::Float8 {
                out.extend(number.to_be_bytes());
            } else {
                let single = number as f32;
                if single.is_infinite() && number.is_finite() {
                    return Err(format!("{number} is out of its range"));
                }
                out.extend(single.to_be_bytes());
            }
        }
        (Wire::Text, _) => {
            let text = match value {
                Value::Text(s) | Value::Uuid(s) | Value::Numeric(s) | Value::Json(s) => s.clone(),
                Value::Other { text, .. } => text.clone(),
                _ if cast => text_of(value)?,
                _ => return wrong(),
            };
            out.extend(no_nul(&text)?);
        }
        (Wire::Bytea, Value::Bytes(bytes)) => out.extend(bytes),
        (Wire::Uuid, Value::Uuid(s) | Value::Text(s) | Value::Other { text: s, .. }) => {
            let id: uuid::Uuid = s.parse().map_err(|_| format!("`{s}` is no UUID"))?;
            out.extend(id.as_bytes());
        }
        (Wire::Timestamptz | Wire::Timestamp, _) => {
            let micros = match value {
                Value::Timestamptz(micros) => *micros,
                Value::Text(s) | Value::Other { text: s, .. } => DateTime::parse_from_rfc3339(s)
                    .map_err(|_| format!("`{s}` is no time such as 2024-05-01T12:00:00Z"))?
                    .timestamp_micros(),
                _ => return wrong(),
            };
            out.extend(server_micros(micros)?.to_be_bytes());
        }
        (Wire::Date, _) => {
            let days = match value {
                Value::Date(days) => *days,
                Value::Text(s) | Value::Other { text: s, .. } => {
                    s.parse::<NaiveDate>()
                        .map_err(|_| format!("`{s}` is no date such as 2024-05-01"))?
                        .signed_duration_since(NaiveDate::default())
                        .num_days() as i32
                }
                _ => return wrong(),
            };
            out.extend(server_days(days)?.to_be_bytes());
        }
        (Wire::Json | Wire::Jsonb, Value::Json(s) | Value::Text(s)) => {
            if wire == Wire::Jsonb {
                out.push(1);
            }
            out.extend(no_nul(s)?);
        }
        _ => return wrong(),
    }
    Ok(true)
}

fn no_nul(text: &str) -> Result<&[u8], String> {
    if text.contains('\0') {
        return Err("PostgreSQL's text cannot hold the character NUL".to_owned());
    }
    Ok(text.as_bytes())
}

/// Microseconds as the server counts them; its first and last number are infinite times.
fn server_micros(micros: i64) -> Result<i64, String> {
    let counted = micros.checked_sub(EPOCH_MICROS).filter(|m| *m != i64::MIN && *m != i64::MAX);
    counted.ok_or_else(|| format!("{micros} µs is out of its range"))
}

/// The same of days.
fn server_days(days: i32) -> Result<i32, String> {
    let counted = days.checked_sub(EPOCH_DAYS).filter(|d| *d != i32::MIN && *d != i32::MAX);
    counted.ok_or_else(|| format!("day {days} is out of its range"))
}

/// The days of 400 years, after which the calendar repeats itself: PostgreSQL knows more years than
/// `chrono` does.
const CYCLE_DAYS: i64 = 146_097;
const CYCLE_MICROS: i64 = CYCLE_DAYS * 86_400_000_000;

/// A year so many cycles later as PostgreSQL writes it, and its era.
fn year(year: i32, cycles: i64) -> (i64, &'static str) {
    let year = i64::from(year) + 400 * cycles;
    if year > 0 { (year, "") } else { (1 - year, " BC") }
}

/// PostgreSQL's text form of a scalar.
pub(super) fn text_of(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Bool(b) => b.to_string(),
        Value::Int16(n) => n.to_string(),
        Value::Int32(n) => n.to_string(),
        Value::Int64(n) => n.to_string(),
        Value::Float32(n) => float_text(f64::from(*n), n.to_string()),
        Value::Float64(n) => float_text(*n, n.to_string()),
        Value::Numeric(s) | Value::Text(s) | Value::Uuid(s) | Value::Json(s) => s.clone(),
        Value::Other { text, .. } => text.clone(),
        Value::Bytes(bytes) => format!("\\x{}", hex::encode(bytes)),
        Value::Timestamptz(micros) => {
            server_micros(*micros)?;
            let (cycles, rest) = (micros.div_euclid(CYCLE_MICROS), micros.rem_euclid(CYCLE_MICROS));
            let time = DateTime::<Utc>::from_timestamp_micros(rest).unwrap_or_default();
            let (year, era) = year(time.year(), cycles);
            format!("{year:04}-{}+00{era}", time.format("%m-%d %H:%M:%S%.6f"))
        }
        Value::Date(days) => {
            server_days(*days)?;
            let days = i64::from(*days);
            let (cycles, rest) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
            let date = NaiveDate::default() + chrono::Duration::days(rest);
            let (year, era) = year(date.year(), cycles);
            format!("{year:04}-{}{era}", date.format("%m-%d"))
        }
        _ => return Err(format!("got {}", value.kind())),
    })
}

fn float_text(number: f64, finite: String) -> String {
    match number {
        n if n.is_nan() => "NaN".to_owned(),
        n if n.is_infinite() && n > 0.0 => "Infinity".to_owned(),
        n if n.is_infinite() => "-Infinity".to_owned(),
        _ => finite,
    }
}

/// PostgreSQL's text form of an array.
fn array_literal(elements: &[Value]) -> Result<String, String> {
    let mut text = String::from("{");
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        if *element == Value::Null {
            text.push_str("NULL");
            continue;
        }
        text.push('"');
        text.push_str(&text_of(element)?.replace('\\', "\\\\").replace('"', "\\\""));
        text.push('"');
    }
    text.push('}');
    Ok(text)
}

/// The text form of an array, or a text that is one already.
pub(super) fn literal(value: &Value) -> Result<String, String> {
    match (value.elements(), value) {
        (Some(elements), _) => array_literal(&elements),
        (None, Value::Text(text) | Value::Other { text, .. }) => Ok(text.clone()),
        (None, other) => Err(format!("got {}", other.kind())),
    }
}

/// Reads the binary form of a scalar.
pub(super) fn read(wire: Wire, bytes: &[u8]) -> Result<Value, String> {
    fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
        bytes.try_into().map_err(|_| "a value of the wrong length".to_owned())
    }
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| "text that is no UTF-8".to_owned())
    };
    Ok(match wire {
        Wire::Bool => Value::Bool(bytes == [1]),
        Wire::Int2 => Value::Int16(i16::from_be_bytes(fixed(bytes)?)),
        Wire::Int4 => Value::Int32(i32::from_be_bytes(fixed(bytes)?)),
        Wire::Int8 => Value::Int64(i64::from_be_bytes(fixed(bytes)?)),
        Wire::Float4 => Value::Float32(f32::from_be_bytes(fixed(bytes)?)),
        Wire::Float8 => Value::Float64(f64::from_be_bytes(fixed(bytes)?)),
        Wire::Text => Value::Text(text(bytes)?),
        Wire::Bytea => Value::Bytes(bytes.to_vec()),
        Wire::Uuid => Value::Uuid(uuid::Uuid::from_bytes(fixed(bytes)?).to_string()),
        Wire::Timestamptz | Wire::Timestamp => match i64::from_be_bytes(fixed(bytes)?) {
            i64::MIN | i64::MAX => {
                return Err(
                    "an infinite time, which has no microseconds: cast it to text".to_owned()
                );
            }
            micros => Value::Timestamptz(
                micros.checked_add(EPOCH_MICROS).ok_or("a time too far away: cast it to text")?,
            ),
        },
        Wire::Date => match i32::from_be_bytes(fixed(bytes)?) {
            i32::MIN | i32::MAX => {
                return Err("an infinite date, which has no number: cast it to text".to_owned());
            }
            days => Value::Date(
                days.checked_add(EPOCH_DAYS).ok_or("a date too far away: cast it to text")?,
            ),
        },
        Wire::Json => Value::Json(text(bytes)?),
        Wire::Jsonb => Value::Json(text(bytes.get(1..).unwrap_or_default())?),
    })
}

/// Reads the binary form of an array of one dimension.
pub(super) fn read_array(wire: Wire, bytes: &[u8]) -> Result<Vec<Option<Value>>, String> {
    let short = || "an array of the wrong length".to_owned();
    let int = |at: usize| -> Result<i32, String> {
        let bytes = bytes.get(at..at + 4).ok_or_else(short)?;
        Ok(i32::from_be_bytes(bytes.try_into().map_err(|_| short())?))
    };
    match int(0)? {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err("an array of several dimensions: cast it to text or JSON".to_owned()),
    }
    let count = int(12)?;
    let mut at = 20;
    let mut elements = Vec::new();
    for _ in 0..count {
        let length = int(at)?;
        at += 4;
        let Ok(length) = usize::try_from(length) else {
            elements.push(None);
            continue;
        };
        elements.push(Some(read(wire, bytes.get(at..at + length).ok_or_else(short)?)?));
        at += length;
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_survive_the_way_there_and_back() {
        let mut builder = ArrayBuilder::new(Wire::Int8);
        for value in [Value::Int64(9_007_199_254_740_993), Value::Null, Value::Int16(-1)] {
            builder.push(|out| write(out, Wire::Int8, false, &value)).unwrap();
        }
        assert_eq!(
            read_array(Wire::Int8, &builder.finish()).unwrap(),
            [Some(Value::Int64(9_007_199_254_740_993)), None, Some(Value::Int64(-1))]
        );
    }

    #[test]
    fn text_forms_are_those_of_postgresql() {
        let literal = array_literal(&[Value::Text("a\"\\".into()), Value::Null]).unwrap();
        assert_eq!(literal, r#"{"a\"\\",NULL}"#);
        assert_eq!(text_of(&Value::Timestamptz(-1)).unwrap(), "1969-12-31 23:59:59.999999+00");
        assert_eq!(text_of(&Value::Date(-719_528)).unwrap(), "0001-01-01 BC");
        // PostgreSQL's last years, which `chrono` does not have.
        let last = text_of(&Value::Timestamptz(i64::MAX)).unwrap();
        assert_eq!(last, "294247-01-10 04:00:54.775807+00");
        assert_eq!(text_of(&Value::Date(2_145_042_905)).unwrap(), "5874897-12-31");
        for endless in [Value::Timestamptz(i64::MIN), Value::Date(i32::MIN)] {
            assert!(text_of(&endless).unwrap_err().ends_with("is out of its range"));
        }
        assert_eq!(text_of(&Value::Float64(f64::NEG_INFINITY)).unwrap(), "-Infinity");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |wire, value| write(&mut Vec::new(), wire, false, &value).unwrap_err();
        assert_eq!(refused(Wire::Int2, Value::Int32(40_000)), "40000 is out of its range");
        assert_eq!(refused(Wire::Bool, Value::Int32(1)), "got integer");
        assert!(refused(Wire::Float8, Value::Int64(i64::MAX)).contains("no exact"));
        assert!(refused(Wire::Text, Value::Text("\0".into())).contains("NUL"));
        assert!(refused(Wire::Float4, Value::Float64(1e300)).contains("range"));
    }
}
