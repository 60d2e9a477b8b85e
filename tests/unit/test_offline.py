"""OfflineLM: valid, deterministic by place, loud once, and sure to reach an end."""

import asyncio
import logging
from typing import Annotated

import pytest
from pydantic import Field, field_validator
from running import finish

from weft import BaseLM, Dep, FillError, Graph, Node, OfflineLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class One(Node):
    words: str
    number: int = Field(ge=1, le=1000000)


class Two(Node):
    words: str
    number: int = Field(ge=1, le=1000000)


class Both(Node):
    one: Annotated[One, Dep()]
    two: Annotated[Two, Dep()]


class Ordered(BaseLM):
    """An OfflineLM that is asked in another order."""

    def __init__(self, last):
        self.lm = OfflineLM()
        self.last = last
        self.done = asyncio.Event()

    async def generate(self, request, on_partial=None):
        if request.target == self.last:
            await self.done.wait()
        answer = await self.lm.generate(request, on_partial)
        self.done.set()
        return answer


async def test_what_it_answers_depends_on_target_and_place_not_on_order():
    graph = Graph(start=Both)
    first = await finish(graph.arun(Both(), lm=Ordered("One")))
    second = await finish(graph.arun(Both(), lm=Ordered("Two")))
    third = await finish(graph.arun(Both(), lm=OfflineLM()))

    assert first.result == second.result == third.result
    assert first.result.one.number != first.result.two.number


async def test_it_says_once_loudly_that_its_words_mean_nothing(caplog):
    lm = OfflineLM()
    graph = Graph(start=Both)
    with caplog.at_level(logging.DEBUG, "weft"):
        await finish(asyncio.gather(*(graph.arun(Both(), lm=lm) for _ in range(3))))

    [record] = [record for record in caplog.records if record.name.startswith("weft")]
    assert record.levelno >= logging.WARNING
    assert "mean nothing" in record.getMessage()


async def test_a_loop_that_the_lm_routes_comes_to_an_end():
    class Draft(Node):
        text: str

        async def __call__(self) -> "Review": ...

    class Review(Node):
        score: int

        async def __call__(self) -> "Draft | Publish": ...

    class Publish(Node):
        headline: str

    result = await finish(Graph(start=Draft).arun(Draft(text="t"), lm=OfflineLM()))

    assert type(result.result) is Publish


@pytest.mark.parametrize("size", [2, 8])
async def test_every_node_of_a_web_of_nodes_that_all_lead_everywhere_comes_to_an_end(size):
    names = [f"Web{index}" for index in range(size)]
    code = "".join(
        f"class {name}(Node):\n    words: str = 'x'\n"
        f"    async def __call__(self) -> '{' | '.join([*names, 'None'])}': ...\n"
        for name in names
    )
    space = {"Node": Node}
    exec(code, space)
    for name in names:
        result = await finish(Graph(start=space[name]).arun(space[name](), lm=OfflineLM()))
        assert len(result.trace) <= 25


async def test_it_goes_where_an_end_is():
    class Start(Node):
        async def __call__(self) -> "Trap | Way": ...

    class Trap(Node):
        async def __call__(self) -> "Start": ...

    class Way(Node):
        async def __call__(self) -> "End": ...

    class End(Node):
        pass

    result = await finish(Graph(start=Start).arun(Start(), lm=OfflineLM()))

    assert [type(node).__name__ for node in result.trace] == ["Start", "Way", "End"]


async def test_a_node_that_only_leads_to_itself_or_stops_is_left():
    class Loop(Node):
        number: int

        async def __call__(self) -> "Loop | None": ...

    result = await finish(Graph(start=Loop).arun(Loop(number=1), lm=OfflineLM()))

    assert len(result.trace) <= 25


async def test_nested_runs_come_to_an_end_and_are_the_same_each_time():
    class Review(Node):
        score: int

        async def __call__(self) -> "Review | Done": ...

    class Done(Node):
        words: str

    inner = Graph(start=Review)

    async def sub() -> str:
        return (await inner.arun(Review(score=1))).result.words

    class Outer(Node):
        a: Annotated[str, Dep(sub)]

        async def __call__(self) -> "Outer | Done": ...

    graph = Graph(start=Outer)
    results = [await finish(graph.arun(Outer(), lm=OfflineLM())) for _ in range(2)]

    assert results[0].trace == results[1].trace


async def test_a_refused_value_is_made_up_anew_before_it_gives_up():
    class Start(Node):
        async def __call__(self) -> "Picky": ...

    class Picky(Node):
        number: int

        @field_validator("number")
        @classmethod
        def never(cls, value):
            raise ValueError("never right")

    with pytest.raises(FillError) as caught:
        await finish(Graph(start=Start).arun(Start(), lm=OfflineLM()))

    answers = [attempt.answer for attempt in caught.value.attempts]
    assert len(answers) == 3
    assert len({str(answer) for answer in answers}) > 1
