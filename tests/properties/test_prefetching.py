"""What a run gives and tells is the same whether dependencies begin ahead or not, whatever fails; the worlds are drawn.

A function fails by what it is given, not by when it is called: what began ahead says which call is the second one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st
from test_runs import (
    PROFILE,
    Built,
    Part,
    Recalled,
    Sequential,
    World,
    forget_steps,
    root_of,
    text_of,
    uses,
    what_was_told,
    worlds,
)

from weft import GraphError
from weft.events import DepFinished, DepStarted, Event, LMCallStarted, NodeFinished, NodeStarted

MODES = ("off", "certain", "candidates")
FUNCTIONS = ("sync", "async", "async", "node", "generator", "async generator")


class ByValue(Built):
    """A world whose functions fail by the value that they would give."""

    def start(self, part: Part, inputs: dict[str, Any]) -> tuple[str, Hashable]:
        value, _ = super().start(part, inputs)
        return value, ("value", value)


@st.composite
def prefetching_worlds(draw: st.DrawFn, lifetimes: Sequence[str] = ("run", "run", "run", "run", "visit")) -> World:
    """Draw a world in which the LM does most of the routing, slowly, among few nodes that have something in common."""
    world = draw(worlds(kinds=FUNCTIONS, lifetimes=lifetimes))
    if draw(st.integers(0, 3)):
        world.path = [*range(len(world.stops))]
    common, bare = uses(draw, world.parts, 2, ["run"]), draw(st.integers(0, len(world.stops) - 1))
    following: dict[int, set[int | None]] = {}
    for index, after in itertools.zip_longest(world.path, world.path[1:]):
        following.setdefault(index, set()).add(after)
    for index, stop in enumerate(world.stops):
        stop.yields = (draw(st.integers(1, 8)),) * 2
        if stop.routing in ("code", "class") and draw(st.integers(0, 3)):
            stop.routing, stop.body = "lm", ()
        if stop.routing == "lm":
            stop.leads = draw(leads(following.get(index, set()), index, len(world.stops) - 1))
        if index < bare:  # what it does not need is left to be made ahead
            stop.fields, stop.given = tuple(each for each in stop.fields if isinstance(each, Recalled)), frozenset()
        else:
            stop.fields += tuple(each for each in common if each.name not in {field.name for field in stop.fields})
    if world.path == [*range(max(4, len(world.stops)))] and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(world.stops) - 4))
        fork(world, at, loser=at + draw(st.integers(1, 2)))
    assume(len(world.path) > 1 and is_sound(world))
    return world


def fork(world: World, at: int, loser: int) -> None:
    """Let the LM choose between the two stops after *at*, which both lead to the one after them."""
    world.path.remove(loser)
    for index, leads in ((at, (at + 1, at + 2)), (at + 1, (at + 3,)), (at + 2, (at + 3,))):
        stop = world.stops[index]
        stop.routing, stop.body, stop.leads = "lm", (), leads


def is_sound(world: World) -> bool:
    """Return whether there is something to Recall wherever that is said."""
    try:
        return bool(Built(world))
    except GraphError:
        return False


@st.composite
def leads(draw: st.DrawFn, taken: set[int | None], index: int, last: int) -> tuple[int | None, ...]:
    """Draw where the LM may go from a node, the ways that it will take among them, so that each comes to an end."""
    only_on = bool(taken) and all(each is not None and each > index for each in taken)
    if not only_on or draw(st.integers(0, 2)) == 0:
        taken = taken | {last, draw(st.integers(0, last))}
    return (*sorted(each for each in taken if each is not None), *([None] if None in taken else []))


def run_in_each_mode(world: World, trouble: tuple[str, Hashable] | None) -> list[tuple[ByValue, Any]]:
    found = []
    for mode in MODES:
        built = ByValue(world, prefetch=mode)
        built.trouble = trouble
        found.append((built, asyncio.run(built.run())))
    return found


def told_of(error: BaseException) -> list[Any]:
    """Return what there is to know of an error."""
    trace = [type(node).__name__ for node in getattr(error, "trace", ())]
    return [type(error).__name__, str(error), getattr(error, "path", None), trace, str(root_of(error))]


def values_of(result: Any) -> list[dict[str, Any]]:
    return [{name: text_of(value) for name, value in node} for node in result.trace]


def check_order(events: list[Event]) -> None:
    """In each visit the inputs of a dependency end before it begins, and all of them before the LM fills the node."""
    begun: set[str] = set()
    ended: set[str] = set()
    for told in events:
        if isinstance(told, NodeStarted):
            begun.add(told.key)
        elif isinstance(told, DepStarted):
            assert told.key.partition("/")[0] in begun, "told before its node was visited"
            made = [each.key for each in told.inputs.values() if each.kind == "dep"]
            assert set(made) <= ended, "told before its inputs were there"
            begun.add(told.key)
        elif isinstance(told, DepFinished):
            assert told.key in begun
            ended.add(told.key)
        elif isinstance(told, LMCallStarted) and told.key.count("/") == 1 and told.kind == "fill":
            visit = told.key.partition("/")[0]
            of_fields = {key for key in begun if key.startswith(f"{visit}/") and not key.startswith(f"{visit}/body")}
            assert of_fields <= ended, "filled before its dependencies were there"


def before(built: Built, step: int) -> Counter[Any]:
    """Return what was told of the visits before *step*, the closing of resources left out."""
    kept = [each for each in built.events if each.key and int(each.key.partition(":")[0]) < step]
    return Counter((type(each).__name__, each.key, getattr(each, "status", "")) for each in kept)


@PROFILE
@given(prefetching_worlds())
def test_values_trace_events_and_calls_are_the_same_with_and_without_prefetch(world: World):
    (off, plain), *others = run_in_each_mode(world, None)

    for built, result in others:
        if isinstance(plain, BaseException):
            assert told_of(result) == told_of(plain)
            continue
        assert values_of(result) == values_of(plain)
        assert built.bodies == off.bodies
        assert result.usage == plain.usage
        assert what_was_told(built) == what_was_told(off)
        assert [each.key for each in built.events if isinstance(each, NodeStarted | NodeFinished)] == [
            each.key for each in off.events if isinstance(each, NodeStarted | NodeFinished)
        ]
        check_order(built.events)
    if isinstance(plain, BaseException):
        return
    counts = [
        forget_steps([each[1:] for each in built.log if each[0] == "made"]) for built, _ in [(off, plain), *others]
    ]
    assert counts[1] == counts[0]
    assert counts[0] <= counts[2]
    ahead = [any(is_ahead(built)) for built, _ in others]
    event(f"certain {'began' if ahead[0] else 'did not begin'} something ahead, {'candidates did' if ahead[1] else ''}")


def is_ahead(built: Built) -> list[bool]:
    """Return of each making whether it began before the visit that it was told in."""
    told = [(each.at, each.started_at) for each in built.events if isinstance(each, DepFinished)]
    began = {each.key: each.at for each in built.events if isinstance(each, NodeStarted)}
    keys = [each.key.partition("/")[0] for each in built.events if isinstance(each, DepFinished)]
    return [started < began[key] for (_, started), key in zip(told, keys, strict=True)]


@PROFILE
@given(prefetching_worlds(["run"]), st.data())
def test_a_failure_is_the_same_with_and_without_prefetch(world: World, data: st.DataObject):
    expected = Sequential(world)
    calls = [("value", value) for _, _, value in expected.makings]
    calls += [moment for _, moment in expected.moments if moment[0] in ("fill", "route", "body")]
    if not calls:
        return
    trouble = ("fail", data.draw(st.sampled_from(calls)))

    (off, plain), *others = run_in_each_mode(world, trouble)

    assert isinstance(plain, BaseException)
    step = len(plain.trace) if hasattr(plain, "trace") else off.step or 0
    for built, error in others:
        event(f"{type(error).__name__}")
        if expected.missing is not None and type(error) is not type(plain):
            continue  # one of the two that can go wrong at once
        assert told_of(error) == told_of(plain)
        assert before(built, min(step, off.step or 0)) == before(off, min(step, off.step or 0))
        check_order(built.events)
        built.check_resources(error)
