"""Read models by key: what a batch does to a row is merged before it is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from . import _contract as c
from ._tx import MAX_ROWS, Tx
from ._values import to_value


class Table:
    """A table of the plugin that is written by its key: of the primary key, or of another unique
    index without a condition, the columns.

    What a batch does to one key is merged in the plugin, so that a counter that is touched 500
    times is written once, and is written in the order of the keys, so that two workers wait for
    each other in no circle. The rows are those that one statement for each call would leave.

    They are written before the next read and at the end of the batch, after the calls of
    :meth:`Tx.run`; a call of `run` that names the table keeps its place among them. A statement
    that depends on them without naming the table (a foreign key, a view) needs a :meth:`Tx.flush`
    before it. A row that can't be written is blamed on its event where it stems from one.

    >>> counters = Table("counters", "area", "key")
    >>> counters.increment(tx, ("x", "a"), n=5)
    """

    def __init__(self, name: str, *key: str) -> None:
        if not key:
            raise TypeError(f"the table {name} needs the columns of its key")
        self.name = name
        self.key = key

    def upsert(self, tx: Tx, key: Any, /, **columns: Any) -> None:
        """Inserts the row, or sets these columns where it is there already."""
        # A value that is no parameter fails here, where it comes from.
        values = {name: to_value(value) for name, value in columns.items()}
        row = self._row(tx, key)
        row.written = True
        for name, value in values.items():
            row.adds.pop(name, None)
            row.sets[name] = value

    def increment(self, tx: Tx, key: Any, /, **by: int | Decimal) -> None:
        """Adds to columns, where NULL counts as 0; where the row is not there yet, it is inserted
        with these. (There is no increment by a float: such sums depend on the order.)
        """
        for name, number in by.items():
            if isinstance(number, bool) or not isinstance(number, (int, Decimal)):
                raise TypeError(f"{self.name}.{name} can't be incremented by {number!r}")
        row = self._row(tx, key)
        if not all(row.takes(name, number) for name, number in by.items()):
            tx._queue_rows()
            row = self._row(tx, key)
        row.written = True
        for name, number in by.items():
            row.add(name, number)

    def delete(self, tx: Tx, key: Any, /) -> None:
        """Deletes the row, if it is there."""
        row = self._row(tx, key)
        row.sets.clear()
        row.adds.clear()
        row.deleted, row.written = True, False

    def _row(self, tx: Tx, key: Any) -> MergedRow:
        tx._usable()
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(self.key):
            raise TypeError(f"the key of {self.name} is ({', '.join(self.key)}), got {key!r}")
        merged = tx._tables.get(self.name)
        if merged is None:
            merged = tx._tables[self.name] = Merged(self)
        row = merged.rows.get(parts)
        if row is None:
            if sum(len(table.rows) for table in tx._tables.values()) >= MAX_ROWS:
                tx._queue_rows()
                merged = tx._tables[self.name] = Merged(self)
            row = merged.rows[parts] = MergedRow([to_value(part) for part in parts], tx._blamed)
        elif row.event != tx._blamed:
            row.event = None
        return row


class MergedRow:
    """What the batch has done to one row."""

    __slots__ = ("adds", "deleted", "event", "key", "sets", "written")

    def __init__(self, key: list[c.Value], event: int | None) -> None:
        self.key = key
        #: Whatever was there goes first.
        self.deleted = False
        #: The row is there at the end.
        self.written = False
        self.sets: dict[str, c.Value] = {}
        self.adds: dict[str, int | Decimal] = {}
        self.event = event

    def takes(self, name: str, number: int | Decimal) -> bool:
        """Whether this can be added here; else only the database can."""
        known = self.sets.get(name)
        if known is None:
            there = self.adds.get(name, 0)
            if name not in self.adds:
                return True
        elif type(known) in (c.Null, c.Int16, c.Int32, c.Int64):
            there = known.value or 0
        else:
            return False
        return type(there) is type(number) is int and -(2**63) <= there + number < 2**63

    def add(self, name: str, number: int | Decimal) -> None:
        """Adds what it takes."""
        known = self.sets.get(name)
        if known is None:
            there = self.adds.get(name)
            self.adds[name] = number if there is None else there + number
        else:
            self.sets[name] = to_value((known.value or 0) + number)


class Merged:
    """What the batch has done to a table, by key."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: dict[tuple[Any, ...], MergedRow] = {}

    def calls(self) -> Iterator[tuple[str, list[c.Value], int | None]]:
        """The statements in the order of the keys, with their parameters and the event that each
        stems from.
        """
        texts: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
        for key in sorted(self.rows, key=_order):
            row = self.rows[key]
            if row.deleted:
                yield self._delete(), row.key, row.event
            if row.written:
                sets, adds = tuple(sorted(row.sets)), tuple(sorted(row.adds))
                text = texts.get((sets, adds))
                if text is None:
                    text = texts[sets, adds] = self._insert(sets, adds)
                params = row.key + [row.sets[name] for name in sets]
                params += [to_value(row.adds[name]) for name in adds]
                yield text, params, row.event

    def _insert(self, sets: tuple[str, ...], adds: tuple[str, ...]) -> str:
        columns = self.table.key + sets + adds
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        changes = [f"{it} = EXCLUDED.{it}" for it in map(_quoted, sets)]
        changes += [f"{it} = coalesce(t.{it}, 0) + EXCLUDED.{it}" for it in map(_quoted, adds)]
        then = f"UPDATE SET {', '.join(changes)}" if changes else "NOTHING"
        return (
            f"INSERT INTO {_quoted(self.table.name)} AS t ({_listed(columns)}) VALUES ({places}) "
            f"ON CONFLICT ({_listed(self.table.key)}) DO {then}"
        )

    def _delete(self) -> str:
        equals = [f"{_quoted(name)} = ${place}" for place, name in enumerate(self.table.key, 1)]
        return f"DELETE FROM {_quoted(self.table.name)} WHERE {' AND '.join(equals)}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _order(key: tuple[Any, ...]) -> list[tuple[int, int, str]]:
    """An order of keys that is the same for every worker."""
    return [_place(part) for part in key]


def _place(part: Any) -> tuple[int, int, str]:
    if isinstance(part, int):
        return 0, part, ""
    if isinstance(part, datetime) and part.tzinfo is not None:
        part = part.astimezone(timezone.utc)
    return 1, 0, str(part)
