"""Events tell everything that happened, under keys that are places in the graph, the same whatever ran first."""

import asyncio
import dataclasses
import json
import math
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import BaseModel, Field
from running import finish, never, others

from weft import LM, BaseLM, Dep, DepError, FillError, Graph, LMResponse, Node, NodeConfig, Recall, Usage
from weft.events import (
    DepClosed,
    DepFinished,
    DepStarted,
    Event,
    FieldDelta,
    LMCallFinished,
    LMCallStarted,
    NodeFinished,
    NodeStarted,
    Origin,
    RouteChosen,
    RunFinished,
    RunStarted,
)
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


async def heard(graph, start, **options):
    """Return the events of a run, and what it raised."""
    events = []
    try:
        await finish(graph.arun(start, on_event=events.append, **options))
    except Exception as error:  # noqa: BLE001
        return events, error
    return events, None


def lines(events):
    return [(type(event).__name__, event.key, event.parent) for event in events]


def only(events, kind):
    return [event for event in events if isinstance(event, kind)]


# --- The whole of a run ---


async def get_place() -> str:
    return "Oslo"


async def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    return f"rain in {place}"


class Question(Node):
    text: str

    async def __call__(self) -> "Thought | None": ...


class Career(Node):
    place: Annotated[str, Dep(get_place)]
    job: str


class Thought(Node):
    weather: Annotated[str, Dep(get_weather)]
    career: Annotated[Career, Dep()]
    question: Annotated[Question, Recall()]
    idea: str

    async def __call__(self, lm: LM) -> "type[Answer]":
        await lm.make(self, Aside)
        return Answer


class Aside(Node):
    words: str


class Answer(Node):
    words: str


def script():
    return ScriptedLM(
        {Career: {"job": "cook"}, Thought: {"idea": "i"}, Aside: {"words": "a"}, Answer: {"words": "w"}},
        routes={Question: Thought},
    )


WHOLE_RUN = [
    ("RunStarted", "", None),
    ("NodeStarted", "0:Question", None),
    ("LMCallStarted", "0:Question/route", "0:Question"),
    ("LMCallFinished", "0:Question/route", "0:Question"),
    ("RouteChosen", "0:Question/route", "0:Question"),
    ("NodeFinished", "0:Question", None),
    ("NodeStarted", "1:Thought", None),
    ("DepStarted", "1:Thought/weather/place", "1:Thought/weather"),
    ("DepFinished", "1:Thought/weather/place", "1:Thought/weather"),
    ("DepStarted", "1:Thought/weather", "1:Thought"),
    ("DepFinished", "1:Thought/weather", "1:Thought"),
    ("DepStarted", "1:Thought/career", "1:Thought"),
    ("LMCallStarted", "1:Thought/career/fill", "1:Thought/career"),
    ("LMCallFinished", "1:Thought/career/fill", "1:Thought/career"),
    ("DepFinished", "1:Thought/career", "1:Thought"),
    ("LMCallStarted", "1:Thought/fill", "1:Thought"),
    ("LMCallFinished", "1:Thought/fill", "1:Thought"),
    ("LMCallStarted", "1:Thought/body/make", "1:Thought/body"),
    ("LMCallFinished", "1:Thought/body/make", "1:Thought/body"),
    ("RouteChosen", "1:Thought/route", "1:Thought"),
    ("NodeFinished", "1:Thought", None),
    ("NodeStarted", "2:Answer", None),
    ("LMCallStarted", "2:Answer/fill", "2:Answer"),
    ("LMCallFinished", "2:Answer/fill", "2:Answer"),
    ("NodeFinished", "2:Answer", None),
    ("RunFinished", "", None),
]


async def test_a_run_is_told_from_start_to_end():
    events, error = await heard(Graph(start=Question), Question(text="?"), lm=script())

    assert error is None
    assert sorted(lines(events), key=str) == sorted(WHOLE_RUN, key=str)
    assert lines(events)[:9] == WHOLE_RUN[:9]
    assert lines(events)[15:] == WHOLE_RUN[15:]
    assert len({event.run_id for event in events}) == 1


async def test_what_is_started_is_finished_and_parents_begin_before_and_end_after():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    started = {event.key: at for at, event in enumerate(events) if isinstance(event, NodeStarted | DepStarted)}
    finished = {event.key: at for at, event in enumerate(events) if isinstance(event, NodeFinished | DepFinished)}
    assert started.keys() == finished.keys()
    for at, event in enumerate(events):
        if event.parent in started and not isinstance(event, DepStarted | DepFinished):
            assert started[event.parent] < at < finished[event.parent]
    assert [event.at for event in events] == sorted(event.at for event in events)


async def test_the_ends_tell_when_it_began_how_it_ended_and_what_came_of_it():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    run = events[-1]
    assert (run.status, run.error, run.usage.requests) == ("done", None, 5)
    assert [type(node) for node in run.result.trace] == [Question, Thought, Answer]
    assert run.result.run_id == run.run_id
    assert run.started_at <= events[1].at <= run.at
    assert run.seconds >= 0
    place = next(event for event in only(events, DepFinished) if event.key.endswith("weather/place"))
    assert (place.name, place.value, place.status, place.attempt) == ("get_place", "Oslo", "done", 1)
    call = next(event for event in only(events, LMCallFinished) if event.key == "2:Answer/fill")
    assert (call.kind, call.target, call.answer, call.model) == ("fill", "Answer", {"words": "w"}, "scripted")
    assert call.is_accepted
    assert call.request.target == "Answer"


async def test_routes_tell_what_was_offered_and_who_chose():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    assert [(event.offered, event.chosen, event.by) for event in only(events, RouteChosen)] == [
        (("Thought", None), "Thought", "lm"),
        (("Answer",), "Answer", "code"),
    ]
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=ScriptedLM(routes={Question: None}))
    assert [(event.chosen, event.by) for event in only(events, RouteChosen)] == [(None, "lm")]


async def test_a_run_that_has_one_way_to_go_tells_it():
    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        pass

    events, _ = await heard(Graph(start=Start), Start())

    assert [(event.key, event.chosen, event.by) for event in only(events, RouteChosen)] == [
        ("0:Start/route", "Last", "only")
    ]


async def test_every_field_has_an_origin():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    origins = {event.key: event.origins for event in only(events, NodeFinished)}
    assert origins["0:Question"] == {"text": Origin("given")}
    assert origins["1:Thought"] == {
        "weather": Origin("dep", "1:Thought/weather"),
        "career": Origin("dep", "1:Thought/career"),
        "question": Origin("recall", "0:Question"),
        "idea": Origin("lm", "1:Thought/fill"),
    }
    assert origins["2:Answer"] == {"words": Origin("lm", "2:Answer/fill")}


async def test_the_inputs_of_a_dependency_have_origins_too():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    inputs = {event.key: event.inputs for event in only(events, DepStarted)}
    assert inputs["1:Thought/weather"] == {"place": Origin("dep", "1:Thought/weather/place")}
    assert inputs["1:Thought/career"] == {"place": Origin("dep", "1:Thought/weather/place")}
    assert inputs["1:Thought/weather/place"] == {}


async def test_origins_tell_given_provided_and_shared_values_apart():
    def make() -> int:
        return 1

    def make_other() -> int:
        return 2

    class Start(Node):
        a: Annotated[int, Dep(make)]

        async def __call__(self) -> "Last":
            return Last(given=9)

    class Last(Node):
        a: Annotated[int, Dep(make)]
        other: Annotated[int, Dep(make_other)]
        given: Annotated[int, Dep(make)]

    events, _ = await heard(Graph(start=Start), Start(), provide={make_other: 7})

    assert only(events, NodeFinished)[-1].origins == {
        "a": Origin("dep", "0:Start/a"),
        "other": Origin("provided"),
        "given": Origin("given"),
    }


# --- Keys ---


@pytest.mark.parametrize("later", ["a", "b"])
async def test_keys_are_the_same_whichever_of_two_ran_first(later):
    events, _ = await heard(*two_orders(later))

    assert sorted(set(lines(events))) == [
        ("DepFinished", "0:Only/x", "0:Only"),
        ("DepFinished", "0:Only/x/base", "0:Only/x"),
        ("DepFinished", "0:Only/y", "0:Only"),
        ("DepStarted", "0:Only/x", "0:Only"),
        ("DepStarted", "0:Only/x/base", "0:Only/x"),
        ("DepStarted", "0:Only/y", "0:Only"),
        ("NodeFinished", "0:Only", None),
        ("NodeStarted", "0:Only", None),
        ("RunFinished", "", None),
        ("RunStarted", "", None),
    ]
    assert [event.name for event in only(events, DepFinished)][-1] == later


def two_orders(later):
    go = {"a": asyncio.Event(), "b": asyncio.Event()}
    go["b" if later == "a" else "a"].set()

    async def base() -> int:
        await asyncio.sleep(0)
        return 1

    async def a(base: Annotated[int, Dep(base)]) -> int:
        await go["a"].wait()
        go["b"].set()
        return base

    async def b(base: Annotated[int, Dep(base)]) -> int:
        await go["b"].wait()
        go["a"].set()
        return base

    class Only(Node):
        x: Annotated[int, Dep(a)]
        y: Annotated[int, Dep(b)]

    return Graph(start=Only), Only()


@pytest.mark.parametrize("first", ["left", "right"])
async def test_calls_that_functions_make_through_their_lm_have_keys_of_their_own_place(first):
    """Two functions ask the LM; whichever asks first, each call keeps its place."""
    asked = asyncio.Event()

    class Note(Node):
        words: str

    async def ask(lm, name):
        if name != first:
            await asked.wait()
        note = await lm.fill(Note, {}, name)
        asked.set()
        return note.words

    async def left(lm: LM) -> str:
        return await ask(lm, "left")

    async def right(lm: LM) -> str:
        return await ask(lm, "right")

    class Only(Node):
        a: Annotated[str, Dep(left)]
        b: Annotated[str, Dep(right)]

    events, error = await heard(Graph(start=Only), Only(), lm=ScriptedLM({Note: {"words": "n"}}))

    assert error is None
    keys = {event.request.instruction: event.key for event in only(events, LMCallFinished)}
    assert keys["left"] != keys["right"]
    assert keys["left"].startswith("0:Only/a/")
    assert keys["right"].startswith("0:Only/b/")
    parents = {event.request.instruction: event.parent for event in only(events, LMCallFinished)}
    assert keys["left"].startswith(parents["left"])


async def test_two_things_of_one_visit_never_share_a_key():
    """A field and a parameter of the body may have one name; so may a field and a kind of call."""

    class Only(Node):
        x: Annotated[int, Dep(lambda: 1)]
        fill: Annotated[int, Dep(lambda: 3)]
        route: Annotated[int, Dep(lambda: 4)]
        body: Annotated[int, Dep(lambda: 5)]
        run: Annotated[int, Dep(lambda: 6)]

        async def __call__(self, lm: LM, x: Annotated[int, Dep(lambda: 2)]) -> "type[Last] | None":
            assert (self.x, x) == (1, 2)
            return Last

    class Last(Node):
        words: str

    events, error = await heard(Graph(start=Only), Only(), lm=ScriptedLM({Last: {"words": "l"}}))

    assert error is None
    started = [event.key for event in events if isinstance(event, DepStarted | LMCallStarted | NodeStarted)]
    assert len(started) == len(set(started))
    assert not {event.key for event in only(events, DepStarted)} & {"0:Only/route", "0:Only/fill", "0:Only/body"}


async def test_gathered_calls_of_a_body_have_keys_in_the_order_they_were_asked():
    class Part(Node):
        words: str

    class Start(Node):
        async def __call__(self, lm: LM) -> None:
            await asyncio.gather(lm.make(self, Part), lm.fill(Part, {}, "Write."), lm.make(self, Part))

    events, _ = await heard(Graph(start=Start), Start(), lm=ScriptedLM({Part: {"words": "p"}}))

    keys = [event.key for event in only(events, LMCallStarted)]
    assert len(set(keys)) == 3
    assert all(key.startswith("0:Start/body/") for key in keys)
    assert {event.kind for event in only(events, LMCallStarted)} == {"make", "fill"}


async def test_calls_of_a_body_of_its_function_and_of_two_lm_parameters_have_keys_of_their_own():
    class Part(Node):
        words: str

    async def ask(lm: LM) -> str:
        return (await lm.fill(Part, {}, "function")).words

    class Start(Node):
        async def __call__(self, lm: LM, other: LM, x: Annotated[str, Dep(ask)]) -> None:
            await lm.fill(Part, {}, "first parameter")
            await other.fill(Part, {}, "second parameter")
            await lm.fill(Part, {}, "first parameter again")

    events, error = await heard(Graph(start=Start), Start(), lm=ScriptedLM({Part: {"words": "p"}}))

    assert error is None
    keys = {event.request.instruction: event.key for event in only(events, LMCallFinished)}
    assert len(set(keys.values())) == 4
    assert keys["function"].startswith("0:Start/body/x/")
    assert [event.key for event in only(events, LMCallStarted)] == list(keys.values())


async def test_the_choice_and_the_fill_of_decide_have_places_of_their_own():
    class Start(Node):
        async def __call__(self, lm: LM) -> "Left | Right":
            return await lm.decide(self)

    class Left(Node):
        number: int = Field(ge=5)

    class Right(Node):
        words: str

    places = {
        "0:Start/body/decide": {"choice": "Nowhere"},
        "0:Start/body/decide#2": {"choice": "Left"},
        "0:Start/body/decide/fill": {"number": 1},
        "0:Start/body/decide/fill#2": {"number": 5},
    }

    class ByPlace(BaseLM):
        async def generate(self, request, on_partial=None):
            return LMResponse(places[request.place])

    events, error = await heard(Graph(start=Start), Start(), lm=ByPlace())

    assert error is None
    assert [event.key for event in only(events, LMCallStarted)] == list(places)
    finished = only(events, LMCallFinished)
    assert [(event.key, event.request.place) for event in finished] == [(place, place) for place in places]
    assert [event.attempt for event in finished] == [1, 2, 1, 2]
    assert [event.is_accepted for event in finished] == [False, True, False, True]
    assert [event.usage.requests for event in finished] == [1] * 4
    assert only(events, RunFinished)[0].usage.requests == 4


async def test_a_second_attempt_of_a_call_has_its_number():
    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        number: int = Field(ge=5)

    lm = ScriptedLM({"1:Last/fill": {"number": 1}, "1:Last/fill#2": {"number": 5}})
    events, error = await heard(Graph(start=Start), Start(), lm=lm)

    assert error is None
    calls = [event for event in events if isinstance(event, LMCallStarted | LMCallFinished)]
    assert [(type(event), event.key, event.attempt) for event in calls] == [
        (LMCallStarted, "1:Last/fill", 1),
        (LMCallFinished, "1:Last/fill", 1),
        (LMCallStarted, "1:Last/fill#2", 2),
        (LMCallFinished, "1:Last/fill#2", 2),
    ]
    assert [event.is_accepted for event in calls[1::2]] == [False, True]
    assert "greater than or equal to 5" in calls[1].reasons[0]
    assert [event.usage.requests for event in calls[1::2]] == [1, 1]
    assert only(events, RunFinished)[0].usage.requests == 2


async def test_every_attempt_of_a_choice_says_what_is_offered():
    class Start(Node):
        async def __call__(self) -> "Left | Right": ...

    class Left(Node):
        pass

    class Right(Node):
        pass

    class Choosing(BaseLM):
        async def generate(self, request, on_partial=None):
            return LMResponse({"choice": "Left" if request.rejected else "Up"})

    events, error = await heard(Graph(start=Start), Start(), lm=Choosing())

    assert error is None
    assert [event.offered for event in only(events, LMCallStarted)] == [("Left", "Right")] * 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_each_try_of_a_dependency_is_told(is_async):
    calls = []

    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError(len(calls))
        return 1

    async def flaky_async() -> int:
        return flaky()

    class Only(Node):
        a: Annotated[int, Dep(flaky_async if is_async else flaky, retries=2)]

    events, error = await heard(Graph(start=Only), Only())

    assert error is None
    told = [event for event in events if isinstance(event, DepStarted | DepFinished)]
    assert [event.key for event in told[::2]] == ["0:Only/a", "0:Only/a#2", "0:Only/a#3"]
    assert [event.status for event in told[1::2]] == ["failed", "failed", "done"]
    assert [event.attempt for event in told] == [1, 1, 2, 2, 3, 3]
    assert isinstance(told[1].error, OSError)


async def test_per_visit_values_are_told_at_each_visit():
    class Loop(Node):
        left: int
        a: Annotated[int, Dep(lambda: 1, per="visit")]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    events, _ = await heard(Graph(start=Loop), Loop(left=2))

    assert [event.key for event in only(events, DepStarted)] == ["0:Loop/a", "1:Loop/a", "2:Loop/a"]
    assert [event.step for event in only(events, NodeStarted)] == [0, 1, 2]


# --- Failing and cancelling ---


async def test_a_failure_and_the_cancellations_it_causes_are_told():
    started = asyncio.Event()

    async def sibling() -> int:
        started.set()
        await never()
        return 1

    async def fail() -> int:
        await started.wait()
        raise OSError("gone")

    class Only(Node):
        s: Annotated[int, Dep(sibling)]
        f: Annotated[int, Dep(fail)]

    events, error = await heard(Graph(start=Only), Only())

    ends = {event.key: event for event in events if hasattr(event, "status")}
    assert {key: event.status for key, event in ends.items()} == {
        "0:Only/s": "cancelled",
        "0:Only/f": "failed",
        "0:Only": "failed",
        "": "failed",
    }
    assert isinstance(ends["0:Only/f"].error, OSError)
    assert ends[""].error is error
    assert ends[""].result is None
    assert isinstance(error, DepError)
    assert events[-1] is ends[""]


async def test_a_cancelled_run_tells_all_that_was_cancelled():
    asking = asyncio.Event()
    events = []

    class Hanging(BaseLM):
        async def generate(self, request, on_partial=None):
            asking.set()
            await never()

    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        words: str

    run = asyncio.ensure_future(Graph(start=Start).arun(Start(), lm=Hanging(), on_event=events.append))
    await finish(asking.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    ends = [(event.key, event.status) for event in events if hasattr(event, "status")]
    assert ends == [
        ("0:Start", "done"),
        ("1:Last/fill", "cancelled"),
        ("1:Last", "cancelled"),
        ("", "cancelled"),
    ]


async def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_is_neither_told_nor_counted():
    asking = asyncio.Event()

    class Hanging(BaseLM):
        async def generate(self, request, on_partial=None):
            asking.set()
            await never()

    class Left(Node):
        words: str

    class Right(Node):
        words: str

    class Only(Node):
        left: Annotated[Left, Dep()]
        right: Annotated[Right, Dep()]

    events = []
    run = asyncio.ensure_future(Graph(start=Only, max_concurrency=1).arun(Only(), lm=Hanging(), on_event=events.append))
    await finish(asking.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert [event.key for event in only(events, LMCallStarted)] == ["0:Only/left/fill"]
    assert [(event.key, event.status) for event in only(events, LMCallFinished)] == [("0:Only/left/fill", "cancelled")]
    assert {event.key: event.status for event in only(events, DepFinished)} == {
        "0:Only/left": "cancelled",
        "0:Only/right": "cancelled",
    }
    assert only(events, RunFinished)[0].usage.requests == 1


async def test_a_call_begins_when_it_has_its_place_and_says_how_long_it_waited():
    class Slow(BaseLM):
        async def generate(self, request, on_partial=None):
            await asyncio.sleep(0.02)
            return LMResponse({"words": "w"})

    class Left(Node):
        words: str

    class Right(Node):
        words: str

    class Only(Node):
        left: Annotated[Left, Dep()]
        right: Annotated[Right, Dep()]

    events, error = await heard(Graph(start=Only, max_concurrency=1), Only(), lm=Slow())

    assert error is None
    first, second = only(events, LMCallStarted)
    first_end, second_end = only(events, LMCallFinished)
    assert first.waited < second.waited > 0.015
    assert first_end.at <= second_end.started_at <= second.at


async def test_a_call_that_fails_is_told_with_its_error():
    class Broken(BaseLM):
        async def generate(self, request, on_partial=None):
            raise ConnectionError("no network")

    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        words: str

    events, error = await heard(Graph(start=Start), Start(), lm=Broken())

    [call] = only(events, LMCallFinished)
    assert (call.status, call.error) == ("failed", error)
    assert not call.is_accepted


async def test_every_rejected_attempt_is_told_before_the_fill_error():
    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        node_config = NodeConfig(retries=3)
        number: int

    events, error = await heard(Graph(start=Start), Start(), lm=ScriptedLM({Last: {"number": "many"}}))

    assert isinstance(error, FillError)
    calls = only(events, LMCallFinished)
    assert [event.key for event in calls] == ["1:Last/fill", "1:Last/fill#2", "1:Last/fill#3", "1:Last/fill#4"]
    assert all(event.reasons for event in calls)
    assert len(only(events, LMCallStarted)) == 4


async def test_the_calls_of_an_lm_that_is_no_base_lm_are_told_and_counted():
    class Foreign:
        async def choose_type(self, types, context):
            return types[0]

        async def fill(self, target, resolved, instruction, source=None):
            return target(words="foreign")

        async def make(self, node, target):
            return target(words="foreign")

        async def decide(self, node):
            return None

    class Start(Node):
        async def __call__(self) -> "Last | None": ...

    class Last(Node):
        words: str

    events, error = await heard(Graph(start=Start), Start(), lm=Foreign())

    assert error is None
    assert [event.key for event in only(events, LMCallStarted)] == ["0:Start/route", "1:Last/fill"]
    assert [event.status for event in only(events, LMCallFinished)] == ["done", "done"]
    assert only(events, RunFinished)[0].usage.requests == 2


async def test_partial_answers_are_told_under_their_attempt():
    class Streaming(BaseLM):
        async def generate(self, request, on_partial=None):
            words = ""
            for part in ("a", "b"):
                words += part
                on_partial({"words": words})
            return LMResponse({"words": words}, Usage(1, 2, 3, 0.5))

    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        words: str

    events, _ = await heard(Graph(start=Start), Start(), lm=Streaming())

    deltas = only(events, FieldDelta)
    assert [event.values for event in deltas] == [{"words": "a"}, {"words": "ab"}]
    assert {event.key for event in deltas} == {"1:Last/fill"}
    assert events[-1].usage == Usage(1, 2, 3, 0.5)


async def test_a_back_end_may_stream_when_nobody_listens():
    class Streaming(BaseLM):
        async def generate(self, request, on_partial=None):
            if on_partial is not None:
                on_partial({"words": "a"})
            return LMResponse({"words": "ab"})

    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        words: str

    result = await finish(Graph(start=Start).arun(Start(), lm=Streaming()))

    assert result.result.words == "ab"


# --- What an event is ---


class Hostile:
    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__


class Cursed(BaseModel):
    number: int = 1

    def __repr__(self):
        raise RuntimeError


def circle():
    value = []
    value.append(value)
    return value


HOSTILE = {
    "nan": math.nan,
    "inf": [math.inf, -math.inf],
    "bytes": b"\xff\xfe\x00",
    "surrogate": "\ud800 broken",
    "control": "\x1b[2J\x00\n",
    "huge": 10**400,
    "complex": 1 + 2j,
    "object": object(),
    "hostile": Hostile(),
    "cursed": Cursed(),
    "class": Hostile,
    "function": len,
    "set": {1, "a", None},
    "keys": {(1, 2): 3, None: 4, 5: 6, Hostile: 7, 1.5: 8},
    "circle": circle(),
    "error": ValueError("v"),
    "hostile error": ValueError(Hostile()),
    "surrogate bytes": {b"\xff": b"\xff"},
    "node": Question.model_construct(),
    "half node": Career.model_construct(),
    "module": sys,
    "event": asyncio.Event.__new__(asyncio.Event),
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_value_becomes_json(value):
    event = DepFinished(run_id="r", key="k", parent=None, at=1.0, name="n", value=value, status="done", started_at=0.5)

    told = json.loads(json.dumps(event.to_json(), allow_nan=False))

    assert told["event"] == "DepFinished"
    assert told["key"] == "k"
    assert "value" in told


@pytest.mark.parametrize("error", [ValueError("v"), ValueError(Hostile()), KeyError("k"), asyncio.CancelledError()])
def test_any_error_becomes_json(error):
    event = RunFinished(run_id="r", key="", parent=None, at=1.0, status="failed", started_at=0.5, error=error)

    assert type(error).__name__ in json.dumps(event.to_json())


def test_telling_a_value_does_not_use_it_up():
    numbers = iter([1, 2, 3])
    generator = (number for number in [1, 2, 3])
    for value in (numbers, generator):
        event = DepFinished(run_id="r", key="k", parent=None, at=1, name="n", value=value, status="done", started_at=1)
        json.dumps(event.to_json())
        assert list(value) == [1, 2, 3]


async def test_all_events_of_a_run_become_json_and_are_frozen():
    events, _ = await heard(Graph(start=Question), Question(text="?"), lm=script())

    for event in events:
        told = json.loads(json.dumps(event.to_json()))
        assert told["run_id"] == event.run_id
        assert told["event"] == type(event).__name__
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.key = "other"
    run = json.loads(json.dumps(events[-1].to_json()))
    assert run["result"]["trace"][0] == {"text": "?"}
    assert run["usage"]["requests"] == 5


async def test_an_event_of_a_failed_run_becomes_json_with_its_error():
    class Only(Node):
        a: Annotated[int, Dep(lambda: 1 / 0)]

    events, _ = await heard(Graph(start=Only), Only())

    told = [json.loads(json.dumps(event.to_json())) for event in events]
    assert [each["error"] for each in told if each["event"] == "DepFinished"] == ["ZeroDivisionError: division by zero"]
    assert "DepError" in told[-1]["error"]


# --- Listening ---


async def test_nobody_listening_builds_no_event():
    built = []

    def watch(frame, kind, argument):
        if kind == "call" and isinstance(frame.f_locals.get("self"), Event):
            built.append(frame.f_code.co_name)

    graph = Graph(start=Question)
    sys.setprofile(watch)
    try:
        await finish(graph.arun(Question(text="?"), lm=script()))
        silent = len(built)
        await finish(graph.arun(Question(text="?"), lm=script(), on_event=lambda event: None))
    finally:
        sys.setprofile(None)

    assert silent == 0
    assert built


class BrokenError(Exception):
    """What a listener raises."""


NUMBER_OF_EVENTS = 27


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("nth", range(NUMBER_OF_EVENTS))
async def test_a_listener_that_raises_ends_the_run_in_order_with_its_error(nth, always):
    seen = []
    log = []

    async def make_and_count() -> AsyncIterator[str]:
        try:
            log.append("+")
            yield "x"
        finally:
            log.append("-")

    class Start(Node):
        r: Annotated[str, Dep(make_and_count)]
        s: Annotated[str, Dep(make_and_count, per="visit")]

        async def __call__(self) -> "Question2":
            return Question2(text="?")

    class Question2(Question):
        async def __call__(self) -> "Thought2": ...

    class Thought2(Node):
        career: Annotated[Career, Dep()]
        words: str

    def listen(event):
        seen.append(event)
        if len(seen) == nth + 1 or (always and len(seen) > nth):
            raise BrokenError(nth)

    lm = ScriptedLM({Career: {"job": "j"}, Thought2: {"words": "w"}})
    try:
        await finish(Graph(start=Start).arun(Start(), lm=lm, on_event=listen))
        raised = None
    except BrokenError as error:
        raised = error

    if len(seen) > nth:
        assert raised is not None
        assert raised.args == (nth,)
    assert log.count("+") == log.count("-")
    assert isinstance(seen[-1], RunFinished)
    assert not others()


@pytest.mark.parametrize("kind", [NodeStarted, DepStarted, DepFinished, RouteChosen, NodeFinished])
async def test_a_listener_that_raises_ends_the_run_before_the_next_node_and_it_is_told_as_failed(kind):
    """Nothing is awaited on the way, so that nothing but the run itself can end it."""
    seen = []

    class Start(Node):
        x: Annotated[int, Dep(lambda: 1)]

        async def __call__(self) -> "Last": ...

    class Last(Node):
        y: Annotated[int, Dep(lambda: 2)]

    def listen(event):
        seen.append(event)
        if isinstance(event, kind):
            raise BrokenError

    with pytest.raises(BrokenError) as caught:
        await finish(Graph(start=Start).arun(Start(), on_event=listen))

    assert [event.key for event in only(seen, NodeStarted)] == ["0:Start"]
    assert [event.key for event in only(seen, NodeFinished)] == ["0:Start"]
    [end] = only(seen, RunFinished)
    assert end is seen[-1]
    assert (end.status, end.error, end.result) == ("failed", caught.value, None)


async def test_a_listener_that_raises_at_the_last_node_is_told_as_a_failed_run():
    seen = []

    class Only(Node):
        pass

    def listen(event):
        seen.append(event)
        if isinstance(event, NodeFinished):
            raise BrokenError

    with pytest.raises(BrokenError) as caught:
        await finish(Graph(start=Only).arun(Only(), on_event=listen))

    assert (seen[-1].status, seen[-1].error, seen[-1].result) == ("failed", caught.value, None)


async def test_an_async_listener_is_refused_at_once():
    async def listen(event):
        raise AssertionError

    with pytest.raises(TypeError, match="async"):
        await Graph(start=Question).arun(Question(text="?"), on_event=listen)


async def test_an_object_whose_call_is_async_is_refused_too():
    class Listener:
        async def __call__(self, event):
            raise AssertionError

    with pytest.raises(TypeError, match="async"):
        await finish(Graph(start=Question).arun(Question(text="?"), lm=script(), on_event=Listener()))


async def test_stream_yields_what_on_event_is_told():
    graph = Graph(start=Question)
    told, _ = await heard(graph, Question(text="?"), lm=script())

    async with asyncio.timeout(5):
        streamed = [event async for event in graph.stream(Question(text="?"), lm=script())]

    assert lines(streamed) == lines(told)
    assert streamed[-1].result.result == Answer(words="w")


async def test_a_stream_of_a_failing_run_yields_the_end_and_then_raises():
    class Only(Node):
        a: Annotated[int, Dep(lambda: 1 / 0)]

    events = []
    with pytest.raises(DepError):
        async for event in Graph(start=Only).stream(Only()):
            events.append(event)  # noqa: PERF401

    assert isinstance(events[-1], RunFinished)
    assert not others()


async def test_leaving_a_stream_early_cancels_the_run_and_awaits_it():
    log = []

    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    class Only(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            await never()

    stream = Graph(start=Only).stream(Only())
    async for event in stream:
        if isinstance(event, DepFinished):
            break
    await finish(stream.aclose())

    assert log == ["closed"]
    assert not others()


async def test_events_are_streamed_while_the_run_goes_on():
    go_on = asyncio.Event()

    class Only(Node):
        async def __call__(self) -> None:
            await go_on.wait()

    seen = []
    async with asyncio.timeout(5):
        async for event in Graph(start=Only).stream(Only()):
            seen.append(type(event))
            if isinstance(event, NodeStarted):
                assert not go_on.is_set()
                go_on.set()

    assert seen == [RunStarted, NodeStarted, RouteChosen, NodeFinished, RunFinished]


async def test_cancelling_who_reads_a_stream_cancels_the_run():
    log = []
    started = asyncio.Event()

    class Only(Node):
        async def __call__(self) -> None:
            started.set()
            try:
                await never()
            finally:
                log.append("ended")

    async def read():
        stream = Graph(start=Only).stream(Only())
        try:
            async for _ in stream:
                pass
        finally:
            await stream.aclose()

    reader = asyncio.ensure_future(read())
    await finish(started.wait())
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(reader)

    assert log == ["ended"]
    assert not others()


async def test_the_tear_down_of_resources_is_told_before_the_run_ends():
    async def make() -> AsyncIterator[str]:
        yield "x"

    class Only(Node):
        a: Annotated[str, Dep(make)]

    events, _ = await heard(Graph(start=Only), Only())

    assert [type(event) for event in events][-2:] == [DepClosed, RunFinished]
