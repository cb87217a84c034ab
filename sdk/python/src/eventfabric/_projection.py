"""What a plugin author writes: a projection with its handlers."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, overload

from . import _contract as c
from . import log
from ._decode import Decoder, Misfit, decoder, needs_decimals
from ._errors import Failure, Poison
from ._event import Event, named
from ._migrations import Migration, read_migrations
from ._tx import Tx

T = TypeVar("T")

Handler = Callable[[Event[T], Tx], None]
BatchHandler = Callable[[Sequence[Event[Any]], Tx], None]
#: Lifts a payload to the next schema version: changes it, or returns another one.
Upcaster = Callable[[dict[str, Any]], "dict[str, Any] | None"]
Parse = Callable[[str], Any]


def _parser(parse_float: Callable[[str], Any]) -> Parse:
    """What `json.loads` does, without its looks for space around the text, which cost a quarter."""
    decoder = json.JSONDecoder(parse_float=parse_float)
    scan, decode = decoder.scan_once, decoder.decode  # type: ignore[attr-defined]

    def parse(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            return decode(text)
        return value if end == len(text) else decode(text)

    return parse


_loads, _loads_decimals = _parser(float), _parser(Decimal)


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
        # Of each event type how its payload is parsed, and what is made of that.
        self._types: dict[str, tuple[Parse, Decoder]] = {}
        self._handlers: dict[str, Handler[Any]] = {}
        self._any: Handler[Any] | None = None
        self._batch: BatchHandler | None = None
        self._steps: dict[str, dict[int, Upcaster]] = {}

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
                self._handlers[self._register(event, data)] = handler
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
            self._register(*(event if isinstance(event, tuple) else (event, None)))

        def register(handler: BatchHandler) -> BatchHandler:
            self._batch = handler
            return handler

        return register

    def upcast(self, event: type | str, /, *, version: int) -> Callable[[Upcaster], Upcaster]:
        """Registers the step of an event type from a schema version to the next. It is given the
        payload as a dict and changes it or returns another one; `type` and `version` in it are set
        anew afterwards.
        """
        name = event if isinstance(event, str) else event.__name__

        def register(step: Upcaster) -> Upcaster:
            steps = self._steps.setdefault(name, {})
            if version in steps:
                raise TypeError(f"{name} has a step from version {version} already")
            steps[version] = step
            return step

        return register

    @property
    def event_types(self) -> list[str]:
        """The event types that it takes; none: all of them."""
        return [] if self._any is not None else sorted(self._types)

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
            failure = tx._failed or _failure(error)
            if failure.index is None:
                failure.index = tx._blamed
            if failure is error:
                raise
            raise failure from error

    def _run(self, tx: Tx, raws: Sequence[c.RawEvent]) -> None:
        if self._batch is not None:
            events = []
            for index, raw in enumerate(raws):
                tx._blamed = index
                events.append(self._event(raw, index))
            tx._blamed = None
            self._batch(events, tx)
            return
        handlers, other = self._handlers, self._any
        for index, raw in enumerate(raws):
            tx._blamed = index
            handler = handlers.get(raw[6], other)
            if handler is not None:
                handler(self._event(raw, index), tx)

    def _register(self, event: type | str, data: type | None) -> str:
        if isinstance(event, str):
            name = event
        else:
            name, data = event.__name__, event
        if name in self._types:
            raise TypeError(f"{name} has a handler already")
        parse = _loads_decimals if needs_decimals(data) else _loads
        self._types[name] = (parse, _as_it_is if data is None else decoder(data))
        return name

    def _event(self, raw: c.RawEvent, index: int) -> Event[Any]:
        parse, decode = self._types.get(raw[6], _UNTYPED)
        try:
            payload = parse(raw[8])
            if self._steps and raw[6] in self._steps:
                payload = self._lift(raw, payload)
            return Event(raw, index, decode(payload))
        except (Misfit, ValueError, RecursionError) as error:
            raise Poison(f"the payload of {named(raw)} can't be read: {error}") from error

    def _lift(self, raw: c.RawEvent, payload: dict[str, Any]) -> dict[str, Any]:
        steps = self._steps[raw[6]]
        current = max(steps) + 1
        if raw[7] > current:
            raise Poison(
                f"{named(raw)}: schema version {raw[7]} is newer than this plugin, which knows it "
                f"up to {current}: deploy a newer plugin"
            )
        for version in range(raw[7], current):
            step = steps.get(version)
            if step is None:
                raise Poison(
                    f"{named(raw)}: nothing lifts schema version {version} to {version + 1}, on "
                    f"the way to {current}"
                )
            try:
                lifted = step(payload)
            except Exception as error:
                what = error.message if isinstance(error, Failure) else _said(error)
                raise Poison(
                    f"{named(raw)}: the upcaster from schema version {version}: {what}"
                ) from error
            payload = payload if lifted is None else lifted
            payload["type"], payload["version"] = raw[6], version + 1
        return payload


def _as_it_is(payload: Any) -> Any:
    return payload


_UNTYPED = (_loads, _as_it_is)


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


def _failure(error: BaseException) -> Failure:
    if isinstance(error, Failure):
        return error
    # The author did not foresee it: where it happened is for the log.
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals["__name__"].startswith(f"{__package__}."):
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace))
    # Where the files are while a component is built.
    log.error(lines.replace('File "/0/', 'File "').rstrip())
    return Poison(_said(error))


def _said(error: BaseException) -> str:
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
