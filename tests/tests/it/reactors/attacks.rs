//! What a reactor, or a server that it talks to, tries and does not get.

use std::time::Duration;

use eventfabric_tests::wasm;
use serde_json::{Value, json};

use super::{Reply, Rig, Server, grant};

fn endless(first: &str, again: &str, pause: Duration) -> Reply {
    Reply::Endless(first.to_owned(), again.to_owned(), pause)
}

fn to(url: &str) -> Value {
    json!({"url": url})
}

#[tokio::test]
async fn another_host_port_or_scheme_than_those_that_are_granted_is_denied() {
    let (rig, other) = (Rig::new().await, Server::start().await);
    let port = rig.server.port;
    let urls = [
        other.url("/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::127.0.0.1]:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://metadata.google.internal/".to_owned(),
        format!("http://127.0.0.1.example.com:{port}/"),
    ];
    let outcomes = rig.outcomes(&urls.each_ref().map(|url| to(url))).await;
    for (url, (outcome, why)) in urls.iter().zip(outcomes) {
        assert_eq!(outcome, "denied", "{url}: {why}");
    }
    assert!(rig.server.requests().is_empty() && other.requests().is_empty());
    rig.running.stop().await;
}

#[tokio::test]
async fn an_address_in_disguise_is_no_url() {
    let rig = Rig::new().await;
    let port = rig.server.port;
    let urls = [
        format!("http://2130706433:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://127.0.0.1.:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1%25lo]:{port}/"),
        format!("http://a.example@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@a.example/"),
        format!("http://127.0.0.1:{port}\\@a.example/"),
        format!("http://\u{ff11}27.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        "file:///etc/passwd".to_owned(),
    ];
    let outcomes = rig.outcomes(&urls.each_ref().map(|url| to(url))).await;
    for (url, (outcome, why)) in urls.iter().zip(outcomes) {
        assert_eq!(outcome, "invalid", "{url}: {why}");
    }
    assert!(rig.server.requests().is_empty());
    rig.running.stop().await;
}

#[tokio::test]
async fn a_name_that_is_granted_does_not_lead_into_the_operators_network() {
    let rig = Rig::new().await;
    let port = rig.server.port;
    // The one name that each machine has; it is at an address of this machine, or of the network it is in.
    let name = std::fs::read_to_string("/etc/hostname").unwrap().trim().to_ascii_lowercase();
    let names = [name.as_str(), "ip6-localhost", "localhost.localdomain"];
    for name in names {
        grant(&rig.running.host, "reactor", &[&format!("http:{name}:{port}")]).await;
        let (outcome, why) = rig.outcome(to(&format!("http://{name}:{port}/"))).await;
        let unknown = outcome == "connection" && why.contains("has no address");
        assert!(
            unknown || (outcome == "denied" && why.contains("no public address")),
            "{name}: {why}"
        );
    }
    assert!(rig.server.requests().is_empty());
    grant(&rig.running.host, "reactor", &[&format!("http:localhost:{port}")]).await;
    assert_eq!(rig.outcome(to(&format!("http://LocalHost:{port}/"))).await.0, "200");
    rig.running.stop().await;
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (rig, other) = (Rig::new().await, Server::start().await);
    for place in [other.url("/"), rig.server.url("/again"), "//169.254.169.254/".to_owned()] {
        let head = format!("HTTP/1.1 307 So\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
        rig.server.reply(Reply::Raw(head));
        assert_eq!(rig.outcome(to(&rig.server.url("/"))).await.0, "307");
    }
    assert_eq!(rig.server.requests().len(), 3);
    assert!(other.requests().is_empty());
    rig.running.stop().await;
}

#[tokio::test]
async fn headers_that_are_the_hosts_and_line_breaks_in_headers_are_invalid() {
    let rig = Rig::new().await;
    let headers = [
        ("Host", "a.example"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding ", "chunked"),
        ("Connection", "upgrade"),
        ("Upgrade", "h2c"),
        ("Idempotency-Key", "\"mine\""),
        ("x", "1\r\nTransfer-Encoding: chunked"),
        ("x", "1\nHost: a.example"),
        ("x\r\nHost", "a.example"),
    ];
    let requests: Vec<Value> = headers
        .iter()
        .map(|header| json!({"url": rig.server.url("/"), "headers": [header], "body": "GET / HTTP/1.1\r\n\r\n"}))
        .collect();
    for (header, (outcome, why)) in headers.iter().zip(rig.outcomes(&requests).await) {
        assert_eq!(outcome, "invalid", "{header:?}: {why}");
    }
    assert!(rig.server.requests().is_empty());
    rig.running.stop().await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off_and_one_that_is_none_is_an_error() {
    let rig = Rig::narrow().await;
    let at_once = Duration::ZERO;
    for (reply, expected) in [
        (endless("HTTP/1.1 200 So\r\n\r\n", "many bytes\n", at_once), "limit"),
        (
            endless(
                "HTTP/1.1 200 So\r\ntransfer-encoding: chunked\r\n\r\n",
                "a\r\nmany bytes\r\n",
                at_once,
            ),
            "limit",
        ),
        (endless("HTTP/1.1 200 So\r\n", "x-many: headers\r\n", at_once), "limit"),
        (endless("HTTP/1.1 200 So\r\nx-long: ", &"header".repeat(1000), at_once), "limit"),
        (Reply::Raw("HTTP/1.1 200 So\r\ncontent-length: 99999999999\r\n\r\n".to_owned()), "limit"),
        (
            Reply::Raw(format!(
                "HTTP/1.1 200 So\r\ncontent-length: 0\r\nx-long: {}\r\n\r\n",
                "x".repeat(5000)
            )),
            "limit",
        ),
        (Reply::Raw("SSH-2.0-OpenSSH_9.9\r\n".to_owned()), "connection"),
        (
            Reply::Raw(
                "HTTP/1.1 200 So\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
            ),
            "connection",
        ),
    ] {
        rig.server.reply(reply.clone());
        let (outcome, why) = rig.outcome(to(&rig.server.url("/"))).await;
        assert_eq!(outcome, expected, "{reply:?}: {why}");
    }
    assert_eq!(rig.outcome(to(&rig.server.url("/"))).await.0, "200", "and it goes on");
    rig.running.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_drop_by_drop_has_its_time_and_no_more() {
    let rig = Rig::new().await;
    let pause = Duration::from_millis(20);
    for reply in [
        Reply::Silence,
        endless("HTTP/1.1 200 So\r\n", "", pause),
        endless("HTTP/1.1 200 So\r\n\r\n", ".", pause),
        endless("HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n", pause),
    ] {
        rig.server.reply(reply.clone());
        let request = json!({"url": rig.server.url("/"), "timeout_ms": 300});
        let (outcome, why) = rig.outcome(request).await;
        assert_eq!(outcome, "timeout", "{reply:?}: {why}");
        assert!(why.contains("300ms"), "{why}");
    }
    rig.running.stop().await;
}

#[tokio::test]
async fn a_batch_has_so_many_requests_and_so_much_time_for_them_and_each_so_many_bytes() {
    let rig = Rig::narrow().await;
    let url = rig.server.url("/");
    let (outcome, why) = rig.outcome(json!({"url": url, "bytes": 5000})).await;
    assert_eq!(outcome, "limit");
    assert!(why.contains("limits.request_bytes"), "{why}");
    rig.ask(&[json!({"requests": [{"url": url, "times": 3000}]})]).await;
    let count = |outcome: &str| {
        format!("SELECT count(*) FROM reactor.sent WHERE outcome = '{outcome}' AND bytes = 0")
    };
    rig.world.until_number(&count("200"), 20).await;
    rig.world.until_number(&count("limit"), 2981).await;
    assert_eq!(rig.server.requests().len(), 20);
    rig.running.stop().await;
}

#[test]
fn only_a_plugin_that_sends_has_the_import() {
    let has = |name: &str| {
        let bytes = std::fs::read(wasm(name)).unwrap();
        let import = b"eventfabric:reactor/outgoing";
        bytes.windows(import.len()).any(|window| window == import)
    };
    assert!(has("webhooks") && has("reactor"));
    for plain in ["notifications", "carriers", "board", "hostile_async"] {
        assert!(!has(plain), "{plain}");
    }
}
