//! A plugin of a contract that is not released, beside one of the version before, in one host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::db::{self, Tx};
use crate::plugin::tests::event;
use crate::plugin::{Limits, Runtime};
use crate::projection::FailureKind;
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::store::tests::TestDatabase;

const TIME: Duration = Duration::from_secs(30);

/// The component that was built of a guest.
fn guest(name: &str) -> Arc<[u8]> {
    let file = format!("wasm32-wasip2/plugin/{name}.wasm");
    let path = eventfabric_testdb::target_dir().join(file);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask plugins`", path.display()))
        .into()
}

#[tokio::test]
async fn a_host_speaks_two_versions_and_each_kind_of_change_is_adapted() {
    let database = TestDatabase::new("contract").await;
    let pool = db::pool(database.owner(), 2);
    let sandbox = Sandbox::new(db::pool(database.owner(), 2), SandboxConfig::default());
    let runtime = Runtime::new(None, Limits::default()).unwrap();
    let config = Arc::new(BTreeMap::from([("unit".to_owned(), "minutes".to_owned())]));
    for name in ["contract", "contract_draft"] {
        let plugin = runtime.load(guest(name)).await.unwrap();
        let draft = name == "contract_draft";
        assert_eq!(plugin.description.name, name);
        sandbox.prepare(&plugin.description).await.unwrap();
        let sql = Arc::new(sandbox.plugin(name).await.unwrap());
        let mut noted = event(1);
        (noted.event_type, noted.topic) = ("Noted".to_owned(), Some("news".to_owned()));
        let mut kinds = event(2);
        kinds.event_type = "Kinds".to_owned();
        let mut refused = event(3);
        refused.event_type = "Refused".to_owned();

        let tx = Tx::begin(&pool, TIME).await.unwrap();
        let (tx, done) = plugin.handle(tx, &sql, &[noted.clone(), refused], &config).await;
        let failure = done.unwrap_err();
        assert_eq!((failure.kind, failure.index), (FailureKind::Poison, Some(1)));
        tx.unwrap().rollback().await.unwrap();

        let tx = Tx::begin(&pool, TIME).await.unwrap();
        let (tx, done) = plugin.handle(tx, &sql, &[noted, kinds], &config).await;
        done.unwrap();
        tx.unwrap().commit().await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT event_type || coalesce(' ' || topic, '') FROM {name}.events
             UNION ALL SELECT key || '=' || value FROM {name}.settings
             UNION ALL SELECT mood || ' for ' || span || ', ' || d FROM {name}.kinds ORDER BY 1"
        )))
        .fetch_all(&mut *conn)
        .await
        .unwrap();
        let mut wanted =
            vec!["Kinds", "Noted", "bad for 1 day, -9223372036854775808", "unit=minutes"];
        if draft {
            wanted[1] = "Noted news";
            wanted.insert(3, "span=1 day");
        }
        assert_eq!(rows, wanted);
    }
    sandbox.close().await;
    pool.close().await;
    database.drop().await;
}
