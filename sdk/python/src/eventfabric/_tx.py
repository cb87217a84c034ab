"""The open transaction, with writes that are collected and sent together."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _contract as c
from ._decode import Misfit, read_column, reader, row_reader
from ._errors import Failure, Fatal, SqlError
from ._row import Row, Rows
from ._values import size, to_value

if TYPE_CHECKING:
    from ._event import Event
    from ._table import Merged

T = TypeVar("T")

#: Calls after which the queue is written out, so that it stays small.
MAX_CALLS = 1_000
#: Bytes of parameters after which the queue is written out.
MAX_BYTES = 1 << 20
#: Merged rows after which they are put into the queue.
MAX_ROWS = 10_000


class ReadTx:
    """The open transaction of a query: it reads, and nothing else. Each statement sees what was
    committed when it began; what must be of one moment is one statement (`WITH`).

    After a statement has failed, the transaction is lost: every later call raises the same error,
    and the query fails with it even if it went on.

    Parameters are `$1`, `$2`, … in the statement, and follow it: `tx.query("… $1, $2", a, b)`.
    """

    _blamed: int | None = None

    def __init__(self, backend: c.Backend) -> None:
        self._backend = backend
        self._failed: Failure | None = None

    @overload
    def query(self, statement: str, /, *params: Any) -> Rows: ...

    @overload
    def query(self, statement: str, /, *params: Any, into: type[T]) -> list[T]: ...

    def query(self, statement: str, /, *params: Any, into: Any = Row) -> list[Any]:
        """Runs a statement and returns its rows, or objects of a dataclass whose fields are named
        like the columns.
        """
        values = _values(statement, params)
        self._before_read()
        try:
            found = self._backend.query(statement, values)
        except c.DatabaseError as error:
            raise self._fail(error, statement, self._blamed) from None
        places = {name: place for place, name in enumerate(found.columns)}
        if into is Row:
            rows = Rows([Row(places, values) for values in found.rows])
            rows.columns = tuple(found.columns)
            return rows
        if not dataclasses.is_dataclass(into):
            raise TypeError(f"rows become objects of a dataclass, which {into!r} is not")
        read = row_reader(into)  # type: ignore[arg-type]
        try:
            return [read(places, values) for values in found.rows]
        except Misfit as misfit:
            raise Fatal(f"{misfit}\nstatement: {statement}") from None

    @overload
    def one(self, statement: str, /, *params: Any) -> Row: ...

    @overload
    def one(self, statement: str, /, *params: Any, into: type[T]) -> T: ...

    def one(self, statement: str, /, *params: Any, into: Any = Row) -> Any:
        """The one row of a query; fatal where there is not exactly one."""
        row = self.optional(statement, *params, into=into)
        if row is None:
            raise Fatal(f"no row where one is expected: {statement}")
        return row

    @overload
    def optional(self, statement: str, /, *params: Any) -> Row | None: ...

    @overload
    def optional(self, statement: str, /, *params: Any, into: type[T]) -> T | None: ...

    def optional(self, statement: str, /, *params: Any, into: Any = Row) -> Any:
        """The row of a query, or None; fatal where there are several."""
        rows = self.query(statement, *params, into=into)
        if len(rows) > 1:
            raise Fatal(f"{len(rows)} rows where one is expected: {statement}")
        return rows[0] if rows else None

    @overload
    def scalar(self, statement: str, /, *params: Any) -> Any: ...

    @overload
    def scalar(self, statement: str, /, *params: Any, into: type[T]) -> T: ...

    def scalar(self, statement: str, /, *params: Any, into: Any = None) -> Any:
        """The first column of the one row of a query, in a type where one is named: `into=int`."""
        row = self.one(statement, *params)
        if into is None:
            return row[0]
        try:
            return read_column(reader(into), row._values[0], row.columns[0])
        except Misfit as misfit:
            raise Fatal(f"{misfit}\nstatement: {statement}") from None

    def _before_read(self) -> None:
        self._usable()

    def _usable(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _fail(self, error: c.DatabaseError, statement: str, event: int | None) -> Failure:
        self._failed = SqlError(error, statement)
        self._failed.index = event
        return self._failed

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if hasattr(Tx, name) or name == "_tables":
                raise Fatal("a query reads and nothing else: write where events are handled")
            raise AttributeError(f"{type(self).__name__} has no {name}")


class Tx(ReadTx):
    """The open transaction. What is written here commits together with the record that the events
    were handled, or not at all.

    :meth:`run` queues a write; the queue goes to the database in one round trip at the end of the
    batch, before the next read or :meth:`execute`, and whenever it is full. So reads see all
    earlier writes, and a handler that only writes costs one round trip a batch.

    After a statement has failed, the transaction is lost: every later call raises the same error,
    and the batch fails with it even if the handler went on.

    Parameters are `$1`, `$2`, … in the statement, and follow it: `tx.run("… $1, $2", a, b)`.
    """

    def __init__(self, backend: c.Backend) -> None:
        super().__init__(backend)
        self._statements: dict[str, int] = {}
        self._calls: list[c.Call] = []
        # For each call the event that it was made for.
        self._events: list[int | None] = []
        self._bytes = 0
        self._tables: dict[str, Merged] = {}
        self._blamed = None

    def run(self, statement: str, /, *params: Any) -> None:
        """Queues a write. It takes effect, and fails, later: at the end of the batch at the latest.
        The failure names the event that is being handled here.
        """
        self._usable()
        values = _values(statement, params)
        if self._tables and any(name in statement for name in self._tables):
            self._queue_rows()
        self._push(statement, values, self._blamed)

    def execute(self, statement: str, /, *params: Any) -> int:
        """Runs a statement at once and tells how many rows it wrote or, where it returns rows, how
        many it returned. A round trip of its own: prefer :meth:`run` where the number does not
        matter.
        """
        values = _values(statement, params)
        self.flush()
        try:
            return self._backend.execute(statement, values)
        except c.DatabaseError as error:
            raise self._fail(error, statement, self._blamed) from None

    def flush(self) -> None:
        """Writes out what is queued, and the rows of each :class:`Table`."""
        self._usable()
        if self._tables:
            self._queue_rows()
        self._send()

    def blame(self, event: Event[Any] | None) -> None:
        """From here on, failures name this event; none, for writes that stem from many of them.
        In a handler of one event the SDK has done so.
        """
        self._blamed = None if event is None else event.index

    def _before_read(self) -> None:
        self.flush()

    def _before_append(self) -> None:
        self._usable()

    def _push(self, statement: str, values: list[c.Value], event: int | None) -> None:
        index = self._statements.setdefault(statement, len(self._statements))
        self._calls.append(c.Call(index, values))
        self._events.append(event)
        self._bytes += sum(map(size, values))
        if len(self._calls) >= MAX_CALLS or self._bytes >= MAX_BYTES:
            self._send()

    def _queue_rows(self) -> None:
        tables, self._tables = self._tables, {}
        for name in sorted(tables):
            for statement, values, event in tables[name].calls():
                self._push(statement, values, event)

    def _send(self) -> None:
        if not self._calls:
            return
        statements, calls, events = list(self._statements), self._calls, self._events
        self._statements, self._calls, self._events, self._bytes = {}, [], [], 0
        try:
            self._backend.execute_batch(statements, calls)
        except c.DatabaseError as error:
            statement = statements[calls[error.call].statement]
            raise self._fail(error, statement, events[error.call]) from None


def _values(statement: str, params: tuple[Any, ...]) -> list[c.Value]:
    if params and "%s" in statement and "$1" not in statement:
        raise Fatal(f"parameters are $1, $2, … and not %s: {statement}")
    try:
        return [to_value(param) for param in params]
    except (TypeError, ValueError, ArithmeticError) as error:
        # It is looked for where something is wrong, for the sake of all other times.
        place = next(place for place, param in enumerate(params, 1) if not _fits(param))
        raise TypeError(f"parameter ${place}: {error}\nstatement: {statement}") from None


def _fits(param: Any) -> bool:
    try:
        to_value(param)
    except (TypeError, ValueError, ArithmeticError):
        return False
    return True
