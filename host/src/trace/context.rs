//! The context of a trace as programs hand it to each other: W3C Trace Context.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use serde::{Deserialize, Serialize};

/// A place in a trace: what follows from it belongs below that span.
///
/// ```
/// use eventfabric::trace::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse().unwrap();
/// assert_eq!(context.traceparent(), text);
/// assert!("00-nothing".parse::<TraceContext>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext(SpanContext);

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a traceparent is of the form 00-(32 hexadecimal digits)-(16)-(2), in lower case, as W3C Trace Context \
     has it"
)]
pub struct InvalidTraceparent;

/// The flags that are passed on: sampled, and random.
const KNOWN: u8 = 0b11;
/// Characters of version 00; later versions may have more.
const LENGTH: usize = 55;
/// Characters of a `tracestate` that are passed on, at most: so many everybody has to.
const STATE_LENGTH: usize = 512;

impl TraceContext {
    pub(super) fn new(context: SpanContext) -> Self {
        Self(context)
    }

    pub(super) fn inner(&self) -> &SpanContext {
        &self.0
    }

    /// What was stored, or came in headers: without a state where that is none.
    ///
    /// # Errors
    /// A `traceparent` that is none.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, InvalidTraceparent> {
        let Self(context) = traceparent.parse()?;
        let state = tracestate.filter(|state| state.len() <= STATE_LENGTH);
        let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
        let (trace, span) = (context.trace_id(), context.span_id());
        Ok(Self(SpanContext::new(trace, span, context.trace_flags(), true, state)))
    }

    /// As a header.
    pub fn traceparent(&self) -> String {
        let flags = self.0.trace_flags().to_u8() & KNOWN;
        format!("00-{}-{}-{flags:02x}", self.0.trace_id(), self.0.span_id())
    }

    /// What others added to it, as a header.
    pub fn tracestate(&self) -> Option<String> {
        Some(self.0.trace_state().header()).filter(|state| !state.is_empty())
    }

    /// The trace, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// The span in it, as 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        self.0.span_id().to_string()
    }

    /// Whether who began the trace wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    /// Whether both are places in one trace.
    pub fn is_of_trace_of(&self, other: &Self) -> bool {
        self.0.trace_id() == other.0.trace_id()
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let bytes = text.as_bytes();
        let is_hex =
            |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = bytes.len() >= LENGTH
            && [2, 35, 52].iter().all(|at| bytes[*at] == b'-')
            && [0..2, 3..35, 36..52, 53..55].into_iter().all(|part| is_hex(&bytes[part]));
        if !fits {
            return Err(InvalidTraceparent);
        }
        let ends_well = match &text[..2] {
            "ff" => false,
            "00" => bytes.len() == LENGTH,
            _ => bytes.len() == LENGTH || bytes[LENGTH] == b'-',
        };
        let trace = TraceId::from_hex(&text[3..35]).map_err(|_| InvalidTraceparent)?;
        let span = SpanId::from_hex(&text[36..52]).map_err(|_| InvalidTraceparent)?;
        let flags = u8::from_str_radix(&text[53..55], 16).map_err(|_| InvalidTraceparent)?;
        if !ends_well || trace == TraceId::INVALID || span == SpanId::INVALID {
            return Err(InvalidTraceparent);
        }
        let flags = TraceFlags::new(flags & KNOWN);
        Ok(Self(SpanContext::new(trace, span, flags, true, TraceState::default())))
    }
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTraceparent;

    fn try_from(text: String) -> Result<Self, InvalidTraceparent> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.traceparent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn what_the_specification_allows_is_read() {
        for (text, flags) in [
            (format!("00-{TRACE}-{SPAN}-00"), "00"),
            (format!("00-{TRACE}-{SPAN}-01"), "01"),
            (format!("00-{TRACE}-{SPAN}-03"), "03"),
            // Flags that nobody knows are not passed on.
            (format!("00-{TRACE}-{SPAN}-ff"), "03"),
            // Later versions are read as far as this one goes.
            (format!("cc-{TRACE}-{SPAN}-01"), "01"),
            (format!("01-{TRACE}-{SPAN}-01-what-the-future-holds"), "01"),
        ] {
            let context: TraceContext = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(context.traceparent(), format!("00-{TRACE}-{SPAN}-{flags}"), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-01.more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("0-{TRACE}0-{SPAN}-01"),
            format!("00-{}é-{SPAN}-01", &TRACE[..30]),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceparent), "{text}");
        }
    }

    #[test]
    fn a_state_is_passed_on_or_left_out() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let state = |state: &str| TraceContext::parse(&parent, Some(state)).unwrap().tracestate();
        assert_eq!(
            state("rojo=00f067aa0ba902b7,congo=t61").unwrap(),
            "rojo=00f067aa0ba902b7,congo=t61"
        );
        assert_eq!(state("no state"), None);
        assert_eq!(state(&format!("a={}", "x".repeat(STATE_LENGTH))), None);
    }
}
