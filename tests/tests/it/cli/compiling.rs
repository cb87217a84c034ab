//! Components that cost the compiler minutes or gigabytes: the process that compiles them ends at its
//! limits, or with the host, and the host goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{finish, program};
use crate::runners::rig::{Process, World, until};

/// A function whose thousand variables live through forty thousand blocks.
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
          (core module $m (func (export "f") (local {}) {blocks}))
          (core instance $i (instantiate $m))
          (func (export "describe") (canon lift (core func $i "f")))
          (func (export "handle") (canon lift (core func $i "f"))))"#,
        "i64 ".repeat(1000)
    );
    wat::parse_str(component).unwrap()
}

fn write_bomb(dir: &Path) -> PathBuf {
    let file = dir.join("bomb.wasm");
    std::fs::write(&file, bomb()).unwrap();
    file
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
        finish(command.env(name, value), b"").await.failed(2, &[setting, "bomb.wasm"]);
    }
}
