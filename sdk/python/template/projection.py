"""The balance of each account."""

from dataclasses import dataclass

from eventfabric import Event, Projection, Tx

projection = Projection(
    "{{name}}",
    text="The balance of each account",
    mode="catch-up",
    migrations="migrations",
)


# What happens to an account: the data of the events of these names.
@dataclass
class AccountOpened:
    owner: str


@dataclass
class MoneyDeposited:
    cents: int


@dataclass
class MoneyWithdrawn:
    cents: int


@projection.on(AccountOpened)
def opened(event: Event[AccountOpened], tx: Tx) -> None:
    tx.run(
        "INSERT INTO accounts (account, owner, cents) VALUES ($1, $2, 0)",
        event.aggregate_id,
        event.data.owner,
    )


@projection.on(MoneyDeposited)
def deposited(event: Event[MoneyDeposited], tx: Tx) -> None:
    book(event, tx, event.data.cents)


@projection.on(MoneyWithdrawn)
def withdrawn(event: Event[MoneyWithdrawn], tx: Tx) -> None:
    book(event, tx, -event.data.cents)


def book(event: Event[object], tx: Tx, cents: int) -> None:
    changed = tx.execute(
        "UPDATE accounts SET cents = cents + $2 WHERE account = $1", event.aggregate_id, cents
    )
    if changed == 0:
        # It can never be handled: the projection stops at it, or sets it aside.
        raise event.poison(f"there is no account {event.aggregate_id}")
