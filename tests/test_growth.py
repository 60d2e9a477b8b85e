"""Making a graph takes work in proportion to what it is made of, whatever that is."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union

import pytest
from pydantic import create_model

from weft import Dep, Graph, Node

SIZE, TIMES = 100, 4


async def number(index: int) -> int:
    return index


def function_of(makers: Sequence[Any]) -> Any:
    """Return a function with a parameter for each of *makers*."""

    async def function(**values: int) -> int:
        return sum(values.values())

    parameters = [
        inspect.Parameter(f"value{index}", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[int, Dep(each)])
        for index, each in enumerate(makers)
    ]
    changed: Any = function
    changed.__signature__ = inspect.Signature(parameters, return_annotation=int)
    return changed


def node(name: str, following: Any = None, **fields: Any) -> type[Node]:
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": fields}
    if following is not None:

        async def call(self: Any) -> Any: ...

        call.__annotations__["return"] = following
        namespace["__call__"] = call
    return type(Node)(name, (Node,), namespace)


def fields(size: int) -> type[Node]:
    made: Any = {f"value{index}": (int, Dep(functools.partial(number, index))) for index in range(size)}
    return create_model("Wide", __base__=Node, __module__=__name__, **made)


def functions(size: int) -> type[Node]:
    return node("Wide", **{f"value{index}": Annotated[int, Dep(function_of([]))] for index in range(size)})


def parameters(size: int) -> type[Node]:
    return node(
        "Top", value=Annotated[int, Dep(function_of([functools.partial(number, each) for each in range(size)]))]
    )


def links(size: int) -> type[Node]:
    below = function_of([])
    for _ in range(size):
        below = function_of([below])
    return node("Deep", value=Annotated[int, Dep(below)])


def nodes(size: int) -> type[Node]:
    following = node("Last", text=str)
    for index in range(size):
        following = node(f"Link{index}", following, text=str)
    return following


def candidates(size: int) -> type[Node]:
    following = [node(f"Choice{index}", text=str) for index in range(size)]
    return node("Start", Union[tuple(following)], text=str)  # noqa: UP007  of a tuple


def nodes_as_dependencies(size: int) -> type[Node]:
    below = node("Bottom", text=str)
    for index in range(size):
        below = node(f"Inner{index}", text=str, below=Annotated[below, Dep()])
    return below


def calls_to_make_the_graph(start: type[Node]) -> int:
    """Return how many functions, Python's and C's, are called or resumed."""
    calls = 0

    def count(_: Any, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        Graph(start=start)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    "shape",
    [fields, functions, parameters, links, nodes, candidates, nodes_as_dependencies],
    ids=lambda each: each.__name__,
)
def test_work_grows_in_proportion(shape: Callable[[int], type[Node]]) -> None:
    few, many = shape(SIZE), shape(TIMES * SIZE)
    Graph(start=shape(1))  # what is done once

    assert calls_to_make_the_graph(many) < 1.05 * TIMES * calls_to_make_the_graph(few)


def seconds_to_make_the_graph(start: type[Node]) -> float:
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        Graph(start=start)
        return time.process_time() - started
    finally:
        gc.enable()


def test_time_grows_in_proportion() -> None:
    """What no call shows: that a name is looked up in a list."""
    few = min(seconds_to_make_the_graph(fields(1_500)) for _ in range(3))
    many = seconds_to_make_the_graph(fields(20_000))

    assert many < 24 * few  # 13 in proportion, more than 36 by square
