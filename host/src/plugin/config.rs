//! Settings of plugins in the database: they win over those of the settings file, key by key, and are the
//! same for all hosts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use super::settings::renew;
use super::version::check_name;
use crate::code::codes;

/// Bytes of the key of a plugin's setting in the database.
const KEY: usize = 128;
/// Bytes of the value of a plugin's setting in the database.
const VALUE: usize = 64 * 1024;
/// Settings of one plugin in the database.
const SETTINGS: i64 = 256;

/// A setting that the database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// Its name.
    pub key: String,
    /// What the plugin is answered.
    pub value: String,
    /// Since when.
    pub set_at: DateTime<Utc>,
    /// Who said so.
    pub set_by: Option<String>,
}

/// Why no setting was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name, key or value that can't be.
    #[error("{0}")]
    Value(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

codes!(ConfigError {
    Self::Value(_) => "invalid-value",
} else {
    Self::Database(error) => error,
});

/// The settings of a plugin that the database has, by key.
///
/// # Errors
/// The database's.
pub async fn config(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Vec<ConfigValue>> {
    sqlx::query_file_as!(ConfigValue, "src/plugin/sql/config.sql", name).fetch_all(executor).await
}

/// Changes settings of a plugin, which need not have been deployed yet: `None` takes one away. With `only`,
/// those that are not named go, too. All hosts follow within a second, and no batch sees both. Answers
/// whether anything was changed.
///
/// # Errors
/// [`ConfigError::Value`], [`ConfigError::Database`].
pub async fn set_config(
    pool: &PgPool,
    name: &str,
    changes: &BTreeMap<String, Option<String>>,
    only: bool,
    by: &str,
) -> Result<bool, ConfigError> {
    check_name(name).map_err(|why| ConfigError::Value(format!("`{name}`: {why}")))?;
    changes.iter().try_for_each(|(key, value)| check(key, value.as_deref()))?;
    let (mut set, mut values, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in changes {
        match value {
            Some(value) => {
                set.push(key.clone());
                values.push(value.clone());
            }
            None => gone.push(key.clone()),
        }
    }
    let mut tx = pool.begin().await?;
    let changed: Vec<String> =
        sqlx::query_file!("src/plugin/sql/config_change.sql", name, &set, &values, &gone, only, by)
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .map(|row| row.change)
            .collect();
    if changed.is_empty() {
        return Ok(false);
    }
    let count =
        sqlx::query_file!("src/plugin/sql/config_count.sql", name).fetch_one(&mut *tx).await?;
    if count.count > SETTINGS {
        return Err(ConfigError::Value(format!("a plugin can have {SETTINGS} settings here")));
    }
    // Values can be secret, and what was is kept for ever.
    sqlx::query_file!("src/plugin/sql/config_note.sql", name, changed.join(", "), by)
        .execute(&mut *tx)
        .await?;
    renew(&mut *tx, name).await?;
    tx.commit().await?;
    Ok(true)
}

fn check(key: &str, value: Option<&str>) -> Result<(), ConfigError> {
    if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
        return Err(ConfigError::Value(format!(
            "the key {key:?}: give 1 to {KEY} bytes without control characters"
        )));
    }
    match value {
        Some(value) if value.len() > VALUE || value.contains('\0') => Err(ConfigError::Value(
            format!("the value of `{key}`: give at most {VALUE} bytes without NUL"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_values_can_be_stored() {
        assert!(check("region", Some("eu\n")).is_ok() && check("région", None).is_ok());
        for key in ["", "a\nb", &"k".repeat(KEY + 1)] {
            assert!(check(key, None).is_err(), "{key:?}");
        }
        assert!(check("k", Some("a\0b")).is_err());
        assert!(check("k", Some(&"v".repeat(VALUE + 1))).is_err());
    }
}
