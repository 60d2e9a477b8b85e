"""Graph.map: many runs at once, taken lazily, handed over in order or as they end, and none left behind."""

import asyncio
import contextlib
from typing import Annotated

import pytest
from running import finish, never, others

from weft import (
    BaseLM,
    BatchProgress,
    Budget,
    BudgetExceededError,
    Dep,
    DepError,
    Graph,
    LMNotConfiguredError,
    LMResponse,
    Node,
    RunTimeoutError,
    StepLimitError,
    Usage,
)

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

gates: dict[int, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def no_gates():
    gates.clear()


class Start(Node):
    number: int

    async def __call__(self) -> "End":
        if self.number in gates:
            await gates[self.number].wait()
        if self.number < 0:
            raise ValueError(f"{self.number} is negative")
        return End(number=self.number * 10)


class End(Node):
    number: int


graph = Graph(start=Start, end=End)


class Inputs:
    """Start nodes as an iterable that counts how many were taken."""

    def __init__(self, numbers):
        self.numbers = iter(numbers)
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        start = Start(number=next(self.numbers))
        self.taken += 1
        return start


def hold(*numbers):
    """Keep the runs of *numbers* waiting until their gates are set."""
    gates.update({number: asyncio.Event() for number in numbers})


async def settle():
    """Let everything that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def collect(items):
    return [item async for item in items]


async def of(*numbers):
    for number in numbers:
        await asyncio.sleep(0)
        yield Start(number=number)


class Priced(BaseLM):
    async def generate(self, request, on_partial=None):
        await asyncio.sleep(0)
        return LMResponse({"words": "words"}, Usage(requests=1, cost=1.0))


class Ask(Node):
    async def __call__(self) -> "Said": ...


class Said(Node):
    words: str


asking = Graph(start=Ask, end=Said)


async def test_each_input_gives_an_item_with_its_result():
    items = await finish(collect(graph.map([Start(number=1), Start(number=2)])))

    assert [(item.index, item.start.number, item.unwrap().result.number) for item in items] == [(0, 1, 10), (1, 2, 20)]
    assert [item.error for item in items] == [None, None]
    assert [item.run_id for item in items] == [item.unwrap().run_id for item in items]


async def test_no_inputs_give_no_items():
    assert await finish(collect(graph.map([]))) == []


async def test_inputs_may_come_from_an_async_iterable():
    items = await finish(collect(graph.map(of(3, 1, 2), concurrency=2)))

    assert [item.unwrap().result.number for item in items] == [30, 10, 20]


async def test_items_come_in_the_order_of_the_inputs_whichever_run_ends_first():
    hold(0)
    items = graph.map(Inputs(range(3)))
    first = asyncio.ensure_future(anext(items))
    await settle()
    assert not first.done()
    gates[0].set()

    assert (await finish(first)).index == 0
    assert [item.index for item in await finish(collect(items))] == [1, 2]


async def test_unordered_items_come_as_the_runs_end():
    hold(0)
    items = graph.map(Inputs(range(3)), ordered=False)

    assert [(await finish(anext(items))).index for _ in range(2)] == [1, 2]
    gates[0].set()
    assert [item.index for item in await finish(collect(items))] == [0]


async def test_no_more_runs_are_in_flight_than_concurrency_allows():
    hold(*range(100))
    inputs = Inputs(range(100))
    told = []
    task = asyncio.ensure_future(collect(graph.map(inputs, concurrency=7, on_progress=told.append)))
    await settle()

    assert inputs.taken == 7
    for gate in gates.values():
        gate.set()
    assert len(await finish(task)) == 100
    assert max(each.in_flight for each in told) == 7


@pytest.mark.parametrize("ordered", [True, False])
async def test_nothing_is_taken_ahead_of_a_slow_consumer_but_twice_what_may_be_in_flight(ordered):
    inputs = Inputs(iter(int, 1))
    async with contextlib.aclosing(graph.map(inputs, concurrency=5, ordered=ordered)) as items:
        assert inputs.taken == 0
        for count in range(1, 20):
            await finish(anext(items))
            await settle()

            assert inputs.taken == count + 10


async def test_a_slow_first_run_holds_back_no_more_than_the_window():
    hold(0)
    inputs = Inputs(range(100))
    async with contextlib.aclosing(graph.map(inputs, concurrency=5)) as items:
        first = asyncio.ensure_future(anext(items))
        await settle()

        assert inputs.taken == 10
        gates[0].set()
        assert (await finish(first)).index == 0


async def test_a_failed_run_is_an_item_with_its_error_and_the_others_go_on():
    items = await finish(collect(graph.map(Inputs([1, -2, 3]))))

    assert [item.result is None for item in items] == [False, True, False]
    assert repr(items[1].error) == "ValueError('-2 is negative')"
    with pytest.raises(ValueError, match="-2 is negative"):
        items[1].unwrap()


async def test_a_run_that_cancels_itself_is_an_item():
    class Cancels(Node):
        async def __call__(self) -> None:
            raise asyncio.CancelledError

    items = await finish(collect(Graph(start=Cancels).map([Cancels(), Cancels()])))

    assert [type(item.error) for item in items] == [asyncio.CancelledError] * 2


@pytest.mark.parametrize("ordered", [True, False])
async def test_leaving_early_cancels_and_awaits_the_runs_in_flight(ordered):
    begun, ended = [], []

    class Slow(Node):
        async def __call__(self) -> None:
            begun.append(1)
            try:
                await (never() if len(begun) > 1 else asyncio.sleep(0))
            finally:
                await asyncio.sleep(0)
                ended.append(1)

    runs = Graph(start=Slow)
    async with contextlib.aclosing(runs.map((Slow() for _ in range(50)), concurrency=4, ordered=ordered)) as items:
        async for _ in items:
            break

    assert len(begun) == len(ended) >= 4
    assert others() == set()


async def test_breaking_out_of_the_loop_leaves_nothing_behind():
    hold(*range(1, 9))
    async for item in graph.map(Inputs(range(9))):
        assert item.index == 0
        break
    await settle()

    assert others() == set()


async def test_cancelling_the_consumer_cancels_the_runs():
    hold(0)
    consumer = asyncio.ensure_future(collect(graph.map(Inputs(range(3)))))
    await settle()
    consumer.cancel()

    with pytest.raises(asyncio.CancelledError):
        await finish(consumer)
    assert others() == set()


async def test_an_error_of_the_inputs_is_raised_after_the_items_of_all_runs_begun():
    def failing():
        yield Start(number=1)
        yield Start(number=2)
        raise OSError("torn page")

    seen = []
    hold(1)
    items = graph.map(failing(), ordered=False)
    seen.append((await finish(anext(items))).index)
    gates[1].set()
    seen.append((await finish(anext(items))).index)

    with pytest.raises(OSError, match="torn page"):
        await finish(anext(items))
    assert seen == [1, 0]


async def test_inputs_that_wait_for_ever_do_not_hold_up_what_is_there():
    async def then_nothing():
        yield Start(number=1)
        await never()

    async with contextlib.aclosing(graph.map(then_nothing())) as items:
        assert (await finish(anext(items))).unwrap().result.number == 10
    assert others() == set()


async def test_inputs_that_survive_cancellation_begin_nothing_more():
    async def stubborn():
        yield Start(number=0)
        with contextlib.suppress(asyncio.CancelledError):
            await never()
        yield Start(number=1)

    told = []
    async with contextlib.aclosing(graph.map(stubborn(), on_progress=told.append)) as items:
        await finish(anext(items))

    assert others() == set()
    assert told[-1].done + told[-1].in_flight == 1


async def test_a_wrong_input_ends_the_batch_and_is_named():
    items = graph.map([Start(number=1), "two", Start(number=3)])  # type: ignore[list-item]

    assert (await finish(anext(items))).index == 0
    with pytest.raises(TypeError, match="This graph starts with a Start, not a str") as caught:
        await finish(anext(items))
    assert caught.value.__notes__ == ["This is input 1 of graph.map."]


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (5, {}, "map: inputs is an int, and no iterable of start nodes. Write: graph.map([…]), with a list"),
        (Start(number=1), {}, "map: inputs is a Start, and no iterable of start nodes."),
        ([], {"concurrency": 0}, "concurrency=0: at least one run must be allowed."),
        ([], {"timeout": 0}, "timeout=0 leaves no time"),
        ([], {"max_steps": 0}, "max_steps=0: a run visits at least its start node."),
        ([], {"provide": {"get": 1}}, "the key 'get' is not a function"),
        ([], {"on_event": 5}, "on_event: an int is not callable."),
        ([], {"on_progress": never}, "on_progress is called on the event loop and must not be async."),
    ],
)
async def test_a_mistake_in_the_call_is_told_at_the_call(inputs, options, said):
    with pytest.raises((TypeError, ValueError)) as caught:
        graph.map(inputs, **options)

    assert said in str(caught.value)


async def test_a_missing_lm_ends_the_batch(monkeypatch):
    monkeypatch.delenv("WEFT_LM", raising=False)
    failed = []

    with pytest.raises(LMNotConfiguredError):
        async for item in asking.map(Ask() for _ in range(1000)):
            failed.append(item.index)  # noqa: PERF401

    assert failed == list(range(len(failed)))
    assert 0 < len(failed) <= 200


async def test_a_missing_lm_inside_a_dependency_ends_the_batch_too(monkeypatch):
    monkeypatch.delenv("WEFT_LM", raising=False)

    async def ask() -> str:
        return (await asking.arun(Ask())).result.words

    class Asking(Node):
        words: Annotated[str, Dep(ask)]

    with pytest.raises(DepError, match="Said needs an LM, and none is named"):
        await finish(collect(Graph(start=Asking).map([Asking()] * 3)))


async def test_limits_are_those_of_each_run():
    hold(2)
    items = await finish(collect(graph.map(Inputs([1, 2]), timeout=0.05)))
    steps = await finish(collect(graph.map(Inputs([1]), max_steps=1)))
    budgets = await finish(collect(asking.map([Ask()] * 5, lm=Priced(), budget=Budget(requests=1))))
    spent = await finish(collect(asking.map([Ask()] * 5, lm=Priced(), budget=Budget(requests=0))))

    assert [type(item.error) for item in items] == [type(None), RunTimeoutError]
    assert [type(item.error) for item in steps] == [StepLimitError]
    assert [item.usage.cost for item in budgets] == [1.0] * 5
    assert [type(item.error) for item in spent] == [BudgetExceededError] * 5


async def test_a_total_budget_is_that_of_all_runs_together_and_ends_the_batch():
    inputs = (Ask() for _ in range(100))
    items = []

    with pytest.raises(BudgetExceededError, match=r"3 of 3 requests|2 of 3 requests used, and 1 more"):
        async for item in asking.map(inputs, lm=Priced(), concurrency=2, total_budget=Budget(requests=3)):
            items.append(item)  # noqa: PERF401

    assert [item.error is None for item in items].count(True) == 3
    assert len(items) <= 7
    assert sum(item.usage.requests for item in items) == 3


async def test_progress_tells_what_is_done_failed_in_flight_and_used():
    told = []

    async for _ in asking.map([Ask()] * 3, lm=Priced(), concurrency=2, on_progress=told.append):
        pass
    async for _ in graph.map(Inputs([-1, 1]), concurrency=1, on_progress=told.append):
        pass

    assert [(each.done, each.failed, each.in_flight) for each in told[6:]] == [
        (0, 0, 1),
        (0, 1, 0),
        (0, 1, 1),
        (1, 1, 0),
    ]
    assert told[0] == BatchProgress(0, 0, 1, Usage())
    assert (told[5].done, told[5].usage.requests, told[5].usage.cost) == (3, 3, 3.0)


async def test_what_on_progress_raises_ends_the_batch():
    def tell(progress):
        if progress.done == 2:
            raise KeyError("no more")

    items = graph.map(Inputs(range(100)), concurrency=1, on_progress=tell)

    with pytest.raises(KeyError):
        await finish(collect(items))
    assert others() == set()


async def test_usage_of_a_failed_run_is_told():
    class Fails(Node):
        said: Said = Dep()

        async def __call__(self) -> None:
            raise ValueError(self.said.words)

    (item,) = await finish(collect(Graph(start=Fails, lm=Priced()).map([Fails()])))

    assert (item.result, item.usage.cost) == (None, 1.0)


async def test_values_are_provided_and_events_told_for_every_run():
    def get() -> str:
        return "real"

    class Has(Node):
        word: Annotated[str, Dep(get)]

    events = []
    items = await finish(collect(Graph(start=Has).map([Has()] * 2, provide={get: "given"}, on_event=events.append)))

    assert [item.unwrap().result.word for item in items] == ["given", "given"]
    assert {event.run_id for event in events} == {item.run_id for item in items}


async def test_an_override_holds_for_the_batch_that_is_asked_for_inside_it():
    def get() -> str:
        return "real"

    class Has(Node):
        word: Annotated[str, Dep(get)]

    having = Graph(start=Has)
    with having.override({get: lambda: "stand-in"}):
        items = having.map([Has()])

    assert [item.unwrap().result.word for item in await finish(collect(items))] == ["stand-in"]


async def test_inside_another_run_the_runs_are_a_part_of_it():
    made = []

    def get() -> str:
        made.append(1)
        return "shared"

    class Part(Node):
        word: Annotated[str, Dep(get)]

        async def __call__(self) -> "Said": ...

    parts = Graph(start=Part, end=Said)

    class Whole(Node):
        word: Annotated[str, Dep(get)]

        async def __call__(self) -> None:
            async for item in parts.map([Part(), Part()]):
                item.unwrap()

    keys = []
    result = await finish(Graph(start=Whole, lm=Priced()).arun(Whole(), on_event=lambda event: keys.append(event.key)))

    assert (len(made), result.usage.requests) == (1, 2)
    assert {"0:Whole/body/run/1:Said/fill", "0:Whole/body/run#2/1:Said/fill"} <= set(keys)


async def test_the_budget_of_the_run_around_ends_the_batch_inside_and_the_run():
    class Whole(Node):
        async def __call__(self) -> None:
            async for item in asking.map([Ask()] * 9, concurrency=1):
                item.error  # noqa: B018

    with pytest.raises(BudgetExceededError, match="4 of 4 requests"):
        await finish(Graph(start=Whole, lm=Priced()).arun(Whole(), budget=Budget(requests=4)))
