import contextlib
import importlib.util
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from eventfabric import build

ROOT = Path(__file__).parents[3]
PLUGIN = """
from eventfabric import Projection
projection = Projection("tiny", migrations="migrations")
projection.on("Opened")(lambda event, tx: None)
"""


class Build(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name) / "plugin"
        (self.folder / "migrations").mkdir(parents=True)
        (self.folder / "migrations" / "001_create_t.sql").write_text("CREATE TABLE t (a int)")
        self.module = self.folder / "projection.py"
        self.module.write_text(PLUGIN)
        self.out = Path(temporary.name) / "dist" / "plugin.wasm"

    def error(self) -> str:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), mock.patch.object(build, "_tool_version", str):
            self.assertEqual(build.main(["build", str(self.folder), "--out", str(self.out)]), 1)
        return said.getvalue()

    def test_the_contract_is_the_one_of_the_host(self) -> None:
        # The bindings are generated from these files in each build.
        originals = {
            "projection.wit": "released/0.1.0/projection.wit",
            "query.wit": "query/query.wit",
            "process-manager.wit": "process-manager/process-manager.wit",
            "reactor.wit": "reactor/reactor.wit",
        }
        self.assertEqual({file.name for file in build.WIT.iterdir()}, set(originals))
        for shipped, original in originals.items():
            self.assertEqual(
                (build.WIT / shipped).read_text(), (ROOT / "wit" / original).read_text(), shipped
            )

    def test_a_plugin_has_those_extensions_of_the_contract_that_it_uses(self) -> None:
        query = "\n@projection.query\ndef all(tx) -> object:\n    return []\n"
        for module, more, used in (
            (PLUGIN, "", []),
            (PLUGIN, "import queries", []),
            (PLUGIN + query, "", ["@query"]),
            (PLUGIN, "from eventfabric import http", ["eventfabric.http"]),
            (PLUGIN, "from eventfabric.event_store import Aggregate", ["eventfabric.event_store"]),
            (PLUGIN + query, "import eventfabric.http", ["@query", "eventfabric.http"]),
        ):
            # A module of the plugin's own counts for nothing by its name.
            (self.folder / "queries.py").write_text("")
            self.module.write_text(f"{more}\n{module}")
            with tempfile.TemporaryDirectory() as temporary:
                stage = Path(temporary) / "stage"
                build._stage(self.folder, "projection", stage)
                found = build._check(stage, "projection")
                self.assertEqual(found, used)
                world = build._world(found, Path(temporary) / "wit")
                files = {file.name for file in (world / "deps").iterdir()}
                wanted = {build.EXTENSIONS[extension][0] for extension in used}
                self.assertEqual(files, {"projection.wit", *wanted} if used else set())

    def test_what_is_wrong_with_a_query_is_said_when_it_is_built(self) -> None:
        self.module.write_text(PLUGIN + "projection.query(lambda tx: [])\n")
        said = self.error()
        self.assertIn("the query '<lambda>' has no name that it can have", said)
        # The author's own line, and none of the SDK or of Python's import.
        self.assertEqual(said.count("File "), 1)
        self.assertIn('File "projection.py", line 5', said)

    def test_what_goes_into_a_component_is_code_and_migrations(self) -> None:
        for left_out in ("test_projection.py", "notes.txt", ".venv/x.py", "tests/y.py"):
            file = self.folder / left_out
            file.parent.mkdir(exist_ok=True)
            file.write_text("")
        stage = self.folder.parent / "stage"
        build._stage(self.folder, "projection", stage)
        files = {file.relative_to(stage).as_posix() for file in stage.rglob("*") if file.is_file()}
        own = {file for file in files if not file.startswith("eventfabric/")}
        self.assertEqual(
            own, {"projection.py", "migrations/001_create_t.sql", "eventfabric_plugin.py"}
        )
        self.assertNotIn("eventfabric/build.py", files)
        self.assertIn("eventfabric/_component.py", files)

    def test_a_folder_without_the_module_is_named(self) -> None:
        self.module.unlink()
        self.assertIn("projection.py: name the module with the projection by --entry", self.error())

    def test_mistakes_in_the_module_are_shown_with_their_place(self) -> None:
        for text, words in (
            ("def (", ('File "projection.py", line 1', "SyntaxError")),
            ("import nowhere", ("line 1, in <module>", "No module named 'nowhere'")),
            ("assert False, 'never'", ("line 1, in <module>", "AssertionError: never")),
            ("x = 1", ("projection has no projection",)),
            ("from eventfabric import Projection\nProjection('a', migrations='m')", ("no folder",)),
        ):
            self.module.write_text(text)
            said = self.error()
            for word in words:
                self.assertIn(word, said)

    def test_a_dependency_that_is_not_installed_says_how_to_get_it(self) -> None:
        project = (
            '[project]\nname = "x"\ndependencies = ["eventfabric-sdk[build]", "no_such.thing>=1"]'
        )
        (self.folder / "pyproject.toml").write_text(project)
        said = self.error()
        self.assertIn("no-such-thing, which", said)
        self.assertIn("pip install -e", said)

    def test_a_dependency_goes_in_and_one_with_native_code_is_refused(self) -> None:
        site = self.folder.parent / "site"
        for name, files in (("pure", ["pure/__init__.py"]), ("native", ["native.so"])):
            info = site / f"{name}-1.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
            for file in files:
                (site / file).parent.mkdir(exist_ok=True)
                (site / file).write_text("")
        project = self.folder / "pyproject.toml"
        with mock.patch.object(sys, "path", [str(site), *sys.path]):
            project.write_text('[project]\nname = "x"\ndependencies = ["pure"]')
            stage = self.folder.parent / "stage"
            build._stage(self.folder, "projection", stage)
            self.assertTrue((stage / "pure" / "__init__.py").exists())
            project.write_text('[project]\nname = "x"\ndependencies = ["native"]')
            self.assertIn("native has native code (native.so)", self.error())

    def test_of_an_error_in_the_component_only_its_own_traceback_is_shown(self) -> None:
        said = (
            "Traceback (most recent call last):\n  x\nAssertionError: Traceback (most recent call "
            'last):\n  File "/0/projection.py", line 1\nValueError: no\n\nCaused by:\n  x'
        )
        self.assertEqual(
            build._readable(said, Path("/0")),
            'Traceback (most recent call last):\n  File "projection.py", line 1\nValueError: no',
        )

    def test_a_look_at_the_clock_is_warned_of(self) -> None:
        self.module.write_text("import datetime\n\nx = datetime.datetime.now\ny = x.now\n")
        stage = self.folder.parent / "stage"
        build._stage(self.folder, "projection", stage)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            build._warn_of_clocks(self.folder, stage)
        self.assertEqual(
            said.getvalue(),
            "warning: projection.py:3: datetime.datetime.now traps, for a projection has no clock: "
            "take event.occurred_at\n",
        )

    @unittest.skipUnless(importlib.util.find_spec("componentize_py"), "componentize-py is not here")
    def test_a_component_has_all_the_extensions_that_it_uses(self) -> None:
        query = "\n@projection.query\ndef all(tx) -> object:\n    return []\n"
        self.module.write_text(f"from eventfabric import event_store, http\n{PLUGIN}{query}")
        with mock.patch.dict(os.environ):
            build.build(self.folder, "projection", self.out)
        component = self.out.read_bytes()
        for name in (
            b"eventfabric:query/queries@0.1.0",
            b"eventfabric:process-manager/event-store@0.1.0",
            b"eventfabric:reactor/outgoing@0.1.0",
        ):
            self.assertIn(name, component)

    @unittest.skipUnless(importlib.util.find_spec("componentize_py"), "componentize-py is not here")
    def test_a_component_is_made_once_of_the_same_files(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), mock.patch.dict(os.environ):
            build.build(self.folder, "projection", self.out)
            first = self.out.read_bytes()
            self.assertTrue(first.startswith(b"\0asm\x0d"))
            for extension in (b"eventfabric:query", b"process-manager", b"eventfabric:reactor"):
                self.assertNotIn(extension, first)
            build.build(self.folder, "projection", self.out)
            self.assertEqual(self.out.read_bytes(), first)
            self.assertIn("is up to date", said.getvalue())
            self.module.write_text(PLUGIN + "# changed\n")
            build.build(self.folder, "projection", self.out)
            self.assertNotEqual(self.out.read_bytes(), first)
        self.assertEqual(said.getvalue().count("is up to date"), 1)


if __name__ == "__main__":
    unittest.main()
