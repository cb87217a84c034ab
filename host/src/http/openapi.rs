//! The OpenAPI document, made from the handlers.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Array, Object, ObjectBuilder, OneOf, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required, Schema};
use utoipa::{Number, OpenApi as _};

use super::limits::HttpLimits;
use super::router;
use crate::event::MAX_NAME;

/// What stands for the header's name in the document.
const TENANT_HEADER: &str = "X-Tenant";
const SCHEME: &str = "token";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "EventFabric",
        description = "An event store on PostgreSQL whose projections are WebAssembly plugins.\n\n\
            Every error is a problem document (RFC 9457) with a `code` that never changes its \
            meaning. The tenant is named by the path or by the header `X-Tenant`; `default` \
            otherwise. After a 503, wait for `Retry-After` and try again; an append with an \
            `Idempotency-Key` can be repeated after anything.",
    ),
    components(schemas(
        super::problem::Problem,
        super::event_body::DirectionBody,
        super::plugin_logs::LevelBody,
        super::event_body::DismissedBody,
    )),
    tags(
        (name = "streams", description = "The events of one aggregate"),
        (name = "log", description = "All events of a tenant, in the order of their positions"),
        (name = "queries", description = "What plugins answer from their tables"),
        (name = "operation", description = "How the host and its projections stand"),
    ),
)]
struct Document;

/// The OpenAPI 3.1 document of the API, with the limits that it has where nothing else is set.
pub fn document() -> OpenApi {
    document_of(&HttpLimits::default())
}

/// The document of an API with these limits.
pub(super) fn document_of(limits: &HttpLimits) -> OpenApi {
    let mut document = Document::openapi();
    document.merge(router::documented().into_openapi());
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    document.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    leave_out_null(&mut document);
    set_limits(&mut document, limits);
    name_tenants(&mut document);
    document
}

/// A parameter that may be left out can't be null; its Rust type says both in one word.
fn leave_out_null(document: &mut OpenApi) {
    let items = document.paths.paths.values_mut();
    let parameters = items.flat_map(operations).filter_map(|one| one.parameters.as_mut()).flatten();
    for schema in parameters.filter_map(|parameter| parameter.schema.as_mut()) {
        let RefOr::T(inner) = schema else { continue };
        match inner {
            Schema::Object(Object { schema_type, .. })
            | Schema::Array(Array { schema_type, .. }) => {
                if let SchemaType::Array(types) = schema_type {
                    types.retain(|one| *one != Type::Null);
                    if let [one] = types.as_slice() {
                        *schema_type = SchemaType::Type(one.clone());
                    }
                }
            }
            Schema::OneOf(OneOf { items, .. }) => {
                if let Some(one) = items.iter().find(|item| matches!(item, RefOr::Ref(_))) {
                    *schema = one.clone();
                }
            }
            _ => {}
        }
    }
}

/// The code has the default limits in its attributes; those of the settings are what holds.
fn set_limits(document: &mut OpenApi, limits: &HttpLimits) {
    let items = document.paths.paths.values_mut();
    let parameters = items.flat_map(operations).filter_map(|one| one.parameters.as_mut()).flatten();
    for parameter in parameters.filter(|parameter| parameter.name == "limit") {
        if let Some(RefOr::T(Schema::Object(number))) = &mut parameter.schema {
            number.maximum = Some(Number::Int(isize::try_from(limits.page).unwrap_or(isize::MAX)));
        }
    }
    let schemas = document.components.as_mut().map(|components| &mut components.schemas);
    if let Some(RefOr::T(Schema::Object(append))) = schemas.and_then(|all| all.get_mut("Append"))
        && let Some(RefOr::T(Schema::Array(events))) = append.properties.get_mut("events")
    {
        events.max_items = Some(limits.events);
    }
}

/// What is a tenant's has two addresses: one with the tenant in it, one with the header.
fn name_tenants(document: &mut OpenApi) {
    let own: Vec<(String, PathItem)> = document
        .paths
        .paths
        .iter()
        .filter(|(path, _)| router::is_of_a_tenant(path))
        .map(|(path, item)| (path.clone(), item.clone()))
        .collect();
    for (path, mut item) in own {
        for operation in operations(&mut item) {
            operation
                .parameters
                .get_or_insert_default()
                .insert(0, tenant("tenant", ParameterIn::Path));
            if let Some(id) = &mut operation.operation_id {
                id.push_str("OfTenant");
            }
        }
        document.paths.paths.insert(path.replacen("/v1/", "/v1/tenants/{tenant}/", 1), item);
        if let Some(item) = document.paths.paths.get_mut(&path) {
            for operation in operations(item) {
                let header = tenant(TENANT_HEADER, ParameterIn::Header);
                operation.parameters.get_or_insert_default().push(header);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, .. } = item;
    [get, post].into_iter().flatten()
}

fn tenant(name: &str, place: ParameterIn) -> Parameter {
    let required = match place {
        ParameterIn::Path => Required::True,
        _ => Required::False,
    };
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(MAX_NAME));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some("The tenant [default: `default`]"))
        .schema(Some(schema))
        .build()
}
