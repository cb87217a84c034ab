//! Which subject an event is published to.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::escape::token;
use crate::event::Event;

/// Bytes of the subject of an event, at most. A server ends the connection of a client that sends it a line of more than
/// 4,096 bytes, in which the subject is one of several.
pub(super) const LONGEST: usize = 1024;

/// A subject with places for what an event has: `events.{tenant}.{aggregate}.{type}`.
///
/// ```
/// use eventfabric::relay::Subject;
///
/// let subject: Subject = "events.{tenant}.{type}".parse().unwrap();
/// assert_eq!(subject.pattern(), "events.*.*");
/// assert!("events.>".parse::<Subject>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Subject(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Tenant,
    Aggregate,
    Id,
    Type,
    Topic,
}

const FIELDS: [(&str, Field); 5] = [
    ("tenant", Field::Tenant),
    ("aggregate", Field::Aggregate),
    ("id", Field::Id),
    ("type", Field::Type),
    ("topic", Field::Topic),
];

/// A text that is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the subject `{subject}` is wrong: {why}; it is made of parts between dots, of letters, digits, `-` and `_`, \
     and of the places {{tenant}}, {{aggregate}}, {{id}}, {{type}} and {{topic}}"
)]
pub struct InvalidSubject {
    subject: String,
    why: String,
}

impl Subject {
    /// The subject of an event. Where the event's aggregate has no topic, `_` takes its place.
    pub(super) fn of(&self, event: &Event, topic: Option<&str>) -> String {
        let mut subject = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => subject.push_str(text),
                Part::Field(Field::Tenant) => subject.push_str(&token(&event.stream.tenant)),
                Part::Field(Field::Aggregate) => subject.push_str(&token(&event.stream.aggregate)),
                Part::Field(Field::Id) => subject.push_str(&token(&event.stream.id)),
                Part::Field(Field::Type) => subject.push_str(&token(&event.event_type)),
                Part::Field(Field::Topic) => match topic.filter(|topic| !topic.is_empty()) {
                    Some(topic) => subject.push_str(&token(topic)),
                    None => subject.push('_'),
                },
            }
        }
        subject
    }

    /// All subjects that events can have.
    pub fn pattern(&self) -> String {
        let text = self.to_string();
        let parts = text.split('.').map(|part| if part.contains('{') { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let wrong = |why: &str| InvalidSubject { subject: text.to_owned(), why: why.to_owned() };
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(place) = rest.strip_prefix('{') {
                let (name, after) = place.split_once('}').ok_or_else(|| wrong("a `{` is open"))?;
                let field = FIELDS.iter().find(|(known, _)| *known == name);
                let (_, field) =
                    field.ok_or_else(|| wrong(&format!("there is no `{{{name}}}`")))?;
                parts.push(Part::Field(*field));
                rest = after;
            } else {
                let (plain, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if let Some(other) = plain.chars().find(|c| !is_plain(*c)) {
                    return Err(wrong(&format!("it holds {other:?}")));
                }
                parts.push(Part::Text(plain.to_owned()));
                rest = after;
            }
        }
        let subject = Self(parts);
        if subject.to_string().split('.').any(str::is_empty) {
            return Err(wrong("a part of it is empty"));
        }
        Ok(subject)
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(text: String) -> Result<Self, InvalidSubject> {
        text.parse()
    }
}

impl Subject {
    /// Whether the topic of an event is a part of it.
    pub(super) fn has_topic(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(Field::Topic)))
    }
}

impl serde::Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Field(field) => {
                    let name =
                        FIELDS.iter().find(|(_, known)| known == field).map(|(name, _)| name);
                    write!(f, "{{{}}}", name.unwrap_or(&""))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::event;
    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn an_event_cannot_choose_how_many_parts_its_subject_has() {
        let mut event = event();
        event.stream.tenant = "a.b".to_owned();
        event.stream.aggregate = ">".to_owned();
        event.stream.id = "*".to_owned();
        event.event_type = "x y.z".to_owned();
        let all = subject("e.{tenant}.{aggregate}-{id}.{type}.{topic}");
        assert_eq!(all.of(&event, Some("t.u")), "e.a%2Eb.%3E-%2A.x%20y%2Ez.t%2Eu");
        assert_eq!(all.of(&event, None), "e.a%2Eb.%3E-%2A.x%20y%2Ez._");
        assert_eq!(all.pattern(), "e.*.*.*.*");
        assert_eq!(subject("all").of(&event, None), "all");
    }

    #[test]
    fn what_is_no_subject_is_refused_and_told_why() {
        for (text, why) in [
            ("", "empty"),
            ("a..b", "empty"),
            (".a", "empty"),
            ("{type}.", "empty"),
            ("a.>", "'>'"),
            ("a.*", "'*'"),
            ("$JS.API", "'$'"),
            ("a b", "' '"),
            ("a.{type", "open"),
            ("a.type}", "'}'"),
            ("a.{payload}", "{payload}"),
        ] {
            let error = text.parse::<Subject>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
