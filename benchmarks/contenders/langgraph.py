"""LangGraph: nodes and edges of a StateGraph, and Send for a fan-out."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from .. import work
from ..work import FanOut, Once, Steps, told


def dag(steps: Steps) -> Once:
    """A node each, which writes its value into a channel of its own; an edge from all of its inputs."""
    builder = StateGraph(TypedDict("State", {step.name: Any for step in steps}))  # type: ignore[operator]
    for step in steps:
        builder.add_node(f"run_{step.name}", _node(step))
        before = [f"run_{each}" for each in step.inputs]
        builder.add_edge(before if len(before) > 1 else before[0] if before else START, f"run_{step.name}")
    last = steps[-1].name
    builder.add_edge(f"run_{last}", END)
    graph = builder.compile()
    config = {"recursion_limit": len(steps) + 5}

    async def once() -> Any:
        return told((await graph.ainvoke({}, config))[last])

    return once


def _node(step: Any) -> Any:
    async def node(state: dict[str, Any]) -> dict[str, Any]:
        return {step.name: await step.call(*[state[each] for each in step.inputs])}

    return node


class Total(TypedDict):
    total: Annotated[int, operator.add]


def fan_out(shape: FanOut) -> Once:
    """One node, sent each number."""

    async def node(index: int) -> Total:
        return {"total": await shape.call(index)}

    return _sent(node, shape.count)


def blocking(size: int) -> Once:
    """A node that is not async: LangGraph runs it in the loop's threads."""

    def node(index: int) -> Total:
        return {"total": work.block(index)}

    return _sent(node, size)


def _sent(node: Any, count: int) -> Once:
    builder = StateGraph(Total)
    builder.add_node("work", node)
    builder.add_conditional_edges(START, lambda _: [Send("work", index) for index in range(count)], ["work"])
    builder.add_edge("work", END)
    graph = builder.compile()

    async def once() -> int:
        return (await graph.ainvoke({"total": 0}))["total"]

    return once
