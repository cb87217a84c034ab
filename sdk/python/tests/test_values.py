import unittest
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from eventfabric import Json, Other, typed
from eventfabric import _contract as c
from eventfabric._decode import Misfit, reader
from eventfabric._values import natural, to_value

ID = UUID("0189f8a4-7b1c-7def-8123-456789abcdef")


class Mood(Enum):
    GOOD = "good"


@dataclass
class Point:
    x: int
    y: Decimal


class Parameters(unittest.TestCase):
    def test_each_type_has_its_own(self) -> None:
        for value, want in (
            (None, c.Null()),
            (True, c.Boolean(True)),
            (2**53 + 1, c.Int64(9007199254740993)),
            (-(2**63), c.Int64(-9223372036854775808)),
            (2**63, c.Numeric("9223372036854775808")),
            (0.1, c.Float64(0.1)),
            (Decimal("-12.50"), c.Numeric("-12.50")),
            (Decimal("NaN"), c.Numeric("NaN")),
            (Decimal("Infinity"), c.Numeric("Infinity")),
            ("ä", c.Text("ä")),
            (b"\x00", c.Bytes(b"\x00")),
            (bytearray(b"a"), c.Bytes(b"a")),
            (ID, c.Uuid(str(ID))),
            (datetime(1969, 12, 31, 23, 59, 59, 999999, timezone.utc), c.Timestamptz(-1)),
            (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), c.Timestamptz(0)),
            (date(1969, 12, 31), c.Date(-1)),
            (timedelta(-1, 5, 7), c.OtherText(("interval", "-1 days 5.000007 seconds"))),
            ({"a": [1, None]}, c.JsonText('{"a": [1, null]}')),
            (Json(Point(1, Decimal("1.50"))), c.JsonText('{"x": 1, "y": "1.50"}')),
            (Other("1 day", "interval"), c.OtherText(("interval", "1 day"))),
            (Mood.GOOD, c.Text("good")),
            (typed("smallint", 5), c.Int16(5)),
        ):
            with self.subTest(value=value):
                self.assertEqual(to_value(value), want)

    def test_arrays_keep_their_type_and_their_nulls(self) -> None:
        for value, want in (
            ([1, None], c.Int64Array([1, None])),
            ((True, False), c.BoolArray([True, False])),
            (["a"], c.TextArray(["a"])),
            ([b"a", None], c.BytesArray([b"a", None])),
            ([ID], c.UuidArray([str(ID)])),
            ([date(1970, 1, 2)], c.DateArray([1])),
            ([Json(1)], c.JsonArray(["1"])),
            ([], c.TextArray([])),
            ([None], c.TextArray([None])),
            ([1, 0.5], c.Float64Array([1.0, 0.5])),
            ([1, Decimal("0.5"), 2**64], c.NumericArray(["1", "0.5", "18446744073709551616"])),
            (typed("real[]", [0.5, None]), c.Float32Array([0.5, None])),
        ):
            with self.subTest(value=value):
                self.assertEqual(to_value(value), want)

    def test_what_is_no_parameter_says_why(self) -> None:
        for value, words in (
            (datetime(2020, 1, 1), "has no time zone"),
            (Point(1, Decimal(2)), r"wrap it in Json\(…\)"),
            ({1}, "a set is no parameter"),
            ([[1]], r"no array can hold these items: \[\[1\]\]"),
            ([1, "a"], "this has Int64 and Text"),
            ("\ud800", "surrogates not allowed"),
            (Decimal("sNaN"), "signalling"),
        ):
            with self.subTest(value=value), self.assertRaisesRegex((TypeError, ValueError), words):
                to_value(value)

    def test_typed_values_are_checked(self) -> None:
        for name, value, words in (
            ("smallint", 40_000, "40000 is no smallint: out of its range"),
            ("integer", True, "not an int"),
            ("real", 1e39, "too large"),
            ("timestamptz", "2020", "not a datetime"),
            ("uuid", "x", "badly formed"),
            ("bigint[]", ["1"], "not an int"),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(ValueError, words):
                typed(name, value)
        self.assertEqual(typed("mood", "good"), c.OtherText(("mood", "good")))
        self.assertEqual(typed("mood[]", ["good", None]), c.TextArray(["good", None]))
        self.assertEqual(typed("real", float("inf")), c.Float32(float("inf")))
        self.assertEqual(typed("bigint", None), c.Null())


class Columns(unittest.TestCase):
    def test_what_was_written_is_read(self) -> None:
        for value in (
            None,
            True,
            -(2**63),
            0.1,
            Decimal("1.500"),
            "",
            b"",
            ID,
            datetime(1883, 11, 18, 17, 0, 0, 1, timezone.utc),
            datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc),
            date(1, 1, 1),
            {"a": 9007199254740993},
            Other("x", "mood"),
            [Decimal("1.5"), None],
            [ID, None],
            [datetime(1969, 1, 1, tzinfo=timezone.utc), None],
            [date(1969, 1, 1), None],
        ):
            with self.subTest(value=value):
                self.assertEqual(natural(to_value(value)), value)
        self.assertEqual(natural(c.OtherText(("mood", "good"))).type_name, "mood")

    def test_a_type_takes_what_it_holds(self) -> None:
        for hint, value, want in (
            (int, c.Int16(-3), -3),
            (int, c.Numeric("9007199254740993"), 9007199254740993),
            (int | None, c.Null(), None),
            (float, c.Float32(0.5), 0.5),
            (Decimal, c.Numeric("1.50"), Decimal("1.50")),
            (Decimal, c.Int64(7), Decimal(7)),
            (str, c.OtherText(("mood", "good")), "good"),
            (Mood, c.OtherText(("mood", "good")), Mood.GOOD),
            (Json, c.JsonText('{"a": 1.10}'), Json.of_text('{"a": 1.10}')),
            (Point, c.JsonText('{"x": 1, "y": "2.50"}'), Point(1, Decimal("2.50"))),
            (list[int | None], c.Int32Array([1, None]), [1, None]),
            (list[Json], c.JsonArray(["1"]), [Json(1)]),
            (Any, c.Numeric("1"), Decimal(1)),
        ):
            with self.subTest(hint=hint):
                self.assertEqual(reader(hint)(value), want)

    def test_what_does_not_fit_says_so(self) -> None:
        for hint, value, words in (
            (int, c.Numeric("12.5"), r"Numeric\('12.5'\) does not fit int"),
            (int, c.Numeric("NaN"), "does not fit int"),
            (str, c.Null(), r"NULL does not fit str \(use str \| None\)"),
            (str, c.Int64(1), "does not fit str"),
            (list[int], c.Int64Array([None]), "NULL does not fit int"),
            (Mood, c.Text("bad"), "expected 'good', got 'bad'"),
            (datetime, c.Timestamptz(2**62), r"years 1 to 9999.*column::text"),
            (date, c.Date(-(2**31)), "years 1 to 9999"),
        ):
            with (
                self.subTest(hint=hint, value=value),
                self.assertRaisesRegex((Misfit, OverflowError), words),
            ):
                reader(hint)(value)


if __name__ == "__main__":
    unittest.main()
