//! Reading a stream and the log.

use eventfabric::store::partition::{attach, detach, enable};
use serde_json::{Value, json};

use super::super::runners::rig::until;
use super::{Answer, Api, ask, each, events, open};

const STREAM: &str = "/v1/streams/Account/42/events";

/// All pages, by their links.
async fn pages(api: &Api, first: &str) -> Vec<Answer> {
    let mut pages = vec![ask(api.get(first)).await.is(200)];
    while let Some(next) = pages.last().unwrap().body["next"].as_str().map(str::to_owned) {
        pages.push(ask(api.get(&next)).await.is(200));
    }
    pages
}

fn versions(pages: &[Answer]) -> Vec<Vec<i64>> {
    pages.iter().map(|page| each(&page.body["events"], "version")).collect()
}

#[tokio::test]
async fn a_stream_is_read_in_pages_forward_and_backward() {
    let api = Api::start(open()).await;
    ask(api.post(STREAM, &events(5))).await.is(201);
    let read = async |query: &str| versions(&pages(&api, &format!("{STREAM}{query}")).await);
    assert_eq!(read("").await, [[1, 2, 3, 4, 5]]);
    assert_eq!(read("?limit=2").await, [vec![1, 2], vec![3, 4], vec![5]]);
    assert_eq!(read("?limit=5").await, [[1, 2, 3, 4, 5]]);
    assert_eq!(read("?from_version=4").await, [[4, 5]]);
    assert_eq!(read("?direction=forward&from_version=6").await, [[0; 0]]);
    assert_eq!(read("?direction=backward&limit=2").await, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(read("?direction=backward&from_version=2").await, [[2, 1]]);
    assert_eq!(read("?direction=backward&from_version=99&limit=5").await, [[5, 4, 3, 2, 1]]);
    let page = ask(api.get(&format!("{STREAM}?limit=1"))).await.is(200);
    assert_eq!((page.header("etag"), &page.body["version"]), (Some("\"5\""), &json!(5)));

    ask(api.get("/v1/streams/Account/43/events")).await.problem(404, "stream-not-found");
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "from_version=0",
        "from_version=-1",
        "from_version=2147483648",
        "direction=up",
        "limit=1&limit=2",
        "form_version=3",
        "direction=%ff",
    ] {
        ask(api.get(&format!("{STREAM}?{wrong}"))).await.problem(400, "invalid-request");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_stream_in_a_detached_partition_is_a_problem_of_its_own_and_not_empty() {
    let api = Api::start(open()).await;
    let pool = api.host.store().pool();
    enable(pool, Some(10), 10, |_| {}).await.unwrap();
    ask(api.post(STREAM, &events(1))).await.is(201);
    ask(api.post("/v1/streams/Account/43/events", &events(40))).await.is(201);
    detach(pool, "events_p1", true).await.unwrap();
    for query in ["", "?from_version=1&limit=1", "?direction=backward"] {
        let answer =
            ask(api.get(&format!("{STREAM}{query}"))).await.problem(409, "events-detached");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("partitions attach events_p1"), "{detail}");
    }
    // What does not need them is answered as ever: later versions, appends.
    ask(api.get(&format!("{STREAM}?from_version=2"))).await.is(200);
    ask(api.post(STREAM, &events(1)).header("if-match", "\"1\"")).await.is(201);
    attach(pool, "events_p1").await.unwrap();
    let page = ask(api.get(STREAM)).await.is(200);
    assert_eq!(each(&page.body["events"], "version"), [1, 2]);
    api.stop().await;
}

#[tokio::test]
async fn dismissed_events_are_left_out_unless_they_are_asked_for() {
    let api = Api::start(open()).await;
    let appended = ask(api.post(STREAM, &events(3))).await.is(201);
    let positions = each(&appended.body["events"], "position");
    api.host.store().dismiss(&[positions[1].into()], "booked twice", "ada").await.unwrap();
    for (path, query) in [(STREAM, "?"), (STREAM, "?direction=backward&"), ("/v1/events", "?")] {
        let read = async |dismissed: &str| {
            let pages = pages(&api, &format!("{path}{query}limit=1{dismissed}")).await;
            let mut versions: Vec<i64> = versions(&pages).concat();
            versions.sort_unstable();
            (versions, pages)
        };
        assert_eq!(read("").await.0, [1, 3], "{path}{query}");
        assert_eq!(read("&dismissed=excluded").await.0, [1, 3], "{path}{query}");
        let (all, pages) = read("&dismissed=included").await;
        assert_eq!(all, [1, 2, 3], "{path}{query}");
        for event in pages.iter().flat_map(|page| page.body["events"].as_array().unwrap()) {
            assert_eq!(event.get("dismissed_at").is_some(), event["version"] == 2, "{event}");
        }
        let wrong = ask(api.get(&format!("{path}{query}dismissed=yes"))).await;
        wrong.problem(400, "invalid-request");
    }
    api.stop().await;
}

#[tokio::test]
async fn names_of_a_stream_may_hold_anything_but_nul() {
    let api = Api::start(open()).await;
    for (name, path) in [
        ("a/b", "a%2Fb"),
        ("ö '; DROP TABLE x; --", "%C3%B6%20'%3B%20DROP%20TABLE%20x%3B%20--"),
        ("100%", "100%25"),
        ("{id}", "%7Bid%7D"),
        ("*", "*"),
    ] {
        let path = format!("/v1/streams/{path}/{path}/events");
        let appended = ask(api.post(&path, &events(1))).await.is(201);
        assert_eq!(appended.body["stream"]["id"], name);
        let read = ask(api.get(appended.header("location").unwrap())).await.is(200);
        assert_eq!(read.body["events"][0]["aggregate"], name);
    }
    api.stop().await;
}

#[tokio::test]
async fn the_log_is_read_from_a_position_and_filtered() {
    let api = Api::start(HttpConfigWithTenants::acme()).await;
    for (path, count) in [(STREAM, 3), ("/v1/streams/Card/1/events", 2)] {
        ask(api.post(path, &events(count))).await.is(201);
    }
    ask(api.post("/v1/tenants/acme/streams/Account/42/events", &events(1))).await.is(201);
    let opened = json!({"events": [{"type": "Card & Opened", "payload": {}}]});
    let last = ask(api.post("/v1/streams/Card/1/events", &opened)).await.is(201);
    let last = last.body["position"].as_i64().unwrap();

    let log = pages(&api, "/v1/events?limit=2").await;
    let positions: Vec<i64> =
        log.iter().flat_map(|page| each(&page.body["events"], "position")).collect();
    assert_eq!(positions.len(), 6, "the events of the default tenant");
    assert!(positions.is_sorted() && positions[5] == last);
    let end = &log.last().unwrap().body;
    assert!(end["after"].as_i64() >= Some(last) && end["head"].as_i64() >= Some(last));
    let after = format!("/v1/events?after={}", end["after"]);
    let nothing = ask(api.get(&after)).await.is(200);
    assert_eq!((&nothing.body["events"], &nothing.body["next"]), (&json!([]), &Value::Null));

    let count = async |query: &str| {
        let log = pages(&api, &format!("/v1/events?limit=1&{query}")).await;
        log.iter().map(|page| page.body["events"].as_array().unwrap().len()).sum::<usize>()
    };
    assert_eq!(count("type=Counted").await, 5);
    assert_eq!(count("aggregate=Card").await, 3);
    assert_eq!(count("type=Card%20%26%20Opened&type=Nothing&aggregate=Card&aggregate=X").await, 1);
    assert_eq!(count(&format!("after={}", last - 1)).await, 1);
    assert_eq!(count(&format!("after={}", i64::MAX)).await, 0);
    let acme = pages(&api, "/v1/tenants/acme/events").await;
    assert_eq!(acme[0].body["events"].as_array().unwrap().len(), 1);
    assert_eq!(acme[0].body["events"][0]["tenant"], "acme");
    for wrong in ["after=-1", "after=x", "after=9223372036854775808", "typ=x", "type=%00"] {
        ask(api.get(&format!("/v1/events?{wrong}"))).await.problem(400, "invalid-request");
    }
    api.stop().await;
}

#[tokio::test]
async fn what_was_appended_is_in_the_log_that_is_read_next() {
    let api = Api::start(open()).await;
    until("the host runs", async || ask(api.get("/readyz")).await.status == 200).await;
    for _ in 0..20 {
        let position = ask(api.post(STREAM, &events(1))).await.is(201).body["position"].clone();
        let after = position.as_i64().unwrap() - 1;
        let log = ask(api.get(&format!("/v1/events?after={after}"))).await.is(200);
        assert_eq!(log.body["events"][0]["position"], position, "{}", log.body);
    }
    api.stop().await;
}

struct HttpConfigWithTenants;

impl HttpConfigWithTenants {
    fn acme() -> eventfabric::http::HttpConfig {
        eventfabric::http::HttpConfig { tenants: vec!["acme".to_owned()], ..open() }
    }
}
