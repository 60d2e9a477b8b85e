"""Tools of a node: a request carries them, calls of them are events, and an LM that cannot take them is a fault."""

import asyncio
from typing import Annotated, Any, ClassVar

import pytest
from running import finish

from weft import BaseLM, Dep, Graph, GraphError, LMResponse, Node, NodeConfig, OfflineLM, Usage
from weft.events import ToolFinished, ToolStarted
from weft.lm import current_call

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def look_up(word: str) -> str:
    """Return what a word means."""
    return f"meaning of {word}"


class Plain(BaseLM):
    async def generate(self, request, on_partial=None):
        return LMResponse({"text": "x"})


class Calling(BaseLM):
    """Calls each tool twice, the second time in vain."""

    takes_tools: ClassVar[bool] = True

    async def generate(self, request, on_partial=None):
        call: Any = current_call.get()
        for tool in request.tools:
            call.tool_started("a", tool.__name__, {"word": "weft"})
            call.tool_started("b", tool.__name__, {"word": 1})
            call.tool_finished("b", "word: not a string", is_error=True)
            call.tool_finished("a", tool("weft"))
        return LMResponse({"text": "x"}, Usage(1, tool_calls=2 * len(request.tools)))


class Begin(Node):
    async def __call__(self) -> "Entry": ...


class Sense(Node):
    text: str
    node_config = NodeConfig(tools=[look_up])


class Entry(Node):
    sense: Annotated[Sense, Dep()]
    text: str


async def test_calls_of_tools_are_events_and_counted():
    events = []

    result = await finish(Graph(start=Begin).arun(Begin(), lm=Calling(), on_event=events.append))

    started = [event for event in events if isinstance(event, ToolStarted)]
    finished = [event for event in events if isinstance(event, ToolFinished)]
    place = "1:Entry/sense/fill"
    assert [(each.key, each.parent, each.name, each.arguments) for each in started] == [
        (f"{place}/look_up", place, "look_up", {"word": "weft"}),
        (f"{place}/look_up2", place, "look_up", {"word": 1}),
    ]
    assert [(each.key, each.status, each.value) for each in finished] == [
        (f"{place}/look_up2", "failed", "word: not a string"),
        (f"{place}/look_up", "done", "meaning of weft"),
    ]
    assert result.usage.tool_calls == 2
    assert result.usage.by_node["Sense"].tool_calls == 2


def test_an_lm_that_cannot_take_tools_is_a_fault_before_anything_runs():
    graph = Graph(start=Begin)

    with pytest.raises(GraphError) as caught:
        graph.run(Begin(), lm=Plain())

    assert str(caught.value) == (
        "Sense: it has tools, and Plain cannot let a model call them. "
        "Use an LM that can, as PydanticAIBackend does, or leave NodeConfig(tools=) out."
    )


def test_only_the_lm_of_the_node_with_tools_must_take_them():
    class Pinned(Sense):
        node_config = NodeConfig(lm=Calling())

    class Ask(Node):
        pinned: Annotated[Pinned, Dep()]

    assert asyncio.run(Graph(start=Ask).arun(Ask(), lm=Plain())).usage.tool_calls == 2


def test_stand_ins_take_tools_and_call_none():
    assert Graph(start=Begin).run(Begin(), lm=OfflineLM()).usage.tool_calls == 0
