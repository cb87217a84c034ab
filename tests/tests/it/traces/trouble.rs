//! What nobody asked for, what is wrong, and collectors that are.

use serde_json::json;
use tokio::net::TcpListener;

use super::super::runners::rig::Process;
use super::{Collector, STORED, TRACES, Traced, World, traceparent, until};

const DONE: &str = "SELECT count(*) FROM hostile_async.seen";

#[tokio::test]
async fn who_began_a_trace_decides_whether_it_is_recorded() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let traced = Traced::start(&world, &["hostile_async"], &collector.url, &[]).await;
    let [not, recorded] = TRACES;
    traced.append("1", &json!({}), &[("traceparent", &traceparent(not, false))]).await;
    world.until_number(DONE, 1).await;
    traced.append("2", &json!({}), &[("traceparent", &traceparent(recorded, true))]).await;
    collector.one("process hostile_async").await;
    collector.one("append Deeds").await;
    assert!(collector.spans().iter().all(|span| span.trace == recorded));
    // It goes on to whoever reads the event.
    assert_eq!(world.texts(STORED).await[0], traceparent(not, false));
}

#[tokio::test]
async fn a_sample_of_none_makes_no_spans_and_stores_nothing() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let env = [("EVENTFABRIC_TELEMETRY__SAMPLE", "0.0")];
    let traced = Traced::start(&world, &["hostile_async"], &collector.url, &env).await;
    traced.append("1", &json!({}), &[]).await;
    world.until_number(DONE, 1).await;
    traced.append("2", &json!({}), &[("traceparent", &traceparent(TRACES[0], true))]).await;
    collector.one("process hostile_async").await;
    assert!(collector.spans().iter().all(|span| span.trace == TRACES[0]));
    assert_eq!(world.texts(STORED).await.len(), 1);
}

#[tokio::test]
async fn an_invalid_traceparent_is_as_none() {
    let world = World::new().await;
    // Nobody records: what is valid is kept as it came.
    let traced = Traced::start(&world, &["hostile_async"], "", &[]).await;
    let valid = traceparent(TRACES[0], true);
    for invalid in [
        "",
        "00-0-0-0",
        &valid.to_uppercase(),
        &format!("{valid}-more"),
        &format!("ff{}", &valid[2..]),
    ] {
        traced.append("1", &json!({}), &[("traceparent", invalid)]).await;
    }
    traced.append("1", &json!({}), &[("traceparent", &valid), ("traceparent", &valid)]).await;
    assert_eq!(world.texts(STORED).await, [""; 0]);
    traced.append("1", &json!({}), &[("traceparent", &valid), ("tracestate", "no state")]).await;
    assert_eq!(world.texts(STORED).await, [valid.as_str()]);
    assert_eq!(world.number("SELECT count(tracestate) FROM eventfabric.event_traces").await, 0);
    world.until_number(DONE, 7).await;

    // Who writes one by hand is told.
    let args = ["append", "--aggregate", "Deeds", "--id", "2", "--type", "Deed", "--traceparent"];
    let mut wrong = Process::start(&world, &[&args[..], &["00-0-0-0"]].concat(), &[]);
    assert_eq!(wrong.ended().await.code(), Some(2));
    assert!(wrong.log().contains("W3C Trace Context"), "{}", wrong.log());
    Process::start(&world, &[&args[..], &[&valid]].concat(), &[("TRACEPARENT", "wrong")])
        .succeeded()
        .await;
    assert_eq!(world.texts(STORED).await, [valid.clone(), valid]);
}

#[tokio::test]
async fn a_collector_that_is_gone_or_does_not_answer_stops_nothing() {
    // One takes connections and says nothing, the other one is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [silent_url, gone_url] =
        [&silent, &gone].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(gone);
    for url in [silent_url, gone_url] {
        let world = World::new().await;
        let env = [("EVENTFABRIC_TELEMETRY__TIMEOUT", "300ms")];
        let mut traced = Traced::start(&world, &["hostile_async"], &url, &env).await;
        for id in 0..20 {
            traced.append(&id.to_string(), &json!({}), &[]).await;
        }
        world.until_number(DONE, 20).await;
        traced.host.until_log("traces cannot be sent").await;
        let counted = "eventfabric_spans_dropped_total{reason=\"collector\"}";
        until("what was dropped is counted", async || {
            traced.get("/metrics").await.contains(counted)
        })
        .await;
        let said = traced.host.log().matches("traces cannot be sent").count();
        assert_eq!(said, 1, "once, and not for each request");
        traced.append("last", &json!({}), &[]).await;
        traced.host.signal("TERM");
        assert!(traced.host.ended().await.success());
    }
}

#[tokio::test]
async fn headers_for_the_collector_are_sent_and_never_shown() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let env = [
        ("EVENTFABRIC_TELEMETRY__HEADERS__X-TOKEN", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20hunter3"),
        ("OTEL_SERVICE_NAME", "orders"),
        ("EVENTFABRIC_LOG", "trace"),
    ];
    let traced = Traced::start(&world, &[], &collector.url, &env).await;
    traced.append("1", &json!({}), &[]).await;
    assert_eq!(collector.one("append Deeds").await.service, "orders");
    let head = collector.heads().remove(0);
    assert!(
        head.contains("x-token: hunter2") && head.contains("authorization: basic hunter3"),
        "{head}"
    );
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let log = traced.host.log();
    assert!(!log.contains("hunter2") && !log.contains("hunter3"), "a secret is in the log");
}

#[tokio::test]
async fn what_the_settings_have_wrong_is_said_at_the_start() {
    let world = World::new().await;
    for (name, value, why) in [
        ("EVENTFABRIC_TELEMETRY__OTLP", "collector", "telemetry.otlp is not the address"),
        ("EVENTFABRIC_TELEMETRY__SAMPLE", "2.0", "from 0 to 1"),
    ] {
        let mut host = Process::start(&world, &["run"], &[(name, value)]);
        assert!(!host.ended().await.success());
        assert!(host.log().contains(why), "{}", host.log());
    }
}

#[tokio::test]
async fn variables_that_are_meant_for_other_programs_stop_nothing() {
    let world = World::new().await;
    for (name, value) in
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
    {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        let command = Process::start(&world, &["stats"], &[endpoint, (name, value)]);
        command.until_log("no traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT").await;
        command.succeeded().await;
    }
}
