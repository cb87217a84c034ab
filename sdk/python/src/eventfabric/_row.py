"""Rows of a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _contract as c
from ._decode import Misfit, read_column
from ._errors import Fatal
from ._values import natural


class Rows(list["Row"]):
    """The rows of a query, and the names of their columns where there are none."""

    columns: tuple[str, ...] = ()


class Row:
    """One row: `row.owner`, `row["owner"]`, `row[0]`, or `owner, cents = row`."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: dict[str, int], values: list[c.Value]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: str | int) -> Any:
        place: int | None
        if isinstance(key, str):
            place = self._places.get(key)
            if place is None:
                known = ", ".join(self._places)
                raise Fatal(f"the query returns no column `{key}`, only {known}")
        else:
            place = range(len(self._values))[key]
        try:
            return read_column(natural, self._values[place], self.columns[place])
        except Misfit as misfit:
            raise Fatal(str(misfit)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self._values)))

    def __len__(self) -> int:
        return len(self._values)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._places)

    def as_dict(self) -> dict[str, Any]:
        """The values by the names of their columns."""
        return {name: self[name] for name in self._places}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            return self._places == other._places and self._values == other._values
        return isinstance(other, tuple) and tuple(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={self[name]!r}' for name in self._places)})"
