//! The projections of a week of flights, rebuilt while it is being imported.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use tempfile::NamedTempFile;

use super::super::runners::rig::{Process, World, folder};
use super::super::runners::week::{
    PLUGINS, assert_read_models, until_deployed, until_imported, week_file,
};
use super::table;

/// The week in so many files of about the same length, with the number of their events.
fn parts(number: usize) -> Vec<(NamedTempFile, i64)> {
    let mut week = String::new();
    let file = std::fs::File::open(week_file("ndjson.gz")).unwrap();
    GzDecoder::new(file).read_to_string(&mut week).unwrap();
    let lines: Vec<&str> = week.lines().collect();
    lines
        .chunks(lines.len().div_ceil(number))
        .map(|lines| {
            let mut file = tempfile::Builder::new().suffix(".ndjson").tempfile().unwrap();
            file.write_all(lines.join("\n").as_bytes()).unwrap();
            (file, lines.len() as i64)
        })
        .collect()
}

#[tokio::test]
async fn all_three_kinds_of_projections_are_rebuilt_while_events_come() {
    let (world, plugins) = (World::new().await, folder(&PLUGINS));
    let mut host = Process::host(&world, Some(plugins.path()), &[]);
    until_deployed(&world).await;
    let mut before = Vec::new();
    for name in PLUGINS {
        before.push(table(&world, &format!("{name}.{name}")).await);
    }
    let parts = parts(1 + PLUGINS.len());
    let mut imported = 0;
    let mut start = |part: usize| {
        imported += parts[part].1;
        let file = parts[part].0.path().to_str().unwrap();
        (Process::start(&world, &["import", "--batch", "10", file], &[]), imported)
    };
    let (mut import, mut there) = start(0);
    import.succeeded().await;
    for (part, (name, before)) in (1..).zip(PLUGINS.into_iter().zip(before)) {
        until_imported(&world, there).await;
        (import, there) = start(part);
        until_imported(&world, there - parts[part].1 + 10).await;
        let command = ["projections", "rebuild", name, "--shards", "2"];
        let rebuild = Process::start(&world, &command, &[]);
        rebuild.succeeded().await;
        assert_ne!(table(&world, &format!("{name}.{name}")).await, before);
        import.succeeded().await;
    }
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
