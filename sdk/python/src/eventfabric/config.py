"""Settings that the operator gave this plugin. They are the same for the whole of a batch.

In tests `eventfabric.testing.config` is the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from ._errors import Fatal

T = TypeVar("T")

_values: dict[str, str] = {}


def _get_value(key: str) -> str | None:
    return _values.get(key)


def _all_values() -> dict[str, str]:
    return dict(sorted(_values.items()))


# A component puts the host's into their place.
_get: Callable[[str], str | None] = _get_value
_all: Callable[[], dict[str, str]] = _all_values


@overload
def get(key: str) -> str | None: ...


@overload
def get(key: str, default: str) -> str: ...


def get(key: str, default: str | None = None) -> str | None:
    """The value of one setting, or the default if it was not given."""
    value = _get(key)
    return default if value is None else value


def parse(key: str, into: Callable[[str], T]) -> T | None:
    """The value of one setting in a type of its own, such as `config.parse("limit", int)`. Fatal,
    naming the setting, when it is not of that type: no event is to blame for it.
    """
    value = _get(key)
    if value is None:
        return None
    try:
        return into(value)
    except Exception as error:
        raise Fatal(f"the setting `{key}` = `{value}`: {error}") from None


def all() -> dict[str, str]:
    """All settings, sorted by key."""
    return _all()
