//! Inline projections: they run in the transaction of the append, by priority and then in the order of
//! their names, and in the time that the append has as a whole.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::db::Tx;
use crate::event::Event;
use crate::plugin::{Active, Beyond, Registry};
use crate::projection::{FailureKind, Mode};
use crate::store::{Deadline, Epoch, Inline, InlineFailure};

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
        tx: &'a mut Tx,
        epoch: i64,
        events: &'a [Event],
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<(), InlineFailure>> {
        self.run_all(tx, epoch, events, deadline).boxed()
    }
}

impl InlinePlugins {
    async fn run_all(
        &self,
        tx: &mut Tx,
        epoch: i64,
        events: &[Event],
        deadline: Deadline,
    ) -> Result<(), InlineFailure> {
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
                event: event.map(named),
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
            let left = deadline.left();
            if left.is_zero() {
                let message = format!("it was not begun: {}", of_the_append(deadline, left));
                return Err(refused(wanted.first(), message, true));
            }
            let Active { plugin, sql, config, meter, .. } = active.as_ref();
            let beyond = Beyond::default().counted(meter);
            let handled = plugin.handle_within(tx.lend(), sql, &wanted, config, left, beyond);
            let (back, result) = handled.await;
            let is_back = back.is_some();
            if let Some(back) = back {
                *tx = back;
            }
            match result {
                Ok(_) if is_back => {}
                result => {
                    let failure = match result {
                        Err(failure) => failure,
                        Ok(_) => crate::projection::Failure::new(
                            FailureKind::Retry,
                            "the connection was lost",
                        ),
                    };
                    let only = (wanted.len() == 1).then_some(0);
                    let event = failure.index.or(only).and_then(|index| wanted.get(index));
                    let mut refused =
                        refused(event, failure.message, failure.kind == FailureKind::Retry);
                    if event.is_none() {
                        refused.event = range(&wanted);
                    }
                    if deadline.is_over() {
                        // Others may have used the time up: no event is to blame.
                        refused.retryable = true;
                        refused.message += &format!(" ({})", of_the_append(deadline, left));
                    }
                    return Err(refused);
                }
            }
        }
        Ok(())
    }
}

fn named(event: &Event) -> String {
    format!("{} at version {} of {}", event.event_type, event.version, event.stream)
}

/// Events none of which is known to be the one.
fn range(events: &[Event]) -> Option<String> {
    let (first, last) = (events.first()?, events.last()?);
    Some(format!("{} events from {} to {}", events.len(), named(first), named(last)))
}

/// What the append's own limit has to do with it.
fn of_the_append(deadline: Deadline, left: Duration) -> String {
    let left = Duration::from_millis(left.as_millis() as u64);
    format!(
        "the append has {:?} as a whole (append_timeout), of which {left:?} were left",
        deadline.limit()
    )
}
