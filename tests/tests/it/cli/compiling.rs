//! Components that cost the compiler minutes or gigabytes: the process that compiles them ends at its
//! limits, or with the host, and the host goes on.

use std::path::{Path, PathBuf};

use super::{finish, program};
use crate::runners::rig::{Process, World, deeds, folder, good, until};

const SEEN: &str = "SELECT count(*) FROM hostile_catchup.seen";

/// A function whose thousand variables live through forty thousand blocks; another one each time, so that it is in no cache.
fn bomb() -> Vec<u8> {
    let blocks: String = (0..20_000)
        .map(|at| {
            let local = |step: usize| (at * 7 + step * 331) % 1000;
            format!(
                "(if (i32.wrap_i64 (local.get {})) (then (local.set {} (i64.mul (local.get {}) \
                 (local.get {})))))",
                local(0),
                local(1),
                local(2),
                local(3)
            )
        })
        .collect();
    let component = format!(
        r#"(component
          (core module $m (func (export "f") (local {}) {blocks}) (func (drop (i32.const {}))))
          (core instance $i (instantiate $m))
          (func (export "describe") (canon lift (core func $i "f")))
          (func (export "handle") (canon lift (core func $i "f"))))"#,
        "i64 ".repeat(1000),
        uuid::Uuid::new_v4().as_u128() as i32
    );
    wat::parse_str(component).unwrap()
}

fn write_bomb(dir: &Path) -> PathBuf {
    let file = dir.join("bomb.wasm");
    std::fs::write(&file, bomb()).unwrap();
    file
}

/// The processes that a host has started.
fn children(host: u32) -> Vec<u32> {
    let list = std::fs::read_dir(format!("/proc/{host}/task")).unwrap();
    let children = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    let text: String = list.flatten().map(children).collect();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// One line of what the system knows of a process.
fn line(process: u32, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_compile_bomb_ends_at_the_limit_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_bomb(dir.path());
    let inspect = ["plugin", "inspect", file.to_str().unwrap()];
    for (name, value, setting) in [
        ("EVENTFABRIC_LIMITS__COMPILE_TIME", "500ms", "limits.compile_time"),
        ("EVENTFABRIC_LIMITS__COMPILE_MEMORY", "67108864", "limits.compile_memory"),
    ] {
        let mut command = program(&inspect);
        finish(command.env(name, value), b"").await.failed(4, &[setting, "bomb.wasm"]);
    }
}

#[tokio::test]
async fn a_bomb_is_compiled_beside_the_host_without_its_secrets_and_ends_with_it() {
    let (world, dir) = (World::new().await, folder(&["hostile_catchup"]));
    let mut host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("deployed").await;
    write_bomb(dir.path());
    until("the bomb is compiled", async || !children(host.id()).is_empty()).await;
    let compiler = children(host.id())[0];
    until("it knows its limits", async || {
        line(compiler, "limits", "Max data").contains("2147483648")
    })
    .await;
    let environment = std::fs::read(format!("/proc/{compiler}/environ")).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "");
    // Neither the database nor anybody who asks; what the host itself has inherited may be there.
    let files = |process| -> Vec<_> {
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        files.map(|file| std::fs::read_link(file.unwrap().path()).unwrap_or_default()).collect()
    };
    let socket = |file: &PathBuf| file.to_string_lossy().starts_with("socket:");
    assert!(files(host.id()).iter().any(socket) && !files(compiler).iter().any(socket));
    // The others are served meanwhile.
    deeds(&world.store().await, &good(7)).await;
    world.until_number(SEEN, 7).await;
    assert!(children(host.id()).contains(&compiler), "the bomb was not at work meanwhile");
    host.signal("KILL");
    host.ended().await;
    let alive = format!("/proc/{compiler}/stat");
    until("the compiler has ended", async || {
        // Whoever inherits it may be slow to notice.
        std::fs::read_to_string(&alive).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

#[tokio::test]
async fn a_compiler_that_is_killed_costs_its_deploy_and_no_more() {
    let (world, dir) = (World::new().await, folder(&["hostile_catchup"]));
    let mut host = Process::host(&world, Some(dir.path()), &[]);
    host.until_log("deployed").await;
    write_bomb(dir.path());
    // Once when the file is new, once more when it has settled.
    until("the deploy has failed", async || {
        for compiler in children(host.id()) {
            kill(compiler);
        }
        host.log().contains("ended by signal 9")
    })
    .await;
    assert!(host.log().contains("what was active stays active"));
    deeds(&world.store().await, &good(3)).await;
    world.until_number(SEEN, 3).await;
    assert!(host.is_running());
}

fn kill(process: u32) {
    let _ = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
}
