//! What operators tell plugins while hosts run, and what plugins tell operators.

use eventfabric::plugin::{self, Action, LogConfig, LogLevel, logs};
use eventfabric::runner::{HostConfig, RunnerConfig};
use serde_json::json;

use super::rig::{Process, Running, World, deeds, deploy_guest, doing, quick, until};
use crate::cli::run;

const NOTES: &str = "SELECT note FROM hostile_catchup.seen ORDER BY position";

#[tokio::test]
async fn a_setting_in_the_database_wins_over_the_file_for_all_hosts_while_they_run() {
    let world = World::new().await;
    // What it does comes from the settings of the host until the database says otherwise.
    let running = Running::start(&world, doing("ok")).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = world.store().await;
    let asked = json!({"do": "config"});
    let seen = "SELECT count(*) FROM hostile_catchup.seen";
    deeds(&store, std::slice::from_ref(&asked)).await;
    world.until_number(seen, 1).await;
    let config = async |what: &[&str]| {
        let args = [&["plugin", "config", "hostile_catchup"], what].concat();
        run(&world.db, &args).await
    };
    config(&["set", "do", "use_random", "--by", "Ada"]).await.well();
    deeds(&store, std::slice::from_ref(&asked)).await;
    world.until_number(seen, 2).await;
    let told = config(&["get"]).await.well().out;
    assert!(told.contains("use_random") && told.contains("database"), "{told}");
    assert_eq!(config(&["get", "do"]).await.well().out, "use_random\n");
    config(&["get", "nothing"]).await.failed(4, &["no setting `nothing`"]);
    let again = config(&["set", "do", "use_random"]).await.well().out;
    assert!(again.contains("nothing is changed"), "{again}");
    config(&["unset", "do", "--by", "Ada"]).await.well();
    deeds(&store, std::slice::from_ref(&asked)).await;
    world.until_number(seen, 3).await;
    let notes = world.texts(NOTES).await;
    assert_eq!((&*notes[0], &*notes[2]), ("config", "config"));
    assert!(notes[1].parse::<u64>().is_ok(), "{notes:?}");
    let history = plugin::deployments(&world.eyes, "hostile_catchup", 9).await.unwrap();
    let changes: Vec<_> =
        history.iter().map(|d| (d.action, d.source.as_deref().unwrap())).take(2).collect();
    assert_eq!(changes, [(Action::Config, "unset do"), (Action::Config, "set do")]);
    config(&["set", "", "x"]).await.failed(4, &["the key"]);
    for change in ["pause", "resume"] {
        run(&world.db, &["plugin", change, "hostile_catchup"]).await.well();
    }
    running.stop().await;
}

#[tokio::test]
async fn the_last_lines_of_a_plugin_are_kept_and_no_more() {
    let world = World::new().await;
    let logs_of = LogConfig { lines: 20, level: LogLevel::Debug };
    let config = HostConfig { runner: RunnerConfig { logs: logs_of, ..quick().runner }, ..quick() };
    let running = Running::start(&world, config).await;
    deploy_guest(&running.host, "hostile_catchup").await;
    let store = world.store().await;
    deeds(&store, &[json!({"do": "log_flood", "n": 50})]).await;
    let last = "SELECT count(*) FROM eventfabric.plugin_logs WHERE message = 'line 49'";
    world.until_number(last, 1).await;
    let all = "SELECT count(*) FROM eventfabric.plugin_logs";
    world.until_number(all, 20).await;
    let command = ["plugin", "logs", "hostile_catchup", "--level", "info", "--lines", "2"];
    let said = run(&world.db, &command).await.well().out;
    assert_eq!(said.lines().count(), 2);
    assert!(said.contains("line 48") && said.contains(" info "), "{said}");
    let follow = ["plugin", "logs", "hostile_catchup", "-f", "--lines", "1", "--json"];
    let following = Process::start(&world, &follow, &[]);
    until("it tells the last line", async || following.output().contains("line 49")).await;
    // Of a batch that is rolled back, too: that is when they are of use.
    deeds(&store, &[json!({"do": "print"}), json!({"do": "fatal"})]).await;
    world.stopped("hostile_catchup").await;
    until("it tells the next ones", async || following.output().contains("to standard error"))
        .await;
    world.until_number(all, 20).await;
    let lines = logs(&world.eyes, "hostile_catchup", None, LogLevel::Info, 5).await.unwrap();
    assert_eq!(lines.last().unwrap().message, "line 49");
    running.stop().await;
}
