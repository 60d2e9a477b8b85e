"""What the engine costs, beside plain asyncio doing the same in the same run: medians of several rounds, as ratios.

Run: python benchmarks/core.py  (or: make bench)
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, create_model
from rich.console import Console
from rich.table import Table

from weft import Dep, Graph, Node

ROUNDS = 9
EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Instant:
    """An LM that answers at once: what is left is the engine."""

    async def choose_type(self, types, context):
        return types[0]

    async def fill(self, target, resolved, instruction, source=None):
        return target(text="x", **resolved)

    async def make(self, node, target):
        return target(text="x")

    async def decide(self, node):
        return None


# --- A chain of LM-filled nodes -------------------------------------------------------------------------------------

CHAIN = 100


class Last(Node):
    text: str


def _link(following: type[Node], index: int) -> type[Node]:
    async def call(self): ...

    call.__annotations__["return"] = following
    namespace = {"__call__": call, "__module__": __name__, "__annotations__": {"text": str}}
    return type(Node)(f"Link{index}", (Node,), namespace)


def chain_graph() -> Graph:
    cls: type[Node] = Last
    for index in range(CHAIN - 1, -1, -1):
        cls = _link(cls, index)
    return Graph(start=cls, lm=Instant())


class Plain(BaseModel):
    text: str


async def plain_chain() -> None:
    async def fill() -> Plain:
        return Plain(text="x")

    for _ in range(CHAIN):
        await fill()


# --- Many dependencies of one node ----------------------------------------------------------------------------------


def wide_graph(count: int) -> Graph:
    fields = {f"f{index}": (int, Dep(_noop(index))) for index in range(count)}
    cls = create_model(f"Wide{count}", __base__=Node, __module__=__name__, **fields)
    return Graph(start=cls)


def _noop(index: int) -> Callable[[], Awaitable[int]]:
    async def noop() -> int:
        return index

    return noop


Work = Callable[..., Awaitable[Any]]


class Flight(asyncio.Task):
    __slots__ = ("key",)


async def counter_scheduler(plan: dict[Work, tuple[Work, ...]]) -> dict[Work, Any]:  # noqa: C901  one piece, by hand
    """Resolve a plan by hand: a task for each function whose inputs are there, in a context copy of its own."""
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    values: dict[Work, Any] = {}
    missing = {key: len(inputs) for key, inputs in plan.items()}
    users: dict[Work, list[Work]] = {}
    for key, inputs in plan.items():
        for each in inputs:
            users.setdefault(each, []).append(key)
    ready = [key for key, inputs in plan.items() if not inputs]
    landed: list[Flight] = []
    wake = loop.create_future()

    def land(key: Work, value: Any) -> None:
        values[key] = value
        for user in users.get(key, ()):
            missing[user] -= 1
            if not missing[user]:
                ready.append(user)

    def note(flight: Flight) -> None:
        landed.append(flight)
        if not wake.done():
            wake.set_result(None)

    while len(values) < len(plan):
        while ready:
            key = ready.pop()
            coroutine = key(*[values[each] for each in plan[key]])
            flight = Flight(coroutine, loop=loop, context=context.copy(), **EAGER)
            if flight.done():
                land(key, flight.result())
            else:
                flight.key = key
                flight.add_done_callback(note)
        if len(values) < len(plan):
            await wake
            wake = loop.create_future()
            for flight in landed:
                land(flight.key, flight.result())
            landed.clear()
    return values


# --- Measuring ------------------------------------------------------------------------------------------------------


def seconds(ours: Callable[[], Awaitable[Any]], plain: Callable[[], Awaitable[Any]], repeat: int) -> list[float]:
    """Return the CPU seconds of one of each, measured in turns: the medians of ROUNDS."""

    async def once(work: Callable[[], Awaitable[Any]]) -> float:
        started = time.process_time()
        for _ in range(repeat):
            await work()
        return (time.process_time() - started) / repeat

    async def measure() -> list[tuple[float, float]]:
        await ours()
        await plain()
        return [(await once(ours), await once(plain)) for _ in range(ROUNDS)]

    return [statistics.median(each) for each in zip(*asyncio.run(measure()), strict=True)]


def import_seconds(statement: str) -> float:
    """Return the CPU seconds of a fresh interpreter that runs *statement*, less one that runs nothing."""
    # With compiled modules, as an installed package has them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def once(code: str) -> float:
        script = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603
        return float(done.stdout)

    once(statement)
    return statistics.median(once(statement) for _ in range(ROUNDS))


def wide_microseconds(count: int) -> tuple[float, float]:
    """Return the microseconds of one of *count* dependencies: ours, and by hand."""
    graph = wide_graph(count)
    node = graph.start()
    functions = [_noop(index) for index in range(count)]
    repeat = max(1, 10_000 // count)
    plan: dict[Work, tuple[Work, ...]] = dict.fromkeys(functions, ())
    ours, plain = seconds(lambda: graph.arun(node), lambda: counter_scheduler(plan), repeat)
    return ours / count * 1e6, plain / count * 1e6


def rows() -> list[tuple[str, str, str, str, str]]:
    chain = chain_graph()
    start = chain.start(text="x")
    ours, plain = (each / CHAIN * 1e6 for each in seconds(lambda: chain.arun(start, max_steps=None), plain_chain, 20))
    found = [("LM-filled node in a chain", f"{ours:.1f} µs", f"{plain:.1f} µs", f"{ours / plain:.1f}", "≤ 10 µs")]
    bound = "≤ 2.5" if EAGER else "≤ 1.5"
    for count in (1_000, 10_000, 100_000):
        ours, plain = wide_microseconds(count)
        name = f"{count:,} no-op async dependencies"
        found.append((name, f"{ours:.2f} µs each", f"{plain:.2f} µs each", f"{ours / plain:.2f}", bound))
    plain = import_seconds("import pydantic.main, asyncio") * 1e3
    for statement in ("import weft", "from weft import Dep, Graph, Node"):
        ours = import_seconds(statement) * 1e3
        found.append((statement, f"{ours:.0f} ms", f"{plain:.0f} ms (pydantic)", f"{ours / plain:.2f}", "≤ 1.25"))
    return found


def main() -> None:
    table = Table(title=f"Weft beside plain asyncio, Python {sys.version.split()[0]}, medians of {ROUNDS}")
    for heading in ("work", "Weft", "plain", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading == "work" else "right")
    for row in rows():
        table.add_row(*row)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
