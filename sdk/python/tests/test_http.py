import contextlib
import io
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventfabric import Event, Failure, Poison, Projection, Tx, http
from eventfabric.testing import RecordingTx, Request, Server, event, run

URL = "https://hooks.example.com/orders"


@dataclass
class Order:
    id: int
    price: Decimal


class Outgoing(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server()

    def handled(self, handler: Callable[[Event[Any]], Any]) -> Failure | None:
        """Has the second of two events handled, and tells the failure."""

        def placed(event: Event[Any], tx: Tx) -> None:
            handler(event)

        projection = Projection("hooks")
        projection.on("Placed")(placed)
        try:
            with self.server, contextlib.redirect_stderr(io.StringIO()):
                run(projection, RecordingTx(), event("Other"), event("Placed"))
        except Failure as failure:
            return failure
        return None

    def test_a_request_has_a_method_headers_a_body_and_a_timeout(self) -> None:
        def sends(event: Event[Any]) -> None:
            order = Order(2**60, Decimal("0.10"))
            http.post(event, URL, json=order, headers={"X-Key": "k"}, timeout=1.5)
            http.put(event, URL, body="tëxt")
            http.patch(event, URL, json=[], headers={"Content-Type": "application/json-patch+json"})
            http.request(event, "DELETE", URL, body=b"\xff")

        self.assertIsNone(self.handled(sends))
        first, *rest = self.server.requests
        json_type = {"x-key": "k", "content-type": "application/json"}
        self.assertEqual((first.method, first.url, first.headers), ("POST", URL, json_type))
        self.assertEqual((first.json(), first.timeout), ({"id": 2**60, "price": "0.10"}, 1.5))
        patched = {"content-type": "application/json-patch+json"}
        self.assertEqual(
            rest,
            [
                Request("PUT", URL, {}, "tëxt".encode(), None),
                Request("PATCH", URL, patched, b"[]", None),
                Request("DELETE", URL, {}, b"\xff", None),
            ],
        )

    def test_an_answer_is_read(self) -> None:
        self.server.answer(201, {"id": 2**60, "price": "0.10"}, {"X-Id": "5"})

        def reads(event: Event[Any]) -> None:
            answer = http.get(event, URL).raise_for_status()
            self.assertEqual((answer.status, answer.ok, answer.headers["x-id"]), (201, True, "5"))
            self.assertEqual(answer.json(), {"id": 2**60, "price": "0.10"})
            self.assertEqual(answer.json(into=Order), Order(2**60, Decimal("0.10")))

        self.assertIsNone(self.handled(reads))
        for body, words in (
            ('{"id":', "the answer (200) can't be read: Expecting value"),
            ({"id": "x"}, "the answer (200) can't be read: field `id`: expected an integer"),
        ):
            self.server.answer(200, body)
            failure = self.handled(lambda event: http.get(event, URL).json(into=Order))
            self.assertIsInstance(failure, Poison)
            self.assertIn(words, str(failure))

    def test_a_status_says_whether_it_is_worth_another_try(self) -> None:
        for status, kind in (
            (204, None),
            (301, "poison"),
            (400, "poison"),
            (404, "poison"),
            (408, "retry"),
            (425, "retry"),
            (429, "retry"),
            (500, "retry"),
            (503, "retry"),
        ):
            self.server.answer(status)
            failure = self.handled(lambda event: http.get(event, URL).raise_for_status())
            self.assertEqual(failure and failure.kind, kind, status)
        self.server.answer(429, "slow down " + "x" * 300, {"Retry-After": "30"})
        failure = self.handled(lambda event: http.get(event, URL).raise_for_status())
        said = "the server answered 429, retry-after: 30: slow down " + "x" * 190
        self.assertEqual((failure and failure.message, failure and failure.index), (said, 1))

    def test_what_has_no_answer_is_worth_another_try_where_it_can_pass(self) -> None:
        for reason, kind in (
            ("timeout", "retry"),
            ("connection", "retry"),
            ("denied", "poison"),
            ("invalid", "poison"),
            ("limit", "poison"),
        ):
            self.server.fail(reason, "so it is")  # type: ignore[arg-type]
            failure = self.handled(lambda event: http.get(event, URL))
            assert isinstance(failure, http.HttpError)
            self.assertEqual((failure.kind, failure.reason, failure.index), (kind, reason, 1))
            self.assertEqual(failure.message, f"{reason}: so it is")

        def catches(event: Event[Any]) -> None:
            with self.assertRaises(http.HttpError):
                http.get(event, URL)

        self.server.fail("timeout")
        self.assertIsNone(self.handled(catches))

    def test_a_request_that_is_not_sound_says_why_and_is_not_sent(self) -> None:
        bad: Any = http.request
        for send, words in (
            (lambda event: bad(event, "TRACE", URL), "the method 'TRACE' is not one of GET, HEAD"),
            (lambda event: http.post(event, URL, json={}, body=""), "json or body, and not both"),
            (lambda event: http.post(event, URL, timeout=0), "a number of seconds, and not 0"),
            (lambda event: http.post(event, URL, data={}), "unexpected keyword argument 'data'"),
        ):
            self.assertIn(words, str(self.handled(send)))
        self.assertEqual(self.server.requests, [])

    def test_without_a_double_nothing_is_sent(self) -> None:
        cause: Any = Event(event("Placed"), 0, {})
        with self.assertRaisesRegex(RuntimeError, r"a test has eventfabric\.testing\.Server"):
            http.get(cause, URL)


if __name__ == "__main__":
    unittest.main()
