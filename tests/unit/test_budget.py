"""What a run used, by node and model, and budgets: no call is begun that one does not allow."""

import asyncio
from typing import Annotated

import pytest
from running import finish

from weft import (
    LM,
    BaseLM,
    Budget,
    BudgetExceededError,
    Dep,
    DepError,
    Graph,
    LMRateLimitError,
    LMResponse,
    Node,
    NodeConfig,
    Usage,
)
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


CHEAP = Usage(1, 10, 5, 0.25)


class Paid(BaseLM):
    """Answers with names of fields; each request costs what it is told to."""

    def __init__(self, usage=CHEAP, model="paid-1", gate=None):
        self.usage = usage
        self.model = model
        self.gate = gate
        self.asked = []

    async def generate(self, request, on_partial=None):
        self.asked.append(request.target)
        if self.gate is not None:
            await self.gate(request)
        if request.kind == "choose":
            return LMResponse({"choice": request.options[0].name}, self.usage, self.model)
        return LMResponse(dict.fromkeys(request.schema["properties"], "x"), self.usage, self.model)


class Begin(Node):
    async def __call__(self) -> "First": ...


class First(Node):
    text: str

    async def __call__(self) -> "Second": ...


class Second(Node):
    text: str

    async def __call__(self) -> "Third": ...


class Third(Node):
    text: str


chain = Graph(start=Begin)


# --- What was used


async def test_usage_is_told_by_node_and_by_model():
    class Pinned(Node):
        text: str
        node_config = NodeConfig(lm=Paid(Usage(2, 100, 50, 1.0, 80, 3), "paid-2"))

    class Ask(Node):
        async def __call__(self) -> "First | Pinned": ...

    class First(Node):
        pinned: Annotated[Pinned, Dep()]
        text: str

    result = await finish(Graph(start=Ask).arun(Ask(), lm=Paid()))

    assert result.usage == Usage(4, 120, 60, 1.5, 80, 3)
    assert result.usage.by_node == {
        "Ask": Usage(1, 10, 5, 0.25),
        "First": Usage(1, 10, 5, 0.25),
        "Pinned": Usage(2, 100, 50, 1.0, 80, 3),
    }
    assert result.usage.by_model == {"paid-1": Usage(2, 20, 10, 0.5), "paid-2": Usage(2, 100, 50, 1.0, 80, 3)}


async def test_the_cost_of_an_lm_that_tells_nothing_is_unknown():
    class Silent:
        async def fill(self, target, resolved, instruction, source=None):
            return target(text="x")

        choose_type = make = decide = fill

    result = await finish(chain.arun(Begin(), lm=Silent()))

    assert (result.usage.requests, result.usage.cost) == (3, None)


async def test_runs_inside_count_for_the_run_around_them():
    async def ask_inside() -> str:
        return (await chain.arun(Begin())).result.text

    class Outer(Node):
        inner: Annotated[str, Dep(ask_inside)]

    result = await finish(Graph(start=Outer).arun(Outer(), lm=Paid()))

    assert result.usage.requests == 3
    assert set(result.usage.by_node) == {"First", "Second", "Third"}


# --- Budgets


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(requests=2), "2 of 2 requests used"),
        (Budget(tokens=30), "30 of 30 tokens used"),
        (Budget(tokens=29), "30 of 29 tokens used"),
        (Budget(cost=0.5), "$0.5000 of $0.5000 used"),
    ],
)
async def test_no_call_is_begun_once_the_budget_is_spent(budget, said):
    lm = Paid()

    with pytest.raises(BudgetExceededError) as caught:
        await finish(chain.arun(Begin(), lm=lm, budget=budget))

    error = caught.value
    assert lm.asked == ["First", "Second"]
    limits = "Budget(requests=, tokens=, cost=) sets the limits; .usage and .trace hold what was done for it."
    assert str(error) == f"Third: the budget is spent: {said}. {limits}"
    assert (error.node_type, error.budget, error.usage.requests) == (Third, budget, 2)
    assert [type(node).__name__ for node in error.trace] == ["Begin", "First", "Second"]


async def test_a_run_that_keeps_to_its_budget_is_done():
    budget = Budget(requests=3, tokens=45, cost=0.75)

    result = await finish(chain.arun(Begin(), lm=Paid(Usage(1, 9, 5, 0.2)), budget=budget))

    assert result.usage.requests == 3


async def test_a_graphs_budget_holds_for_each_run_and_a_runs_own_comes_first():
    graph = Graph(start=Begin, budget=Budget(requests=2))

    for _ in range(2):
        with pytest.raises(BudgetExceededError):
            await finish(graph.arun(Begin(), lm=Paid()))
    assert (await finish(graph.arun(Begin(), lm=Paid(), budget=Budget(requests=3)))).usage.requests == 3


def test_a_budget_is_not_negative():
    with pytest.raises(ValueError, match="Budget: tokens=-1 must not be negative"):
        Budget(tokens=-1)


async def test_a_repaired_answer_is_a_call_more():
    lm = ScriptedLM({"1:First/fill": {}, First: {"text": "x"}})

    with pytest.raises(BudgetExceededError, match="1 of 1 requests used"):
        await finish(chain.arun(Begin(), lm=lm, budget=Budget(requests=1)))


class Left(Node):
    text: str


class Right(Node):
    text: str


class Both(Node):
    left: Annotated[Left, Dep()]
    right: Annotated[Right, Dep()]
    text: str


class Pair(Node):
    async def __call__(self) -> "Both": ...


async def test_what_is_under_way_is_counted_as_reserved():
    began = asyncio.Event()

    async def wait(request):
        began.set()
        await asyncio.Event().wait()

    lm = Paid(gate=wait)

    with pytest.raises(BudgetExceededError, match="0 of 1 requests used, and 1 more under way"):
        await finish(Graph(start=Pair).arun(Pair(), lm=lm, budget=Budget(requests=1)))
    assert began.is_set()
    assert lm.asked == ["Left"]


async def test_the_mean_of_earlier_calls_is_reserved_for_each_call_under_way():
    async def wait(request):
        if request.target in ("Left", "Right"):
            await asyncio.Event().wait()

    class Ask(Node):
        async def __call__(self) -> "First": ...

    class First(Node):
        text: str

        async def __call__(self) -> "Both": ...

    lm = Paid(gate=wait)

    with pytest.raises(BudgetExceededError, match=r"15 of 30 tokens used, and 1 more under way"):
        await finish(Graph(start=Ask).arun(Ask(), lm=lm, budget=Budget(tokens=30)))
    assert lm.asked == ["First", "Left"]


async def test_it_is_the_run_that_ends_and_not_a_dependency_that_fails():
    async def ask_inside() -> str:
        return (await chain.arun(Begin())).result.text

    class Ask(Node):
        async def __call__(self) -> "Outer": ...

    class Outer(Node):
        inner: Annotated[str, Dep(ask_inside)]

    with pytest.raises(BudgetExceededError) as caught:
        await finish(Graph(start=Ask).arun(Ask(), lm=Paid(), budget=Budget(requests=2)))

    assert [type(node).__name__ for node in caught.value.trace] == ["Ask"]


async def test_a_budget_of_the_inner_graph_alone_makes_the_dependency_fail():
    small = Graph(start=Begin, budget=Budget(requests=1))

    async def ask_inside() -> str:
        return (await small.arun(Begin())).result.text

    class Outer(Node):
        inner: Annotated[str, Dep(ask_inside)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Outer).arun(Outer(), lm=Paid(), budget=Budget(requests=9)))
    assert isinstance(caught.value.__cause__, BudgetExceededError)


async def test_calls_in_a_custom_body_count():
    class Loop(Node):
        async def __call__(self, lm: LM) -> None:
            for _ in range(5):
                await lm.make(self, First)

    lm = Paid()

    with pytest.raises(BudgetExceededError):
        await finish(Graph(start=Loop).arun(Loop(), lm=lm, budget=Budget(requests=3)))
    assert len(lm.asked) == 3


@pytest.mark.parametrize("model", ["local-1", ""])
async def test_a_model_without_a_price_is_an_error_under_a_cost_budget(model):
    lm = Paid(Usage(1, 10, 5, None), model)

    with pytest.raises(BudgetExceededError, match="has no price, and the budget limits the cost"):
        await finish(chain.arun(Begin(), lm=lm, budget=Budget(cost=1.0)))
    assert len(lm.asked) == 1
    assert (await finish(chain.arun(Begin(), lm=lm, budget=Budget(requests=9)))).usage.cost is None


async def test_a_call_that_failed_or_was_cancelled_gives_back_what_it_reserved():
    async def fail(request):
        if request.target == "Left":
            raise LMRateLimitError("busy")

    class Once(Node):
        async def __call__(self, lm: LM) -> None:
            for target in (Left, Left, Right):
                try:
                    await lm.make(self, target)
                except LMRateLimitError:
                    continue

    result = await finish(Graph(start=Once).arun(Once(), lm=Paid(gate=fail), budget=Budget(requests=3)))

    assert result.usage.requests == 3
