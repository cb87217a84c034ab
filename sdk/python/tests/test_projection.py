import contextlib
import io
import tempfile
import unittest
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from eventfabric import Event, Failure, Fatal, Poison, Projection, Retry, SqlError, Tx, config, log
from eventfabric._contract import DatabaseError
from eventfabric._migrations import Migration, read_migrations
from eventfabric._projection import find
from eventfabric.testing import RecordingTx, event, events_from_ndjson, run
from eventfabric.testing import config as settings


@dataclass
class Opened:
    owner: str


@dataclass
class Paid:
    amount: Decimal


def failure(projection: Projection, *events: Any, db: RecordingTx | None = None) -> Failure:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            run(projection, db or RecordingTx(), *events)
    except Failure as caught:
        return caught
    raise AssertionError("it did not fail")


class Handlers(unittest.TestCase):
    def setUp(self) -> None:
        self.projection = Projection("owners")
        self.seen: list[Any] = []

    def test_events_are_typed_by_class_by_name_or_not_at_all(self) -> None:
        projection = self.projection

        @projection.on(Opened)
        def opened(event: Event[Opened], tx: Tx) -> None:
            self.seen.append(event.data)

        @projection.on("account.paid", Paid)
        def paid(event: Event[Paid], tx: Tx) -> None:
            self.seen.append(event.data)

        @projection.on("Closed")
        def closed(event: Event[dict[str, Any]], tx: Tx) -> None:
            self.seen.append(event.data["rate"])

        self.assertEqual(projection.event_types, ["Closed", "Opened", "account.paid"])
        run(
            projection,
            RecordingTx(),
            event("Opened", {"owner": "Ada", "more": 1}),
            event("account.paid", {"amount": "0.10"}),
            event("Closed", {"rate": 0.5}),
        )
        self.assertEqual(self.seen, [Opened("Ada"), Paid(Decimal("0.10")), 0.5])

    def test_a_number_with_a_point_is_exact_where_a_decimal_is_asked_for(self) -> None:
        @self.projection.on(Paid)
        def paid(event: Event[Paid], tx: Tx) -> None:
            self.seen.append(str(event.data.amount))

        raw = event("Paid")._replace(payload='{"amount": 12345678901234567890.10}')
        run(self.projection, RecordingTx(), raw)
        self.assertEqual(self.seen, ["12345678901234567890.10"])

    def test_one_handler_may_take_all_other_events(self) -> None:
        @self.projection.on()
        def other(event: Event[dict[str, Any]], tx: Tx) -> None:
            self.seen.append(event.type)

        @self.projection.on(Opened)
        def opened(event: Event[Opened], tx: Tx) -> None:
            self.seen.append(event.data.owner)

        self.assertEqual(self.projection.event_types, [])
        run(self.projection, RecordingTx(), event("Opened", {"owner": "Ada"}), event("Closed"))
        self.assertEqual(self.seen, ["Ada", "Closed"])

    def test_an_event_tells_what_the_log_knows_of_it(self) -> None:
        time = datetime(1969, 7, 20, 20, 17, 40, 1, timezone.utc)

        @self.projection.on("Noted")
        def noted(event: Event[dict[str, Any]], tx: Tx) -> None:
            self.seen = [event.position, event.id, event.tenant, event.aggregate]
            self.seen += [event.aggregate_id, event.version, event.type, event.schema_version]
            self.seen += [event.occurred_at, event.correlation_id, event.causation_id, event.index]

        made = event("Noted", version=3, occurred_at=time, correlation_id="c", causation_id="k")
        run(self.projection, RecordingTx(), made)
        id = "00000000-0000-7000-8000-000000000001"
        self.assertEqual(
            self.seen, [1, id, "default", "Test", "1", 1, "Noted", 3, time, "c", "k", 0]
        )

    def test_a_batch_handler_gets_all_events_at_once(self) -> None:
        @self.projection.batch(Opened, ("account.paid", Paid), "Closed")
        def batch(events: Sequence[Event[Any]], tx: Tx) -> None:
            self.seen = [event.data for event in events]
            raise events[1].poison("no")

        made = [event("Opened", {"owner": "Ada"}), event("account.paid", {"amount": 1})]
        caught = failure(self.projection, *made)
        self.assertEqual(self.seen, [Opened("Ada"), Paid(Decimal(1))])
        self.assertEqual((caught.kind, caught.index, caught.message), ("poison", 1, "no"))

    def test_handlers_of_two_kinds_and_two_of_one_event_are_refused(self) -> None:
        self.projection.on(Opened)(lambda event, tx: None)
        with self.assertRaisesRegex(TypeError, "Opened has a handler already"):
            self.projection.on(Opened)(lambda event, tx: None)
        with self.assertRaisesRegex(TypeError, "not both"):
            self.projection.batch(Paid)
        with self.assertRaisesRegex(ValueError, "mode is one of inline, catch-up, async"):
            Projection("x", mode="fast")  # type: ignore[arg-type]

    def test_a_module_has_one_projection(self) -> None:
        module = ModuleType("plugin")
        with self.assertRaisesRegex(TypeError, "plugin has no projection"):
            find(module)
        vars(module).update(a=self.projection, b=self.projection)
        self.assertIs(find(module), self.projection)
        vars(module)["c"] = Projection("c")
        with self.assertRaisesRegex(TypeError, "several projections"):
            find(module)


class Failures(unittest.TestCase):
    def projection(self, handler: Any) -> Projection:
        projection = Projection("owners")
        projection.on(Opened)(handler)
        return projection

    def test_a_payload_that_does_not_fit_is_poison_and_names_event_and_field(self) -> None:
        caught = failure(
            self.projection(lambda event, tx: None),
            event("Opened", {"owner": "Ada"}),
            event("Opened"),
        )
        self.assertEqual((caught.kind, caught.index), ("poison", 1))
        self.assertEqual(
            caught.message,
            "the payload of Opened version 1 at position 2 (stream Test/1) can't be read: missing "
            "field `owner`",
        )

    def test_failures_by_hand_keep_their_kind_and_blame_the_event(self) -> None:
        for raised, kind in ((Retry, "retry"), (Poison, "poison"), (Fatal, "fatal")):

            def handler(event: Event[Opened], tx: Tx) -> None:
                if event.index == 1:
                    raise raised("by hand")

            made = event("Opened", {"owner": "Ada"})
            caught = failure(self.projection(handler), made, made)
            self.assertEqual((caught.kind, caught.index, caught.message), (kind, 1, "by hand"))

    def test_an_exception_is_poison_and_its_stack_is_in_the_log(self) -> None:
        def handler(event: Event[Opened], tx: Tx) -> None:
            raise RuntimeError("unforeseen")

        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(Poison) as caught:
            run(self.projection(handler), RecordingTx(), event("Opened", {"owner": "Ada"}))
        self.assertEqual(
            (caught.exception.message, caught.exception.index), ("RuntimeError: unforeseen", 0)
        )
        self.assertIn('raise RuntimeError("unforeseen")', said.getvalue())
        self.assertTrue(said.getvalue().startswith("ERROR Traceback"), said.getvalue())
        self.assertNotIn("in handle\n", said.getvalue())

    def test_a_queued_statement_blames_the_event_that_queued_it(self) -> None:
        db = RecordingTx()
        db.answer("INSERT")
        db.fail("INSERT", "constraint", "23505", "duplicate key")
        caught = failure(
            self.projection(
                lambda event, tx: tx.run("INSERT INTO owners VALUES ($1)", event.index)
            ),
            *[event("Opened", {"owner": "Ada"})] * 3,
            db=db,
        )
        self.assertEqual((caught.kind, caught.index), ("poison", 1))

    def test_an_error_that_was_swallowed_fails_the_batch_all_the_same(self) -> None:
        def handler(event: Event[Opened], tx: Tx) -> None:
            try:
                tx.execute("INSERT")
            except SqlError:
                raise ValueError("something else") from None

        db = RecordingTx()
        db.fail("INSERT", "retryable", "40001", "could not serialize")
        caught = failure(self.projection(handler), event("Opened", {"owner": "Ada"}), db=db)
        self.assertEqual((type(caught), caught.kind), (SqlError, "retry"))

    def test_the_kind_follows_from_what_the_database_said(self) -> None:
        for sql, kind in (
            ("retryable", "retry"),
            ("connection", "retry"),
            ("constraint", "poison"),
            ("denied", "fatal"),
            ("invalid", "fatal"),
            ("limit", "fatal"),
            ("aborted", "fatal"),
        ):
            error = DatabaseError(sql, "XX000", "no")  # type: ignore[arg-type]
            self.assertEqual(SqlError(error, "SELECT 1").kind, kind)

    def test_the_message_names_statement_state_detail_and_place(self) -> None:
        error = DatabaseError(
            "constraint",
            "23505",
            "duplicate key",
            detail="Key (id)=(1) already exists.",
            position=13,
        )
        self.assertEqual(
            SqlError(error, "INSERT INTO things VALUES ($1)").message,
            "duplicate key (SQLSTATE 23505)\n"
            "detail: Key (id)=(1) already exists.\n"
            "statement: INSERT INTO things VALUES ($1)\n"
            "at character 13: things VALUES ($1)",
        )


class Upcasters(unittest.TestCase):
    def setUp(self) -> None:
        self.projection = Projection("x")
        self.seen: list[Any] = []

        @self.projection.on("Opened")
        def opened(event: Event[dict[str, Any]], tx: Tx) -> None:
            self.seen.append(event.data)

        @self.projection.upcast("Opened", version=2)
        def second(payload: dict[str, Any]) -> dict[str, Any]:
            return {"second": payload["first"]}

        @self.projection.upcast("Opened", version=1)
        def first(payload: dict[str, Any]) -> None:
            if "bad" in payload:
                raise Poison("a bad payload")
            payload["first"] = payload.pop("zeroth")

        self.projection.upcast("Closed", version=4)(lambda payload: None)
        self.projection.on("Closed")(opened)

    def test_events_are_lifted_step_by_step_and_others_left_alone(self) -> None:
        run(
            self.projection,
            RecordingTx(),
            event("Opened", {"zeroth": 7}),
            event("Opened", {"second": 8}, version=3),
        )
        want = {"type": "Opened", "version": 3}
        self.assertEqual(self.seen, [{"second": 7, **want}, {"second": 8, **want}])

    def test_what_cannot_be_lifted_is_poison_and_named(self) -> None:
        for made, words in (
            (event("Opened", version=4), "schema version 4 is newer than this plugin"),
            (event("Closed"), "nothing lifts schema version 1 to 2, on the way to 5"),
            (event("Opened", {"bad": 1}), "the upcaster from schema version 1: a bad payload"),
            (event("Opened"), "the upcaster from schema version 1: KeyError: 'zeroth'"),
        ):
            caught = failure(self.projection, event("Opened", version=3), made)
            self.assertEqual((caught.kind, caught.index), ("poison", 1))
            self.assertIn(words, caught.message)
            self.assertIn("(stream Test/1)", caught.message)


class Surroundings(unittest.TestCase):
    def test_migrations_are_read_from_their_files(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "002_add_gates.sql").write_text("SELECT 2")
            (folder / "001_create_flights.sql").write_text("SELECT 'ä'", encoding="utf-8")
            (folder / "notes.txt").write_text("no step")
            self.assertEqual(
                read_migrations(folder),
                [
                    Migration(1, "create flights", "SELECT 'ä'"),
                    Migration(2, "add gates", "SELECT 2"),
                ],
            )
            (folder / "004_late.sql").write_text("")
            with self.assertRaisesRegex(ValueError, "3 is not there"):
                read_migrations(folder)
            (folder / "create.sql").write_text("")
            with self.assertRaisesRegex(ValueError, "create.sql: .*named by number and purpose"):
                read_migrations(folder)
        with self.assertRaisesRegex(FileNotFoundError, "no folder .* with migrations"):
            read_migrations(folder)

    def test_settings_are_read_and_one_that_is_wrong_is_fatal_and_named(self) -> None:
        with settings(limit="15", region="eu"):
            self.assertEqual(config.get("region"), "eu")
            self.assertEqual(config.parse("limit", int), 15)
            self.assertEqual(config.all(), {"limit": "15", "region": "eu"})
            with self.assertRaisesRegex(Fatal, "the setting `region` = `eu`: invalid literal"):
                config.parse("region", int)
        self.assertEqual(config.get("region", "none"), "none")
        self.assertIsNone(config.parse("limit", int))

    def test_lines_of_the_log_are_shown_by_tests(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            log.warn("late")
        self.assertEqual(said.getvalue(), "WARN late\n")

    def test_events_come_from_lines_of_an_import(self) -> None:
        line = (
            '{"aggregate": "A", "id": "1", "type": "T", "version": 2, '
            '"occurred_at": "1970-01-01T00:00:01Z", "payload": {"x": 1}}'
        )
        first, second = events_from_ndjson([line, line])
        self.assertEqual((first.version, second.version, second.position), (1, 2, 2))
        self.assertEqual((first.occurred_at, first.schema_version), (1_000_000, 2))
        self.assertEqual(first.payload, '{"type": "T", "version": 2, "x": 1}')


if __name__ == "__main__":
    unittest.main()
