"""Write EventFabric projections in Python.

See the README for the way from a module to a component, and :class:`Projection` to begin.
"""

from . import config, log
from ._contract import FailureKind, Mode, SqlErrorKind
from ._errors import Failure, Fatal, Poison, Retry, SqlError
from ._event import Event
from ._migrations import Migration
from ._projection import Projection
from ._row import Row, Rows
from ._table import Table
from ._tx import ReadTx, Tx
from ._values import Json, Other, typed

__all__ = [
    "Event",
    "Failure",
    "FailureKind",
    "Fatal",
    "Json",
    "Migration",
    "Mode",
    "Other",
    "Poison",
    "Projection",
    "ReadTx",
    "Retry",
    "Row",
    "Rows",
    "SqlError",
    "SqlErrorKind",
    "Table",
    "Tx",
    "config",
    "log",
    "typed",
]
