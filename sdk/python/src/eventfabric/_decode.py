"""From JSON and rows to the types of hints. Decoders are made once, when a plugin is built."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Literal, Union
from uuid import UUID

from . import _contract as c
from ._time import parse_day, parse_time
from ._values import Json, Other, natural

Decoder = Callable[[Any], Any]
Reader = Callable[[c.Value], Any]


class Misfit(Exception):
    """What does not fit, and where: the path is put together on the way out."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.path = path

    def within(self, outer: str) -> Misfit:
        """The same, seen from one level further out."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return Misfit(self.what, f"{outer}{joint}{self.path}")

    def __str__(self) -> str:
        if self.what == _MISSING:
            return f"missing field `{self.path}`"
        return f"field `{self.path}`: {self.what}" if self.path else self.what


_MISSING = "missing"


def decoder(hint: Any) -> Decoder:
    """What makes a value of this type from JSON. Numbers with a point come as Decimal or float."""
    known = _SCALARS.get(hint) if isinstance(hint, typing.Hashable) else None
    if known is not None:
        return known
    if hint in (Any, object):
        return _plain
    if isinstance(hint, typing.NewType):
        return decoder(hint.__supertype__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return decoder(arguments[0])
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Literal:
        return _literal(arguments)
    if hint in (list, tuple, set, frozenset):
        return _sequence(hint, _plain)
    if origin in (list, set, frozenset):
        return _sequence(origin, decoder(arguments[0]))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return _sequence(tuple, decoder(arguments[0]))
        return _fixed([decoder(argument) for argument in arguments])
    if origin is dict:
        return _mapping(decoder(arguments[0]), decoder(arguments[1]))
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return _enum(hint)
        if dataclasses.is_dataclass(hint):
            return _object(hint)
    raise TypeError(f"{_name(hint)} can't be read from JSON")


def reader(hint: Any) -> Reader:
    """What makes a value of this type from a column."""
    known = _readers.get(hint)
    if known is None:
        known = _readers[hint] = _reader(hint)
    return known


def row_reader(cls: type) -> Callable[[dict[str, int], list[c.Value]], Any]:
    """What makes an object of a dataclass from a row."""
    known = _row_readers.get(cls)
    if known is not None:
        return known
    fields = [(name, key, reader(hint), optional) for name, key, hint, optional in _fields(cls)]

    def read(places: dict[str, int], values: list[c.Value]) -> Any:
        found: dict[str, Any] = {}
        for name, column, convert, optional in fields:
            place = places.get(column)
            if place is None:
                if optional:
                    continue
                raise Misfit(f"the query returns no column `{column}`, only {', '.join(places)}")
            found[name] = read_column(convert, values[place], column)
        return cls(**found)

    _row_readers[cls] = read
    return read


def read_column(convert: Reader, value: c.Value, column: str) -> Any:
    """Reads a value; what does not fit names the column."""
    try:
        return convert(value)
    except (Misfit, ArithmeticError, ValueError) as error:
        raise Misfit(f"column `{column}`: {error}") from None


def needs_decimals(hint: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Whether a Decimal is anywhere in a type, so that JSON's numbers must be read as such."""
    if hint is Decimal:
        return True
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint in seen:
            return False
        inner = [field_hint for _, _, field_hint, _ in _fields(hint)]
        return any(needs_decimals(it, seen | {hint}) for it in inner)
    return any(needs_decimals(argument, seen) for argument in typing.get_args(hint))


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _wrong(expected: str, value: Any) -> Misfit:
    return Misfit(f"expected {expected}, got {_shown(value)}")


def _exactly(kind: type, expected: str) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise _wrong(expected, value)

    return decode


def _float(value: Any) -> float:
    if type(value) in (float, int, Decimal):
        return float(value)
    raise _wrong("a number", value)


def _decimal(value: Any) -> Decimal:
    if type(value) in (Decimal, int, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise _wrong("a decimal number", value)


def _parsed(parse: Callable[[str], Any], expected: str) -> Decoder:
    def decode(value: Any) -> Any:
        parsed = parse(value) if type(value) is str else None
        if parsed is None:
            raise _wrong(expected, value)
        return parsed

    return decode


def _parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    # Read as Decimals for the sake of other fields.
    if type(value) is Decimal:
        return float(value)
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item) for item in value]
    return value


def _dict(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise _wrong("an object", value)


_SCALARS: dict[Any, Decoder] = {
    str: _exactly(str, "a string"),
    int: _exactly(int, "an integer"),
    bool: _exactly(bool, "true or false"),
    float: _float,
    Decimal: _decimal,
    datetime: _parsed(parse_time, "a time such as 2013-01-01T10:15:00Z"),
    date: _parsed(parse_day, "a day such as 2013-01-01"),
    UUID: _parsed(_parse_uuid, "a UUID"),
    dict: lambda value: _plain(_dict(value)),
    type(None): _exactly(type(None), "null"),
    None: _exactly(type(None), "null"),
}


def _union(arguments: tuple[Any, ...]) -> Decoder:
    optional = type(None) in arguments
    inner = [decoder(argument) for argument in arguments if argument is not type(None)]
    if optional and len(inner) == 1:
        only = inner[0]
        return lambda value: None if value is None else only(value)
    names = " or ".join(_name(argument) for argument in arguments)

    def decode(value: Any) -> Any:
        if optional and value is None:
            return None
        for attempt in inner:
            try:
                return attempt(value)
            except Misfit:
                pass
        raise _wrong(names, value)

    return decode


def _literal(options: tuple[Any, ...]) -> Decoder:
    names = " or ".join(_shown(option) for option in options)

    def decode(value: Any) -> Any:
        for option in options:
            if type(option) is type(value) and option == value:
                return value
        raise _wrong(names, value)

    return decode


def _enum(cls: type[Enum]) -> Decoder:
    names = " or ".join(_shown(member.value) for member in cls)

    def decode(value: Any) -> Any:
        try:
            return cls(value)
        except (ValueError, TypeError):
            raise _wrong(names, value) from None

    return decode


def _items(value: Any, decode: Decoder) -> typing.Iterator[Any]:
    if type(value) is not list:
        raise _wrong("a list", value)
    for place, item in enumerate(value):
        try:
            yield decode(item)
        except Misfit as misfit:
            raise misfit.within(f"[{place}]") from None


def _sequence(cls: type, decode: Decoder) -> Decoder:
    return lambda value: cls(_items(value, decode))


def _fixed(decoders: list[Decoder]) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not list or len(value) != len(decoders):
            raise _wrong(f"a list of {len(decoders)}", value)
        places = iter(decoders)
        return tuple(_items(value, lambda item: next(places)(item)))

    return decode


def _mapping(key: Decoder, item: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        found = {}
        for name, held in _dict(value).items():
            try:
                found[key(name)] = item(held)
            except Misfit as misfit:
                raise misfit.within(name) from None
        return found

    return decode


def _fields(cls: Any) -> list[tuple[str, str, Any, bool]]:
    """Of each field its name, that in JSON and rows, its type, and whether it may be missing."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(f"the types of {cls.__name__} can't be told: {error}") from error
    return [
        (
            field.name,
            field.metadata.get("name", field.name),
            hints[field.name],
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    ]


_objects: dict[type, Decoder] = {}


def _object(cls: type) -> Decoder:
    known = _objects.get(cls)
    if known is not None:
        return known
    fields: list[tuple[str, str, Decoder, bool]] = []

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise _wrong("an object", value)
        found: dict[str, Any] = {}
        for name, key, convert, optional in fields:
            try:
                item = value[key]
            except KeyError:
                if optional:
                    continue
                raise Misfit(_MISSING, key) from None
            try:
                found[name] = convert(item)
            except Misfit as misfit:
                raise misfit.within(key) from None
        return cls(**found)

    # A type may hold itself.
    _objects[cls] = decode
    for name, key, hint, optional in _fields(cls):
        try:
            fields.append((name, key, decoder(hint), optional))
        except TypeError as error:
            del _objects[cls]
            raise TypeError(f"{cls.__name__}.{name}: {error}") from None
    return decode


_readers: dict[Any, Reader] = {}
_row_readers: dict[type, Callable[[dict[str, int], list[c.Value]], Any]] = {}

_COLUMNS: dict[Any, tuple[type[c.Value], ...]] = {
    bool: (c.Boolean,),
    int: (c.Int16, c.Int32, c.Int64, c.Numeric),
    float: (c.Float32, c.Float64),
    Decimal: (c.Numeric, c.Int16, c.Int32, c.Int64),
    str: (c.Text, c.OtherText),
    bytes: (c.Bytes,),
    UUID: (c.Uuid,),
    datetime: (c.Timestamptz,),
    date: (c.Date,),
    Json: (c.JsonText,),
    Other: (c.OtherText,),
}

_ITEMS: dict[type[c.Value], type[c.Value]] = {
    array: c.VARIANTS[name.replace("BoolArray", "BooleanArray").removesuffix("Array")]
    for name, array in c.VARIANTS.items()
    if name.endswith("Array")
}


def _reader(hint: Any) -> Reader:
    if hint in (Any, object):
        return natural
    if isinstance(hint, typing.NewType):
        return reader(hint.__supertype__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return reader(arguments[0])
    if origin in (Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        if len(rest) == 1:
            inner = reader(rest[0])
            return lambda value: None if type(value) is c.Null else inner(value)
        raise TypeError(f"a column can't be read as {_name(hint)}")
    if hint is list or origin is list:
        return _array_reader(reader(arguments[0] if arguments else Any), hint)
    kinds = _COLUMNS.get(hint)
    if kinds is not None:
        return _column(hint, kinds)
    if isinstance(hint, type) and issubclass(hint, Enum):
        read = _enum(hint)
        return lambda value: read(natural(value))
    decode = decoder(hint)

    def read_json(value: c.Value) -> Any:
        if type(value) is not c.JsonText:
            raise _unfit(value, hint)
        return decode(natural(value))

    return read_json


def _unfit(value: c.Value, hint: Any) -> Misfit:
    if type(value) is c.Null:
        return Misfit(f"NULL does not fit {_name(hint)} (use {_name(hint)} | None)")
    return Misfit(f"{_shown(value)} does not fit {_name(hint)}")


def _column(hint: Any, kinds: tuple[type[c.Value], ...]) -> Reader:
    def read(value: c.Value) -> Any:
        if type(value) not in kinds:
            raise _unfit(value, hint)
        if hint is Json:
            return Json.of_text(value.value)
        if hint is Decimal:
            return Decimal(value.value)
        if hint is int and type(value) is c.Numeric:
            number = Decimal(value.value)
            if not number.is_finite() or number != number.to_integral_value():
                raise _unfit(value, hint)
            return int(number)
        return natural(value)

    return read


def _array_reader(item: Reader, hint: Any) -> Reader:
    def read(value: c.Value) -> Any:
        kind = _ITEMS.get(type(value))
        if kind is None:
            raise _unfit(value, hint)
        return [item(c.Null() if held is None else kind(held)) for held in value.value]

    return read
