"""Points in time and days as the contract and JSON have them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)


def to_micros(time: datetime) -> int:
    """Microseconds since 1970. A time without a zone is refused: nobody knows when it was."""
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone: give it one, such as timezone.utc")
    return (time - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The time in UTC. Python has the years 1 to 9999, PostgreSQL has more."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise OverflowError(
            f"the time {micros} µs from 1970 is outside of the years 1 to 9999, which a datetime "
            "can hold: read it as text (`column::text`)"
        ) from None


def to_days(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - EPOCH_DAY


def from_days(days: int) -> date:
    """The day. Python has the years 1 to 9999, PostgreSQL has more."""
    try:
        return date.fromordinal(days + EPOCH_DAY)
    except (OverflowError, ValueError):
        raise OverflowError(
            f"the day {days} days from 1970 is outside of the years 1 to 9999, which a date can "
            "hold: read it as text (`column::text`)"
        ) from None


def parse_time(text: str) -> datetime | None:
    """A time such as `2013-01-01T05:15:00.25-05:00`, in UTC; none where it is something else.

    Digits past the microsecond are cut off, as PostgreSQL can't hold them.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    fraction = int(f"{match[7] or '':0<6.6}")
    year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
    try:
        time = datetime(year, month, day, hour, minute, second, fraction, timezone.utc)
        if match[8]:
            offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
            time = time - offset if match[8] == "+" else time + offset
    except (ValueError, OverflowError):
        return None
    return time


def parse_day(text: str) -> date | None:
    """A day such as `2013-01-01`; none where it is something else."""
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
