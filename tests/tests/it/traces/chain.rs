//! What a trace shows.

use serde_json::{Value, json};

use super::super::runners::rig::Process;
use super::{Collector, STORED, TRACES, Traced, World, traceparent, until};

/// A deed that runs a statement with a value of its own, and logs a line.
fn deed() -> Value {
    json!({"do": "log_flood", "n": 1})
}

#[tokio::test]
async fn a_trace_leads_from_the_request_to_each_statement_and_log_line() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let guests = ["hostile_inline", "hostile_catchup", "hostile_async"];
    let traced = Traced::start(&world, &guests, &collector.url, &[]).await;
    let [trace, _] = TRACES;
    let parent = traceparent(trace, true);
    traced.append("1", &deed(), &[("traceparent", &parent), ("tracestate", "vendor=x")]).await;

    let request = collector.one("POST /v1/streams/{aggregate}/{id}/events").await;
    assert_eq!((request.kind, request.parent.as_str()), (2, super::SPAN));
    assert_eq!(request.attributes["http.response.status_code"], "201");
    assert_eq!(request.service, "eventfabric");
    let append = collector.one("append Deeds").await;
    assert_eq!((append.kind, &append.parent), (4, &request.id));
    assert_eq!(append.attributes["eventfabric.event_type"], "Deed");
    let mut handled = Vec::new();
    for guest in guests {
        let within = match guest {
            "hostile_inline" => append.clone(),
            _ => {
                let process = collector.one(&format!("process {guest}")).await;
                assert_eq!((process.kind, &process.parent), (5, &append.id));
                assert_eq!(
                    process.attributes["messaging.message.id"],
                    append.attributes["messaging.message.id"]
                );
                process
            }
        };
        let handle = collector.one(&format!("handle {guest}")).await;
        assert_eq!((handle.kind, &handle.parent), (1, &within.id));
        assert_eq!(handle.events.len(), 1, "{handle:#?}");
        assert_eq!(handle.events[0]["log.message"], "line 0");
        handled.push(handle);
    }
    for statement in &collector.named("BATCH INSERT", 3).await {
        let within = handled.iter().find(|handle| handle.id == statement.parent);
        assert!(within.is_some(), "{statement:#?}");
        assert_eq!(statement.kind, 3);
        assert_eq!(statement.attributes["db.system.name"], "postgresql");
        let text = &statement.attributes["db.query.text"];
        assert_eq!(text, "INSERT INTO seen (position, note) VALUES ($1, $2)");
        assert_eq!(statement.attributes["eventfabric.rows"], "1");
    }
    assert!(
        collector.spans().iter().all(|span| span.trace == trace),
        "of one trace: nothing else was asked"
    );

    // The lines that the plugins logged name the trace, and the span that they were logged in.
    let lines = traced.lines_of(trace);
    let said: Vec<&Value> = lines.iter().filter(|line| line["message"] == "line 0").collect();
    assert_eq!(said.len(), 3, "{lines:#?}");
    for handle in &handled {
        assert!(said.iter().any(|line| line["span_id"] == handle.id.as_str()), "{said:#?}");
    }

    // Whoever reads the event finds the trace with it.
    let stored = format!("00-{trace}-{}-01", append.id);
    assert_eq!(world.texts(STORED).await, [stored.as_str()]);
    assert_eq!(world.texts("SELECT tracestate FROM eventfabric.event_traces").await, ["vendor=x"]);
    for path in ["/v1/streams/Deeds/1/events", "/v1/events"] {
        let page: Value = serde_json::from_str(&traced.get(path).await).unwrap();
        assert_eq!(page["events"][0]["traceparent"], stored.as_str(), "{path}");
    }
    let shown = Process::start(&world, &["events", "Deeds/1", "--json"], &[]);
    until("the event is shown", async || !shown.output().is_empty()).await;
    let shown: Value = serde_json::from_str(&shown.output()).unwrap();
    assert_eq!(shown["traceparent"], stored.as_str());
}

#[tokio::test]
async fn a_batch_of_two_traces_is_linked_to_both() {
    let (world, collector) = (World::new().await, Collector::start().await);
    Process::start(&world, &["migrate"], &[]).succeeded().await;
    for (trace, id) in TRACES.into_iter().zip(["1", "2"]) {
        let parent = traceparent(trace, true);
        let args = ["append", "--aggregate", "Deeds", "--id", id, "--type", "Deed"];
        Process::start(&world, &args, &[("TRACEPARENT", &parent)]).succeeded().await;
    }
    let _traced = Traced::start(&world, &["hostile_catchup"], &collector.url, &[]).await;
    let batch = collector.one("process hostile_catchup").await;
    assert_eq!(batch.parent, "", "it is no part of either");
    assert!(!TRACES.contains(&batch.trace.as_str()));
    let links = TRACES.map(|trace| (trace.to_owned(), super::SPAN.to_owned()));
    assert_eq!(batch.links, links);
    assert_eq!(batch.attributes["messaging.batch.message_count"], "2");
    let handle = collector.one("handle hostile_catchup").await;
    assert_eq!(handle.parent, batch.id);
    assert!(collector.named("BATCH INSERT", 2).await.iter().all(|it| it.parent == handle.id));
}

#[tokio::test]
async fn an_event_that_fails_takes_its_trace_through_retries_to_the_dead_letter() {
    let (world, collector) = (World::new().await, Collector::start().await);
    let env = [
        ("EVENTFABRIC_RUNNER__ASYNC__MAX_ATTEMPTS", "3"),
        ("EVENTFABRIC_RUNNER__ASYNC__BACKOFF__BASE", "1ms"),
        ("EVENTFABRIC_RUNNER__ASYNC__BACKOFF__CAP", "5ms"),
    ];
    let traced = Traced::start(&world, &["hostile_async"], &collector.url, &env).await;
    let [trace, _] = TRACES;
    traced
        .append("1", &json!({"do": "poison"}), &[("traceparent", &traceparent(trace, true))])
        .await;
    let attempts = collector.named("process hostile_async", 3).await;
    let append = collector.one("append Deeds").await;
    for (attempt, number) in attempts.iter().zip(["1", "2", "3"]) {
        assert_eq!((&attempt.parent, attempt.failed), (&append.id, true));
        assert_eq!(attempt.attributes.get("eventfabric.attempt").map_or("1", |it| it), number);
    }
    let last = "an event became a dead letter (see `eventfabric dlq list`)";
    assert!(traced.lines_of(trace).iter().any(|line| line["message"] == last));
    let mut shown = Value::Null;
    until("the letter is there", async || {
        shown = serde_json::from_str(&traced.get("/v1/dead-letters").await).unwrap();
        shown["dead_letters"][0].is_object()
    })
    .await;
    let letter = shown["dead_letters"][0]["id"].as_i64().unwrap();
    let shown: Value =
        serde_json::from_str(&traced.get(&format!("/v1/dead-letters/{letter}")).await).unwrap();
    assert_eq!(shown["event"]["traceparent"], format!("00-{trace}-{}-01", append.id));
}
