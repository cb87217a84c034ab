//! Every limit of a plugin, in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a plugin may use. In settings, a time is text such as `"10s"` or a number of
/// milliseconds, and a size is a number of bytes.
///
/// Those of the engine (memory, table elements, stack, instances) are the same for all plugins of
/// a [`Runtime`](super::Runtime), for its pool is laid out by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of a component, in bytes. Python takes 18 MB.
    pub component_bytes: usize,
    /// Time on processors for compiling a component, where that is done in a process of its own; by the
    /// clock it may take five times that. Python takes 25 s.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub compile_time: Duration,
    /// Memory of that process, in bytes; 4 MB of Rust take some 50 MB, Python takes 300.
    pub compile_memory: usize,
    /// Linear memory of an instance, all its memories together, in bytes. More is refused as a
    /// machine would: `memory.grow` answers -1.
    pub memory_bytes: usize,
    /// Elements of one table of an instance.
    pub table_elements: usize,
    /// Stack of an instance, in bytes.
    pub stack_bytes: usize,
    /// Instances that may run at the same time, and as many of inline plugins and of reactors beside them.
    /// Others wait for a place, at most [`Self::batch`].
    pub instances: u32,
    /// Time for a batch: start of the instance, the plugin's own work and its SQL.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub batch: Duration,
    /// Time for `describe`, the start of the instance included.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub describe: Duration,
    /// Time for the answer to a query: waiting for a connection and an instance, the plugin's own work
    /// and its SQL.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub query: Duration,
    /// Calls of the host's functions in a batch, whichever.
    pub host_calls: u64,
    /// Statements in a batch; each call of an `execute-batch` is one.
    pub statements: u64,
    /// Rows that the statements of a batch may write, as `execute` tells them; what one statement writes
    /// beside that (in a `WITH`, by ON DELETE CASCADE) is not counted.
    pub rows_written: u64,
    /// Bytes of statements and parameters in a batch. One call may bring in as much.
    pub parameter_bytes: usize,
    /// Events that a batch may append.
    pub events_appended: u64,
    /// Bytes of payload that a batch may append.
    pub appended_bytes: usize,
    /// How long a chain of events may be that plugins have appended, each as an answer to the one before.
    pub chain: u32,
    /// Requests to other systems in a batch.
    pub requests: u32,
    /// Time for a request, from the connection to the last byte of the answer.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub request_time: Duration,
    /// Time for all requests of a batch together, beside [`Self::batch`]. Meanwhile a transaction is open.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "duration")]
    pub request_time_total: Duration,
    /// Bytes of a request: address, headers and body.
    pub request_bytes: usize,
    /// Bytes of an answer: headers and body.
    pub answer_bytes: usize,
    /// Lines that a batch may log; what it prints is counted, too.
    pub log_lines: u32,
    /// Length of a logged line, in bytes; the rest is cut off.
    pub log_line_bytes: usize,
    /// What is different for single plugins, by name.
    pub plugin: BTreeMap<String, PluginLimits>,
}

/// What one plugin may use, where that differs from what all may: `[limits.plugin.NAME]` in the
/// settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// See [`Limits::memory_bytes`]; not more than that.
    pub memory_bytes: Option<usize>,
    /// See [`Limits::table_elements`]; not more than that.
    pub table_elements: Option<usize>,
    /// See [`Limits::batch`].
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "some_duration")]
    pub batch: Option<Duration>,
    /// See [`Limits::query`].
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "some_duration")]
    pub query: Option<Duration>,
    /// See [`Limits::host_calls`].
    pub host_calls: Option<u64>,
    /// See [`Limits::statements`].
    pub statements: Option<u64>,
    /// See [`Limits::rows_written`].
    pub rows_written: Option<u64>,
    /// See [`Limits::parameter_bytes`].
    pub parameter_bytes: Option<usize>,
    /// See [`Limits::events_appended`].
    pub events_appended: Option<u64>,
    /// See [`Limits::appended_bytes`].
    pub appended_bytes: Option<usize>,
    /// See [`Limits::chain`].
    pub chain: Option<u32>,
    /// See [`Limits::requests`].
    pub requests: Option<u32>,
    /// See [`Limits::request_time`].
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "some_duration")]
    pub request_time: Option<Duration>,
    /// See [`Limits::request_time_total`].
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "some_duration")]
    pub request_time_total: Option<Duration>,
    /// See [`Limits::request_bytes`].
    pub request_bytes: Option<usize>,
    /// See [`Limits::answer_bytes`].
    pub answer_bytes: Option<usize>,
    /// See [`Limits::log_lines`].
    pub log_lines: Option<u32>,
    /// See [`Limits::log_line_bytes`].
    pub log_line_bytes: Option<usize>,
}

impl Limits {
    /// The limits of one plugin.
    #[must_use]
    pub fn of(&self, plugin: &str) -> Self {
        let mut limits = self.clone();
        limits.plugin.clear();
        let Some(own) = self.plugin.get(plugin) else { return limits };
        let set = |limit: &mut usize, own: Option<usize>| *limit = own.unwrap_or(*limit);
        set(&mut limits.memory_bytes, own.memory_bytes);
        set(&mut limits.table_elements, own.table_elements);
        set(&mut limits.parameter_bytes, own.parameter_bytes);
        set(&mut limits.appended_bytes, own.appended_bytes);
        set(&mut limits.log_line_bytes, own.log_line_bytes);
        set(&mut limits.request_bytes, own.request_bytes);
        set(&mut limits.answer_bytes, own.answer_bytes);
        let time = |limit: &mut Duration, own: Option<Duration>| *limit = own.unwrap_or(*limit);
        time(&mut limits.request_time, own.request_time);
        time(&mut limits.request_time_total, own.request_time_total);
        limits.requests = own.requests.unwrap_or(limits.requests);
        limits.batch = own.batch.unwrap_or(limits.batch);
        limits.query = own.query.unwrap_or(limits.query);
        limits.host_calls = own.host_calls.unwrap_or(limits.host_calls);
        limits.statements = own.statements.unwrap_or(limits.statements);
        limits.rows_written = own.rows_written.unwrap_or(limits.rows_written);
        limits.events_appended = own.events_appended.unwrap_or(limits.events_appended);
        limits.chain = own.chain.unwrap_or(limits.chain);
        limits.log_lines = own.log_lines.unwrap_or(limits.log_lines);
        limits
    }

    /// Refuses what the pool of instances, which is the same for all, has no room for.
    ///
    /// # Errors
    /// Names the plugin and the limit.
    pub fn check(&self) -> anyhow::Result<()> {
        for (plugin, own) in &self.plugin {
            for (name, own, all) in [
                ("memory_bytes", own.memory_bytes, self.memory_bytes),
                ("table_elements", own.table_elements, self.table_elements),
            ] {
                anyhow::ensure!(
                    own.is_none_or(|own| own <= all),
                    "limits.plugin.{plugin}.{name} is more than limits.{name}, which is {all}: raise \
                     that, too"
                );
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 64 * MIB,
            compile_time: Duration::from_secs(120),
            compile_memory: 2048 * MIB,
            memory_bytes: 256 * MIB,
            table_elements: 100_000,
            stack_bytes: 512 * KIB,
            instances: 64,
            batch: Duration::from_secs(10),
            describe: Duration::from_secs(2),
            query: Duration::from_secs(5),
            host_calls: 100_000,
            statements: 100_000,
            rows_written: 1_000_000,
            parameter_bytes: 64 * MIB,
            events_appended: 1000,
            appended_bytes: 4 * MIB,
            chain: 16,
            requests: 20,
            request_time: Duration::from_secs(10),
            request_time_total: Duration::from_secs(20),
            request_bytes: MIB,
            answer_bytes: MIB,
            log_lines: 1000,
            log_line_bytes: 4 * KIB,
            plugin: BTreeMap::new(),
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

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
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
        assert_eq!(limits.compile_time, Duration::from_secs(120));
        assert_eq!(limits.compile_memory, 2_147_483_648);
        assert_eq!(limits.memory_bytes, 268_435_456);
        assert_eq!(limits.stack_bytes, 524_288);
        assert_eq!(limits.batch, Duration::from_secs(10));
        assert_eq!(limits.describe, Duration::from_secs(2));
        assert_eq!(limits.query, Duration::from_secs(5));
        assert_eq!(
            (limits.events_appended, limits.appended_bytes, limits.chain),
            (1000, 4 << 20, 16)
        );
        assert_eq!((limits.requests, limits.request_bytes, limits.answer_bytes), (20, MIB, MIB));
        assert_eq!(limits.request_time, Duration::from_secs(10));
        assert_eq!(limits.request_time_total, Duration::from_secs(20));
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
    fn a_plugin_can_have_limits_of_its_own_within_what_the_pool_has_room_for() {
        let limits = parse(
            r#"{"batch": "5s", "plugin": {"slow": {"batch": "1m", "statements": 7, "rows_written": 8},
                                          "small": {"memory_bytes": 1048576}}}"#,
        )
        .unwrap();
        limits.check().unwrap();
        let (slow, small, other) = (limits.of("slow"), limits.of("small"), limits.of("other"));
        assert_eq!((slow.batch, slow.statements), (Duration::from_secs(60), 7));
        assert_eq!((small.batch, small.memory_bytes), (Duration::from_secs(5), 1 << 20));
        assert_eq!((slow.rows_written, small.rows_written), (8, 1_000_000));
        assert_eq!(slow.memory_bytes, Limits::default().memory_bytes);
        assert_eq!(other, Limits { batch: Duration::from_secs(5), ..Limits::default() });
        assert!(
            parse(r#"{"plugin": {"p": {"instances": 1}}}"#).is_err(),
            "the pool is one for all"
        );
        let large = parse(r#"{"plugin": {"p": {"memory_bytes": 4294967296}}}"#).unwrap();
        let error = large.check().unwrap_err().to_string();
        assert!(error.contains("limits.plugin.p.memory_bytes"), "{error}");
    }

    #[test]
    fn a_misspelt_limit_is_an_error() {
        let error = parse(r#"{"memory": 1}"#).unwrap_err().to_string();
        assert!(error.contains("memory_bytes"), "{error}");
    }
}
