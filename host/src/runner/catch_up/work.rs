//! Who handles the batches of a catch-up projection, under one activation: a plugin, or a relay, which is
//! part of the host.

use std::sync::Arc;
use std::time::Duration;

use super::super::answers::ANSWERED;
use super::super::config::CatchUpConfig;
use super::super::relay::Relay;
use crate::event::Event;
use crate::plugin::{Active, ProjectionSettings, Snapshot};
use crate::trace;

/// How long a batch may take, about, that can append events.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);

/// Who handles batches.
#[derive(Clone)]
pub(super) enum Work {
    /// The active version of a plugin.
    Plugin(Arc<Active>),
    /// A relay.
    Relay {
        /// What it does.
        relay: Arc<Relay>,
        /// Which activation this is.
        generation: i64,
        /// What was decided for it.
        settings: Arc<ProjectionSettings>,
    },
}

impl Work {
    /// What this host has for the activation that the registry knows. Nothing where that is of another
    /// version than this host's.
    pub(super) fn find(
        snapshot: &Snapshot,
        name: &str,
        relay: Option<&Arc<Relay>>,
    ) -> Option<Self> {
        let Some(relay) = relay else {
            return snapshot.current(name).cloned().map(Self::Plugin);
        };
        let row = snapshot.registered.get(name)?;
        (row.version == relay.version()).then(|| Self::Relay {
            relay: relay.clone(),
            generation: row.generation,
            settings: Arc::new(row.settings.clone()),
        })
    }

    pub(super) fn generation(&self) -> i64 {
        match self {
            Self::Plugin(active) => active.generation,
            Self::Relay { generation, .. } => *generation,
        }
    }

    /// Whether all that it does is undone with its transaction.
    pub(super) fn is_confined(&self) -> bool {
        match self {
            Self::Plugin(active) => active.plugin.is_confined(),
            Self::Relay { .. } => false,
        }
    }

    /// The plugin, where it may begin with events before their transaction: then all that it does is in that.
    /// (The spans of a call are part of that of its transaction.)
    pub(super) fn can_begin(&self) -> Option<Arc<Active>> {
        match self {
            Self::Plugin(active) if self.is_confined() && !trace::is_on() => Some(active.clone()),
            _ => None,
        }
    }

    pub(super) fn settings(&self) -> &ProjectionSettings {
        match self {
            Self::Plugin(active) => &active.settings,
            Self::Relay { settings, .. } => settings,
        }
    }

    /// The version, in hex.
    pub(super) fn version(&self) -> String {
        match self {
            Self::Plugin(active) => active.plugin.version.full(),
            Self::Relay { relay, .. } => relay.version(),
        }
    }

    /// How long a batch may take.
    pub(super) fn time(&self) -> Duration {
        match self {
            Self::Plugin(active) => active.plugin.limits().batch,
            Self::Relay { relay, .. } => relay.time,
        }
    }

    /// The types of its events; empty for all.
    pub(super) fn types(&self) -> &[String] {
        match self {
            Self::Plugin(active) => &active.plugin.description.event_types,
            Self::Relay { relay, .. } => &relay.types,
        }
    }

    /// The kinds of aggregate of its events; empty for all.
    pub(super) fn aggregates(&self) -> &[String] {
        match self {
            Self::Plugin(_) => &[],
            Self::Relay { relay, .. } => &relay.aggregates,
        }
    }

    /// Whether an event is for it.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match self {
            Self::Plugin(active) => active.wants(event),
            Self::Relay { relay, settings, .. } => {
                event.position > settings.starts_after && relay.wants(event)
            }
        }
    }

    /// How its batches are cut. One that appends holds positions of the log and streams until it commits: all
    /// readers wait for the one, writers for the other.
    pub(super) fn pace(&self, config: &CatchUpConfig) -> CatchUpConfig {
        let mut config = config.clone();
        match self {
            Self::Plugin(active) if active.plugin.is_process_manager() => {
                config.batch = config.batch.min(ANSWERED);
                config.batch_time = config.batch_time.min(ANSWERED_WITHIN);
            }
            Self::Plugin(_) => {}
            Self::Relay { relay, .. } => config.batch = config.batch.min(relay.batch),
        }
        config
    }
}
