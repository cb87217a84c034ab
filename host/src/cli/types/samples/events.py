# Made by `eventfabric types --lang python`.

from dataclasses import dataclass
from datetime import date
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(kw_only=True)
class Option2:
    """The data of Option, version 1."""

    aB: int
    a_b: int
    any: Any
    type_: list[float]
    # 2nd: no name in Python; the payload itself has it
    # a`b: no name in Python; the payload itself has it
    # class: no name in Python; the payload itself has it


@dataclass(kw_only=True)
class MoneyDepositedLinesItem:
    """The data of MoneyDepositedLinesItem, version 1."""


@dataclass(kw_only=True)
class MoneyDepositedLinesItem2:
    """A part of the data of an event."""

    count: int
    price: float | None = None
    sku: str


@dataclass(kw_only=True)
class MoneyDeposited:
    """The data of MoneyDeposited, version 1."""

    cents: int
    lines: list[MoneyDepositedLinesItem2]
    note: Any
    rate: float
    # class: no name in Python; the payload itself has it


@dataclass(kw_only=True)
class AccountOpenedOwner:
    """A part of the data of an event."""

    born: date
    name: str
    # middle-name: no name in Python; the payload itself has it


@dataclass(kw_only=True)
class AccountOpened:
    """The data of Account.Opened, version 2."""

    at: datetime
    id: UUID
    limit: int | None = None
    owner: AccountOpenedOwner
    tags: list[str | None]


@dataclass(kw_only=True)
class AccountOpenedV1:
    """The data of Account.Opened, version 1."""

    cents: int
    owner: str
