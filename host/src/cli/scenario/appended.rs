//! Events that were appended, beside those that were expected.

use std::collections::BTreeSet;

use serde_json::Value;
use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices};

use super::format::Appended;
use crate::cli::output;
use crate::event::{Event, StreamId};

/// The aggregates of these events.
pub(super) fn aggregates(expected: &[Appended]) -> BTreeSet<String> {
    expected.iter().filter_map(|event| event.aggregate.clone()).collect()
}

/// All that is told of events.
pub(super) fn lines(found: &[Event]) -> Vec<String> {
    found.iter().map(|event| line(event, true, true)).collect()
}

/// How they differ from what is expected, if they do.
pub(super) fn compare(found: &[Event], expected: &[Appended]) -> Option<String> {
    let mut stream = StreamId::new("", "");
    let mut wanted = Vec::with_capacity(expected.len());
    for event in expected {
        for (part, said) in [
            (&mut stream.tenant, &event.tenant),
            (&mut stream.aggregate, &event.aggregate),
            (&mut stream.id, &event.id),
        ] {
            if let Some(said) = said {
                part.clone_from(said);
            }
        }
        let mut text = format!("{} of {stream}", event.r#type);
        if let Some(version) = event.version {
            text.push_str(&format!(" in version {version}"));
        }
        if let Some(data) = &event.data {
            text.push_str(&format!(" {}", plain(data.clone())));
        }
        wanted.push(text);
    }
    // Of each as much as is expected of it.
    let as_asked = |(at, event): (usize, &Event)| {
        let asked = expected.get(at);
        let version = asked.is_some_and(|asked| asked.version.is_some());
        line(event, version, asked.is_none_or(|asked| asked.data.is_some()))
    };
    let found: Vec<String> = found.iter().enumerate().map(as_asked).collect();
    if wanted == found {
        return None;
    }
    let ops = capture_diff_slices(Algorithm::Myers, &wanted, &found);
    let changes = ops.iter().flat_map(|op: &DiffOp| op.iter_changes(&wanted, &found));
    let lines: Vec<String> = changes
        .map(|change| {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            format!("  {sign} {}", output::on_one_line(&change.value()))
        })
        .collect();
    Some(format!("appended: the events differ (- expected, + found)\n{}", lines.join("\n")))
}

fn line(event: &Event, version: bool, data: bool) -> String {
    let mut text = format!("{} of {}", event.event_type, event.stream);
    if version {
        text.push_str(&format!(" in version {}", event.schema_version));
    }
    if data {
        let data = serde_json::from_str(event.payload.get()).unwrap_or_default();
        text.push_str(&format!(" {}", plain(data)));
    }
    text
}

/// The data without what the store adds to it.
fn plain(mut data: Value) -> Value {
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
        fields.remove("version");
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::scenario::format::{Given, events};

    fn found(json: &str) -> Vec<Event> {
        events(&serde_json::from_str::<Vec<Given>>(json).unwrap()).unwrap()
    }

    #[test]
    fn events_are_held_against_what_is_said_of_them() {
        let found = found(
            r#"[{"type": "A", "aggregate": "X", "id": "1", "data": {"n": 1}},
                {"type": "B", "version": 2, "data": {"b": 2, "a": 1}}]"#,
        );
        let told =
            |json: &str| compare(&found, &serde_json::from_str::<Vec<Appended>>(json).unwrap());
        let all = r#"[{"type": "A", "aggregate": "X", "id": "1"},
                      {"type": "B", "version": 2, "data": {"a": 1, "b": 2}}]"#;
        assert_eq!(told(all), None);
        let fewer = told(r#"[{"type": "A", "aggregate": "X", "id": "1"}]"#).unwrap();
        assert!(fewer.ends_with("    A of X/1\n  + B of X/1 {\"a\":1,\"b\":2}"), "{fewer}");
        let other = told(&all.replace("\"a\": 1", "\"a\": 3")).unwrap();
        assert!(other.contains("- B of X/1 in version 2 {\"a\":3,\"b\":2}"), "{other}");
        let elsewhere = told(&all.replace("\"1\"", "\"2\"")).unwrap();
        assert!(
            elsewhere.contains("- A of X/2") && elsewhere.contains("+ A of X/1"),
            "{elsewhere}"
        );
    }
}
