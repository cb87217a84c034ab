"""How many flights each carrier had, by outcome, and the minutes of delay in sum.

Sums do not depend on the order of events, so this projection is asynchronous. There are few
carriers, and every batch meets the same ones: so a batch is summed up here first, and each carrier
is written once, in the order of the keys. Workers on different batches then wait for each other,
but never in a circle.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from eventfabric import Event, Projection, Tx

projection = Projection(
    "carriers",
    text="Flights of each carrier by outcome, and their minutes of delay",
    mode="async",
    migrations="migrations",
)

UPSERT = """
    INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (carrier) DO UPDATE SET
        departed = c.departed + EXCLUDED.departed,
        arrived = c.arrived + EXCLUDED.arrived,
        diverted = c.diverted + EXCLUDED.diverted,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes"""


@dataclass
class Flight:
    """What a flight of any carrier does; `carrier` is the two-letter code of the airline."""

    carrier: str


class FlightDeparted(Flight):
    """It left the gate."""


@dataclass
class FlightArrived(Flight):
    """It landed where it should."""

    #: Minutes after the scheduled arrival; negative when early.
    arr_delay: int


class FlightDiverted(Flight):
    """It landed elsewhere, or nobody knows."""


class FlightCancelled(Flight):
    """It never left."""


@dataclass
class Sums:
    """The sums of one carrier over a batch."""

    departed: int = 0
    arrived: int = 0
    diverted: int = 0
    cancelled: int = 0
    arr_delay_minutes: int = 0


@projection.batch(FlightDeparted, FlightArrived, FlightDiverted, FlightCancelled)
def count(events: Sequence[Event[Flight]], tx: Tx) -> None:
    carriers: defaultdict[str, Sums] = defaultdict(Sums)
    for event in events:
        sums = carriers[event.data.carrier]
        match event.data:
            case FlightDeparted():
                sums.departed += 1
            case FlightArrived(arr_delay=minutes):
                sums.arrived += 1
                sums.arr_delay_minutes += minutes
            case FlightDiverted():
                sums.diverted += 1
            case FlightCancelled():
                sums.cancelled += 1
    for carrier, sums in sorted(carriers.items()):
        tx.run(
            UPSERT,
            carrier,
            sums.departed,
            sums.arrived,
            sums.diverted,
            sums.cancelled,
            sums.arr_delay_minutes,
        )
