//! Who may do what.

use eventfabric::http::{HttpConfig, Scope, TokenConfig};
use reqwest::RequestBuilder;

use super::{Api, ask, events};

const STREAM: &str = "/v1/streams/Account/42/events";
const OF_ACME: &str = "/v1/tenants/acme/streams/Account/42/events";

fn token(name: &str, scopes: &[Scope], tenants: Option<&[&str]>) -> TokenConfig {
    TokenConfig {
        name: name.to_owned(),
        token: Some(secret(name)),
        token_sha256: None,
        token_env: None,
        scopes: scopes.iter().copied().collect(),
        tenants: tenants.map(|tenants| tenants.iter().map(|&tenant| tenant.to_owned()).collect()),
    }
}

fn secret(name: &str) -> String {
    format!("the-secret-token-of-{name}")
}

async fn api() -> Api {
    let tokens = vec![
        token("writer", &[Scope::Append], None),
        token("reader", &[Scope::Read], None),
        token("acme", &[Scope::Append, Scope::Read], Some(&["acme"])),
        token("umbrella", &[Scope::Append, Scope::Read], Some(&["umbrella"])),
    ];
    Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await
}

fn with(request: RequestBuilder, name: &str) -> RequestBuilder {
    request.bearer_auth(secret(name))
}

#[tokio::test]
async fn nothing_is_answered_without_a_token_that_is_known() {
    let api = api().await;
    for request in [api.post(STREAM, &events(1)), api.get(STREAM), api.get("/v1/events")] {
        let refused = ask(request.try_clone().unwrap()).await.problem(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"eventfabric\""));
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic dXNlcjpwYXNz",
            "\u{7f}",
            &format!("Token {}", secret("reader")),
            &format!("Bearer {} x", secret("reader")),
        ] {
            let Ok(value) = reqwest::header::HeaderValue::from_bytes(header.as_bytes()) else {
                continue;
            };
            let wrong = request.try_clone().unwrap().header("authorization", value);
            ask(wrong).await.problem(401, "unauthorized");
        }
    }
    ask(with(api.get("/v1/events"), "reader")).await.is(200);
    let lower =
        api.get("/v1/events").header("authorization", format!("bearer {}", secret("reader")));
    ask(lower).await.is(200);
    assert_eq!(api.rows().await, (0, 0, 0));
    api.stop().await;
}

#[tokio::test]
async fn a_token_allows_what_its_scopes_name() {
    let api = api().await;
    ask(with(api.post(STREAM, &events(1)), "reader")).await.problem(403, "forbidden");
    assert_eq!(api.rows().await, (0, 0, 0));
    ask(with(api.post(STREAM, &events(1)), "writer")).await.is(201);
    ask(with(api.get(STREAM), "writer")).await.problem(403, "forbidden");
    ask(with(api.get("/v1/events"), "writer")).await.problem(403, "forbidden");
    ask(with(api.get(STREAM), "reader")).await.is(200);
    api.stop().await;
}

#[tokio::test]
async fn a_token_of_a_tenant_reaches_no_other() {
    let api = api().await;
    ask(with(api.post(OF_ACME, &events(1)), "acme")).await.is(201);
    let header = api.post(STREAM, &events(1)).header("x-tenant", "acme");
    let second = ask(with(header, "acme")).await.is(201);
    assert_eq!(second.body["version"], 2);
    assert_eq!(
        second.header("location"),
        Some("/v1/tenants/acme/streams/Account/42/events?from_version=2")
    );
    let before = api.rows().await;

    for request in [
        api.get(OF_ACME),
        api.get(STREAM),
        api.get(STREAM).header("x-tenant", "acme"),
        api.get("/v1/events"),
        api.get("/v1/tenants/acme/events"),
        api.post(OF_ACME, &events(1)),
        api.post(STREAM, &events(1)),
        api.post(STREAM, &events(1)).header("x-tenant", "acme"),
    ] {
        ask(with(request, "umbrella")).await.problem(403, "tenant-forbidden");
    }
    let both = api.get(OF_ACME).header("x-tenant", "umbrella");
    ask(with(both, "umbrella")).await.problem(400, "invalid-request");
    let own = api.get(STREAM).header("x-tenant", "umbrella");
    ask(with(own, "umbrella")).await.problem(404, "stream-not-found");

    // A taken event id, and a key, tell nothing of the other tenant's events.
    let mut same_id = events(1);
    same_id["events"][0]["event_id"] = second.body["events"][0]["event_id"].clone();
    let taken = api.post("/v1/tenants/umbrella/streams/Account/42/events", &same_id);
    let taken = ask(with(taken, "umbrella")).await.problem(409, "duplicate-event");
    assert!(!taken.body.to_string().contains("acme"), "{}", taken.body);
    assert_eq!(api.rows().await, before);

    let keyed = |tenant: &str| {
        let post = api.post(&format!("/v1/tenants/{tenant}/streams/Account/1/events"), &events(1));
        with(post.header("idempotency-key", "k"), tenant)
    };
    for tenant in ["acme", "umbrella"] {
        let made = ask(keyed(tenant)).await.is(201);
        assert_eq!(made.header("idempotent-replayed"), None, "keys of tenants are apart");
    }
    api.stop().await;
}
