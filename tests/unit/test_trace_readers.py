"""What reads the trace, directly or through others, is made again when what it read is no longer the newest."""

from typing import Annotated

import pytest
from running import finish

from weft import Dep, Graph, Node, Recall
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Start(Node):
    name: str

    async def __call__(self) -> "Round":
        return Round(left=2)


class Mood(Node):
    words: str


def shout(mood: Annotated[Mood, Dep()]) -> str:
    return mood.words.upper()


class Round(Node):
    left: int
    loud: str = Dep(shout)

    async def __call__(self) -> "Round | None":
        return Round(left=self.left - 1) if self.left else None


async def test_a_function_of_a_sub_node_is_made_again_for_each_source():
    with ScriptedLM({Mood: [{"words": "a"}, {"words": "b"}, {"words": "c"}]}) as lm:
        result = await finish(Graph(start=Start).arun(Start(name="Ada"), lm=lm))

    assert [node.loud for node in result.trace[1:]] == ["A", "B", "C"]


class Counting(Node):
    name: str

    async def __call__(self) -> "First":
        return First(number=1)


class First(Node):
    number: int

    async def __call__(self) -> "Count":
        return Count(number=2)


def sentence(start: Annotated[Counting, Recall()], number: Annotated[int, Recall("number")]) -> str:
    return f"{start.name} {number}"


class Count(Node):
    number: int
    said: str = Dep(sentence)

    async def __call__(self) -> "Count | None":
        return Count(number=self.number + 1) if self.number < 4 else None


async def test_a_function_that_reads_two_entries_is_made_again_when_only_the_second_is_new():
    result = await finish(Graph(start=Counting).arun(Counting(name="Ada")))

    assert [node.said for node in result.trace[2:]] == ["Ada 1", "Ada 2", "Ada 3"]
