import unittest
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NewType
from uuid import UUID

from eventfabric._decode import Misfit, decoder, needs_decimals

Cents = NewType("Cents", int)


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


@dataclass
class Line:
    price: Decimal
    size: Size = Size.SMALL
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    id: UUID
    placed: datetime
    due: date | None
    lines: list[Line]
    by_name: dict[str, Cents]
    kind: Literal["new", 1]
    gift: bool = False
    weight: float = field(default=0.0, metadata={"name": "weightKg"})
    parent: "Order | None" = None
    pair: tuple[int, str] = (0, "")
    rest: Any = None


ORDER: dict[str, Any] = {
    "id": "0189f8a4-7b1c-7def-8123-456789abcdef",
    "placed": "2013-01-01T05:15:00.25-05:00",
    "due": None,
    "lines": [{"price": Decimal("12.50"), "size": "L", "tags": ["a"]}, {"price": "7"}],
    "by_name": {"a": 2**53 + 1},
    "kind": 1,
    "weightKg": 2,
    "pair": [1, "x"],
    "rest": {"x": [Decimal("0.5")]},
    "type": "Order",
}


class Objects(unittest.TestCase):
    def test_types_are_made_of_their_hints(self) -> None:
        order = decoder(Order)({**ORDER, "parent": {**ORDER, "due": "2013-02-28"}})
        self.assertEqual(order.id, UUID(ORDER["id"]))
        self.assertEqual(order.placed, datetime(2013, 1, 1, 10, 15, 0, 250000, timezone.utc))
        self.assertEqual(order.lines[0], Line(Decimal("12.50"), Size.LARGE, ["a"]))
        self.assertEqual(order.lines[1], Line(Decimal(7)))
        self.assertEqual(order.by_name, {"a": 9007199254740993})
        self.assertEqual(
            (order.kind, order.gift, order.weight, order.pair), (1, False, 2.0, (1, "x"))
        )
        self.assertEqual(order.rest, {"x": [0.5]})
        self.assertIs(type(order.rest["x"][0]), float)
        self.assertEqual(order.parent.due, date(2013, 2, 28))

    def test_what_is_missing_or_wrong_is_named_with_its_path(self) -> None:
        for change, words in (
            ({"id": "x"}, "field `id`: expected a UUID, got 'x'"),
            ({"placed": "2013-01-01T05:15:00"}, "field `placed`: expected a time such as"),
            ({"placed": "2013-02-30T05:15:00Z"}, "field `placed`: expected a time such as"),
            ({"due": "2013-02-30"}, "field `due`: expected a day such as"),
            ({"lines": {}}, "field `lines`: expected a list, got {}"),
            ({"lines": [{"price": 1}, {}]}, "missing field `lines[1].price`"),
            (
                {"lines": [{"price": "x"}]},
                "field `lines[0].price`: expected a decimal number, got 'x'",
            ),
            (
                {"lines": [{"price": 1, "size": "M"}]},
                "field `lines[0].size`: expected 'S' or 'L', got 'M'",
            ),
            ({"by_name": {"a": 1.5}}, "field `by_name.a`: expected an integer, got 1.5"),
            ({"by_name": {"a": True}}, "field `by_name.a`: expected an integer, got True"),
            ({"kind": "old"}, "field `kind`: expected 'new' or 1, got 'old'"),
            ({"kind": True}, "field `kind`: expected 'new' or 1, got True"),
            ({"gift": None}, "field `gift`: expected true or false, got null"),
            ({"pair": [1]}, "field `pair`: expected a list of 2, got [1]"),
            ({"parent": {}}, "missing field `parent.id`"),
            ({"weightKg": "1"}, "field `weightKg`: expected a number, got '1'"),
        ):
            with self.subTest(change=change), self.assertRaises(Misfit) as caught:
                decoder(Order)({**ORDER, **change})
            self.assertTrue(str(caught.exception).startswith(words), str(caught.exception))
        with self.assertRaisesRegex(Misfit, r"expected an object, got \[\]"):
            decoder(Order)([])

    def test_a_union_takes_the_first_that_fits(self) -> None:
        decode = decoder(int | str | None)
        self.assertEqual([decode(1), decode("a"), decode(None)], [1, "a", None])
        with self.assertRaisesRegex(Misfit, "expected int or str or NoneType, got 1.5"):
            decode(1.5)

    def test_a_type_that_json_has_none_for_is_refused_when_it_is_registered(self) -> None:
        @dataclass
        class Bad:
            raw: bytes

        with self.assertRaisesRegex(TypeError, "Bad.raw: bytes can't be read from JSON"):
            decoder(Bad)

    def test_numbers_are_read_as_decimals_where_a_decimal_is_anywhere(self) -> None:
        self.assertTrue(needs_decimals(Order))
        self.assertTrue(needs_decimals(dict[str, Decimal | None]))
        self.assertFalse(needs_decimals(dict))


if __name__ == "__main__":
    unittest.main()
