"""What must be reached, as ratios measured in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .results import Results


@dataclass(frozen=True)
class Goal:
    """A bound for what a run finds; `found` is None where it was not measured."""

    text: str
    bound: float
    found: Callable[[Results], float | None]
    is_least: bool = False

    def is_reached(self, found: float) -> bool:
        """Return whether *found* keeps the bound."""
        return found >= self.bound if self.is_least else found <= self.bound

    @property
    def bounded(self) -> str:
        """The bound in words."""
        return f"{'≥' if self.is_least else '≤'} {self.bound:g}"


def _growth(results: Results) -> float | None:
    found = results.growth("noop", "weft")
    return found[0] if found and found[2] >= 100_000 else None


def _prefetched(results: Results) -> float | None:
    found = [results.over_critical_path(f"outfit, {mode}", "weft") for mode in ("certain", "candidates", "both")]
    return max((each for each in found if each is not None), default=None)


def _calls_saved(results: Results) -> float | None:
    two, one = (results.entry(f"routes, {way}", "weft") for way in ("two calls each", "one call each"))
    size = results.main_size("routes, one call each")
    if two is None or one is None or not size or two.figure is None or one.figure is None:
        return None
    return (two.calls[1] - one.calls[1]) / size


def _both_over_neither(results: Results) -> float | None:
    both, neither = results.figure("outfit, both", "weft"), results.figure("outfit, off", "weft")
    return None if both is None or neither is None else both / neither


GOALS = (
    Goal("chain: µs CPU per LM-filled node", 10, lambda it: it.figure("chain", "weft")),
    Goal("100 dependencies of 10 ms: makespan over plain's", 1.05, lambda it: it.ratio("wide", "weft")),
    Goal("ragged graph: makespan over its critical path", 1.03, lambda it: it.over_critical_path("ragged", "weft")),
    Goal("10,000 no-op dependencies: CPU over plain eager tasks'", 2.5, lambda it: it.ratio("noop", "weft")),
    Goal("no-op dependencies: growth exponent, 100 to 100,000", 1.1, _growth),
    Goal("1,000 runs at once: runs/s over plain's", 0.65, lambda it: it.ratio("runs", "weft"), is_least=True),
    Goal("blocking dependencies in threads: makespan over an own pool's", 1.2, lambda it: it.ratio("blocking", "weft")),
    Goal("failure: ms until raised, sibling cancelled and awaited", 8, lambda it: it.figure("failing", "weft")),
    Goal("import: CPU over that of pydantic and asyncio", 1.25, lambda it: it.ratio("import", "weft")),
    Goal("outfit of the day, with prefetch: makespan over its critical path", 1.03, _prefetched),
    Goal("one-call routing: calls saved per route", 1, _calls_saved, is_least=True),
    Goal("outfit of the day: prefetch and one-call routing over neither", 0.8, _both_over_neither),
)
