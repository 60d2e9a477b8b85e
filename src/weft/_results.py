"""What runs give: frozen values, which a graph's signatures name before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from .lm import Usage
from .nodes import Node

S = TypeVar("S", bound=Node)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class GraphResult(Generic[E]):
    """What a finished run gives: the nodes visited, in order, the last being the `result`, and what LM calls used."""

    trace: list[Node]
    result: E
    usage: Usage
    run_id: str


@dataclass(frozen=True, slots=True)
class BatchItem(Generic[S, E]):
    """One input of `Graph.map` and what came of it: a `result`, or else an `error`.

    `index` counts the inputs from 0; `usage` is what the run used, also if it failed.

    Example:
        >>> import asyncio
        >>> from weft import Graph, Node
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> graph = Graph(start=Question, end=Answer, lm="offline")
        >>> async def main():
        ...     async for item in graph.map([Question(text="Why?"), Question(text="How?")]):
        ...         print(item.index, item.start, type(item.unwrap().result).__name__)
        >>> asyncio.run(main())
        0 text='Why?' Answer
        1 text='How?' Answer
    """

    index: int
    start: S
    result: GraphResult[E] | None
    error: BaseException | None
    usage: Usage
    run_id: str
    seconds: float

    def unwrap(self) -> GraphResult[E]:
        """Return the result; raises the error if there is none."""
        if self.result is None:
            assert self.error is not None
            raise self.error
        return self.result


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: runs that are done, that failed and that are in flight, and what all of them used so far."""

    done: int
    failed: int
    in_flight: int
    usage: Usage
