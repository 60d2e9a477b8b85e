"""Other dates and times than the one at hand: those that code compares with, earlier ones and later ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import date, datetime, time

from ._constants import Constants

_FAR = (date(1900, 1, 1), date(2999, 12, 31))
_YEARS = range(1900, 2201)
_MOST_DAYS = 30  # made of a year, a month and a day that the code names
_LONG_AGO = 4000  # in days
_USUAL = "2025-06-01"


def moments(kind: str, now: object, constants: Constants) -> Iterator[str]:
    """Yield other texts of the format *kind*, in the time zone of what stands there."""
    text = now if isinstance(now, str) else ""
    zone = re.search(r"(?:[Zz]|[+-]\d\d:?\d\d)$", text) if kind != "date" else None
    written = text or ("12:00:00" if kind == "time" else _USUAL)
    numbers = [int(each) for each in constants.numbers if each == int(each)]
    times = [each.isoformat("seconds") for each in _times(constants, numbers)]
    if kind == "time":
        found = times
    else:
        today = _day(written[:10]) or date.fromisoformat(_USUAL)
        days = [each.isoformat() for each in _days(today, constants, numbers)]
        exact = [each.isoformat()[:19] for each in constants.moments if isinstance(each, datetime)]
        clocks = [f"{today}T{each}" for each in times]
        found = days if kind == "date" else [*exact, *(f"{each}T00:00:00" for each in days), *clocks]
    yield from (f"{each}{zone[0] if zone else ''}" for each in found)


def _days(now: date, constants: Constants, numbers: list[int]) -> Iterator[date]:
    """Yield days before and after all that the code names, those days, those beside them, and those around *now*."""
    years = [each for each in numbers if each in _YEARS]
    if years:
        yield from (date(max(years) + 1, 1, 1), date(min(years) - 1, 1, 1))
    objects = [each for each in constants.moments if isinstance(each, date)]
    known = [date(each.year, each.month, each.day) for each in objects]
    texts = [day for day in map(_day, constants.texts) if day]
    triples = itertools.product(years, numbers, numbers)
    made = itertools.islice((day for each in triples if (day := _day("{:04}-{:02}-{:02}".format(*each)))), _MOST_DAYS)
    named = list(dict.fromkeys([*known, *texts, *made]))
    yield from named
    yield from _FAR
    yield from (_shifted(day, step) for day in named for step in (1, -1))
    near = [each for each in numbers if abs(each) < _LONG_AGO]
    yield from (
        _shifted(day, way * (each + step)) for day in known for each in near for way in (1, -1) for step in (1, 0)
    )
    yield from (_shifted(now, step) for step in range(1, 7))
    yield from (date(now.year, each, 1) for each in numbers if each in range(1, 13))


def _times(constants: Constants, numbers: list[int]) -> Iterator[time]:
    known = [each for each in constants.moments if isinstance(each, time)]
    yield from (each.replace(tzinfo=None) for each in known)
    hours = [each + step for each in [*numbers, *(each.hour for each in known)] for step in (0, 1, -1)]
    yield from (time(each) for each in hours if each in range(24))
    yield from (time(0), time(23, 59, 59), time(12))


def _day(text: str) -> date | None:
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)(?:[T ].*)?", text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:  # as the 31st of June
        return None


def _shifted(day: date, days: int) -> date:
    return date.fromordinal(max(date.min.toordinal(), min(day.toordinal() + days, date.max.toordinal())))
