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
from datetime import datetime
from typing import Any

from . import _contract as c
from . import config as _config
from ._contract import Backend, DatabaseError, RawEvent, SqlErrorKind
from ._projection import Projection
from ._time import parse_time, to_micros
from ._values import natural, to_value

__all__ = ["Backend", "RawEvent", "RecordingTx", "config", "event", "events_from_ndjson", "run"]


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
    projection.handle(backend, numbered)


class RecordingTx:
    """Records statements, and answers queries from a script.

    Answers and failures are matched by a part of the statement, and used up in the order in which
    they were given. A query without an answer returns no rows.
    """

    def __init__(self) -> None:
        #: Statements with their parameters, in the order in which they reached the database.
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        #: How often the database was called: a batch counts once.
        self.round_trips = 0
        self._script: list[tuple[str, c.RowSet | DatabaseError]] = []

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
