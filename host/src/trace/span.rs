//! Spans: made where somebody has asked for traces and the trace is sampled, and nothing otherwise.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::Either;
use opentelemetry::context::FutureExt as _;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanKind, SpanRef, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, StringValue};

use super::TraceContext;

/// Links of one span, at most.
pub(crate) const LINKS: usize = 512;

static ON: AtomicBool = AtomicBool::new(false);
static TRACER: RwLock<Option<Arc<BoxedTracer>>> = RwLock::new(None);

/// From now on, spans are made by the tracer provider that is set globally.
pub fn enable() {
    let tracer = Arc::new(global::tracer("eventfabric"));
    *TRACER.write().unwrap_or_else(PoisonError::into_inner) = Some(tracer);
    ON.store(true, Ordering::Relaxed);
}

/// From now on, none are.
pub fn disable() {
    ON.store(false, Ordering::Relaxed);
}

/// Whether spans are made.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

fn tracer() -> Option<Arc<BoxedTracer>> {
    if !is_on() {
        return None;
    }
    TRACER.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Where something is that is being done: the span around it, where there is one.
pub fn current() -> Option<TraceContext> {
    is_on()
        .then(|| Context::map_current(|now| now.span().span_context().clone()))
        .filter(SpanContext::is_valid)
        .map(TraceContext::new)
}

/// Adds a line that was logged to the span around it.
pub fn say(level: &'static str, message: &str) {
    if !is_on() {
        return;
    }
    Context::map_current(|now| {
        let span = now.span();
        if span.is_recording() {
            let attributes = vec![
                KeyValue::new("log.severity", level),
                KeyValue::new("log.message", message.to_owned()),
            ];
            span.add_event("log", attributes);
        }
    });
}

/// What is being done has failed.
pub fn failed(kind: &'static str, message: impl FnOnce() -> String) {
    if !is_on() {
        return;
    }
    Context::map_current(|now| {
        let span = now.span();
        if span.is_recording() {
            mark(&span, kind.into(), message());
        }
    });
}

/// What a span is below.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// The span around it, or else nothing.
    Around,
    /// This, wherever that was.
    Of(&'a TraceContext),
    /// Nothing: a trace begins.
    None,
}

/// Something that takes time, as long as this value lives. Where its trace is not sampled, nothing is
/// recorded of it, nor of what happens within.
#[derive(Debug, Default)]
pub struct Span {
    around: Option<Context>,
    recorded: bool,
}

impl Span {
    /// Begins a span. The name is made where it is needed.
    pub fn begin<'a>(
        kind: SpanKind,
        parent: Parent<'_>,
        links: impl IntoIterator<Item = &'a TraceContext>,
        name: impl FnOnce() -> String,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self::default() };
        let around = match parent {
            Parent::Around => Context::current(),
            Parent::Of(context) => Context::new().with_remote_span_context(context.inner().clone()),
            Parent::None => Context::new(),
        };
        let links = links.into_iter().filter(|link| link.is_sampled()).take(LINKS);
        let links = links.map(|link| Link::with_context(link.inner().clone()));
        let builder = SpanBuilder::from_name(name()).with_kind(kind).with_links(links.collect());
        let span = tracer.build_with_context(builder, &around);
        let within = around.with_span(span);
        let recorded = within.span().is_recording();
        Self { around: Some(within), recorded }
    }

    /// Begins a span below the one around it; nothing, where there is none.
    pub fn below(kind: SpanKind, name: impl FnOnce() -> String) -> Self {
        if !is_on() || !Context::map_current(|now| now.span().is_recording()) {
            return Self::default();
        }
        Self::begin(kind, Parent::Around, [], name)
    }

    /// Whether anybody will see it.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// Where it is, for what follows from it.
    pub fn context(&self) -> Option<TraceContext> {
        self.recorder().map(|context| TraceContext::new(context.span().span_context().clone()))
    }

    fn recorder(&self) -> Option<&Context> {
        self.around.as_ref().filter(|_| self.recorded)
    }

    /// Says something of it.
    pub fn text(&self, key: &'static str, value: impl Into<StringValue>) {
        if let Some(context) = self.recorder() {
            context.span().set_attribute(KeyValue::new(key, value.into()));
        }
    }

    /// Says a number of it.
    pub fn number(&self, key: &'static str, value: i64) {
        if let Some(context) = self.recorder() {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It failed.
    pub fn fail(&self, kind: impl Into<StringValue>, message: impl FnOnce() -> String) {
        if let Some(context) = self.recorder() {
            mark(&context.span(), kind.into(), message());
        }
    }

    /// Does something within it.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.around.as_ref(), work)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = self.recorder() {
            context.span().end();
        }
    }
}

/// Where something is that goes on in another task.
#[derive(Debug, Clone, Default)]
pub struct Ambient(Option<Context>);

impl Ambient {
    /// Here.
    pub fn here() -> Self {
        Self(current().map(|_| Context::current()))
    }

    /// Does something there.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.0.as_ref(), work)
    }
}

fn within<F: Future>(
    around: Option<&Context>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    match around {
        Some(context) => Either::Left(work.with_context(context.clone())),
        None => Either::Right(work),
    }
}

fn mark(span: &SpanRef<'_>, kind: StringValue, message: String) {
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(message));
}
