"""ScriptedLM answers by node type and place, and fails on what is unexpected or left over."""

import asyncio
from typing import Annotated

import pytest
from pydantic import Field

from weft import LM, Dep, DepError, Graph, LMRateLimitError, Node
from weft.testing import ScriptedLM, UnconsumedStepsError, UnexpectedCallError

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Loop(Node):
    left: int = Field(ge=0)

    async def __call__(self) -> "Loop | None": ...


class Begin(Node):
    async def __call__(self) -> "Loop": ...


graph = Graph(start=Begin)


async def lefts(lm):
    async with asyncio.timeout(5):
        return [node.left for node in (await graph.arun(Begin(), lm=lm)).trace[1:]]


async def test_a_mapping_answers_every_time_and_a_list_once_a_visit():
    with ScriptedLM({Loop: {"left": 1}}, routes={Loop: [Loop, Loop, None]}) as lm:
        assert await lefts(lm) == [1, 1, 1]
    with ScriptedLM({Loop: [{"left": 3}, {"left": 2}]}, routes={Loop: [Loop, None]}) as lm:
        assert await lefts(lm) == [3, 2]


async def test_a_place_comes_before_a_class():
    routes = {"1:Loop/route": Loop, Loop: None}
    with ScriptedLM({"2:Loop/fill": {"left": 9}, Loop: {"left": 1}}, routes=routes) as lm:
        assert await lefts(lm) == [1, 9]


async def test_routes_go_by_class_name_or_none():
    with ScriptedLM({Loop: {"left": 1}}, routes={Loop: ["Loop", None]}) as lm:
        assert await lefts(lm) == [1, 1]


async def test_a_node_is_an_answer_its_dep_fields_left_out():
    class Last(Node):
        made: Annotated[int, Dep(lambda: 1)]
        words: str

    class Start(Node):
        async def __call__(self) -> "Last": ...

    lm = ScriptedLM({Last: Last(words="w", made=99)})
    result = await Graph(start=Start).arun(Start(), lm=lm)

    assert (result.result.words, result.result.made) == ("w", 1)


async def test_a_second_attempt_has_its_own_step_and_a_list_counts_visits_not_attempts():
    fills = {"1:Loop/fill": {"left": -1}, "1:Loop/fill#2": {"left": 4}}
    with ScriptedLM(fills, routes={Loop: None}) as lm:
        assert await lefts(lm) == [4]
    with ScriptedLM(
        {Loop: [{"left": -1}, {"left": 1}], "1:Loop/fill#2": {"left": 7}}, routes={Loop: [Loop, None]}
    ) as lm:
        assert await lefts(lm) == [7, 1]


async def test_an_exception_is_raised():
    with pytest.raises(LMRateLimitError):
        await lefts(ScriptedLM({Loop: LMRateLimitError("busy")}))


async def test_an_unexpected_call_fails_and_says_what_was_asked_and_what_there_is():
    with pytest.raises(UnexpectedCallError, match="1:Loop/fill") as caught:
        await lefts(ScriptedLM({Begin: {}}))
    assert "Begin" in str(caught.value)
    assert isinstance(caught.value, AssertionError)
    with pytest.raises(UnexpectedCallError, match="1:Loop/route"):
        await lefts(ScriptedLM({Loop: {"left": 1}}))


async def test_a_list_that_is_used_up_is_an_unexpected_call():
    with pytest.raises(UnexpectedCallError, match="2:Loop/fill"):
        await lefts(ScriptedLM({Loop: [{"left": 1}]}, routes={Loop: Loop}))


async def test_an_unexpected_call_inside_a_dependency_is_the_cause():
    class Only(Node):
        sub: Annotated[Loop, Dep()]

    with pytest.raises(DepError) as caught:
        await Graph(start=Only).arun(Only(), lm=ScriptedLM())

    assert isinstance(caught.value.__cause__, UnexpectedCallError)


async def test_steps_that_nobody_asked_for_fail_at_the_end_and_are_named():
    fills, routes = {Loop: [{"left": 1}, {"left": 2}], Begin: {}}, {Loop: None, "9:Loop/route": None}
    with pytest.raises(UnconsumedStepsError, match="Begin") as caught, ScriptedLM(fills, routes=routes) as lm:
        await lefts(lm)

    assert caught.value.steps == ("Loop[1]", "Begin", "9:Loop/route")


async def test_a_failure_inside_is_not_hidden_by_steps_left_over():
    with pytest.raises(ZeroDivisionError), ScriptedLM({Loop: {"left": 1}}):
        _ = 1 / 0


async def test_check_may_be_called_by_hand():
    lm = ScriptedLM({Loop: {"left": 1}}, routes={Loop: None})
    with pytest.raises(UnconsumedStepsError):
        lm.check()
    await lefts(lm)
    lm.check()


async def test_a_script_is_not_changed_by_its_callers_list():
    answers = [{"left": 1}]
    lm = ScriptedLM({Loop: answers}, routes={Loop: None})
    answers.clear()

    assert await lefts(lm) == [1]


@pytest.mark.parametrize("first", ["left", "right"])
async def test_answers_by_place_do_not_depend_on_who_asks_first(first):
    class One(Node):
        words: str

    class Two(Node):
        words: str

    class Ordered(ScriptedLM):
        asked = asyncio.Event()

        async def generate(self, request, on_partial=None):
            if (request.target == "One") != (first == "left"):
                await self.asked.wait()
            answer = await super().generate(request, on_partial)
            self.asked.set()
            return answer

    class Only(Node):
        a: Annotated[One, Dep()]
        b: Annotated[Two, Dep()]

    lm = Ordered({"0:Only/a/fill": {"words": "a"}, "0:Only/b/fill": {"words": "b"}})
    async with asyncio.timeout(5):
        result = await Graph(start=Only).arun(Only(), lm=lm)

    assert (result.result.a.words, result.result.b.words) == ("a", "b")


@pytest.mark.parametrize("first", ["left", "right"])
async def test_what_functions_ask_for_is_answered_by_their_place_whoever_asks_first(first):
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

    lm = ScriptedLM({"0:Only/a/lm/fill": {"words": "for a"}, "0:Only/b/lm/fill": {"words": "for b"}})
    async with asyncio.timeout(5):
        result = await Graph(start=Only).arun(Only(), lm=lm)

    assert (result.result.a, result.result.b) == ("for a", "for b")


def test_its_repr_names_the_steps():
    assert repr(ScriptedLM({Loop: {"left": 1}}, routes={"0:Begin/route": None})) == "ScriptedLM(Loop, 0:Begin/route)"
