"""A projection that answers events with events."""

from dataclasses import dataclass

from eventfabric import Event, Fatal, Projection, Tx
from eventfabric.event_store import Aggregate, Conflict, NewEvent


@dataclass
class AccountOpened:
    cents: int


@dataclass
class MoneyWithdrawn:
    cents: int


@dataclass
class WithdrawalAsked:
    account: str
    cents: int


@dataclass
class WithdrawalRefused:
    asked: int
    has: int


projection = Projection("py_manager", mode="catch-up")
accounts = Aggregate("Account", AccountOpened, MoneyWithdrawn)
refusals = Aggregate("Refusal", WithdrawalRefused)


@projection.on(WithdrawalAsked)
def asked(event: Event[WithdrawalAsked], tx: Tx) -> None:
    account = accounts.load(tx, event, event.data.account)
    balance = sum(
        it.data.cents if isinstance(it.data, AccountOpened) else -it.data.cents
        for it in account.events
    )
    try:
        stale = account.version + 1
        accounts.append(tx, event, account.id, MoneyWithdrawn(0), expected=stale)
    except Conflict as conflict:
        # It leaves the transaction usable.
        if conflict.version != account.version:
            raise
    else:
        raise Fatal("no conflict")
    cents = event.data.cents
    if balance >= cents:
        account.append(MoneyWithdrawn(cents))
    else:
        refused = NewEvent(WithdrawalRefused(cents, balance), topic="mail")
        refusals.append(tx, event, event.aggregate_id, refused, expected=0)
