"""What a plugin author writes: a projection with its handlers."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, overload

from . import _contract as c
from . import log
from ._errors import Failure, Fatal, Poison
from ._event import Event
from ._event_types import EventTypes, Upcaster, said
from ._migrations import Migration, read_migrations
from ._query import Answer, Query
from ._tx import ReadTx, Tx

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

Handler = Callable[[Event[T], Tx], None]
BatchHandler = Callable[[Sequence[Event[Any]], Tx], None]


class Projection:
    """Turns events into rows of its own tables. A plugin is a module with one of these.

    Whatever a projection knows stands in its tables, because any batch may run in a fresh instance,
    on any host: nothing that a handler leaves in a variable is there for the next batch.

    >>> projection = Projection("owners", mode="catch-up", migrations="migrations")
    >>>
    >>> @dataclass
    ... class AccountOpened:
    ...     owner: str
    >>>
    >>> @projection.on(AccountOpened)
    ... def opened(event: Event[AccountOpened], tx: Tx) -> None:
    ...     tx.run("INSERT INTO owners VALUES ($1, $2)", event.aggregate_id, event.data.owner)
    """

    def __init__(
        self,
        name: str,
        *,
        text: str = "",
        mode: c.Mode = "async",
        topics: Iterable[str] | None = None,
        except_topics: Iterable[str] | None = None,
        migrations: str | Path | None = None,
    ) -> None:
        """
        :param name: the identity of the projection, and the name of its schema:
            `[a-z][a-z0-9_]{0,47}`
        :param text: one sentence for people
        :param mode: where its events come from: in the transaction of the append (`inline`), from
            the log in its order (`catch-up`), from the outbox with retries for each (`async`)
        :param topics: only events whose topic is one of these (async only)
        :param except_topics: only events whose topic is none of these (async only)
        :param migrations: the folder of the steps that make its tables, beside the module
        """
        if mode not in get_args(c.Mode):
            raise ValueError(f"mode is one of {', '.join(get_args(c.Mode))}, not {mode!r}")
        if topics is not None and except_topics is not None:
            raise ValueError("either topics or except_topics")
        self.name = name
        self.text = text
        self.mode = mode
        self.topics = None if topics is None else list(topics)
        self.except_topics = None if except_topics is None else list(except_topics)
        self.migrations: list[Migration] = []
        if migrations is not None:
            module = Path(sys._getframe(1).f_code.co_filename).parent
            self.migrations = read_migrations(module / migrations)
        self._events = EventTypes()
        self._handlers: dict[str, Handler[Any]] = {}
        self._any: Handler[Any] | None = None
        self._batch: BatchHandler | None = None
        self.queries: dict[str, Query] = {}

    @overload
    def on(self, event: type[T], /) -> Callable[[Handler[T]], Handler[T]]: ...

    @overload
    def on(self, event: str, data: type[T], /) -> Callable[[Handler[T]], Handler[T]]: ...

    @overload
    def on(
        self, event: str | None = None, /
    ) -> Callable[[Handler[dict[str, Any]]], Handler[dict[str, Any]]]: ...

    def on(self, event: type | str | None = None, data: type | None = None, /) -> Any:
        """Registers the handler of an event type: `@projection.on(AccountOpened)`, where the type
        is named like the dataclass of its data, `@projection.on("account.opened", AccountOpened)`,
        `@projection.on("account.opened")` for the data as a dict, and `@projection.on()` for all
        other types.
        """

        def register(handler: Handler[Any]) -> Handler[Any]:
            if self._batch is not None:
                raise TypeError("a projection has handlers of one event or of the batch, not both")
            if event is None:
                if self._any is not None:
                    raise TypeError("all other events have a handler already")
                self._any = handler
            else:
                self._handlers[self._events.register(event, data)] = handler
            return handler

        return register

    def batch(
        self, *events: type | str | tuple[str, type]
    ) -> Callable[[BatchHandler], BatchHandler]:
        """Registers the handler of whole batches, for a projection that merges events before it
        writes: `@projection.batch(FlightDeparted, ("flight.arrived", FlightArrived))`. It is called
        with all the events of a batch, the oldest first. Without types it gets all events, the data
        as a dict.

        Its failures name an event where it says so: `raise event.poison(…)`, `tx.blame(event)`.
        Without a name, the host halves the batch until it finds it.
        """
        if self._handlers or self._any or self._batch:
            raise TypeError("a projection has handlers of one event or of the batch, not both")
        for event in events:
            self._events.register(*(event if isinstance(event, tuple) else (event, None)))

        def register(handler: BatchHandler) -> BatchHandler:
            self._batch = handler
            return handler

        return register

    def upcast(self, event: type | str, /, *, version: int) -> Callable[[Upcaster], Upcaster]:
        """Registers the step of an event type from a schema version to the next. It is given the
        payload as a dict and changes it or returns another one; `type` and `version` in it are set
        anew afterwards.
        """
        return self._events.upcast(event, version)

    @overload
    def query(self, answer: A, /) -> A: ...

    @overload
    def query(
        self,
        answer: None = None,
        /,
        *,
        name: str | None = None,
        text: str | None = None,
        per_tenant: bool = False,
    ) -> Callable[[A], A]: ...

    def query(
        self,
        answer: Any = None,
        /,
        *,
        name: str | None = None,
        text: str | None = None,
        per_tenant: bool = False,
    ) -> Any:
        """Registers a function that answers a query. The host serves it at
        `GET /v1/query/PROJECTION/NAME?PARAMETER=VALUE`, and checks the parameters before it asks.

        >>> @projection.query
        ... def richest(tx: ReadTx, limit: Annotated[int, "How many"] = 10) -> Rows:
        ...     \"\"\"The accounts with the most on them.\"\"\"
        ...     return tx.query("SELECT * FROM accounts ORDER BY cents DESC LIMIT $1", limit)

        The parameters are those of the function after `tx`: `str`, `int` (of 64 bits), `float`,
        `bool`, `Decimal`, `UUID`, `datetime` or `date`. One with a default may be left out. The
        docstring's first paragraph is the text for people, and that of a parameter stands in
        `Annotated`. `from_` is called `from`.

        The answer is rows: those of `tx.query`, which are handed through as PostgreSQL has them, or
        a list of dataclasses or dicts that all have the same fields.

        With `per_tenant` the function gets the tenant after `tx`, and promises that the answer
        holds nothing of another. Without it the query answers for all, and callers that are
        confined to some can't ask it.

        `Poison` tells the caller that the request makes no sense, `Retry` to come back. Any other
        exception says that the plugin is wrong. None of it stops the projection. There is no
        clock: a time that is asked for is a parameter.
        """

        def register(function: Answer) -> Answer:
            query = Query(function, name, text, per_tenant)
            if query.name in self.queries:
                raise TypeError(f"there is a query {query.name} already")
            self.queries[query.name] = query
            return function

        return register if answer is None else register(answer)

    @property
    def event_types(self) -> list[str]:
        """The event types that it takes; none: all of them."""
        return [] if self._any is not None else sorted(self._events.known)

    def handle(self, backend: c.Backend, raws: Sequence[c.RawEvent]) -> None:
        """Handles a batch as the host would have it handled: all of it, or a :class:`Failure`. The
        exported component and the test doubles both come here.
        """
        tx = Tx(backend)
        try:
            self._run(tx, raws)
            tx.flush()
        except BaseException as error:
            # What happens after a statement has failed follows from that.
            failure = tx._failed or _failure(error, Poison)
            if failure.index is None:
                failure.index = tx._blamed
            if failure is error:
                raise
            raise failure from error

    def ask(
        self, backend: c.Backend, name: str, tenant: str, given: Iterable[tuple[str, c.Value]]
    ) -> c.RowSet:
        """Answers a query as the host would have it answered, or raises a :class:`Failure`. The
        exported component and the test doubles both come here.
        """
        tx = ReadTx(backend)
        try:
            query = self.queries.get(name)
            if query is None:
                raise Poison(f"no query {name!r}")
            rows = query.ask(tx, tenant, given)
            # An error that the query went on after is one.
            tx._usable()
            return rows
        except BaseException as error:
            failure = tx._failed or _failure(error, Fatal)
            if failure is error:
                raise
            raise failure from error

    def _run(self, tx: Tx, raws: Sequence[c.RawEvent]) -> None:
        if self._batch is not None:
            events = []
            for index, raw in enumerate(raws):
                tx._blamed = index
                events.append(self._events.event(raw, index))
            tx._blamed = None
            self._batch(events, tx)
            return
        handlers, other = self._handlers, self._any
        for index, raw in enumerate(raws):
            tx._blamed = index
            handler = handlers.get(raw[6], other)
            if handler is not None:
                handler(self._events.event(raw, index), tx)


def find(module: ModuleType) -> Projection:
    """The projection of a module."""
    found = {id(it): it for it in vars(module).values() if isinstance(it, Projection)}
    if len(found) != 1:
        what = "several projections" if found else "no projection"
        raise TypeError(
            f"the module {module.__name__} has {what}: a plugin has one, as "
            "`projection = Projection(…)`"
        )
    return next(iter(found.values()))


def _failure(error: BaseException, unforeseen: type[Poison | Fatal]) -> Failure:
    if isinstance(error, Failure):
        return error
    # The author did not foresee it: where it happened is for the log.
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals["__name__"].startswith(f"{__package__}."):
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace))
    # Where the files are while a component is built.
    log.error(lines.replace('File "/0/', 'File "').rstrip())
    return unforeseen(said(error))
