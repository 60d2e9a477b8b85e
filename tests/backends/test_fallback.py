"""FallbackLM: who is asked next and when, and what is told, counted and reserved meanwhile."""

import asyncio
from typing import Annotated, ClassVar

import pytest

from weft import (
    LM,
    BaseLM,
    Budget,
    BudgetExceededError,
    Dep,
    FallbackLM,
    FillError,
    Graph,
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRateLimitError,
    LMRefusalError,
    LMRequestError,
    LMResponse,
    LMResponseError,
    LMTimeoutError,
    Node,
    NodeConfig,
    Usage,
    resolve_dep,
)
from weft.events import LMCallFinished, LMCallStarted
from weft.testing import ScriptedLM, UnplannedCallError


class Begin(Node):
    async def __call__(self) -> "Answer | Refusal": ...


class Answer(Node):
    words: str


class Refusal(Node):
    words: str


graph = Graph(start=Begin)
BUSY = LMRateLimitError("too many requests")


class Model(BaseLM):
    """Says its name and place; raises its errors first, one a request."""

    def __init__(self, name, *errors):
        self.name = name
        self.errors = list(errors)
        self.asked = 0

    async def generate(self, request, on_partial=None):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        if request.kind == "choose":
            return LMResponse({"choice": "Answer"}, Usage(1, 10, 5, 0.25), self.name)
        return LMResponse({"words": f"{self.name} at {request.place}"}, Usage(1, 10, 5, 0.25), self.name)


class Own:
    """An LM with the four methods alone, which tells nothing of its attempts."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def _check(self):
        if self.errors:
            raise self.errors.pop(0)

    async def choose_type(self, types, context):
        self._check()
        return types[0]

    async def fill(self, target, resolved, instruction, source=None):
        self._check()
        return target(words="own")

    async def make(self, node, target):
        return await self.fill(target, {}, "", node)

    async def decide(self, node):
        return await self.make(node, Answer)


async def finish(awaitable):
    async with asyncio.timeout(5):
        return await awaitable


async def calls(lm, start=None, graph=graph, **options):
    """Run *graph*, and return the run and what was told of calls: key, how it ended, the model, requests."""
    events, result = [], None
    try:
        result = await finish(graph.arun(start or Begin(), lm=lm, on_event=events.append, **options))
    finally:
        started = [event.key for event in events if isinstance(event, LMCallStarted)]
        finished = [event for event in events if isinstance(event, LMCallFinished)]
        assert started == [event.key for event in finished]
        assert len(set(started)) == len(started)
        assert sum(event.usage.requests for event in finished) == events[-1].usage.requests
    return result, [(event.key, event.status, event.model, event.usage.requests) for event in finished]


# --- Who is asked


@pytest.mark.parametrize(
    "error",
    [LMRateLimitError("too much load"), LMTimeoutError("no answer"), LMConnectionError("not reached")],
    ids=lambda error: type(error).__name__,
)
async def test_the_next_one_is_asked_where_another_model_could_answer(error):
    result, told = await calls(FallbackLM(Model("one", error), Model("two")))

    assert result.result.words == "one at 1:Answer/fill"
    assert told == [
        ("0:Begin/route", "failed", "Model", 1),
        ("0:Begin/route#2", "done", "two", 1),
        ("1:Answer/fill", "done", "one", 1),
    ]


@pytest.mark.parametrize(
    "error",
    [
        LMAuthenticationError("wrong key"),
        LMRequestError("too long"),
        LMRefusalError("declined"),
        LMResponseError("no answer"),
        LMNotConfiguredError("none"),
        TimeoutError("of a library"),
        ValueError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_any_other_error_is_raised_as_it_is(error):
    second = Model("two")

    with pytest.raises(type(error)) as caught:
        await finish(graph.arun(Begin(), lm=FallbackLM(Model("one", error), second)))
    assert caught.value is error
    assert second.asked == 0


async def test_an_answer_that_stays_unusable_is_no_reason_to_move_on():
    second = Model("two")
    stubborn = ScriptedLM({Answer: {}}, routes={Begin: Answer})

    with pytest.raises(FillError):
        await finish(graph.arun(Begin(), lm=FallbackLM(stubborn, second)))
    assert second.asked == 0


async def test_when_all_fail_the_last_error_is_raised_and_tells_of_the_others():
    last = LMConnectionError("not reached")

    with pytest.raises(LMConnectionError) as caught:
        await calls(FallbackLM(Model("one", BUSY), Own(LMTimeoutError("late")), Model("three", last)))
    assert caught.value is last
    assert caught.value.key == "0:Begin/route"
    assert caught.value.__notes__ == [
        "Asked before, in vain: Model: LMRateLimitError: too many requests.; Own: LMTimeoutError: late."
    ]


async def test_an_error_that_ends_it_tells_who_was_asked_before():
    with pytest.raises(LMAuthenticationError) as caught:
        await calls(FallbackLM(Model("one", BUSY), Model("two", LMAuthenticationError("wrong key")), "offline"))

    assert caught.value.__notes__ == ["Asked before, in vain: Model: LMRateLimitError: too many requests."]


async def test_an_error_without_a_fallback_has_no_note():
    with pytest.raises(LMRefusalError) as caught:
        await calls(FallbackLM(Model("one", LMRefusalError("declined")), "offline"))

    assert not hasattr(caught.value, "__notes__")


async def test_fallbacks_go_inside_fallbacks():
    inner = FallbackLM(Model("one", BUSY), Model("two", BUSY))

    result, told = await calls(FallbackLM(inner, Model("three")))

    assert [(key, status) for key, status, *_ in told] == [
        ("0:Begin/route", "failed"),
        ("0:Begin/route#2", "failed"),
        ("0:Begin/route#3", "done"),
        ("1:Answer/fill", "done"),
    ]
    assert result.usage.requests == 4


async def test_the_second_is_asked_anew_and_its_attempts_go_on_counting():
    first = ScriptedLM({"1:Answer/fill": {}, "1:Answer/fill#2": BUSY}, routes={Begin: Answer})
    second = ScriptedLM({"1:Answer/fill#3": {"words": 1}, "1:Answer/fill#4": {"words": "good"}})

    result, told = await calls(FallbackLM(first, second))

    assert result.result.words == "good"
    assert [(key, status) for key, status, *_ in told[1:]] == [
        ("1:Answer/fill", "done"),
        ("1:Answer/fill#2", "failed"),
        ("1:Answer/fill#3", "done"),
        ("1:Answer/fill#4", "done"),
    ]
    assert result.usage.requests == 5


@pytest.mark.parametrize(
    ("first", "second", "requests"),
    [(Own(BUSY), Model("two"), 3), (Model("one", BUSY), Own(), 3), (Own(BUSY), Own(BUSY), 4)],
    ids=["own, then base", "base, then own", "own, then own"],
)
async def test_lms_with_the_four_methods_alone_are_told_and_counted_alike(first, second, requests):
    result, told = await calls(FallbackLM(first, second, Own()))

    assert [status for _, status, *_ in told] == ["failed"] * (requests - 2) + ["done", "done"]
    assert [key for key, *_ in told][:2] == ["0:Begin/route", "0:Begin/route#2"]
    assert result.usage.requests == requests


async def test_a_decision_begins_anew_with_the_next_one():
    class Body(Node):
        async def __call__(self, lm: LM) -> "Answer | Refusal":
            return await lm.decide(self)

    first = ScriptedLM({"0:Body/body/decide/fill": BUSY}, routes={Body: Refusal})

    result, told = await calls(FallbackLM(first, Model("two")), Body(), Graph(start=Body))

    assert result.result.words == "two at 0:Body/body/decide/fill#2"
    assert [(key, status) for key, status, *_ in told] == [
        ("0:Body/body/decide", "done"),
        ("0:Body/body/decide/fill", "failed"),
        ("0:Body/body/decide#2", "done"),
        ("0:Body/body/decide/fill#2", "done"),
    ]


@pytest.mark.parametrize("first", [Model("one", BUSY), Own(BUSY)], ids=["base", "own"])
async def test_a_decision_with_one_way_is_one_question(first):
    class Body(Node):
        async def __call__(self, lm: LM) -> "Answer":
            return await lm.decide(self)

    _, told = await calls(FallbackLM(first, Model("two")), Body(), Graph(start=Body))

    assert [(key, status) for key, status, *_ in told] == [
        ("0:Body/body/decide", "failed"),
        ("0:Body/body/decide#2", "done"),
    ]


async def test_it_answers_outside_a_run():
    answer = await resolve_dep(Answer, {}, trace=[Begin()], lm=FallbackLM(Model("one", BUSY), Model("two")))

    assert answer.words == "two at "


# --- Budgets, times, cancellation


@pytest.mark.parametrize("first", [lambda: Model("one", BUSY), lambda: Own(BUSY)], ids=["base", "own"])
async def test_a_failed_try_is_a_request_of_the_budget(first):
    second = Model("two")

    with pytest.raises(BudgetExceededError, match="1 of 1 requests used"):
        await calls(FallbackLM(first(), second), budget=Budget(requests=1))
    assert second.asked == 0
    result, _ = await calls(FallbackLM(first(), second), budget=Budget(requests=3))
    assert result.usage.requests == 3


async def test_a_failed_try_gives_back_what_it_reserved():
    class Ask(Node):
        async def __call__(self, lm: LM) -> None:
            for _ in range(2):
                await lm.make(self, Answer)

    lm = FallbackLM(Own(BUSY, BUSY), Own(BUSY), Own())

    result, _ = await calls(lm, Ask(), Graph(start=Ask), budget=Budget(requests=5))

    assert result.usage.requests == 5


async def test_the_nodes_timeout_bounds_the_whole_call():
    class Slow(Model):
        async def generate(self, request, on_partial=None):
            await asyncio.Event().wait()

    class Ask(Node):
        async def __call__(self) -> "Hasty": ...

    class Hasty(Node):
        words: str
        node_config = NodeConfig(timeout=0.01)

    after = Model("after")

    with pytest.raises(LMTimeoutError, match="no answer within"):
        await calls(FallbackLM(Slow("slow"), after), Ask(), Graph(start=Ask))
    with pytest.raises(LMTimeoutError, match="no answer within"):
        await calls(FallbackLM(Model("one", BUSY), Slow("slow"), after), Ask(), Graph(start=Ask))
    assert after.asked == 0


async def test_a_cancelled_call_asks_nobody_else():
    began = asyncio.Event()

    class Waiting(Model):
        async def generate(self, request, on_partial=None):
            began.set()
            await asyncio.Event().wait()

    events, after = [], Model("after")
    lm = FallbackLM(Model("one", BUSY), Waiting("two"), after)
    run = asyncio.create_task(graph.arun(Begin(), lm=lm, on_event=events.append))
    await finish(began.wait())
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await finish(run)
    told = [(event.key, event.status) for event in events if isinstance(event, LMCallFinished)]
    assert told == [("0:Begin/route", "failed"), ("0:Begin/route#2", "cancelled")]
    assert events[-1].usage.requests == 2
    assert after.asked == 0


async def test_calls_at_once_fall_back_apart():
    class Left(Answer): ...

    class Right(Answer): ...

    class Both(Node):
        left: Annotated[Left, Dep()]
        right: Annotated[Right, Dep()]

    first = ScriptedLM({Left: BUSY, Right: {"words": "first"}})

    result, told = await calls(FallbackLM(first, Model("two")), Both(), Graph(start=Both))

    assert (result.result.left.words, result.result.right.words) == ("two at 0:Both/left/fill#2", "first")
    assert sorted(status for _, status, *_ in told) == ["done", "done", "failed"]


# --- What it is


def test_a_name_is_looked_up_when_it_is_needed():
    lm = FallbackLM("offline", "ofline")

    with pytest.raises(LMNotConfiguredError, match="ofline"):
        graph.run(Begin(), lm=lm)
    assert Graph(start=Begin, lm=FallbackLM(Model("one", BUSY), "offline")).run(Begin()).usage.requests == 3


def test_what_is_no_lm_is_refused_at_once():
    with pytest.raises(TypeError, match="no LM"):
        FallbackLM("offline", 1)


class Tooled(Model):
    takes_tools: ClassVar[bool] = True


def test_it_is_and_can_what_all_of_them_are_and_can():
    assert FallbackLM("offline", ScriptedLM()).is_stand_in
    assert not FallbackLM("offline", Own()).is_stand_in
    assert FallbackLM("offline", Tooled("one")).takes_tools
    assert not FallbackLM("offline", Model("one")).takes_tools
    assert isinstance(FallbackLM("offline", "offline"), LM)


def test_it_is_refused_where_no_model_may_be_asked(no_unplanned_calls):
    with pytest.raises(UnplannedCallError, match="FallbackLM"):
        graph.run(Begin(), lm=FallbackLM("offline", Model("one")))
    assert graph.run(Begin(), lm=FallbackLM("offline", ScriptedLM())).result


def test_its_repr_is_how_it_is_made():
    assert repr(FallbackLM("offline", "anthropic:x")) == "FallbackLM('offline', 'anthropic:x')"


def test_it_is_no_error_that_is_survived():
    assert {each for each in LMError.__subclasses__() if each.is_retryable} == {
        LMRateLimitError,
        LMTimeoutError,
        LMConnectionError,
    }
