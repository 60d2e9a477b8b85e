"""Width and depth are no limit: 10,000 dependencies in one node, a chain 5,000 deep, 10,000 runs in flight."""

from __future__ import annotations

import asyncio
import gc
import inspect
import tracemalloc
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Annotated, Any

import pytest
from pydantic import create_model

from weft import Budget, Dep, DepError, Graph, Node, OfflineLM, Recall
from weft._prefetch import Prefetch

WIDE, DEEP = 10_000, 5_000

# What a run in flight takes that waits in a dependency: itself, its tasks, its values. A third is asyncio's.
BYTES_OF_A_RUN = 16_000


def wide_node(make: Any) -> type[Node]:
    fields: Any = {f"x{index}": (int, Dep(make(index))) for index in range(WIDE)}
    return create_model("Wide", __base__=Node, __module__=__name__, **fields)


def chain(bottom: Any) -> Any:
    """Return a function at the top of DEEP functions, every other one async, each adding one to the one below."""
    below = bottom
    for index in range(DEEP):
        below = link(below, index)
    return below


def link(below: Any, index: int) -> Any:
    def add(below: int) -> int:
        return below + 1

    async def add_async(below: int) -> int:
        return below + 1

    made: Any = add_async if index % 2 else add
    parameter = inspect.Parameter("below", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[int, Dep(below)])
    made.__signature__ = inspect.Signature([parameter], return_annotation=int)
    made.__name__ = f"link{index}"
    return made


def test_ten_thousand_async_dependencies_of_one_node_resolve() -> None:
    def make(index: int) -> Any:
        async def get() -> int:
            return index

        return get

    node = wide_node(make)

    result = Graph(start=node).run(node())

    assert [getattr(result.result, f"x{index}") for index in range(WIDE)] == list(range(WIDE))


def test_ten_thousand_sync_dependencies_of_one_node_resolve() -> None:
    node = wide_node(lambda index: lambda: index)

    result = Graph(start=node).run(node())

    assert [getattr(result.result, f"x{index}") for index in range(WIDE)] == list(range(WIDE))


def test_a_chain_five_thousand_deep_resolves() -> None:
    node = create_model("Deep", __base__=Node, __module__=__name__, top=(int, Dep(chain(lambda: 0))))

    assert Graph(start=node).run(node()).result.top == DEEP  # type: ignore[attr-defined]


def test_a_failure_at_the_bottom_of_a_deep_chain_names_the_way_in_one_readable_line() -> None:
    def bottom() -> int:
        raise ValueError("no ground")

    node = create_model("Deep", __base__=Node, __module__=__name__, top=(int, Dep(chain(bottom))))

    with pytest.raises(DepError) as caught:
        Graph(start=node).run(node())

    assert len(caught.value.path) == DEEP + 2
    assert caught.value.path[:2] == ("Deep.top", f"link{DEEP - 1}")
    assert caught.value.path[-1] == "bottom"
    assert len(str(caught.value)) < 500
    assert "… 4,990 more …" in str(caught.value)


def test_events_of_a_wide_node_are_told_in_linear_time() -> None:
    node = wide_node(lambda index: lambda: index)
    events: list[Any] = []

    Graph(start=node).run(node(), on_event=events.append)

    assert len(events) == 2 * WIDE + 4


async def test_ten_thousand_runs_are_in_flight_at_once_in_bounded_memory() -> None:
    gate, all_there = asyncio.Event(), asyncio.Event()
    parked = 0

    async def park() -> bool:
        nonlocal parked
        parked += 1
        if parked == WIDE:
            all_there.set()
        return await gate.wait()

    class Order(Node):
        number: int

        async def __call__(self) -> Parked: ...

    class Parked(Node):
        has_waited: Annotated[bool, Dep(park)]

    graph = Graph(start=Order, end=Parked)

    async def numbers() -> list[int]:
        items = graph.map((Order(number=number) for number in range(WIDE)), concurrency=WIDE)
        return [item.start.number async for item in items if item.unwrap().result.has_waited]

    tracemalloc.start()
    try:
        batch = asyncio.ensure_future(numbers())
        await asyncio.wait_for(all_there.wait(), 60)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    gate.set()

    assert await batch == list(range(WIDE))
    assert size / WIDE < BYTES_OF_A_RUN
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("prefetch", ["certain", "candidates", "off"])
@pytest.mark.parametrize(
    "options",
    [{}, {"on_event": lambda _: None}, {"timeout": 60.0}, {"budget": Budget(requests=9)}],
    ids=["bare", "heard", "timed", "limited"],
)
async def test_a_run_leaves_nothing_for_the_garbage_collector(prefetch: Prefetch, options: dict[str, Any]) -> None:
    """A thousand runs at once hold much: what is over must go at once, and no collector have to look for it."""

    async def base() -> int:
        await asyncio.sleep(0)
        return 1

    async def slow(number: Annotated[int, Dep(base)]) -> int:
        await asyncio.sleep(0.001)
        return number

    async def opened(number: Annotated[int, Dep(slow)]) -> AsyncIterator[int]:
        yield number

    class Inner(Node):
        number: Annotated[int, Dep(base)]

    inner = Graph(start=Inner)

    async def run_inside() -> int:
        return (await inner.arun(Inner())).result.number

    class Start(Node):
        number: Annotated[int, Dep(run_inside)]

        async def __call__(self, number: Annotated[int, Dep(slow)]) -> Choice:
            return Choice(text="")

    class Side(Node):
        text: str

    class Choice(Node):
        text: str
        number: Annotated[int, Dep(opened)]
        side: Annotated[Side, Dep()]

        async def __call__(self) -> One | Other: ...

    class One(Node):
        number: Annotated[int, Dep(slow)]
        start: Annotated[Start, Recall()]
        text: str

    class Other(Node):
        text: str

    graph = Graph(start=Start, lm=OfflineLM(), prefetch=prefetch)
    await graph.arun(Start(), **options)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await graph.arun(Start(), **options)
        gc.collect()
        left = [
            each for each in gc.garbage if type(each).__module__.startswith("weft") or isinstance(each, Node | Context)
        ]
        names = {type(each).__qualname__ for each in left}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    assert names == set()
