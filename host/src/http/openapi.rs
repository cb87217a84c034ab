//! The OpenAPI document, made from the handlers.

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use super::router;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "EventFabric",
        description = "An event store on PostgreSQL whose projections are WebAssembly plugins.\n\n\
            Errors are problem documents (RFC 9457) with a stable `code`.",
    ),
    components(schemas(super::problem::Problem)),
    tags(
        (name = "streams", description = "The events of one aggregate"),
        (name = "log", description = "All events, in the order of their positions"),
    ),
)]
struct Document;

/// The OpenAPI 3.1 document of the API.
pub fn document() -> OpenApi {
    let mut document = Document::openapi();
    document.merge(router::routes().into_openapi());
    document
}
