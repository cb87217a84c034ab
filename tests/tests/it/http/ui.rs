//! The dashboard's files: what they may do in a browser, how long one keeps them, and that they are fresh.

use std::process::{Command, Stdio};

use eventfabric::http::{HttpConfig, Scope, TokenConfig};
use eventfabric_tests::{target_dir, workspace};
use reqwest::Method;

use super::{Api, ask, open};

const FILES: [(&str, &str); 4] = [
    ("/ui/", "text/html; charset=utf-8"),
    ("/ui/app.js", "text/javascript; charset=utf-8"),
    ("/ui/app.css", "text/css; charset=utf-8"),
    ("/ui/icon.svg", "image/svg+xml"),
];

#[tokio::test]
async fn the_dashboard_is_served_to_everybody_and_may_load_nothing_from_elsewhere() {
    let tokens = vec![TokenConfig {
        name: "one".to_owned(),
        token: Some("0123456789abcdef".to_owned()),
        token_sha256: None,
        token_env: None,
        scopes: [Scope::Admin].into(),
        tenants: None,
    }];
    let api = Api::start(HttpConfig { tokens, ..HttpConfig::default() }).await;
    for (path, media_type) in FILES {
        let answer = ask(api.get(path)).await.is(200);
        assert_eq!(answer.header("content-type"), Some(media_type), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|one| one == rule), "{rule} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let page = ask(api.get("/ui/")).await.body;
    let page = page.as_str().unwrap();
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("style="));
    assert!(!page.contains("<style") && page.matches("<script").count() == 1, "{page}");
    // What it shows needs a token all the same.
    for path in ["/v1/overview", "/v1/overview/history", "/v1/doctor"] {
        ask(api.get(path)).await.problem(401, "unauthorized");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_browser_keeps_what_it_has_asked_for_by_digest_and_asks_again_for_the_rest() {
    let api = Api::start(open()).await;
    let page = ask(api.get("/ui/")).await.is(200);
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let text = page.body.as_str().unwrap().to_owned();
    for name in ["app.js", "app.css", "icon.svg"] {
        let from = text.find(&format!("\"{name}?v=")).unwrap() + 1;
        let address = text[from..].split('"').next().unwrap();
        let kept = ask(api.get(&format!("/ui/{address}"))).await.is(200);
        assert_eq!(kept.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let other = ask(api.get(&format!("/ui/{name}?v=0123456789abcdef"))).await.is(200);
        assert_eq!(other.header("cache-control"), Some("no-cache"), "another version's digest");
        let tag = kept.header("etag").unwrap().to_owned();
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = ask(api.get(&format!("/ui/{name}")).header("if-none-match", known)).await;
            assert_eq!((again.status.as_u16(), again.body.as_str()), (304, Some("")));
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        let changed = api.get(&format!("/ui/{name}")).header("if-none-match", "\"other\"");
        ask(changed).await.is(200);
    }
    api.stop().await;
}

#[tokio::test]
async fn there_is_nothing_else_under_its_address_and_it_can_be_left_out() {
    let api = Api::start(open()).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.no_proxy().build().unwrap();
    let moved = client.get(format!("http://{}/ui", api.address)).send().await.unwrap();
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (308, &"/ui/".parse().unwrap())
    );
    for path in ["/ui/index.html", "/ui/app.js.map", "/ui/..%2fCargo.toml", "/ui/a/b"] {
        ask(api.get(path)).await.problem(404, "not-found");
    }
    ask(api.request(Method::POST, "/ui/")).await.problem(405, "method-not-allowed");
    let head = ask(api.request(Method::HEAD, "/ui/")).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, Some("")));
    api.stop().await;

    let api = Api::start(HttpConfig { ui: false, ..open() }).await;
    for path in ["/ui", "/ui/", "/ui/app.js"] {
        ask(api.get(path)).await.problem(404, "not-found");
    }
    ask(api.get("/v1/overview")).await.is(200);
    api.stop().await;
}

#[test]
fn its_files_are_what_the_sources_give() {
    let folder = workspace().join("host/ui");
    if !folder.join("node_modules/esbuild").is_dir() {
        eprintln!("skipped: esbuild is not installed; `cargo xtask ui --check` does it");
        return;
    }
    let fresh = target_dir().join("ui-fresh");
    let mut build = Command::new("node");
    build.arg("build.mjs").arg(&fresh).current_dir(&folder);
    let Ok(built) = build.stdin(Stdio::null()).output() else {
        eprintln!("skipped: there is no Node.js");
        return;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for name in ["index.html", "app.js", "app.css", "icon.svg"] {
        let read = |path: std::path::PathBuf| {
            std::fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
        };
        let same = read(fresh.join(name)) == read(folder.join("dist").join(name));
        assert!(same, "host/ui/dist/{name} is not what its sources give: run `cargo xtask ui`");
    }
}
