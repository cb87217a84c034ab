//! Every limit of a plugin's SQL, in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{SqlError, SqlErrorKind};

/// The limits of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Different texts that a plugin may use. More means that it glues values into its SQL.
    pub max_statements: usize,
    /// Bytes of one text.
    pub max_statement_bytes: usize,
    /// Rows that one query may return.
    pub max_rows: usize,
    /// Bytes that one query may return, in PostgreSQL's binary form.
    pub max_result_bytes: usize,
    /// Bytes that a plugin's tables may take with their indexes, those of a rebuild included. Looked at
    /// every ten seconds or 100,000 rows. Beyond it the projection stops; none: no limit.
    pub schema_bytes: Option<u64>,
    /// Tables, partitions, indexes, sequences and views that a plugin may have.
    pub max_relations: usize,
    /// Stands in front of a plugin's name in the name of its schema.
    pub schema_prefix: String,
    /// Versions use no statement that was not known when they became active.
    pub strict: bool,
    /// Run plugins although the host connects as a superuser: whatever got past both walls could do
    /// anything on the server.
    pub allow_superuser: bool,
    /// How long all migrations of one deploy may take together.
    #[serde(with = "humantime_serde")]
    pub migration_timeout: Duration,
    /// What is different for single plugins, by name.
    pub plugin: BTreeMap<String, SqlLimits>,
}

/// What one plugin's SQL may do, where that differs: `[sandbox.plugin.NAME]` in the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqlLimits {
    /// See [`SandboxConfig::max_statements`].
    pub max_statements: Option<usize>,
    /// See [`SandboxConfig::max_statement_bytes`].
    pub max_statement_bytes: Option<usize>,
    /// See [`SandboxConfig::max_rows`].
    pub max_rows: Option<usize>,
    /// See [`SandboxConfig::max_result_bytes`].
    pub max_result_bytes: Option<usize>,
    /// See [`SandboxConfig::strict`].
    pub strict: Option<bool>,
    /// See [`SandboxConfig::schema_bytes`].
    pub schema_bytes: Option<u64>,
    /// See [`SandboxConfig::max_relations`].
    pub max_relations: Option<usize>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            max_statements: 200,
            max_statement_bytes: 64 << 10,
            max_rows: 10_000,
            max_result_bytes: 16 << 20,
            schema_bytes: None,
            max_relations: 500,
            schema_prefix: String::new(),
            strict: false,
            allow_superuser: false,
            migration_timeout: Duration::from_secs(600),
            plugin: BTreeMap::new(),
        }
    }
}

impl SandboxConfig {
    /// Whether a statement is short enough to be looked at.
    pub(super) fn allows_text(&self, text: &str) -> Result<(), SqlError> {
        if text.len() <= self.max_statement_bytes {
            return Ok(());
        }
        let message = format!("the statement is longer than {} bytes", self.max_statement_bytes);
        Err(SqlError::new(SqlErrorKind::Limit, message))
    }

    /// The limits of one plugin.
    #[must_use]
    pub fn of(&self, plugin: &str) -> Self {
        let mut config = self.clone();
        config.plugin.clear();
        let Some(own) = self.plugin.get(plugin) else { return config };
        let set = |limit: &mut usize, own: Option<usize>| *limit = own.unwrap_or(*limit);
        set(&mut config.max_statements, own.max_statements);
        set(&mut config.max_statement_bytes, own.max_statement_bytes);
        set(&mut config.max_rows, own.max_rows);
        set(&mut config.max_result_bytes, own.max_result_bytes);
        config.strict = own.strict.unwrap_or(config.strict);
        set(&mut config.max_relations, own.max_relations);
        config.schema_bytes = own.schema_bytes.or(config.schema_bytes);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let config: SandboxConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config, SandboxConfig::default());
        assert_eq!((config.max_statements, config.max_statement_bytes), (200, 65_536));
        assert_eq!((config.max_rows, config.max_result_bytes), (10_000, 16_777_216));
        assert_eq!((config.schema_bytes, config.max_relations), (None, 500));
        assert_eq!(config.migration_timeout, Duration::from_secs(600));
        assert!(!config.strict && !config.allow_superuser);
    }

    #[test]
    fn a_plugin_can_have_limits_of_its_own() {
        let json = r#"{"max_rows": 5, "strict": true, "schema_bytes": 7,
                       "plugin": {"wide": {"max_rows": 50, "strict": false, "schema_bytes": 9}}}"#;
        let config: SandboxConfig = serde_json::from_str(json).unwrap();
        assert!(config.of("other").strict && !config.of("wide").strict);
        assert_eq!((config.of("wide").max_rows, config.of("other").max_rows), (50, 5));
        assert_eq!(
            (config.of("wide").schema_bytes, config.of("other").schema_bytes),
            (Some(9), Some(7))
        );
        assert_eq!(config.of("wide").max_statements, 200);
        let wrong = r#"{"plugin": {"p": {"schema_prefix": "x"}}}"#;
        assert!(serde_json::from_str::<SandboxConfig>(wrong).is_err());
    }
}
