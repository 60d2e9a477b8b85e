"""What a visit is expected to do when it begins is what it then does, and is shown as waiting until it is done."""

from __future__ import annotations

import asyncio
from typing import Annotated

import pytest

from weft import Dep, Graph, Node, Recall
from weft.cli._outlook import Outlook
from weft.cli._trace import Recorder
from weft.events import DepStarted, LMCallStarted, NodeStarted
from weft.testing import ScriptedLM


def once() -> int:
    return 1


def chained(one: Annotated[int, Dep(once)]) -> int:
    return one


def apart() -> int:
    return 2


def again() -> int:
    return 3


class Topic(Node):
    text: str
    given: Annotated[int, Dep(once)]

    async def __call__(self) -> Draft: ...


def about(topic: Annotated[Topic, Recall()]) -> str:
    return topic.text


def of_draft(words: Annotated[str, Recall("words")], one: Annotated[int, Dep(once)]) -> str:
    return words


class Tone(Node):
    topic: Annotated[str, Dep(about)]
    left: Annotated[int, Dep(apart)]
    mood: str


class Bare(Node):
    left: Annotated[int, Dep(apart)]


class Draft(Node):
    topic: Annotated[str, Dep(about)]
    tone: Annotated[Tone, Dep()]
    bare: Annotated[Bare, Dep()]
    x: Annotated[int, Dep(chained)]
    y: Annotated[int, Dep(chained)]
    each: Annotated[int, Dep(again, per="visit")]
    words: str

    async def __call__(self, left: Annotated[int, Dep(apart)], other: Annotated[str, Dep(of_draft)]) -> Review:
        return Review(count=left)


class Review(Node):
    count: int
    left: Annotated[int, Dep(again)]
    seen: Annotated[str, Dep(of_draft)]

    async def __call__(self) -> type[Last | Revised]:
        return Revised


class Revised(Node):
    seen: Annotated[str, Dep(of_draft)]
    words: str

    async def __call__(self) -> Last | None: ...


class Last(Node):
    seen: Annotated[str, Dep(of_draft)]
    topic: Annotated[str, Dep(about)]
    each: Annotated[int, Dep(again, per="visit")]


class Watched:
    """Listens to a run and keeps, for each visit, what was expected when it began and what then began."""

    def __init__(self, graph: Graph) -> None:
        self.outlook = Outlook(graph.topology)
        self.expected: dict[str, set[str]] = {}
        self.begun: dict[str, set[str]] = {}
        self.waits: dict[str, tuple[str, ...]] = {}

    def __call__(self, event) -> None:
        self.outlook.hear(event)
        visit = event.key.partition("/")[0]
        if isinstance(event, NodeStarted):
            self.expected[visit] = set(self.outlook.order)
            self.begun[visit] = set()
            waiting = self.outlook.waiting({event.key})
            self.waits |= {key: tuple(part.waits_for) for key, part in waiting.items()}
        elif isinstance(event, DepStarted | LMCallStarted):
            self.begun[visit].add(event.key)


def watched_run(start: Topic) -> Watched:
    graph = Graph(start=Topic)
    watched = Watched(graph)
    script = ScriptedLM({Tone: {"mood": "m"}, Draft: {"words": "w"}, Revised: {"words": "w"}}, routes={Revised: Last})
    graph.run(start, lm=script, on_event=watched)
    return watched


@pytest.mark.parametrize("given", [{}, {"given": 5}])
def test_what_is_expected_of_a_visit_is_what_takes_place(given):
    watched = watched_run(Topic(text="t", **given))

    assert list(watched.begun) == ["0:Topic", "1:Draft", "2:Review", "3:Revised", "4:Last"]
    fills = {key for keys in watched.expected.values() for key in keys if key.endswith(("/tone/fill", "/bare/fill"))}
    assert fills == {"1:Draft/tone/fill"}
    for visit, begun in watched.begun.items():
        assert watched.expected[visit] == begun


def test_what_is_expected_waits_for_what_is_missing():
    watched = watched_run(Topic(text="t"))

    draft = {key.removeprefix("1:Draft/"): waits for key, waits in watched.waits.items() if key.startswith("1:Draft/")}
    assert draft == {
        "fill": ("topic", "tone", "bare", "x", "y", "each"),
        "topic": (),
        "tone": ("topic", "left"),
        "tone/left": (),
        "bare": ("left",),
        "x": (),
        "each": (),
        "body/other": ("its fields",),
    }


async def base() -> int:
    await asyncio.sleep(0)
    return 1


async def begins_last(base: Annotated[int, Dep(base)]) -> int:
    return base


async def begins_first() -> int:
    return 2


class Both(Node):
    late: Annotated[int, Dep(begins_last)]
    early: Annotated[int, Dep(begins_first)]


def test_rows_keep_their_places_when_the_visit_ends():
    graph, recorder = Graph(start=Both), Recorder()
    recorder.outlook = Outlook(graph.topology)
    begun: list[str] = []

    def listen(event) -> None:
        recorder(event)
        if isinstance(event, DepStarted):
            begun.append(event.name)
            assert rows(recorder.newest(20, event.at)) == ["late", "early"]

    graph.run(Both(), on_event=listen)

    assert begun in (["begins_first", "base", "begins_last"], ["base", "begins_first", "begins_last"])
    assert rows(recorder.branches()) == rows(recorder.newest(20, 0)) == ["late", "early"]


def rows(branches) -> list[str]:
    return [each.title.partition(":")[0] for each in branches[0].branches]


class Fork(Node):
    given: Annotated[int, Dep(once)]

    async def __call__(self) -> Left | Right: ...


class Left(Node):
    given: Annotated[int, Dep(once)]
    words: str


class Right(Node):
    words: str


def test_what_was_written_by_the_call_that_chose_it_is_not_expected_to_be_filled():
    expected: dict[str, list[str]] = {}
    graph = Graph(start=Fork, routing="one-call")
    outlook = Outlook(graph.topology)

    def watch(event: object) -> None:
        outlook.hear(event)
        if isinstance(event, NodeStarted):
            expected[event.key] = list(outlook.waiting([]))

    graph.run(Fork(), lm="offline", on_event=watch)

    assert sorted(expected["0:Fork"]) == ["0:Fork/given", "0:Fork/route"]
    assert expected["1:Left"] == []


def test_a_call_that_chooses_and_fills_is_named_so():
    recorder = Recorder()
    Graph(start=Fork, routing="one-call").run(Fork(), lm="offline", on_event=recorder)

    shown = "\n".join(rows(recorder.branches()))
    assert "LM chooses and fills Left" in shown
    assert "LM fills" not in shown
