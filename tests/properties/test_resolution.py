"""Any acyclic graph of dependencies resolves as a simple sequential evaluator says, whatever fails or is cancelled.

A graph is drawn as a list of parts, each made from some of the parts before it: sync and async functions, generator
resources of both kinds, and LM-filled nodes. Async parts yield to the loop a drawn number of times, so that the order
of completion varies and is the same at every replay. What happened is told by a journal, not by time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import create_model

from weft import BaseLM, Dep, DepError, Graph, LMResponse, Node

KINDS = ("sync", "async", "generator", "async generator", "node")


@dataclass
class Part:
    index: int
    kind: str
    inputs: tuple[int, ...]
    yields: int
    fails: bool = False

    @property
    def name(self) -> str:
        return f"{'Node' if self.kind == 'node' else 'part'}{self.index}"


@dataclass
class Journal:
    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    opened: dict[int, asyncio.Task[Any]] = field(default_factory=dict)
    closed: list[tuple[int, asyncio.Task[Any]]] = field(default_factory=list)
    raised: dict[int, Exception] = field(default_factory=dict)

    def end(self, part: Part) -> None:
        self.ended.append(part.index)

    def start(self, part: Part) -> None:
        assert set(part.inputs) <= set(self.ended) | self.substituted, "started before its inputs were there"
        self.started.append(part.index)

    substituted: set[int] = field(default_factory=set)


class PartError(Exception):
    pass


def value_of(part: Part, inputs: dict[str, Any]) -> str:
    return f"{part.name}({', '.join(f'{name}={text_of(inputs[name])}' for name in sorted(inputs))})"


class Built:
    """The functions and node classes of a drawn graph, and the graph that wants some of them."""

    def __init__(self, parts: list[Part], wanted: list[int], *, per_visit: frozenset[int] = frozenset()) -> None:
        self.parts = parts
        self.wanted = wanted
        self.journal = Journal()
        self.per_visit = per_visit
        self.made: list[Any] = []
        for part in parts:
            self.made.append(self.node(part) if part.kind == "node" else self.function(part))
        fields: Any = {f"x{index}": self.annotation(index) for index in wanted}
        self.start = create_model("Start", __base__=Node, __module__=__name__, **fields)
        self.graph = Graph(start=self.start)

    def annotation(self, index: int) -> Any:
        if self.parts[index].kind == "node":
            return Annotated[self.made[index], Dep()]
        return Annotated[Any, Dep(self.made[index], per="visit" if index in self.per_visit else "run")]

    def node(self, part: Part) -> type[Node]:
        fields: Any = {f"x{index}": self.annotation(index) for index in part.inputs}
        return create_model(part.name, __base__=Node, __module__=__name__, text=(str, ...), **fields)

    def function(self, part: Part) -> Any:
        journal = self.journal

        def begin() -> None:
            journal.start(part)
            if part.fails:
                journal.raised[part.index] = PartError(part.name)
                raise journal.raised[part.index]

        def sync(**inputs: Any) -> str:
            begin()
            journal.end(part)
            return value_of(part, inputs)

        async def asynchronous(**inputs: Any) -> str:
            for _ in range(part.yields):
                await asyncio.sleep(0)
            begin()
            for _ in range(part.yields):
                await asyncio.sleep(0)
            journal.end(part)
            return value_of(part, inputs)

        def generator(**inputs: Any) -> Iterator[str]:
            begin()
            journal.opened[part.index] = this_task()
            journal.end(part)
            try:
                yield value_of(part, inputs)
            finally:
                journal.closed.append((part.index, this_task()))

        async def async_generator(**inputs: Any) -> AsyncIterator[str]:
            await asyncio.sleep(0)
            begin()
            journal.opened[part.index] = this_task()
            try:
                await asyncio.sleep(0)
                journal.end(part)
                yield value_of(part, inputs)
            finally:
                await asyncio.sleep(0)
                journal.closed.append((part.index, this_task()))

        made: Any = {
            "sync": sync,
            "async": asynchronous,
            "generator": generator,
            "async generator": async_generator,
        }[part.kind]
        made.__name__ = made.__qualname__ = part.name
        parameters = [
            inspect.Parameter(f"x{index}", inspect.Parameter.KEYWORD_ONLY, annotation=self.annotation(index))
            for index in part.inputs
        ]
        returns = {"generator": Iterator[str], "async generator": AsyncIterator[str]}.get(part.kind, str)
        made.__signature__ = inspect.Signature(parameters, return_annotation=returns)
        return made

    def expected(self, substituted: dict[int, Any] | None = None) -> dict[int, Any]:
        """Evaluate in order, one after the other, what is needed and not substituted."""
        found: dict[int, Any] = dict(substituted or {})
        for index in sorted(self.needed(found)):
            part = self.parts[index]
            if index not in found:
                found[index] = value_of(part, {f"x{each}": found[each] for each in part.inputs})
        return found

    def needed(self, substituted: dict[int, Any], wanted: list[int] | None = None) -> set[int]:
        todo, found = list(self.wanted if wanted is None else wanted), set()
        while todo:
            index = todo.pop()
            if index not in found and index not in substituted:
                found.add(index)
                todo.extend(self.parts[index].inputs)
        return found


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class EchoLM(BaseLM):
    """Writes into a node what the sequential evaluator would, after yielding as often as its part says."""

    def __init__(self, built: Built) -> None:
        self.parts = {part.name: part for part in built.parts}
        self.journal = built.journal

    async def generate(self, request: Any, on_partial: Any = None) -> LMResponse:
        part = self.parts[request.target]
        self.journal.start(part)
        for _ in range(part.yields):
            await asyncio.sleep(0)
        if part.fails:
            self.journal.raised[part.index] = PartError(part.name)
            raise self.journal.raised[part.index]
        self.journal.end(part)
        inputs = {name: value["text"] if isinstance(value, dict) else value for name, value in request.inputs.items()}
        return LMResponse({"text": value_of(part, inputs)})


@st.composite
def parts_lists(draw: st.DrawFn, *, failing: bool = False) -> list[Part]:
    count = draw(st.integers(1, 12))
    parts = []
    for index in range(count):
        inputs = draw(st.sets(st.integers(0, index - 1), max_size=4)) if index else set()
        part = Part(index, draw(st.sampled_from(KINDS)), tuple(sorted(inputs)), draw(st.integers(0, 3)))
        part.fails = failing and draw(st.integers(0, 3)) == 0
        parts.append(part)
    return parts


@st.composite
def graphs(draw: st.DrawFn, *, failing: bool = False, mixed: bool = True) -> Built:
    parts = draw(parts_lists(failing=failing))
    wanted = draw(st.lists(st.sampled_from(range(len(parts))), min_size=1, unique=True))
    indexes = st.sampled_from(range(len(parts)))
    per_visit = draw(st.frozensets(indexes, max_size=3)) if mixed else frozenset()
    return Built(parts, wanted, per_visit=per_visit)


def text_of(value: Any) -> Any:
    return value.text if isinstance(value, Node) else value


def check_resources(journal: Journal) -> None:
    assert Counter(index for index, _ in journal.closed) == Counter(journal.opened.keys())
    for index, task in journal.closed:
        assert task is journal.opened[index], "closed in another task than it was opened in"


async def run(built: Built, **options: Any) -> Any:
    before = asyncio.all_tasks()
    start = options.pop("start", None) or built.start()
    try:
        return await built.graph.arun(start, lm=EchoLM(built), **options)
    finally:
        assert asyncio.all_tasks() == before, "a task survived the run"
        check_resources(built.journal)


PROFILE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROFILE
@given(graphs())
def test_every_part_is_made_once_after_its_inputs_with_the_sequential_value(built: Built) -> None:
    result = asyncio.run(run(built))

    expected = built.expected()
    assert Counter(built.journal.started) == Counter(built.needed({}))
    for index in built.wanted:
        assert text_of(getattr(result.result, f"x{index}")) == expected[index]


@PROFILE
@given(graphs(failing=True))
def test_a_failure_names_a_real_path_and_leaves_nothing_behind(built: Built) -> None:
    failing = {part.index for part in built.parts if part.fails}
    if not failing & built.needed({}):
        asyncio.run(run(built))
        return
    event("fails")

    with pytest.raises(DepError) as caught:
        asyncio.run(run(built))

    error = caught.value
    assert error.__cause__ in built.journal.raised.values()
    failed = next(index for index, raised in built.journal.raised.items() if raised is error.__cause__)
    assert leads_to(built, error.path, failed), error.path
    assert error.field_name is not None
    assert error.path[0] == f"Start.{error.field_name}"
    assert error.node_type is built.start
    assert max(Counter(built.journal.started).values()) == 1


@PROFILE
@given(graphs(failing=True), st.integers(0, 30))
def test_a_cancelled_run_leaves_nothing_behind(built: Built, turns: int) -> None:
    async def cancel_after_turns() -> str:
        task = asyncio.ensure_future(run(built))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        except DepError:
            return "failed"
        return "done"

    event(asyncio.run(cancel_after_turns()))

    assert max(Counter(built.journal.started).values(), default=0) <= 1


@PROFILE
@given(st.data())
def test_given_provided_and_overridden_parts_are_used_and_what_only_they_need_is_not_made(data: st.DataObject) -> None:
    built = data.draw(graphs())
    functions = [part.index for part in built.parts if part.kind != "node"]
    provided = data.draw(st.sets(st.sampled_from(functions), max_size=3)) if functions else set()
    rest = [index for index in functions if index not in provided]
    overridden = data.draw(st.sets(st.sampled_from(rest), max_size=3)) if rest else set()
    free = [index for index in built.wanted if built.parts[index].kind != "node"]
    own = data.draw(st.sets(st.sampled_from(free), max_size=2)) if free else set()
    substituted: dict[int, Any] = {index: f"stand-in {index}" for index in provided | overridden}
    built.journal.substituted = set(substituted)

    def stand_in(index: int) -> Any:
        async def stand_in() -> str:
            await asyncio.sleep(0)
            return f"stand-in {index}"

        return stand_in

    async def substitute() -> Any:
        start = built.start(**{f"x{index}": f"given {index}" for index in own})
        with built.graph.override({built.made[index]: stand_in(index) for index in overridden}):
            provide = {built.made[index]: f"stand-in {index}" for index in provided}
            return await run(built, start=start, provide=provide)

    result = asyncio.run(substitute())

    wanted = [index for index in built.wanted if index not in own]
    expected = built.expected(substituted)
    assert Counter(built.journal.started) == Counter(built.needed(substituted, wanted))
    for index in built.wanted:
        value = text_of(getattr(result.result, f"x{index}"))
        assert value == (f"given {index}" if index in own else expected[index])


def leads_to(built: Built, path: tuple[str, ...], failed: int) -> bool:
    """Return whether *path* is a chain of real inputs from the start node to the part that failed."""
    owner, inputs, at = "Start", tuple(built.wanted), -1
    words = list(path)
    while words:
        word = words.pop(0)
        if owner:
            named, _, name = word.partition(".")
            if not name:
                return word == owner and not words and at == failed
            index = int(name[1:])
            if named != owner or index not in inputs:
                return False
        else:
            index = int(word.partition(".")[0].removeprefix("Node").removeprefix("part"))
            if index not in inputs:
                return False
        part = built.parts[index]
        if part.kind == "node":
            if not owner:
                words.insert(0, word)
            owner = part.name
        else:
            if owner and (not words or words.pop(0) != part.name):
                return False
            owner = ""
        inputs, at = part.inputs, index
    return not owner and at == failed
