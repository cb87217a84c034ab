"""Python values on their way to the database, and what a column becomes without more."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from . import _contract as c
from ._time import from_days, from_micros, to_days, to_micros


class Json:
    """A parameter for json and jsonb from any value; as the type of a column, its exact text.

    Decimals, times, days and UUIDs become strings, dataclasses objects.
    """

    __slots__ = ("text",)

    def __init__(self, value: Any) -> None:
        self.text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_jsonable)

    @classmethod
    def of_text(cls, text: str) -> Json:
        """JSON as it is: no number in it is rounded."""
        it = cls.__new__(cls)
        it.text = text
        return it

    @property
    def value(self) -> Any:
        """What the text says."""
        return json.loads(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Json.of_text({self.text!r})"


class Other(str):
    """A value of a type that Python has none for (an enum of the plugin, an interval, a range), as
    PostgreSQL writes it. As a parameter a plain `str` does the same.
    """

    __slots__ = ("type_name",)

    type_name: str

    def __new__(cls, text: str, type_name: str = "") -> Other:
        it = super().__new__(cls, text)
        it.type_name = type_name
        return it


def typed(type_name: str, value: Any) -> c.Value:
    """A parameter of a type by PostgreSQL's name: `typed("smallint", 5)`, `typed("real[]", [0.5])`.

    It is seldom needed, for the host makes of a number or a text what the statement asks for. A
    name that is unknown here goes with the text of the value, for the server to read.
    """
    if value is None:
        return c.Null()
    array = type_name.endswith("[]")
    kind = _KINDS.get(type_name[:-2] if array else type_name)
    if kind is None and array:
        return _list(value)
    if kind is None:
        return c.OtherText((_text(type_name), _text(str(value))))
    scalar, of_array, convert = kind
    try:
        if array:
            return of_array([None if item is None else convert(item) for item in value])
        return scalar(convert(value))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{value!r} is no {type_name}: {error}") from None


def to_value(value: Any) -> c.Value:
    """The parameter that a Python value is."""
    convert = _BY_TYPE.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, c.Value):
        return value
    for base in (Enum, bool, int, float, Other, str, datetime, date, Decimal):
        if isinstance(value, base):
            return _BY_TYPE[base](value)
    if isinstance(value, Mapping):
        return _json(dict(value))
    if dataclasses.is_dataclass(value):
        raise TypeError(f"{value!r} is no parameter: wrap it in Json(…)")
    raise TypeError(f"a {type(value).__name__} is no parameter: {value!r}")


def natural(value: c.Value) -> Any:
    """What a column becomes without more: numerics a Decimal, json what it says, enums a text."""
    convert = _NATURAL.get(type(value))
    return value.value if convert is None else convert(value.value)


def size(value: c.Value) -> int:
    """About how many bytes it holds."""
    held = value.value
    if isinstance(held, (str, bytes)):
        return len(held)
    if isinstance(held, list):
        return sum(len(item) if isinstance(item, (str, bytes)) else 8 for item in held)
    return 8


def _text(text: str) -> str:
    if not text.isascii():
        text.encode()  # half of a surrogate pair is no text
    return text


def _int(value: int) -> c.Value:
    if -(2**63) <= value < 2**63:
        return c.Int64(value)
    return c.Numeric(str(value))


def _json(value: Any) -> c.Value:
    return c.JsonText(_text(Json(value).text))


def _interval(value: timedelta) -> str:
    return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"a {type(value).__name__} has no JSON: {value!r}")


def _list(items: Sequence[Any]) -> c.Value:
    kinds = {type(to_value(item)) for item in items if item is not None}
    if not kinds:
        return c.TextArray([None] * len(items))
    if len(kinds) > 1:
        for name, widest in _WIDER:
            if kinds <= widest:
                return typed(f"{name}[]", items)
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"an array has items of one type, this has {names}: {items!r}")
    array = _ARRAYS.get(kinds.pop())
    if array is None:
        raise TypeError(f"no array can hold these items: {items!r} (for JSON, wrap it in Json(…))")
    return array([None if item is None else to_value(item).value for item in items])


def _ranged(bits: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("not an int")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError("out of its range")
        return int(value)

    return convert


def _real(value: Any) -> float:
    number = float(value)
    struct.pack("<f", number)  # refuses what is too large
    return number


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a bool")
    return value


def _micros(value: Any) -> int:
    if not isinstance(value, datetime):
        raise TypeError("not a datetime")
    return to_micros(value)


def _days(value: Any) -> int:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError("not a date")
    return to_days(value)


def _json_text(value: Any) -> str:
    return _text((value if isinstance(value, Json) else Json(value)).text)


def _decimal(value: Any) -> str:
    number = Decimal(value)
    if number.is_snan():
        raise ValueError("PostgreSQL has no signalling NaN")
    return str(number)


_Kind = tuple[type[c.Value], type[c.Value], Callable[[Any], Any]]
_KINDS: dict[str, _Kind] = {
    "boolean": (c.Boolean, c.BoolArray, _bool),
    "smallint": (c.Int16, c.Int16Array, _ranged(16)),
    "integer": (c.Int32, c.Int32Array, _ranged(32)),
    "bigint": (c.Int64, c.Int64Array, _ranged(64)),
    "real": (c.Float32, c.Float32Array, _real),
    "double precision": (c.Float64, c.Float64Array, float),
    "numeric": (c.Numeric, c.NumericArray, _decimal),
    "text": (c.Text, c.TextArray, lambda value: _text(str(value))),
    "bytea": (c.Bytes, c.BytesArray, bytes),
    "uuid": (c.Uuid, c.UuidArray, lambda value: str(UUID(str(value)))),
    "timestamptz": (c.Timestamptz, c.TimestamptzArray, _micros),
    "date": (c.Date, c.DateArray, _days),
    "json": (c.JsonText, c.JsonArray, _json_text),
}
_ARRAYS: dict[type[c.Value], type[c.Value]] = {
    scalar: array for scalar, array, _ in _KINDS.values()
}
for _name, _same in (
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int", "integer"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("decimal", "numeric"),
    ("timestamp with time zone", "timestamptz"),
    ("jsonb", "json"),
):
    _KINDS[_name] = _KINDS[_same]

#: What holds items of several types exactly.
_WIDER = (
    ("numeric", {c.Int64, c.Numeric}),
    ("double precision", {c.Int64, c.Float64}),
)

_BY_TYPE: dict[type, Callable[[Any], c.Value]] = {
    type(None): lambda value: c.Null(),
    bool: c.Boolean,
    int: _int,
    float: c.Float64,
    str: lambda value: c.Text(_text(value)),
    Decimal: lambda value: c.Numeric(_decimal(value)),
    bytes: c.Bytes,
    bytearray: lambda value: c.Bytes(bytes(value)),
    memoryview: lambda value: c.Bytes(bytes(value)),
    UUID: lambda value: c.Uuid(str(value)),
    datetime: lambda value: c.Timestamptz(to_micros(value)),
    date: lambda value: c.Date(to_days(value)),
    timedelta: lambda value: c.OtherText(("interval", _interval(value))),
    Json: lambda value: c.JsonText(_text(value.text)),
    Other: lambda value: c.OtherText((_text(value.type_name), _text(str(value)))),
    Enum: lambda value: to_value(value.value),
    dict: _json,
    list: _list,
    tuple: _list,
}

_Convert = Callable[[Any], Any]


def _each(convert: _Convert) -> _Convert:
    return lambda items: [None if item is None else convert(item) for item in items]


_NATURAL: dict[type[c.Value], _Convert] = {
    c.Numeric: Decimal,
    c.Uuid: UUID,
    c.Timestamptz: from_micros,
    c.Date: from_days,
    c.JsonText: json.loads,
}
_NATURAL.update({_ARRAYS[scalar]: _each(convert) for scalar, convert in _NATURAL.items()})
_NATURAL[c.OtherText] = lambda other: Other(other[1], other[0])
