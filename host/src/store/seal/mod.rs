//! Seals: each event carries an HMAC over itself, as it is stored, and over the seal before it in its
//! stream. Who changes the database without the key can't make the seals fit.
//!
//! What only the head of a chain could tell (that the newest events of a stream are gone, and their
//! seals with them) is told by heads that were written elsewhere: [`Head`].

mod chain;
mod keys;
mod stream;
mod verify;
mod write;

pub use keys::{Seal, SealError};
pub use verify::{Finding, Head, Problem, Seen, Summary, verify, verify_stream};

pub(super) use write::seal;
