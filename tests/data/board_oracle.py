#!/usr/bin/env python3
"""The departures board that the events of a file add up to, as CSV: what a projection of them must
give. It is computed from the whole file at once, without any order of handling, so that it shares no
code and no idea with a projection.

    board_oracle.py flights-2013-01-week1.ndjson.gz > flights-2013-01-week1.board.csv

One row a flight. Its key is (scheduled, carrier, flight, origin): with --check, every key is shown
to stand for one flight only. Empty fields are NULLs. Rows are sorted by key.
"""
import argparse, collections, gzip, json, sys

KINDS = {"FlightDeparted": "departed", "FlightArrived": "arrived",
         "FlightDiverted": "diverted", "FlightCancelled": "cancelled"}
COLUMNS = ["scheduled", "carrier", "flight", "origin", "dest", "aircraft", "status", "dep_delay", "arr_delay"]


def load(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def key(event):
    p = event["payload"]
    return p["scheduled"], p["carrier"], p["flight"], p["origin"]


def board(events):
    flights = collections.defaultdict(dict)
    for e in events:
        kinds = flights[key(e)]
        if e["type"] in kinds:
            sys.exit(f"two events {e['type']} of the flight {key(e)}")
        kinds[e["type"]] = e
    for k in sorted(flights):
        kinds = flights[k]
        last = next(t for t in ("FlightCancelled", "FlightArrived", "FlightDiverted", "FlightDeparted") if t in kinds)
        any_event = kinds[last]
        departed, arrived = kinds.get("FlightDeparted"), kinds.get("FlightArrived")
        yield [*k, any_event["payload"]["dest"], any_event["id"], KINDS[last],
               departed["payload"]["dep_delay"] if departed else "",
               arrived["payload"]["arr_delay"] if arrived else ""]


def check(events):
    """Shows which sets of fields name a flight and which do not."""
    firsts = [e for e in events if e["type"] in ("FlightDeparted", "FlightCancelled")]
    candidates = {
        "scheduled, carrier, flight, origin": key,
        "scheduled, carrier, flight": lambda e: key(e)[:3],
        "scheduled, carrier, origin": lambda e: (key(e)[0], key(e)[1], key(e)[3]),
        "day, carrier, flight, origin": lambda e: (key(e)[0][:10], *key(e)[1:]),
        "day, carrier, flight": lambda e: (key(e)[0][:10], *key(e)[1:3]),
        "scheduled, aircraft": lambda e: (key(e)[0], e["id"]),
    }
    print(f"{len(firsts)} flights, {len(events)} events")
    for name, of in candidates.items():
        counts = collections.Counter(map(of, firsts))
        twice = {k: n for k, n in counts.items() if n > 1}
        print(f"({name}): {'unique' if not twice else f'{len(twice)} keys stand for {sum(twice.values())} flights'}"
              + (f", for example {next(iter(twice))}" if twice else ""))
    started = {(key(e), e["id"]) for e in firsts}
    stray = [e for e in events if (key(e), e["id"]) not in started]
    print(f"events of a flight that never departed nor was cancelled under the same aircraft: {len(stray)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    events = load(a.file)
    if a.check:
        return check(events)
    print(",".join(COLUMNS))
    for row in board(events):
        print(",".join(map(str, row)))


if __name__ == "__main__":
    main()
