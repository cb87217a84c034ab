//! The projections of a week of flights, rebuilt while it is being imported.

use super::super::runners::rig::{Process, World, folder};
use super::super::runners::week::{
    EVENTS, PLUGINS, assert_read_models, import_in_batches_of, until_deployed, until_imported,
};
use super::table;

#[tokio::test]
async fn all_three_kinds_of_projections_are_rebuilt_while_events_come() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    let mut before = Vec::new();
    for name in PLUGINS {
        before.push(table(&world, &format!("{name}.{name}")).await);
    }
    let mut import = import_in_batches_of(&world, "10");
    until_imported(&world, EVENTS / 5).await;
    for (name, before) in PLUGINS.into_iter().zip(before) {
        let command = ["projections", "rebuild", name, "--shards", "2"];
        let rebuild = Process::start(&world, &command, &[]);
        rebuild.succeeded().await;
        assert_ne!(table(&world, &format!("{name}.{name}")).await, before);
    }
    assert!(import.is_running(), "the import was over before the projections were rebuilt");
    import.succeeded().await;
    assert_read_models(&world).await;
    assert!(host.is_running());
}

#[tokio::test]
async fn a_week_is_rebuilt_to_the_same_tables_from_the_whole_log() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let _host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    super::super::runners::week::import(&world).succeeded().await;
    assert_read_models(&world).await;
    for name in PLUGINS {
        let command = ["projections", "rebuild", name, "--json"];
        let mut rebuild = Process::start(&world, &command, &[]);
        assert!(rebuild.ended().await.success(), "{}", rebuild.log());
        let done: serde_json::Value = serde_json::from_str(&rebuild.output()).unwrap();
        assert!(done["events"].as_i64().unwrap() > 6000, "{done}");
    }
    assert_read_models(&world).await;
}
