//! The expected version of a stream as a field of a body, and in the headers of RFC 9110.

use axum::http::{HeaderMap, HeaderValue, header};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;
use crate::event::ExpectedVersion;

/// `"any"`, `"none"`, `"exists"`, or the version of the stream's last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected(pub(super) ExpectedVersion);

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ExpectedVersion::Any => serializer.serialize_str("any"),
            ExpectedVersion::NoStream => serializer.serialize_str("none"),
            ExpectedVersion::StreamExists => serializer.serialize_str("exists"),
            ExpectedVersion::Exact(version) => serializer.serialize_i32(version),
        }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Expected;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`any`, `none`, `exists`, or a version from 0 to 2147483647")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Expected, E> {
                let version = i32::try_from(number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))?;
                Ok(Expected(ExpectedVersion::Exact(version)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
                Ok(Expected(match text {
                    "any" => ExpectedVersion::Any,
                    "none" => ExpectedVersion::NoStream,
                    "exists" => ExpectedVersion::StreamExists,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl PartialSchema for Expected {
    fn schema() -> RefOr<Schema> {
        let version = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(0))
            .maximum(Some(i32::MAX))
            .description(Some("The version of the stream's last event; 0 where it has none"));
        let word = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(["any", "none", "exists"]))
            .description(Some("Whatever is there, no event, at least one event"));
        Schema::from(OneOfBuilder::new().item(version).item(word).build()).into()
    }
}

impl ToSchema for Expected {}

/// The expectation of an append: from `If-Match`, `If-None-Match` and the body's field, which must
/// not contradict each other. Also whether a header has it.
pub(super) fn expected(
    headers: &HeaderMap,
    field: Option<Expected>,
) -> Result<(ExpectedVersion, bool), Problem> {
    let header = match (one(headers, &header::IF_MATCH)?, one(headers, &header::IF_NONE_MATCH)?) {
        (None, None) => None,
        (Some("*"), None) => Some(ExpectedVersion::StreamExists),
        (Some(tag), None) => Some(ExpectedVersion::Exact(version(tag).ok_or_else(|| {
            Problem::invalid(
                "If-Match is the ETag of the stream: its version in quotes, such as \"5\", or *",
            )
        })?)),
        (None, Some("*")) => Some(ExpectedVersion::NoStream),
        (None, Some(_)) => {
            return Err(Problem::invalid("If-None-Match is *: the stream has no event yet"));
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("give one of If-Match and If-None-Match"));
        }
    };
    match (header, field.map(|field| field.0)) {
        (None, None) => Ok((ExpectedVersion::Any, false)),
        (None, Some(field)) => Ok((field, false)),
        (Some(header), None) => Ok((header, true)),
        (Some(header), Some(field)) if header.range() == field.range() => Ok((header, true)),
        (Some(header), Some(field)) => Err(Problem::invalid(format!(
            "the header expects {header}, and expected_version {field}: give one of them"
        ))),
    }
}

/// The version that a strong tag such as `"5"` stands for.
fn version(tag: &str) -> Option<i32> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A header that may be there once.
pub(super) fn one<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(format!("the header {name} is there more than once")));
    }
    text(name, value).map(Some)
}

fn text<'a>(name: &header::HeaderName, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    value
        .to_str()
        .map(str::trim)
        .map_err(|_| Problem::invalid(format!("the header {name} has more than ASCII in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        headers: &[(&'static str, &'static str)],
        field: Option<&str>,
    ) -> Result<ExpectedVersion, ()> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect();
        let field = field.map(|json| serde_json::from_str(json).unwrap());
        expected(&headers, field).map(|(expected, _)| expected).map_err(drop)
    }

    #[test]
    fn a_header_and_the_field_say_the_same() {
        assert_eq!(of(&[], None), Ok(ExpectedVersion::Any));
        assert_eq!(of(&[], Some("\"exists\"")), Ok(ExpectedVersion::StreamExists));
        assert_eq!(of(&[("if-match", "\"5\"")], None), Ok(ExpectedVersion::Exact(5)));
        assert_eq!(of(&[("if-match", "\"5\"")], Some("5")), Ok(ExpectedVersion::Exact(5)));
        assert_eq!(of(&[("if-match", "*")], None), Ok(ExpectedVersion::StreamExists));
        assert_eq!(of(&[("if-none-match", "*")], Some("0")), Ok(ExpectedVersion::NoStream));
        assert_eq!(of(&[("if-match", "\"5\"")], Some("6")), Err(()));
        assert_eq!(of(&[("if-match", "\"5\"")], Some("\"any\"")), Err(()));
        assert_eq!(of(&[("if-match", "\"5\""), ("if-none-match", "*")], None), Err(()));
    }

    #[test]
    fn a_header_that_names_no_version_is_refused() {
        for tag in
            ["5", "W/\"5\"", "\"-5\"", "\"+5\"", "\"\"", "\"5\", \"6\"", "\"99999999999\"", ""]
        {
            assert_eq!(of(&[("if-match", tag)], None), Err(()), "{tag}");
        }
        assert_eq!(of(&[("if-none-match", "\"5\"")], None), Err(()));
    }

    #[test]
    fn a_field_is_a_word_or_a_version() {
        let read = |json: &str| serde_json::from_str::<Expected>(json).map(|field| field.0).ok();
        assert_eq!(read("0"), Some(ExpectedVersion::Exact(0)));
        assert_eq!(read("2147483647"), Some(ExpectedVersion::Exact(i32::MAX)));
        for wrong in ["-1", "2147483648", "1.5", "\"latest\"", "null", "[1]", "true"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
