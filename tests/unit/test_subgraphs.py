"""A graph run inside a dependency or a body is part of the run around it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from running import finish, never, others

from weft import LM, BaseLM, Dep, DepError, Graph, LMResponse, Node, NodeConfig, Recall, RunTimeoutError, StepLimitError
from weft.events import DepFinished, DepStarted, RunFinished, RunStarted
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Start(Node):
    async def __call__(self) -> "Words": ...


class Words(Node):
    words: str


def graph_of(function, **options):
    """Return a graph of one node that has one dependency."""

    class Only(Node):
        value: Annotated[object, Dep(function, **options)]

    return Graph(start=Only), Only


# --- Sharing ---


async def test_values_are_shared_both_ways():
    calls = []

    def shared() -> object:
        calls.append("shared")
        return object()

    inner, inner_start = graph_of(shared)

    async def sub() -> object:
        return (await inner.arun(inner_start())).result.value

    class Outer(Node):
        inside: Annotated[object, Dep(sub)]

        async def __call__(self) -> "Last":
            return Last()

    class Last(Node):
        value: Annotated[object, Dep(shared)]

        async def __call__(self) -> None:
            assert (await inner.arun(inner_start())).result.value is self.value

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.trace[0].inside is result.trace[1].value
    assert calls == ["shared"]


async def test_a_flight_is_shared_while_it_goes_on():
    calls = []
    both = asyncio.Event()

    async def shared() -> object:
        calls.append("shared")
        await both.wait()
        return object()

    inner, inner_start = graph_of(shared)

    async def sub() -> object:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, both.set)
        return (await inner.arun(inner_start())).result.value

    class Outer(Node):
        a: Annotated[object, Dep(sub)]
        b: Annotated[object, Dep(shared)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.result.a is result.result.b
    assert calls == ["shared"]


async def test_a_shared_flight_survives_the_subgraph_that_started_it():
    """The subgraph times out; the outer run still waits for the value."""
    go_on = asyncio.Event()
    ended = []

    async def shared() -> int:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return 7

    inner, inner_start = graph_of(shared)

    async def sub() -> str:
        try:
            await inner.arun(inner_start(), timeout=0.02)
        except RunTimeoutError:
            go_on.set()
            return "gave up"
        return "got it"

    class Outer(Node):
        a: Annotated[object, Dep(sub)]
        b: Annotated[object, Dep(shared)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert (result.result.a, result.result.b) == ("gave up", 7)
    assert ended == []


async def test_a_flight_is_cancelled_when_its_last_waiter_leaves_and_can_start_again():
    log = []

    async def shared() -> int:
        log.append("+")
        if len(log) > 2:
            return 1
        try:
            await never()
        finally:
            log.append("-")
        return 0

    inner, inner_start = graph_of(shared)

    class Outer(Node):
        async def __call__(self) -> "Last":
            with pytest.raises(RunTimeoutError):
                await inner.arun(inner_start(), timeout=0.02)
            assert log == ["+", "-"]
            return Last()

    class Last(Node):
        value: Annotated[int, Dep(shared)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.result.value == 1


async def test_a_sync_functions_awaitable_in_flight_is_joined_also_where_it_fails_before_the_inputs_are_there():
    is_called, go_on = asyncio.Event(), asyncio.Event()
    called_with = []

    async def number() -> int:
        return 7

    def shared(n: Annotated[int, Dep(number)]) -> int:
        called_with.append(n)
        is_called.set()

        async def later() -> int:
            await go_on.wait()
            raise OSError

        return later()

    inner, inner_start = graph_of(shared)

    async def slow() -> int:
        await asyncio.sleep(0)
        return 1

    class Other(Node):
        x: Annotated[int, Dep(slow)]
        y: Annotated[int, Dep(shared)]

    other = Graph(start=Other)

    async def first() -> None:
        with pytest.raises(DepError, match="shared"):
            await inner.arun(inner_start())

    async def second() -> None:
        await is_called.wait()
        go_on.set()
        with pytest.raises(DepError, match="shared") as caught:
            await other.arun(Other())
        assert isinstance(caught.value.__cause__, OSError)

    class Outer(Node):
        a: Annotated[None, Dep(first)]
        b: Annotated[None, Dep(second)]

    await finish(Graph(start=Outer).arun(Outer()))

    assert called_with == [7]


class Counting(BaseLM):
    """Counts the calls that are under way."""

    now = most = 0

    async def generate(self, request, on_partial=None):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return LMResponse({"words": "w"})


async def test_a_shared_dependency_that_outlives_the_subgraph_that_asked_first_still_runs_inside_the_outer_run():
    go_on = asyncio.Event()
    leaf = Graph(start=Start)

    async def shared() -> str:
        await go_on.wait()
        results = await asyncio.gather(leaf.arun(Start()), leaf.arun(Start()))
        return "".join(result.result.words for result in results)

    inner, inner_start = graph_of(shared)

    async def first() -> str:
        with pytest.raises(RunTimeoutError):
            await inner.arun(inner_start(), timeout=0.02)
        go_on.set()
        return "gave up"

    async def second() -> str:
        return (await inner.arun(inner_start())).result.value

    class Outer(Node):
        a: Annotated[str, Dep(first)]
        b: Annotated[str, Dep(second)]

    lm, events = Counting(), []
    result = await finish(Graph(start=Outer, max_concurrency=1).arun(Outer(), lm=lm, on_event=events.append))

    assert (result.result.a, result.result.b) == ("gave up", "ww")
    assert result.usage.requests == 2
    assert lm.most == 1
    outer_id = events[0].run_id
    told = [event for event in events if isinstance(event, DepStarted | DepFinished) and event.name == "shared"]
    assert [(type(event), event.run_id) for event in told] == [(DepStarted, outer_id), (DepFinished, outer_id)]
    ends = [index for index, event in enumerate(events) if isinstance(event, RunFinished)]
    assert len(ends) == 5
    assert all(event.run_id != events[end].run_id for end in ends for event in events[end + 1 :])


async def test_what_reads_the_subgraphs_trace_is_not_shared():
    def read(words: Annotated[str, Recall("words")]) -> str:
        return words.upper()

    class Inner(Node):
        words: str
        loud: Annotated[str, Dep(read)]

    inner = Graph(start=Inner)

    async def sub() -> list[str]:
        results = await asyncio.gather(inner.arun(Inner(words="b")), inner.arun(Inner(words="c")))
        return [result.result.loud for result in results]

    class Outer(Node):
        words: str
        loud: Annotated[str, Dep(read)]
        inside: Annotated[list[str], Dep(sub)]

    result = await finish(Graph(start=Outer).arun(Outer(words="a")))

    assert (result.result.loud, result.result.inside) == ("A", ["B", "C"])


async def test_two_subgraph_runs_gathered_in_one_dependency_share_a_flight():
    calls = []

    async def shared() -> object:
        calls.append("shared")
        await asyncio.sleep(0)
        return object()

    inner, inner_start = graph_of(shared)

    async def sub() -> bool:
        one, two = await asyncio.gather(inner.arun(inner_start()), inner.arun(inner_start()))
        return one.result.value is two.result.value

    outer, outer_start = graph_of(sub)
    result = await finish(outer.arun(outer_start()))

    assert result.result.value is True
    assert calls == ["shared"]


# --- Inheriting ---


async def test_a_subgraph_inherits_the_lm_and_its_usage_is_summed():
    inner = Graph(start=Start)

    async def sub() -> str:
        result = await inner.arun(Start())
        assert result.usage.requests == 1
        return result.result.words

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

        async def __call__(self) -> "Words": ...

    lm = ScriptedLM({"0:Outer/inside/run/1:Words/fill": {"words": "in"}, Words: {"words": "out"}})
    with lm:
        result = await finish(Graph(start=Outer).arun(Outer(), lm=lm))

    assert (result.trace[0].inside, result.result.words) == ("in", "out")
    assert result.usage.requests == 2


async def test_a_subgraphs_own_lm_comes_before_the_outer_runs():
    inner = Graph(start=Start, lm=ScriptedLM({Words: {"words": "graph"}}))

    async def sub() -> list[str]:
        own = ScriptedLM({Words: {"words": "run"}})
        first, second = await inner.arun(Start()), await inner.arun(Start(), lm=own)
        return [first.result.words, second.result.words]

    outer, outer_start = graph_of(sub)
    result = await finish(outer.arun(outer_start(), lm=ScriptedLM()))

    assert result.result.value == ["graph", "run"]


async def test_an_override_of_the_outer_graphs_lm_replaces_the_subgraphs_too():
    pinned = ScriptedLM()

    class Pinned(Node):
        node_config = NodeConfig(lm=pinned)
        words: str

    class Begin(Node):
        async def __call__(self) -> "Pinned": ...

    inner = Graph(start=Begin, lm=pinned)

    async def sub() -> str:
        return (await inner.arun(Begin(), lm=pinned)).result.words

    outer, outer_start = graph_of(sub)
    with outer.override(lm=ScriptedLM({Pinned: {"words": "override"}})):
        result = await finish(outer.arun(outer_start(), lm=pinned))

    assert result.result.value == "override"


async def test_cancelling_the_outer_run_cancels_the_subgraph():
    log = []
    started = asyncio.Event()

    async def hang() -> int:
        started.set()
        try:
            await never()
        finally:
            log.append("ended")
        return 1

    inner, inner_start = graph_of(hang)

    async def sub() -> int:
        return (await inner.arun(inner_start())).result.value

    outer, outer_start = graph_of(sub)
    run = asyncio.ensure_future(outer.arun(outer_start()))
    await finish(started.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["ended"]
    assert not others()


async def test_a_subgraphs_failure_is_the_dependencys_with_both_paths():
    def fail() -> int:
        raise LookupError("gone")

    inner, inner_start = graph_of(fail)

    async def sub() -> int:
        return (await inner.arun(inner_start())).result.value

    outer, outer_start = graph_of(sub)
    with pytest.raises(DepError) as caught:
        await finish(outer.arun(outer_start()))

    assert caught.value.path == ("Only.value", "sub")
    assert isinstance(caught.value.__cause__, DepError)
    assert caught.value.__cause__.path == ("Only.value", "fail")
    assert isinstance(caught.value.__cause__.__cause__, LookupError)
    assert not others()


async def test_a_subgraph_has_its_own_step_limit():
    class Loop(Node):
        left: int

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    inner = Graph(start=Loop)

    async def sub() -> int:
        await inner.arun(Loop(left=9))
        with pytest.raises(StepLimitError):
            await inner.arun(Loop(left=9), max_steps=5)
        return 1

    outer, outer_start = graph_of(sub)
    result = await finish(outer.arun(outer_start(), max_steps=1))

    assert result.result.value == 1


async def test_max_concurrency_holds_for_both_graphs_together():
    in_flight, most = 0, 0

    class Counting(BaseLM):
        async def generate(self, request, on_partial=None):
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            for _ in range(5):
                await asyncio.sleep(0)
            in_flight -= 1
            return LMResponse({"words": "w"})

    inner = Graph(start=Start, max_concurrency=50)

    async def sub() -> int:
        results = await asyncio.gather(*(inner.arun(Start()) for _ in range(10)))
        return len(results)

    class Outer(Node):
        value: Annotated[int, Dep(sub)]

    outer = Graph(start=Outer, max_concurrency=2)
    results = await finish(asyncio.gather(*(outer.arun(Outer(), lm=Counting()) for _ in range(3))))

    assert most == 2
    assert [result.usage.requests for result in results] == [10] * 3


async def test_graphs_inside_each_other_with_limits_of_one_do_not_lock():
    class Echo(BaseLM):
        async def generate(self, request, on_partial=None):
            await asyncio.sleep(0)
            return LMResponse({"words": "w"})

    one, two = Graph(start=Start, max_concurrency=1), Graph(start=Start, max_concurrency=1)

    async def one_in_two() -> int:
        await one.arun(Start())
        return 1

    async def two_in_one() -> int:
        await two.arun(Start())
        return 1

    class First(Node):
        value: Annotated[int, Dep(one_in_two)]

        async def __call__(self) -> "Words": ...

    class Second(Node):
        value: Annotated[int, Dep(two_in_one)]

        async def __call__(self) -> "Words": ...

    first, second = Graph(start=First, max_concurrency=1), Graph(start=Second, max_concurrency=1)
    runs = [graph.arun(start(), lm=Echo()) for _ in range(5) for graph, start in [(first, First), (second, Second)]]
    results = await finish(asyncio.gather(*runs))

    assert [result.usage.requests for result in results] == [2] * 10


async def test_events_of_the_subgraph_are_told_to_the_outer_listener_and_show_up_inside():
    inner = Graph(start=Start)

    async def sub() -> str:
        return (await inner.arun(Start(), on_event=own.append)).result.words

    own, events = [], []
    outer, outer_start = graph_of(sub)
    await finish(outer.arun(outer_start(), lm=ScriptedLM({Words: {"words": "w"}}), on_event=events.append))

    inside = [event for event in events if event.key.startswith("0:Only/value/run")]
    assert inside == own
    started, finished = inside[0], inside[-1]
    assert (type(started), type(finished)) == (RunStarted, RunFinished)
    assert started.key == finished.key == "0:Only/value/run"
    assert started.parent == "0:Only/value"
    assert started.run_id != events[0].run_id
    assert started.parent_run_id == events[0].run_id
    assert "0:Only/value/run/1:Words/fill" in {event.key for event in inside}


async def test_runs_in_a_body_and_several_in_one_place_have_keys_of_their_own():
    inner = Graph(start=Start)

    class Outer(Node):
        async def __call__(self) -> None:
            await asyncio.gather(inner.arun(Start()), inner.arun(Start()))
            await inner.arun(Start())

    events = []
    await finish(Graph(start=Outer).arun(Outer(), lm=ScriptedLM({Words: {"words": "w"}}), on_event=events.append))

    keys = [event.key for event in events if isinstance(event, RunStarted)]
    assert keys == ["", "0:Outer/body/run", "0:Outer/body/run#2", "0:Outer/body/run#3"]


@pytest.mark.parametrize("first", ["outer", "inner"])
async def test_a_shared_value_has_one_key_whoever_asks_first(first):
    go = {"outer": asyncio.Event(), "inner": asyncio.Event()}
    go[first].set()

    async def shared() -> int:
        await asyncio.sleep(0)
        return 1

    inner, inner_start = graph_of(shared)

    async def sub() -> int:
        await go["inner"].wait()
        value = (await inner.arun(inner_start())).result.value
        go["outer"].set()
        return value

    async def gate() -> int:
        await go["outer"].wait()
        return 1

    async def late(g: Annotated[int, Dep(gate)], s: Annotated[int, Dep(shared)]) -> int:
        return s

    class Last(Node):
        value: Annotated[int, Dep(shared)]

    class Outer(Node):
        a: Annotated[int, Dep(sub)]
        b: Annotated[int, Dep(late)]

    events = []
    go["inner"].set()
    await finish(Graph(start=Outer).arun(Outer(), on_event=events.append))

    keys = [event.key for event in events if isinstance(event, DepStarted) and event.name == "shared"]
    assert keys == ["0:Outer/b/s"]


# --- Waiting for itself ---


async def test_a_dependency_that_waits_for_itself_raises():
    async def sub() -> int:
        return (await inner.arun(inner_start())).result.value

    inner, inner_start = graph_of(sub)
    with pytest.raises(DepError, match="itself"):
        await finish(inner.arun(inner_start()))

    assert not others()


async def test_a_dependency_that_waits_for_itself_after_a_while_raises():
    async def sub() -> int:
        await asyncio.sleep(0)
        return (await inner.arun(inner_start())).result.value

    inner, inner_start = graph_of(sub)
    with pytest.raises(DepError, match="itself"):
        await finish(inner.arun(inner_start()))

    assert not others()


async def test_a_dependency_that_waits_for_itself_through_two_graphs_raises():
    async def sub() -> int:
        return (await middle.arun(middle_start())).result.value

    async def between() -> int:
        await asyncio.sleep(0)
        return (await inner.arun(inner_start())).result.value

    inner, inner_start = graph_of(sub)
    middle, middle_start = graph_of(between)
    with pytest.raises(DepError, match="itself"):
        await finish(inner.arun(inner_start()))

    assert not others()


@pytest.mark.parametrize("wait", [False, True])
async def test_two_dependencies_that_wait_for_each_other_raise(wait):
    async def one() -> int:
        if wait:
            await asyncio.sleep(0)
        return (await needs_two.arun(needs_two_start())).result.value

    async def two() -> int:
        if wait:
            await asyncio.sleep(0)
        return (await needs_one.arun(needs_one_start())).result.value

    needs_one, needs_one_start = graph_of(one)
    needs_two, needs_two_start = graph_of(two)

    class Outer(Node):
        a: Annotated[int, Dep(one)]
        b: Annotated[int, Dep(two)]

    with pytest.raises(DepError, match="itself"):
        await finish(Graph(start=Outer).arun(Outer()))

    assert not others()


async def test_dependencies_that_wait_in_a_circle_through_an_input_raise():
    """`one` runs a graph that needs `user`, and `user` needs `one`."""

    async def one() -> int:
        await asyncio.sleep(0)
        return (await needs_user.arun(needs_user_start())).result.value

    async def user(value: Annotated[int, Dep(one)]) -> int:
        return value

    needs_user, needs_user_start = graph_of(user)

    class Outer(Node):
        a: Annotated[int, Dep(one)]
        b: Annotated[int, Dep(user)]

    with pytest.raises(DepError, match="itself"):
        await finish(Graph(start=Outer).arun(Outer()))

    assert not others()


async def test_a_dependency_of_a_body_that_waits_for_itself_raises():
    async def sub() -> int:
        await asyncio.sleep(0)
        await inner.arun(Body())
        return 1

    class Body(Node):
        async def __call__(self, value: Annotated[int, Dep(sub)]) -> None:
            raise AssertionError(value)

    inner = Graph(start=Body)
    with pytest.raises(DepError, match="itself"):
        await finish(inner.arun(Body()))

    assert not others()


async def test_a_dependency_that_waits_for_itself_in_a_gather_or_a_task_raises():
    async def sub() -> int:
        results = await asyncio.gather(inner.arun(inner_start()), asyncio.create_task(inner.arun(inner_start())))
        return results[0].result.value

    inner, inner_start = graph_of(sub)
    with pytest.raises(DepError, match="itself"):
        await finish(inner.arun(inner_start()))

    # gather leaves its other task to itself: it has failed in the same way
    await asyncio.gather(*others(), return_exceptions=True)


async def test_a_body_may_run_its_own_graph_again():
    class Body(Node):
        depth: int

        async def __call__(self) -> None:
            if self.depth:
                await graph.arun(Body(depth=self.depth - 1))

    graph = Graph(start=Body)
    result = await finish(graph.arun(Body(depth=5)))

    assert result.result.depth == 5


async def test_a_body_may_need_what_its_node_needed():
    async def make() -> int:
        await asyncio.sleep(0)
        return 4

    inner, inner_start = graph_of(make)

    class Body(Node):
        value: Annotated[int, Dep(make)]

        async def __call__(self) -> None:
            assert (await inner.arun(inner_start())).result.value == 4

    await finish(Graph(start=Body).arun(Body()))


async def test_siblings_that_wait_for_one_flight_do_not_count_as_waiting_for_each_other():
    async def shared() -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return 1

    needs_shared, needs_shared_start = graph_of(shared)

    async def one() -> int:
        return (await needs_shared.arun(needs_shared_start())).result.value

    async def two() -> int:
        return (await needs_shared.arun(needs_shared_start())).result.value

    needs_two, needs_two_start = graph_of(two)

    async def three() -> int:
        return (await needs_two.arun(needs_two_start())).result.value

    class Outer(Node):
        a: Annotated[int, Dep(one)]
        b: Annotated[int, Dep(two)]
        c: Annotated[int, Dep(three)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert (result.result.a, result.result.b, result.result.c) == (1, 1, 1)


async def test_under_a_loop_that_starts_tasks_eagerly_waiting_for_itself_still_raises():
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("needs Python 3.12")

    async def sub() -> int:
        task = asyncio.create_task(inner.arun(inner_start()))
        return (await task).result.value

    inner, inner_start = graph_of(sub)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        with pytest.raises(DepError, match="itself"):
            await finish(inner.arun(inner_start()))
    finally:
        loop.set_task_factory(None)

    assert not others()


# --- At the edges ---


async def test_a_graph_run_in_a_thread_is_a_run_of_its_own():
    calls = []

    def shared() -> str:
        calls.append(threading.current_thread().name)
        return "s"

    inner, inner_start = graph_of(shared)

    def sub() -> str:
        return inner.run(inner_start()).result.value

    class Outer(Node):
        a: Annotated[str, Dep(shared)]
        b: Annotated[str, Dep(sub, thread=True)]

    events = []
    await finish(Graph(start=Outer).arun(Outer(), on_event=events.append))

    assert len(calls) == 2
    assert sum(isinstance(event, RunStarted) for event in events) == 1


async def test_a_graph_run_in_a_sync_dependency_on_the_loop_says_arun():
    inner, inner_start = graph_of(lambda: 1)

    def sub() -> int:
        return inner.run(inner_start()).result.value

    outer, outer_start = graph_of(sub)
    with pytest.raises(DepError, match="arun"):
        await finish(outer.arun(outer_start()))


async def test_a_task_that_outlives_the_run_runs_graphs_of_its_own():
    calls, tasks = [], []
    is_over = asyncio.Event()

    def shared() -> int:
        calls.append("shared")
        return len(calls)

    inner, inner_start = graph_of(shared)

    async def later():
        await is_over.wait()
        return (await inner.arun(inner_start())).result.value

    class Outer(Node):
        value: Annotated[int, Dep(shared)]

        async def __call__(self) -> None:
            tasks.append(asyncio.create_task(later()))

    events = []
    result = await finish(Graph(start=Outer).arun(Outer(), on_event=events.append))
    told = len(events)
    is_over.set()

    assert await finish(tasks[0]) == 2
    assert result.usage.requests == 0
    assert len(events) == told
    assert isinstance(events[-1], RunFinished)


async def test_a_dep_function_with_an_lm_hands_it_to_the_subgraph():
    inner = Graph(start=Start)

    async def sub(lm: LM) -> str:
        return (await inner.arun(Start(), lm=lm)).result.words

    outer, outer_start = graph_of(sub)
    events = []
    lm = ScriptedLM({Words: {"words": "w"}})
    result = await finish(outer.arun(outer_start(), lm=lm, on_event=events.append))

    assert result.result.value == "w"
    assert result.usage.requests == 1


async def test_a_listener_of_the_outer_run_that_raises_in_a_subgraphs_event_ends_it_all():
    class BrokenError(Exception):
        pass

    inner, inner_start = graph_of(lambda: 1)

    async def sub() -> int:
        return (await inner.arun(inner_start())).result.value

    def listen(event):
        if event.key.startswith("0:Only/value/run/0:Only"):
            raise BrokenError

    outer, outer_start = graph_of(sub)
    with pytest.raises((BrokenError, DepError)) as caught:
        await finish(outer.arun(outer_start(), on_event=listen))

    assert isinstance(caught.value, BrokenError) or isinstance(caught.value.__cause__, BrokenError)
    assert not others()


async def test_a_resource_opened_by_a_run_that_outlives_the_run_around_it_is_closed_all_the_same():
    log, tasks = [], []
    go_on = asyncio.Event()

    async def make() -> AsyncIterator[str]:
        log.append("+")
        yield "x"
        log.append("-")

    class Wait(Node):
        async def __call__(self) -> "Use":
            await go_on.wait()
            return Use()

    class Use(Node):
        value: Annotated[str, Dep(make)]

    inner = Graph(start=Wait)

    class Outer(Node):
        async def __call__(self) -> None:
            tasks.append(asyncio.create_task(inner.arun(Wait())))
            await asyncio.sleep(0)

    await finish(Graph(start=Outer).arun(Outer()))
    go_on.set()
    await asyncio.wait(tasks)
    still_held = others()
    for task in still_held:
        task.cancel()
    await asyncio.gather(*still_held, return_exceptions=True)

    assert not still_held
    assert log == ["+", "-"] or tasks[0].exception()
