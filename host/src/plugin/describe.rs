//! The description that a plugin gives of itself, checked: inside the host it can't be wrong.

use super::LoadError;
use super::version::check_name;
use crate::projection::Description;

/// Characters of what a plugin says of itself.
const TEXT_LENGTH: usize = 1000;
/// Characters of a topic, an event type or the name of a migration that a plugin names.
const LABEL_LENGTH: usize = 200;
/// Topics that a plugin names, and event types.
const LABELS: usize = 1000;
/// Migrations of a plugin.
const MIGRATIONS: usize = 1000;
/// Bytes of one migration of a plugin.
const MIGRATION_BYTES: usize = 1024 * 1024;

/// Checks what PostgreSQL or an operator would stumble over later.
pub fn check(description: Description) -> Result<Description, LoadError> {
    if let Err(reason) = check_name(&description.name) {
        return Err(LoadError::InvalidName { name: shorten(&description.name), reason });
    }
    invalid(&description).map_or(Ok(description), |what| Err(LoadError::InvalidDescription(what)))
}

fn invalid(description: &Description) -> Option<String> {
    use crate::projection::TopicFilter::{All, Exclude, Include};
    if description.text.chars().count() > TEXT_LENGTH || description.text.contains('\0') {
        return Some(format!("the text has more than {TEXT_LENGTH} characters, or a NUL"));
    }
    let topics = match &description.topics {
        All => &[][..],
        Include(topics) if topics.is_empty() => {
            return Some("it includes no topic at all and would never get an event".to_owned());
        }
        Include(topics) | Exclude(topics) => topics,
    };
    for (what, labels) in [("topic", topics), ("event type", &description.event_types[..])] {
        if labels.len() > LABELS {
            return Some(format!("it names more than {LABELS} of {what}"));
        }
        if let Some(label) = labels.iter().find(|label| !is_label(label)) {
            let label = shorten(label);
            return Some(format!("{what} {label:?}: 1 to {LABEL_LENGTH} characters, no NUL"));
        }
    }
    if description.migrations.len() > MIGRATIONS {
        return Some(format!("it has more than {MIGRATIONS} migrations"));
    }
    for (expected, step) in (1u32..).zip(&description.migrations) {
        let number = step.number;
        if number != expected {
            return Some(format!("migration {number} stands where {expected} must: 1, 2, 3, …"));
        }
        if !is_label(&step.name) {
            return Some(format!("the name of migration {number}: 1 to {LABEL_LENGTH} characters"));
        }
        if step.sql.trim().is_empty() || step.sql.len() > MIGRATION_BYTES || step.sql.contains('\0')
        {
            return Some(format!(
                "migration {number} is empty, above {MIGRATION_BYTES} bytes, or has a NUL"
            ));
        }
    }
    None
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().count() <= LABEL_LENGTH && !label.contains('\0')
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{Migration, Mode, TopicFilter};

    fn description(name: &str) -> Description {
        Description {
            name: name.to_owned(),
            text: "Counts.".to_owned(),
            mode: Mode::CatchUp,
            topics: TopicFilter::All,
            event_types: vec!["Opened".to_owned()],
            migrations: vec![step(1), step(2)],
        }
    }

    fn step(number: u32) -> Migration {
        Migration { number, name: "step".to_owned(), sql: "CREATE TABLE t ()".to_owned() }
    }

    #[test]
    fn a_good_description_passes_unchanged() {
        assert_eq!(check(description("counts")).unwrap(), description("counts"));
    }

    #[test]
    fn a_bad_name_says_which_and_why() {
        let error = check(description("pg_counts")).unwrap_err().to_string();
        assert!(error.contains("pg_counts") && error.contains("PostgreSQL"), "{error}");
    }

    #[test]
    fn migrations_are_numbered_without_holes() {
        for numbers in [&[2][..], &[1, 3], &[1, 1], &[0]] {
            let migrations = numbers.iter().copied().map(step).collect();
            let error = check(Description { migrations, ..description("counts") }).unwrap_err();
            assert!(matches!(error, LoadError::InvalidDescription(_)), "{error}");
        }
    }

    #[test]
    fn labels_that_can_match_nothing_are_refused() {
        let labels = [String::new(), "x".repeat(201), "a\0b".to_owned()];
        for label in labels {
            let event_types = vec![label];
            assert!(check(Description { event_types, ..description("counts") }).is_err());
        }
        let topics = TopicFilter::Include(Vec::new());
        assert!(check(Description { topics, ..description("counts") }).is_err());
    }
}
