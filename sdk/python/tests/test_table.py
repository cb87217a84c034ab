import random
import unittest
from decimal import Decimal
from typing import Any

from eventfabric import SqlError, Table, Tx
from eventfabric.testing import RecordingTx

counters = Table("counters", "key")


def calls(write: Any) -> list[tuple[str, tuple[Any, ...]]]:
    db = RecordingTx()
    tx = Tx(db)
    write(tx)
    tx.flush()
    return db.calls


class Merging(unittest.TestCase):
    def test_rows_are_written_once_and_in_the_order_of_their_keys(self) -> None:
        def write(tx: Tx) -> None:
            for key in (300, -1, 2, 300, 2):
                counters.increment(tx, key, n=1, m=2)

        written = calls(write)
        self.assertEqual([params for _, params in written], [(-1, 2, 1), (2, 4, 2), (300, 4, 2)])
        self.assertEqual(
            written[0][0],
            'INSERT INTO "counters" AS t ("key", "m", "n") VALUES ($1, $2, $3) '
            'ON CONFLICT ("key") DO UPDATE SET "m" = coalesce(t."m", 0) + EXCLUDED."m", '
            '"n" = coalesce(t."n", 0) + EXCLUDED."n"',
        )

    def test_tables_are_written_in_the_order_of_their_names(self) -> None:
        def write(tx: Tx) -> None:
            counters.delete(tx, 1)
            Table("a b", "x", 'y"').upsert(tx, (1, "z"))

        self.assertEqual(
            calls(write),
            [
                (
                    'INSERT INTO "a b" AS t ("x", "y""") VALUES ($1, $2) '
                    'ON CONFLICT ("x", "y""") DO NOTHING',
                    (1, "z"),
                ),
                ('DELETE FROM "counters" WHERE "key" = $1', (1,)),
            ],
        )

    def test_a_statement_that_names_the_table_keeps_its_place(self) -> None:
        def write(tx: Tx) -> None:
            tx.run("INSERT INTO notes VALUES (1)")
            counters.increment(tx, 1, n=1)
            tx.run("INSERT INTO notes VALUES (2)")
            tx.run("DELETE FROM counters")
            counters.increment(tx, 1, n=1)
            tx.run("INSERT INTO notes VALUES (3)")

        insert, note = 'INSERT INTO "counter', "INSERT INTO notes VA"
        self.assertEqual(
            [text[:20] for text, _ in calls(write)],
            [note, note, insert, "DELETE FROM counters", note, insert],
        )

    def test_sums_that_overflow_are_left_to_the_database(self) -> None:
        def write(tx: Tx) -> None:
            counters.increment(tx, 1, m=1, n=2**63 - 1)
            counters.increment(tx, 1, m=1, n=1)

        self.assertEqual([params for _, params in calls(write)], [(1, 1, 2**63 - 1), (1, 1, 1)])

    def test_decimals_are_added_by_the_database(self) -> None:
        def write(tx: Tx) -> None:
            counters.increment(tx, 1, n=Decimal("1.005"))
            counters.increment(tx, 1, n=Decimal("1.005"))

        self.assertEqual([params for _, params in calls(write)], [(1, Decimal("1.005"))] * 2)
        with self.assertRaisesRegex(TypeError, "counters.n can't be incremented by 0.5"):
            calls(lambda tx: counters.increment(tx, 1, n=0.5))  # type: ignore[arg-type]

    def test_a_row_of_one_event_is_blamed_on_it_and_a_row_of_several_on_none(self) -> None:
        for events, blamed in (((2, 2), 2), ((1, 2), None)):
            db = RecordingTx()
            db.fail("counters", "constraint", "23514", "check")
            tx = Tx(db)
            for index in events:
                tx._blamed = index
                counters.increment(tx, 1, n=1)
            with self.assertRaises(SqlError) as caught:
                tx.flush()
            self.assertEqual(caught.exception.index, blamed)

    def test_a_read_sees_what_was_merged_before_it(self) -> None:
        db = RecordingTx()
        tx = Tx(db)
        counters.delete(tx, 1)
        counters.upsert(tx, 1, n=1)
        tx.query("SELECT n FROM counters")
        self.assertEqual([text[:6] for text in db.statements], ["DELETE", "INSERT", "SELECT"])

    def test_a_key_of_another_length_is_refused(self) -> None:
        with self.assertRaisesRegex(TypeError, r"the key of counters is \(key\), got \(1, 2\)"):
            calls(lambda tx: counters.delete(tx, (1, 2)))


class Model:
    """A table of keys and two counters, as the database would keep it."""

    def __init__(self) -> None:
        self.rows: dict[Any, dict[str, int | None]] = {}

    def apply(self, text: str, params: tuple[Any, ...]) -> None:
        key = params[0]
        if text.startswith("DELETE"):
            self.rows.pop(key, None)
            return
        columns = text.split("(")[1].split(")")[0].split(", ")
        row = self.rows.setdefault(key, {})
        for column, value in zip(columns[1:], params[1:]):
            adds = f"{column} = coalesce" in text
            row[column] = (row.get(column) or 0) + value if adds else value


class Property(unittest.TestCase):
    def test_merged_writes_leave_the_rows_that_single_ones_leave(self) -> None:
        chance = random.Random(1)
        for _ in range(2000):
            changes = [
                (
                    chance.choice(("increment", "upsert", "delete")),
                    chance.randrange(3),
                    chance.choice("mn"),
                    chance.choice((-2, -1, 0, 1, 2, None)),
                )
                for _ in range(chance.randrange(12))
            ]

            def outcome(flush_each: bool) -> tuple[Model, int]:
                db, model = RecordingTx(), Model()
                tx = Tx(db)
                for what, key, column, n in changes:
                    if what == "delete":
                        counters.delete(tx, key)
                    elif what == "upsert":
                        counters.upsert(tx, key, **{column: n})
                    else:
                        counters.increment(tx, key, **{column: n or 0})
                    if flush_each:
                        tx.flush()
                tx.flush()
                for text, params in db.calls:
                    model.apply(text, params)
                return model, len(db.calls)

            (alone, many), (merged, few) = outcome(True), outcome(False)
            self.assertEqual(merged.rows, alone.rows, changes)
            self.assertLessEqual(few, min(many, 6), changes)


if __name__ == "__main__":
    unittest.main()
