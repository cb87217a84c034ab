//! The requests of a reactor in a scenario: what they are answered, and which ones are expected.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::plugin::{HttpAnswer, Kept, SendError};

/// What a request gets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Answered {
    /// The status of HTTP; 200 where it is not said.
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Text as it is, or anything else as JSON.
    body: Option<Box<RawValue>>,
    /// No answer, but this.
    error: Option<Error>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Error {
    Denied,
    Invalid,
    Timeout,
    Connection,
    Limit,
}

/// A request as it is expected. What is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Expected {
    method: Option<String>,
    url: Option<String>,
    /// These are among its headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Text as it is, or anything else as JSON.
    body: Option<Box<RawValue>>,
}

impl From<Answered> for Result<HttpAnswer, SendError> {
    fn from(answered: Answered) -> Self {
        let why = "as the scenario says".to_owned();
        match answered.error {
            None => Ok(HttpAnswer {
                status: answered.status.unwrap_or(200),
                headers: (answered.headers.into_iter())
                    .map(|(name, value)| (name.to_ascii_lowercase(), value))
                    .collect(),
                body: answered.body.map(|body| text(&body).into_bytes()).unwrap_or_default(),
            }),
            Some(Error::Denied) => Err(SendError::Denied(why)),
            Some(Error::Invalid) => Err(SendError::Invalid(why)),
            Some(Error::Timeout) => Err(SendError::Timeout(why)),
            Some(Error::Connection) => Err(SendError::Connection(why)),
            Some(Error::Limit) => Err(SendError::Limit(why)),
        }
    }
}

/// What is other than expected.
pub(super) fn wrong(kept: &[Kept], expected: Option<&[Expected]>) -> Vec<String> {
    let Some(expected) = expected else { return Vec::new() };
    let mut problems = Vec::new();
    for (number, (kept, expected)) in (1..).zip(kept.iter().zip(expected)) {
        let differ = differences(kept, expected);
        problems.extend(differ.into_iter().map(|differ| format!("request {number}: {differ}")));
    }
    if kept.len() != expected.len() {
        let list: String = kept.iter().map(|kept| format!("\n  | {}", line(kept))).collect();
        problems.push(format!(
            "expected {} requests; these {} were sent:{list}",
            expected.len(),
            kept.len()
        ));
    }
    problems
}

/// A request for people.
pub(in crate::cli) fn line(kept: &Kept) -> String {
    format!("{} {} {}", kept.method, kept.url, String::from_utf8_lossy(&kept.body))
}

fn differences(kept: &Kept, expected: &Expected) -> Vec<String> {
    let mut differ = Vec::new();
    let mut compare = |what: &str, is: &str, wanted: Option<&String>| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            differ.push(format!("{what}\n  - {wanted}\n  + {is}"));
        }
    };
    compare("method", &kept.method, expected.method.as_ref());
    compare("url", &kept.url, expected.url.as_ref());
    for (name, wanted) in &expected.headers {
        let of = kept.headers.iter().filter(|(is, _)| is.eq_ignore_ascii_case(name));
        let values: Vec<&str> = of.map(|(_, value)| value.as_str()).collect();
        if !values.contains(&wanted.as_str()) {
            compare(&format!("header {name}"), &values.join(", "), Some(wanted));
        }
    }
    if let Some(wanted) = &expected.body {
        let is = String::from_utf8_lossy(&kept.body);
        let wanted = text(wanted);
        let json = |text: &str| serde_json::from_str::<Value>(text).ok();
        let same = *is == wanted || json(&is).is_some_and(|is| Some(is) == json(&wanted));
        compare("body", &is, Some(&wanted).filter(|_| !same));
    }
    differ
}

/// A string without its quotes, and other JSON as it is.
fn text(json: &RawValue) -> String {
    serde_json::from_str::<String>(json.get()).unwrap_or_else(|_| json.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(expected: &str) -> Vec<String> {
        let kept = Kept {
            method: "POST".to_owned(),
            url: "https://h/a".to_owned(),
            headers: vec![("x-a".to_owned(), "1".to_owned())],
            body: br#"{"a": 1, "b": 2}"#.to_vec(),
        };
        let expected: Vec<Expected> = serde_json::from_str(expected).unwrap();
        wrong(&[kept], Some(&expected))
    }

    #[test]
    fn what_is_said_of_a_request_must_be_so_and_the_rest_may_be_anything() {
        assert_eq!(problems("[{}]"), Vec::<String>::new());
        let all = r#"[{"method": "POST", "url": "https://h/a", "headers": {"X-A": "1"}, "body": {"b": 2, "a": 1}}]"#;
        assert_eq!(problems(all), Vec::<String>::new());
        assert_eq!(problems(r#"[{"body": "{\"a\": 1, \"b\": 2}"}]"#), Vec::<String>::new());
        for (expected, what) in [
            (r#"[{"method": "PUT"}]"#, "method"),
            (r#"[{"url": "https://h/b"}]"#, "url"),
            (r#"[{"headers": {"x-a": "2"}}]"#, "header x-a"),
            (r#"[{"headers": {"x-b": "1"}}]"#, "header x-b"),
            (r#"[{"body": {"a": 1}}]"#, "body"),
            ("[]", "expected 0 requests"),
            ("[{}, {}]", "expected 2 requests"),
        ] {
            let problems = problems(expected);
            assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_body_or_an_error() {
        let answered = |json: &str| -> Result<HttpAnswer, SendError> {
            serde_json::from_str::<Answered>(json).unwrap().into()
        };
        let json =
            answered(r#"{"status": 201, "headers": {"Retry-After": "3"}, "body": {"id": 7}}"#);
        let json = json.unwrap();
        assert_eq!((json.status, json.body.as_slice()), (201, br#"{"id": 7}"#.as_slice()));
        assert_eq!(json.headers, [("retry-after".to_owned(), "3".to_owned())]);
        assert_eq!(answered(r#"{"body": "ok"}"#).unwrap().body, b"ok");
        let error = answered(r#"{"error": "timeout"}"#).unwrap_err();
        assert!(matches!(error, SendError::Timeout(_)));
        assert!(serde_json::from_str::<Answered>(r#"{"error": "boom"}"#).is_err());
    }
}
