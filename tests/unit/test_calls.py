"""Which LM is asked: the order of precedence, names, none at all, and what the injected LM of a body does."""

import asyncio
from typing import Annotated

import pytest
from running import finish

from weft import (
    LM,
    BaseLM,
    ChoiceError,
    Dep,
    DepError,
    FillError,
    Graph,
    LMNotConfiguredError,
    LMRateLimitError,
    LMResponse,
    Node,
    NodeConfig,
    OfflineLM,
    Usage,
    WeftError,
)
from weft.events import LMCallFinished
from weft.testing import ScriptedLM


@pytest.fixture(autouse=True)
async def nothing_left_behind(monkeypatch):
    """No task outlives a test, no callback fails unseen, and the caller's environment names no LM."""
    monkeypatch.delenv("WEFT_LM", raising=False)
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    yield
    assert not problems
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Named(BaseLM):
    """Writes its own name everywhere, and keeps what it was asked."""

    def __init__(self, name):
        self.name = name
        self.asked = []

    async def generate(self, request, on_partial=None):
        self.asked.append((request.kind, request.target))
        if request.kind == "choose":
            return LMResponse({"choice": request.options[0].name})
        return LMResponse(dict.fromkeys(request.schema["properties"], self.name))


class Start(Node):
    async def __call__(self) -> "Last": ...


class Last(Node):
    words: str


PINNED = Named("pinned")


class StartPinned(Node):
    async def __call__(self) -> "LastPinned": ...


class LastPinned(Node):
    node_config = NodeConfig(lm=PINNED)
    words: str


async def words(graph, start, **options):
    return (await finish(graph.arun(start, **options))).result.words


# --- The order ---


async def test_an_override_comes_before_all(monkeypatch):
    monkeypatch.setenv("WEFT_LM", "offline")
    graph = Graph(start=StartPinned, lm=Named("graph"))
    with graph.override(lm=Named("override")):
        assert await words(graph, StartPinned(), lm=Named("run")) == "override"


async def test_the_innermost_override_counts_and_the_outer_one_returns():
    graph = Graph(start=Start, lm=Named("graph"))
    with graph.override(lm=Named("outer")):
        with graph.override(lm=Named("inner")):
            assert await words(graph, Start()) == "inner"
        with graph.override({}):
            assert await words(graph, Start()) == "outer"
        assert await words(graph, Start()) == "outer"
    assert await words(graph, Start()) == "graph"


async def test_a_nodes_own_lm_comes_before_the_runs_and_is_inherited_by_subclasses():
    class Begin(Node):
        async def __call__(self) -> "Heir": ...

    class Heir(LastPinned):
        node_config = NodeConfig(retries=1)

    assert await words(Graph(start=Begin), Begin(), lm=Named("run")) == "pinned"


async def test_the_runs_lm_comes_before_the_graphs():
    assert await words(Graph(start=Start, lm=Named("graph")), Start(), lm=Named("run")) == "run"


async def test_the_graphs_lm_comes_before_the_run_it_is_inside():
    inner = Graph(start=Start, lm=Named("inner graph"))

    async def sub() -> str:
        return await words(inner, Start())

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

        async def __call__(self) -> "Last": ...

    result = await finish(Graph(start=Outer).arun(Outer(), lm=Named("outer run")))

    assert (result.trace[0].inside, result.result.words) == ("inner graph", "outer run")


async def test_the_run_it_is_inside_comes_before_the_variable(monkeypatch):
    monkeypatch.setenv("WEFT_LM", "nobody:knows")
    inner = Graph(start=Start)

    async def sub() -> str:
        return await words(inner, Start())

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

    result = await finish(Graph(start=Outer).arun(Outer(), lm=Named("outer run")))

    assert result.result.inside == "outer run"


async def test_the_variable_comes_last_and_is_read_at_the_call(monkeypatch):
    graph = Graph(start=Start)
    monkeypatch.setenv("WEFT_LM", "offline")
    assert isinstance(await words(graph, Start()), str)


async def test_the_routing_nodes_lm_chooses_and_the_filled_nodes_lm_fills():
    router, filler, other = Named("router"), Named("filler"), Named("other")

    class Fork(Node):
        node_config = NodeConfig(lm=router)

        async def __call__(self) -> "Left | Right": ...

    class Left(Node):
        node_config = NodeConfig(lm=filler)
        words: str

    class Right(Node):
        words: str

    await finish(Graph(start=Fork).arun(Fork(), lm=other))

    assert router.asked == [("choose", "Fork")]
    assert filler.asked == [("fill", "Left")]
    assert other.asked == []


async def test_a_pinned_sub_node_is_filled_by_its_own_lm():
    class Outer(Node):
        sub: Annotated[LastPinned, Dep()]

    result = await finish(Graph(start=Outer).arun(Outer(), lm=Named("run")))

    assert result.result.sub.words == "pinned"


class Empty(Named):
    """An LM that is false: it has a length, and that is 0."""

    def __len__(self):
        return 0


@pytest.mark.parametrize("where", ["override", "run", "graph", "outer override", "outer run", "node"])
async def test_an_lm_that_is_false_is_an_lm(where):
    class Begin(Node):
        async def __call__(self) -> "End": ...

    class End(Node):
        node_config = NodeConfig(lm=Empty(where) if where == "node" else None)
        words: str

    inner = Graph(start=Begin, lm=Empty(where) if where == "graph" else None)

    async def sub() -> str:
        with inner.override(lm=Empty(where) if where == "override" else None):
            return await words(inner, Begin(), lm=Empty(where) if where == "run" else None)

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

    outer = Graph(start=Outer, lm=Named("outer"))
    with outer.override(lm=Empty(where) if where == "outer override" else None):
        result = await finish(outer.arun(Outer(), lm=Empty(where) if where == "outer run" else None))

    assert result.result.inside == where


async def test_an_injected_lm_that_stands_for_one_that_is_false_is_one():
    inner = Graph(start=Start, lm=Named("graph"))

    async def sub(lm: LM) -> str:
        return await words(inner, Start(), lm=lm)

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

    outer = Graph(start=Outer)

    assert (await finish(outer.arun(Outer(), lm=Empty("run")))).result.inside == "run"


# --- Names, and none at all ---


async def test_without_any_lm_the_error_names_the_variable_and_the_choices():
    with pytest.raises(LMNotConfiguredError, match="WEFT_LM") as caught:
        await finish(Graph(start=Start).arun(Start()))

    assert "offline" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, WeftError)
    assert caught.value.node_type is Last


async def test_an_empty_variable_names_nothing(monkeypatch):
    monkeypatch.setenv("WEFT_LM", "")
    with pytest.raises(LMNotConfiguredError, match="WEFT_LM"):
        await finish(Graph(start=Start).arun(Start()))


async def test_it_is_missed_at_the_first_call_and_not_before():
    log = []

    class Begin(Node):
        made: Annotated[int, Dep(lambda: log.append("dep ran") or 1)]

        async def __call__(self) -> "Last": ...

    with pytest.raises(LMNotConfiguredError):
        await finish(Graph(start=Begin).arun(Begin()))
    assert log == ["dep ran"]

    class Alone(Node):
        pass

    assert (await finish(Graph(start=Alone).arun(Alone()))).result == Alone()


async def test_a_sub_node_without_an_lm_is_a_dep_error_that_says_so():
    class Outer(Node):
        sub: Annotated[Last, Dep()]

    with pytest.raises(DepError, match="WEFT_LM") as caught:
        await finish(Graph(start=Outer).arun(Outer()))

    assert isinstance(caught.value.__cause__, LMNotConfiguredError)


async def test_an_unknown_name_is_refused_where_it_is_given(monkeypatch):
    with pytest.raises(LMNotConfiguredError, match="offlin"):
        await Graph(start=Start).arun(Start(), lm="offlin")
    monkeypatch.setenv("WEFT_LM", "ofline")
    with pytest.raises(LMNotConfiguredError, match="ofline"):
        await finish(Graph(start=Start).arun(Start()))


async def test_what_is_no_lm_is_a_type_error():
    with pytest.raises(TypeError, match="choose_type"):
        await Graph(start=Start).arun(Start(), lm=object())


@pytest.mark.parametrize("where", ["run", "graph", "override", "node", "variable"])
async def test_a_name_goes_everywhere_an_lm_goes(where, monkeypatch):
    class Begin(Node):
        async def __call__(self) -> "End": ...

    class End(Node):
        node_config = NodeConfig(lm="offline" if where == "node" else None)
        words: str

    if where == "variable":
        monkeypatch.setenv("WEFT_LM", "offline")
    graph = Graph(start=Begin, lm="offline" if where == "graph" else None)
    with graph.override(lm="offline" if where == "override" else None):
        assert isinstance(await words(graph, Begin(), lm="offline" if where == "run" else None), str)


# --- The LM that a body is given ---


class Part(Node):
    words: str


class PartPinned(Node):
    node_config = NodeConfig(lm=PINNED)
    words: str


async def test_an_injected_lm_asks_whoever_is_in_charge_of_the_node():
    class Body(Node):
        async def __call__(self, lm: LM) -> "Last":
            own = await lm.make(self, PartPinned)
            other = await lm.make(self, Part)
            return Last(words=f"{own.words} {other.words}")

    assert await words(Graph(start=Body), Body(), lm=Named("run")) == "pinned run"


async def test_an_injected_lm_is_an_lm_with_all_four_methods():
    class Body(Node):
        async def __call__(self, lm: LM) -> "Last | Part | None":
            assert isinstance(lm, LM)
            assert await lm.choose_type([Part, None], self) is Part
            made = await lm.make(self, Part)
            filled = await lm.fill(Last, {}, "Write.", self)
            assert made.words == filled.words == "run"
            return await lm.decide(self)

    result = await finish(Graph(start=Body).arun(Body(), lm=Named("run")))

    assert result.result == Last(words="run")
    assert result.usage.requests == 5


async def test_what_an_injected_lm_brings_is_checked():
    class Liar:
        async def choose_type(self, types, context):
            return Body

        async def fill(self, target, resolved, instruction, source=None):
            return Last(words="other")

        async def make(self, node, target):
            return Last(words="other")

        async def decide(self, node):
            return Part(words="not a successor")

    class Body(Node):
        async def __call__(self, lm: LM) -> "Last | None":
            with pytest.raises(ChoiceError):
                await lm.choose_type([Last, None], self)
            with pytest.raises(FillError):
                await lm.fill(Part, {}, "Write.", self)
            with pytest.raises(FillError):
                await lm.make(self, Part)
            with pytest.raises(ChoiceError):
                await lm.decide(self)

    await finish(Graph(start=Body).arun(Body(), lm=Liar()))


async def test_raw_values_given_to_fill_are_shown_and_used():
    class Body(Node):
        async def __call__(self, lm: LM) -> "Detail":
            return await lm.fill(Detail, {"number": 41}, "Write it.", self)

    class Detail(Node):
        number: Annotated[int, Dep(lambda: 1)]
        words: str

    result = await finish(Graph(start=Body).arun(Body(), lm=ScriptedLM({Detail: {"words": "w"}})))

    assert (result.result.number, result.result.words) == (41, "w")


async def test_usage_of_calls_made_through_an_injected_lm_is_the_runs():
    class Priced(BaseLM):
        async def generate(self, request, on_partial=None):
            return LMResponse({"words": "w"}, Usage(1, 10, 20, 0.5))

    class Body(Node):
        async def __call__(self, lm: LM) -> "type[Last]":
            await asyncio.gather(*(lm.make(self, Part) for _ in range(3)))
            return Last

    result = await finish(Graph(start=Body).arun(Body(), lm=Priced()))

    assert result.usage == Usage(4, 40, 80, 2.0)


async def test_one_unpriced_call_leaves_the_cost_unknown():
    class Unpriced(BaseLM):
        async def generate(self, request, on_partial=None):
            return LMResponse({"words": "w"}, Usage(1, 1, 1, None if request.target == "Part" else 0.5))

    class Body(Node):
        async def __call__(self, lm: LM) -> "type[Last]":
            await lm.make(self, Part)
            return Last

    result = await finish(Graph(start=Body).arun(Body(), lm=Unpriced()))

    assert result.usage == Usage(2, 2, 2, None)


async def test_a_failed_call_still_counts():
    class Broken:
        async def choose_type(self, types, context):
            raise OSError

        fill = make = decide = choose_type

    class Body(Node):
        async def __call__(self, lm: LM) -> None:
            with pytest.raises(OSError):
                await lm.choose_type([Part], self)

    result = await finish(Graph(start=Body).arun(Body(), lm=Broken()))

    assert result.usage.requests == 1


class Failing(BaseLM):
    """Gives an answer that is rejected, till the call whose turn it is to fail."""

    def __init__(self, nth):
        self.nth = nth
        self.asked = 0

    async def generate(self, request, on_partial=None):
        self.asked += 1
        if self.asked == self.nth:
            raise LMRateLimitError("too many")
        return LMResponse({})


@pytest.mark.parametrize(
    ("lm", "error", "requests"),
    [
        (lambda: None, LMNotConfiguredError, 0),
        (lambda: Failing(1), LMRateLimitError, 1),
        (lambda: Failing(2), LMRateLimitError, 2),
        (lambda: Failing(3), LMRateLimitError, 3),
        (lambda: Failing(0), FillError, 3),
    ],
    ids=["no LM", "fails at once", "fails at the second attempt", "fails at the third", "is rejected each time"],
)
async def test_events_and_the_run_agree_on_the_requests_of_a_call_that_fails(lm, error, requests):
    lm, events = lm(), []
    with pytest.raises(error):
        await finish(Graph(start=Start).arun(Start(), lm=lm, on_event=events.append))

    assert events[-1].usage.requests == requests
    told = [event.usage.requests for event in events if isinstance(event, LMCallFinished)]
    assert sum(told) == requests
    assert lm is None or lm.asked == requests


async def test_a_wrong_choice_of_an_lm_of_ones_own_is_told_as_failed_and_has_its_trace():
    class Liar(Named):
        async def choose_type(self, types, context):
            return Start

    class Fork(Node):
        async def __call__(self) -> "Last | Part": ...

    events = []
    with pytest.raises(ChoiceError) as caught:
        await finish(Graph(start=Fork).arun(Fork(), lm=Liar("liar"), on_event=events.append))

    assert caught.value.node_type is Fork
    assert caught.value.trace == [Fork()]
    [call] = [event for event in events if isinstance(event, LMCallFinished)]
    assert (call.status, call.error, call.is_accepted) == ("failed", caught.value, False)


@pytest.mark.parametrize("method", ["choose_type", "fill", "make", "decide"])
async def test_what_an_injected_lm_brings_and_is_refused_is_told_as_failed_and_has_its_trace(method):
    class Liar:
        async def choose_type(self, types, context):
            return Body

        async def fill(self, target, resolved, instruction, source=None):
            return Last(words="other")

        async def make(self, node, target):
            return Last(words="other")

        async def decide(self, node):
            return Part(words="not a successor")

    class Body(Node):
        async def __call__(self, lm: LM) -> "Last | None":
            calls = {
                "choose_type": lambda: lm.choose_type([Last, None], self),
                "fill": lambda: lm.fill(Part, {}, "Write.", self),
                "make": lambda: lm.make(self, Part),
                "decide": lambda: lm.decide(self),
            }
            await calls[method]()

    events = []
    with pytest.raises((ChoiceError, FillError)) as caught:
        await finish(Graph(start=Body).arun(Body(), lm=Liar(), on_event=events.append))

    assert caught.value.trace == [Body()]
    [call] = [event for event in events if isinstance(event, LMCallFinished)]
    assert (call.status, call.error, call.is_accepted) == ("failed", caught.value, False)


async def test_an_lm_that_asks_another_is_one_call():
    class Wrapper(BaseLM):
        def __init__(self, inner):
            self.inner = inner

        async def generate(self, request, on_partial=None):
            return await self.inner.generate(request, on_partial)

    result = await finish(Graph(start=Start).arun(Start(), lm=Wrapper(Named("inner"))))

    assert (result.result.words, result.usage.requests) == ("inner", 1)


def test_offline_is_a_name_for_offline_lm():
    assert repr(OfflineLM()) == "OfflineLM()"
