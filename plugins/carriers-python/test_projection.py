"""The logic alone."""

import unittest

from eventfabric import Failure
from eventfabric.testing import RecordingTx, event, run
from projection import projection


class Carriers(unittest.TestCase):
    def test_a_batch_is_one_upsert_a_carrier_in_the_order_of_the_keys(self) -> None:
        db = RecordingTx()
        run(
            projection,
            db,
            event("FlightDeparted", {"carrier": "UA", "flight": 1545}),
            event("FlightCancelled", {"carrier": "AA"}),
            event("FlightArrived", {"carrier": "UA", "arr_delay": -12}),
            event("FlightDeparted", {"carrier": "UA"}),
            event("FlightArrived", {"carrier": "UA", "arr_delay": 40}),
            event("FlightDiverted", {"carrier": "UA"}),
        )
        self.assertEqual(
            db.calls_of("INSERT INTO carriers"), [("AA", 0, 0, 0, 1, 0), ("UA", 2, 2, 1, 0, 28)]
        )
        self.assertEqual(db.round_trips, 1)

    def test_an_arrival_without_a_delay_is_poison_and_named(self) -> None:
        db = RecordingTx()
        with self.assertRaisesRegex(Failure, "missing field `arr_delay`") as caught:
            run(
                projection,
                db,
                event("FlightDeparted", {"carrier": "UA"}),
                event("FlightArrived", {"carrier": "UA"}),
            )
        self.assertEqual((caught.exception.kind, caught.exception.index), ("poison", 1))
        self.assertEqual(db.round_trips, 0)


if __name__ == "__main__":
    unittest.main()
