//! A projection as a host runs it.

use std::sync::Arc;

use super::Plugin;
use super::costs::Meter;
use super::registry::PluginConfig;
use super::settings::ProjectionSettings;
use crate::event::Event;
use crate::projection::{Mode, TopicFilter};
use crate::sandbox::PluginSql;

/// A projection that this host can run.
pub struct Active {
    /// The code.
    pub plugin: Arc<Plugin>,
    /// Its way to the database.
    pub sql: Arc<PluginSql>,
    /// Its settings.
    pub config: PluginConfig,
    /// Which activation this is.
    pub generation: i64,
    /// What was decided for it.
    pub settings: ProjectionSettings,
    /// Counts what it costs.
    pub meter: Arc<Meter>,
}

impl Active {
    /// Whether an event is for this projection: by its type, by its position and, for an async one, by
    /// its topic.
    pub fn wants(&self, event: &Event) -> bool {
        event.position > self.settings.starts_after && self.takes(event)
    }

    /// The same wherever the event is: for one that the projection was to have before.
    pub fn takes(&self, event: &Event) -> bool {
        let description = &self.plugin.description;
        description.wants_type(&event.event_type)
            && (description.mode != Mode::Async || self.topics().matches(event.topic.as_deref()))
    }

    /// The topics that an async projection takes: those that were decided for it, or those that the
    /// plugin names.
    pub fn topics(&self) -> &TopicFilter {
        self.settings.topics.as_ref().unwrap_or(&self.plugin.description.topics)
    }
}
