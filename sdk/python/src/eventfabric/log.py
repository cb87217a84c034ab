"""Lines for the host's log. Each carries the plugin, its version and the batch.

Lines above the limit of a batch are counted and dropped by the host. What is printed goes there,
too: stdout as info, stderr as warn. In tests the lines go to the standard error stream.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

Level = Literal["trace", "debug", "info", "warn", "error"]


def _print(level: Level, message: str) -> None:
    print(f"{level.upper()} {message}", file=sys.stderr)


_sink: Callable[[Level, str], None] = _print


def write(level: Level, message: object) -> None:
    """Writes one line."""
    _sink(level, str(message))


def trace(message: object) -> None:
    """Writes a line of the level trace."""
    write("trace", message)


def debug(message: object) -> None:
    """Writes a line of the level debug."""
    write("debug", message)


def info(message: object) -> None:
    """Writes a line of the level info."""
    write("info", message)


def warn(message: object) -> None:
    """Writes a line of the level warn."""
    write("warn", message)


def error(message: object) -> None:
    """Writes a line of the level error."""
    write("error", message)
