import contextlib
import io
import unittest
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from eventfabric import Event, Failure, Poison, Projection, Retry, Tx
from eventfabric.event_store import Aggregate, AppendError, Conflict, NewEvent
from eventfabric.testing import Appended, RecordingTx, ask, event, run


@dataclass
class Deposited:
    cents: int


@dataclass
class Withdrawn:
    cents: int


class Colour(Enum):
    RED = "red"


@dataclass
class Everything:
    amount: Decimal
    at: datetime
    day: date
    id: UUID
    colour: Colour
    tags: set[str]
    nested: list[Deposited]
    delay: int = field(metadata={"name": "arrDelay"})


accounts = Aggregate("Account", Deposited, ("account.withdrawn", Withdrawn), "Closed", Everything)


@accounts.upcast(Deposited, version=1)
def euros(payload: dict[str, Any]) -> None:
    payload["cents"] = payload.pop("euros") * 100


class Log(unittest.TestCase):
    def setUp(self) -> None:
        self.db = RecordingTx()

    def answered(self, handler: Callable[[Event[Any], Tx], Any], **fields: Any) -> None:
        """Has the second of two events answered."""
        projection = Projection("answers", mode="catch-up")
        projection.on("Asked")(lambda event, tx: handler(event, tx) and None)
        with contextlib.redirect_stderr(io.StringIO()):
            run(projection, self.db, event("Other"), event("Asked", **fields))

    def test_a_stream_is_loaded_in_types_and_appended_to_where_it_is_as_it_was(self) -> None:
        self.db.given("Account", "1", event("Deposited", {"euros": 7}), event("Opened"))
        self.db.given("Account", "1", event("account.withdrawn", {"cents": 2**60}))

        def answer(event: Event[Any], tx: Tx) -> None:
            account = accounts.load(tx, event, "1")
            self.assertEqual([it.data for it in account.events], [Deposited(700), Withdrawn(2**60)])
            self.assertEqual([it.version for it in account.events], [1, 3])
            self.assertEqual(account.version, 3)
            closed = NewEvent({"why": "so"}, "Closed", topic="accounts")
            self.assertEqual(account.append(Withdrawn(1), closed), 5)
            self.assertEqual(account.append(Deposited(2)), 6)
            last = accounts.load(tx, event, "1", after=5).events
            self.assertEqual([it.data for it in last], [Deposited(2)])
            self.assertEqual((last[0].causation_id, last[0].correlation_id), (event.id, "c"))

        self.answered(answer, correlation_id="c")
        self.assertEqual(
            self.db.appended,
            [
                Appended("default", "Account", "1", "account.withdrawn", {"cents": 1}),
                Appended("default", "Account", "1", "Closed", {"why": "so"}, topic="accounts"),
                Appended("default", "Account", "1", "Deposited", {"cents": 2}, version=2),
            ],
        )

    def test_a_long_stream_is_read_to_its_end(self) -> None:
        self.db.given("Account", "1", *[event("Closed")] * 2500)
        counts: list[int] = []
        self.answered(lambda event, tx: counts.append(len(accounts.load(tx, event, "1").events)))
        self.assertEqual(counts, [2500])

    def test_streams_are_those_of_the_tenant_of_the_cause(self) -> None:
        self.db.given("Account", "1", event("Closed", tenant="acme"))

        def answer(event: Event[Any], tx: Tx) -> None:
            stream = accounts.load(tx, event, "1")
            stream.append(Withdrawn(len(stream.events)))

        self.answered(answer)
        self.answered(answer, tenant="acme")
        found = [(it.tenant, it.data["cents"]) for it in self.db.appended]
        self.assertEqual(found, [("default", 0), ("acme", 1)])

    def test_what_was_written_is_read_as_it_was(self) -> None:
        whole = Everything(
            amount=Decimal("0.10"),
            at=datetime(2026, 1, 1, 12, 0, 0, 1, timezone.utc),
            day=date(2026, 1, 2),
            id=UUID(int=7),
            colour=Colour.RED,
            tags={"b", "a"},
            nested=[Deposited(1)],
            delay=5,
        )
        read: list[Any] = []

        def answer(event: Event[Any], tx: Tx) -> None:
            accounts.append(tx, event, "1", whole)
            read.extend(it.data for it in accounts.load(tx, event, "1").events)

        self.answered(answer)
        self.assertEqual(read, [whole])
        data = self.db.appended[0].data
        self.assertEqual((data["arrDelay"], data["tags"], data["amount"]), (5, ["a", "b"], "0.10"))

    def test_a_conflict_can_be_caught_and_is_otherwise_a_retry(self) -> None:
        self.db.given("Account", "1", event("Closed"))

        def catches(event: Event[Any], tx: Tx) -> None:
            with self.assertRaises(Conflict) as caught:
                accounts.append(tx, event, "1", Withdrawn(1), expected=0)
            self.assertEqual((caught.exception.version, caught.exception.index), (1, event.index))
            accounts.append(tx, event, "1", Withdrawn(1), expected=1)
            accounts.append(tx, event, "1", Withdrawn(1))

        self.answered(catches)
        self.assertEqual(len(self.db.appended), 2)
        with self.assertRaises(Retry) as failed:
            self.answered(
                lambda event, tx: accounts.append(tx, event, "1", Withdrawn(1), expected=9)
            )
        self.assertEqual((failed.exception.index, type(failed.exception)), (1, Conflict))
        self.db.fail_append("conflict", 7)
        with self.assertRaisesRegex(Conflict, "has version 7"):
            self.answered(lambda event, tx: accounts.append(tx, event, "1", Withdrawn(1)))

    def test_what_the_log_refuses_blames_the_event_and_a_lost_transaction_stays_lost(self) -> None:
        def swallows(event: Event[Any], tx: Tx) -> None:
            with contextlib.suppress(AppendError):
                accounts.append(tx, event, "1", Withdrawn(1))

        for reason, kind in (
            ("denied", "poison"),
            ("invalid", "poison"),
            ("limit", "poison"),
            ("database", "retry"),
        ):
            self.db.fail_append(reason, "so it is")  # type: ignore[arg-type]
            with self.assertRaises(AppendError) as caught:
                self.answered(lambda event, tx: accounts.append(tx, event, "1", Withdrawn(1)))
            failure = caught.exception
            self.assertEqual((failure.kind, failure.index), (kind, 1))
            self.assertEqual(failure.message, f"{reason}: so it is")
            self.db.fail_append(reason)  # type: ignore[arg-type]
            if reason == "database":
                with self.assertRaises(AppendError):
                    self.answered(swallows)
            else:
                self.answered(swallows)

    def test_an_event_that_nobody_could_read_is_not_appended(self) -> None:
        many: Any = "many"
        for new, words in (
            (
                Withdrawn(many),
                "the new event account.withdrawn of Account: field `cents`: expected",
            ),
            (NewEvent({}, "Deposited"), "missing field `cents`"),
            (
                NewEvent({}, "Burnt"),
                "Account has no event Burnt, only Deposited, account.withdrawn",
            ),
            ({}, "Account has no event of the class dict"),
            (NewEvent({"x": object()}, "Closed"), "Object of type object is not JSON serializable"),
        ):
            with self.assertRaises(Poison) as caught:
                self.answered(lambda event, tx, new=new: accounts.append(tx, event, "1", new))  # type: ignore[misc]
            self.assertIn(words, caught.exception.message)
        with self.assertRaisesRegex(Failure, "a number from 0, and not -1"):
            self.answered(lambda event, tx: accounts.append(tx, event, "1", expected=-1))
        self.assertEqual(self.db.appended, [])

    def test_an_event_of_a_stream_that_does_not_fit_blames_the_cause(self) -> None:
        self.db.given("Account", "1", event("account.withdrawn", {"cents": "x"}))
        with self.assertRaises(Poison) as caught:
            self.answered(lambda event, tx: accounts.load(tx, event, "1"))
        self.assertEqual(caught.exception.index, 1)
        self.assertIn("(stream Account/1) can't be read: field `cents`", caught.exception.message)

    def test_without_types_all_events_are_dicts(self) -> None:
        self.db.given("Order", "1", event("Placed", {"n": 1}), event("Sent"))
        orders = Aggregate("Order")
        seen: list[str] = []

        def answer(event: Event[Any], tx: Tx) -> None:
            order = orders.load(tx, event, "1")
            seen.extend(it.type for it in order.events)
            order.append(NewEvent({"n": 2}, "Placed"))

        self.answered(answer)
        self.assertEqual(seen, ["Placed", "Sent"])
        self.assertEqual(self.db.appended, [Appended("default", "Order", "1", "Placed", {"n": 2})])

    def test_a_query_has_no_log(self) -> None:
        projection = Projection("answers")
        cause: Any = Event(event("Asked"), 0, {})

        @projection.query
        def it(tx: Any) -> Any:
            return accounts.load(tx, cause, "1").events

        with self.assertRaisesRegex(Failure, "a query reads and nothing else"):
            ask(projection, self.db, "it")


if __name__ == "__main__":
    unittest.main()
