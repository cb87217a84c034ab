"""Doubles for tests: a projection runs without a host.

>>> db = RecordingTx()
>>> run(projection, db, event("AccountOpened", {"owner": "Ada"}))
>>> assert db.calls_of("INSERT INTO accounts") == [("1", "Ada")]

:class:`RecordingTx` can't tell wrong SQL from right: that is what scenarios are for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import _contract as c
from . import config as _config
from . import http as _http
from ._contract import Backend, DatabaseError, RawEvent, SqlErrorKind
from ._errors import Poison
from ._projection import Projection
from ._row import Row
from ._time import parse_time, to_micros
from ._values import natural, to_value, typed

__all__ = [
    "Appended",
    "Backend",
    "RawEvent",
    "RecordingTx",
    "Request",
    "Server",
    "ask",
    "config",
    "event",
    "events_from_ndjson",
    "run",
]


def event(
    event_type: str,
    data: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
    position: int = 0,
    aggregate: str = "Test",
    aggregate_id: str = "1",
    stream_version: int = 1,
    occurred_at: datetime | None = None,
    event_id: str = "00000000-0000-7000-8000-000000000001",
    tenant: str = "default",
    correlation_id: str | None = None,
    causation_id: str | None = None,
) -> RawEvent:
    """An event with this data; `version` is that of its schema. Without a position, :func:`run`
    numbers it.
    """
    payload = {"type": event_type, "version": version, **(data or {})}
    return RawEvent(
        position=position,
        id=event_id,
        tenant=tenant,
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        version=stream_version,
        event_type=event_type,
        schema_version=version,
        payload=json.dumps(payload, ensure_ascii=False),
        occurred_at=0 if occurred_at is None else to_micros(occurred_at),
        correlation_id=correlation_id,
        causation_id=causation_id,
    )


def events_from_ndjson(lines: Iterable[str]) -> list[RawEvent]:
    """Events from lines of JSON as `eventfabric import` reads them: `aggregate`, `id`, `type`,
    `version`, `occurred_at`, `payload`.
    """
    events: list[RawEvent] = []
    versions: dict[tuple[str, str], int] = {}
    for number, text in enumerate(lines, 1):
        line = json.loads(text)
        stream = (line["aggregate"], line["id"])
        versions[stream] = versions.get(stream, 0) + 1
        made = event(
            line["type"],
            line["payload"],
            version=line["version"],
            position=number,
            aggregate=line["aggregate"],
            aggregate_id=line["id"],
            stream_version=versions[stream],
            occurred_at=parse_time(line["occurred_at"]),
            event_id=f"00000000-0000-7000-8000-{number:012x}",
        )
        events.append(made)
    return events


def run(projection: Projection, backend: Backend, *events: RawEvent) -> None:
    """Hands a batch to a projection, as the host does, and raises the :class:`Failure` that the
    host would get.
    """
    numbered = [
        made if made.position else made._replace(position=place)
        for place, made in enumerate(events, 1)
    ]
    if isinstance(backend, RecordingTx):
        backend._causes = numbered
    projection.handle(backend, numbered)


#: The type of PostgreSQL that a parameter of a query comes as.
_TYPES: dict[c.ParameterType, str] = {"int64": "bigint", "float64": "double precision"}


def ask(
    projection: Projection, backend: Backend, query: str, tenant: str = "default", **given: Any
) -> list[Row]:
    """Asks a query, as the host does, and raises the :class:`Failure` that the host would get.

    >>> db.answer("FROM accounts", {"id": "1", "cents": 700})
    >>> assert ask(projection, db, "richest", limit=1)[0].cents == 700
    """
    known = projection.queries[query].parameters if query in projection.queries else []
    for name in given.keys() - {it.name for it in known}:
        raise Poison(f"there is no parameter {name}")
    for missing in (it.name for it in known if it.required and it.name not in given):
        raise Poison(f"the parameter {missing} is missing")
    values = [
        (it.name, typed(_TYPES.get(it.type, it.type), given[it.name]))
        for it in known
        if it.name in given
    ]
    found = projection.ask(backend, query, tenant, values)
    places = {name: place for place, name in enumerate(found.columns)}
    return [Row(places, row) for row in found.rows]


@dataclass
class Appended:
    """An event that was appended to the log."""

    tenant: str
    aggregate: str
    id: str
    type: str
    data: dict[str, Any]
    version: int = 1
    topic: str | None = None


@dataclass
class Request:
    """A request that was sent; the names of headers are in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    #: In seconds.
    timeout: float | None

    def json(self) -> Any:
        """The body, read from JSON."""
        return json.loads(self.body)


class Server:
    """Other systems: inside of the `with` they answer the requests of a reactor from a script, and
    after its end with 200 and nothing.

    >>> with Server() as server:
    ...     server.answer(503)
    ...     run(projection, RecordingTx(), event("OrderPlaced"))  # raises Retry
    """

    def __init__(self) -> None:
        #: What was sent.
        self.requests: list[Request] = []
        self._script: list[c.Incoming | c.SendError] = []

    def answer(self, status: int, body: Any = "", headers: Mapping[str, str] | None = None) -> None:
        """The next request gets this answer; a body that is no text or bytes is sent as JSON."""
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        content = body.encode() if isinstance(body, str) else body
        lower = [(name.lower(), value) for name, value in (headers or {}).items()]
        self._script.append(c.Incoming(status, lower, content))

    def fail(self, reason: c.SendReason, message: str = "by the test") -> None:
        """The next request gets no answer."""
        self._script.append(c.SendError(reason, message))

    def __enter__(self) -> Server:
        self._before, _http._send = _http._send, self._send
        return self

    def __exit__(self, *_: object) -> None:
        _http._send = self._before

    def _send(self, cause: int, raw: c.Outgoing) -> c.Incoming:
        timeout = None if raw.timeout_ms is None else raw.timeout_ms / 1000
        headers = {name.lower(): value for name, value in raw.headers}
        self.requests.append(Request(raw.method, raw.url, headers, raw.body, timeout))
        answer = self._script.pop(0) if self._script else c.Incoming(200, [], b"")
        if isinstance(answer, c.SendError):
            raise answer
        return answer


class RecordingTx:
    """Records statements, answers queries from a script, and has a log of its own.

    Answers and failures are matched by a part of the statement, and used up in the order in which
    they were given. A query without an answer returns no rows.
    """

    def __init__(self) -> None:
        #: Statements with their parameters, in the order in which they reached the database.
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        #: How often the database was called: a batch counts once.
        self.round_trips = 0
        #: What was appended to the log, in its order.
        self.appended: list[Appended] = []
        self._script: list[tuple[str, c.RowSet | DatabaseError]] = []
        self._causes: list[RawEvent] = []
        self._streams: dict[tuple[str, str, str], list[RawEvent]] = {}
        self._refusals: list[c.LogError] = []

    def given(self, aggregate: str, id: str, *events: RawEvent) -> None:
        """These events are in the log already, at the end of a stream."""
        for raw in events:
            stream = self._stream(raw.tenant, aggregate, id)
            version = len(stream) + 1
            stream.append(raw._replace(aggregate=aggregate, aggregate_id=id, version=version))

    def fail_append(self, reason: c.LogReason, what: str | int = "by the test") -> None:
        """The next append is refused. Of a conflict `what` is the version of the stream."""
        self._refusals.append(c.LogError(reason, what))

    def load(self, cause: int, aggregate: str, id: str, after: int, limit: int) -> c.Page:
        """What the host's does."""
        stream = self._stream(self._causes[cause].tenant, aggregate, id)
        events = stream[after : after + limit]
        version = after + len(events)
        return c.Page(events, version, version < len(stream))

    def append(
        self, cause: int, aggregate: str, id: str, expected: int | None, events: list[c.NewEvent]
    ) -> int:
        """What the host's does."""
        if self._refusals:
            raise self._refusals.pop(0)
        by = self._causes[cause]
        stream = self._stream(by.tenant, aggregate, id)
        if expected is not None and expected != len(stream):
            raise c.LogError("conflict", len(stream))
        for new in events:
            data = json.loads(new.payload)
            of = (by.tenant, aggregate, id, new.event_type)
            self.appended.append(Appended(*of, data, new.schema_version, new.topic))
            made = event(
                new.event_type,
                data,
                version=new.schema_version,
                tenant=by.tenant,
                correlation_id=by.correlation_id or by.id,
                causation_id=by.id,
                event_id=f"00000000-0000-8000-8000-{len(self.appended):012x}",
            )
            self.given(aggregate, id, made._replace(occurred_at=by.occurred_at))
        return len(stream)

    def _stream(self, tenant: str, aggregate: str, id: str) -> list[RawEvent]:
        return self._streams.setdefault((tenant, aggregate, id), [])

    @property
    def statements(self) -> list[str]:
        """The texts of the statements, in the order in which they reached the database."""
        return [statement for statement, _ in self.calls]

    def calls_of(self, part: str) -> list[tuple[Any, ...]]:
        """The parameters of the statements whose text holds this."""
        return [params for statement, params in self.calls if part in statement]

    def answer(self, part: str, *rows: Mapping[str, Any]) -> None:
        """The next statement whose text holds this part returns these rows."""
        columns = list(rows[0]) if rows else []
        values = [[to_value(row[column]) for column in columns] for row in rows]
        self._script.append((part, c.RowSet(columns, values)))

    def fail(self, part: str, kind: SqlErrorKind, sqlstate: str, message: str) -> None:
        """The next statement whose text holds this part fails."""
        self._script.append((part, DatabaseError(kind, sqlstate, message)))

    def execute(self, statement: str, params: list[c.Value]) -> int:
        """What the host's does."""
        return len(self.query(statement, params).rows) or 1

    def query(self, statement: str, params: list[c.Value]) -> c.RowSet:
        """What the host's does."""
        self.round_trips += 1
        return self._record(statement, params)

    def execute_batch(self, statements: list[str], calls: list[c.Call]) -> list[int]:
        """What the host's does."""
        self.round_trips += 1
        counts = []
        for place, call in enumerate(calls):
            try:
                found = self._record(statements[call.statement], call.params)
            except DatabaseError as error:
                error.call = place
                raise
            counts.append(len(found.rows) or 1)
        return counts

    def _record(self, statement: str, params: list[c.Value]) -> c.RowSet:
        self.calls.append((statement, tuple(map(natural, params))))
        for place, (part, answer) in enumerate(self._script):
            if part in statement:
                del self._script[place]
                if isinstance(answer, DatabaseError):
                    raise answer
                return answer
        return c.RowSet([], [])


@contextlib.contextmanager
def config(**settings: str) -> Iterator[None]:
    """The settings that `eventfabric.config` finds inside of the `with`."""
    before = _config._values
    _config._values = dict(settings)
    try:
        yield
    finally:
        _config._values = before
