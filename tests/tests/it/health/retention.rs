//! What is delivered leaves nothing behind. (`cargo xtask soak` delivers a million.)

use eventfabric_soak::{Soak, judge};
use eventfabric_tests::{database, target_dir, wasm};

#[tokio::test]
async fn sizes_and_claims_stay_as_they_were() {
    let db = database().await;
    let soak = Soak {
        deliveries: 20_000,
        rounds: 4,
        owner: db.options(),
        superuser: db.superuser(),
        guests: wasm("torture_async").parent().unwrap().to_owned(),
        cache_dir: Some(target_dir().join("it-cache/eventfabric")),
    };
    let samples = soak.run(|_| {}).await.unwrap();
    assert_eq!(samples.len(), 5, "with the warm-up");
    assert_eq!(judge(&samples), [""; 0], "{samples:#?}");
}
