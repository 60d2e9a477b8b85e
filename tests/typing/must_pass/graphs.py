"""Graphs: what a run takes and gives."""

# pyright: strict
# ruff: noqa: PIE790, PYI055, UP037  (all ways to write it are shown)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar, assert_type

from weft import (
    LM,
    BaseLM,
    Dep,
    Graph,
    GraphResult,
    LMRequest,
    LMResponse,
    Node,
    OfflineLM,
    Usage,
    classify_fields,
    resolve_dep,
    resolve_fields,
)
from weft.events import Event
from weft.lm import OnPartial

T = TypeVar("T")
N = TypeVar("N", bound=Node)


def get_city() -> str:
    return "Oslo"


def get_other_city() -> str:
    return "Rome"


class B(Node):
    words: str

    async def __call__(self) -> None: ...


class C(Node):
    number: int


class Box(Node, Generic[T]):
    content: T


# Routing bodies are empty, and `...` is what both checkers take.
class Chooses(Node):
    message: str

    async def __call__(self) -> B | C: ...


class ChoosesWithDocstring(Node):
    async def __call__(self) -> B | C:
        """Say what is to be considered."""
        ...


class MayStop(Node):
    async def __call__(self) -> B | None: ...


class Quoted(Node):
    async def __call__(self) -> "B | Later": ...


class Later(Node):
    words: str


# Code that gives a class: the LM fills it.
class CodeChooses(Node):
    message: str

    async def __call__(self, lm: LM, city: Annotated[str, Dep(get_city)]) -> type[B] | type[C]:
        return B if self.message == city else C


class CodeChoosesShort(Node):
    async def __call__(self) -> type[B | C]:
        return C


class CodeGives(Node):
    message: str

    async def __call__(self) -> B | C | None:
        return B(words=self.message) if self.message else None


class GivesBox(Node):
    async def __call__(self) -> Box[int]: ...


GRAPHS = [
    Graph(start=start)
    for start in (Chooses, ChoosesWithDocstring, MayStop, Quoted, CodeChooses, CodeChoosesShort, CodeGives, GivesBox)
]


# The result is typed by `end`.
def the_result_is_typed(message: str) -> None:
    start = Chooses(message=message)
    assert_type(Graph(start=Chooses), Graph[Chooses, Node])
    assert_type(Graph(start=Chooses).run(start).result, Node)
    assert_type(Graph(start=Chooses, lm="offline", max_concurrency=3).run(start).result, Node)
    assert_type(Graph(start=Chooses, end=B | C).run(start).result, B | C)
    assert_type(Graph(Chooses, B | C).run(start).result, B | C)
    assert_type(Graph(start=CodeGives, end=CodeGives | B).run(CodeGives(message="")).result, CodeGives | B)
    assert_type(Graph(start=CodeChooses, end=B | C).run(CodeChooses(message="")).result, B | C)
    assert_type(Graph(start=MayStop, end=B).run(MayStop()).result, B)
    assert_type(Graph(start=GivesBox, end=Box[int]).run(GivesBox()).result, Box[int])
    assert_type(Graph(start=GivesBox, end=Box[int]).run(GivesBox()).result.content, int)


class Stated:
    # A graph's type can be written down.
    graph: Graph[Chooses, B | C] = Graph(start=Chooses, end=B | C)
    open_ended: Graph[Chooses, Node] = Graph(start=Chooses)


async def the_other_ways_to_run(graph: Graph[Chooses, B | C], start: Chooses) -> None:
    result = await graph.arun(start, lm="offline", timeout=2.5, max_steps=None)
    assert_type(result, GraphResult[B | C])
    assert_type(result.result, B | C)
    assert_type(result.trace, list[Node])
    assert_type(result.usage, Usage)
    async for event in graph.stream(start, lm=OfflineLM(), max_steps=3):
        assert_type(event, Event)
    events: list[Event] = []
    graph.run(start, on_event=events.append, provide={get_city: "Paris", B: B(words="given")})
    with graph.override({get_city: get_other_city}, lm="offline"):
        graph.run(start)
    with graph.override(lm=OfflineLM()):
        graph.run(start)


def what_a_graph_tells(graph: Graph[Chooses, Node]) -> None:
    assert_type(graph.start, type[Chooses])
    assert_type(graph.nodes, set[type[Node]])
    assert_type(graph.edges, dict[type[Node], set[type[Node]]])
    assert_type(graph.terminal_nodes, set[type[Node]])
    assert_type(graph.validate(), list[str])
    assert_type(graph.to_mermaid(), str)
    assert_type(Chooses.successors(), set[type[Node]])
    assert_type(Chooses.is_terminal(), bool)


async def resolving_by_hand() -> None:
    cache: dict[Any, Any] = {}
    assert_type(await resolve_fields(B, [], cache), dict[str, Any])
    assert_type(await resolve_fields(B, [B(words="")], cache, OfflineLM()), dict[str, Any])
    await resolve_dep(get_city, cache, trace=[], lm="offline")
    assert_type(classify_fields(B), dict[str, Literal["plain", "dep", "recall"]])


# Any object with the four methods is an LM; one method makes another.
class FourMethods:
    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        return types[0]

    async def fill(
        self, target: type[N], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> N:
        return target(**resolved)

    async def make(self, node: Node, target: type[N]) -> N:
        return target()

    async def decide(self, node: Node) -> Node | None:
        return None


class OneMethod(BaseLM):
    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        return LMResponse({"words": request.target})


as_lm: LM = FourMethods()
as_lm_too: LM = OneMethod()


def any_lm_will_do(start: Chooses) -> None:
    Graph(start=Chooses, lm=FourMethods()).run(start, lm=OneMethod())


async def custom_bodies_ask_the_lm(lm: LM, node: Chooses) -> None:
    assert_type(await lm.make(node, B), B)
    assert_type(await lm.fill(C, {}, "count", node), C)
    assert_type(await lm.decide(node), Node | None)
    assert_type(await lm.choose_type([B, C, None], node), type[Node] | None)
