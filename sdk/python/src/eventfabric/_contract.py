"""The records and variants of the contract (`wit/projection.wit`), as the SDK passes them on.

In a component these classes take the places of the generated ones, so that a value is made once.
Natively the test doubles use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

Mode = Literal["inline", "catch-up", "async"]
FailureKind = Literal["retry", "poison", "fatal"]
SqlErrorKind = Literal[
    "retryable", "constraint", "denied", "invalid", "limit", "aborted", "connection"
]
LogReason = Literal["conflict", "denied", "invalid", "limit", "database"]
SendReason = Literal["denied", "invalid", "timeout", "connection", "limit"]
ParameterType = Literal[
    "boolean", "int64", "float64", "numeric", "text", "uuid", "timestamptz", "date"
]


class Value:
    """A value on its way to or from PostgreSQL."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other.value == self.value)

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class Null(Value):
    __slots__ = ()

    def __init__(self) -> None:
        self.value = None


class Boolean(Value):
    __slots__ = ()


class Int16(Value):
    __slots__ = ()


class Int32(Value):
    __slots__ = ()


class Int64(Value):
    __slots__ = ()


class Float32(Value):
    __slots__ = ()


class Float64(Value):
    __slots__ = ()


class Numeric(Value):
    __slots__ = ()


class Text(Value):
    __slots__ = ()


class Bytes(Value):
    __slots__ = ()


class Uuid(Value):
    __slots__ = ()


class Timestamptz(Value):
    __slots__ = ()


class Date(Value):
    __slots__ = ()


class JsonText(Value):
    __slots__ = ()


class BoolArray(Value):
    __slots__ = ()


class Int16Array(Value):
    __slots__ = ()


class Int32Array(Value):
    __slots__ = ()


class Int64Array(Value):
    __slots__ = ()


class Float32Array(Value):
    __slots__ = ()


class Float64Array(Value):
    __slots__ = ()


class NumericArray(Value):
    __slots__ = ()


class TextArray(Value):
    __slots__ = ()


class BytesArray(Value):
    __slots__ = ()


class UuidArray(Value):
    __slots__ = ()


class TimestamptzArray(Value):
    __slots__ = ()


class DateArray(Value):
    __slots__ = ()


class JsonArray(Value):
    __slots__ = ()


class OtherText(Value):
    """The name of the type, which may be empty in a parameter, and the text."""

    __slots__ = ()


VARIANTS: dict[str, type[Value]] = {
    "Null": Null,
    "Boolean": Boolean,
    "Int16": Int16,
    "Int32": Int32,
    "Int64": Int64,
    "Float32": Float32,
    "Float64": Float64,
    "Numeric": Numeric,
    "Text": Text,
    "Bytes": Bytes,
    "Uuid": Uuid,
    "Timestamptz": Timestamptz,
    "Date": Date,
    "Json": JsonText,
    "BoolArray": BoolArray,
    "Int16Array": Int16Array,
    "Int32Array": Int32Array,
    "Int64Array": Int64Array,
    "Float32Array": Float32Array,
    "Float64Array": Float64Array,
    "NumericArray": NumericArray,
    "TextArray": TextArray,
    "BytesArray": BytesArray,
    "UuidArray": UuidArray,
    "TimestamptzArray": TimestamptzArray,
    "DateArray": DateArray,
    "JsonArray": JsonArray,
    "Other": OtherText,
}
"""The classes by the names of the contract's cases."""


class RawEvent(NamedTuple):
    """An event as the host hands it over. In a component it is a plain tuple of the same fields."""

    position: int
    id: str
    tenant: str
    aggregate: str
    aggregate_id: str
    version: int
    event_type: str
    schema_version: int
    payload: str
    occurred_at: int
    correlation_id: str | None
    causation_id: str | None


class RowSet:
    """Rows of a query."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: list[str], rows: list[list[Value]]) -> None:
        self.columns = columns
        self.rows = rows


class Call:
    """One use of a statement in a batch."""

    __slots__ = ("params", "statement")

    def __init__(self, statement: int, params: list[Value]) -> None:
        self.statement = statement
        self.params = params


@dataclass
class DatabaseError(Exception):
    """Why a statement failed, as the host says it; `call` is its place in a batch."""

    kind: SqlErrorKind
    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None
    constraint: str | None = None
    table: str | None = None
    column: str | None = None
    position: int | None = None
    call: int = 0


@dataclass
class NewEvent:
    """A fact that is to be appended."""

    event_type: str
    schema_version: int
    payload: str
    topic: str | None


@dataclass
class Page:
    """Some of a stream."""

    events: list[RawEvent]
    version: int
    more: bool


@dataclass
class LogError(Exception):
    """Why the log refuses something: for a conflict `what` is the version of the stream."""

    reason: LogReason
    what: str | int


@dataclass
class Outgoing:
    """A request to another system."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeout_ms: int | None


@dataclass
class Incoming:
    """What that has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class SendError(Exception):
    """Why it has not."""

    reason: SendReason
    what: str


class Backend(Protocol):
    """What carries out statements: the host in a component, a double in tests."""

    def execute(self, statement: str, params: list[Value]) -> int: ...

    def query(self, statement: str, params: list[Value]) -> RowSet: ...

    def execute_batch(self, statements: list[str], calls: list[Call]) -> list[int]: ...


class LogBackend(Backend, Protocol):
    """What has the log, too."""

    def load(self, cause: int, aggregate: str, id: str, after: int, limit: int) -> Page: ...

    def append(
        self, cause: int, aggregate: str, id: str, expected: int | None, events: list[NewEvent]
    ) -> int: ...
