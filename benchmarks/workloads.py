"""What is measured: each workload's sizes, what must come out of it, and the goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import outfit, work
from .work import FanOut, Steps

Measure = Literal["cpu", "wall", "rate", "failing", "memory", "import"]
PEERS = ("pydantic_graph", "langgraph", "llamaindex", "hamilton")
CONTENDERS = ("plain", "weft", *PEERS)


@dataclass(frozen=True)
class Workload:
    """A piece of work that contenders do.

    `sizes` are those of a full run, the first of which is what tables show; `per_item` divides the figure by the
    size. A full run's `scale` turns seconds (or bytes) into `unit`.
    """

    name: str
    title: str
    unit: str
    measure: Measure
    sizes: tuple[int, ...]
    quick: int
    tiny: int
    shape: Callable[[int], Steps | FanOut] | None
    value: Callable[[int], Any]
    calls: Callable[[int], tuple[int, int]]  # of functions, of models
    scale: float = 1e3
    per_item: bool = False
    runs_at_once: bool = False  # the size is a number of runs of the same shape, all under way at once
    higher_is_better: bool = False
    mode: outfit.Mode | None = None

    @property
    def is_for_peers(self) -> bool:
        """Whether peers have a way to do it: none of them runs ahead, or chooses and fills in one call."""
        return self.mode in (None, outfit.Mode())

    def shown(self, figure: float, size: int) -> float:
        """Return *figure*, in seconds, runs a second or bytes, in this workload's unit."""
        return figure * self.scale / (size if self.per_item else 1)


def _models_asked(mode: outfit.Mode) -> int:
    """Return how often models are asked: a route in one call saves one, if what its candidates need is there."""
    return 8 - (mode.one_call and (2 if mode.prefetch == "candidates" else 1))


def _outfit(name: str, mode: outfit.Mode) -> Workload:
    return Workload(
        f"outfit, {name}",
        f"outfit of the day, prefetch={mode.prefetch}" + (", one-call routing" if mode.one_call else ""),
        "ms",
        "wall",
        sizes=(100,),  # percent of the time that models and services take
        quick=25,
        tiny=2,
        shape=lambda size: outfit.outfit(size, mode),
        value=lambda _: "x",
        calls=lambda _: (6, _models_asked(mode)),
        mode=mode,
    )


def _routes(name: str, mode: outfit.Mode) -> Workload:
    return Workload(
        f"routes, {name}",
        f"10 routes in a row, {name}",
        "ms",
        "wall",
        sizes=(10,),
        quick=5,
        tiny=2,
        shape=lambda size: outfit.routes(size, one_call=mode.one_call),
        value=lambda _: "x",
        calls=lambda size: (0, size if mode.one_call else 2 * size),
        mode=mode,
    )


def _ragged_value(size: int) -> int:
    """Return what the sum of a ragged graph is: each step adds its number to the sum of its inputs."""
    values: dict[str, int] = {}
    for step in work.ragged(size):
        own = 0 if step.name == "end" else int(step.name.rpartition("_")[2])
        values[step.name] = own + sum(values[each] for each in step.inputs)
    return values["end"]


WORKLOADS = (
    Workload(
        "chain",
        "chain of 100 fills, CPU per node",
        "µs",
        "cpu",
        sizes=(100,),
        quick=100,
        tiny=5,
        shape=work.chain,
        value=lambda _: "x",
        calls=lambda size: (0, size),
        scale=1e6,
        per_item=True,
    ),
    Workload(
        "wide",
        "100 dependencies of 10 ms, makespan",
        "ms",
        "wall",
        sizes=(100,),
        quick=100,
        tiny=5,
        shape=lambda size: FanOut(work.nap, size),
        value=lambda size: sum(range(size)),
        calls=lambda size: (size, 0),
    ),
    Workload(
        "ragged",
        "ragged graph, makespan",
        "ms",
        "wall",
        sizes=(12,),
        quick=6,
        tiny=4,
        shape=work.ragged,
        value=_ragged_value,
        calls=lambda size: (work.LANES * size + 1, 0),
    ),
    Workload(
        "noop",
        "10,000 no-op async dependencies, CPU each",
        "µs",
        "cpu",
        sizes=(10_000, 100, 1_000, 100_000),
        quick=1_000,
        tiny=10,
        shape=lambda size: FanOut(work.noop, size),
        value=lambda size: sum(range(size)),
        calls=lambda size: (size, 0),
        scale=1e6,
        per_item=True,
    ),
    Workload(
        "runs",
        "1,000 runs at once, of 5 nodes with 5 dependencies of 5 ms",
        "runs/s",
        "rate",
        sizes=(1_000,),
        quick=50,
        tiny=3,
        shape=lambda _: work.visits(5),
        value=lambda size: 10 * size,
        calls=lambda size: (25 * size, 4 * size),
        scale=1.0,
        runs_at_once=True,
        higher_is_better=True,
    ),
    Workload(
        "failing",
        "a failure after 5 ms beside a sibling of 10 s, until it is raised",
        "ms",
        "failing",
        sizes=(1,),
        quick=1,
        tiny=1,
        shape=work.failing,
        value=lambda _: "cancelled and awaited",
        calls=lambda _: (2, 0),
    ),
    Workload(
        "blocking",
        "256 blocking dependencies of 10 ms in threads, makespan",
        "ms",
        "wall",
        sizes=(256,),
        quick=64,
        tiny=5,
        shape=None,
        value=lambda size: sum(range(size)),
        calls=lambda size: (size, 0),
    ),
    Workload(
        "idle",
        "memory of a run that waits for its model",
        "KiB",
        "memory",
        sizes=(1_000,),
        quick=100,
        tiny=3,
        shape=work.idle,
        value=lambda size: ["x"] * size,
        calls=lambda size: (0, size),
        scale=1 / 1024,
        per_item=True,
        runs_at_once=True,
    ),
    Workload(
        "import",
        "import, CPU",
        "ms",
        "import",
        sizes=(1,),
        quick=1,
        tiny=1,
        shape=None,
        value=lambda _: None,
        calls=lambda _: (0, 0),
    ),
    *(_outfit(name, mode) for name, mode in outfit.MODES.items()),
    _routes("two calls each", outfit.Mode("off")),
    _routes("one call each", outfit.Mode("off", one_call=True)),
)

BY_NAME = {each.name: each for each in WORKLOADS}


def critical_path(workload: Workload, size: int) -> float | None:
    """Return the seconds of the longest way through the work, where it has one worth speaking of."""
    if workload.name == "ragged" or workload.mode is not None:
        steps = workload.shape(size) if workload.shape else ()
        return work.critical_path(steps) if not isinstance(steps, FanOut) else None
    return None


def faults(workload: Workload, size: int, contender: str, answer: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a contender's answer: the value, or how often functions and models were called."""
    found: list[str] = []
    is_peers_own_way = workload.measure == "failing" and contender in PEERS  # told in the table, in its words
    expected = workload.value(size)
    if answer["value"] != expected and not is_peers_own_way:
        found.append(f"gave {_short(answer['value'])}, not {_short(expected)}")
    if tuple(answer["calls"]) != workload.calls(size):
        found.append("called {} functions and {} models".format(*answer["calls"]))
        found[-1] += ", not {} and {}".format(*workload.calls(size))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
