//! Which request reaches which handler, and what all of them pass.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::openapi::document_of;
use super::problem::{Code, MEDIA_TYPE, Problem};
use super::state::Api;
use super::tokens::Scope;
use super::{
    append, auth, costs, dead_letters, find, health, log, metrics, overview, plugin_changes,
    plugin_details, plugin_diff, plugin_logs, plugin_rows, plugin_versions, plugins,
    projection_changes, projections, queries, schemas, streams, subscribe, tenants, traced, ui,
};

/// What each scope allows under `/v1`.
fn scopes() -> [(Scope, OpenApiRouter<Api>); 3] {
    let append = OpenApiRouter::new().routes(routes!(append::append));
    let read = OpenApiRouter::new()
        .routes(routes!(streams::read_stream))
        .routes(routes!(log::read_log))
        .routes(routes!(subscribe::subscribe))
        .routes(routes!(queries::list))
        .routes(routes!(queries::ask))
        .routes(routes!(find::events))
        .routes(routes!(find::streams))
        .routes(routes!(find::stream));
    let admin = OpenApiRouter::new()
        .routes(routes!(overview::overview))
        .routes(routes!(overview::history))
        .routes(routes!(overview::doctor))
        .routes(routes!(projections::list))
        .routes(routes!(projections::get))
        .routes(routes!(costs::get))
        .routes(routes!(projection_changes::pause))
        .routes(routes!(projection_changes::resume))
        .routes(routes!(projection_changes::reset))
        .routes(routes!(projection_changes::rebuild))
        .routes(routes!(plugins::list, plugin_changes::deploy))
        .routes(routes!(plugin_details::get))
        .routes(routes!(plugin_rows::rows))
        .routes(routes!(plugin_changes::config, plugin_changes::set_config))
        .routes(routes!(plugin_changes::pause))
        .routes(routes!(plugin_changes::resume))
        .routes(routes!(plugin_changes::rebuild))
        .routes(routes!(plugin_changes::remove))
        .routes(routes!(plugin_logs::logs))
        .routes(routes!(plugin_versions::versions))
        .routes(routes!(plugin_versions::deployments))
        .routes(routes!(plugin_versions::rollback))
        .routes(routes!(plugin_diff::diff))
        .routes(routes!(schemas::list))
        .routes(routes!(schemas::get, schemas::register, schemas::remove))
        .routes(routes!(tenants::list))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::get))
        .routes(routes!(dead_letters::requeue))
        .routes(routes!(dead_letters::purge));
    [(Scope::Append, append), (Scope::Read, read), (Scope::Admin, admin)]
}

/// Whether a path concerns one tenant, and so has an address with the tenant in it, too.
pub(super) fn is_of_a_tenant(path: &str) -> bool {
    let prefixes = ["/v1/streams", "/v1/events", "/v1/dead-letters", "/v1/query"];
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

fn numbers() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics::scrape))
}

/// What anybody may ask, and is answered however much there is to do.
fn health() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(health::healthz)).routes(routes!(health::readyz))
}

/// All routes, for the document.
pub(super) fn documented() -> OpenApiRouter<Api> {
    let all = scopes().into_iter().fold(OpenApiRouter::new(), |all, (_, routes)| all.merge(routes));
    OpenApiRouter::new().nest("/v1", all).merge(numbers()).merge(health())
}

/// The whole API.
pub(super) fn router(api: Api) -> Router {
    let for_scope = |scope| middleware::from_fn_with_state((api.clone(), scope), auth::authorize);
    let scoped = scopes().into_iter().fold(OpenApiRouter::new(), |all, (scope, routes)| {
        all.merge(routes.route_layer(for_scope(scope)))
    });
    let (scoped, _) = scoped.split_for_parts();
    let (numbers, _) = numbers().route_layer(for_scope(Scope::Metrics)).split_for_parts();
    let (health, _) = health().split_for_parts();
    Router::new()
        .nest("/v1", scoped.clone())
        .nest("/v1/tenants/{tenant}", scoped)
        .layer(middleware::from_fn_with_state(api.clone(), within_limits))
        .merge(numbers)
        .merge(health)
        .merge(ui::routes(api.ui))
        .route_layer(middleware::from_fn(traced::trace))
        .route_layer(middleware::from_fn(metrics::count))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document_of(&api.limits)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(as_problems))
        .with_state(api)
}

/// Answers so many requests at a time, each within its time; the others are told to come back.
async fn within_limits(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_permit) = api.requests.clone().try_acquire_owned() else {
        return Problem::new(
            Code::Overloaded,
            "as many requests as the API takes are being answered (http.limits.requests)",
        )
        .into_response();
    };
    let time = api.limits.answer;
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Code::TimeOut,
            format!(
                "no answer within {time:?}; an append may have been made, so repeat it with the same \
                 Idempotency-Key"
            ),
        )
        .into_response(),
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    tracing::error!(panic = message, "a request panicked");
    Problem::new(Code::InternalError, "the log of the host says what").into_response()
}

/// Makes a problem document of every error that has none: those of the router and of the server.
async fn as_problems(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let status = response.status();
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let says_why = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| media_type == MEDIA_TYPE || media_type == "application/json");
    if says_why || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match status {
        StatusCode::NOT_FOUND => {
            Problem::new(Code::NotFound, format!("there is nothing at {path}; see /openapi.json"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "see the header `Allow`")
        }
        status if status.is_client_error() => {
            Problem::invalid("the request can't be read").with_status(status)
        }
        status => {
            Problem::new(Code::InternalError, "the log of the host says what").with_status(status)
        }
    };
    let kept = keep(&response, header::ALLOW);
    let mut response = problem.into_response();
    if let Some((name, value)) = kept {
        response.headers_mut().insert(name, value);
    }
    response
}

fn keep(response: &Response<Body>, name: HeaderName) -> Option<(HeaderName, HeaderValue)> {
    response.headers().get(&name).cloned().map(|value| (name, value))
}
