import contextlib
import io
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from eventfabric import Failure, Fatal, Poison, Projection, ReadTx, Retry, Rows, Table
from eventfabric import _contract as c
from eventfabric._query import Parameter
from eventfabric.testing import RecordingTx, ask


@dataclass
class Account:
    id: str
    cents: int


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        self.projection = Projection("accounts")
        self.db = RecordingTx()

    def answer(self, function: Callable[..., Any], **given: Any) -> Any:
        """What a query answers, or its failure."""
        projection = Projection("accounts")
        projection.query(name="it")(function)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                return ask(projection, self.db, "it", **given)
        except Failure as failure:
            return failure

    def test_the_signature_is_the_description(self) -> None:
        @self.projection.query
        def balance(
            tx: ReadTx,
            account: Annotated[str, "Which account"],
            at: datetime | None = None,
            least: int = 0,
            *,
            from_: "date | None" = None,
        ) -> Rows:
            """The balance
            of an account.

            How it is made is nobody's concern.
            """
            return tx.query("SELECT")

        @self.projection.query(per_tenant=True, name="own", text="Of a tenant")
        def mine(tx: ReadTx, tenant: str) -> Rows:
            return tx.query("SELECT")

        found, own = self.projection.queries.values()
        self.assertEqual((found.name, found.text), ("balance", "The balance of an account."))
        self.assertEqual(
            found.parameters,
            [
                Parameter("account", "Which account", "text", True),
                Parameter("at", "", "timestamptz", False),
                Parameter("least", "", "int64", False),
                Parameter("from", "", "date", False),
            ],
        )
        self.assertEqual((own.name, own.text, own.parameters), ("own", "Of a tenant", []))
        self.assertTrue(own.per_tenant and not found.per_tenant)

    def test_a_signature_that_is_not_sound_says_why(self) -> None:
        async def waits(tx: Any) -> Any: ...
        def nothing() -> Any: ...
        def untyped(tx: Any, account) -> Any: ...  # type: ignore[no-untyped-def]
        def listed(tx: Any, accounts: list[str]) -> Any: ...
        def several(tx: Any, it: "str | int") -> Any: ...
        def rest(tx: Any, **more: str) -> Any: ...
        def placed(tx: Any, account: str, /) -> Any: ...
        def required(tx: Any, at: "str | None") -> Any: ...
        def Shouted(tx: Any) -> Any: ...
        def camel(tx: Any, accountId: str) -> Any: ...
        def twice(tx: Any) -> Any: ...

        self.projection.query(twice)
        wrong: tuple[tuple[Any, str], ...] = (
            (waits, "the query waits is asynchronous"),
            (nothing, "the query nothing takes tx first"),
            (untyped, "the query untyped: account is annotated with nothing, and a parameter is "),
            (listed, "the query listed: accounts is annotated with list[str], and a parameter is"),
            (several, "is one of bool, int, float, Decimal, str, UUID, datetime, date"),
            (rest, "the query rest: each parameter has a name, **more: str not"),
            (placed, "the query placed: account is given by its name"),
            (required, "the query required: at may be None, so give it the default `= None`"),
            (Shouted, "the query 'Shouted' has no name that it can have: [a-z][a-z0-9_]{0,47}"),
            (camel, "the parameter 'accountId' has no name that it can have"),
            (twice, "there is a query twice already"),
        )
        for function, words in wrong:
            with self.assertRaises((TypeError, ValueError)) as caught:
                self.projection.query(function)
            self.assertIn(words, str(caught.exception))

    def test_parameters_come_in_types_of_python_or_as_their_defaults(self) -> None:
        given = {
            "b": True,
            "i": -(2**63),
            "f": 0.5,
            "n": Decimal("12.50"),
            "s": "x",
            "u": UUID(int=1),
            "at": datetime(1969, 12, 31, 23, 59, 59, 999999, timezone.utc),
            "d": date(99, 1, 2),
        }
        seen: list[Any] = []

        def it(
            tx: ReadTx,
            b: bool,
            i: int,
            f: float,
            n: Decimal,
            s: str,
            u: UUID,
            at: datetime,
            d: date,
            none: "str | None" = None,
            ten: int = 10,
        ) -> Any:
            seen.extend((b, i, f, n, s, u, at, d, none, ten))
            return []

        self.assertEqual(self.answer(it, **given), [])
        self.assertEqual(seen, [*given.values(), None, 10])

    def test_a_time_that_python_lacks_is_the_fault_of_the_caller(self) -> None:
        def it(tx: ReadTx, at: datetime) -> Any: ...

        self.projection.query(it)
        with self.assertRaises(Poison) as caught:
            self.projection.ask(self.db, "it", "default", [("at", c.Timestamptz(2**62))])
        self.assertIn("at: the time", str(caught.exception))

    def test_the_tenant_is_given_where_it_is_asked_for(self) -> None:
        @self.projection.query(per_tenant=True)
        def own(tx: ReadTx, tenant: str) -> list[dict[str, str]]:
            return [{"tenant": tenant}]

        self.assertEqual(ask(self.projection, self.db, "own", tenant="acme"), [("acme",)])

    def test_rows_that_were_read_are_handed_through_as_they_came(self) -> None:
        raw = c.RowSet(["n", "r"], [[c.Int16(n), c.Float32(0.1)] for n in (1, 2)])

        class Db(RecordingTx):
            def query(self, statement: str, params: list[c.Value]) -> c.RowSet:
                return raw

        self.projection.query(name="all")(lambda tx: tx.query("SELECT"))
        self.projection.query(name="some")(lambda tx: [it for it in tx.query("SELECT") if it.n > 1])
        found = self.projection.ask(Db(), "all", "default", [])
        self.assertEqual((found.columns, found.rows), (raw.columns, raw.rows))
        found = self.projection.ask(Db(), "some", "default", [])
        self.assertEqual((found.columns, found.rows), (raw.columns, raw.rows[1:]))
        raw = c.RowSet(["n", "r"], [])
        self.assertEqual(self.projection.ask(Db(), "all", "default", []).columns, ["n", "r"])

    def test_rows_that_were_made_are_dataclasses_or_dicts(self) -> None:
        made = [Account("1", 7), {"cents": 2**60, "id": "2"}]
        self.assertEqual(self.answer(lambda tx: made), [("1", 7), ("2", 2**60)])
        self.assertEqual(self.answer(lambda tx: iter(made)), [("1", 7), ("2", 2**60)])
        self.db.answer("SELECT", {"id": "3", "cents": 1})
        mixed = self.answer(lambda tx: [*made, *tx.query("SELECT")])
        self.assertEqual(mixed, [("1", 7), ("2", 2**60), ("3", 1)])
        self.assertIn(
            "row 2 of the answer has the columns b, and the first one a",
            self.answer(lambda tx: [{"a": 1}, {"b": 1}]).message,
        )
        self.assertIn(
            "column a of row 1 of the answer: a object is no",
            self.answer(lambda tx: [{"a": object()}]).message,
        )

    def test_what_is_no_rows_is_the_fault_of_the_plugin(self) -> None:
        for answer in (None, 1, "rows", {"a": 1}):
            failure = self.answer(_fixed(answer))
            self.assertIsInstance(failure, Fatal)
            self.assertIn("has not answered with rows but with", failure.message)
        self.assertIn("row 1 of the answer is 1", self.answer(_fixed([1])).message)

    def test_a_query_only_reads(self) -> None:
        accounts = Table("accounts", "id")
        for write in (
            lambda tx: tx.run("DELETE"),
            lambda tx: tx.execute("DELETE"),
            lambda tx: accounts.delete(tx, "1"),
        ):
            failure = self.answer(write)
            self.assertIsInstance(failure, Fatal)
            self.assertIn("a query reads and nothing else", failure.message)
        self.assertEqual(self.db.round_trips, 0)

    def test_failures_are_by_hand_of_the_database_or_of_nobody(self) -> None:
        def refuses(tx: ReadTx) -> Any:
            raise Poison("no such airport")

        def unforeseen(tx: ReadTx) -> Any:
            raise KeyError("x")

        def swallows(tx: ReadTx) -> Any:
            with contextlib.suppress(Failure):
                tx.query("SELECT")
            return []

        refused = self.answer(refuses)
        self.assertEqual((type(refused), refused.message), (Poison, "no such airport"))
        surprise = self.answer(unforeseen)
        self.assertEqual((type(surprise), surprise.message), (Fatal, "KeyError: 'x'"))
        self.db.fail("SELECT", "connection", "", "gone")
        self.assertEqual(self.answer(swallows).kind, Retry.kind)

    def test_the_double_checks_parameters_as_the_host_does(self) -> None:
        def it(tx: ReadTx, account: str) -> Any:
            return []

        self.assertIn("the parameter account is missing", self.answer(it).message)
        self.assertIn("there is no parameter more", self.answer(it, account="x", more=1).message)
        with self.assertRaisesRegex(Poison, "no query 'nothing'"):
            ask(self.projection, self.db, "nothing")


def _fixed(answer: Any) -> Callable[[ReadTx], Any]:
    return lambda tx: answer


if __name__ == "__main__":
    unittest.main()
