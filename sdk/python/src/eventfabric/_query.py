"""Queries that a projection answers from its tables."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Union
from uuid import UUID

from . import _contract as c
from ._errors import Fatal, Poison
from ._row import Row, Rows
from ._tx import ReadTx
from ._values import natural, to_value

#: What a query and its parameters may be called.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")

_TYPES: dict[Any, c.ParameterType] = {
    bool: "boolean",
    int: "int64",
    float: "float64",
    Decimal: "numeric",
    str: "text",
    UUID: "uuid",
    datetime: "timestamptz",
    date: "date",
}

Answer = Callable[..., Iterable[Any]]


class Parameter(NamedTuple):
    """A parameter of a query, as the host lists it."""

    name: str
    text: str
    type: c.ParameterType
    required: bool


class Query:
    """A query, described by the signature of the function that answers it."""

    def __init__(
        self, answer: Answer, name: str | None, text: str | None, per_tenant: bool
    ) -> None:
        self.answer = answer
        self.name = answer.__name__ if name is None else name
        self.text = _summary(answer) if text is None else text
        self.per_tenant = per_tenant
        _check_name("query", self.name)
        if inspect.iscoroutinefunction(answer):
            raise TypeError(f"the query {self.name} is asynchronous: nothing in it waits")
        self._arguments = self._read_signature()

    @property
    def parameters(self) -> list[Parameter]:
        """What the host lists, and checks a request by."""
        return list(self._arguments.values())

    def ask(self, tx: ReadTx, tenant: str, given: Iterable[tuple[str, c.Value]]) -> c.RowSet:
        """Answers a request."""
        values = dict(given)
        arguments: dict[str, Any] = {}
        for argument, parameter in self._arguments.items():
            if parameter.name in values:
                try:
                    arguments[argument] = natural(values[parameter.name])
                except (ValueError, ArithmeticError) as error:
                    raise Poison(f"{parameter.name}: {error}") from None
        rows = self.answer(tx, *((tenant,) if self.per_tenant else ()), **arguments)
        if isinstance(rows, (str, bytes, Mapping, Row)) or not isinstance(rows, Iterable):
            raise Fatal(
                f"the query {self.name} has not answered with rows but with {rows!r}: return "
                "those of tx.query, or a list of dataclasses or dicts"
            )
        return _row_set(rows if isinstance(rows, list) else list(rows))

    def _read_signature(self) -> dict[str, Parameter]:
        """Of each argument of the function the parameter that it is."""
        signature = inspect.signature(self.answer)
        hints = typing.get_type_hints(self.answer, include_extras=True)
        own = ("tx", "tenant") if self.per_tenant else ("tx",)
        arguments = list(signature.parameters.values())
        if len(arguments) < len(own):
            raise TypeError(f"the query {self.name} takes {' and '.join(own)} first")
        found = {}
        for argument in arguments[len(own) :]:
            if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                raise TypeError(f"the query {self.name}: each parameter has a name, {argument} not")
            if argument.kind is argument.POSITIONAL_ONLY:
                raise TypeError(f"the query {self.name}: {argument.name} is given by its name")
            found[argument.name] = self._parameter(argument, hints)
            optional = not found[argument.name].required
            if optional and argument.default is argument.empty:
                raise TypeError(
                    f"the query {self.name}: {argument.name} may be None, so give it the default "
                    "`= None`"
                )
        return found

    def _parameter(self, argument: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
        # `from_` is how Python spells what it has a word of its own for.
        name = argument.name.removesuffix("_")
        _check_name("parameter", name)
        hint: Any = hints.get(argument.name)
        text = ""
        if typing.get_origin(hint) is Annotated:
            texts = [it for it in hint.__metadata__ if isinstance(it, str)]
            hint, text = hint.__origin__, texts[0] if texts else ""
        required = argument.default is argument.empty
        if typing.get_origin(hint) in (Union, types.UnionType):
            rest = [it for it in typing.get_args(hint) if it is not type(None)]
            if len(rest) == 1:
                hint, required = rest[0], False
        kind = _TYPES.get(hint) if isinstance(hint, type) else None
        if kind is None:
            known = ", ".join(it.__name__ for it in _TYPES)
            shown = "nothing" if hint is None else hint.__name__ if type(hint) is type else hint
            raise TypeError(
                f"the query {self.name}: {argument.name} is annotated with {shown}, and a "
                f"parameter is one of {known}"
            )
        return Parameter(name, text, kind, required)


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the {what} {name!r} has no name that it can have: {_NAME.pattern}")


def _summary(function: Answer) -> str:
    """The first paragraph of the documentation."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def _row_set(rows: list[Any]) -> c.RowSet:
    if not rows:
        return c.RowSet(list(rows.columns) if isinstance(rows, Rows) else [], [])
    first = list(_fields(rows[0], 1))
    return c.RowSet(first, [_values(row, first, place) for place, row in enumerate(rows, 1)])


def _values(row: Any, columns: list[str], place: int) -> list[c.Value]:
    if isinstance(row, Row) and list(row.columns) == columns:
        return row._values
    fields = _fields(row, place)
    if fields.keys() != set(columns):
        raise Fatal(
            f"row {place} of the answer has the columns {', '.join(fields)}, and the first one "
            f"{', '.join(columns)}"
        )
    values = []
    for column in columns:
        try:
            values.append(to_value(fields[column]))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Fatal(f"column {column} of row {place} of the answer: {error}") from None
    return values


def _fields(row: Any, place: int) -> Mapping[str, Any]:
    """The fields of a row by their names; those that were read from a table as they came."""
    if isinstance(row, Row):
        return dict(zip(row.columns, row._values, strict=True))
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if isinstance(row, Mapping):
        return row
    raise Fatal(f"row {place} of the answer is {row!r}, and no row, dataclass or dict")
