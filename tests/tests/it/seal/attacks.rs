//! One attack a test, on the second of three streams of five events.

use super::{attack, found, sealed};

const EVENT: &str = "aggregate_id = 'a1' AND aggregate_version";

#[tokio::test]
async fn what_was_not_touched_is_as_it_was_sealed() {
    let (_db, store) = sealed().await;
    assert_eq!(found(&store).await, [""; 0]);
}

#[tokio::test]
async fn a_change_of_any_column_is_found() {
    for change in [
        "payload = jsonb_set(payload, '{n}', '3.0')",
        "type = 'Other'",
        "version = 2",
        "event_id = gen_random_uuid()",
        "occurred_at = occurred_at + interval '1 microsecond'",
        "correlation_id = ''",
        "causation_id = 'x'",
        "global_position = 1000000",
    ] {
        let (db, store) = sealed().await;
        attack(&db, &format!("UPDATE eventfabric.events SET {change} WHERE {EVENT} = 3")).await;
        assert_eq!(found(&store).await, ["a1 3 Changed"], "{change}");
    }
}

#[tokio::test]
async fn an_event_that_was_removed_is_found() {
    for (version, whole) in [(1, ""), (3, ""), (5, "")] {
        let (db, store) = sealed().await;
        let sql = format!("DELETE FROM eventfabric.events WHERE {EVENT} = {version} {whole}");
        attack(&db, &sql).await;
        assert_eq!(found(&store).await, [format!("a1 {version} Removed")]);
    }
}

#[tokio::test]
async fn an_event_that_was_removed_with_its_seal_is_found() {
    let (db, store) = sealed().await;
    attack(
        &db,
        &format!(
            "DELETE FROM eventfabric.events WHERE {EVENT} = 3;
             DELETE FROM eventfabric.event_seals WHERE {EVENT} = 3"
        ),
    )
    .await;
    assert_eq!(found(&store).await, ["a1 3 Removed"]);
}

#[tokio::test]
async fn a_row_that_was_removed_and_whose_followers_moved_up_is_found() {
    let (db, store) = sealed().await;
    attack(
        &db,
        &format!(
            "DELETE FROM eventfabric.events WHERE {EVENT} = 3;
             DELETE FROM eventfabric.event_seals WHERE {EVENT} = 3;
             UPDATE eventfabric.events SET aggregate_version = aggregate_version - 1 WHERE {EVENT} > 3;
             UPDATE eventfabric.event_seals SET aggregate_version = aggregate_version - 1,
                    previous_version = aggregate_version - 2 WHERE {EVENT} > 3;
             UPDATE eventfabric.stream_versions SET current_version = 4 WHERE aggregate_id = 'a1'"
        ),
    )
    .await;
    assert_eq!(found(&store).await, ["a1 3 Changed", "a1 4 Changed"]);
}

#[tokio::test]
async fn a_row_that_was_inserted_in_the_middle_is_found() {
    let (db, store) = sealed().await;
    attack(
        &db,
        "ALTER TABLE eventfabric.events DROP CONSTRAINT events_tenant_aggregate_version_key;
         INSERT INTO eventfabric.events (event_id, aggregate_name, aggregate_id, aggregate_version,
             type, version, payload)
         VALUES (gen_random_uuid(), 'Account', 'a1', 3, 'T', 1, '{\"type\": \"T\", \"version\": 1}')",
    )
    .await;
    assert_eq!(found(&store).await, ["a1 3 Inserted"]);
}

#[tokio::test]
async fn a_row_that_was_inserted_at_the_end_is_found() {
    let (db, store) = sealed().await;
    let insert = "INSERT INTO eventfabric.events (event_id, aggregate_name, aggregate_id,
             aggregate_version, type, version, payload)
         VALUES (gen_random_uuid(), 'Account', 'a1', 6, 'T', 1, '{}')";
    attack(&db, insert).await;
    assert_eq!(found(&store).await, ["a1 6 Inserted"]);
    // With a seal that was copied from another event, and a version to go with it.
    attack(
        &db,
        "INSERT INTO eventfabric.event_seals
         SELECT 6, 5, (SELECT max(global_position) FROM eventfabric.events), tenant_id,
                aggregate_name, aggregate_id, key_id, mac
         FROM eventfabric.event_seals WHERE aggregate_id = 'a1' AND aggregate_version = 5;
         UPDATE eventfabric.stream_versions SET current_version = 6 WHERE aggregate_id = 'a1'",
    )
    .await;
    assert_eq!(found(&store).await, ["a1 6 Changed"]);
}

#[tokio::test]
async fn a_stream_that_nothing_is_known_of_is_found() {
    let (db, store) = sealed().await;
    let insert = "INSERT INTO eventfabric.events (event_id, aggregate_name, aggregate_id,
             aggregate_version, type, version, payload)
         VALUES (gen_random_uuid(), 'Account', 'forged', 1, 'T', 1, '{}')";
    attack(&db, insert).await;
    assert_eq!(found(&store).await, ["forged 1 Inserted"]);
}

#[tokio::test]
async fn a_tail_that_was_cut_is_found() {
    let (db, store) = sealed().await;
    let cut = format!(
        "DELETE FROM eventfabric.events WHERE {EVENT} > 3;
         DELETE FROM eventfabric.event_seals WHERE {EVENT} > 3"
    );
    attack(&db, &cut).await;
    assert_eq!(found(&store).await, ["a1 4 Removed", "a1 5 Removed"]);
}

#[tokio::test]
async fn a_stream_that_was_removed_is_found() {
    let (db, store) = sealed().await;
    let cut = "DELETE FROM eventfabric.events WHERE aggregate_id = 'a1';
               DELETE FROM eventfabric.event_seals WHERE aggregate_id = 'a1'";
    attack(&db, cut).await;
    let all: Vec<String> = (1..=5).map(|version| format!("a1 {version} Removed")).collect();
    assert_eq!(found(&store).await, all);
    // Its version as well, but not its seals.
    let (db, store) = sealed().await;
    let cut = "DELETE FROM eventfabric.events WHERE aggregate_id = 'a1';
               DELETE FROM eventfabric.stream_versions WHERE aggregate_id = 'a1'";
    attack(&db, cut).await;
    assert_eq!(found(&store).await, all);
}

#[tokio::test]
async fn a_seal_that_was_removed_so_that_its_event_could_be_changed_is_found() {
    let (db, store) = sealed().await;
    attack(
        &db,
        &format!(
            "DELETE FROM eventfabric.event_seals WHERE {EVENT} = 3;
             UPDATE eventfabric.events SET payload = '{{}}' WHERE {EVENT} = 3"
        ),
    )
    .await;
    assert_eq!(found(&store).await, ["a1 3 SealMissing"]);
}

#[tokio::test]
async fn events_that_changed_places_are_found() {
    let (db, store) = sealed().await;
    attack(
        &db,
        "UPDATE eventfabric.events SET payload = CASE aggregate_id
             WHEN 'a1' THEN '{\"n\": 99, \"type\": \"Counted\", \"version\": 1}'::jsonb ELSE payload END
         WHERE aggregate_version = 2;
         UPDATE eventfabric.event_seals a SET mac = b.mac
         FROM eventfabric.event_seals b
         WHERE a.aggregate_id = 'a1' AND b.aggregate_id = 'a2'
           AND a.aggregate_version = b.aggregate_version",
    )
    .await;
    let all: Vec<String> = (1..=5).map(|version| format!("a1 {version} Changed")).collect();
    assert_eq!(found(&store).await, all);
}

#[tokio::test]
async fn a_version_that_was_lowered_is_found() {
    let (db, store) = sealed().await;
    let lower =
        "UPDATE eventfabric.stream_versions SET current_version = 4 WHERE aggregate_id = 'a1'";
    attack(&db, lower).await;
    assert_eq!(found(&store).await, ["a1 5 Unversioned"]);
}

#[tokio::test]
async fn an_absurd_version_costs_nothing() {
    let (db, store) = sealed().await;
    let raise = "UPDATE eventfabric.stream_versions SET current_version = 2147483647
                 WHERE aggregate_id = 'a1'";
    attack(&db, raise).await;
    let seen =
        eventfabric::store::seal::verify_stream(store.pool(), &super::seal(), &super::stream(1))
            .await
            .unwrap();
    assert_eq!(seen.summary.findings, 2_147_483_647 - 5);
    assert!(seen.findings.len() <= 1000);
}
