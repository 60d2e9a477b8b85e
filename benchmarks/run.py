"""Asks every contender for every workload, in turns, checks what they give, and tells.

Run: make bench
     python -m benchmarks.run --quick          small sizes and two rounds, to see that all is well
     python -m benchmarks.run --check          values and numbers of calls only, no figures
     python -m benchmarks.run --only chain --contenders plain,weft
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console

from . import charts, report
from .processes import IMPORTS, PATIENCE, ROOT, Process, import_seconds, python_of
from .results import Entry, Results
from .workloads import CONTENDERS, WORKLOADS, Workload, faults

RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "_static"
ROUNDS = 7
LONG_ROUNDS = 3  # of what takes seconds by itself, and hardly varies
QUICK_ROUNDS = 2
LONGEST = 30.0  # seconds that the work may take at a bigger size, as those before foretell
LONGEST_MAKING = PATIENCE / 2  # and making it ready, once: the other half is for the work, and for foretelling wrong
ENOUGH = 20.0  # seconds of a workload, after which a slow contender has no further rounds


class Took(NamedTuple):
    """The seconds of a contender's first answer: those of making the work ready, and those of the work."""

    size: int
    making: float
    working: float


class Run:
    """One run of the suite, in the sizes and rounds that were asked for."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.options = options
        self.console = console
        self.results = Results()
        self.pythons = {each: python_of(each) for each in options.contenders}
        self.is_stopped = False
        self._processes: dict[str, Process] = {}
        self._took: dict[tuple[str, str], list[Took]] = {}

    def carry_out(self) -> Results:
        """Do every workload."""
        try:
            for workload in self.options.only:
                for size in self._sizes(workload):
                    self.console.print(f"{workload.name}, {size:,}", style="dim")
                    (self._import if workload.measure == "import" else self._ask)(workload, size)
        except KeyboardInterrupt:
            self.is_stopped = True  # what there is so far is told
        finally:
            self.end()
        return self.results

    def _sizes(self, workload: Workload) -> Sequence[int]:
        if self.options.check:
            return (workload.tiny,)
        return (workload.quick,) if self.options.quick else sorted(workload.sizes)

    def _rounds(self, workload: Workload, size: int) -> int:
        if self.options.check:
            return 1
        is_long = workload.name.startswith("outfit") or size > 10_000
        return self.options.rounds or (QUICK_ROUNDS if self.options.quick else LONG_ROUNDS if is_long else ROUNDS)

    # --- One workload ---

    def _ask(self, workload: Workload, size: int) -> None:
        entries = self.results.at(workload, size)
        spent: dict[str, float] = {}
        for name in self.pythons:
            entries[name] = Entry(absent=self._why_not(workload, size, name))
        try:
            for index in range(self._rounds(workload, size)):
                going_on = [name for name, entry in entries.items() if not entry.absent and not entry.failed]
                for name in _turned(going_on, index):
                    if not index or spent[name] < ENOUGH:
                        taken = self._one(workload, size, name, entries[name])
                        spent[name] = spent.get(name, 0.0) + taken
        finally:
            if not self.options.check:
                self.end()

    def _process(self, name: str) -> Process:
        """Return a contender's process: its own for each workload and size, when they are measured."""
        python = self.pythons[name]
        assert python is not None
        if name not in self._processes:
            self._processes[name] = Process(name, python)
        return self._processes[name]

    def end(self) -> None:
        """End all processes."""
        while self._processes:
            self._processes.popitem()[1].end()

    def _one(self, workload: Workload, size: int, name: str, entry: Entry) -> float:
        """Ask once, keep the answer, and return the seconds it took."""
        answer = self._process(name).ask(workload=workload.name, size=size)
        entry.absent, entry.failed = answer.get("absent", ""), answer.get("failed", "")
        if "figure" in answer:
            entry.failed = "; ".join(faults(workload, size, name, answer))
            entry.figures.append(answer["figure"])
            entry.value, entry.calls, entry.resident = answer["value"], tuple(answer["calls"]), answer["resident"]
            if len(entry.figures) == 1:
                took = Took(size, answer["making"], answer["working"])
                self._took.setdefault((workload.name, name), []).append(took)
        seconds: float = answer.get("seconds", 0.0)
        return seconds

    def _why_not(self, workload: Workload, size: int, name: str) -> str:
        if self.pythons[name] is None:
            return "not installed: make bench"
        took = self._took.get((workload.name, name), [])
        smaller = self.results.entry(workload.name, name, took[-1].size) if took else None
        if smaller is None:
            return ""
        if smaller.absent or smaller.failed:
            return smaller.absent or f"failed at {took[-1].size:,}"
        return too_long(took, size)

    def _import(self, workload: Workload, size: int) -> None:
        entries = self.results.at(workload, size)
        for name in self.pythons:
            entries[name] = Entry(absent=self._why_not(workload, size, name))
        there = {name: python for name, python in self.pythons.items() if python}
        for index in range(self._rounds(workload, size) + 1):
            for name, python in there.items():
                seconds = import_seconds(python, IMPORTS[name])
                if index:  # the first compiles
                    entries[name].figures.append(seconds)


def too_long(took: Sequence[Took], size: int) -> str:
    """Return why *size* is not to be asked for, after what smaller ones *took*, or nothing."""
    making = foretold([(each.size, each.making) for each in took], size)
    working = foretold([(each.size, each.working) for each in took], size)
    if making > LONGEST_MAKING:
        return f"would take {making:.0f} s or more to be made ready"
    return f"would take {working:.0f} s or more" if working > LONGEST else ""


def foretold(took: Sequence[tuple[int, float]], size: int) -> float:
    """Return the least seconds at *size*, after those at smaller sizes: in proportion, or as they grew if faster."""
    *earlier, (before, seconds) = took
    growth = 1.0
    for smaller, fewer in earlier[-1:]:
        growth = max(growth, math.log(seconds / fewer, before / smaller))
    return seconds * (size / before) ** growth


def _turned(names: Sequence[str], turns: int) -> list[str]:
    """Return *names*, each round beginning with another."""
    start = turns % max(1, len(names))
    return [*names[start:], *names[:start]]


# --- From the command line ------------------------------------------------------------------------------------------


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--check", action="store_true", help="tiny sizes, values and numbers of calls only")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--only", type=_workloads, default=WORKLOADS, metavar="NAME,…")
    parser.add_argument("--contenders", type=_contenders, default=CONTENDERS, metavar="NAME,…")
    return parser.parse_args(arguments)


def _workloads(text: str) -> Sequence[Workload]:
    wanted = text.split(",")
    found = [each for each in WORKLOADS if each.name.partition(",")[0] in wanted]
    if {each.name.partition(",")[0] for each in found} != set(wanted):
        raise argparse.ArgumentTypeError(f"workloads are {', '.join(dict.fromkeys(_first_names()))}")
    return found


def _first_names() -> list[str]:
    return [each.name.partition(",")[0] for each in WORKLOADS]


def _contenders(text: str) -> Sequence[str]:
    if unknown := set(text.split(",")) - set(CONTENDERS):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: contenders are {', '.join(CONTENDERS)}")
    return text.split(",")


def main(arguments: Sequence[str]) -> int:
    """Carry out a run and tell what it found; 1 if a contender failed or gave what is wrong."""
    options = parsed(arguments)
    console = Console(width=None if sys.stdout.isatty() else 190, highlight=False)
    run = Run(options, console)
    results = run.carry_out()
    if options.check:
        report.show_checked(console, results, options.contenders)
    else:
        report.show(console, results, options.contenders)
        _keep(results, is_whole=_is_whole(options) and not run.is_stopped)
    failures = results.failures() + ["stopped before the end"] * run.is_stopped
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return int(bool(failures))


def _is_whole(options: argparse.Namespace) -> bool:
    return not options.quick and options.only is WORKLOADS and options.contenders is CONTENDERS


def _keep(results: Results, *, is_whole: bool) -> None:
    """Write what was found; a whole run without failures is also the figures and charts that the pages show."""
    found = report.as_json(results)
    text = json.dumps(found, indent=1) + "\n"
    (RESULTS / "latest.json").write_text(text, "utf8")
    if is_whole and not results.failures():
        (RESULTS / "baseline.json").write_text(text, "utf8")
        for name, picture in charts.drawn(found).items():
            (PICTURES / name).write_text(picture, "utf8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
