//! Reading the log of one tenant in bounded steps, up to the safe head.

use super::params::Params;
use super::problem::Problem;
use super::state::Home;
use crate::event::Event;
use crate::store::{LogFilter, StoreError, add_traces, log_page};

/// Positions that one statement looks at, at most: a filter that matches nothing must not make one
/// long statement of a long log.
const WINDOW: i64 = 100_000;

/// The parameters that a filter has.
pub(super) const FILTERS: [&str; 2] = ["type", "aggregate"];

/// A place in the log of one tenant.
pub(super) struct LogReader {
    home: Home,
    filter: LogFilter,
}

/// What a step has brought.
pub(super) struct Step {
    /// What matches, in the order of positions.
    pub(super) events: Vec<Event>,
    /// There is more up to the head as it was.
    pub(super) more: bool,
    /// The step ended because it was long enough, so a longer one would have brought more.
    pub(super) full: bool,
}

impl LogReader {
    /// Begins after a position.
    pub(super) fn new(home: Home, params: &Params, after: i64) -> Self {
        let filter = LogFilter {
            after,
            types: params.many("type"),
            aggregates: params.many("aggregate"),
            tenant: Some(home.tenant.clone()),
            ..LogFilter::default()
        };
        Self { home, filter }
    }

    /// Also dismissed events, or not.
    pub(super) fn with_dismissed(mut self, dismissed: bool) -> Self {
        self.filter.dismissed = dismissed;
        self
    }

    /// Everything that matches up to here has been read.
    pub(super) fn position(&self) -> i64 {
        self.filter.after
    }

    /// The safe head.
    pub(super) fn head(&self) -> i64 {
        self.home.head.borrow().position
    }

    /// Reads on, `limit` events at most.
    pub(super) async fn step(&mut self, limit: i64) -> Result<Step, StoreError> {
        let (head, newest) = {
            let head = self.home.head.borrow_and_update();
            let newest = head.tenants.get(&self.home.tenant).copied().unwrap_or(0);
            (head.position, newest.min(head.position))
        };
        let after = self.filter.after;
        if after >= newest {
            // What is up to the head is other tenants'.
            self.filter.after = after.max(head);
            return Ok(Step { events: Vec::new(), more: false, full: false });
        }
        let until = newest.min(after.saturating_add(WINDOW));
        self.filter.until = Some(until);
        let mut page = log_page(self.home.store.pool(), &self.filter, limit).await?;
        add_traces(self.home.store.pool(), &mut page.events).await?;
        self.filter.after = match page.events.last() {
            Some(last) if page.full => last.position,
            _ => until,
        };
        Ok(Step { events: page.events, more: self.filter.after < newest, full: page.full })
    }

    /// Waits until the safe head has reached a position.
    pub(super) async fn until_head(&mut self, position: i64) {
        // The sender lives as long as the host.
        let _ = self.home.head.wait_for(|head| head.position >= position).await;
    }

    /// Waits until the safe head moves from where it was at the last step.
    pub(super) async fn changed(&mut self) {
        if self.home.head.changed().await.is_err() {
            // The host is gone, and its subscriptions are being ended.
            std::future::pending::<()>().await;
        }
    }

    /// The filter as it was asked for, for a link.
    pub(super) fn query(&self) -> String {
        let encode = |(name, value): (&str, &String)| {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("&{name}={value}")
        };
        let types = self.filter.types.iter().map(|value| ("type", value));
        let aggregates = self.filter.aggregates.iter().map(|value| ("aggregate", value));
        let dismissed = if self.filter.dismissed { "&dismissed=included" } else { "" };
        types.chain(aggregates).map(encode).chain([dismissed.to_owned()]).collect()
    }

    pub(super) fn problem(&self, error: &StoreError) -> Problem {
        Problem::of_store(error, &self.home.tenant)
    }

    pub(super) fn tenant(&self) -> &str {
        &self.home.tenant
    }
}
