"""The work itself: the functions that every contender calls, counted, and how they hang together."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Once = Callable[[], Awaitable[Any]]  # does the work one time, and gives its value


class AbsentError(Exception):
    """Raised by a contender that cannot do some work, with the reason."""


# --- What is counted ------------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """How often functions and language models were called."""

    functions: int = 0
    lm: int = 0

    def reset(self) -> None:
        """Begin again."""
        self.functions = self.lm = 0


counts = Counts()


# --- The functions --------------------------------------------------------------------------------------------------

NAP = 0.010
VISIT_NAP = 0.005
BREAKS_AFTER = 0.005
THREADS = 64


class Filled(BaseModel):
    """What a language model writes."""

    text: str


class Five(BaseModel):
    """Five looked-up values, and what a model writes of them."""

    a: int
    b: int
    c: int
    d: int
    e: int
    text: str


def told(value: Any) -> Any:
    """Return what a value comes to, as JSON: a model's text, a node's sum."""
    if isinstance(value, Filled):
        return value.text
    return value.a + value.b + value.c + value.d + value.e if isinstance(value, Five) else value


class BrokenError(Exception):
    """The failure that `break_soon` is there for."""


async def fill(*_: Any) -> Filled:
    """Answer as a language model would that needs no time."""
    counts.lm += 1
    return Filled(text="x")


async def noop(index: int) -> int:
    """Cost nothing but being called."""
    counts.functions += 1
    return index


async def nap(index: int) -> int:
    """Wait, as for a service."""
    counts.functions += 1
    await asyncio.sleep(NAP)
    return index


def block(index: int) -> int:
    """Wait as a function that is not async does."""
    counts.functions += 1
    time.sleep(NAP)
    return index


async def look_up(index: int, *_: Any) -> int:
    """Wait, as for a service, in a run of visits."""
    counts.functions += 1
    await asyncio.sleep(VISIT_NAP)
    return index


async def visit(is_first: bool, *values: int) -> Five:  # noqa: FBT001  bound by partial
    """Make a node of five values; the text of the first is the caller's, of the others a model's."""
    counts.lm += not is_first
    a, b, c, d, e = values
    return Five(a=a, b=b, c=c, d=d, e=e, text="x")


async def add_up(seconds: float, number: int, *inputs: int) -> int:
    """Wait *seconds*; the sum shows that every input came."""
    counts.functions += 1
    await asyncio.sleep(seconds)
    return number + sum(inputs)


async def break_soon() -> int:
    """Fail, after a moment."""
    counts.functions += 1
    await asyncio.sleep(BREAKS_AFTER)
    raise BrokenError


class Sibling:
    """What runs beside a function that fails, and sees what becomes of it."""

    state = "not started"

    async def wait(self) -> int:
        """Wait for long; cleaning up takes a turn of the loop."""
        counts.functions += 1
        self.state = "left running"
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            self.state = "cancelled, not awaited"
            await asyncio.sleep(0)
            self.state = "cancelled and awaited"
            raise
        return 0


sibling = Sibling()


class Gate:
    """Where runs wait until it is opened, all at once."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()

    async def fill(self, *_: Any) -> Filled:
        """Answer as a language model would, when the gate is opened."""
        counts.lm += 1
        await self._opened.wait()
        return Filled(text="x")

    def close(self) -> None:
        """Let runs wait."""
        self._opened.clear()

    def open(self) -> None:
        """Let them go on."""
        self._opened.set()


gate = Gate()


# --- How they hang together -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A function, and the steps whose values are its arguments; `seconds` is how long it waits."""

    name: str
    call: Callable[..., Any]
    inputs: Sequence[str] = ()
    seconds: float = 0.0


Steps = Sequence[Step]  # each after its inputs; the last one's value is the result


@dataclass(frozen=True)
class FanOut:
    """One function for each of *count* numbers; the result is their sum."""

    call: Callable[[int], Any]
    count: int


def chain(size: int) -> Steps:
    """Return *size* fills, each after the one before."""
    return [Step(f"fill{index}", fill, (f"fill{index - 1}",) if index else ()) for index in range(size)]


def visits(size: int) -> Steps:
    """Return *size* nodes of five values each, which are looked up when the node before is made."""
    steps: list[Step] = []
    for node in range(size):
        before = (f"node{node - 1}",) if node else ()
        names = [f"value{node}_{index}" for index in range(5)]
        steps += [Step(name, functools.partial(look_up, index), before) for index, name in enumerate(names)]
        steps.append(Step(f"node{node}", functools.partial(visit, node == 0), names))
    return steps


def failing(_: int) -> Steps:
    """Return a step that fails, one that waits for long, and one that needs both."""
    return [Step("broken", break_soon), Step("slow", sibling.wait), Step("both", noop, ("broken", "slow"))]


def idle(_: int) -> Steps:
    """Return a fill that waits at the gate."""
    return [Step("answer", gate.fill)]


LANES = 4


def ragged(size: int) -> Steps:
    """Return *size* levels of four lanes: at each level one is slow, and no lane is slow twice in a row.

    A step needs the one before it in its lane, and at every third level its neighbour's too.
    """
    steps: list[Step] = []
    for level in range(size):
        for lane in range(LANES):
            seconds = 0.060 if (level + lane) % LANES == 0 else 0.010
            lanes = [] if not level else [lane, (lane + 1) % LANES] if level % 3 == 0 else [lane]
            call = functools.partial(add_up, seconds, lane)
            steps.append(Step(f"at{level}_{lane}", call, [f"at{level - 1}_{each}" for each in lanes], seconds))
    last = [f"at{size - 1}_{lane}" for lane in range(LANES)]
    return [*steps, Step("end", functools.partial(add_up, 0.0, 0), last)]


def critical_path(steps: Steps) -> float:
    """Return the seconds that the longest way through takes."""
    ends: dict[str, float] = {}
    for step in steps:
        ends[step.name] = step.seconds + max((ends[each] for each in step.inputs), default=0.0)
    return max(ends.values())
