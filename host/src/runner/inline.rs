//! Inline projections: they run in the transaction of the append, in the order of their names.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::db::Tx;
use crate::event::Event;
use crate::plugin::Registry;
use crate::projection::{FailureKind, Mode};
use crate::store::{Epoch, Inline, InlineFailure};

/// The inline plugins of the registry.
pub struct InlinePlugins {
    registry: Arc<Registry>,
}

impl InlinePlugins {
    /// The inline plugins of this registry, as it changes.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}

impl Inline for InlinePlugins {
    fn epoch(&self) -> Epoch {
        let snapshot = self.registry.snapshot();
        Epoch {
            number: snapshot.epoch(Mode::Inline),
            is_empty: snapshot.of_mode(Mode::Inline).next().is_none(),
        }
    }

    fn refresh(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        self.registry.sync().boxed()
    }

    fn run<'a>(
        &'a self,
        tx: Tx,
        epoch: i64,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<Tx, InlineFailure>> {
        self.run_all(tx, epoch, events).boxed()
    }
}

impl InlinePlugins {
    async fn run_all(&self, mut tx: Tx, epoch: i64, events: &[Event]) -> Result<Tx, InlineFailure> {
        let snapshot = self.registry.snapshot();
        if snapshot.epoch(Mode::Inline) != epoch {
            return Err(InlineFailure {
                plugin: "(any)".to_owned(),
                version: String::new(),
                event: None,
                message: "other inline plugins became active during the append".to_owned(),
                retryable: true,
                outdated: true,
            });
        }
        for (registered, active) in snapshot.of_mode(Mode::Inline) {
            let refused = |event: Option<&Event>, message: String, retryable: bool| InlineFailure {
                plugin: registered.name.clone(),
                version: registered.version[..12.min(registered.version.len())].to_owned(),
                event: event.map(|event| {
                    format!("{} at version {} of {}", event.event_type, event.version, event.stream)
                }),
                message,
                retryable,
                outdated: false,
            };
            let Some(active) = active else {
                let message = "its active version is not loaded in this process (see its log)";
                return Err(refused(None, message.to_owned(), true));
            };
            let wanted: Vec<Event> =
                events.iter().filter(|event| active.wants(event)).cloned().collect();
            if wanted.is_empty() {
                continue;
            }
            let (back, result) =
                active.plugin.handle(tx, &active.sql, &wanted, &active.config).await;
            match (back, result) {
                (Some(back), Ok(_)) => tx = back,
                (back, result) => {
                    let failure = match result {
                        Err(failure) => failure,
                        Ok(_) => crate::projection::Failure::new(
                            FailureKind::Retry,
                            "the connection was lost",
                        ),
                    };
                    if let Some(back) = back
                        && let Err(error) = back.rollback().await
                    {
                        tracing::debug!(%error, "an append was not rolled back by hand");
                    }
                    let only = (wanted.len() == 1).then_some(0);
                    let event = failure.index.or(only).and_then(|index| wanted.get(index));
                    let retryable = failure.kind == FailureKind::Retry;
                    return Err(refused(event, failure.message, retryable));
                }
            }
        }
        Ok(tx)
    }
}
