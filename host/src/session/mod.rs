#![doc = include_str!("../../../docs/sessions.md")]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod aggregate;
mod error;
mod event;
mod factory;
mod load;
mod rebuild;
mod repository;
mod retry;
mod save;
mod setup;
mod tracked;
mod unit;

pub use aggregate::{Aggregate, Raised};
pub use error::{DecodeError, SessionError};
pub use event::{DomainEvent, EventType, decode, encode};
pub use eventfabric_macros::DomainEvent;
pub use factory::{BuildError, Builder, SessionFactory};
pub use rebuild::Rebuilt;
pub use repository::Repository;
pub use retry::Retry;
pub use save::{Saved, SavedStream};
pub use setup::{AggregateSetup, SnapshotPolicy};
pub use unit::{Handle, Pending, Session};

pub use crate::backoff::Backoff;
pub use crate::upcast::{UpcastError, Upcasters};
