//! Projections of the registry that are no plugins: relays, which are part of the host.

use super::activate::Stored;
use super::{Registered, Registry, registered};
use crate::plugin::{Action, Origin, Outcome};
use crate::projection::Description;

/// How the name of a relay's projection begins. No plugin can have such a name.
pub const RELAY: &str = "relay:";

impl Registered {
    /// Whether it is a relay, for which there is no component to be loaded.
    pub fn is_relay(&self) -> bool {
        self.name.starts_with(RELAY)
    }
}

impl Registry {
    /// Makes a relay a projection of the database, or what it does now the active version of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn register_relay(
        &self,
        description: &Description,
        version: &str,
    ) -> anyhow::Result<()> {
        let mut tx = self.pool.begin().await?;
        // Hosts that start together register it once.
        sqlx::query_file!("src/plugin/sql/relay_lock.sql", description.name)
            .execute(&mut *tx)
            .await?;
        let before =
            registered(&mut *tx).await?.into_iter().find(|row| row.name == description.name);
        let replaced = before.as_ref().map(|row| row.version.as_str());
        if replaced == Some(version) {
            return Ok(());
        }
        let origin = Origin {
            action: Action::Deploy,
            by: "the host",
            source: "the settings of the relay",
            reason: None,
        };
        let outcome = Outcome {
            origin: &origin,
            replaced,
            tried: 0,
            trial: None,
            rebuilt: false,
            error: None,
        };
        let stored = Stored { description, version: version.to_owned(), bytes: &[], imports: &[] };
        self.activate_stored(&mut tx, &stored, &outcome, None).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes what is in the way of a projection that runs, or that nothing is any more.
    pub async fn note_trouble(
        &self,
        name: &str,
        generation: i64,
        trouble: Option<&str>,
    ) -> sqlx::Result<()> {
        sqlx::query_file!("src/plugin/sql/trouble.sql", name, generation, trouble)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
