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
from types import SimpleNamespace
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


def export(module: str) -> dict[str, type]:
    """What the component exports, by name, from the module with the projection."""
    _replace_bindings()
    clock = _Clock()
    clock.replace()
    _print_to_log()
    projection = find(importlib.import_module(module))
    log._sink = lambda level, message: host_log.write(_LEVELS[level], _utf8(message))
    config._get = lambda key: host_config.get(_utf8(key))
    config._all = lambda: dict(host_config.all())
    if "eventfabric.http" in sys.modules:
        _connect_http()
    exports = {"WitWorld": _world(projection, clock, _host())}
    if projection.queries:
        clock.keep_logging()
        exports["Queries"] = _queries(projection, clock)
    _keep_sources()
    _close_files()
    gc.collect()
    gc.freeze()
    return exports


def _world(projection: Projection, clock: _Clock, host: type[_Host]) -> type:
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
                projection.handle(host(tx), events)
            except Failure as failure:
                raise _said(failure) from None
            finally:
                _finish_lines()

    return WitWorld


def _queries(projection: Projection, clock: _Clock) -> type:
    from wit_world.exports import queries

    kinds = {kind.name.lower(): kind for kind in queries.ParameterType}

    class Queries:
        def describe_queries(self) -> Any:
            return [
                queries.QueryDescription(
                    query.name,
                    query.text,
                    [
                        queries.Parameter(it.name, it.text, kinds[it.type], it.required)
                        for it in query.parameters
                    ],
                    query.per_tenant,
                )
                for query in projection.queries.values()
            ]

        def query(self, tx: Any, request: Any) -> c.RowSet:
            clock.stop()
            try:
                return projection.ask(_Host(tx), request.name, request.tenant, request.parameters)
            except Failure as failure:
                raise _said(failure) from None
            finally:
                _finish_lines()

    return Queries


def _said(failure: Failure) -> Err:
    kind, message = _KINDS[failure.kind], _utf8(failure.message)
    return Err(types.Failure(failure.index, kind, message))


def _host() -> type[_Host]:
    """The host's transaction, with the log where the plugin uses it."""
    if "eventfabric.event_store" not in sys.modules:
        return _Host
    from wit_world.imports import event_store

    def expectation(version: int | None) -> Any:
        if version is None:
            return event_store.ExpectedVersion_Any()
        if version == 0:
            return event_store.ExpectedVersion_None_()
        return event_store.ExpectedVersion_Exact(version)

    class LogHost(_Host):
        def load(self, cause: int, aggregate: str, id: str, after: int, limit: int) -> Any:
            try:
                return event_store.load(self._tx, cause, _utf8(aggregate), _utf8(id), after, limit)
            except Err as error:
                raise c.LogError(_reason(error), error.value.value) from None

        def append(
            self,
            cause: int,
            aggregate: str,
            id: str,
            expected: int | None,
            events: list[c.NewEvent],
        ) -> int:
            new = [
                event_store.NewEvent(
                    _utf8(it.event_type),
                    it.schema_version,
                    _utf8(it.payload),
                    None if it.topic is None else _utf8(it.topic),
                )
                for it in events
            ]
            try:
                version: int = event_store.append(
                    self._tx, cause, _utf8(aggregate), _utf8(id), expectation(expected), new
                )
                return version
            except Err as error:
                raise c.LogError(_reason(error), error.value.value) from None

    return LogHost


def _connect_http() -> None:
    from wit_world.imports import outgoing

    from . import http

    def send(cause: int, request: c.Outgoing) -> Any:
        raw = outgoing.Request(
            outgoing.Method[request.method],
            _utf8(request.url),
            [(_utf8(name), _utf8(value)) for name, value in request.headers],
            request.body,
            request.timeout_ms,
        )
        try:
            return outgoing.send(cause, raw)
        except Err as error:
            raise c.SendError(_reason(error), error.value.value) from None

    http._send = send


def _reason(error: Err) -> Any:
    """The case of an error's variant: `SendError_Timeout` is timeout."""
    return type(error.value).__name__.rpartition("_")[2].lower()


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
        self._at: int | None = 0
        self._steps = 0

    def start(self, event: c.RawEvent) -> None:
        self._at = event[9] * 1000
        random.seed(event[0])

    def stop(self) -> None:
        """A query has no time."""
        self._at = None
        random.seed(0)

    def keep_logging(self) -> None:
        """Lines of `logging` have a time, which nobody sees, in a query, too."""
        logging: Any = sys.modules.get("logging")
        if logging is not None:
            of_lines = {"time": lambda: (self._at or 0) / 1e9, "time_ns": lambda: self._at or 0}
            logging.time = SimpleNamespace(**{**vars(time), **of_lines})

    @property
    def _nanos(self) -> int:
        if self._at is None:
            raise RuntimeError("a query has no clock here: take the time as a parameter")
        return self._at

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
        return (self._at or 0) + self._steps


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


def _finish_lines() -> None:
    for lines in _printed:
        lines.finish()


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
