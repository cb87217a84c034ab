"""The types of events that something reads, and how a raw event becomes one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from . import _contract as c
from ._decode import Decoder, Misfit, decoder, needs_decimals
from ._errors import Failure, Poison
from ._event import Event, named

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


class EventTypes:
    """Event types by name, each with the class of its data and the steps of its upcasters."""

    def __init__(self) -> None:
        # Of each event type how its payload is parsed, and what is made of that.
        self.known: dict[str, tuple[Parse, Decoder]] = {}
        self.steps: dict[str, dict[int, Upcaster]] = {}

    def register(self, event: type | str, data: type | None) -> str:
        """Adds a type, by the name of the class of its data or by another; tells the name."""
        if isinstance(event, str):
            name = event
        else:
            name, data = event.__name__, event
        if name in self.known:
            raise TypeError(f"{name} has a handler already")
        parse = _loads_decimals if needs_decimals(data) else _loads
        self.known[name] = (parse, _as_it_is if data is None else decoder(data))
        return name

    def upcast(self, event: type | str, version: int) -> Callable[[Upcaster], Upcaster]:
        """Registers the step of an event type from a schema version to the next."""
        name = event if isinstance(event, str) else event.__name__

        def register(step: Upcaster) -> Upcaster:
            steps = self.steps.setdefault(name, {})
            if version in steps:
                raise TypeError(f"{name} has a step from version {version} already")
            steps[version] = step
            return step

        return register

    def newest(self, name: str) -> int:
        """The schema version that the upcasters of a type lead to."""
        return max(self.steps.get(name, {0: None})) + 1

    def event(self, raw: c.RawEvent, index: int) -> Event[Any]:
        """The typed event."""
        parse, decode = self.known.get(raw[6], _UNTYPED)
        try:
            payload = parse(raw[8])
            if self.steps and raw[6] in self.steps:
                payload = self._lift(raw, payload)
            return Event(raw, index, decode(payload))
        except (Misfit, ValueError, RecursionError) as error:
            raise Poison(f"the payload of {named(raw)} can't be read: {error}") from error

    def _lift(self, raw: c.RawEvent, payload: dict[str, Any]) -> dict[str, Any]:
        steps = self.steps[raw[6]]
        current = self.newest(raw[6])
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
                what = error.message if isinstance(error, Failure) else said(error)
                raise Poison(
                    f"{named(raw)}: the upcaster from schema version {version}: {what}"
                ) from error
            payload = payload if lifted is None else lifted
            payload["type"], payload["version"] = raw[6], version + 1
        return payload


def _as_it_is(payload: Any) -> Any:
    return payload


_UNTYPED = (_loads, _as_it_is)


def said(error: BaseException) -> str:
    """An exception in words."""
    words = str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
