"""A recorded run, replayed, is the same: trace, usage, calls; whatever the order of concurrent calls."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any  # noqa: F401  names in the source of graphs

from hypothesis import given, settings
from hypothesis import strategies as st

from weft import (
    LM,
    BaseLM,
    Dep,  # noqa: F401
    Graph,
    GraphResult,
    LMResponse,
    Node,
    RecordingLM,
    ReplayLM,
    StepLimitError,
    Usage,
)
from weft.events import Event, LMCallFinished


class Delayed(BaseLM):
    """Yields to the loop a drawn number of times before it asks; answers say how many were asked before."""

    def __init__(self, yields: Sequence[int], inner: BaseLM | None = None, bad: Collection[int] = ()) -> None:
        self.yields = yields
        self.inner = inner
        self.bad = bad
        self.asked = 0

    async def generate(self, request: Any, on_partial: Any = None) -> LMResponse:
        number, self.asked = self.asked, self.asked + 1
        for _ in range(self.yields[number % len(self.yields)]):
            await asyncio.sleep(0)
        if self.inner is not None:
            return await self.inner.generate(request, on_partial)
        usage = Usage(1, 7 * number, number, number / 8, number % 3)
        if request.kind == "choose":
            return LMResponse({"choice": request.options[number % len(request.options)].name}, usage, "drawn-1")
        if number in self.bad:
            return LMResponse({"said": number}, usage, "drawn-2")
        return LMResponse(dict.fromkeys(request.schema["properties"], f"no. {number}"), usage, "drawn-1")


class Part(Node):
    said: str


async def some_parts(lm: LM) -> list[Part]:
    return list(await asyncio.gather(*(lm.make(Part(said="the same"), Part) for _ in range(3))))


@st.composite
def graphs(draw: st.DrawFn) -> Graph[Any, Any]:
    """Draw a graph of some nodes with parts that are filled at once, some asked the same, and ways to any node."""
    names = [f"N{index}" for index in range(draw(st.integers(1, 4)))]
    lines: list[str] = []
    for name in names:
        subs = [f"{name}Sub{index}" for index in range(draw(st.integers(0, 3)))]
        for sub in subs:
            lines += [f"class {sub}(Part): ..."]
        lines += [f"class {name}(Node):", "    said: str"]
        for sub in subs:
            lines += [f"    {sub.lower()}: Annotated[{sub}, Dep(per={draw(st.sampled_from(['run', 'visit']))!r})]"]
        if draw(st.booleans()):
            lines += [f"    parts: list[Part] = Dep(some_parts, per={draw(st.sampled_from(['run', 'visit']))!r})"]
        ways = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        lines += [f'    async def __call__(self) -> "{" | ".join([*ways, "None"])}": ...']
    scope = {**globals(), "__name__": "drawn"}
    exec("\n".join(lines), scope)
    return Graph(start=scope["N0"])


async def run(graph: Graph[Any, Any], lm: BaseLM) -> tuple[Any, ...]:
    """Return what is seen of a run: how it ended, and each call, by place."""
    events: list[Event] = []
    ended: Any
    try:
        result: GraphResult[Any] = await graph.arun(graph.start(said="x"), lm=lm, max_steps=6, on_event=events.append)
        ended = result.trace
    except StepLimitError as error:
        ended = error.trace
    usage = events[-1].usage  # type: ignore[attr-defined]
    calls = [
        (each.key, each.kind, each.status, each.reasons, each.request, each.answer, each.model, each.usage)
        for each in events
        if isinstance(each, LMCallFinished)
    ]
    return ended, usage, usage.by_node, usage.by_model, sorted(calls, key=lambda each: each[0])


YIELDS = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@settings(deadline=None, max_examples=60)
@given(graphs(), YIELDS, YIELDS, st.sets(st.integers(0, 9), max_size=2))
def test_a_replayed_run_is_the_recorded_one_whatever_the_order_of_calls(graph, recording, replaying, bad):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cassette.json"
        recorded = asyncio.run(run(graph, RecordingLM(Delayed(recording, bad=bad), file)))
        replay = ReplayLM(file)

        assert asyncio.run(run(graph, Delayed(replaying, replay))) == recorded
        assert replay.unused() == []
