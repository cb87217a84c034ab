"""Makes the component of a plugin: `eventfabric-sdk build`, or `python -m eventfabric.build`."""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SDK = "eventfabric-sdk"
#: Folders of a plugin that never go into its component, wherever they are.
LEFT_OUT = {"__pycache__", "build", "dist", "node_modules", "scenarios", "target", "tests"}
#: What goes into it. Other files could not be read there.
KEPT = {".py", ".sql"}

ENTRY = "from eventfabric._component import export\nglobals().update(export({module!r}))\n"
#: Loads the plugin with nothing but what goes into the component, in a second instead of twenty,
#: and notes what of the SDK it uses. Of a traceback the author's own lines are shown.
CHECK = """
import sys
sys.path.insert(0, {stage!r})
import importlib
from traceback import extract_tb, format_exception_only, format_list
from eventfabric._projection import find
try:
    projection = find(importlib.import_module({module!r}))
except BaseException as error:
    own = [
        frame for frame in extract_tb(error.__traceback__)
        if frame.filename.startswith({stage!r}) and "/eventfabric/_" not in frame.filename
    ]
    sys.exit("".join([*format_list(own), *format_exception_only(error)]))
with open({uses!r}, "w") as uses:
    print(*["@query"] * bool(projection.queries), *sys.modules, sep="\\n", file=uses)
"""
#: Extensions of the contract: by what it is seen that a plugin uses one, the file that says what it
#: is, and what it adds to the world.
EXTENSIONS = {
    "@query": ("query.wit", "export eventfabric:query/queries@0.1.0;"),
    "eventfabric.event_store": (
        "process-manager.wit",
        "import eventfabric:process-manager/event-store@0.1.0;",
    ),
    "eventfabric.http": ("reactor.wit", "import eventfabric:reactor/outgoing@0.1.0;"),
}
WIT = Path(__file__).parent / "wit"


class BuildError(Exception):
    """Why there is no component, for people."""


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog=SDK, description="Makes the component of an EventFabric plugin in Python"
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("build", help="make the component")
    command.add_argument("folder", nargs="?", default=".", type=Path, help="that of the plugin")
    command.add_argument(
        "--entry", default="projection", help="the module with the projection (%(default)s)"
    )
    command.add_argument("--out", required=True, type=Path, help="the component's file")
    command.add_argument("--force", action="store_true", help="even if nothing has changed")
    options = parser.parse_args(arguments)
    try:
        build(options.folder, options.entry, options.out, force=options.force)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build(folder: Path, entry: str, out: Path, *, force: bool = False) -> None:
    """Makes the component of the plugin in a folder, unless it was made of the same files."""
    tool = _tool_version()
    with tempfile.TemporaryDirectory(prefix="eventfabric-") as temporary:
        stage = Path(temporary) / "plugin"
        _stage(folder, entry, stage)
        made_of = _digest(stage, tool)
        note = out.with_name(out.name + ".made-of")
        if not force and _noted(note) == f"{made_of} {_file_digest(out)}":
            print(f"{out} is up to date", file=sys.stderr)
            return
        extensions = _check(stage, entry)
        _warn_of_clocks(folder, stage)
        component = Path(temporary) / "component.wasm"
        _componentize(stage, component, _world(extensions, Path(temporary) / "wit"))
        out.parent.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        shutil.move(component, out)
        note.write_text(f"{made_of} {_file_digest(out)}\n", encoding="ascii")


def _stage(folder: Path, entry: str, stage: Path) -> None:
    """Puts all that goes into the component into one folder."""
    module = entry.replace(".", "/")
    if not any((folder / f"{module}{end}").is_file() for end in (".py", "/__init__.py")):
        raise BuildError(
            f"there is no {folder / module}.py: name the module with the projection by --entry"
        )
    _copy(folder, stage)
    for distribution in _dependencies(folder):
        _copy_distribution(distribution, stage)
    _copy(Path(__file__).parent, stage / "eventfabric")
    (stage / "eventfabric" / "build.py").unlink()
    (stage / "eventfabric_plugin.py").write_text(ENTRY.format(module=entry), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in sorted(source.iterdir()):
        if item.is_dir():
            if item.name in LEFT_OUT or item.name.startswith("."):
                continue
            if (item / "pyvenv.cfg").exists() or item.suffix == ".egg-info":
                continue
            _copy(item, target / item.name)
        elif item.suffix in KEPT and not item.name.startswith("test_"):
            shutil.copyfile(item, target / item.name)
    if not any(target.iterdir()):
        target.rmdir()


def _dependencies(folder: Path) -> Iterator[importlib.metadata.Distribution]:
    """What the plugin's pyproject.toml names, and what that needs, from this environment."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    project = folder / "pyproject.toml"
    if not project.is_file():
        return
    declared: dict[str, Any] = tomllib.loads(project.read_text(encoding="utf-8"))
    waiting = [(need, True) for need in declared.get("project", {}).get("dependencies", [])]
    seen = {SDK}
    while waiting:
        need, must = waiting.pop()
        name = _distribution_name(need)
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if must:
                raise BuildError(
                    f"{name}, which {project} depends on, is not installed for {sys.executable}: "
                    f"{sys.executable} -m pip install -e {folder}"
                ) from None
            continue
        yield distribution
        # What is needed under a condition (`; python_version < "3.12"`) is taken where it is there.
        for need in distribution.requires or []:
            if "extra ==" not in need:
                waiting.append((need, must and ";" not in need))


def _distribution_name(need: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", need)
    if match is None:
        raise BuildError(f"`{need}` is no dependency")
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _copy_distribution(distribution: importlib.metadata.Distribution, stage: Path) -> None:
    for file in distribution.files or []:
        if file.suffix in (".so", ".pyd", ".dylib"):
            raise BuildError(
                f"{distribution.metadata['Name']} has native code ({file}), which a component "
                "can't run: take a package of pure Python"
            )
        if file.suffix != ".py" or ".." in file.parts:
            continue
        target = stage / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)


def _digest(stage: Path, tool: str) -> str:
    """Of all that the component is made of, the tools included."""
    digest = hashlib.sha256(f"componentize-py {tool}".encode())
    for file in sorted(path for path in stage.rglob("*") if path.is_file()):
        digest.update(f"\0{file.relative_to(stage).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    for file in sorted(WIT.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _noted(note: Path) -> str:
    return note.read_text(encoding="ascii").strip() if note.is_file() else ""


def _tool_version() -> str:
    try:
        return importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(
            f"componentize-py is not installed for {sys.executable}: "
            f"{sys.executable} -m pip install '{SDK}[build]'"
        ) from None


def _check(stage: Path, entry: str) -> list[str]:
    """Loads the plugin, and tells which extensions of the contract it uses."""
    uses = stage.with_name("uses")
    check = CHECK.format(stage=str(stage), module=entry, uses=str(uses))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", check], capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise BuildError(f"the plugin can't be loaded:\n{_readable(done.stderr, stage)}")
    used = uses.read_text(encoding="utf-8").splitlines()
    return [extension for extension in EXTENSIONS if extension in used]


def _world(extensions: list[str], folder: Path) -> Path:
    """The folder with the world that a plugin with these extensions lives in."""
    (folder / "deps").mkdir(parents=True)
    if not extensions:
        shutil.copyfile(WIT / "projection.wit", folder / "projection.wit")
        return folder
    files, items = zip(*map(EXTENSIONS.__getitem__, extensions), strict=True)
    for file in ("projection.wit", *files):
        shutil.copyfile(WIT / file, folder / "deps" / file)
    items = ("include eventfabric:projection/projection@0.1.0;", *items)
    world = "".join(f"  {item}\n" for item in items)
    (folder / "plugin.wit").write_text(
        f"package eventfabric:plugin;\n\nworld projection {{\n{world}}}\n", encoding="utf-8"
    )
    return folder


def _warn_of_clocks(folder: Path, stage: Path) -> None:
    """Names what Python lets nobody replace, and what would be a trap without words."""
    for file in sorted(stage.rglob("*.py")):
        name = file.relative_to(stage)
        if not (folder / name).is_file():
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or node.attr not in ("now", "utcnow"):
                continue
            owner = ast.unparse(node.value)
            if owner.endswith("datetime"):
                print(
                    f"warning: {name}:{node.lineno}: {owner}.{node.attr} traps, for a projection "
                    "has no clock: take event.occurred_at",
                    file=sys.stderr,
                )


def _componentize(stage: Path, component: Path, wit: Path) -> None:
    command = [sys.executable, "-c", "from componentize_py import script; script()", "-q"]
    command += ["-d", str(wit), "-w", "projection", "componentize", "--stub-wasi"]
    command += ["-p", str(stage), "-o", str(component), "eventfabric_plugin"]
    # The site-packages of a virtual environment would be added to what goes in.
    environment = {name: it for name, it in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, cwd=stage
    )
    if done.returncode:
        said = _readable(done.stderr + done.stdout, Path("/0"))
        raise BuildError(f"the plugin can't be loaded in its component:\n{said}")


def _readable(said: str, stage: Path) -> str:
    """A traceback with the names of the plugin's files, and without the tools' own."""
    # An error in the component comes within one of componentize-py's own.
    _, within, inner = said.partition("\nAssertionError: Traceback")
    said = (f"Traceback{inner}" if within else said).replace(f"{stage}/", "")
    begin = said.find("Traceback (most recent call last)")
    end = said.find("\nCaused by:")
    return said[max(begin, 0) : end if end > begin else None].strip()


if __name__ == "__main__":
    raise SystemExit(main())
