//! Requests that are sent: at least once each, with a key that stays.

use std::time::Duration;

use eventfabric::plugin::Limits;
use eventfabric::runner::{
    HostConfig, RebuildError, RebuildOptions, RebuildProgress, deploy, rebuild,
};
use eventfabric::store::{LetterFilter, dead_letters, requeue};
use eventfabric_tests::wasm;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::runners::rig::{
    Process, Running, World, deploy_bytes, deploy_guest, other_version, quick, until,
};
use super::{Reply, Rig, Server, grant, strict};

const DEAD: &str = "SELECT count(*) FROM eventfabric.outbox_dead_letters";

#[tokio::test]
async fn a_request_comes_with_its_body_and_a_key_of_the_event() {
    let rig = Rig::new().await;
    let request =
        json!({"url": rig.server.url("/hook?x=1"), "body": "told", "headers": [["X-Own", "1"]]});
    let answers = rig.outcomes(&[request.clone(), request]).await;
    assert!(answers.iter().all(|(outcome, _)| outcome == "200"), "{answers:?}");
    let requests = rig.server.requests();
    assert_eq!(requests.len(), 2);
    let id = rig.world.texts("SELECT event_id::text FROM eventfabric.events").await.remove(0);
    let id: Uuid = id.parse().unwrap();
    for (number, request) in (1..).zip(&requests) {
        assert_eq!(
            (request.line.as_str(), request.body.as_str()),
            ("POST /hook?x=1 HTTP/1.1", "told")
        );
        assert_eq!(request.header("x-own"), "1");
        assert_eq!(request.header("host"), format!("127.0.0.1:{}", rig.server.port));
        assert!(request.header("user-agent").starts_with("eventfabric/"));
        let key = Uuid::new_v5(&id, format!("reactor/{number}").as_bytes());
        assert_eq!(request.key(), format!("\"{key}\""));
    }
    rig.running.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_outcome_and_no_secret_of_them_is_logged() {
    let (world, server) = (World::new().await, Server::start().await);
    let running = Running::start(&world, quick()).await;
    grant(&running.host, "reactor", &[&server.grant()]).await;
    deploy_guest(&running.host, "reactor").await;
    running.stop().await;
    let args = ["run", "--http", "127.0.0.1:0", "--http-no-tokens"];
    let host = Process::start(&world, &args, &[]);
    server.reply(Reply::Status(503));
    let request = |url: &str| json!({"url": url, "body": "a secret", "headers": [["authorization", "a secret"]]});
    let url = server.url("/hook?token=secret");
    let deeds =
        [json!({"requests": [request(&url), request("http://a.example/?secret"), request(&url)]})];
    let stream = eventfabric::event::StreamId::new("Asked", "1");
    super::append(&world.store().await, stream, "Asked", &deeds).await;
    world.until_number("SELECT count(*) FROM reactor.sent", 3).await;
    let log = host.log();
    let port = log.split("http://127.0.0.1:").nth(1).expect("the log says where it listens");
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    // The first one in a process is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (outcome, times) in [("2xx", 1), ("5xx", 1), ("denied", 1)] {
        let line = |labels: &str| format!("eventfabric_reactor_requests_total{{{labels}}} {times}");
        let (a, b) = ("projection=\"reactor\"", format!("outcome=\"{outcome}\""));
        let there = [line(&format!("{a},{b}")), line(&format!("{b},{a}"))];
        assert!(there.iter().any(|line| metrics.contains(line)), "{outcome}: {metrics}");
    }
    assert!(
        metrics.contains("eventfabric_reactor_request_seconds_count{projection=\"reactor\"} 3")
    );
    host.until_log("a request was refused").await;
    host.until_log("a.example").await;
    assert!(!host.log().contains("secret"), "{}", host.log());
    host.signal("TERM");
    host.succeeded().await;
}

#[tokio::test]
async fn a_server_that_failed_is_asked_again_with_the_same_key() {
    let rig = Rig::new().await;
    rig.server.reply(Reply::Status(500));
    rig.server.reply(Reply::Status(429));
    rig.ask(&[strict(&rig.server.url("/"))]).await;
    rig.until_handled(1).await;
    let keys = rig.server.keys();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(rig.world.number(DEAD).await, 0);
    rig.running.stop().await;
}

#[tokio::test]
async fn what_a_server_refuses_is_a_dead_letter_and_a_requeue_sends_the_same_key() {
    let rig = Rig::new().await;
    for _ in 0..3 {
        rig.server.reply(Reply::Status(400));
    }
    rig.ask(&[strict(&rig.server.url("/a"))]).await;
    rig.world.until_number(DEAD, 1).await;
    rig.ask(&[strict(&rig.server.url("/b"))]).await;
    rig.until_handled(1).await;
    let letter =
        dead_letters(&rig.world.eyes, &LetterFilter::default(), 1).await.unwrap().remove(0);
    let error = letter.error.unwrap();
    assert!(error.contains("the server answered 400"), "{error}");
    requeue(&rig.world.eyes, &LetterFilter::ALL).await.unwrap();
    rig.until_handled(2).await;
    let refused: Vec<String> = (rig.server.requests().iter())
        .filter(|request| request.line.starts_with("POST /a"))
        .map(|request| request.key())
        .collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert!(refused.iter().all(|key| *key == refused[0]), "{refused:?}");
    rig.running.stop().await;
}

#[tokio::test]
async fn a_plugin_that_traps_after_its_request_sends_it_again_with_the_same_key() {
    let rig = Rig::new().await;
    let mut deed = strict(&rig.server.url("/"));
    deed["trap"] = true.into();
    rig.ask(&[deed]).await;
    rig.world.until_number(DEAD, 1).await;
    let keys = rig.server.keys();
    assert_eq!(keys.len(), 3, "as many as attempts");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    rig.running.stop().await;
}

#[tokio::test]
async fn a_host_that_is_killed_after_the_answer_leaves_it_to_the_next_one_to_send_it_again() {
    let (world, server) = (World::new().await, Server::start().await);
    let running = Running::start(&world, quick()).await;
    grant(&running.host, "reactor", &[&server.grant()]).await;
    deploy_guest(&running.host, "reactor").await;
    running.stop().await;
    // The first request is answered, and while the second one waits the host is killed: three times.
    for _ in 0..3 {
        server.reply(Reply::Status(200));
        server.reply(Reply::Silence);
    }
    let request = json!({"url": server.url("/")});
    let store = world.store().await;
    let stream = eventfabric::event::StreamId::new("Asked", "1");
    let deed = json!({"strict": true, "requests": [request, request]});
    super::append(&store, stream, "Asked", &[deed]).await;
    for killed in 1..=3 {
        let mut host = Process::host(&world, None, &[]);
        until("the second request is there", async || server.requests().len() == 2 * killed).await;
        host.signal("KILL");
        host.ended().await;
        assert_eq!(world.number("SELECT count(*) FROM reactor.sent").await, 0);
    }
    let host = Process::host(&world, None, &[]);
    world.until_number("SELECT count(*) FROM reactor.sent", 2).await;
    let keys = server.keys();
    assert_eq!(keys.len(), 8);
    assert_ne!(keys[0], keys[1]);
    assert!(keys.chunks(2).all(|pair| pair == &keys[..2]), "{keys:?}");
    host.signal("TERM");
    host.succeeded().await;
}

#[tokio::test]
async fn the_time_that_a_server_takes_is_not_that_of_the_batch_and_has_a_limit_of_its_own() {
    let config = quick();
    let (batch, request_time_total) = (Duration::from_secs(1), Duration::from_secs(8));
    let limits = Limits { batch, request_time_total, ..config.limits };
    let rig = Rig::of(HostConfig { limits, ..config }).await;
    // Longer than a batch, and than a transaction in which nothing happens is left alone otherwise.
    rig.server.reply(Reply::Late(Duration::from_millis(6500)));
    rig.server.reply(Reply::Silence);
    let request = json!({"url": rig.server.url("/")});
    let requests = [request.clone(), request.clone(), request];
    let outcomes = rig.outcomes(&requests).await;
    let [(first, _), (second, why), (third, over)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!([first, second, third], ["200", "timeout", "timeout"], "{outcomes:?}");
    assert!(why.contains("no whole answer within 1."), "what is left: {why}");
    assert!(over.contains("limits.request_time_total"), "{over}");
    assert_eq!(rig.server.requests().len(), 2);
    rig.running.stop().await;
}

#[tokio::test]
async fn a_grant_that_is_taken_away_holds_no_longer_for_the_next_request() {
    let rig = Rig::new().await;
    let request = json!({"url": rig.server.url("/")});
    assert_eq!(rig.outcome(request.clone()).await.0, "200");
    let sandbox = rig.running.host.registry().sandbox();
    let gone = [rig.server.grant().parse().unwrap()];
    sandbox.change_grants("reactor", &[], &gone, None).await.unwrap();
    let (outcome, why) = rig.outcome(request.clone()).await;
    assert_eq!(outcome, "denied");
    assert!(why.contains(&format!("plugin grants reactor --add {}", rig.server.grant())), "{why}");
    assert_eq!(rig.server.requests().len(), 1, "the open connection is not used");
    sandbox.change_grants("reactor", &gone, &[], None).await.unwrap();
    assert_eq!(rig.outcome(request).await.0, "200");
    rig.running.stop().await;
}

#[tokio::test]
async fn a_reactor_without_a_grant_or_of_another_mode_is_not_deployed() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    let refused = async |guest: &str| {
        let bytes = std::fs::read(wasm(guest)).unwrap();
        let deployed = deploy(running.host.registry(), bytes.into(), "a test", 100).await;
        deployed.unwrap_err().to_string()
    };
    let error = refused("reactor").await;
    assert!(error.contains("imports eventfabric:reactor/outgoing"), "{error}");
    assert!(error.contains("eventfabric plugin grants reactor --add https:HOST:PORT"), "{error}");
    let error = refused("reactor_inline").await;
    assert!(error.contains("is inline") && error.contains("async"), "{error}");
    // What others may do is not what it may.
    grant(&running.host, "reactor", &["https:hooks.example.com"]).await;
    deploy_guest(&running.host, "reactor").await;
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_by_a_trial_and_there_is_no_rebuild() {
    let rig = Rig::new().await;
    rig.ask(&[strict(&rig.server.url("/"))]).await;
    rig.until_handled(1).await;
    let host = &rig.running.host;
    let deployed = deploy_bytes(host, other_version("reactor")).await;
    assert_eq!((deployed.unchanged, deployed.tried), (false, 0));
    let progress = watch::Sender::new(RebuildProgress::default());
    let stop = CancellationToken::new();
    let options = RebuildOptions::default();
    let error = rebuild(host.registry(), "reactor", &options, &progress, &stop).await.unwrap_err();
    assert!(matches!(error, RebuildError::Reactor(_)), "{error}");
    assert!(error.to_string().contains("dlq requeue"), "{error}");
    rig.ask(&[strict(&rig.server.url("/"))]).await;
    rig.until_handled(2).await;
    assert_eq!(rig.server.requests().len(), 2);
    rig.running.stop().await;
}

#[tokio::test]
async fn servers_that_do_not_answer_keep_no_other_projection_waiting() {
    let rig = Rig::new().await;
    deploy_guest(&rig.running.host, "hostile_async").await;
    for _ in 0..50 {
        rig.server.reply(Reply::Silence);
    }
    let deeds = vec![json!({"requests": [{"url": rig.server.url("/")}]}); 50];
    rig.ask(&deeds).await;
    until("the first request waits", async || !rig.server.requests().is_empty()).await;
    let begun = std::time::Instant::now();
    // A failure, too, is tried again meanwhile.
    let deeds = [json!({}), json!({"do": "poison"}), json!({})];
    super::super::runners::rig::deeds(rig.running.host.store(), &deeds).await;
    // It takes the events of the reactor, too.
    rig.world.until_number("SELECT count(*) FROM hostile_async.seen", 52).await;
    rig.world.until_number(DEAD, 1).await;
    assert_eq!(rig.server.requests().len(), 1, "events of a reactor are sent one by one");
    assert!(begun.elapsed() < Duration::from_secs(10), "the others waited for the first answer");
    drop(rig.server);
    rig.running.stop().await;
}
