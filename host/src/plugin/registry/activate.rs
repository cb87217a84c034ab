//! Making a version the active one.

use sqlx::PgConnection;

use super::Registry;
use crate::plugin::Plugin;
use crate::plugin::deployments::{self, Outcome};
use crate::plugin::settings::Start;
use crate::projection::{Description, Mode};

/// A version as the database keeps it.
pub(super) struct Stored<'a> {
    pub description: &'a Description,
    /// Its SHA-256, in hex.
    pub version: String,
    pub bytes: &'a [u8],
    pub imports: &'a [String],
}

impl<'a> Stored<'a> {
    fn of(plugin: &'a Plugin, bytes: &'a [u8]) -> Self {
        Self {
            description: &plugin.description,
            version: plugin.version.full(),
            bytes,
            imports: &plugin.imports,
        }
    }

    /// Where it is there already, its many bytes are not sent.
    async fn store(&self, conn: &mut PgConnection, outcome: &Outcome<'_>) -> anyhow::Result<()> {
        let (name, version) = (&self.description.name, &self.version);
        let kept = sqlx::query_file!("src/plugin/sql/version_hold.sql", name, version);
        if kept.fetch_optional(&mut *conn).await?.is_some() {
            return Ok(());
        }
        sqlx::query_file!(
            "src/plugin/sql/version_store.sql",
            name,
            version,
            self.bytes,
            serde_json::to_value(self.description)?,
            self.imports,
            outcome.origin.by,
            outcome.origin.source
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}

impl Registry {
    /// Stores a version and makes it the active one, for every host, and notes it. Answers its
    /// generation; nothing where `over` is a generation that is no longer the newest one.
    pub async fn activate(
        &self,
        plugin: &Plugin,
        bytes: &[u8],
        outcome: &Outcome<'_>,
        over: Option<i64>,
    ) -> anyhow::Result<Option<i64>> {
        let mut tx = self.pool.begin().await?;
        let generation = self.activate_in(&mut tx, plugin, bytes, outcome, over).await?;
        match generation {
            Some(_) => tx.commit().await?,
            None => tx.rollback().await?,
        }
        Ok(generation)
    }

    /// The same in a transaction of the caller's, which is to be rolled back where nothing is answered.
    pub async fn activate_in(
        &self,
        conn: &mut PgConnection,
        plugin: &Plugin,
        bytes: &[u8],
        outcome: &Outcome<'_>,
        over: Option<i64>,
    ) -> anyhow::Result<Option<i64>> {
        let version = Stored::of(plugin, bytes);
        self.activate_stored(conn, &version, outcome, over).await
    }

    pub(super) async fn activate_stored(
        &self,
        conn: &mut PgConnection,
        stored: &Stored<'_>,
        outcome: &Outcome<'_>,
        over: Option<i64>,
    ) -> anyhow::Result<Option<i64>> {
        let Stored { description, version, .. } = stored;
        let name = &description.name;
        let new = self.new.get(name).cloned().unwrap_or_default();
        let starts_after = new.start.position(&mut *conn).await?;
        stored.store(&mut *conn, outcome).await?;
        let row = sqlx::query_file!(
            "src/plugin/sql/activate.sql",
            name,
            description.mode.to_string(),
            version,
            new.shards,
            new.on_poison.as_str(),
            new.stream_order,
            new.topics.as_ref().map(serde_json::to_value).transpose()? as Option<serde_json::Value>,
            new.priority,
            starts_after,
            new.start == Start::All && description.mode == Mode::Async,
            over
        )
        .fetch_optional(&mut *conn)
        .await?;
        let Some(row) = row else { return Ok(None) };
        deployments::note(&mut *conn, name, version, outcome).await?;
        Ok(Some(row.generation))
    }

    /// Stores a version that becomes active when its projection comes to a position: the first one that is
    /// its own. In a transaction of the caller's, that keeps the checkpoints where they are.
    pub async fn schedule(
        &self,
        conn: &mut PgConnection,
        plugin: &Plugin,
        bytes: &[u8],
        outcome: &Outcome<'_>,
        position: i64,
    ) -> anyhow::Result<()> {
        let (name, version) = (&plugin.description.name, plugin.version.full());
        Stored::of(plugin, bytes).store(&mut *conn, outcome).await?;
        let origin = serde_json::json!({
            "by": outcome.origin.by,
            "source": outcome.origin.source,
            "tried": outcome.tried,
            "trial": outcome.trial,
        });
        sqlx::query_file!("src/plugin/sql/schedule.sql", name, version, position, origin)
            .execute(conn)
            .await?;
        Ok(())
    }
}
