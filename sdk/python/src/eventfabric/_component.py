"""The plugin inside of its component.

All of this runs once, when the component is built: modules are loaded, decoders made, and the
memory as it is then is what every instance starts with. What would ask the operating system later
on is replaced as far as Python lets us, for the component imports nothing but the contract, and a
call of anything else is a trap without words.
"""

from __future__ import annotations

import _io
import builtins
import gc
import importlib
import io
import linecache
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import Any, NoReturn

from componentize_py_types import Err
from wit_world.imports import config as host_config
from wit_world.imports import log as host_log
from wit_world.imports import sql, types

from . import _contract as c
from . import config, log
from ._errors import Failure
from ._projection import Projection, find

_LEVELS = {level.name.lower(): level for level in host_log.Level}
_SQL_KINDS: dict[Any, c.SqlErrorKind] = {kind: kind.name.lower() for kind in sql.SqlErrorKind}
_KINDS = {kind.name.lower(): kind for kind in types.FailureKind}
_MODES = {"inline": types.Mode.INLINE, "catch-up": types.Mode.CATCH_UP, "async": types.Mode.ASYNC}


def export(module: str) -> type:
    """What the component exports, from the module with the projection."""
    _replace_bindings()
    clock = _Clock()
    clock.replace()
    _print_to_log()
    projection = find(importlib.import_module(module))
    log._sink = lambda level, message: host_log.write(_LEVELS[level], _utf8(message))
    config._get = lambda key: host_config.get(_utf8(key))
    config._all = lambda: dict(host_config.all())
    _keep_sources()
    _close_files()
    gc.collect()
    gc.freeze()
    return _world(projection, clock)


def _world(projection: Projection, clock: _Clock) -> type:
    class WitWorld:
        def describe(self) -> Any:
            topics: Any = types.TopicFilter_All()
            if projection.topics is not None:
                topics = types.TopicFilter_Include(projection.topics)
            elif projection.except_topics is not None:
                topics = types.TopicFilter_Exclude(projection.except_topics)
            return types.Description(
                projection.name,
                projection.text,
                _MODES[projection.mode],
                topics,
                projection.event_types,
                [types.Migration(*step) for step in projection.migrations],
            )

        def handle(self, tx: Any, events: list[c.RawEvent]) -> None:
            clock.start(events[0])
            try:
                projection.handle(_Host(tx), events)
            except Failure as failure:
                kind, message = _KINDS[failure.kind], _utf8(failure.message)
                raise Err(types.Failure(failure.index, kind, message)) from None
            finally:
                for lines in _printed:
                    lines.finish()

    return WitWorld


class _Host:
    """The host's transaction."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx

    def execute(self, statement: str, params: list[c.Value]) -> int:
        try:
            return int(self._tx.execute(_utf8(statement), params))
        except Err as error:
            raise _database_error(error.value) from None

    def query(self, statement: str, params: list[c.Value]) -> c.RowSet:
        try:
            rows: c.RowSet = self._tx.query(_utf8(statement), params)
            return rows
        except Err as error:
            raise _database_error(error.value) from None

    def execute_batch(self, statements: list[str], calls: list[c.Call]) -> list[int]:
        try:
            counts: list[int] = self._tx.execute_batch(list(map(_utf8, statements)), calls)
            return counts
        except Err as error:
            failed = _database_error(error.value.error)
            failed.call = error.value.call
            raise failed from None


def _database_error(error: Any) -> c.DatabaseError:
    return c.DatabaseError(
        _SQL_KINDS[error.kind],
        error.sqlstate,
        error.message,
        error.detail,
        error.hint,
        error.constraint,
        error.table,
        error.column,
        error.position,
    )


def _utf8(text: str) -> str:
    """Half of a surrogate pair can't cross to the host."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _replace_bindings() -> None:
    for name, cls in c.VARIANTS.items():
        setattr(sql, f"Value_{name}", cls)
    sql.Call = c.Call
    sql.RowSet = c.RowSet
    # The fastest of all constructors: an event is asked for few of its fields.
    types.Event = lambda *fields: fields


class _Clock:
    """Time and chance of a batch: those of its first event, as in every language."""

    def __init__(self) -> None:
        self._nanos = 0
        self._steps = 0

    def start(self, event: c.RawEvent) -> None:
        self._nanos = event[9] * 1000
        random.seed(event[0])

    def replace(self) -> None:
        for name in ("gmtime", "localtime", "ctime"):
            setattr(time, name, self._of_now(getattr(time, name)))
        strftime, asctime = time.strftime, time.asctime
        time.strftime = lambda form, at=None: strftime(form, at or time.gmtime())
        time.asctime = lambda at=None: asctime(at or time.gmtime())
        time.time = lambda: self._nanos / 1e9
        time.time_ns = lambda: self._nanos
        for name in ("monotonic", "perf_counter", "process_time"):
            setattr(time, name, self._seconds)
            setattr(time, f"{name}_ns", self._tick)
        time.sleep = lambda seconds: None
        os.urandom = random.randbytes
        random._urandom = random.randbytes  # type: ignore[attr-defined]

    def _of_now(self, function: Callable[[float], Any]) -> Callable[[float | None], Any]:
        def at_or_now(at: float | None = None) -> Any:
            return function(self._nanos / 1e9 if at is None else at)

        return at_or_now

    def _seconds(self) -> float:
        return self._tick() / 1e9

    def _tick(self) -> int:
        self._steps += 1000
        return self._nanos + self._steps


class _Lines(io.TextIOBase):
    """stdout or stderr: each line one of the log."""

    def __init__(self, level: log.Level) -> None:
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            log.write(self._level, line)
        return len(text)

    def finish(self) -> None:
        """Writes the line that was begun."""
        if self._rest:
            self.write("\n")


_printed = (_Lines("info"), _Lines("warn"))


def _print_to_log() -> None:
    # While the component is built, the words go to who builds it.
    err = sys.stderr
    log._sink = lambda level, message: print(message, file=err)
    sys.stdout, sys.stderr = _printed


def _keep_sources() -> None:
    """Tracebacks show the lines of modules that are not of Python's own library."""
    library = os.path.dirname(os.__file__)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and not file.startswith(library):
            linecache.getlines(file)
    # It parses the line to mark a part of it, and looks for the file when that is no Python.
    if hasattr(traceback, "_extract_caret_anchors_from_line_segment"):
        traceback._extract_caret_anchors_from_line_segment = lambda segment: None
    linecache.checkcache = lambda filename=None: None
    linecache.updatecache = lambda filename, module_globals=None: []


class _TooLate:
    """Refuses a module that is not in the component."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> NoReturn:
        raise ImportError(
            f"{name} is not in the component: import it at the top of a module, so that it is "
            "there when the plugin is built",
            name=name,
        )


def _close_files() -> None:
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _TooLate]

    def refuse(name: str) -> Any:
        def call(*_: Any, **__: Any) -> NoReturn:
            raise PermissionError(
                f"{name}: a projection has no files, processes and network: keep what it needs "
                "in its tables or its config"
            )

        return call

    builtins.input = refuse("input")
    builtins.open = refuse("open")
    for module in (io, _io):
        for name in ("open", "FileIO"):
            setattr(module, name, refuse(name))
    posix = sys.modules["posix"]
    for name in _SYSTEM:
        if hasattr(os, name):
            setattr(os, name, refuse(f"os.{name}"))
            setattr(posix, name, getattr(os, name))
    socket = sys.modules.get("socket")
    if socket is not None:
        for name in ("socket", "create_connection", "getaddrinfo"):
            setattr(socket, name, refuse(f"socket.{name}"))


#: What of `os` asks the system, apart from processes, which WASI has none of.
_SYSTEM = (
    "access chdir close getcwd link listdir lstat mkdir open read readlink remove rename replace "
    "rmdir scandir stat statvfs symlink truncate unlink utime write"
).split()
