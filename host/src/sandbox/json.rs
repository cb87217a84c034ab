//! Rows as JSON, exact: what has no number of its own in JSON is text.

use chrono::{DateTime, Datelike as _, NaiveDate, SecondsFormat, Utc};
use serde_json::value::RawValue;

use super::execute::RowSet;
use super::value::Value;
use super::wire::text_of;

/// The years that RFC 3339 can write; others are given as PostgreSQL writes them.
const FOUR_DIGITS: std::ops::RangeInclusive<i32> = 0..=9999;

impl RowSet {
    /// An array of objects, with the columns in their order. Integers are numbers, also those of 64 bits;
    /// json stands as it is; numeric, times (RFC 3339) and everything else is text, as are numbers that JSON
    /// does not have, such as NaN.
    ///
    /// # Errors
    /// Names a column whose value is none of its type, which a plugin can make up.
    pub fn to_json(&self) -> Result<String, String> {
        let names = self.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>();
        let mut json = String::from("[");
        for (at, row) in self.rows.iter().enumerate() {
            json.push_str(if at == 0 { "{" } else { ",{" });
            for (at, (name, value)) in names.iter().zip(row).enumerate() {
                let value = json_of(value).map_err(|why| format!("column {name}: {why}"))?;
                json.push_str(if at == 0 { "" } else { "," });
                json.push_str(name);
                json.push(':');
                json.push_str(&value);
            }
            json.push('}');
        }
        json.push(']');
        Ok(json)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The shortest digits that are read back as the same number.
fn number(number: &impl serde::Serialize) -> String {
    serde_json::to_string(number).unwrap_or_default()
}

fn json_of(value: &Value) -> Result<String, String> {
    if let Some(elements) = value.elements() {
        let elements = elements.iter().map(json_of).collect::<Result<Vec<_>, _>>()?;
        return Ok(format!("[{}]", elements.join(",")));
    }
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => text_of(value)?,
        Value::Float32(x) if x.is_finite() => number(x),
        Value::Float64(x) if x.is_finite() => number(x),
        Value::Json(text) => {
            let read = serde_json::from_str::<&RawValue>(text);
            read.map_err(|error| format!("it is no JSON: {error}"))?.get().to_owned()
        }
        Value::Timestamptz(micros) => match DateTime::<Utc>::from_timestamp_micros(*micros) {
            Some(time) if FOUR_DIGITS.contains(&time.year()) => {
                quoted(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            _ => quoted(&text_of(value)?),
        },
        Value::Date(days) => {
            let days = chrono::Duration::days(i64::from(*days));
            match NaiveDate::default().checked_add_signed(days) {
                Some(date) if FOUR_DIGITS.contains(&date.year()) => quoted(&date.to_string()),
                _ => quoted(&text_of(value)?),
            }
        }
        _ => quoted(&text_of(value)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: Value) -> String {
        json_of(&value).unwrap()
    }

    #[test]
    fn values_are_exact() {
        assert_eq!(json(Value::Null), "null");
        assert_eq!(json(Value::Int64(9_007_199_254_740_993)), "9007199254740993");
        assert_eq!(json(Value::Int64(i64::MIN)), "-9223372036854775808");
        assert_eq!(json(Value::Float32(0.1)), "0.1");
        assert_eq!(json(Value::Float64(0.1)), "0.1");
        assert_eq!(json(Value::Float64(f64::NAN)), r#""NaN""#);
        assert_eq!(json(Value::Float64(f64::NEG_INFINITY)), r#""-Infinity""#);
        assert_eq!(json(Value::Numeric("12.50".to_owned())), r#""12.50""#);
        assert_eq!(json(Value::Text("\"\n".to_owned())), r#""\"\n""#);
        assert_eq!(json(Value::Bytes(vec![0, 255])), r#""\\x00ff""#);
        assert_eq!(json(Value::Timestamptz(-1)), r#""1969-12-31T23:59:59.999999Z""#);
        assert_eq!(json(Value::Timestamptz(0)), r#""1970-01-01T00:00:00Z""#);
        assert_eq!(
            json(Value::Timestamptz(253_402_300_800_000_000)),
            r#""10000-01-01 00:00:00.000000+00""#
        );
        assert_eq!(json(Value::Date(-1)), r#""1969-12-31""#);
        assert_eq!(json(Value::Date(-800_000)), r#""0222-09-04 BC""#);
        assert!(json_of(&Value::Date(i32::MIN)).is_err());
        let big = r#"{"n": 12345678901234567890.5}"#;
        assert_eq!(json(Value::Json(big.to_owned())), big);
        assert_eq!(json(Value::Int64Array(vec![Some(1), None])), "[1,null]");
        assert_eq!(json(Value::NumericArray(vec![Some("1.0".to_owned())])), r#"["1.0"]"#);
    }

    #[test]
    fn rows_are_objects_and_what_is_no_json_names_its_column() {
        let columns = vec!["b".to_owned(), "a\"".to_owned()];
        let rows = vec![vec![Value::Int32(1), Value::Bool(true)], vec![Value::Null, Value::Null]];
        let set = RowSet { columns: columns.clone(), rows };
        assert_eq!(set.to_json().unwrap(), r#"[{"b":1,"a\"":true},{"b":null,"a\"":null}]"#);
        let rows = vec![vec![Value::Json("1, \"x\": 2".to_owned()), Value::Null]];
        assert!(RowSet { columns, rows }.to_json().unwrap_err().contains("column \"b\""));
    }
}
