//! What a payload must be to be stored.

use serde_json::value::RawValue;

/// The payload with its own `type` and `version`, which the TypeScript library's loader needs.
pub(super) fn with_type_and_version(
    payload: &RawValue,
    event_type: &str,
    version: i32,
) -> Result<Box<RawValue>, String> {
    #[derive(serde::Deserialize)]
    struct Own {
        #[serde(default, deserialize_with = "present")]
        r#type: Option<serde_json::Value>,
        #[serde(default, deserialize_with = "present")]
        version: Option<serde_json::Value>,
    }
    let text = payload.get().trim();
    if !text.starts_with('{') {
        return Err("the payload must be a JSON object".to_owned());
    }
    check_escapes(text)?;
    check_exponents(text)?;
    let own: Own = serde_json::from_str(text).map_err(|error| format!("the payload: {error}"))?;
    let mut added = String::new();
    match &own.r#type {
        None => added.push_str(&format!("\"type\":{},", serde_json::Value::from(event_type))),
        Some(serde_json::Value::String(given)) if given == event_type => {}
        Some(other) => return Err(format!("the payload's own `type` is {other}")),
    }
    match &own.version {
        None => added.push_str(&format!("\"version\":{version},")),
        Some(given) if given.as_i64() == Some(version.into()) => {}
        Some(other) => {
            return Err(format!("the payload's own `version` is {other}, the event's {version}"));
        }
    }
    if added.is_empty() {
        return Ok(payload.to_owned());
    }
    let rest = text[1..].trim_start();
    if rest.starts_with('}') {
        added.pop();
    }
    RawValue::from_string(format!("{{{added}{rest}")).map_err(|error| error.to_string())
}

/// A value that is there, `null` included: one that is not there is completed.
fn present<'de, D: serde::Deserializer<'de>>(
    value: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde::Deserialize::deserialize(value).map(Some)
}

/// Refuses the escapes that are JSON but no text: jsonb stores neither NUL nor half a pair of
/// surrogates.
pub(super) fn check_escapes(json: &str) -> Result<(), String> {
    if !json.contains("\\u") {
        return Ok(());
    }
    let bytes = json.as_bytes();
    let (mut at, mut high) = (0, false);
    while at < bytes.len() {
        let (unit, next) = match bytes[at..] {
            [b'\\', b'u', ..] => (json.get(at + 2..at + 6), at + 6),
            [b'\\', ..] => (None, at + 2),
            _ => (None, at + 1),
        };
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let low = matches!(unit, Some(0xdc00..=0xdfff));
        if unit == Some(0) {
            return Err(
                "the payload holds \\u0000, which PostgreSQL's jsonb cannot store".to_owned()
            );
        }
        if low != high {
            return Err("the payload holds half a surrogate pair (\\ud800 to \\udfff), which is \
                        no text"
                .to_owned());
        }
        high = matches!(unit, Some(0xd800..=0xdbff));
        at = next;
    }
    Ok(())
}

/// Digits by which the exponent of a number in a payload may move the point: more than any double has.
const EXPONENT: u32 = 400;

/// Refuses numbers that are short to write and long to read: jsonb keeps them exactly and prints
/// them in full, so a payload of `1e131071,1e131071,…` could be stored, and never be read again.
fn check_exponents(json: &str) -> Result<(), String> {
    let bytes = json.as_bytes();
    let (mut at, mut in_text) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            // The e of `true` and `false` follows a letter.
            b'e' | b'E' if !in_text && at > 0 && bytes[at - 1].is_ascii_digit() => {
                let digits = json[at + 1..].trim_start_matches(['+', '-']);
                let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                if !digits[..end].parse::<u32>().is_ok_and(|exponent| exponent <= EXPONENT) {
                    return Err(format!(
                        "the payload holds a number with the exponent {}, and {EXPONENT} is the \
                         greatest that is stored; write it as text",
                        digits[..end].chars().take(20).collect::<String>()
                    ));
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(payload: &str) -> Result<String, String> {
        let raw = RawValue::from_string(payload.to_owned()).unwrap();
        with_type_and_version(&raw, "Opened", 2).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn payload_gets_its_type_and_version() {
        assert_eq!(completed("{}").unwrap(), r#"{"type":"Opened","version":2}"#);
        assert_eq!(completed(r#"{"a":1}"#).unwrap(), r#"{"type":"Opened","version":2,"a":1}"#);
        assert_eq!(
            completed(r#"{"version":2,"a":1}"#).unwrap(),
            r#"{"type":"Opened","version":2,"a":1}"#
        );
        let whole = r#"{"type":"Opened","version":2}"#;
        assert_eq!(completed(whole).unwrap(), whole);
    }

    #[test]
    fn numbers_that_are_long_to_read_are_refused() {
        assert!(completed(r#"{"a":1e131071}"#).unwrap_err().contains("131071"));
        assert!(completed(r#"{"a":[0,1.5E-99999999999]}"#).is_err());
        assert!(completed(r#"{"a":1e+401}"#).is_err());
        assert!(completed(r#"{"a":1e+308,"b":5E-324,"c":true,"1e999":"\"1e999"}"#).is_ok());
    }

    #[test]
    fn payload_that_contradicts_its_event_is_refused() {
        assert!(completed("[1]").unwrap_err().contains("object"));
        assert!(completed(r#"{"type":"Closed"}"#).unwrap_err().contains("Closed"));
        assert!(completed(r#"{"version":3}"#).unwrap_err().contains('3'));
        assert!(completed(r#"{"type":null}"#).unwrap_err().contains("null"));
        assert!(completed(r#"{"version":null}"#).unwrap_err().contains("null"));
        assert!(completed(r#"{"a":"\u0000"}"#).is_err());
        assert!(completed(r#"{"a":"\\u0000"}"#).is_ok());
        assert!(completed(r#"{"a":"\ud83d"}"#).unwrap_err().contains("surrogate"));
        assert!(completed(r#"{"a":"\ude00\ud83d"}"#).is_err());
        assert!(completed(r#"{"a":"\ud83d\ude00 \\ud83d"}"#).is_ok());
    }
}
