//! What is decided for a projection: where it begins, what becomes of poison, and pauses.

use std::collections::HashMap;

use eventfabric::plugin::{NewProjection, OnPoison, Start, pause, resume};
use eventfabric::runner::{Host, HostConfig};
use serde_json::json;

use super::rig::{Running, World, curable, cure, deeds, deploy_guest, good, quick};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen WHERE position > 0";

fn with(new: NewProjection) -> HostConfig {
    let projections = HashMap::from([("hostile_catchup".to_owned(), new)]);
    HostConfig { projections, ..quick() }
}

#[tokio::test]
async fn a_projection_that_sets_poison_aside_goes_on_and_leaves_a_dead_letter() {
    let world = World::new().await;
    let new = NewProjection { on_poison: OnPoison::SetAside, ..NewProjection::default() };
    let running = Running::start(&world, with(new)).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let mut batch = good(20);
    batch[7] = curable();
    batch[13] = json!({"do": "panic"});
    let positions = deeds(running.host.store(), &batch).await;
    world.until_number(SEEN, 18).await;
    let letters = "SELECT format('%s %s %s', projection_name, global_position, error_class)
                   FROM eventfabric.outbox_dead_letters ORDER BY global_position";
    super::until("both are dead letters", async || {
        world.texts(letters).await
            == [
                format!("hostile_catchup {} poison", positions[7]),
                format!("hostile_catchup {} trap", positions[13]),
            ]
    })
    .await;
    let sql = "SELECT count(*) FROM eventfabric.outbox_dead_letters
               WHERE failed_sql LIKE '%1 / count%' AND sqlstate = '22012' AND attempts = 3";
    assert_eq!(world.number(sql).await, 1);
    // A host that comes later does not try them again.
    running.stop().await;
    cure(&world, "hostile_catchup").await;
    let running = Running::start(&world, quick()).await;
    deeds(running.host.store(), &good(1)).await;
    world.until_number(SEEN, 19).await;
    running.stop().await;
}

#[tokio::test]
async fn a_new_projection_begins_where_it_is_told_to() {
    let begin = async |start: fn(&[i64]) -> Start, wanted: i64| {
        let world = World::new().await;
        let store = world.store().await;
        let positions = deeds(&store, &good(5)).await;
        let new = NewProjection { start: start(&positions), ..NewProjection::default() };
        let running = Running::start(&world, with(new)).await;
        deploy_guest(&running.host, "hostile_catchup").await;
        deeds(&store, &good(2)).await;
        world.until_number(SEEN, wanted).await;
        let last = "SELECT max(global_position) FROM eventfabric.events";
        let handled =
            format!("SELECT count(*) FROM hostile_catchup.seen s WHERE position = ({last})");
        world.until_number(&handled, 1).await;
        assert_eq!(world.number(SEEN).await, wanted);
        running.stop().await;
    };
    begin(|_| Start::Default, 7).await;
    begin(|_| Start::Now, 2).await;
    begin(|positions| Start::After(positions[2]), 4).await;
    begin(|_| Start::Time(chrono::DateTime::UNIX_EPOCH), 7).await;
}

#[tokio::test]
async fn a_pause_is_durable_and_holds_for_all_hosts() {
    let world = World::new().await;
    let one = Running::start(&world, quick()).await;
    deploy_guest(&one.host, "hostile_catchup").await;
    let two = Running::start(&world, quick()).await;
    deeds(one.host.store(), &good(3)).await;
    world.until_number(SEEN, 3).await;
    pause(&world.eyes, "hostile_catchup", Some("ada"), Some("a look at the tables")).await.unwrap();
    deeds(one.host.store(), &good(3)).await;
    // A host that knows of the pause, and one that begins now, and neither runs it.
    let three = Host::open(world.db.options(), quick(), None).await.unwrap();
    let paused = three.registry().snapshot().registered["hostile_catchup"].paused.clone().unwrap();
    assert_eq!(paused.by.as_deref(), Some("ada"));
    let three = Running::run(three.into());
    for host in [&one, &two, &three] {
        host.host.registry().sync().await.unwrap();
        let mut head = host.host.head();
        let last = world.number("SELECT max(global_position) FROM eventfabric.events").await;
        head.wait_for(|head| head.position == last).await.unwrap();
    }
    assert_eq!(world.number(SEEN).await, 3);
    resume(&world.eyes, "hostile_catchup").await.unwrap();
    world.until_number(SEEN, 6).await;
    assert!(resume(&world.eyes, "hostile_catchup").await.unwrap_err().to_string().contains("runs"));
    for host in [one, two, three] {
        host.stop().await;
    }
}

#[tokio::test]
async fn checkpoints_of_projections_that_nothing_concerns_follow_the_head() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    // Flights are all that it wants.
    deploy_guest(&running.host, "aircraft").await;
    for _ in 0..5 {
        let last = *deeds(running.host.store(), &good(2)).await.last().unwrap();
        let at = "SELECT max(last_global_position) FROM eventfabric.projection_checkpoints";
        world.until_number(at, last).await;
    }
    running.stop().await;
}
