"""The sum of work in a run, beside which the time it took says how much of it went on at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ._branches import Part

Interval = tuple[float, float]


def work_of(parts: Collection[Part]) -> float:
    """Return the seconds of work that *parts* did themselves, each second of each part counted once.

    - An LM call worked from when the model was asked until the attempt ended; its wait for a place is no work.
    - A dependency worked while it was under way and nothing inside it was: neither a graph run, nor an LM call, nor
      the wait for one. So one that only waits for an inner run adds nothing to what the run's own parts did, and a node
      that the LM fills nothing to the call.
    - A visit worked, in the same sense, if the code of its body said what follows.
    - Graphs run inside, other visits, and the closing of resources are not counted.
    """
    inner: dict[str, list[Interval]] = {}
    for part in parts:
        place = part.key if part.kind != "node" else ""
        while place := place.rpartition("/")[0]:
            inner.setdefault(place, []).append(_span(part))
    return sum(_own_seconds(part, inner.get(part.place, ())) for part in parts)


def _own_seconds(part: Part, inner: Iterable[Interval]) -> float:
    if part.kind == "lm":
        return part.seconds
    if part.kind == "run" or (part.kind == "node" and not part.is_code):
        return 0.0
    began = part.began or 0.0
    return part.seconds - _covered(inner, began, began + part.seconds)


def _span(part: Part) -> Interval:
    began = part.began or 0.0
    return began - part.waited, began + part.seconds


def _covered(spans: Iterable[Interval], began: float, ended: float) -> float:
    """Return how many of the seconds from *began* to *ended* are in any of *spans*."""
    covered, reached = 0.0, began
    for start, end in sorted(spans):
        covered += max(min(end, ended) - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered
