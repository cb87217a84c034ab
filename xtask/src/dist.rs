//! A package for one machine: the program with completions, manual pages, systemd unit and licences.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::run::{cargo, command, output, root, run, target_dir};

/// Files of the repository, and where they go in the package.
const FILES: [(&str, &str); 5] = [
    ("README.md", "share/doc/eventfabric/README.md"),
    ("LICENSE-APACHE", "share/doc/eventfabric/LICENSE-APACHE"),
    ("LICENSE-MIT", "share/doc/eventfabric/LICENSE-MIT"),
    ("host/packaging/eventfabric.service", "lib/systemd/system/eventfabric.service"),
    ("wit/projection.wit", "share/eventfabric/wit/projection.wit"),
];

/// Where shells look for completions, below `share`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/eventfabric"),
    ("zsh", "zsh/site-functions/_eventfabric"),
    ("fish", "fish/vendor_completions.d/eventfabric.fish"),
];

/// Builds the program stripped, and lays the package into `target/dist`, as a folder and as a tar.
pub fn dist() -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--profile", "dist", "--package", "eventfabric"]))?;
    let built = target_dir().join("dist/eventfabric");
    let version = output(command(&built).arg("--version"))?;
    let version = version.trim().rsplit(' ').next().context("the program has a version")?;
    let target = output(command("rustc").args(["--print", "host-tuple"]))?;
    let name = format!("eventfabric-{version}-{}", target.trim());
    let packages = target_dir().join("packages");
    let package = packages.join(&name);
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    copy(&built, &package.join("bin/eventfabric"))?;
    for (from, to) in FILES {
        copy(&root().join(from), &package.join(to))?;
    }
    for (shell, to) in COMPLETIONS {
        let script = output(command(&built).args(["completions", shell]))?;
        write(&package.join("share").join(to), &script)?;
    }
    run(command(&built).arg("manual").arg(package.join("share/man/man1")))?;
    write(&package.join("share/doc/eventfabric/LICENSES-OF-DEPENDENCIES"), &licences()?)?;
    let tar = packages.join(format!("{name}.tar.gz"));
    // The same bytes from the same files, whoever packs them and when.
    run(command("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(&packages)
        .arg("-czf")
        .args([tar.as_os_str(), name.as_ref()]))?;
    for file in [&package.join("bin/eventfabric"), &tar] {
        println!("{:>6.1} MB  {}", fs::metadata(file)?.len() as f64 / 1e6, file.display());
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn write(to: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::write(to, text).with_context(|| to.display().to_string())
}

/// The crates that the program is made of, each with its licence.
fn licences() -> anyhow::Result<String> {
    let tree = ["tree", "--package", "eventfabric", "--edges", "normal", "--prefix", "none"];
    let crates = output(cargo(&tree).args(["--format", "{p}\t{l}\t{r}"]))?;
    let mut lines: Vec<&str> =
        crates.lines().filter(|line| !line.ends_with("(*)") && !line.contains("(/")).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.iter().fold(String::new(), |text, line| text + line.trim_end() + "\n"))
}
