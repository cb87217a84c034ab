//! What dismissing an event, and taking that back, means to projections.

use super::rig::{Running, World, curable, cure, deeds, deploy_guest, good, quick};

const CATCH_UP: &str = "SELECT coalesce(string_agg(position::text, ',' ORDER BY position), '')
                        FROM hostile_catchup.seen";
const ASYNC: &str = "SELECT coalesce(string_agg(position::text, ',' ORDER BY position), '')
                     FROM hostile_async.seen";
const SEEN: &str = "SELECT count(*) FROM hostile_async.seen";

#[tokio::test]
async fn an_undone_dismissal_delivers_what_was_held_back_and_catch_up_does_not_go_back() {
    let world = World::new().await;
    let store = world.store().await;
    let positions = deeds(&store, &good(4)).await;
    store.dismiss(&[positions[1].into(), positions[2].into()], "r", "b").await.unwrap();
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    deploy_guest(&running.host, "hostile_async").await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 2).await;
    world.until_number(SEEN, 2).await;
    let wanted = format!("{},{}", positions[0], positions[3]);
    assert_eq!(world.texts(CATCH_UP).await, std::slice::from_ref(&wanted));
    assert_eq!(world.texts(ASYNC).await, std::slice::from_ref(&wanted));

    store.undo_dismissal(&[positions[1].into()], "b").await.unwrap();
    world.until_number(SEEN, 3).await;
    // One more event goes through both: had the other come to catch-up, it would have come before.
    deeds(&store, &good(1)).await;
    world.until_number("SELECT count(*) FROM hostile_catchup.seen", 3).await;
    world.until_number(SEEN, 4).await;
    assert!(world.texts(CATCH_UP).await[0].starts_with(&wanted));
    let held = "SELECT count(*) FROM eventfabric.dismissed_deliveries";
    assert_eq!(world.number(held).await, 1, "the one that is still dismissed");
    running.stop().await;
}

#[tokio::test]
async fn a_dead_letter_of_a_dismissed_event_is_handled_once_it_is_given_back_and_requeued() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_async").await;
    let store = running.host.store();
    let positions = deeds(store, &[curable()]).await;
    world.until_number("SELECT count(*) FROM eventfabric.outbox_dead_letters", 1).await;
    store.dismiss(&[positions[0].into()], "r", "b").await.unwrap();
    cure(&world, "hostile_async").await;
    let requeue =
        async || eventfabric::store::requeue(&world.eyes, &Default::default()).await.unwrap();
    assert_eq!(requeue().await, 0);
    store.undo_dismissal(&[positions[0].into()], "b").await.unwrap();
    assert_eq!(requeue().await, 1);
    eventfabric::store::notify_events(&world.eyes).await.unwrap();
    // The cure's own row, and the event.
    world.until_number(SEEN, 2).await;
    running.stop().await;
}
