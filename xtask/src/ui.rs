//! The dashboard: its files, which are checked in so that nobody needs Node to build the host, and its tests in a
//! browser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::run::{cargo, command, has, npm_ci, output, root, run, target_dir, testdb};

/// Where Chromium is looked for.
const BROWSERS: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/snap/bin/chromium",
];

/// What the data is made with.
const GUESTS: [&str; 6] =
    ["board", "carriers", "aircraft", "notifications", "hostile_async", "hostile_catchup"];

fn folder() -> PathBuf {
    root().join("host/ui")
}

/// Makes host/ui/dist, or looks whether it is what the sources give.
pub fn ui(check: bool) -> anyhow::Result<()> {
    ensure!(
        has(command("node").arg("--version")) && has(command("npm").arg("--version")),
        "this task needs Node.js, 20 or newer, with npm; the host builds without them"
    );
    npm_ci(&folder(), &["--ignore-scripts"])?;
    run(command("npx").args(["--no-install", "tsc", "--noEmit"]).current_dir(folder()))?;
    let dist = folder().join("dist");
    if !check {
        run(command("node").arg("build.mjs").current_dir(folder()))?;
        return sizes(&dist);
    }
    let fresh = target_dir().join("ui");
    run(command("node").arg("build.mjs").arg(&fresh).current_dir(folder()))?;
    for file in fs::read_dir(&fresh)? {
        let name = file?.file_name();
        let same = fs::read(fresh.join(&name))? == fs::read(dist.join(&name)).unwrap_or_default();
        ensure!(
            same,
            "host/ui/dist/{} is not what its sources give: run `cargo xtask ui`",
            name.display()
        );
    }
    Ok(())
}

fn sizes(dist: &Path) -> anyhow::Result<()> {
    for file in fs::read_dir(dist)? {
        let file = file?;
        println!("{:>8}  {}", file.metadata()?.len(), file.path().display());
    }
    Ok(())
}

/// Tries the dashboard in a browser, on a host of its own with data; with `shots`, takes pictures of its pages.
pub fn ui_test(shots: Option<&Path>) -> anyhow::Result<()> {
    if !has(command("node").arg("--version")) {
        println!("skipped: there is no Node.js");
        return Ok(());
    }
    let Some(browser) = BROWSERS.iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: there is no Chromium: apt install chromium");
        return Ok(());
    };
    ui(true)?;
    run(&mut cargo(&["build", "--workspace", "--bin", "eventfabric"]))?;
    crate::plugins::build_only(&GUESTS)?;
    let wanted = target_dir().join("ui-test");
    let testdb = testdb()?;
    let dir = output(command(&testdb).arg("reachable").arg(&wanted))?;
    let postgres = Path::new(dir.trim()).join("postgres");
    if postgres.is_dir() {
        run(command(&testdb).arg("stop-in").arg(&postgres))?;
        fs::remove_dir_all(&postgres).with_context(|| postgres.display().to_string())?;
    }
    let mut test = command("node");
    match shots {
        Some(out) => test.arg("host/ui/tests/shots.mjs").arg(std::path::absolute(out)?),
        None => test.args(["--test", "--test-concurrency=1", "host/ui/tests/ui.test.mjs"]),
    };
    test.env("EVENTFABRIC", target_dir().join("debug/eventfabric"))
        .env("POSTGRES", &postgres)
        .env("PLUGINS", crate::plugins::file(GUESTS[0]).with_file_name(""))
        .env("CHROMIUM", browser);
    let tested = run(&mut test);
    run(command(&testdb).arg("stop-in").arg(&postgres))?;
    tested
}
