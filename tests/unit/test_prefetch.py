"""What begins before its node is visited, what does not, and that nothing of it is seen or left if it never is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from running import finish, never, others

from weft import (
    LM,
    BaseLM,
    Budget,
    Dep,
    DepError,
    Graph,
    GraphError,
    LMResponse,
    Node,
    NodeConfig,
    OfflineLM,
    Recall,
    RunTimeoutError,
)
from weft._limits import CallLimit
from weft.events import DepClosed, DepFinished, DepStarted, LMCallFinished, LMCallStarted, NodeFinished, RunFinished
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class GatedLM(BaseLM):
    """Logs each call; waits at the gate of its place, if it has one; answers with the first choice, or as told."""

    def __init__(self, log, *gated, choices=()):
        self.log = log
        self.gates = {place: asyncio.Event() for place in gated}
        self.choices = dict(choices)

    async def generate(self, request, on_partial=None):
        self.log.append(request.place)
        if request.place in self.gates:
            await self.gates[request.place].wait()
        self.log.append(f"{request.place} done")
        if request.kind in ("choose", "decide"):
            choice = self.choices.get(request.target, request.options[0].name)
            decision = {"decision": {"choice": choice, "fields": {"text": f"{choice} text"}}}
            return LMResponse({"choice": choice} if request.kind == "choose" else decision)
        return LMResponse(dict.fromkeys(request.schema["properties"], f"{request.target} text"))


async def settle():
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def logging_dep(log, name, *, gate=None, fails=None):
    async def dep() -> str:
        log.append(name)
        if gate is not None:
            await gate.wait()
        if fails is not None:
            raise fails
        log.append(f"{name} done")
        return name

    dep.__name__ = name
    return dep


class Chain:
    """First, filled by nobody, then Second, Third and Fourth, filled by the LM; each has the fields it is given."""

    def __init__(self, second=None, third=None, fourth=None, **options):
        class Fourth(Node):
            __annotations__ = {"text": str, **(fourth or {})}

        class Third(Node):
            __annotations__ = {"text": str, **(third or {})}

            async def __call__(self) -> Fourth: ...

        class Second(Node):
            __annotations__ = {"text": str, **(second or {})}

            async def __call__(self) -> Third: ...

        class First(Node):
            said: str = "hello"

            async def __call__(self) -> Second: ...

        self.first, self.second, self.third, self.fourth = First, Second, Third, Fourth
        self.graph = Graph(start=First, **options)


# --- What begins when ----------------------------------------------------------------------------------------------


async def test_dependencies_of_certain_nodes_begin_while_the_lm_fills_and_after_it_is_asked():
    log = []
    near, far = logging_dep(log, "near"), logging_dep(log, "far")
    chain = Chain(third={"near": Annotated[str, Dep(near)]}, fourth={"far": Annotated[str, Dep(far)]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))

    await settle()
    assert log == ["1:Second/fill", "near", "near done", "far", "far done"]
    lm.gates["1:Second/fill"].set()
    result = await finish(run)

    assert (result.trace[2].near, result.trace[3].far) == ("near", "far")
    assert log.count("near") == log.count("far") == 1


async def test_nothing_begins_ahead_when_it_is_off():
    log = []
    chain = Chain(third={"near": Annotated[str, Dep(logging_dep(log, "near"))]}, prefetch="off")
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))

    await settle()
    assert log == ["1:Second/fill"]
    lm.gates["1:Second/fill"].set()
    await finish(run)

    assert log[1:3] == ["1:Second/fill done", "near"]


def test_another_word_for_prefetch_is_refused():
    class Only(Node):
        pass

    with pytest.raises(ValueError, match="prefetch='yes' is not 'certain', 'candidates' or 'off'"):
        Graph(start=Only, prefetch="yes")


async def test_an_lm_that_answers_at_once_leaves_nothing_to_begin_ahead():
    log = []
    chain = Chain(third={"near": Annotated[str, Dep(logging_dep(log, "near"))]})
    events = []
    script = ScriptedLM({each: {"text": "t"} for each in (chain.second, chain.third, chain.fourth)})

    await finish(chain.graph.arun(chain.first(), lm=script, on_event=events.append))

    started = next(each for each in events if isinstance(each, DepStarted))
    visited = next(each for each in events if isinstance(each, NodeFinished) and each.key == "1:Second")
    assert started.at >= visited.at


async def test_nothing_begins_that_max_steps_does_not_let_be_visited():
    log = []
    chain = Chain(
        third={"near": Annotated[str, Dep(logging_dep(log, "near"))]},
        fourth={"far": Annotated[str, Dep(logging_dep(log, "far"))]},
    )
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, max_steps=3))

    await settle()
    assert log == ["1:Second/fill", "near", "near done"]
    lm.gates["1:Second/fill"].set()
    with pytest.raises(Exception, match="max_steps"):
        await finish(run)


async def test_nothing_begins_past_a_body_with_code_but_the_body_s_own_parameters_do():
    log = []
    after, own = logging_dep(log, "after"), logging_dep(log, "own")

    class After(Node):
        value: Annotated[str, Dep(after)]

    class Coded(Node):
        text: str

        async def __call__(self, value: Annotated[str, Dep(own)]) -> After:
            log.append(f"body {value}")
            return After()

    class Start(Node):
        async def __call__(self) -> Coded: ...

    lm = GatedLM(log, "1:Coded/fill")
    run = asyncio.ensure_future(Graph(start=Start).arun(Start(), lm=lm))

    await settle()
    assert log == ["1:Coded/fill", "own", "own done"]
    lm.gates["1:Coded/fill"].set()
    await finish(run)

    assert log[3:] == ["1:Coded/fill done", "body own", "after", "after done"]


async def test_per_visit_dependencies_and_those_that_say_so_do_not_begin_ahead_but_what_they_need_does():
    log = []
    below = logging_dep(log, "below")

    async def visited(below: Annotated[str, Dep(below)]) -> str:
        log.append("visited")
        return below

    async def kept_back(below: Annotated[str, Dep(below)]) -> str:
        log.append("kept back")
        return below

    async def user(kept: Annotated[str, Dep(kept_back, prefetch=False)]) -> str:
        log.append("user")
        return kept

    fields = {"visited": Annotated[str, Dep(visited, per="visit")], "user": Annotated[str, Dep(user)]}
    chain = Chain(third=fields)
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))

    await settle()
    assert log == ["1:Second/fill", "below", "below done"]
    lm.gates["1:Second/fill"].set()
    await finish(run)

    assert sorted(log[4:7]) == ["kept back", "user", "visited"]


def test_prefetch_must_be_said_alike_for_one_shared_function():
    def get() -> int:
        return 1

    class Both(Node):
        one: Annotated[int, Dep(get)]
        other: Annotated[int, Dep(get, prefetch=False)]

    with pytest.raises(GraphError, match="other options elsewhere"):
        Graph(start=Both)


async def test_a_function_that_is_given_an_lm_does_not_begin_ahead():
    log = []

    async def ask(lm: LM) -> str:
        log.append("ask")
        return "asked"

    chain = Chain(third={"asked": Annotated[str, Dep(ask)]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))

    await settle()
    assert log == ["1:Second/fill"]
    lm.gates["1:Second/fill"].set()
    await finish(run)

    assert log[:3] == ["1:Second/fill", "1:Second/fill done", "ask"]


# --- Recall --------------------------------------------------------------------------------------------------------


class Note(Node):
    words: str


async def test_what_recalls_begins_only_when_no_node_until_then_can_supply_a_newer_match():
    log = []

    async def of_note(words: Annotated[str, Recall(Note, "words")]) -> str:
        log.append(f"of note {words}")
        return words

    async def of_draft(text: Annotated[str, Recall("text")]) -> str:
        log.append(f"of draft {text}")
        return text

    class Last(Node):
        note: Annotated[str, Dep(of_note)]
        draft: Annotated[str, Dep(of_draft)]
        closing: str

    class Middle(Node):
        number: str

        async def __call__(self) -> Last: ...

    class Draft(Node):
        text: str

        async def __call__(self) -> Middle: ...

    class Start(Note):
        async def __call__(self) -> Draft: ...

    lm = GatedLM(log, "1:Draft/fill", "2:Middle/fill")
    run = asyncio.ensure_future(Graph(start=Start).arun(Start(words="w"), lm=lm))

    await settle()
    assert log == ["1:Draft/fill", "of note w"]
    lm.gates["1:Draft/fill"].set()
    await settle()
    assert log[2:] == ["1:Draft/fill done", "2:Middle/fill", "of draft Draft text"]
    lm.gates["2:Middle/fill"].set()
    result = await finish(run)

    assert (result.result.note, result.result.draft) == ("w", "Draft text")
    assert len(log) == 8


# --- Choices -------------------------------------------------------------------------------------------------------


class Choice:
    """Start chooses between One and Other."""

    def __init__(self, one, other, *, may_stop=False, **options):
        class One(Node):
            __annotations__ = {"text": str, **one}

        class Other(Node):
            __annotations__ = {"text": str, **other}

        class Start(Node):
            said: str = "hello"

            async def __call__(self): ...

        Start.__call__.__annotations__["return"] = One | Other | None if may_stop else One | Other
        self.start = Start
        self.graph = Graph(start=Start, **options)

    def begin(self, log, choice="Other", **options):
        self.lm = GatedLM(log, "0:Start/route", choices={"Start": choice})
        return asyncio.ensure_future(self.graph.arun(self.start(), lm=self.lm, **options))

    async def choose(self, run):
        self.lm.gates["0:Start/route"].set()
        return await finish(run)


@pytest.mark.parametrize(
    ("prefetch", "may_stop", "begun"),
    [
        ("certain", False, ["both"]),
        ("certain", True, []),
        ("candidates", False, ["both", "one", "other"]),
        ("candidates", True, ["both", "one", "other"]),
        ("off", False, []),
    ],
)
async def test_while_the_lm_chooses_what_all_candidates_need_is_certain(prefetch, may_stop, begun):
    log = []
    both, one, other = (logging_dep(log, name, gate=asyncio.Event()) for name in ("both", "one", "other"))
    choice = Choice(
        {"both": Annotated[str, Dep(both)], "one": Annotated[str, Dep(one)]},
        {"other": Annotated[str, Dep(other)], "both": Annotated[str, Dep(both)]},
        may_stop=may_stop,
        prefetch=prefetch,
    )
    run = choice.begin(log)

    await settle()
    assert log[0] == "0:Start/route"
    assert sorted(log[1:]) == begun
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)


class Joining:
    """Start chooses between One and Other, which both lead to Last, unless Other stops, and Last to End."""

    def __init__(self, last, end=None, *, may_stop=False, other_ends=False, **options):
        class End(Node):
            __annotations__ = {"text": str, **(end or {})}

        class Last(Node):
            __annotations__ = {"text": str, **last}

            async def __call__(self) -> End: ...

        class One(Node):
            text: str

            async def __call__(self) -> Last: ...

        class Other(One):
            text: str

            async def __call__(self): ...

        class Start(Node):
            said: str = "hello"

            async def __call__(self): ...

        Other.__call__.__annotations__["return"] = End if other_ends else Last
        Start.__call__.__annotations__["return"] = One | Other | None if may_stop else One | Other
        self.one, self.other, self.start = One, Other, Start
        self.graph = Graph(start=Start, **options)

    def begin(self, lm, **options):
        return asyncio.ensure_future(self.graph.arun(self.start(), lm=lm, **options))


@pytest.mark.parametrize("routing", ["two-call", "one-call"])
@pytest.mark.parametrize(
    ("ways", "options", "begun"),
    [
        ({}, {}, ["near", "far"]),
        ({"prefetch": "candidates"}, {}, ["near", "far"]),
        ({"prefetch": "off"}, {}, []),
        ({"may_stop": True}, {}, []),
        ({"other_ends": True}, {}, []),
        ({}, {"max_steps": 2}, []),
        ({}, {"max_steps": 3}, ["near"]),
    ],
)
async def test_what_comes_after_every_candidate_begins_while_the_lm_chooses(routing, ways, options, begun):
    log = []
    near, far = (logging_dep(log, name, gate=asyncio.Event()) for name in ("near", "far"))
    joining = Joining({"near": Annotated[str, Dep(near)]}, {"far": Annotated[str, Dep(far)]}, routing=routing, **ways)
    run = joining.begin(GatedLM(log, "0:Start/route"), **options)

    await settle()
    assert log == ["0:Start/route", *begun]
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)


@pytest.mark.parametrize("routing", ["two-call", "one-call"])
async def test_after_a_choice_each_value_is_made_once_and_told_at_its_node(routing):
    log, events = [], []
    near, far = logging_dep(log, "near"), logging_dep(log, "far")
    joining = Joining({"near": Annotated[str, Dep(near)]}, {"far": Annotated[str, Dep(far)]}, routing=routing)
    lm = GatedLM(log, "0:Start/route", choices={"Start": "Other"})
    run = joining.begin(lm, on_event=events.append)
    await settle()
    lm.gates["0:Start/route"].set()
    result = await finish(run)

    assert [type(node).__name__ for node in result.trace] == ["Start", "Other", "Last", "End"]
    assert (result.trace[2].near, result.result.far) == ("near", "far")
    assert log[:6] == ["0:Start/route", "near", "near done", "far", "far done", "0:Start/route done"]
    assert log.count("near") == log.count("far") == 1
    assert [each.key for each in events if isinstance(each, DepStarted)] == ["2:Last/near", "3:End/far"]


@pytest.mark.parametrize(
    ("options", "begun"),
    [
        ({"prefetch": "candidates", "routing": "one-call"}, ["near", "far"]),
        ({"prefetch": "candidates", "routing": "one-call", "may_stop": True}, ["near", "far"]),
        ({"prefetch": "candidates"}, []),
        ({"prefetch": "certain", "routing": "one-call"}, []),
    ],
)
async def test_while_one_call_chooses_and_fills_what_comes_after_each_candidate_begins(options, begun):
    log = []
    near, far = (logging_dep(log, name, gate=asyncio.Event()) for name in ("near", "far"))

    async def opening() -> AsyncIterator[str]:
        log.append("opened")
        yield "resource"

    last = {"near": Annotated[str, Dep(near)], "opened": Annotated[str, Dep(opening)]}
    joining = Joining(last, {"far": Annotated[str, Dep(far)]}, other_ends=True, **options)
    run = joining.begin(GatedLM(log, "0:Start/route"))

    await settle()
    assert log == ["0:Start/route", *begun]
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)


async def test_what_comes_after_a_candidate_that_loses_is_cancelled_when_another_is_visited():
    log, events = [], []
    gate = asyncio.Event()

    async def lost() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            log.append("lost cancelled")
            raise
        raise AssertionError

    joining = Joining(
        {"lost": Annotated[str, Dep(lost)]},
        {"far": Annotated[str, Dep(logging_dep(log, "far", gate=gate))]},
        other_ends=True,
        prefetch="candidates",
        routing="one-call",
    )
    lm = GatedLM(log, "0:Start/route", choices={"Start": "Other"})
    run = joining.begin(lm, on_event=events.append)
    await settle()
    lm.gates["0:Start/route"].set()
    await settle()
    assert log == ["0:Start/route", "far", "0:Start/route done", "lost cancelled"]
    gate.set()
    result = await finish(run)

    assert [type(node).__name__ for node in result.trace] == ["Start", "Other", "End"]
    assert [each.key for each in events if isinstance(each, DepStarted | DepFinished)] == ["2:End/far"] * 2


async def test_what_recalls_from_some_candidate_waits_until_it_is_not_chosen():
    log = []

    class Source(Node):
        text: str = "source"

    def find(said: Annotated[str, Recall(Source, "text")]) -> str:
        log.append("find")
        return said

    class Last(Node):
        found: Annotated[str, Dep(find)]
        text: str

    class One(Node):
        text: str

        async def __call__(self) -> Last: ...

    class Other(Source):
        text: str

        async def __call__(self) -> Last: ...

    class Start(Source):
        async def __call__(self) -> One | Other: ...

    async def found_and_log_if(choice):
        log.clear()
        lm = GatedLM(log, "0:Start/route", f"1:{choice}/fill", choices={"Start": choice})
        run = asyncio.ensure_future(Graph(start=Start).arun(Start(), lm=lm))
        for gate in lm.gates.values():
            await settle()
            gate.set()
        return (await finish(run)).result.found, log[2:-2]

    assert await found_and_log_if("One") == ("source", ["1:One/fill", "find", "1:One/fill done"])
    assert await found_and_log_if("Other") == ("Other text", ["1:Other/fill", "1:Other/fill done", "find"])


async def test_a_candidate_that_loses_is_cancelled_unless_another_waits_for_its_values():
    log = []
    gate = asyncio.Event()
    shared = logging_dep(log, "shared", gate=gate)

    async def lost() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            log.append("lost cancelled")
            raise
        raise AssertionError

    choice = Choice(
        {"common": Annotated[str, Dep(shared)], "lost": Annotated[str, Dep(lost)]},
        {"common": Annotated[str, Dep(shared)]},
        prefetch="candidates",
    )
    events = []
    run = choice.begin(log, on_event=events.append)
    await settle()
    choice.lm.gates["0:Start/route"].set()
    await settle()
    assert "lost cancelled" in log
    assert not run.done()
    gate.set()
    result = await finish(run)

    assert result.result.common == "shared"
    assert log.count("shared") == 1
    told = [each.key for each in events if isinstance(each, DepStarted | DepFinished)]
    assert told == ["1:Other/common", "1:Other/common"]


async def test_a_finished_value_of_a_loser_is_there_for_a_later_node_and_told_as_made_there():
    calls = []

    async def get() -> str:
        calls.append("get")
        return "value"

    class One(Node):
        value: Annotated[str, Dep(get)]
        text: str

    class Other(Node):
        text: str

        async def __call__(self) -> One: ...

    class Start(Node):
        async def __call__(self) -> One | Other: ...

    events = []
    lm = GatedLM([], "0:Start/route", choices={"Start": "Other"})
    running = Graph(start=Start, prefetch="candidates").arun(Start(), lm=lm, on_event=events.append)
    run = asyncio.ensure_future(running)
    await settle()
    assert calls == ["get"]
    lm.gates["0:Start/route"].set()
    result = await finish(run)

    assert result.result.value == "value"
    assert calls == ["get"]
    assert [each.key for each in events if isinstance(each, DepStarted)] == ["2:One/value"]
    last = next(each for each in events if isinstance(each, NodeFinished) and each.key == "2:One")
    assert last.origins["value"].key == "2:One/value"


async def test_a_mere_candidate_opens_no_resource_and_asks_no_lm():
    log = []

    async def line() -> AsyncIterator[str]:
        log.append("open")
        yield "line"

    class Sub(Node):
        words: str

    choice = Choice(
        {"line": Annotated[str, Dep(line)], "sub": Annotated[Sub, Dep()]},
        {"value": Annotated[str, Dep(logging_dep(log, "value"))]},
        prefetch="candidates",
    )
    run = choice.begin(log)

    await settle()
    assert log == ["0:Start/route", "value", "value done"]
    await choice.choose(run)

    assert "open" not in log


# --- Sub-nodes that the LM fills -----------------------------------------------------------------------------------


class Sub(Node):
    words: str


SUBS = {"sub": Annotated[Sub, Dep()]}


@pytest.mark.parametrize("prefetch", ["certain", "candidates"])
async def test_a_sub_node_that_all_candidates_need_is_filled_while_the_lm_chooses_and_told_where_it_is_needed(prefetch):
    log, events = [], []
    choice = Choice(SUBS, SUBS, prefetch=prefetch)
    run = choice.begin(log, on_event=events.append)

    await settle()
    assert log == ["0:Start/route", "1:One/sub/fill", "1:One/sub/fill done"]
    assert not [each for each in events if "sub" in each.key]
    result = await choice.choose(run)

    assert result.result.sub.words == "Sub text"
    assert result.usage.requests == 3
    told = [(type(each), each.key, each.parent) for each in events if "sub" in each.key]
    assert told == [
        (DepStarted, "1:Other/sub", "1:Other"),
        (LMCallStarted, "1:Other/sub/fill", "1:Other/sub"),
        (LMCallFinished, "1:Other/sub/fill", "1:Other/sub"),
        (DepFinished, "1:Other/sub", "1:Other"),
    ]
    assert next(each for each in events if isinstance(each, LMCallFinished) and "sub" in each.key).request.place == (
        "1:Other/sub/fill"
    )


async def test_a_sub_node_taken_over_while_it_is_filled_is_told_where_it_is_needed():
    events = []
    choice = Choice(SUBS, SUBS)
    run = choice.begin([], on_event=events.append)
    choice.lm.gates["1:One/sub/fill"] = asyncio.Event()
    await settle()
    choice.lm.gates["0:Start/route"].set()
    await settle()
    assert [each.key for each in events if "sub" in each.key] == ["1:Other/sub", "1:Other/sub/fill"]
    choice.lm.gates["1:One/sub/fill"].set()
    await finish(run)

    assert [each.key for each in events if "sub" in each.key][2:] == ["1:Other/sub/fill", "1:Other/sub"]


async def test_the_error_of_a_sub_node_filled_ahead_names_the_place_where_it_is_needed():
    class Failing(GatedLM):
        async def generate(self, request, on_partial=None):
            if request.target == "Sub":
                raise ConnectionError("no line")
            return await super().generate(request, on_partial)

    choice = Choice(SUBS, SUBS)
    lm = Failing([], "0:Start/route", choices={"Start": "Other"})
    run = asyncio.ensure_future(choice.graph.arun(choice.start(), lm=lm))
    await settle()
    lm.gates["0:Start/route"].set()
    with pytest.raises(DepError) as caught:
        await finish(run)

    assert caught.value.path == ("Other.sub", "Sub")
    assert caught.value.__cause__.__notes__ == ["Raised by the LM's call at 1:Other/sub/fill."]


async def test_a_sub_node_waits_for_the_node_that_the_lm_is_shown_for_it():
    log = []
    chain = Chain(third={"sub": Annotated[Sub, Dep()]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))

    await settle()
    assert log == ["1:Second/fill"]
    lm.gates["1:Second/fill"].set()
    await finish(run)

    assert log[1:3] == ["1:Second/fill done", "2:Third/sub/fill"]


async def test_a_stand_in_answers_for_the_place_that_needs_the_sub_node():
    class Slow(ScriptedLM):
        async def generate(self, request, on_partial=None):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return await super().generate(request, on_partial)

    choice = Choice(SUBS, SUBS)
    fills = {"1:Other/sub/fill": {"words": "other"}, "1:Other/fill": {"text": "t"}}
    with Slow(fills, routes={choice.start: "Other"}) as lm:
        result = await finish(choice.graph.arun(choice.start(), lm=lm))

    assert result.result.sub.words == "other"


async def test_a_call_made_ahead_lets_calls_needed_now_go_first():
    log = []
    choice = Choice(SUBS, SUBS, max_concurrency=1)
    run = choice.begin(log)
    await settle()
    later = asyncio.ensure_future(choice.graph.arun(choice.start(), lm=GatedLM(log, "0:Start/route")))
    await settle()
    assert log == ["0:Start/route"]
    choice.lm.gates["0:Start/route"].set()
    await settle()
    # The other run's choice was asked for last and comes first.
    assert log[1:] == ["0:Start/route done", "0:Start/route"]
    later.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(later)
    result = await finish(run)

    assert result.result.sub.words == "Sub text"


async def test_a_call_begun_ahead_queues_like_any_other_once_it_is_needed():
    class Needed:
        is_ahead = True

        def when_needed(self, call):
            self.call = call

    limit, taken, ahead = CallLimit(1), [], Needed()

    async def take(name, ahead=None):
        await limit.acquire(ahead)
        taken.append(name)

    await limit.acquire()
    for name in ("never needed", "ahead", "gone", "first"):
        waiting = asyncio.ensure_future(take(name, ahead if name == "ahead" else Needed() if "never" in name else None))
        await settle()
        if name == "gone":
            waiting.cancel()
    ahead.call()
    last = asyncio.ensure_future(take("last"))
    for _ in range(5):
        await settle()
        limit.release()
    await finish(last)

    assert taken == ["first", "ahead", "last", "never needed"]


async def test_a_budget_is_kept_ahead_too_and_is_spent_where_it_would_be():
    choice = Choice(SUBS, SUBS)
    run = choice.begin([], budget=Budget(requests=1))
    await settle()
    choice.lm.gates["0:Start/route"].set()
    with pytest.raises(Exception, match="budget is spent") as caught:
        await finish(run)

    assert caught.value.node_type is Sub
    assert caught.value.usage.requests == 1


# --- Failures, and what is not needed after all --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync", "stop iteration"])
async def test_a_failure_ahead_is_held_until_its_node_is_visited(kind):
    log, events = [], []
    error = StopIteration("gone") if kind == "stop iteration" else LookupError("gone")

    async def fail() -> str:
        log.append("fail")
        raise error

    def fail_at_once() -> str:
        log.append("fail")
        raise error

    chain = Chain(third={"text2": Annotated[str, Dep(fail if kind == "async" else fail_at_once)]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))

    await settle()
    assert log == ["1:Second/fill", "fail"]
    assert not run.done()
    assert not [each for each in events if isinstance(each, DepStarted)]
    lm.gates["1:Second/fill"].set()
    with pytest.raises(DepError) as caught:
        await finish(run)

    assert caught.value.__cause__ is error
    assert caught.value.node_type is chain.third
    assert [type(each).__name__ for each in caught.value.trace] == ["First", "Second"]
    keys = [(type(each), each.key) for each in events if "text2" in each.key]
    assert keys == [(DepStarted, "2:Third/text2"), (DepFinished, "2:Third/text2")]
    assert log.count("fail") == 1


async def test_a_failure_ahead_is_dropped_with_its_events_if_its_node_is_never_visited():
    events, log = [], []
    failing = logging_dep(log, "failing", fails=LookupError("gone"))
    choice = Choice({"value": Annotated[str, Dep(failing)]}, {}, prefetch="candidates")
    run = choice.begin(log, on_event=events.append)
    await settle()
    assert "failing" in log
    await choice.choose(run)

    assert not [each for each in events if isinstance(each, DepStarted | DepFinished)]
    assert events[-1].status == "done"


async def test_of_failures_ahead_the_first_is_told_and_what_ended_after_it_is_told_as_cancelled():
    log, events = [], []
    gate = asyncio.Event()
    late = logging_dep(log, "late", gate=gate, fails=LookupError("late"))
    value = logging_dep(log, "value", gate=gate)
    early = logging_dep(log, "early", fails=LookupError("early"))
    fields = {name: Annotated[str, Dep(dep)] for name, dep in (("late", late), ("value", value), ("early", early))}
    chain = Chain(third=fields)
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))
    await settle()
    gate.set()
    await settle()
    lm.gates["1:Second/fill"].set()
    with pytest.raises(DepError) as caught:
        await finish(run)

    assert caught.value.field_name == "early"
    ended = {each.name: each.status for each in events if isinstance(each, DepFinished)}
    assert ended == {"early": "failed", "late": "cancelled", "value": "cancelled"}


@pytest.mark.parametrize("how", ["fails", "cancelled", "times out", "listener", "stops"])
async def test_however_a_run_ends_what_was_begun_ahead_is_cancelled_and_awaited(how):
    log = []

    async def endless() -> str:
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")
        raise AssertionError

    class Failing(GatedLM):
        async def generate(self, request, on_partial=None):
            if how == "fails":
                await settle()
                raise ConnectionError
            if how in ("stops", "listener"):
                await settle()
                return LMResponse({"choice": "None"})
            return await super().generate(request, on_partial)

    def listen(event):
        if how == "listener" and isinstance(event, LMCallFinished):
            raise LookupError("listener")

    choice = Choice({"value": Annotated[str, Dep(endless)]}, {}, may_stop=True, prefetch="candidates")
    lm = Failing(log, "0:Start/route")
    timeout = 0.05 if how == "times out" else None
    run = asyncio.ensure_future(choice.graph.arun(choice.start(), lm=lm, timeout=timeout, on_event=listen))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if how == "cancelled":
        await settle()
        run.cancel()
    if how == "stops":
        await finish(run)
    else:
        errors = {"fails": ConnectionError, "times out": RunTimeoutError, "listener": LookupError}
        with pytest.raises(errors.get(how, asyncio.CancelledError)):
            await finish(run)

    assert log[-1] == "cleaned up"
    assert not others()


async def test_a_resource_of_a_certain_node_is_opened_ahead_and_closed_at_the_end_of_the_run():
    log, events = [], []

    def line() -> Iterator[str]:
        log.append("open")
        yield "line"
        log.append("close")

    chain = Chain(third={"line": Annotated[str, Dep(line)]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))
    await settle()
    assert log == ["1:Second/fill", "open"]
    lm.gates["1:Second/fill"].set()
    result = await finish(run)

    assert result.trace[2].line == "line"
    assert log[-2:] == ["3:Fourth/fill done", "close"]
    assert [each.key for each in events if isinstance(each, DepClosed)] == ["2:Third/line"]
    assert isinstance(events[-1], RunFinished)


async def test_a_resource_opened_ahead_in_a_run_that_fails_is_closed_with_its_error_and_not_told():
    log, events = [], []

    async def line() -> AsyncIterator[str]:
        try:
            yield "line"
        except ConnectionError:
            log.append("closed with the error")
            raise

    class Failing(BaseLM):
        async def generate(self, request, on_partial=None):
            await settle()
            raise ConnectionError

    chain = Chain(third={"line": Annotated[str, Dep(line)]})
    with pytest.raises(ConnectionError):
        await finish(chain.graph.arun(chain.first(), lm=Failing(), on_event=events.append))

    assert log == ["closed with the error"]
    assert not [each for each in events if isinstance(each, DepStarted | DepClosed)]


# --- Subgraphs, retries, overrides ---------------------------------------------------------------------------------


class Topic(Node):
    words: str


async def test_a_graph_inside_a_function_begun_ahead_waits_until_it_is_needed_and_its_timeout_with_it():
    log, events = [], []
    inner = Graph(start=Topic)

    async def ask() -> str:
        log.append("ask")
        result = await inner.arun(Topic(words="w"))
        log.append("asked")
        return result.result.words

    chain = Chain(third={"asked": Annotated[str, Dep(ask, timeout=0.05)]})
    lm = GatedLM(log, "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))
    await settle()
    assert log == ["1:Second/fill", "ask"]
    await asyncio.sleep(0.1)
    lm.gates["1:Second/fill"].set()
    result = await finish(run)

    assert result.trace[2].asked == "w"
    assert log.count("ask") == 1
    assert "2:Third/asked/run/0:Topic" in [each.key for each in events]


async def test_retries_ahead_are_told_attempt_by_attempt():
    events, calls = [], []

    async def flaky() -> str:
        calls.append(len(calls))
        if len(calls) < 3:
            raise LookupError
        return "third time"

    chain = Chain(third={"value": Annotated[str, Dep(flaky, retries=2)]})
    lm = GatedLM([], "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))
    await settle()
    assert len(calls) == 3
    lm.gates["1:Second/fill"].set()
    result = await finish(run)

    assert result.trace[2].value == "third time"
    told = [
        (type(each).__name__, each.key, each.attempt) for each in events if isinstance(each, DepStarted | DepFinished)
    ]
    place = "2:Third/value"
    keys = [(place, 1), (f"{place}#2", 2), (f"{place}#3", 3)]
    assert told == [(kind, *key) for key in keys for kind in ("DepStarted", "DepFinished")]


async def test_events_of_what_was_made_ahead_bear_the_times_at_which_it_happened():
    events = []
    chain = Chain(third={"value": Annotated[str, Dep(logging_dep([], "value"))]})
    lm = GatedLM([], "1:Second/fill")
    run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm, on_event=events.append))
    await settle()
    lm.gates["1:Second/fill"].set()
    await finish(run)

    filled = next(each for each in events if isinstance(each, LMCallFinished) and each.key == "1:Second/fill")
    ended = next(each for each in events if isinstance(each, DepFinished))
    assert ended.started_at <= ended.at <= filled.at
    assert events.index(filled) < events.index(ended)


async def test_what_stands_in_for_a_dependency_begins_ahead_in_its_place():
    log = []
    real, fake = logging_dep(log, "real"), logging_dep(log, "fake")
    chain = Chain(third={"value": Annotated[str, Dep(real)]})
    lm = GatedLM(log, "1:Second/fill")
    with chain.graph.override({real: fake}):
        run = asyncio.ensure_future(chain.graph.arun(chain.first(), lm=lm))
    await settle()
    assert log == ["1:Second/fill", "fake", "fake done"]
    lm.gates["1:Second/fill"].set()
    assert (await finish(run)).trace[2].value == "fake"

    result = await finish(chain.graph.arun(chain.first(), lm=GatedLM(log), provide={real: "given"}))
    assert result.trace[2].value == "given"
    assert "real" not in log


async def test_a_run_inside_a_dependency_prefetches_as_its_own_graph_says():
    log = []
    near = logging_dep(log, "near")
    inner = Chain(third={"near": Annotated[str, Dep(near)]})

    async def run_inner() -> str:
        return (await inner.graph.arun(inner.first())).result.text

    class Outer(Node):
        text: Annotated[str, Dep(run_inner)]

    place = "0:Outer/text/run/1:Second/fill"
    lm = GatedLM(log, place)
    run = asyncio.ensure_future(Graph(start=Outer, prefetch="off").arun(Outer(), lm=lm))
    await settle()
    assert log == [place, "near", "near done"]
    lm.gates[place].set()
    await finish(run)

    assert log.count("near") == 1


async def test_runs_inside_one_run_share_what_either_began_ahead():
    log = []
    near = logging_dep(log, "near")
    inner = Chain(third={"near": Annotated[str, Dep(near)]})

    async def run_one() -> str:
        return (await inner.graph.arun(inner.first())).result.text

    async def run_two() -> str:
        return (await inner.graph.arun(inner.first())).result.text

    class Outer(Node):
        one: Annotated[str, Dep(run_one)]
        two: Annotated[str, Dep(run_two)]

    places = ["0:Outer/one/run/1:Second/fill", "0:Outer/two/run/1:Second/fill"]
    lm, events = GatedLM(log, *places), []
    run = asyncio.ensure_future(Graph(start=Outer).arun(Outer(), lm=lm, on_event=events.append))
    await settle()
    for place in reversed(places):
        lm.gates[place].set()
        await settle()
    await finish(run)

    assert log.count("near") == 1
    assert len([each for each in events if isinstance(each, DepStarted) and each.name == "near"]) == 1


async def test_a_node_pinned_to_an_lm_with_tools_is_not_filled_ahead():
    def look_up(word: str) -> str:
        return word

    class Tooled(Node):
        node_config = NodeConfig(tools=[look_up])
        words: str

    log = []
    fields = {"tooled": Annotated[Tooled, Dep()]}
    choice = Choice(fields, fields)
    run = choice.begin(log, choice="One")
    choice.lm.takes_tools = True
    await settle()
    assert log == ["0:Start/route"]
    await choice.choose(run)


async def test_a_graph_without_anything_to_prefetch_knows_it():
    chain = Chain()

    assert not any(
        visit.fills_ahead or visit.shared or visit.speculates for visit in chain.graph.topology.visits.values()
    )


async def test_what_a_run_inside_began_ahead_at_once_is_taken_over_by_the_run_around_it():
    log, gate = [], asyncio.Event()
    source = logging_dep(log, "source", gate=gate)

    class One(Node):
        near: Annotated[str, Dep(source)]
        text: str

    class Two(Node):
        text: str

    class Inner(Node):
        async def __call__(self) -> One | Two: ...

    inner = Graph(start=Inner, prefetch="candidates", routing="one-call")

    async def run_inner() -> str:
        return (await inner.arun(Inner())).result.text

    class Outer(Node):
        text: Annotated[str, Dep(run_inner)]
        near: Annotated[str, Dep(source)]

    run = asyncio.ensure_future(Graph(start=Outer).arun(Outer(), lm=OfflineLM()))
    await settle()
    gate.set()
    await finish(run)

    assert log == ["source", "source done"]
