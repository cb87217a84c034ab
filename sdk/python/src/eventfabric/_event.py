"""Events as a handler sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from ._contract import RawEvent
from ._errors import Poison
from ._time import from_micros

T_co = TypeVar("T_co", covariant=True)


class Event(Generic[T_co]):
    """A fact from the log: its data, typed, and around it what the log knows of it."""

    # There are thousands a second: what few handlers ask for is found when it is asked for.
    __slots__ = ("_raw", "data", "index")

    #: The payload: an object of the class that the handler was registered with, or a `dict`.
    data: T_co
    #: The place in the batch, from 0.
    index: int

    def __init__(self, raw: RawEvent, index: int, data: T_co) -> None:
        self._raw = raw
        self.index = index
        self.data = data

    @property
    def position(self) -> int:
        """The place in the log of all streams, from 1. It has holes."""
        return self._raw[0]

    @property
    def id(self) -> str:
        """A UUID in its canonical text form."""
        return self._raw[1]

    @property
    def tenant(self) -> str:
        """Whose stream it is in; `default` where there is one tenant."""
        return self._raw[2]

    @property
    def aggregate(self) -> str:
        """The kind of aggregate, such as `Account`."""
        return self._raw[3]

    @property
    def aggregate_id(self) -> str:
        """Which aggregate of that kind, such as `42`."""
        return self._raw[4]

    @property
    def version(self) -> int:
        """The place in the stream of that aggregate, 1, 2, 3, … without holes."""
        return self._raw[5]

    @property
    def type(self) -> str:
        """Such as `AccountOpened`."""
        return self._raw[6]

    @property
    def schema_version(self) -> int:
        """The version of the payload's schema as it is in the log, from 1."""
        return self._raw[7]

    @property
    def payload(self) -> str:
        """The payload as it is in the log: a JSON object, with `type` and `version` in it."""
        return self._raw[8]

    @property
    def occurred_at(self) -> datetime:
        """When it happened, in UTC."""
        return from_micros(self._raw[9])

    @property
    def correlation_id(self) -> str | None:
        """The same for all that came of one request."""
        return self._raw[10]

    @property
    def causation_id(self) -> str | None:
        """The event or command that caused this event."""
        return self._raw[11]

    def poison(self, message: str) -> Poison:
        """A failure that blames this event, to be raised."""
        return Poison(message, event=self)

    def __repr__(self) -> str:
        return f"<Event {named(self._raw)}: {self.data!r}>"


def named(raw: RawEvent) -> str:
    """An event for people."""
    return f"{raw[6]} version {raw[7]} at position {raw[0]} (stream {raw[3]}/{raw[4]})"
