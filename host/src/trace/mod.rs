//! Which trace something belongs to, and the spans of it. Where nobody has asked for traces, no span is
//! made: a look at one variable.

mod context;
mod span;

pub use context::{InvalidTraceparent, TraceContext};
pub use opentelemetry::trace::SpanKind;
#[cfg(feature = "telemetry")]
pub(crate) use span::LINKS;
pub use span::{Ambient, Parent, Span, current, disable, enable, failed, is_on, say};
