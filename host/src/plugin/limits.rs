//! Every limit of a plugin, in one place.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a plugin may use. In settings, a time is text such as `"10s"` or a number of
/// milliseconds, and a size is a number of bytes.
///
/// Those of the engine (memory, table elements, stack, instances) are the same for all plugins of
/// a [`Runtime`](super::Runtime), for its pool is laid out by them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of a component, in bytes. Python takes 18 MB.
    pub component_bytes: usize,
    /// Linear memory of an instance, all its memories together, in bytes. More is refused as a
    /// machine would: `memory.grow` answers -1.
    pub memory_bytes: usize,
    /// Elements of one table of an instance.
    pub table_elements: usize,
    /// Stack of an instance, in bytes.
    pub stack_bytes: usize,
    /// Instances that may run at the same time. Others wait for a place, at most [`Self::batch`].
    pub instances: u32,
    /// Time for a batch: start of the instance, the plugin's own work and its SQL.
    #[serde(deserialize_with = "duration")]
    pub batch: Duration,
    /// Time for `describe`, the start of the instance included.
    #[serde(deserialize_with = "duration")]
    pub describe: Duration,
    /// Calls of the host's functions in a batch, whichever.
    pub host_calls: u64,
    /// Statements in a batch; each call of an `execute-batch` is one.
    pub statements: u64,
    /// Bytes of statements and parameters in a batch. One call may bring in as much.
    pub parameter_bytes: usize,
    /// Lines that a batch may log; what it prints is counted, too.
    pub log_lines: u32,
    /// Length of a logged line, in bytes; the rest is cut off.
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 64 * MIB,
            memory_bytes: 256 * MIB,
            table_elements: 100_000,
            stack_bytes: 512 * KIB,
            instances: 64,
            batch: Duration::from_secs(10),
            describe: Duration::from_secs(2),
            host_calls: 100_000,
            statements: 100_000,
            parameter_bytes: 64 * MIB,
            log_lines: 1000,
            log_line_bytes: 4 * KIB,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a time such as \"10s\", or a number of milliseconds")]
    enum Form {
        Milliseconds(u64),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Milliseconds(ms) => Ok(Duration::from_millis(ms)),
        Form::Text(text) => humantime::parse_duration(&text).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Limits, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let limits = parse("{}").unwrap();
        assert_eq!(limits, Limits::default());
        assert_eq!(limits.component_bytes, 67_108_864);
        assert_eq!(limits.memory_bytes, 268_435_456);
        assert_eq!(limits.stack_bytes, 524_288);
        assert_eq!(limits.batch, Duration::from_secs(10));
        assert_eq!(limits.describe, Duration::from_secs(2));
        assert_eq!((limits.log_lines, limits.log_line_bytes), (1000, 4096));
    }

    #[test]
    fn times_are_text_or_milliseconds() {
        let limits = parse(r#"{"batch": "1m 30s", "describe": 250}"#).unwrap();
        assert_eq!(limits.batch, Duration::from_secs(90));
        assert_eq!(limits.describe, Duration::from_millis(250));
        assert!(parse(r#"{"batch": "soon"}"#).is_err());
        assert!(parse(r#"{"batch": -1}"#).is_err());
    }

    #[test]
    fn a_misspelt_limit_is_an_error() {
        let error = parse(r#"{"memory": 1}"#).unwrap_err().to_string();
        assert!(error.contains("memory_bytes"), "{error}");
    }
}
