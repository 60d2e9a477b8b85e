"""Any batch gives each input's item once, in order if asked, within its bounds, whatever fails and whatever is slow.

Runs and consumer yield to the loop a drawn number of times, so that the order of completion varies and is the same at
every replay.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from hypothesis import event, given, settings
from hypothesis import strategies as st

from weft import Graph, Node


@dataclass(frozen=True)
class Work:
    """What a run does: how often it yields to the loop, before and after its middle, and whether it fails."""

    yields: int
    fails: bool


class Job(Node):
    number: int
    yields: int
    fails: bool

    async def __call__(self) -> Done:
        going.add(self.number)
        peak.append(len(going))
        try:
            await give_way(self.yields)
        finally:
            going.discard(self.number)
        if self.fails:
            raise ValueError(self.number)
        return Done(number=self.number)


class Done(Node):
    number: int


graph = Graph(start=Job, end=Done)
going: set[int] = set()
peak: list[int] = []

works = st.lists(st.builds(Work, st.integers(0, 12), st.booleans()), max_size=30)


async def give_way(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@settings(deadline=None, max_examples=150)
@given(
    works=works,
    concurrency=st.integers(1, 8),
    ordered=st.booleans(),
    is_async=st.booleans(),
    slow=st.integers(0, 6),
    leaves_after=st.none() | st.integers(0, 30),
)
def test_each_input_gives_one_item_and_nothing_is_left(  # noqa: C901, PLR0917  all that is drawn, and all that must hold of it
    works, concurrency, ordered, is_async, slow, leaves_after
):
    going.clear()
    peak.clear()
    taken = handed = 0

    def inputs():
        nonlocal taken
        for number, work in enumerate(works):
            taken += 1
            assert taken - handed <= 2 * concurrency + 1
            yield Job(number=number, yields=work.yields, fails=work.fails)

    async def async_inputs():
        for each in inputs():
            await give_way(slow)
            yield each

    async def take():
        nonlocal handed
        items = []
        given = async_inputs() if is_async else inputs()
        async with aclosing(graph.map(given, concurrency=concurrency, ordered=ordered)) as batch:
            async for item in batch:
                handed += 1
                items.append(item)
                if len(items) == leaves_after:
                    break
                await give_way(slow)
        if is_async:
            await given.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return items

    items = asyncio.run(take())

    size = len(works) if not leaves_after else min(leaves_after, len(works))
    indices = [item.index for item in items]
    event("in order" if indices == sorted(indices) else "out of order")
    assert len(items) == len(set(indices)) == size
    assert not ordered or indices == list(range(size))
    assert max(peak, default=0) <= concurrency
    assert going == set()
    for item in items:
        assert item.start.number == item.index
        assert (item.error is not None) == works[item.index].fails
        if item.error is None:
            assert item.unwrap().result.number == item.index
