"""What a run has found: every figure of every round, and what follows from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .workloads import BY_NAME, Workload, critical_path


@dataclass
class Entry:
    """What a contender gave for a workload of some size: a figure for each round, or why there is none."""

    figures: list[float] = field(default_factory=list[float])
    value: Any = None
    calls: tuple[int, int] = (0, 0)
    resident: float | None = None
    absent: str = ""
    failed: str = ""

    @property
    def figure(self) -> float | None:
        """The median of the rounds."""
        return statistics.median(self.figures) if self.figures and not self.failed else None

    def as_json(self, workload: Workload, size: int) -> dict[str, Any]:
        """Return the entry in the workload's unit."""
        if self.failed or self.absent:
            return {"failed": self.failed} if self.failed else {"absent": self.absent}
        rounds = [round(workload.shown(each, size), 4) for each in self.figures]
        found: dict[str, Any] = {"median": statistics.median(rounds), "rounds": rounds, "calls": list(self.calls)}
        if workload.measure == "failing":
            found["sibling"] = self.value
        if self.resident is not None:
            found["resident"] = round(self.resident / 1024, 2)
        return found


class Results:
    """Entries by workload, size and contender."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], dict[str, Entry]] = {}

    def at(self, workload: Workload, size: int) -> dict[str, Entry]:
        """Return the entries of a workload at a size, to be filled."""
        return self.entries.setdefault((workload.name, size), {})

    def sizes(self, name: str) -> list[int]:
        """Return the sizes at which a workload was done, smallest first."""
        return sorted(size for each, size in self.entries if each == name)

    def main_size(self, name: str) -> int | None:
        """Return the size that tables show: the one that the workload names first, or the only one."""
        sizes = self.sizes(name)
        first = BY_NAME[name].sizes[0]
        return first if first in sizes else sizes[-1] if sizes else None

    def entry(self, name: str, contender: str, size: int | None = None) -> Entry | None:
        """Return a contender's entry, at the size that tables show."""
        size = self.main_size(name) if size is None else size
        return None if size is None else self.entries.get((name, size), {}).get(contender)

    def figure(self, name: str, contender: str) -> float | None:
        """Return a contender's median in the workload's unit."""
        entry, size = self.entry(name, contender), self.main_size(name)
        if entry is None or entry.figure is None or size is None:
            return None
        return BY_NAME[name].shown(entry.figure, size)

    def ratio(self, name: str, contender: str, to: str = "plain") -> float | None:
        """Return how a contender's figure relates to another's: the median over rounds, which go side by side."""
        entry, other = self.entry(name, contender), self.entry(name, to)
        if entry is None or other is None or entry.figure is None or other.figure is None:
            return None
        return statistics.median(a / b for a, b in zip(entry.figures, other.figures, strict=False))

    def over_critical_path(self, name: str, contender: str) -> float | None:
        """Return a contender's makespan over the longest way through the work."""
        entry, size = self.entry(name, contender), self.main_size(name)
        if entry is None or entry.figure is None or size is None:
            return None
        path = critical_path(BY_NAME[name], size)
        return entry.figure / path if path else None

    def growth(self, name: str, contender: str) -> tuple[float, int, int] | None:
        """Return the exponent at which a figure grows with the size, and the sizes: 1 is in proportion.

        It is the slope of the line through the logarithms, by least squares.
        """
        points = [
            (math.log(size), math.log(entry.figure))
            for size in self.sizes(name)
            if (entry := self.entry(name, contender, size)) is not None and entry.figure
        ]
        if len(points) < 2:
            return None
        slope = statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
        return slope, round(math.exp(points[0][0])), round(math.exp(points[-1][0]))

    def failures(self) -> list[str]:
        """Return every contender's failure, one text each."""
        return [
            f"{contender}: {name}, {size:,}: {entry.failed}"
            for (name, size), entries in self.entries.items()
            for contender, entry in entries.items()
            if entry.failed
        ]

    def as_json(self) -> Mapping[str, Any]:
        """Return every figure in its workload's unit, by workload, size and contender."""
        found: dict[str, Any] = {}
        for (name, size), entries in self.entries.items():
            workload, path = BY_NAME[name], critical_path(BY_NAME[name], size)
            about = {"title": workload.title, "unit": workload.unit, "shown": self.main_size(name), "sizes": {}}
            each = {contender: entry.as_json(workload, size) for contender, entry in entries.items()}
            at_size: dict[str, Any] = {"contenders": each}
            if path is not None:
                at_size["critical_path"] = round(workload.shown(path, size), 4)
            found.setdefault(name, about)["sizes"][str(size)] = at_size
        return found
