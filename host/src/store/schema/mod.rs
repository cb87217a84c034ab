//! JSON Schemas of events, registered by type and version. Appends are checked against those that are
//! enforced.

mod check;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::code::codes;

pub(super) use check::Enforced;
pub use check::EventChecker;

/// Bytes of a schema of events, at most.
pub const MAX_SCHEMA_BYTES: usize = 1024 * 1024;

/// A registered schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventSchema {
    /// Of events of this type,
    pub event_type: String,
    /// and this version of their payload.
    pub schema_version: i32,
    /// The JSON Schema.
    pub schema: Value,
    /// An append of an event that does not fit is refused.
    pub enforced: bool,
    /// When.
    pub registered_at: DateTime<Utc>,
    /// By whom, as they said.
    pub registered_by: Option<String>,
}

/// Why a schema is not registered.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON Schema, or one that cannot be used here.
    #[error("{0}")]
    Invalid(String),
    /// Another one has its place.
    #[error(
        "version {schema_version} of {event_type} has another schema already; what was written under it is \
         read by it: give the next version of the payload its own schema, or remove this one first"
    )]
    Taken {
        /// Of the schema.
        event_type: String,
        /// Of the schema.
        schema_version: i32,
    },
    /// PostgreSQL said no, or could not be reached.
    #[error("{}", super::describe(.0))]
    Database(#[from] sqlx::Error),
}

codes!(SchemaError {
    Self::Invalid(_) => "schema-invalid",
    Self::Taken { .. } => "schema-taken",
} else {
    Self::Database(error) => error,
});

/// The registered schemas, of one type or of all, and of one version or of all, by type and version.
///
/// # Errors
/// The database's.
pub async fn schemas(
    executor: impl PgExecutor<'_>,
    event_type: Option<&str>,
    schema_version: Option<i32>,
) -> sqlx::Result<Vec<EventSchema>> {
    let rows = sqlx::query_file!("src/store/sql/schemas_read.sql", event_type, schema_version)
        .fetch_all(executor)
        .await?;
    let schemas = rows.into_iter().map(|row| EventSchema {
        event_type: row.event_type,
        schema_version: row.schema_version,
        schema: row.schema.0,
        enforced: row.enforced,
        registered_at: row.registered_at,
        registered_by: row.registered_by,
    });
    Ok(schemas.collect())
}

/// Registers a schema (a draft of 4 to 2020-12, the last one where it does not say) for a version (from 1)
/// of an event type. What is appended after that is checked by every host, where the schema is enforced.
/// What is in the log is not looked at.
///
/// The same schema once more changes no more than whether it is enforced.
///
/// # Errors
/// [`SchemaError`].
pub async fn register_schema(
    executor: impl PgExecutor<'_>,
    event_type: &str,
    schema_version: i32,
    schema: &Value,
    enforced: bool,
    by: Option<&str>,
) -> Result<(), SchemaError> {
    if event_type.is_empty() || event_type.contains('\0') {
        return Err(SchemaError::Invalid("an event type is not empty and has no NUL".to_owned()));
    }
    if schema_version < 1 {
        return Err(SchemaError::Invalid("versions of payloads begin with 1".to_owned()));
    }
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(SchemaError::Invalid(format!(
            "the schema has more than {} KiB",
            MAX_SCHEMA_BYTES / 1024
        )));
    }
    EventChecker::new(schema).map_err(SchemaError::Invalid)?;
    let registered = sqlx::query_file!(
        "src/store/sql/schema_register.sql",
        event_type,
        schema_version,
        Json(schema) as _,
        enforced,
        by
    )
    .fetch_optional(executor)
    .await?;
    match registered {
        Some(_) => Ok(()),
        None => Err(SchemaError::Taken { event_type: event_type.to_owned(), schema_version }),
    }
}

/// Has appends checked against a registered schema, or no longer. `false` where there is none.
///
/// # Errors
/// The database's.
pub async fn enforce_schema(
    executor: impl PgExecutor<'_>,
    event_type: &str,
    schema_version: i32,
    enforced: bool,
) -> sqlx::Result<bool> {
    let file =
        sqlx::query_file!("src/store/sql/schema_enforce.sql", event_type, schema_version, enforced);
    Ok(file.fetch_optional(executor).await?.is_some())
}

/// Forgets a registered schema. `false` where there is none.
///
/// # Errors
/// The database's.
pub async fn remove_schema(
    executor: impl PgExecutor<'_>,
    event_type: &str,
    schema_version: i32,
) -> sqlx::Result<bool> {
    let file = sqlx::query_file!("src/store/sql/schema_remove.sql", event_type, schema_version);
    Ok(file.fetch_optional(executor).await?.is_some())
}
