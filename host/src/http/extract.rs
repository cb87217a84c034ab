//! From a request to the values that a handler works with, or to a problem document.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;

use super::expected::one;
use super::problem::{Code, Problem};
use super::state::{Api, Home};
use super::tokens::Caller;
use crate::event::{DEFAULT_TENANT, MAX_NAME, StreamId, is_name};

/// Names the tenant, where the path does not.
pub(super) const TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant");

/// A body that is too large is read to its end up to this many times the limit, so that the client
/// gets to see the answer.
const DRAIN: usize = 16;

/// The tenant that a request is about, which its token allows and which exists.
pub(super) struct Tenant(pub(super) Home);

impl FromRequestParts<Api> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let in_path = names(parts).await?.remove("tenant");
        let in_header = one(&parts.headers, &TENANT_HEADER)?.map(str::to_owned);
        let tenant = match (in_path, in_header) {
            (Some(path), Some(header)) if path != header => {
                return Err(Problem::invalid("the path and the header X-Tenant name two tenants"));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => DEFAULT_TENANT.to_owned(),
        };
        check_name("tenant", &tenant)?;
        if let Some(allowed) = caller(parts)?.tenants()
            && !allowed.contains(&tenant)
        {
            return Err(Problem::new(
                Code::TenantForbidden,
                "the token is for other tenants; the header X-Tenant, or the path \
                 /v1/tenants/TENANT/, names the tenant of a request",
            ));
        }
        api.home_of(&tenant).await.map(Self)
    }
}

/// Whether the caller may see what is of some tenants, and no more.
pub(super) struct Confined(pub(super) bool);

impl FromRequestParts<Api> for Confined {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self(caller(parts)?.tenants().is_some()))
    }
}

/// The plugin and the query that the path names.
pub(super) struct QueryName {
    pub(super) plugin: String,
    pub(super) query: String,
}

impl FromRequestParts<Api> for QueryName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut names = names(parts).await?;
        let [plugin, query] = ["name", "query"].map(|key| names.remove(key).unwrap_or_default());
        check_name("name", &plugin)?;
        check_name("query", &query)?;
        Ok(Self { plugin, query })
    }
}

/// A caller that may see what concerns all tenants.
pub(super) struct Operator;

impl FromRequestParts<Api> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        match caller(parts)?.tenants() {
            None => Ok(Self),
            Some(_) => Err(Problem::new(
                Code::TenantForbidden,
                "this concerns all tenants, and the token is for some of them",
            )),
        }
    }
}

/// The stream that the path names, without its tenant.
pub(super) struct StreamName {
    pub(super) aggregate: String,
    pub(super) id: String,
}

impl StreamName {
    pub(super) fn of(self, tenant: &Tenant) -> StreamId {
        StreamId::new(self.aggregate, self.id).in_tenant(tenant.0.tenant.clone())
    }
}

impl FromRequestParts<Api> for StreamName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut names = names(parts).await?;
        let [aggregate, id] = ["aggregate", "id"].map(|key| names.remove(key).unwrap_or_default());
        check_name("aggregate", &aggregate)?;
        check_name("id", &id)?;
        Ok(Self { aggregate, id })
    }
}

/// One name in the path, such as that of a projection.
pub(super) struct Name(pub(super) String);

impl FromRequestParts<Api> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let name = names(parts).await?.remove("name").unwrap_or_default();
        check_name("name", &name)?;
        Ok(Self(name))
    }
}

/// The event type and the version of its payload that the path names.
pub(super) struct SchemaName {
    pub(super) event_type: String,
    pub(super) schema_version: i32,
}

impl FromRequestParts<Api> for SchemaName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let mut names = names(parts).await?;
        let [event_type, version] =
            ["type", "version"].map(|key| names.remove(key).unwrap_or_default());
        check_name("type", &event_type)?;
        match version.parse() {
            Ok(schema_version) if schema_version > 0 => Ok(Self { event_type, schema_version }),
            _ => Err(Problem::invalid("the version of a payload is a whole number from 1")),
        }
    }
}

/// The number of a dead letter in the path.
pub(super) struct LetterId(pub(super) i64);

impl FromRequestParts<Api> for LetterId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let text = names(parts).await?.remove("letter").unwrap_or_default();
        match text.parse::<i64>() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(Problem::invalid("the number of a dead letter is a whole number from 1")),
        }
    }
}

async fn names(parts: &mut Parts) -> Result<BTreeMap<String, String>, Problem> {
    Path::<BTreeMap<String, String>>::from_request_parts(parts, &())
        .await
        .map(|Path(names)| names)
        .map_err(|error| Problem::invalid(format!("the path: {}", error.body_text())))
}

fn caller(parts: &Parts) -> Result<&Caller, Problem> {
    parts
        .extensions
        .get()
        .ok_or_else(|| Problem::new(Code::Unauthorized, "this address takes no token"))
}

/// Checks what becomes a key in the database.
pub(super) fn check_name(what: &str, text: &str) -> Result<(), Problem> {
    if !is_name(text) {
        return Err(Problem::invalid(format!(
            "{what}: it has 1 to {MAX_NAME} bytes and no NUL; this one has {} bytes",
            text.len()
        )));
    }
    Ok(())
}

/// The same for what need not be given.
pub(super) fn check_given(what: &str, text: Option<&str>) -> Result<(), Problem> {
    text.map_or(Ok(()), |text| check_name(what, text))
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is(request.headers(), "application/json") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the body with the header `Content-Type: application/json`",
            ));
        }
        // The permit goes with the bytes: what is made of them is no larger by much.
        let limit = api.limits.body_bytes;
        let (bytes, _permit) = read(request, api, limit, "http.limits.body_bytes").await?;
        parse(&bytes).map(Self)
    }
}

/// The bytes of a component.
pub(super) struct Component(pub(super) Arc<[u8]>);

impl FromRequest<Api> for Component {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is(request.headers(), "application/wasm") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the component with the header `Content-Type: application/wasm`",
            ));
        }
        let limit = api.host.registry().runtime().limits().component_bytes;
        let (bytes, _permit) = read(request, api, limit, "limits.component_bytes").await?;
        Ok(Self(bytes.as_ref().into()))
    }
}

fn is(headers: &HeaderMap, expected: &str) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(expected)
}

/// Reads the body, within the limits of one and of all of them.
async fn read(
    request: Request,
    api: &Api,
    limit: usize,
    setting: &str,
) -> Result<(Bytes, tokio::sync::OwnedSemaphorePermit), Problem> {
    let too_large =
        || Problem::new(Code::TooLarge, format!("a body has {limit} bytes at most ({setting})"));
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    // Who asks first hears no before it has sent anything.
    let asks = request.headers().contains_key(header::EXPECT);
    let body = request.into_body();
    let receive = async {
        if length.is_some_and(|length| length > limit) {
            if !asks {
                drain(body, limit).await;
            }
            return Err(too_large());
        }
        let kibibytes = u32::try_from(length.unwrap_or(limit) / 1024 + 1).unwrap_or(u32::MAX);
        let permit = api.bodies.clone().try_acquire_many_owned(kibibytes).map_err(|_| {
            Problem::new(Code::Overloaded, "too many large bodies are being received; try again")
        })?;
        let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(limit));
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk
                .map_err(|error| Problem::invalid(format!("the body ended early: {error}")))?;
            if bytes.len() + chunk.len() > limit {
                drain(Body::from_stream(chunks), limit).await;
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((Bytes::from(bytes), permit))
    };
    let time = api.limits.receive;
    tokio::time::timeout(time, receive).await.unwrap_or_else(|_| {
        Err(Problem::new(Code::ReceiveTimeOut, format!("the body did not arrive within {time:?}")))
    })
}

async fn drain(body: Body, limit: usize) {
    let (mut chunks, mut bytes) = (body.into_data_stream(), 0);
    while let Some(Ok(chunk)) = chunks.next().await {
        bytes += chunk.len();
        if bytes > limit.saturating_mul(DRAIN) {
            return;
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(Code::MalformedJson, format!("the body is not UTF-8: {error}"))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            let place = if path == "." { "the body".to_owned() } else { path };
            Problem::new(Code::InvalidBody, format!("{place}: {error}"))
        } else {
            Problem::new(Code::MalformedJson, format!("the body: {error}"))
        }
    })?;
    json.end().map_err(|error| {
        Problem::new(Code::MalformedJson, format!("after the JSON of the body: {error}"))
    })?;
    Ok(value)
}
