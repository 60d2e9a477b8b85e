"""Weft: nodes, their fields, and functions that are dependencies."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import create_model

from weft import BaseLM, Dep, Graph, LMRequest, LMResponse, Node

from .. import outfit as shapes
from .. import work
from ..work import AbsentError, Once, Step, counts


class Instant:
    """An LM that needs no time: what is left is the engine."""

    async def choose_type(self, types: Sequence[Any], context: Node) -> Any:
        return types[0]

    async def fill(self, target: Any, resolved: Any, instruction: str, source: Any = None) -> Any:
        counts.lm += 1
        return target(text="x", **resolved)

    async def make(self, node: Node, target: Any) -> Any:
        raise NotImplementedError

    async def decide(self, node: Node) -> Any:
        raise NotImplementedError


class Waiting(Instant):
    """An LM that answers when the gate is opened."""

    async def fill(self, target: Any, resolved: Any, instruction: str, source: Any = None) -> Any:
        return target(text=(await work.gate.fill()).text, **resolved)


# --- Chains of nodes ------------------------------------------------------------------------------------------------


def _node(name: str, fields: dict[str, Any], following: type[Node] | None) -> type[Node]:
    """Return a node class, as a class statement would make it."""
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": fields}
    if following is not None:

        async def call(self: Any) -> Any: ...

        call.__annotations__["return"] = following
        namespace["__call__"] = call
    return type(Node)(name, (Node,), namespace)


def chain(size: int) -> Once:
    following = None
    for index in range(size, -1, -1):
        following = _node(f"Link{index}", {"text": str}, following)
    graph = Graph(start=following, lm=Instant())
    start = graph.start(text="x")

    async def once() -> str:
        return (await graph.arun(start, max_steps=None)).result.text

    return once


def runs(_: int) -> Once:
    following = None
    for index in range(4, -1, -1):
        values = {name: Annotated[int, Dep(functools.partial(work.look_up, each))] for each, name in enumerate("abcde")}
        following = _node(f"Visit{index}", {**values, "text": str}, following)
    graph = Graph(start=following, lm=Instant())

    async def once() -> int:
        node = (await graph.arun(graph.start(text="x"))).result
        return node.a + node.b + node.c + node.d + node.e

    return once


def idle(_: int) -> Once:
    graph = Graph(start=_node("Question", {"text": str}, _node("Answer", {"text": str}, None)), lm=Waiting())

    async def once() -> str:
        return (await graph.arun(graph.start(text="x"))).result.text

    return once


# --- Dependencies of one node ---------------------------------------------------------------------------------------


def _sum_of(function: Callable[[int], Any], size: int, *, thread: bool = False) -> Once:
    names = [f"value{index}" for index in range(size)]
    fields: Any = {
        name: (int, Dep(functools.partial(function, index), thread=thread)) for index, name in enumerate(names)
    }
    graph = Graph(start=create_model("Wide", __base__=Node, __module__=__name__, **fields))
    start = graph.start()

    async def once() -> int:
        return sum(vars((await graph.arun(start)).result).values())

    return once


def noop(size: int) -> Once:
    return _sum_of(work.noop, size)


def wide(size: int) -> Once:
    return _sum_of(work.nap, size)


def blocking(size: int) -> Once:
    return _sum_of(work.block, size, thread=True)


def dag(steps: Sequence[Step]) -> Once:
    """Functions whose parameters are dependencies, below one field."""
    made: dict[str, Any] = {}
    for step in steps:
        made[step.name] = _dependency(step, made)
    end = create_model("End", __base__=Node, __module__=__name__, value=(int, Dep(made[steps[-1].name])))
    graph = Graph(start=end)

    async def once() -> Any:
        return (await graph.arun(graph.start())).result.value

    return once


def _dependency(step: Step, made: dict[str, Any]) -> Any:
    """Return the step as a function with a parameter for each input, as a def would make it."""

    async def function(**inputs: int) -> int:
        return await step.call(*inputs.values())

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(each, kind, annotation=Annotated[int, Dep(made[each])]) for each in step.inputs]
    function.__signature__ = inspect.Signature(parameters, return_annotation=int)
    function.__name__ = step.name
    return function


# --- The outfit of the day, and routes ------------------------------------------------------------------------------


class Slow(BaseLM):
    """An LM that takes its time, takes the first of what it may choose, and writes x into every field."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def generate(self, request: LMRequest, on_partial: Any = None) -> LMResponse:
        """Return x for each field, the first option, or both in one."""
        counts.lm += 1
        await asyncio.sleep(self.seconds)
        kind: str = request.kind
        if kind == "fill":
            return LMResponse(dict.fromkeys(request.schema["properties"], "x"))
        first = request.options[0]
        if kind == "choose":
            return LMResponse({"choice": first.name})
        return LMResponse({"decision": {"choice": first.name, "fields": dict.fromkeys(first.fields, "x")}})


def _fetched(name: str) -> Callable[[], Any]:
    async def fetch() -> str:
        return await shapes.fetch(name)

    return fetch


get_location, get_calendar, get_closet, get_trips, get_shops = map(
    _fetched, ("location", "calendar", "closet", "trips", "shops")
)


async def get_weather(place: Annotated[str, Dep(get_location)]) -> str:
    return await shapes.fetch("weather", place)


class Message(Node):
    text: str

    async def __call__(self) -> Day | Rest: ...


class Day(Node):
    weather: Annotated[str, Dep(get_weather)]
    calendar: Annotated[str, Dep(get_calendar)]
    mood: str

    async def __call__(self) -> Outfit: ...


class Rest(Node):
    answer: str


class Clothes(Node):
    closet: Annotated[str, Dep(get_closet)]
    top: str


class Bag(Node):
    trips: Annotated[str, Dep(get_trips)]
    umbrella: str


class Wardrobe(Node):
    clothes: Annotated[Clothes, Dep()]
    bag: Annotated[Bag, Dep()]
    look: str


class Outfit(Node):
    wardrobe: Annotated[Wardrobe, Dep()]
    shops: Annotated[str, Dep(get_shops)]
    answer: str

    async def __call__(self) -> Reply | Inquiry: ...


class Reply(Node):
    text: str


class Inquiry(Node):
    question: str


def outfit(percent: int, mode: shapes.Mode) -> Once:
    shapes.pace.percent = percent
    graph = Graph(start=Message, lm=Slow(shapes.pace.of("lm")), **_options(mode))

    async def once() -> str:
        return (await graph.arun(Message(text="ugh"))).result.text

    return once


def _options(mode: shapes.Mode) -> dict[str, str]:
    """Return the graph's options for *mode*; raises AbsentError where this version has not what it needs."""
    known = inspect.signature(Graph.__init__).parameters
    options = {"prefetch": mode.prefetch, "routing": "one-call" if mode.one_call else "two-call"}
    for name, value in list(options.items()):
        if name not in known and value not in ("off", "two-call"):
            raise AbsentError(f"not in this version: Graph({name}=)")
        # What is not there, or is the default, need not be said.
        if name not in known or value == "two-call":
            del options[name]
    return options


def routes(size: int, mode: shapes.Mode) -> Once:
    following = _node("Last", {"text": str}, None)
    for index in range(size - 1, -1, -1):
        following = _fork(index, following)
    graph = Graph(start=following, lm=Slow(shapes.ROUTE_SECONDS), **_options(mode))

    async def once() -> str:
        return (await graph.arun(graph.start(text="x"), max_steps=None)).result.text

    return once


def _fork(index: int, following: type[Node]) -> type[Node]:
    aside = _node(f"Aside{index}", {"text": str}, None)
    return _node(f"Fork{index}", {"text": str}, following | aside)
