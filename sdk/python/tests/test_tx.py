import unittest
from dataclasses import dataclass

from eventfabric import Fatal, SqlError, Tx
from eventfabric._tx import MAX_BYTES, MAX_CALLS
from eventfabric.testing import RecordingTx

INSERT = "INSERT INTO seen VALUES ($1)"


@dataclass
class Seen:
    id: int
    note: str | None = None


class Queue(unittest.TestCase):
    def setUp(self) -> None:
        self.db = RecordingTx()
        self.tx = Tx(self.db)

    def test_a_read_sees_what_was_queued_before_it(self) -> None:
        self.db.answer("SELECT", {"n": 2})
        self.tx.run(INSERT, 1)
        self.tx.run(INSERT, 2)
        self.assertEqual(self.db.round_trips, 0)
        self.assertEqual(self.tx.scalar("SELECT count(*) FROM seen", into=int), 2)
        self.assertEqual(self.db.statements, [INSERT, INSERT, "SELECT count(*) FROM seen"])
        self.assertEqual(self.db.round_trips, 2)

    def test_an_execute_comes_after_what_was_queued_before_it(self) -> None:
        self.tx.run(INSERT, 1)
        self.assertEqual(self.tx.execute("DELETE FROM seen"), 1)
        self.assertEqual(self.db.statements, [INSERT, "DELETE FROM seen"])

    def test_a_full_queue_is_written_out(self) -> None:
        for n in range(MAX_CALLS):
            self.tx.run(INSERT, n)
        self.assertEqual(self.db.round_trips, 1)
        self.tx.run(INSERT, "x" * MAX_BYTES)
        self.assertEqual(self.db.round_trips, 2)
        self.tx.flush()
        self.assertEqual(self.db.round_trips, 2)

    def test_a_failed_transaction_fails_for_good_even_if_the_error_is_ignored(self) -> None:
        self.db.fail("INSERT", "constraint", "23505", "duplicate key")
        with self.assertRaises(SqlError) as first:
            self.tx.execute(INSERT, 1)
        for later in (
            lambda: self.tx.run("UPDATE seen SET id = 1"),
            lambda: self.tx.query("SELECT 1"),
            self.tx.flush,
        ):
            with self.assertRaises(SqlError) as again:
                later()
            self.assertIs(again.exception, first.exception)
        self.assertEqual(first.exception.kind, "poison")
        self.assertEqual(self.db.statements, [INSERT])


class Rows(unittest.TestCase):
    def setUp(self) -> None:
        self.db = RecordingTx()
        self.tx = Tx(self.db)

    def test_a_row_is_read_by_name_by_attribute_by_place_and_in_parts(self) -> None:
        self.db.answer("SELECT", {"id": 1, "class": "a"})
        row = self.tx.one("SELECT")
        self.assertEqual((row.id, row["class"], row[1], row[-1]), (1, "a", "a", "a"))
        number, letter = row
        self.assertEqual((number, letter), row)
        self.assertEqual(row.as_dict(), {"id": 1, "class": "a"})
        with self.assertRaisesRegex(Fatal, "no column `ide`, only id, class"):
            row.ide

    def test_rows_become_objects_of_a_dataclass(self) -> None:
        self.db.answer("SELECT", {"note": None, "id": 1}, {"note": "x", "id": 2})
        self.assertEqual(self.tx.query("SELECT", into=Seen), [Seen(1), Seen(2, "x")])
        self.db.answer("SELECT", {"id": 3})
        self.assertEqual(self.tx.optional("SELECT", into=Seen), Seen(3))

    def test_what_does_not_fit_names_the_column_and_the_statement(self) -> None:
        self.db.answer("SELECT", {"id": None})
        with self.assertRaises(Fatal) as caught:
            self.tx.one("SELECT id", into=Seen)
        self.assertEqual(
            caught.exception.message,
            "column `id`: NULL does not fit int (use int | None)\nstatement: SELECT id",
        )
        self.db.answer("SELECT", {"note": "x"})
        with self.assertRaisesRegex(Fatal, "returns no column `id`, only note"):
            self.tx.one("SELECT", into=Seen)
        self.db.answer("SELECT", {"n": "x"})
        with self.assertRaisesRegex(Fatal, r"column `n`: Text\('x'\) does not fit int"):
            self.tx.scalar("SELECT", into=int)

    def test_one_row_is_one_row(self) -> None:
        self.db.answer("SELECT", {"n": 1}, {"n": 2})
        with self.assertRaises(Fatal) as several:
            self.tx.optional("SELECT n FROM seen")
        self.assertEqual(
            several.exception.message, "2 rows where one is expected: SELECT n FROM seen"
        )
        with self.assertRaises(Fatal) as none:
            self.tx.one("SELECT n FROM seen")
        self.assertEqual(none.exception.message, "no row where one is expected: SELECT n FROM seen")
        self.assertIsNone(self.tx.optional("SELECT n FROM seen"))


class Parameters(unittest.TestCase):
    def test_one_that_is_none_names_its_place(self) -> None:
        tx = Tx(RecordingTx())
        with self.assertRaisesRegex(
            TypeError, r"parameter \$2: a object is no parameter"
        ) as caught:
            tx.run(INSERT, 1, object())
        self.assertIn(INSERT, str(caught.exception))

    def test_percent_signs_are_no_places(self) -> None:
        tx = Tx(RecordingTx())
        with self.assertRaisesRegex(Fatal, r"parameters are \$1, \$2, … and not %s"):
            tx.run("INSERT INTO seen VALUES (%s)", 1)
        tx.run("INSERT INTO seen SELECT $1 WHERE 'a' LIKE '%s'", 1)


if __name__ == "__main__":
    unittest.main()
