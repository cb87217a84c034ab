"""The log, for a projection that answers events with events: a process manager.

Its mode is `catch-up` or `async`, and the operator grants it `append:NAME` for each aggregate that
it appends to. Only a plugin that imports this module has the log.

>>> accounts = Aggregate("Account", MoneyDeposited, MoneyWithdrawn)
>>>
>>> @projection.on(TransferRequested)
... def requested(event: Event[TransferRequested], tx: Tx) -> None:
...     account = accounts.load(tx, event, event.data.account)
...     if balance(account.events) >= event.data.cents:
...         account.append(MoneyWithdrawn(event.data.cents))
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from . import _contract as c
from ._decode import Misfit
from ._errors import Failure, Retry
from ._event import Event
from ._event_types import EventTypes, Upcaster
from ._tx import Tx

__all__ = ["Aggregate", "AppendError", "Conflict", "NewEvent", "Stream"]

#: As many events come at once.
_PAGE = 1_000


class Conflict(Retry):
    """A stream is not as it was expected. Caught, the transaction goes on."""

    #: The version that the stream has, 0 for none.
    version: int

    def __init__(self, version: int, event: Event[Any]) -> None:
        super().__init__(
            f"the stream has version {version}, which is not the one that was expected",
            event=event,
        )
        self.version = version


class AppendError(Failure):
    """The log refuses something: `reason` is denied, invalid, limit (poison; caught, the
    transaction goes on) or database (a retry; the transaction is lost).
    """

    def __init__(self, error: c.LogError, event: Event[Any]) -> None:
        super().__init__(f"{error.reason}: {error.what}", event=event)
        # An event may name the stream: what is wrong with one must not stop all.
        self.kind = "retry" if error.reason == "database" else "poison"
        self.reason = error.reason


@dataclasses.dataclass(frozen=True)
class NewEvent:
    """An event that is to be appended, where its data alone does not say enough: of which type it
    is, its label in the outbox, the version of its schema (the newest where it is left out).
    """

    data: Any
    type: str | None = None
    topic: str | None = None
    version: int | None = None


class Stream:
    """The events of one aggregate, as far as they were loaded."""

    def __init__(
        self, aggregate: Aggregate, tx: Tx, cause: Event[Any], id: str, after: int
    ) -> None:
        self._aggregate = aggregate
        self._tx = tx
        self._cause = cause
        self.id = id
        #: In their order; those of types that the aggregate does not name are left out.
        self.events: Sequence[Event[Any]] = []
        #: How far it was read, and what :meth:`append` expects; 0 where there is nothing.
        self.version = after

    def append(self, *events: Any) -> int:
        """Appends where nothing has come after what was loaded, and tells the new version.
        Otherwise raises :class:`Conflict`.
        """
        self.version = self._aggregate.append(
            self._tx, self._cause, self.id, *events, expected=self.version
        )
        return self.version


class Aggregate:
    """The streams of one kind of aggregate, with the types of their events: classes of data,
    `("account.opened", AccountOpened)`, or a name alone, whose data is a dict. Without types all
    events are read, as dicts.

    `cause` is the event that is answered. The new events get its tenant and correlation id, and
    their ids are made of its own: so an event that is handled once more appends nothing twice. They
    commit together with the record that it was handled.
    """

    def __init__(self, name: str, *events: type | str | tuple[str, type]) -> None:
        self.name = name
        self._events = EventTypes()
        self._names: dict[type, str] = {}
        for event in events:
            named, data = event if isinstance(event, tuple) else (event, None)
            added = self._events.register(named, data)
            cls = named if isinstance(named, type) else data
            if cls is not None:
                self._names[cls] = added

    def upcast(self, event: type | str, /, *, version: int) -> Callable[[Upcaster], Upcaster]:
        """Registers the step of an event type from a schema version to the next, as
        :meth:`Projection.upcast` does.
        """
        return self._events.upcast(event, version)

    def load(self, tx: Tx, cause: Event[Any], id: str, *, after: int = 0) -> Stream:
        """The events of a stream of the cause's tenant, or those after a version. It sees what this
        transaction has appended.
        """
        stream = Stream(self, tx, cause, id, after)
        events: list[Event[Any]] = []
        while True:
            page = _call(tx, cause, "load", self.name, id, stream.version, _PAGE)
            for raw in page.events:
                if not self._events.known or raw[6] in self._events.known:
                    events.append(self._event(raw, cause))
            stream.version = page.version
            if not page.more:
                stream.events = events
                return stream

    def append(
        self, tx: Tx, cause: Event[Any], id: str, *events: Any, expected: int | None = None
    ) -> int:
        """Appends events to a stream of the cause's tenant, and tells the version that the stream
        has then. An event is an object of a class of this aggregate, or a :class:`NewEvent`. With
        `expected` the stream must have that version, 0 for none, or it raises :class:`Conflict`.
        """
        if expected is not None and expected < 0:
            raise ValueError(f"the version of a stream is a number from 0, and not {expected}")
        new = [self._new(event) for event in events]
        version: int = _call(tx, cause, "append", self.name, id, expected, new)
        return version

    def _event(self, raw: c.RawEvent, cause: Event[Any]) -> Event[Any]:
        try:
            return self._events.event(raw, cause.index)
        except Failure as failure:
            failure.index = cause.index
            raise

    def _new(self, event: Any) -> c.NewEvent:
        new = event if isinstance(event, NewEvent) else NewEvent(event)
        name = new.type or self._names.get(type(new.data))
        if name is None or (self._events.known and name not in self._events.known):
            known = ", ".join(self._events.known)
            shown = name or f"of the class {type(new.data).__name__}"
            raise TypeError(f"{self.name} has no event {shown}, only {known or 'named ones'}")
        payload = json.dumps(_plain(new.data), ensure_ascii=False, allow_nan=False)
        if name in self._events.known:
            parse, decode = self._events.known[name]
            try:
                # What nobody could read would stay in the log for ever.
                decode(parse(payload))
            except Misfit as misfit:
                raise TypeError(f"the new event {name} of {self.name}: {misfit}") from None
        version = self._events.newest(name) if new.version is None else new.version
        return c.NewEvent(name, version, payload, new.topic)


def _call(tx: Tx, cause: Event[Any], function: str, *arguments: Any) -> Any:
    # A query has none.
    tx._before_append()
    try:
        return getattr(tx._backend, function)(cause.index, *arguments)
    except c.LogError as error:
        if error.reason == "conflict":
            raise Conflict(int(error.what), cause) from None
        failure = AppendError(error, cause)
        if error.reason == "database":
            tx._failed = failure
        raise failure from None


def _plain(value: Any) -> Any:
    """A value as JSON has it, with the names that its fields have there."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.metadata.get("name", field.name): _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # The same event has the same bytes each time.
        return sorted(map(_plain, value), key=json.dumps)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    return value
