"""The logic alone, in milliseconds. Whether the SQL is right is what `scenarios` are for."""

import unittest

from projection import projection

from eventfabric.testing import RecordingTx, event, run


class Accounts(unittest.TestCase):
    def test_an_account_begins_with_nothing(self) -> None:
        db = RecordingTx()
        run(projection, db, event("AccountOpened", {"owner": "Ada"}))
        self.assertEqual(db.calls_of("INSERT INTO accounts"), [("1", "Ada")])


if __name__ == "__main__":
    unittest.main()
