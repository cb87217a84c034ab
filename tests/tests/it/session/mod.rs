//! Sessions against a real database: what a unit of work promises.

mod aggregates;
mod concurrent;
mod context;
mod inline;
mod load;
mod save;
mod snapshots;
mod upcasting;

use eventfabric::event::StreamId;
use eventfabric::session::{
    Aggregate, AggregateSetup, Backoff, DomainEvent, Raised, Retry, SessionError, SessionFactory,
};
use eventfabric::store::EventStore;
use eventfabric_tests::TestDb;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::store::store;

/// What happens to an account.
#[derive(Debug, Clone, PartialEq, DomainEvent)]
#[serde(rename_all_fields = "camelCase")]
pub enum AccountEvent {
    #[event(type = "Account.Opened")]
    Opened { owner_name: String },
    #[event(type = "Account.Deposited")]
    Deposited { cents: i64 },
    #[event(type = "Account.Withdrawn")]
    Withdrawn { cents: i64 },
    #[event(type = "Account.Closed")]
    Closed,
}

/// An account with methods that raise events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    pub owner: String,
    pub cents: i64,
    pub closed: bool,
    #[serde(skip)]
    raised: Raised<AccountEvent>,
}

impl Account {
    pub fn open(&mut self, owner: &str) {
        self.raise(AccountEvent::Opened { owner_name: owner.to_owned() });
    }

    pub fn deposit(&mut self, cents: i64) {
        self.raise(AccountEvent::Deposited { cents });
    }

    pub fn withdraw(&mut self, cents: i64) -> Result<(), Refused> {
        if self.cents < cents {
            return Err(Refused::Poor { has: self.cents });
        }
        self.raise(AccountEvent::Withdrawn { cents });
        Ok(())
    }

    pub fn close(&mut self) {
        self.raise(AccountEvent::Closed);
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const NAME: &'static str = "Account";

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner_name } => self.owner.clone_from(owner_name),
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
            AccountEvent::Closed => self.closed = true,
        }
    }

    fn raised(&mut self) -> Option<&mut Raised<AccountEvent>> {
        Some(&mut self.raised)
    }
}

/// Why an account did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there are {has} cents only")]
    Poor { has: i64 },
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A second kind of aggregate, in the plain style: no events of its own, no serde.
#[derive(Debug, Default, PartialEq)]
pub struct Bank {
    pub accounts: u32,
}

#[derive(Debug, Clone, PartialEq, DomainEvent)]
pub enum BankEvent {
    AccountAdded,
}

impl Aggregate for Bank {
    type Event = BankEvent;
    const NAME: &'static str = "Bank";

    fn apply(&mut self, _: &BankEvent) {
        self.accounts += 1;
    }
}

/// A fresh database and a factory that knows both kinds.
pub async fn bank() -> (TestDb, SessionFactory) {
    let (db, store) = store().await;
    let factory = factory(store, |account| account);
    (db, factory)
}

/// A factory with accounts that are stored so.
pub fn factory(
    store: EventStore,
    account: impl FnOnce(AggregateSetup<Account>) -> AggregateSetup<Account>,
) -> SessionFactory {
    let builder = SessionFactory::builder(store).aggregate::<Account>(account);
    builder.aggregate::<Bank>(|bank| bank.topic("banks")).build().unwrap()
}

/// Tries for as long as a test may take.
pub fn patient() -> Retry {
    let backoff = Backoff { base: Duration::from_millis(2), cap: Duration::from_millis(200) };
    Retry { attempts: 10_000, backoff }
}

pub fn stream(id: &str) -> StreamId {
    StreamId::new("Account", id)
}

/// An account with this many deposits of one cent after its opening.
pub async fn opened(factory: &SessionFactory, id: &str, deposits: u32) {
    let mut session = factory.session();
    let account = session.start_stream::<Account>(id).unwrap();
    session[account].open("Ada");
    for _ in 0..deposits {
        session[account].deposit(1);
    }
    session.save().await.unwrap();
}
