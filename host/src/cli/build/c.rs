//! C and C++: a core module by zig or clang, the component by this program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Profile, component, tools};
use crate::cli::exit;

/// Where clang and a libc for WebAssembly are, where zig is not.
const WASI_SDK: &str = "WASI_SDK_PATH";
const GET: &str = "a C compiler for WebAssembly is not installed: `pip install ziglang==0.17.1` brings one, or \
                   set WASI_SDK_PATH to a wasi-sdk of clang 19 or newer";
/// What both compilers are told of every file.
const FLAGS: [&str; 10] = [
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-g0",
    "-Wall",
    "-Wextra",
    // Which macro of the SDK is enough to know.
    "-fmacro-backtrace-limit=1",
    // It would complain of each value after a parameter that is no ef_value.
    "-Wno-missing-braces",
    "-DYYJSON_DISABLE_UTILS",
    "-DYYJSON_DISABLE_INCR_READER",
];

/// The file of the component.
pub(super) async fn build(dir: &Path, out: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    let manifest = tokio::fs::read_to_string(dir.join("CMakeLists.txt")).await?;
    let name = argument(&manifest, "project(").ok_or_else(|| {
        exit::bad_input(format!("the CMakeLists.txt of {} names no project", dir.display()))
    })?;
    let sdk = sdk(dir, &manifest)?;
    let out = std::path::absolute(out)?;
    let objects = out.join("objects");
    tokio::fs::create_dir_all(&objects).await?;
    let compilers = Compilers::find(dir).await?;
    let optimised: &[&str] = match profile {
        Profile::Release => &["-O2", "-flto"],
        Profile::Debug => &["-O1"],
    };
    let own = [
        sources(&dir.join("src"), "c")?,
        sources(&sdk, "c")?,
        sources(&sdk.join("bindings"), "c")?,
    ];
    let cpp = sources(&dir.join("src"), "cpp")?;
    let json = sdk.join("yyjson/yyjson.c");
    let c: Vec<&PathBuf> =
        own.iter().flatten().filter(|it| !it.ends_with("testing.c")).chain([&json]).collect();
    let what = format!("build {}", dir.display());
    let module = objects.join(name).with_extension("core.wasm");
    let mut inputs: Vec<PathBuf> = Vec::new();
    for (number, source) in cpp.iter().enumerate() {
        // Two folders of one tree may have files of the same name.
        let object = objects.join(format!("{number}.o"));
        let mut compile = Compilers::command(dir, &compilers.cpp);
        compile.args(FLAGS).args(optimised).args(["-std=c++23", "-fno-exceptions", "-fno-rtti"]);
        compile.arg("-I").arg(&sdk).arg("-c").arg("-o").arg(&object).arg(source);
        tools::run(&mut compile, GET, &what).await?;
        inputs.push(object);
    }
    let mut link = Compilers::command(dir, &compilers.c);
    link.args(FLAGS)
        .args(optimised)
        .args(["-std=c23", "-Wl,--strip-all", "-Wl,-z,stack-size=1048576"])
        .arg("-I")
        .arg(&sdk);
    link.arg("-o").arg(&module).args(c).args(&inputs);
    link.arg(sdk.join("bindings/projection_component_type.o"));
    if !cpp.is_empty() {
        link.args(["-lc++", "-lc++abi"]);
    }
    tools::run(&mut link, GET, &what).await?;
    let bytes = tokio::fs::read(&module).await?;
    let component = component::of_plain_module(bytes).context(
        "a projection has no files, sockets, clocks: leave out what the last words name of them",
    )?;
    tools::put(&out, name, &component).await
}

/// The SDK, as the manifest names it.
fn sdk(dir: &Path, manifest: &str) -> anyhow::Result<PathBuf> {
    let named = manifest.lines().find_map(|line| argument(line, "set(EVENTFABRIC_SDK "));
    let named = named.ok_or_else(|| {
        exit::bad_input(format!(
            "the CMakeLists.txt of {} does not say where the SDK is: set(EVENTFABRIC_SDK \"path of sdk/c\")",
            dir.display()
        ))
    })?;
    let sdk = dir.join(named);
    sdk.canonicalize().ok().filter(|sdk| sdk.join("eventfabric.h").is_file()).ok_or_else(|| {
        exit::bad_input(format!(
            "there is no SDK in {}, which CMakeLists.txt names: say where it is, in set(EVENTFABRIC_SDK …)",
            sdk.display()
        ))
    })
}

/// The first argument of a command of CMake.
fn argument<'a>(manifest: &'a str, command: &str) -> Option<&'a str> {
    let (_, after) = manifest.split_once(command)?;
    let after = after.trim_start();
    match after.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => after.split(|c: char| c.is_whitespace() || c == ')').next(),
    }
    .filter(|name| !name.is_empty())
}

/// The files of a folder that end so, sorted, that the same sources give the same bytes.
fn sources(folder: &Path, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| exit::bad_input(format!("{}: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == end));
    files.sort();
    files.into_iter().map(|file| Ok(file.canonicalize()?)).collect()
}

/// Program and first arguments of the two compilers.
struct Compilers {
    c: Vec<OsString>,
    cpp: Vec<OsString>,
}

impl Compilers {
    /// The first ones that are there: zig, as a package of Python or by itself, or those of a wasi-sdk.
    async fn find(dir: &Path) -> anyhow::Result<Self> {
        for zig in [&["python3", "-m", "ziglang"][..], &["zig"][..]] {
            let mut version = tools::tool(zig[0], dir);
            if tools::ask(version.args(&zig[1..]).arg("version")).await.is_some() {
                let of =
                    |verb: &str| zig.iter().copied().chain([verb]).map(OsString::from).collect();
                return Ok(Self { c: of("cc"), cpp: of("c++") });
            }
        }
        let sdk = std::env::var_os(WASI_SDK).ok_or_else(|| exit::bad_input(GET))?;
        let of = |name: &str| vec![Path::new(&sdk).join("bin").join(name).into()];
        Ok(Self { c: of("clang"), cpp: of("clang++") })
    }

    fn command(dir: &Path, compiler: &[OsString]) -> tokio::process::Command {
        let mut command = tools::tool(&compiler[0], dir);
        command.args(&compiler[1..]);
        command
    }
}
