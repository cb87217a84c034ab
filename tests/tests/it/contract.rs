//! A plugin that was built with a released version of the contract runs for ever.

use std::collections::{BTreeMap, HashMap};

use eventfabric::runner::HostConfig;
use eventfabric_tests::{wasm, workspace};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::runners::rig::{Running, World, append, deploy_bytes, quick};
use eventfabric::event::StreamId;

/// What must never change: the text of each released version, and the components of then.
const RELEASED: [(&str, &str); 2] = [
    (
        "wit/released/0.1.0/projection.wit",
        "d96b2275902f1196d5e04bb9aaeecb648e0d88893e2c897a8a567615b85a55d6",
    ),
    (
        "tests/fixtures/contract-0.1.0.wasm",
        "b301ae48d5788a6a1bb5bc78c83cee23dba424d3fad68de4a966a1250007bf0d",
    ),
];

fn read(file: &str) -> Vec<u8> {
    std::fs::read(workspace().join(file)).unwrap()
}

#[test]
fn a_released_contract_never_changes() {
    for (file, sha256) in RELEASED {
        assert_eq!(format!("{:x}", Sha256::digest(read(file))), sha256, "{file} was changed");
    }
    // What is worked on is the released one until it has a version of its own.
    let current = String::from_utf8(read("wit/projection.wit")).unwrap();
    let released = String::from_utf8(read("wit/released/0.1.0/projection.wit")).unwrap();
    assert!(
        current == released || !current.contains("package eventfabric:projection@0.1.0;"),
        "wit/projection.wit has changed: give it the next version, and the host an adapter"
    );
}

#[tokio::test]
async fn a_component_of_each_released_contract_runs() {
    // The bytes of then, and what today's tools make of the same source.
    for bytes in
        [read("tests/fixtures/contract-0.1.0.wasm"), std::fs::read(wasm("contract")).unwrap()]
    {
        let world = World::new().await;
        let settings = BTreeMap::from([("unit".to_owned(), "minutes".to_owned())]);
        let config = HostConfig {
            plugins: HashMap::from([("contract".to_owned(), settings.into())]),
            ..quick()
        };
        let running = Running::start(&world, config).await;
        deploy_bytes(&running.host, bytes).await;
        let store = world.store().await;
        let stream = StreamId::new("Notes", "1");
        append(&store, stream, "Kinds", &[json!({"a": 1})]).await;
        append(&store, StreamId::new("Notes", "2"), "Noted", &[json!({"a": 2})]).await;
        world.until_number("SELECT count(*) FROM contract.events", 2).await;
        let rows = world
            .texts(
                "SELECT concat_ws(' ', e.tenant, e.aggregate, e.aggregate_id, e.version, e.event_type,
                                  e.schema_version, e.payload ->> 'a')
                 FROM contract.events e
                 JOIN eventfabric.events l ON l.global_position = e.position AND l.event_id = e.id
                                          AND l.occurred_at = e.occurred_at
                 UNION ALL SELECT key || '=' || value FROM contract.settings
                 UNION ALL SELECT concat_ws(' ', a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, mood, span)
                           FROM contract.kinds ORDER BY 1",
            )
            .await;
        assert_eq!(rows.len(), 4, "{rows:?}");
        append(&store, StreamId::new("Notes", "3"), "Refused", &[json!({})]).await;
        world.stopped("contract").await;
        let error =
            "SELECT last_error FROM eventfabric.projections WHERE projection_name = 'contract'";
        assert!(world.texts(error).await[0].contains("refused"));
        running.stop().await;
    }
}
