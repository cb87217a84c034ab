//! Subscribing to the log: server-sent events, resumed after the last one that was seen.

use std::collections::VecDeque;
use std::time::Duration;

use eventfabric::http::{HttpConfig, HttpLimits};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::super::runners::rig::until;
use super::{Api, ask, events, open};

const SUBSCRIBE: &str = "/v1/events/subscribe";
/// Longer than any test; what does not come in this time never does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client as the standard has it: it keeps the last id, and dispatches what has data.
struct Client {
    chunks: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
    frames: VecDeque<(Option<String>, Option<String>)>,
    last_id: String,
}

impl Client {
    /// Connects after an id; an empty one is none.
    async fn connect(api: &Api, query: &str, last_id: &str) -> Self {
        let mut get = api.get(&format!("{SUBSCRIBE}?{query}"));
        if !last_id.is_empty() {
            get = get.header("last-event-id", last_id);
        }
        let response = get.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let chunks = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())).boxed();
        let last_id = last_id.to_owned();
        Self { chunks, text: String::new(), frames: VecDeque::new(), last_id }
    }

    /// The next event; none when the server has ended the subscription.
    async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                while let Some((id, data)) = self.frames.pop_front() {
                    if let Some(id) = id {
                        self.last_id = id;
                    }
                    if let Some(data) = data {
                        return Some(serde_json::from_str(&data).unwrap());
                    }
                }
                let chunk = self.chunks.next().await?.ok()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
                while let Some((frame, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        let mut lines = frame.lines().filter_map(|line| line.strip_prefix(name));
                        lines.next().map(|value| value.trim().to_owned())
                    };
                    self.frames.push_back((field("id:"), field("data:")));
                    self.text = rest.to_owned();
                }
            }
        })
        .await
        .expect("a subscription says something")
    }

    async fn position(&mut self) -> i64 {
        self.next().await.expect("an event")["position"].as_i64().unwrap()
    }
}

fn limits(limits: HttpLimits) -> HttpConfig {
    HttpConfig { limits, tenants: vec!["acme".to_owned()], ..open() }
}

#[tokio::test]
async fn a_subscription_brings_what_is_there_and_what_comes_filtered() {
    let api = Api::start(limits(HttpLimits::default())).await;
    let append = async |path: &str, event_type: &str| {
        let body = json!({"events": [{"type": event_type, "payload": {"line": "a\nb\r\n\nc"}}]});
        ask(api.post(path, &body)).await.is(201).body["position"].as_i64().unwrap()
    };
    let account = append("/v1/streams/Account/1/events", "Opened").await;
    append("/v1/streams/Card/1/events", "Opened").await;
    append("/v1/streams/Account/1/events", "Closed").await;
    append("/v1/tenants/acme/streams/Account/1/events", "Opened").await;
    let mut client = Client::connect(&api, "type=Opened&aggregate=Account", "").await;
    let event = client.next().await.unwrap();
    assert_eq!(event["position"], account);
    assert_eq!(event["payload"]["line"], "a\nb\r\n\nc");
    let later = append("/v1/streams/Account/2/events", "Opened").await;
    assert_eq!(client.position().await, later);

    let mut acme = Client::connect(&api, "", "").await;
    assert_eq!(acme.position().await, account);
    let mut after = Client::connect(&api, &format!("after={account}&aggregate=Account"), "").await;
    assert_eq!(after.next().await.unwrap()["type"], "Closed");
    // What was seen last wins over where the subscription once began.
    let mut resumed =
        Client::connect(&api, "after=0&aggregate=Account", &(later - 1).to_string()).await;
    assert_eq!(resumed.position().await, later);
    api.stop().await;
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_a_hundred_times_sees_each_event_once_in_order() {
    const WRITERS: usize = 4;
    const APPENDS: usize = 100;
    let api = Api::start(open()).await;
    let write = async {
        let writers = (0..WRITERS).map(|writer| {
            let api = &api;
            async move {
                for n in 0..APPENDS {
                    let path = format!("/v1/streams/Account/{writer}/events");
                    // Some are refused, and leave holes in the positions.
                    let refused = api.post(&path, &events(1)).header("if-match", "\"9999\"");
                    ask(refused).await.problem(412, "expected-version-conflict");
                    ask(api.post(&path, &events(1 + n % 3))).await.is(201);
                }
            }
        });
        futures::future::join_all(writers).await;
    };
    let read = async {
        let (mut seen, mut last_id, mut cuts, mut chance) =
            (Vec::new(), String::new(), 0, Chance(42));
        let total: usize = WRITERS * (0..APPENDS).map(|n| 1 + n % 3).sum::<usize>();
        while seen.len() < total {
            let mut client = Client::connect(&api, "", &last_id).await;
            // The last cuts are spread over what is left, so that there are a hundred at least.
            let left = (total - seen.len()) as u64;
            let most = (2 * left / 101_u64.saturating_sub(cuts).max(1)).max(1);
            let take = if cuts < 100 { chance.below(most) } else { left };
            for _ in 0..take {
                seen.push(client.position().await);
            }
            // Cut in the middle of whatever is on its way.
            last_id = client.last_id;
            cuts += 1;
        }
        assert!(cuts > 100, "{cuts}");
        seen
    };
    let ((), seen) = futures::join!(write, read);
    let log = sqlx::query_scalar("SELECT global_position FROM eventfabric.events ORDER BY 1");
    let log: Vec<i64> = log.fetch_all(&mut api.db.connect().await).await.unwrap();
    assert_eq!(seen, log);
    api.stop().await;
}

#[tokio::test]
async fn heartbeats_carry_how_far_a_filter_has_looked() {
    let quick = HttpLimits { heartbeat: Duration::from_millis(50), ..HttpLimits::default() };
    let api = Api::start(limits(quick)).await;
    let position = ask(api.post("/v1/streams/Account/1/events", &events(3))).await.is(201);
    let position = position.body["position"].to_string();
    let mut client = Client::connect(&api, "type=Other", "").await;
    // Heartbeats have no data, so `next` keeps their ids and goes on.
    let body = json!({"events": [{"type": "Other", "payload": {}}]});
    while client.last_id != position {
        let _ = tokio::time::timeout(Duration::from_millis(100), client.next()).await;
    }
    ask(api.post("/v1/streams/Account/1/events", &body)).await.is(201);
    assert_eq!(client.next().await.unwrap()["type"], "Other");
    api.stop().await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_time_and_with_the_host() {
    let short = HttpLimits { subscription: Duration::from_millis(100), ..HttpLimits::default() };
    let api = Api::start(limits(short)).await;
    assert_eq!(Client::connect(&api, "", "").await.next().await, None);
    api.stop().await;

    let api = Api::start(open()).await;
    let mut client = Client::connect(&api, "", "").await;
    let (ended, ()) = futures::join!(client.next(), api.stop());
    assert_eq!(ended, None);
}

#[tokio::test]
async fn one_subscription_too_many_is_told_to_come_back_and_a_place_is_given_back() {
    let one = HttpLimits { subscriptions: 1, ..HttpLimits::default() };
    let api = Api::start(limits(one)).await;
    let first = Client::connect(&api, "", "").await;
    let refused = ask(api.get(SUBSCRIBE)).await.problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(first);
    until("the place is free", async || api.get(SUBSCRIBE).send().await.unwrap().status() == 200)
        .await;
    for wrong in ["-1", "x", "9223372036854775808"] {
        let get = api.get(SUBSCRIBE).header("last-event-id", wrong);
        ask(get).await.problem(400, "invalid-request");
    }
    ask(api.get(&format!("{SUBSCRIBE}?limit=1"))).await.problem(400, "invalid-request");
    api.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_and_its_place_given_back() {
    let stalled = Duration::from_secs(1);
    let limits = limits(HttpLimits { subscriptions: 1, stalled, ..HttpLimits::default() });
    let api = Api::start(limits).await;
    // More than the buffers of both sides of a socket hold.
    let large = json!({"events": [{"type": "Large", "payload": {"text": "x".repeat(500_000)}}]});
    for _ in 0..40 {
        ask(api.post("/v1/streams/Account/1/events", &large)).await.is(201);
    }
    let mut silent = tokio::net::TcpStream::connect(api.address).await.unwrap();
    let request = format!("GET {SUBSCRIBE} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    silent.write_all(request.as_bytes()).await.unwrap();
    until("the silent client has the place", async || {
        api.get(SUBSCRIBE).send().await.unwrap().status() == 503
    })
    .await;
    until("it has lost the place", async || {
        api.get(SUBSCRIBE).send().await.unwrap().status() == 200
    })
    .await;
    drop(silent);
    api.stop().await;
}
