"""max_concurrency bounds the calls under way, whoever makes them; usage is right under any of them."""

import asyncio
from typing import Annotated

import pytest
from running import finish

from weft import LM, BaseLM, Dep, Graph, LMResponse, Node, NodeConfig, RunTimeoutError, Usage

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Counting(BaseLM):
    """Counts the calls that are under way."""

    def __init__(self, fails=()):
        self.now = self.most = self.all = 0
        self.fails = set(fails)

    async def generate(self, request, on_partial=None):
        self.now += 1
        self.all += 1
        number = self.all
        self.most = max(self.most, self.now)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if number in self.fails:
                raise ConnectionError(number)
            return LMResponse({"words": "w"}, Usage(1, number, 1, 0.25))
        finally:
            self.now -= 1


class Part(Node):
    words: str


def wide_graph(width, **options):
    """Return a graph whose one node has that many sub-nodes."""
    parts = [type(f"Part{index}", (Part,), {"__module__": __name__}) for index in range(width)]
    annotations = {f"f{index}": Annotated[part, Dep()] for index, part in enumerate(parts)}
    wide = type("Wide", (Node,), {"__annotations__": annotations, "__module__": __name__})
    return Graph(start=wide, **options), wide


@pytest.mark.parametrize("limit", [1, 3, 50, None])
async def test_parallel_sub_nodes_keep_to_the_limit_and_use_it(limit):
    graph, wide = wide_graph(20, max_concurrency=limit)
    lm = Counting()

    result = await finish(graph.arun(wide(), lm=lm))

    assert lm.most == min(limit or 20, 20)
    assert result.usage.requests == 20


async def test_concurrent_runs_of_one_graph_share_its_limit():
    graph, wide = wide_graph(5, max_concurrency=4)
    lm = Counting()

    results = await finish(asyncio.gather(*(graph.arun(wide(), lm=lm) for _ in range(6))))

    assert lm.most == 4
    assert [result.usage.requests for result in results] == [5] * 6


async def test_two_graphs_have_limits_of_their_own():
    lm = Counting()
    one, wide_one = wide_graph(6, max_concurrency=2)
    two, wide_two = wide_graph(6, max_concurrency=3)

    await finish(asyncio.gather(one.arun(wide_one(), lm=lm), two.arun(wide_two(), lm=lm)))

    assert lm.most == 5


async def test_calls_of_a_body_keep_to_the_limit_too():
    class Body(Node):
        async def __call__(self, lm: LM) -> None:
            await asyncio.gather(*(lm.make(self, Part) for _ in range(12)))

    lm = Counting()
    await finish(Graph(start=Body, max_concurrency=3).arun(Body(), lm=lm))

    assert lm.most == 3


async def test_calls_of_functions_keep_to_the_limit_too():
    async def ask(lm: LM) -> int:
        made = await asyncio.gather(*(lm.fill(Part, {}, "Write.") for _ in range(12)))
        return len(made)

    class Only(Node):
        number: Annotated[int, Dep(ask)]

    lm = Counting()
    await finish(Graph(start=Only, max_concurrency=3).arun(Only(), lm=lm))

    assert lm.most == 3


async def test_the_usage_of_fifty_parallel_calls_adds_up():
    graph, wide = wide_graph(50)
    lm = Counting()

    result = await finish(graph.arun(wide(), lm=lm))

    assert lm.most == 50
    assert result.usage == Usage(50, sum(range(1, 51)), 50, 12.5)


async def test_the_usage_of_parallel_runs_is_kept_apart():
    graph, wide = wide_graph(7)

    results = await finish(asyncio.gather(*(graph.arun(wide(), lm=Counting()) for _ in range(5))))

    assert [result.usage for result in results] == [Usage(7, 28, 7, 1.75)] * 5


async def test_a_failed_and_a_cancelled_call_give_their_place_back():
    graph, wide = wide_graph(6, max_concurrency=1)
    with pytest.raises(Exception, match="1"):
        await finish(graph.arun(wide(), lm=Counting(fails=[1])))

    class Hanging(BaseLM):
        async def generate(self, request, on_partial=None):
            await asyncio.Event().wait()

    with pytest.raises(RunTimeoutError):
        await finish(graph.arun(wide(), lm=Hanging(), timeout=0.02))
    lm = Counting()
    await finish(graph.arun(wide(), lm=lm))

    assert lm.all == 6


async def test_a_repair_keeps_its_place_and_asks_for_no_second_one():
    class Stubborn(BaseLM):
        asked = 0

        async def generate(self, request, on_partial=None):
            self.asked += 1
            await asyncio.sleep(0)
            return LMResponse({"words": "w"} if request.rejected else {})

    graph, wide = wide_graph(4, max_concurrency=1)
    lm = Stubborn()
    await finish(graph.arun(wide(), lm=lm))

    assert lm.asked == 8


async def test_waiting_for_a_place_is_not_the_nodes_timeout():
    """The timeout of a node is about the model, not about the queue."""
    go_on = asyncio.Event()

    class First(BaseLM):
        async def generate(self, request, on_partial=None):
            await go_on.wait()
            return LMResponse({"words": "w"})

    class Timed(Node):
        node_config = NodeConfig(timeout=0.05)
        words: str

    class StartSlow(Node):
        async def __call__(self, lm: LM) -> "type[Timed]":
            await lm.make(self, Part)
            return Timed

    class Quick(BaseLM):
        async def generate(self, request, on_partial=None):
            return LMResponse({"words": "w"})

    graph = Graph(start=StartSlow, max_concurrency=1)
    slow = asyncio.ensure_future(graph.arun(StartSlow(), lm=First()))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(graph.arun(StartSlow(), lm=Quick()))
    asyncio.get_running_loop().call_later(0.1, go_on.set)
    results = await finish(asyncio.gather(slow, waiting))

    assert [result.result.words for result in results] == ["w", "w"]


def test_a_graph_with_a_limit_runs_in_one_loop_after_another():
    graph, wide = wide_graph(4, max_concurrency=2)
    for _ in range(3):
        lm = Counting()
        graph.run(wide(), lm=lm)
        assert lm.most == 2


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(ValueError, match="max_concurrency"):
        Graph(start=Part, max_concurrency=limit)


@pytest.mark.parametrize("steps", [0, -1])
async def test_max_steps_below_one_is_refused(steps):
    with pytest.raises(ValueError, match="max_steps"):
        await Graph(start=Part).arun(Part(words="w"), max_steps=steps)


async def test_a_run_out_of_time_names_the_node_that_was_being_visited():
    async def hang() -> int:
        await asyncio.Event().wait()

    class Start(Node):
        async def __call__(self) -> "Hangs":
            return Hangs()

    class Hangs(Node):
        number: Annotated[int, Dep(hang)]

    with pytest.raises(RunTimeoutError, match="Hangs") as caught:
        await finish(Graph(start=Start).arun(Start(), timeout=0.02))

    assert caught.value.node_type is Hangs
    assert caught.value.path == ("Hangs",)
    assert caught.value.trace == [Start()]
