//! Depth, age, lag, rate, retries and dead letters: as a query, as metrics and in `stats`.

use eventfabric::plugin;
use eventfabric::runner::{Health, ProjectionHealth, health, status, statuses};
use eventfabric_tests::database;
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::super::cli::run;
use super::super::http::{Api, ask, open};
use super::super::runners::rig::{
    Running, World, curable, deeds, deploy_guest, good, quick, until,
};

fn of<'a>(health: &'a Health, name: &str) -> &'a ProjectionHealth {
    health.projections.iter().find(|projection| projection.name == name).unwrap()
}

#[tokio::test]
async fn what_waits_is_told_with_its_age_and_what_goes_with_its_rate() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    for guest in ["hostile_catchup", "hostile_async"] {
        deploy_guest(&running.host, guest).await;
    }
    deeds(running.host.store(), &good(10)).await;
    for table in ["hostile_catchup.seen", "hostile_async.seen"] {
        world.until_number(&format!("SELECT count(*) FROM {table}"), 10).await;
    }
    let store = world.store().await;
    let first = health(&store).await.unwrap();
    let catch_up = of(&first, "hostile_catchup");
    assert_eq!((catch_up.behind, catch_up.lag_seconds, catch_up.rate), (0, None, None));
    assert_eq!((catch_up.state, catch_up.position.is_some()), ("running", true));

    // Another attempt for one, none for the other: it stopped there.
    deeds(running.host.store(), &[curable()]).await;
    world.stopped("hostile_catchup").await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 1).await;
    plugin::pause(store.pool(), "hostile_async", Some("ada"), None).await.unwrap();
    running.stop().await;
    deeds(&store, &good(4)).await;
    world.execute("UPDATE eventfabric.outbox SET topic = 'loud', created_at = now() - interval '1 minute'").await;

    let second = health(&store).await.unwrap().since(&first);
    let (catch_up, queue) = (of(&second, "hostile_catchup"), of(&second, "hostile_async"));
    assert_eq!((catch_up.state, catch_up.behind, catch_up.rate), ("failed", 5, Some(0.0)));
    assert!(catch_up.reason.as_deref().unwrap().contains("division by zero"), "{catch_up:?}");
    assert!(catch_up.lag_seconds.unwrap() > 0.0);
    assert_eq!((queue.state, queue.behind, queue.dead_letters), ("paused", 4, 1));
    assert!(queue.lag_seconds.unwrap() >= 60.0, "{queue:?}");
    assert!(queue.reason.as_deref().unwrap().contains("by ada"), "{queue:?}");
    let topic = &second.outbox.topics[0];
    assert_eq!((topic.topic.as_deref(), topic.rows), (Some("loud"), 4));
    assert!(topic.oldest_seconds >= 60.0, "{topic:?}");

    let stats = run(&world.db, &["stats", "--rate", "--json"]).await.well().json();
    let projections = stats["projections"].as_array().unwrap();
    let told = projections.iter().find(|told| told["name"] == "hostile_catchup").unwrap();
    assert_eq!(
        (&told["state"], &told["behind"], &told["rate"]),
        (&json!("failed"), &json!(5), &json!(0.0))
    );
    let text = run(&world.db, &["stats"]).await.well().out;
    assert!(text.contains("hostile_async") && text.contains("loud"), "{text}");
}

#[tokio::test]
async fn the_numbers_have_labels_of_projections_and_of_so_many_topics() {
    let api = Api::start(open()).await;
    deploy_guest(&api.host, "hostile_catchup").await;
    let pool = api.host.store().pool().clone();
    plugin::pause(&pool, "hostile_catchup", None, None).await.unwrap();
    deeds(api.host.store(), &good(3)).await;
    // No async projection: rows stay in the outbox, each under a topic of its own.
    sqlx::query(
        "INSERT INTO eventfabric.outbox (global_position, topic)
         SELECT -n, 'topic ' || n FROM generate_series(1, 80) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    let scrape = async || match ask(api.get("/metrics")).await.is(200).body {
        Value::String(text) => text,
        other => panic!("{other}"),
    };
    until("the delivery is counted", async || {
        let text = scrape().await;
        [
            "eventfabric_projection_behind{projection=\"hostile_catchup\"} 3",
            "eventfabric_projection_paused{projection=\"hostile_catchup\"} 1",
            "eventfabric_projection_failed{projection=\"hostile_catchup\"} 0",
            "eventfabric_projection_lag_seconds{projection=\"hostile_catchup\"}",
            "eventfabric_projection_rate{projection=\"hostile_catchup\"} 0",
            "eventfabric_outbox_rows{topic=\"(none)\"} 3",
            "eventfabric_outbox_rows{topic=\"(other)\"}",
            "eventfabric_outbox_oldest_seconds{topic=\"(none)\"}",
            "eventfabric_outbox_delivered_total 0",
            "eventfabric_stalls 0",
            "eventfabric_tasks_failing 0",
        ]
        .iter()
        .all(|line| text.contains(line))
    })
    .await;
    let topics = scrape().await.matches("eventfabric_outbox_rows{").count();
    assert_eq!(topics, 51, "50 and the rest");
    api.stop().await;
}

/// Thirty events of two tenants, not in the order in which they happened, and projections that stand at several places,
/// one of them in three parts.
const STANDING: &str = "
INSERT INTO eventfabric.events (global_position, event_id, tenant_id, aggregate_name, aggregate_id,
                                aggregate_version, type, version, payload, occurred_at)
SELECT n, gen_random_uuid(), CASE n % 3 WHEN 0 THEN 'acme' ELSE 'default' END, 'Account', n::text,
       1, 'Opened', 1, '{}', now() - make_interval(hours => n * 7 % 31)
FROM generate_series(1, 30) n;
INSERT INTO eventfabric.plugin_versions (plugin_name, sha256, bytes, description)
SELECT name, name, '', '{}' FROM unnest('{end,first,later,middle,nowhere,parts,twin}'::text[]) name;
INSERT INTO eventfabric.projections (projection_name, mode, active_sha256, starts_after)
SELECT plugin_name, 'catch-up', sha256, CASE plugin_name WHEN 'later' THEN 25 ELSE 0 END
FROM eventfabric.plugin_versions;
INSERT INTO eventfabric.projection_checkpoints
    (projection_name, tenant_id, last_global_position, shards)
VALUES ('end', 'default', 30, 1), ('end', 'acme', 30, 1), ('first', 'default', 0, 1), ('first', 'acme', 0, 1),
       ('later', 'default', 0, 1), ('middle', 'default', 10, 1), ('middle', 'acme', 20, 1),
       ('twin', 'default', 10, 1), ('twin', 'acme', 20, 1), ('parts', 'default', 5, 3);
INSERT INTO eventfabric.projection_shards (projection_name, tenant_id, shard, shards, last_global_position)
VALUES ('parts', 'default', 0, 3, 5), ('parts', 'default', 1, 3, 12), ('parts', 'default', 2, 3, 17)";

#[tokio::test]
async fn what_a_projection_has_to_do_is_all_after_where_it_stands_wherever_others_stand() {
    let db = database().await;
    db.connect().await.execute(STANDING).await.unwrap();
    let pool = db.pool(1).await;
    // Events of the default tenant that a part of `parts` has to handle, and the ten of the other one.
    let parts: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM eventfabric.events e JOIN eventfabric.projection_shards s
             ON eventfabric.shard_of(e.aggregate_id, 3) = s.shard AND e.global_position > s.last_global_position
         WHERE e.tenant_id = 'default'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!((9..16).contains(&parts), "the three parts stand at three places: {parts}");
    let looked = statuses(&pool).await.unwrap();
    let behind: Vec<(&str, i64)> =
        looked.iter().map(|one| (one.name.as_str(), one.behind)).collect();
    let expected = [
        ("end", 0),
        ("first", 30),
        ("later", 5),
        ("middle", 17),
        ("nowhere", 30),
        ("parts", parts + 10),
        ("twin", 17),
    ];
    assert_eq!(behind, expected);
    for all in &looked {
        let oldest: Option<i32> = sqlx::query_scalar(
            "SELECT max(n * 7 % 31) FROM eventfabric.events e
             CROSS JOIN LATERAL (SELECT global_position::int AS n) AS number
             JOIN eventfabric.projections p ON p.projection_name = $1
             LEFT JOIN eventfabric.projection_positions k ON k.projection_name = $1
                   AND k.tenant_id = e.tenant_id
                   AND (k.shards = 1 OR eventfabric.shard_of(e.aggregate_id, k.shards) = k.shard)
             WHERE n > greatest(coalesce(k.last_global_position, 0), p.starts_after)",
        )
        .bind(&all.name)
        .fetch_one(&pool)
        .await
        .unwrap();
        let hours = (all.lag_seconds / 3600.0).floor();
        assert_eq!(hours, f64::from(oldest.unwrap_or(0)), "the oldest that {} has to do", all.name);
        let alone = status(&pool, &all.name).await.unwrap().unwrap();
        assert_eq!((alone.behind, alone.position), (all.behind, all.position), "{}", all.name);
    }
    assert!(status(&pool, "none").await.unwrap().is_none());
}
