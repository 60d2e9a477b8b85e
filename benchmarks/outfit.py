"""The outfit of the day, as steps that wait as long as models and services do, and routes one after the other.

What may begin when depends on the mode: whether dependencies of what comes next are fetched ahead, and whether a
route is chosen and its node filled in one call of the model.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, replace
from typing import Any, Literal

from .work import Step, Steps, counts

SECONDS = {
    "lm": 0.400,
    "location": 0.150,
    "weather": 0.300,
    "calendar": 0.300,
    "closet": 0.300,
    "trips": 0.150,
    "shops": 0.250,
}
ROUTE_SECONDS = 0.020


@dataclass
class Pace:
    """How long everything takes, in percent: tests are in a hurry."""

    percent: int = 100

    def of(self, name: str) -> float:
        """Return the seconds that *name* takes."""
        return SECONDS[name] * self.percent / 100


pace = Pace()


@dataclass(frozen=True)
class Mode:
    """How a run goes ahead."""

    prefetch: Literal["off", "certain", "candidates"] = "off"
    one_call: bool = False


MODES = {
    "off": Mode(),
    "certain": Mode("certain"),
    "candidates": Mode("candidates"),
    "one-call": Mode(one_call=True),
    "both": Mode("candidates", one_call=True),
}


async def fetch(name: str, *_: Any) -> str:
    """Wait as for the service *name*."""
    counts.functions += 1
    await asyncio.sleep(pace.of(name))
    return name


async def ask(seconds: float, *_: Any) -> str:
    """Wait as for a model."""
    counts.lm += 1
    await asyncio.sleep(seconds)
    return "x"


def _fetched(name: str, *inputs: str) -> Step:
    return Step(name, functools.partial(fetch, name), inputs, pace.of(name))


def _asked(name: str, *inputs: str, seconds: float | None = None) -> Step:
    seconds = pace.of("lm") if seconds is None else seconds
    return Step(name, functools.partial(ask, seconds), inputs, seconds)


def outfit(percent: int, mode: Mode) -> Steps:
    """Return the steps of a run that goes from the message to the day, on to the outfit, and ends with a reply.

    Two routes are chosen on the way. Nothing of the day is needed before it is chosen, so without prefetch its
    functions wait for the choice, and those of the outfit wait for the day. Prefetch begins them while the model is
    asked for what comes before. The reply needs nothing that is not there, so one call can choose and fill it; the
    day's inputs are there only where those of candidates are prefetched: then one call waits for them, and decides,
    while what may come after the day is fetched.
    """
    pace.percent = percent
    is_decided = mode.one_call and mode.prefetch == "candidates"
    chosen = () if is_decided else ("choose_day",)
    before_day = () if mode.prefetch == "candidates" else chosen
    before_outfit = ("day",) if mode.prefetch == "off" else ("weather", "calendar", *chosen)
    steps = [
        *([] if is_decided else [_asked("choose_day")]),
        _fetched("location", *before_day),
        _fetched("calendar", *before_day),
        _fetched("weather", "location"),
        _asked("day", "weather", "calendar", *chosen),
        _fetched("closet", *before_outfit),
        _fetched("trips", *before_outfit),
        _fetched("shops", *before_outfit),
        _asked("clothes", "day", "closet"),
        _asked("bag", "day", "trips"),
        _asked("wardrobe", "clothes", "bag"),
        _asked("outfit", "wardrobe", "shops"),
        *([] if mode.one_call else [_asked("choose_reply", "outfit")]),
        _asked("reply", "outfit" if mode.one_call else "choose_reply"),
    ]
    return _without_roundabouts(steps)


def _without_roundabouts(steps: Steps) -> Steps:
    """Return *steps* without the inputs that another input has waited for already: no library needs to be told."""
    before: dict[str, set[str]] = {}
    for step in steps:
        before[step.name] = set(step.inputs).union(*[before[each] for each in step.inputs])
    return [
        replace(step, inputs=[each for each in step.inputs if not any(each in before[other] for other in step.inputs)])
        for step in steps
    ]


def routes(size: int, *, one_call: bool) -> Steps:
    """Return *size* routes one after the other, each chosen and filled."""
    names = [f"{part}{index}" for index in range(size) for part in (["fill"] if one_call else ["choose", "fill"])]
    inputs = [(), *((name,) for name in names[:-1])]
    return [_asked(name, *each, seconds=ROUTE_SECONDS) for name, each in zip(names, inputs, strict=True)]
