"""The conformance plugin, as `sdk/conformance/README.md` tells it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from eventfabric import (
    Event,
    Fatal,
    Json,
    Other,
    Poison,
    Projection,
    Retry,
    SqlError,
    Table,
    Tx,
    config,
    log,
)

projection = Projection(
    "conformance",
    text="What every SDK must be able to do",
    mode="catch-up",
    migrations="migrations",
)

counters = Table("counters", "area", "key")
labels = Table("labels", "key")

NUMBER = "INSERT INTO numbers (position, n) VALUES ($1, $2)"
NOTE = "INSERT INTO notes (position, text) VALUES ($1, $2)"


@dataclass
class Written:
    name: str
    values: dict[str, Any]


#: The columns of `written`, in Python's own types.
KINDS: dict[str, Any] = {
    "bool": bool,
    "int16": int,
    "int32": int,
    "int64": int,
    "float32": float,
    "float64": float,
    "numeric": Decimal,
    "text": str,
    "bytes": bytes,
    "uuid": UUID,
    "timestamptz": datetime,
    "date": date,
    "json": Json,
    "mood": Other,
    "span": Other,
}
KINDS |= {
    f"{name}_array": list.__class_getitem__(kind | None)
    for name, kind in KINDS.items()
    if kind is not Other
}
COLUMNS = list(KINDS)

#: A row of `written`.
Values: type[Any] = make_dataclass("Values", [(name, kind | None) for name, kind in KINDS.items()])

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = EPOCH.date()

#: Of each kind of column how its value is made from the form in the event, and shown in that form.
FORMS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "bool": (lambda text: text == "true", lambda value: str(value).lower()),
    "int16": (int, str),
    "int32": (int, str),
    "int64": (int, str),
    "float32": (float, str),
    "float64": (float, str),
    "numeric": (Decimal, lambda value: f"{value:f}"),
    "text": (str, str),
    "bytes": (bytes.fromhex, bytes.hex),
    "uuid": (UUID, str),
    "timestamptz": (
        lambda text: EPOCH + timedelta(microseconds=int(text)),
        lambda value: str((value - EPOCH) // timedelta(microseconds=1)),
    ),
    "date": (lambda text: DAY + timedelta(int(text)), lambda value: str((value - DAY).days)),
    "json": (Json.of_text, lambda value: value.text),
    "mood": (Other, str),
    "span": (Other, str),
}
NOT_SHOWN = {"float32", "float64", "json"}


def each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [None if item is None else change(item) for item in value]
    return change(value)


def insert(table: str) -> str:
    names = ", ".join(f'"{name}"' for name in ["name", *COLUMNS])
    places = ", ".join(f"${place}" for place in range(1, len(COLUMNS) + 2))
    return f"INSERT INTO {table} ({names}) VALUES ({places})"


WRITE, ECHO = insert("written"), insert("echoed")
READ = "SELECT * FROM written WHERE name = $1"


@projection.on(Written)
def written(event: Event[Written], tx: Tx) -> None:
    name, given = event.data.name, event.data.values
    made = [
        None
        if given.get(column) is None
        else each(FORMS[column.removesuffix("_array")][0], given[column])
        for column in COLUMNS
    ]
    tx.run(WRITE, name, *made)
    read = tx.one(READ, name, into=Values)
    found = {column: getattr(read, column) for column in COLUMNS}
    tx.run(ECHO, name, *found.values())
    shown = {
        column: each(FORMS[column.removesuffix("_array")][1], value)
        for column, value in found.items()
        if value is not None and column.removesuffix("_array") not in NOT_SHOWN
    }
    tx.run("INSERT INTO shown (name, shown) VALUES ($1, $2)", name, Json(shown))


@dataclass
class Counted:
    n: int


@projection.on(Counted)
def counted(event: Event[Counted], tx: Tx) -> None:
    tx.run(NUMBER, event.position, event.data.n)


@dataclass
class Priced:
    cents: int


@projection.upcast(Priced, version=1)
def from_euros(payload: dict[str, Any]) -> None:
    payload["cents"] = payload.pop("euros") * 100


@projection.on(Priced)
def priced(event: Event[Priced], tx: Tx) -> None:
    tx.run("INSERT INTO prices (position, cents) VALUES ($1, $2)", event.position, event.data.cents)


@projection.on("Noted")
def noted(event: Event[dict[str, Any]], tx: Tx) -> None:
    tx.run(
        """INSERT INTO events
        (position, id, tenant, aggregate, aggregate_id, version, event_type, schema_version,
         payload, occurred_at, correlation_id, causation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)""",
        event.position,
        event.id,
        event.tenant,
        event.aggregate,
        event.aggregate_id,
        event.version,
        event.type,
        event.schema_version,
        Json.of_text(event.payload),
        event.occurred_at,
        event.correlation_id,
        event.causation_id,
    )


@dataclass
class Incremented:
    area: str
    key: str
    by: int


@projection.on(Incremented)
def incremented(event: Event[Incremented], tx: Tx) -> None:
    key = (event.data.area, event.data.key)
    counters.increment(tx, key, n=event.data.by)
    counters.upsert(tx, key, last=event.position)


@dataclass
class Labelled:
    key: str
    label: str | None = None


@projection.on(Labelled)
def labelled(event: Event[Labelled], tx: Tx) -> None:
    labels.upsert(tx, event.data.key, label=event.data.label)


@dataclass
class Removed:
    area: str
    key: str


@projection.on(Removed)
def removed(event: Event[Removed], tx: Tx) -> None:
    counters.delete(tx, (event.data.area, event.data.key))
    labels.delete(tx, event.data.key)


@dataclass
class Emptied:
    area: str


@projection.on(Emptied)
def emptied(event: Event[Emptied], tx: Tx) -> None:
    tx.run("DELETE FROM counters WHERE area = $1", event.data.area)


@projection.on("Summed")
def summed(event: Event[dict[str, Any]], tx: Tx) -> None:
    n = tx.scalar("SELECT coalesce(sum(n), 0)::bigint FROM counters", into=int)
    tx.run(NUMBER, event.position, n)


@dataclass
class Repeated:
    text: str
    times: int


@projection.on(Repeated)
def repeated(event: Event[Repeated], tx: Tx) -> None:
    tx.run(NOTE, event.position, event.data.text * event.data.times)
    text = tx.scalar("SELECT text FROM notes WHERE position = $1", event.position, into=str)
    tx.run(NUMBER, event.position, len(text))


@dataclass
class Listed:
    upto: int


@projection.on(Listed)
def listed(event: Event[Listed], tx: Tx) -> None:
    rows = tx.query(
        "SELECT g, g::text AS t FROM generate_series(1::bigint, $1) AS g", event.data.upto
    )
    tx.run(NUMBER, event.position, sum(row.g + int(row.t) for row in rows))


@dataclass
class Logged:
    level: Literal["trace", "debug", "info", "warn", "error"]
    text: str


@projection.on(Logged)
def logged(event: Event[Logged], tx: Tx) -> None:
    log.write(event.data.level, event.data.text)


@dataclass
class Configured:
    key: str


@projection.on(Configured)
def configured(event: Event[Configured], tx: Tx) -> None:
    tx.run(NOTE, event.position, config.get(event.data.key, "not set"))


@dataclass
class Failed:
    how: str


@projection.on(Failed)
def failed(event: Event[Failed], tx: Tx) -> None:
    FAILURES[event.data.how](event, tx)


def poison(event: Event[Failed], tx: Tx) -> None:
    raise Poison("by hand")


def retry(event: Event[Failed], tx: Tx) -> None:
    raise Retry("by hand")


def fatal(event: Event[Failed], tx: Tx) -> None:
    raise Fatal("by hand")


def exception(event: Event[Failed], tx: Tx) -> None:
    raise RuntimeError("unforeseen")


def missing_table(event: Event[Failed], tx: Tx) -> None:
    tx.run("INSERT INTO nowhere (id) VALUES ($1)", event.position)


def wrong_count(event: Event[Failed], tx: Tx) -> None:
    tx.execute(NOTE, event.position)


def wrong_type(event: Event[Failed], tx: Tx) -> None:
    tx.run(NUMBER, event.position, "many")


def null(event: Event[Failed], tx: Tx) -> None:
    tx.run(NOTE, event.position, None)


def unique(event: Event[Failed], tx: Tx) -> None:
    tx.run(NOTE, event.position, "once")
    tx.run(NOTE, event.position, "once")


def swallowed(event: Event[Failed], tx: Tx) -> None:
    tx.execute(NOTE, event.position, "once")
    try:
        tx.execute(NOTE, event.position, "once")
    except SqlError:
        pass


def no_row(event: Event[Failed], tx: Tx) -> None:
    tx.one("SELECT n FROM numbers WHERE position = -1")


def misfit(event: Event[Failed], tx: Tx) -> None:
    tx.scalar("SELECT 'x'::text AS t", into=int)


def null_read(event: Event[Failed], tx: Tx) -> None:
    tx.scalar("SELECT NULL::bigint AS n", into=int)


def denied(event: Event[Failed], tx: Tx) -> None:
    tx.query("SELECT now()")


def loop(event: Event[Failed], tx: Tx) -> None:
    for _ in itertools.count():
        pass


def allocate(event: Event[Failed], tx: Tx) -> None:
    held = []
    while True:
        held.append(bytes(1 << 20))


FAILURES = {
    how.__name__: how
    for how in (
        poison,
        retry,
        fatal,
        exception,
        missing_table,
        wrong_count,
        wrong_type,
        null,
        unique,
        swallowed,
        no_row,
        misfit,
        null_read,
        denied,
        loop,
        allocate,
    )
}
