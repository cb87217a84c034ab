"""A projection that answers queries."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from eventfabric import Event, Poison, Projection, ReadTx, Rows, Tx

projection = Projection("py_queries", mode="catch-up", migrations="migrations")


@dataclass
class AccountOpened:
    cents: int
    rate: Decimal


@projection.on(AccountOpened)
def opened(event: Event[AccountOpened], tx: Tx) -> None:
    tx.run(
        "INSERT INTO accounts VALUES ($1, $2, $3, $4, $5)",
        event.aggregate_id,
        event.tenant,
        event.data.cents,
        event.data.rate,
        event.occurred_at,
    )


@projection.query
def richest(
    tx: ReadTx,
    least: Annotated[int, "Cents, at least"],
    limit: Annotated[int, "How many accounts, at most"] = 10,
) -> Rows:
    """The accounts with the most on them."""
    return tx.query(
        "SELECT id, cents, rate, opened FROM accounts "
        "WHERE cents >= $1 ORDER BY cents DESC LIMIT $2",
        least,
        limit,
    )


@projection.query(per_tenant=True)
def own(tx: ReadTx, tenant: str) -> Rows:
    """How many accounts a tenant has."""
    return tx.query("SELECT count(*) AS n FROM accounts WHERE tenant = $1", tenant)


@projection.query
def echo(
    tx: ReadTx,
    flag: bool | None = None,
    int_: int | None = None,
    float_: float | None = None,
    num: Decimal | None = None,
    text: str | None = None,
    id: UUID | None = None,
    at: datetime | None = None,
    day: date | None = None,
) -> list[dict[str, Any]]:
    """The parameters, as they came."""
    given = {"flag": flag, "int": int_, "float": float_, "num": num, "text": text, "id": id}
    return [{**given, "at": at, "day": day}]


@projection.query
def write(tx: ReadTx) -> Rows:
    """What is denied."""
    return tx.query("DELETE FROM accounts RETURNING id")


@projection.query
def refuse(tx: ReadTx, why: str) -> Rows:
    """What makes no sense."""
    raise Poison(f"refused: {why}")


@projection.query
def throws(tx: ReadTx) -> Rows:
    """What nobody foresaw."""
    raise RuntimeError("unforeseen")
