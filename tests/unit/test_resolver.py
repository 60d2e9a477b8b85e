"""Resolving by hand: the caller's dict is the cache, errors come as they were raised, resources are refused."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError
from running import finish

from weft import (
    LM,
    Dep,
    DepError,
    FillError,
    Graph,
    GraphError,
    LMNotConfiguredError,
    Node,
    NodeConfig,
    Recall,
    RecallError,
    classify_fields,
    resolve_dep,
    resolve_fields,
)
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


CALLS = []


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


async def get_place() -> str:
    CALLS.append("place")
    await asyncio.sleep(0)
    return "Oslo"


def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    CALLS.append("weather")
    return f"rain in {place}"


class Question(Node):
    text: str


class Career(Node):
    place: Annotated[str, Dep(get_place)]
    job: str


class Answer(Node):
    weather: Annotated[str, Dep(get_weather)]
    place: str = Dep(get_place)
    question: Annotated[Question, Recall()]
    text: Annotated[str, Recall("text")]
    words: str


async def test_the_dep_and_recall_fields_are_resolved_and_the_cache_is_filled():
    question, cache = Question(text="?"), {}
    values = await finish(resolve_fields(Answer, [question], cache))

    assert values == {"weather": "rain in Oslo", "place": "Oslo", "question": question, "text": "?"}
    assert values["question"] is question
    assert cache == {get_place: "Oslo", get_weather: "rain in Oslo"}
    assert CALLS == ["place", "weather"]


async def test_what_is_in_the_cache_is_used():
    cache = {get_place: "Rome"}
    values = await finish(resolve_fields(Answer, [Question(text="?")], cache))

    assert (values["weather"], values["place"]) == ("rain in Rome", "Rome")
    assert CALLS == ["weather"]
    assert await finish(resolve_dep(get_weather, cache)) == "rain in Rome"
    assert CALLS == ["weather"]


@pytest.mark.parametrize("value", [None, 0, "", [], False])
async def test_a_false_value_in_the_cache_is_a_value(value):
    assert await finish(resolve_dep(get_place, {get_place: value})) == value
    assert CALLS == []


async def test_one_dependency_is_resolved_with_its_own_first():
    cache = {}

    assert await finish(resolve_dep(get_weather, cache)) == "rain in Oslo"
    assert cache == {get_place: "Oslo", get_weather: "rain in Oslo"}


async def test_a_node_is_filled_by_the_lm_and_cached_under_its_class():
    class Only(Node):
        career: Annotated[Career, Dep()]

    cache = {}
    lm = ScriptedLM({Career: {"job": "cook"}})
    values = await finish(resolve_fields(Only, [], cache, lm))

    assert values["career"] == Career(place="Oslo", job="cook")
    direct = await finish(resolve_dep(Career, {}, lm=lm))
    assert direct == Career(place="Oslo", job="cook")


async def test_a_node_in_the_cache_is_used():
    class Only(Node):
        career: Annotated[Career, Dep()]

    career = Career(place="x", job="y")
    values = await finish(resolve_fields(Only, [], {Career: career}))

    assert values["career"] is career


async def test_a_node_needs_an_lm_only_where_there_is_something_to_write():
    class Made(Node):
        place: Annotated[str, Dep(get_place)]

    class Only(Node):
        made: Annotated[Made, Dep()]

    values = await finish(resolve_fields(Only, [], {}))
    assert values["made"] == Made(place="Oslo")

    with pytest.raises(LMNotConfiguredError):
        await finish(resolve_dep(Career, {}))


async def test_a_foreign_lm_is_checked_and_its_node_gets_what_was_resolved():
    class Foreign:
        def __init__(self, filled):
            self.filled = filled

        async def choose_type(self, types, context): ...

        async def fill(self, target, resolved, instruction, source=None):
            return self.filled

        make = decide = choose_type

    career = await finish(resolve_dep(Career, {}, lm=Foreign(Career(job="cook"))))
    assert career.place == "Oslo"

    with pytest.raises(FillError):
        await finish(resolve_dep(Career, {}, lm=Foreign(Question(text="?"))))


async def test_an_lm_may_be_named_and_a_function_may_want_it():
    async def ask(lm: LM) -> str:
        return (await lm.fill(Career, {}, "Write.")).job

    assert isinstance(await finish(resolve_dep(Career, {}, lm="offline")), Career)
    assert await finish(resolve_dep(ask, {}, lm=ScriptedLM({Career: {"job": "cook"}}))) == "cook"


async def test_what_a_function_raises_is_raised_unwrapped():
    error = LookupError("gone")

    async def fail() -> str:
        raise error

    def user(value: Annotated[str, Dep(fail)]) -> str:
        return value

    class Only(Node):
        value: Annotated[str, Dep(user)]

    with pytest.raises(LookupError) as caught:
        await finish(resolve_fields(Only, [], {}))
    assert caught.value is error
    with pytest.raises(LookupError) as caught:
        await finish(resolve_dep(user, {}))
    assert caught.value is error
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_dep_error_that_a_function_raises_itself_comes_as_it_is():
    error = DepError("mine")

    def fail() -> str:
        raise error from KeyError("inner")

    with pytest.raises(DepError) as caught:
        await finish(resolve_dep(fail, {}))

    assert caught.value is error


async def test_a_failure_is_not_cached_and_what_was_made_before_is():
    def fail(place: Annotated[str, Dep(get_place)]) -> str:
        raise LookupError

    cache = {}
    with pytest.raises(LookupError):
        await finish(resolve_dep(fail, cache))

    assert cache == {get_place: "Oslo"}


async def test_the_cache_never_holds_a_task():
    seen = []

    async def look() -> str:
        seen.append(dict(cache))
        await asyncio.sleep(0)
        return "x"

    class Only(Node):
        a: Annotated[str, Dep(look)]
        b: Annotated[str, Dep(get_weather)]

    cache = {}
    await finish(resolve_fields(Only, [], cache))

    assert not any(isinstance(value, asyncio.Future) for value in cache.values())
    assert all(not any(isinstance(value, asyncio.Future) for value in each.values()) for each in seen)


async def test_values_that_read_the_trace_or_are_per_visit_are_not_cached():
    def shout(text: Annotated[str, Recall("text")]) -> str:
        return text.upper()

    def louder(text: Annotated[str, Dep(shout)]) -> str:
        return f"{text}!"

    class Only(Node):
        loud: Annotated[str, Dep(louder)]
        tick: Annotated[str, Dep(get_place, per="visit")]

    cache = {}
    first = await finish(resolve_fields(Only, [Question(text="a")], cache))
    second = await finish(resolve_fields(Only, [Question(text="a"), Question(text="b")], cache))

    assert (first["loud"], second["loud"]) == ("A!", "B!")
    assert CALLS == ["place", "place"]


async def test_the_newest_of_the_trace_is_recalled_and_nothing_is_an_error():
    trace = [Question(text="old"), Question(text="new")]
    assert (await finish(resolve_fields(Answer, trace, {})))["text"] == "new"

    with pytest.raises(RecallError) as caught:
        await finish(resolve_fields(Answer, [], {}))
    assert caught.value.node_type is Answer
    assert caught.value.field_name in ("question", "text")


async def test_a_recall_that_two_fields_match_is_an_error_with_its_place():
    class Two(Node):
        first: str
        second: str

    class Wants(Node):
        text: Annotated[str, Recall()]

    with pytest.raises(RecallError, match="first and second") as caught:
        await finish(resolve_fields(Wants, [Two(first="a", second="b")], {}))

    assert caught.value.node_type is Wants
    assert caught.value.field_name == "text"
    assert caught.value.path == ("Wants.text",)
    assert caught.value.wanted is str


async def test_the_callers_trace_is_not_changed():
    trace = [Question(text="?")]
    await finish(resolve_fields(Answer, trace, {}))

    assert trace == [Question(text="?")]


async def test_a_value_that_does_not_fit_is_a_validation_error():
    class Only(Node):
        number: Annotated[int, Dep(get_place), Field(ge=0)]

    with pytest.raises((ValidationError, GraphError)):
        await finish(resolve_fields(Only, [], {}))


async def test_resources_are_refused_unless_their_value_is_in_the_cache():
    def make() -> Iterator[str]:
        CALLS.append("made")
        yield "x"

    def user(value: Annotated[str, Dep(make)]) -> str:
        return value

    with pytest.raises(GraphError, match=r"make.*resource"):
        await finish(resolve_dep(user, {}))
    assert CALLS == []
    assert await finish(resolve_dep(user, {make: "given"})) == "given"


async def test_a_faulty_function_is_a_graph_error():
    def wrong(value: str) -> str:
        return value

    with pytest.raises(GraphError, match="value"):
        await finish(resolve_dep(wrong, {}))


async def test_cancelling_cancels_what_is_under_way():
    log = []
    started = asyncio.Event()

    async def hang() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")
        return ""

    task = asyncio.ensure_future(resolve_dep(hang, {}))
    await finish(started.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(task)

    assert log == ["ended"]


async def test_a_subgraph_may_run_inside():
    class Inner(Node):
        place: Annotated[str, Dep(get_place)]

    inner = Graph(start=Inner)

    async def sub() -> str:
        return (await inner.arun(Inner())).result.place

    assert await finish(resolve_dep(sub, {})) == "Oslo"


async def test_resolving_by_hand_inside_a_run_is_on_its_own():
    async def sub() -> str:
        return await resolve_dep(get_place, {})

    class Only(Node):
        a: Annotated[str, Dep(sub)]
        b: Annotated[str, Dep(get_place)]

    await finish(Graph(start=Only).arun(Only()))

    assert CALLS == ["place", "place"]


def test_fields_are_classified_by_where_they_come_from():
    class Mixed(Node):
        node_config = NodeConfig(retries=1)
        plain: str
        defaulted: int = 3
        a: Annotated[str, Dep(get_place)]
        b: str = Dep(get_place)
        c: Annotated[Career, Dep()]
        d: Annotated[Question, Recall()]
        e: str = Recall("text")

    assert classify_fields(Mixed) == {
        "plain": "plain",
        "defaulted": "plain",
        "a": "dep",
        "b": "dep",
        "c": "dep",
        "d": "recall",
        "e": "recall",
    }


def test_inherited_fields_are_classified_too():
    class Heir(Answer):
        more: int

    assert classify_fields(Heir) == {**classify_fields(Answer), "more": "plain"}


def test_an_annotation_that_is_a_string_is_classified_when_what_it_names_is_there():
    class Late(Node):
        a: "Annotated[Later, Dep(get_later)]"
        b: "Annotated[Later, Recall()]"
        c: "Later | None" = None

    def get_later() -> "Later":
        return Later()

    class Later(BaseModel):
        pass

    assert classify_fields(Late) == {"a": "dep", "b": "recall", "c": "plain"}


def test_an_annotation_that_names_what_cannot_be_found_is_a_graph_error():
    class Late(Node):
        a: "Annotated[Nowhere, Dep(get_place)]"  # noqa: F821
        b: str

    with pytest.raises(GraphError, match="Nowhere") as caught:
        classify_fields(Late)

    assert [fault.node_type for fault in caught.value.faults] == [Late]
