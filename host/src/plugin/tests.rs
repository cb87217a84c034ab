//! The engine against plugins that mean no good, written in the text format of components.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::host::State;
use super::instance::{HandleStats, new_store};
use super::lines::Lines;
use super::wasi::World;
use super::{Limits, LoadError, Plugin, Runtime, failure};
use crate::event::{Event, StreamId};
use crate::projection::{FailureKind, Mode};

/// A plugin named `probe` whose functions do this before they return. `$tx`, `$events` and `$count`
/// are the parameters of `handle`.
fn component(describe: &str, handle: &str) -> Arc<[u8]> {
    let text = format!(
        r#"(component
  (import "eventfabric:projection/types@0.1.0" (instance $types
    (type $m (enum "inline" "catch-up" "async"))
    (export "mode" (type $mode (eq $m)))
    (type $f (variant (case "all") (case "include" (list string)) (case "exclude" (list string))))
    (export "topic-filter" (type $filter (eq $f)))
    (type $g (record (field "number" u32) (field "name" string) (field "sql" string)))
    (export "migration" (type $migration (eq $g)))
    (type $d (record (field "name" string) (field "text" string) (field "mode" $mode)
      (field "topics" $filter) (field "event-types" (list string))
      (field "migrations" (list $migration))))
    (export "description" (type (eq $d)))
    (type $e (record (field "position" u64) (field "id" string) (field "tenant" string)
      (field "aggregate" string) (field "aggregate-id" string) (field "version" u32)
      (field "event-type" string) (field "schema-version" u32) (field "payload" string)
      (field "occurred-at" s64) (field "correlation-id" (option string))
      (field "causation-id" (option string))))
    (export "event" (type (eq $e)))
    (type $k (enum "retry" "poison" "fatal"))
    (export "failure-kind" (type $kind (eq $k)))
    (type $x (record (field "index" (option u32)) (field "kind" $kind) (field "message" string)))
    (export "failure" (type (eq $x)))))
  (alias export $types "description" (type $description))
  (alias export $types "event" (type $event))
  (alias export $types "failure" (type $failure))
  (import "eventfabric:projection/sql@0.1.0" (instance $sql
    (export "tx" (type (sub resource)))))
  (alias export $sql "tx" (type $tx))
  (core func $drop (canon resource.drop $tx))
  (core module $module
    (import "host" "drop" (func $drop (param i32)))
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get 3)))
      (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.const 16))))))
    (func $recurse (param i32) (result i32)
      (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
    (func (export "describe") (result i32) {describe} (i32.const 256))
    (func (export "handle") (param $tx i32) (param $events i32) (param $count i32) (result i32)
      {handle}
      (call $drop (local.get $tx))
      (i32.const 1024))
    ;; name, text, mode catch-up
    (data (i32.const 256) "\00\02\00\00\05\00\00\00\00\02\00\00\05\00\00\00\01")
    (data (i32.const 512) "probe"))
  (core instance $host (export "drop" (func $drop)))
  (core instance $i (instantiate $module (with "host" (instance $host))))
  (func (export "describe") (result $description)
    (canon lift (core func $i "describe") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc"))))
  (func (export "handle") (param "tx" (borrow $tx)) (param "events" (list $event))
      (result (result (error $failure)))
    (canon lift (core func $i "handle") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc")))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}")).into()
}

fn limits() -> Limits {
    Limits {
        batch: Duration::from_millis(200),
        describe: Duration::from_millis(200),
        memory_bytes: 16 * 1024 * 1024,
        instances: 2,
        ..Limits::default()
    }
}

/// An event that says nothing.
pub fn event(position: i64) -> Event {
    Event {
        position,
        id: uuid::Uuid::from_u128(7),
        stream: StreamId::new("Account", "42"),
        version: 1,
        event_type: "Opened".to_owned(),
        schema_version: 1,
        payload: RawValue::from_string("{}".to_owned()).unwrap(),
        occurred_at: DateTime::<Utc>::UNIX_EPOCH,
        correlation_id: None,
        causation_id: None,
        dismissed_at: None,
        topic: None,
        trace: None,
    }
}

async fn load(describe: &str, handle: &str) -> Result<Plugin, LoadError> {
    Runtime::new(None, limits()).unwrap().load(component(describe, handle)).await
}

/// Runs `handle` as [`Plugin::handle`] does, but without a database.
async fn handle(plugin: &Plugin, events: &[Event]) -> Result<(), (FailureKind, String)> {
    let limits = plugin.limits.clone();
    let lines = Lines::new("probe".into(), plugin.version, String::new(), &limits, None);
    let (time, world) = (limits.batch, World::new(0, [0; 32]));
    let state = State::new(limits, time, world, lines, Arc::default(), None);
    let mut store = new_store(&plugin.shared, state);
    let outcome = plugin.contract.handle(&mut store, events, &mut HandleStats::default()).await;
    let state = store.into_data();
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err((failure.kind, failure.message)),
        Err(error) => {
            let failure = failure::stopped(&state, &error);
            Err((failure.kind, failure.message))
        }
    }
}

async fn trap(body: &str) -> String {
    let plugin = load("", body).await.unwrap();
    let started = Instant::now();
    let (kind, message) = handle(&plugin, &[event(1)]).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(kind, FailureKind::Poison, "{message}");
    message
}

#[tokio::test]
async fn a_good_plugin_describes_itself_and_handles_batch_after_batch() {
    let plugin = load("", "").await.unwrap();
    assert_eq!(plugin.description.name, "probe");
    assert_eq!(plugin.description.mode, Mode::CatchUp);
    assert_eq!(plugin.imports.len(), 2);
    let events: Vec<_> = (1..=500).map(event).collect();
    for _ in 0..20 {
        handle(&plugin, &events).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_leaks_from_one_batch_into_the_next() {
    // Traps where memory is not as at the start.
    let body = "(if (i32.load (i32.const 2048)) (then unreachable))
        (i32.store (i32.const 2048) (i32.const 1))";
    let plugin = load("", body).await.unwrap();
    for _ in 0..3 {
        handle(&plugin, &[event(1)]).await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_time() {
    assert_eq!(trap("(loop (br 0))").await, "the plugin ran longer than its 200ms");
}

#[tokio::test]
async fn an_endless_loop_leaves_the_thread_to_others() {
    // One thread: were it not given up between ticks, the other task could not run before the end.
    let plugin = load("", "(loop (br 0))").await.unwrap();
    let started = Instant::now();
    let other = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        started.elapsed()
    };
    let events = [event(1)];
    let (_, waited) = tokio::join!(handle(&plugin, &events), other);
    assert!(waited < started.elapsed(), "{waited:?}");
    assert!(waited < Duration::from_millis(180), "{waited:?}");
}

#[tokio::test]
async fn deep_recursion_is_a_trap_and_not_the_end_of_the_host() {
    let message = trap("(drop (call $recurse (i32.const 0)))").await;
    assert!(message.contains("recursed too deep (its stack has 512 KiB)"), "{message}");
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let body = "(loop (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br 0))";
    let message = trap(body).await;
    assert!(message.contains("memory above its limit of 16 MiB"), "{message}");
}

#[tokio::test]
async fn unreachable_is_told_as_a_panic() {
    let message = trap("unreachable").await;
    assert!(message.contains("unreachable (the plugin panicked)"), "{message}");
}

#[tokio::test]
async fn a_made_up_handle_traps_only_the_plugin() {
    let message = trap("(call $drop (i32.const 12345))").await;
    assert!(message.contains("unknown handle"), "{message}");
}

#[tokio::test]
async fn a_result_outside_of_memory_traps_only_the_plugin() {
    let message = trap("(call $drop (local.get $tx)) (return (i32.const 0x7ffffff0))").await;
    assert!(message.contains("out of bounds") || message.contains("pointer"), "{message}");
}

#[tokio::test]
async fn a_describe_that_loops_or_panics_is_refused() {
    for (body, expected) in
        [("(loop (br 0))", "ran longer than its 200ms"), ("unreachable", "panicked")]
    {
        let error = load(body, "").await.err().unwrap();
        assert!(matches!(error, LoadError::Describe(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_is_reserved_is_refused() {
    // "pg_be" over "probe".
    let rename = "(i64.store (i32.const 512) (i64.const 0x65625f6770))";
    let error = load(rename, "").await.err().unwrap();
    assert!(matches!(error, LoadError::InvalidName { .. }), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_not_even_parsed() {
    let runtime = Runtime::new(None, Limits { component_bytes: 10, ..limits() }).unwrap();
    let error = runtime.load(component("", "")).await.err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit: 10, .. }), "{error}");
}

#[tokio::test]
async fn a_function_of_another_type_does_not_fit_the_contract() {
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "describe") (canon lift (core func $i "f")))
        (func (export "handle") (canon lift (core func $i "f"))))"#;
    let bytes: Arc<[u8]> = wat::parse_str(text).unwrap().into();
    let error = Runtime::new(None, limits()).unwrap().load(bytes).await.err().unwrap();
    assert!(matches!(error, LoadError::Contract(_)), "{error}");
}

#[tokio::test]
async fn compiled_code_is_kept_where_only_the_host_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache");
    for _ in 0..2 {
        let runtime = Runtime::new(Some(dir.clone()), limits()).unwrap();
        runtime.load(component("", "")).await.unwrap();
    }
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(std::fs::read_dir(&dir).unwrap().next().is_some());
}
