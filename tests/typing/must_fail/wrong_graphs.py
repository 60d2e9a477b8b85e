"""Graphs and LMs that must not pass. A checker reports exactly the lines marked `# E:`."""

# ruff: noqa: B018, F841, PYI055

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

from weft import LM, BaseLM, Graph, LMRequest, LMResponse, Node, resolve_fields
from weft.lm import OnPartial


def get_city() -> str:
    return "Oslo"


class NoNode:
    pass


class B(Node):
    words: str


class C(Node):
    number: int


class Start(Node):
    message: str

    async def __call__(self) -> B | C: ...


class Other(Node):
    async def __call__(self) -> B: ...


Graph(start=3)  # E: not a class
Graph(start=NoNode)  # E: not a Node
Graph(start=Start(message=""))  # E: a class, not a node
Graph()  # E: a start is needed
Graph(start=Start, finish=B)  # E: unknown name
Graph(start=Start, end=3)  # E: not a type
Graph(start=Start, lm=3)  # E: a name or an LM
Graph(start=Start, max_concurrency="3")  # E: a number
wrong: Graph[Start, B] = Graph(start=Start, end=B | C)  # E: may end at C


def only_the_start_type_runs(graph: Graph[Start, B | C], start: Start, other: Other) -> None:
    graph.run(start)
    graph.run(other)  # E: another node
    graph.run(Start)  # E: the class, not a node
    graph.run(start, other)  # E: one start
    graph.run()  # E: a start is needed
    graph.run(start, lm=3)  # E: a name or an LM
    graph.run(start, max_steps="3")  # E: a number
    graph.run(start, on_event=3)  # E: not callable
    graph.run(start, provide=[get_city])  # E: not a mapping
    graph.override({get_city: "Rome"})  # E: a function stands in for a function


async def only_the_start_type_runs_async(graph: Graph[Start, B], other: Other) -> None:
    await graph.arun(other)  # E: another node
    async for _ in graph.stream(other):  # E: another node
        pass


def the_result_is_typed(start: Start) -> None:
    one: B = Graph(start=Start, end=B | C).run(start).result  # E: may be a C
    unnamed: B = Graph(start=Start).run(start).result  # E: a Node
    other: C = Graph(start=Start, end=B).run(start).result  # E: a B
    Graph(start=Start, end=B | C).run(start).result.words  # E: C has no words
    Graph(start=Start, end=B).run(start).result = B(words="")  # E: a result is frozen
    assert_type(Graph(start=Start).run(start).trace, list[B])  # E: a list of Node


# --- Bodies: code returns what its annotation names.


class WrongNode(Node):
    async def __call__(self) -> B | C:
        return Other()  # E: neither B nor C


class WrongClass(Node):
    async def __call__(self) -> type[B] | type[C]:
        return Other  # E: neither class


class ClassForNode(Node):
    async def __call__(self) -> B:
        return B  # E: the class, not a node


class NodeForClass(Node):
    async def __call__(self) -> type[B]:
        return B(words="")  # E: a node, not the class


class EmptyByPass(Node):
    async def __call__(self) -> B:  # E[pyright]: it takes `...` only; at run time this is as empty
        pass


class EmptyByDocstring(Node):
    async def __call__(self) -> B:  # E[pyright]: it takes `...` only; at run time this is as empty
        """Say what is to be considered."""


# --- LMs


class NoFill:
    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        return types[0]


class FillsSync:
    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        return types[0]

    def fill(
        self, target: type[Node], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> Node:
        return target(**resolved)

    async def make(self, node: Node, target: type[Node]) -> Node:
        return target()

    async def decide(self, node: Node) -> Node | None:
        return None


class NeverAnswers(BaseLM):
    pass


class AnswersText(BaseLM):
    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> str:  # E: an LMResponse
        return ""


no_fill: LM = NoFill()  # E: three methods are missing
fills_sync: LM = FillsSync()  # E: fill must be async
never: LM = NeverAnswers()  # E: generate is abstract
Graph(start=Start, lm=NoFill())  # E: not an LM
LMResponse()  # E: data is needed


async def resolving_by_hand(cache: dict[Any, Any]) -> None:
    await resolve_fields(NoNode, [], cache)  # E: not a Node
    await resolve_fields(B, [NoNode()], cache)  # E: not a trace
    await resolve_fields(B, [], cache, lm=NoFill())  # E: not an LM


async def custom_bodies_ask_the_lm(lm: LM, node: Start) -> None:
    wrong: C = await lm.make(node, B)  # E: a B
    await lm.make(node, NoNode)  # E: not a Node
    await lm.choose_type([NoNode], wrong)  # E: not a Node
