//! The span of a request, and the trace that it comes from.

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

use crate::trace::{self, Parent, Span, SpanKind, TraceContext};

/// The trace that a request says that it is part of (W3C Trace Context); what is no such thing is ignored, as
/// the specification has it.
pub(super) fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    let states = headers.get_all("tracestate").iter().map(|state| state.to_str().ok());
    let state = states.collect::<Option<Vec<&str>>>().unwrap_or_default().join(",");
    TraceContext::parse(parent, Some(state.as_str()).filter(|state| !state.is_empty())).ok()
}

/// Answers a request in a span of its own. (Those who look at the host itself, every few seconds, are left
/// out.)
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str).filter(|route| route.starts_with("/v1/"));
    let (Some(route), true) = (route, trace::is_on()) else { return next.run(request).await };
    let parent = context(request.headers());
    let parent = parent.as_ref().map_or(Parent::None, Parent::Of);
    let method = request.method().to_string();
    let span = Span::begin(SpanKind::Server, parent, [], || format!("{method} {route}"));
    if span.is_recorded() {
        span.text("http.request.method", method);
        span.text("http.route", route.to_owned());
        span.text("url.path", request.uri().path().to_owned());
        span.text("url.scheme", "http");
    }
    let response = span.within(next.run(request)).await;
    let status = response.status();
    span.number("http.response.status_code", status.as_u16().into());
    if status.is_server_error() {
        span.fail(status.as_str().to_owned(), String::new);
    }
    response
}
