"""Facts that no other test would miss: each was found by breaking the code by hand and seeing everything stay green."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError
from running import finish

from weft import Dep, DepError, Graph, Node, Recall, RunError, RunTimeoutError
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


def graph_of(function):
    """Return a graph of one node that has one dependency."""

    class Only(Node):
        value: Annotated[object, Dep(function)]

    return Graph(start=Only), Only


# --- What reads the trace ---


async def test_what_is_made_from_a_sub_node_is_made_again_when_the_sub_node_is():
    class Mood(Node):
        word: str

    def loud(mood: Annotated[Mood, Dep()]) -> str:
        return mood.word.upper()

    class First(Node):
        said: Annotated[str, Dep(loud)]

        async def __call__(self) -> "Second":
            return Second()

    class Second(Node):
        async def __call__(self) -> "Third":
            return Third()

    class Third(Node):
        said: Annotated[str, Dep(loud)]

    lm = ScriptedLM({Mood: [{"word": "calm"}, {"word": "cross"}]})
    result = await finish(Graph(start=First).arun(First(), lm=lm))

    assert [result.trace[0].said, result.trace[2].said] == ["CALM", "CROSS"]


async def test_what_is_made_from_two_that_read_the_trace_is_made_again_when_either_would_be():
    def read_topic(topic: Annotated[str, Recall("topic")]) -> str:
        return topic

    def read_turn(turn: Annotated[int, Recall("turn")]) -> int:
        return turn

    def both(topic: Annotated[str, Dep(read_topic)], turn: Annotated[int, Dep(read_turn)]) -> str:
        return f"{topic} {turn}"

    class Topic(Node):
        topic: str

        async def __call__(self) -> "Turn":
            return Turn(turn=1)

    class Turn(Node):
        turn: int

        async def __call__(self, both: Annotated[str, Dep(both)]) -> "Turn | Last":
            seen.append(both)
            return Turn(turn=2) if self.turn == 1 else Last()

    class Last(Node):
        pass

    seen = []
    await finish(Graph(start=Topic).arun(Topic(topic="shoes")))

    assert seen == ["shoes 1", "shoes 2"]


async def test_a_resource_of_a_subgraph_that_reads_its_trace_is_closed_when_the_subgraph_ends():
    log = []

    def session(name: Annotated[str, Recall("name")]) -> Iterator[str]:
        log.append("open")
        yield name
        log.append("close")

    class Inner(Node):
        name: str
        used: Annotated[str, Dep(session)]

    inner = Graph(start=Inner)

    async def sub() -> str:
        name = (await inner.arun(Inner(name="in"))).result.used
        log.append("after the subgraph")
        return name

    outer, start = graph_of(sub)
    result = await finish(outer.arun(start()))

    assert result.result.value == "in"
    assert log == ["open", "close", "after the subgraph"]


# --- Flights that runs share ---


async def test_what_waits_for_a_shared_flight_goes_on_in_the_context_of_its_own_run():
    place = ContextVar("place", default="outer")
    go_on = asyncio.Event()

    async def shared() -> int:
        await go_on.wait()
        return 1

    async def where(value: Annotated[int, Dep(shared)]) -> str:
        return place.get()

    inner, inner_start = graph_of(where)

    async def sub() -> str:
        place.set("inner")
        asyncio.get_running_loop().call_soon(go_on.set)
        return (await inner.arun(inner_start())).result.value

    class Outer(Node):
        first: Annotated[int, Dep(shared)]
        inside: Annotated[str, Dep(sub)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.result.inside == "inner"


async def test_who_asks_while_an_abandoned_flight_is_still_ending_starts_another():
    log = []
    may_end = asyncio.Event()

    async def shared() -> int:
        log.append("+")
        if len(log) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await may_end.wait()
                log.append("-")
        return 1

    inner, inner_start = graph_of(shared)

    class Outer(Node):
        async def __call__(self) -> None:
            left = asyncio.ensure_future(inner.arun(inner_start()))
            await turns(3)
            left.cancel()
            await turns(3)
            result = await inner.arun(inner_start())
            assert result.result.value == 1
            assert log == ["+", "+"]
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await left

    await finish(Graph(start=Outer).arun(Outer()))

    assert log == ["+", "+", "-"]


async def test_a_dependency_may_wait_for_one_that_has_stopped_waiting_for_it():
    left = asyncio.Event()
    asked = asyncio.Event()

    async def slow() -> str:
        await left.wait()
        asyncio.get_running_loop().call_soon(asked.set)
        return (await wants_hasty.arun(wants_hasty_start())).result.value

    wants_slow, wants_slow_start = graph_of(slow)

    async def hasty() -> str:
        with pytest.raises(RunTimeoutError):
            await wants_slow.arun(wants_slow_start(), timeout=0.01)
        left.set()
        await asked.wait()
        return "gave up"

    wants_hasty, wants_hasty_start = graph_of(hasty)

    class Outer(Node):
        a: Annotated[str, Dep(slow)]
        b: Annotated[str, Dep(hasty)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert (result.result.a, result.result.b) == ("gave up", "gave up")


async def test_what_a_dependency_left_running_may_wait_for_one_that_had_waited_for_it():
    asks = asyncio.Event()
    asked = asyncio.Event()
    tasks = []

    async def quick() -> str:
        async def later() -> str:
            await asks.wait()
            asyncio.get_running_loop().call_soon(asked.set)
            return (await wants_user.arun(wants_user_start())).result.value

        tasks.append(asyncio.ensure_future(later()))
        await turns(2)
        return "quick"

    wants_quick, wants_quick_start = graph_of(quick)

    async def user() -> str:
        await wants_quick.arun(wants_quick_start())
        asks.set()
        await asked.wait()
        await turns(2)
        return "used"

    wants_user, wants_user_start = graph_of(user)

    class Outer(Node):
        a: Annotated[str, Dep(quick)]
        b: Annotated[str, Dep(user)]

        async def __call__(self) -> None:
            assert await tasks[0] == "used"

    await finish(Graph(start=Outer).arun(Outer()))


# --- Runs that outlive the run around them ---


async def test_a_run_that_outlives_the_one_around_it_closes_what_that_would_have_closed():
    log = []
    over = asyncio.Event()
    tasks = []

    def tenant() -> str:
        raise AssertionError

    def session(tenant: Annotated[str, Dep(tenant)]) -> Iterator[str]:
        log.append(f"open for {tenant}")
        yield tenant
        log.append("close")

    late, late_start = graph_of(session)

    class Middle(Node):
        whose: Annotated[str, Dep(tenant)]

        async def __call__(self) -> None:
            async def later() -> str:
                await over.wait()
                return (await late.arun(late_start())).result.value

            tasks.append(asyncio.ensure_future(later()))

    middle = Graph(start=Middle)

    async def sub() -> str:
        await middle.arun(Middle(), provide={tenant: "acme"})
        over.set()
        value = await tasks[0]
        log.append("after the late run")
        return value

    outer, start = graph_of(sub)
    result = await finish(outer.arun(start()))

    assert result.result.value == "acme"
    assert log == ["open for acme", "close", "after the late run"]


async def test_a_resource_whose_run_ends_while_it_is_set_up_is_taken_down_and_says_so():
    log = []
    tasks = []
    go_on = asyncio.Event()

    async def session() -> AsyncIterator[str]:
        log.append("setting up")
        await go_on.wait()
        try:
            yield "session"
        finally:
            log.append("close")

    late, late_start = graph_of(session)

    class Outer(Node):
        async def __call__(self) -> None:
            tasks.append(asyncio.ensure_future(late.arun(late_start())))
            await turns(3)

    await finish(Graph(start=Outer).arun(Outer()))
    assert log == ["setting up"]
    go_on.set()
    with pytest.raises(DepError) as caught:
        await finish(tasks[0])

    assert isinstance(caught.value.__cause__, RunError)
    assert "when its run was over" in str(caught.value)
    assert log == ["setting up", "close"]


# --- Values ---


async def test_what_a_sub_node_is_given_is_converted_and_checked_as_its_fields_say():
    def get_count() -> Any:
        return counted

    class Shelf(Node):
        count: Annotated[int, Field(gt=0), Dep(get_count)]
        words: str

    class Only(Node):
        shelf: Annotated[Shelf, Dep()]

    graph, lm = Graph(start=Only), ScriptedLM({Shelf: {"words": "w"}})
    counted = "3"
    assert (await finish(graph.arun(Only(), lm=lm))).result.shelf.count == 3

    counted = -1
    with pytest.raises(DepError) as caught:
        await finish(graph.arun(Only(), lm=lm))

    assert caught.value.path == ("Only.shelf", "Shelf")
    assert isinstance(caught.value.__cause__, ValidationError)
