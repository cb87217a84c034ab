//! What an aggregate is.

use super::event::DomainEvent;

/// The state of one thing, made by its events in their order.
///
/// The plain way: a state, [`Aggregate::apply`], and functions that decide which events follow from
/// a command. They are given to [`Session::decide`](super::Session::decide) or
/// [`Repository::decide`](super::Repository::decide).
///
/// ```
/// use eventfabric::session::{Aggregate, DomainEvent};
///
/// #[derive(DomainEvent)]
/// enum AccountEvent {
///     Deposited { cents: i64 },
///     Withdrawn { cents: i64 },
/// }
///
/// #[derive(Default)]
/// struct Account { cents: i64 }
///
/// impl Aggregate for Account {
///     type Event = AccountEvent;
///     const NAME: &'static str = "Account";
///
///     fn apply(&mut self, event: &AccountEvent) {
///         match event {
///             AccountEvent::Deposited { cents } => self.cents += cents,
///             AccountEvent::Withdrawn { cents } => self.cents -= cents,
///         }
///     }
/// }
///
/// fn withdraw(account: &Account, cents: i64) -> Result<Vec<AccountEvent>, String> {
///     if account.cents < cents {
///         return Err(format!("there are {} cents only", account.cents));
///     }
///     Ok(vec![AccountEvent::Withdrawn { cents }])
/// }
///
/// let account = Account::evolve(&[AccountEvent::Deposited { cents: 500 }]);
/// assert!(withdraw(&account, 501).is_err());
/// assert_eq!(withdraw(&account, 500).unwrap().len(), 1);
/// ```
///
/// The way of objects: the aggregate has methods that raise events, and keeps those that are not
/// saved yet to itself, in a [`Raised`] that [`Aggregate::raised`] shows to the session.
///
/// ```
/// # use eventfabric::session::{Aggregate, DomainEvent, Raised};
/// # #[derive(DomainEvent)]
/// # enum AccountEvent { Deposited { cents: i64 } }
/// #[derive(Default)]
/// struct Account { cents: i64, raised: Raised<AccountEvent> }
///
/// impl Account {
///     fn deposit(&mut self, cents: i64) -> Result<(), String> {
///         if cents <= 0 {
///             return Err("a deposit is more than nothing".to_owned());
///         }
///         self.raise(AccountEvent::Deposited { cents });
///         Ok(())
///     }
/// }
///
/// impl Aggregate for Account {
///     type Event = AccountEvent;
///     const NAME: &'static str = "Account";
///
///     fn apply(&mut self, event: &AccountEvent) {
///         let AccountEvent::Deposited { cents } = event;
///         self.cents += cents;
///     }
///
///     fn raised(&mut self) -> Option<&mut Raised<AccountEvent>> {
///         Some(&mut self.raised)
///     }
/// }
///
/// let mut account = Account::default();
/// account.deposit(500).unwrap();
/// assert_eq!((account.cents, account.raised.len()), (500, 1));
/// ```
pub trait Aggregate: Default + Send + Sync + 'static {
    /// Its events.
    type Event: DomainEvent;

    /// The kind of aggregate, as in the names of its streams; never changes.
    const NAME: &'static str;

    /// What an event does to the state. It can't fail: what has happened has happened, and whether
    /// it may happen is decided before it is raised.
    fn apply(&mut self, event: &Self::Event);

    /// Where an aggregate that raises events itself keeps them until they are saved. In its
    /// snapshots that field is left out: `#[serde(skip)]`.
    fn raised(&mut self) -> Option<&mut Raised<Self::Event>> {
        None
    }

    /// Applies an event and keeps it until it is saved.
    ///
    /// # Panics
    /// When [`Aggregate::raised`] is not implemented: the event would be lost.
    fn raise(&mut self, event: Self::Event) {
        self.apply(&event);
        match self.raised() {
            Some(raised) => raised.0.push(event),
            None => panic!(
                "{} raises an event but does not implement Aggregate::raised, so nobody would save it",
                Self::NAME
            ),
        }
    }

    /// The state after these events, from the beginning.
    fn evolve<'a>(events: impl IntoIterator<Item = &'a Self::Event>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }
}

/// Events that an aggregate has raised and nobody has taken yet.
#[derive(Debug, Clone)]
pub struct Raised<E>(Vec<E>);

impl<E> Raised<E> {
    /// Takes them all, as a session does when it saves.
    pub fn take(&mut self) -> Vec<E> {
        std::mem::take(&mut self.0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<E> Default for Raised<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
