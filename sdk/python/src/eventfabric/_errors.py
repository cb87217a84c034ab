"""Why an event was not handled, and what the host shall do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ._contract import DatabaseError, FailureKind, SqlErrorKind

if TYPE_CHECKING:
    from ._event import Event


class Failure(Exception):
    """A failure that says what the host shall do: raise :class:`Retry`, :class:`Poison` or
    :class:`Fatal`. Any other exception of a handler counts as poison for the event at hand.
    """

    kind: FailureKind
    message: str
    #: The place in the batch, from 0, of the event to blame, where it is known.
    index: int | None

    def __init__(self, message: str, *, event: Event[Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.index = None if event is None else event.index


class Retry(Failure):
    """The same event can succeed later: the host tries it again, with a growing delay."""

    kind = "retry"


class Poison(Failure):
    """This event can never succeed: the host sets it aside, or stops at it."""

    kind = "poison"


class Fatal(Failure):
    """The plugin itself is wrong, for every event: the host stops the projection."""

    kind = "fatal"


class SqlError(Failure):
    """A statement failed, and the transaction with it: whatever is done, the batch fails.

    What can pass (locks, lost connections) is worth a retry; constraints and data blame the event;
    everything else blames the plugin.
    """

    _KINDS: ClassVar[dict[SqlErrorKind, FailureKind]] = {
        "retryable": "retry",
        "connection": "retry",
        "constraint": "poison",
        "denied": "fatal",
        "invalid": "fatal",
        "limit": "fatal",
        "aborted": "fatal",
    }

    def __init__(self, error: DatabaseError, statement: str) -> None:
        super().__init__(_describe(error, statement))
        self.kind = self._KINDS[error.kind]
        self.sql_kind = error.kind
        self.sqlstate = error.sqlstate
        self.detail = error.detail
        self.hint = error.hint
        self.constraint = error.constraint
        self.table = error.table
        self.column = error.column


def _describe(error: DatabaseError, statement: str) -> str:
    text = error.message
    if error.sqlstate:
        text += f" (SQLSTATE {error.sqlstate})"
    for label, part in (("detail", error.detail), ("hint", error.hint)):
        if part:
            text += f"\n{label}: {part}"
    text += f"\nstatement: {statement}"
    if error.position is not None:
        rest = statement[max(error.position - 1, 0) :][:40]
        text += f"\nat character {error.position}: {rest}"
    return text
