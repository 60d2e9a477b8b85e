"""`weft graph show|mermaid|check`, and the text that a graph is turned into."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import pytest

from weft import LM, Dep, Graph, Node, NodeConfig, Recall
from weft.render.outline import type_name
from weft.render.text import Branch, lines, picture


def test_show_prints_each_node_its_fields_and_where_it_leads(weft, trip):
    done = weft("graph", "show", "trip")

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Ask  start\n"
        "  question: str     caller\n"
        "  days: int         caller, or 3\n"
        "  → Plan | Refusal  the LM chooses\n"
        "\n"
        "Plan\n"
        "  weather: str  Dep get_weather\n"
        "    place: str  Dep get_place\n"
        "  tone: Tone    Dep, filled by the LM\n"
        "    ask: Ask   Recall Ask\n"
        "    sky: str   Dep get_weather, as above\n"
        "    mood: str  LM\n"
        "  text: str     LM: the plan\n"
        "  → end\n"
        "\n"
        "Refusal\n"
        "  reason: str  LM\n"
        "  → end\n"
    )


def test_mermaid_prints_the_chart_and_nothing_else(weft, write):
    write("m.py", "print('noise')\nclass A(Node):\n    async def __call__(self) -> 'B': ...\nclass B(Node): ...\n")

    done = weft("graph", "mermaid", "m:A")

    assert (done.code, done.out, done.err) == (0, "graph TD\n    A --> B\n", "noise\n")


def test_check_counts_the_nodes_of_a_sound_graph(weft, trip):
    done = weft("graph", "check", "trip")

    assert (done.code, done.out, done.err) == (0, "3 nodes checked, no faults.\n", "")


def test_check_prints_what_is_suspicious(weft, write):
    write("m.py", "def get():\n    return 1\nclass A(Node):\n    x: Annotated[int, Dep(get)]\n")

    done = weft("graph", "check", "m:A")

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Suspicious: get: has no return annotation, so its value's type is not checked here.\n"
        "1 node checked, no faults.\n"
    )


def test_check_prints_every_fault_also_of_a_graph_that_is_faulty_when_imported(weft, write):
    write(
        "m.py",
        """
        class A(Node):
            async def __call__(self) -> "B | C": ...

        class B(Node):
            async def __call__(self): ...

        class C(Node):
            async def __call__(self) -> "Missing": ...

        graph = Graph(start=A)
        """,
    )

    done = weft("graph", "check", "m")

    assert (done.code, done.err) == (2, "")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["B.__call__", "C.__call__", "2 faults."]


def test_check_shows_the_traceback_when_asked_for(weft, write):
    write("m.py", "class A(Node):\n    async def __call__(self): ...\n")

    done = weft("graph", "check", "m:A", "--traceback")

    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.out.endswith("1 fault.\n")


@pytest.mark.parametrize("command", ["show", "mermaid", "check"])
def test_a_mistake_is_told_in_one_line(weft, command):
    done = weft("graph", command, "nope.py")

    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: nope.py: there is no such file. Give the path of a Python file: path/to/file.py.\n"


# --- The picture


def shown(start: type[Node]) -> list[str]:
    return list(lines(picture(Graph(start=start).topology)))


def test_a_dependency_tells_how_it_is_run():
    async def opened() -> AsyncIterator[int]:
        yield 1

    def blocking(one: Annotated[int, Dep(opened, timeout=5, retries=2)]) -> int:
        return one

    class A(Node):
        x: Annotated[int, Dep(blocking, thread=True, per="visit")]

    assert shown(A) == [
        "A  start",
        "  x: int  Dep blocking, at each visit, in a thread",
        "    one: int  Dep opened, a resource, within 5 s, 2 retries",
        "  → end",
    ]


def test_a_value_that_two_fields_share_is_taken_apart_once():
    def base() -> int:
        return 1

    def middle(base: Annotated[int, Dep(base)]) -> int:
        return base

    class A(Node):
        x: Annotated[int, Dep(middle)]
        y: Annotated[int, Dep(middle)]

    assert shown(A)[1:4] == ["  x: int  Dep middle", "    base: int  Dep base", "  y: int  Dep middle, as above"]


def test_a_very_deep_chain_is_cut():
    def bottom() -> int:
        return 1

    made: Callable[..., Any] = bottom
    for _ in range(100):

        def link(inner: Annotated[int, Dep(made)]) -> int:
            return inner

        made = link

    class A(Node):
        x: Annotated[int, Dep(made)]

    assert [line.strip() for line in shown(A)[-2:]] == ["…", "→ end"]
    assert len(shown(A)) < 20


class Asked(Node):
    text: str

    async def __call__(self) -> "Drafted": ...


class Drafted(Node):
    node_config = NodeConfig(lm="offline")
    asked: Annotated[str, Recall("text")]
    draft: str

    async def __call__(self, lm: LM, again: Annotated[Asked, Recall()]) -> "type[Drafted] | type[Answered]":  # noqa: PYI055
        return Answered


class Answered(Node):
    draft: Annotated[str, Recall(Drafted, "draft")]

    async def __call__(self) -> "Asked | None":
        return Asked(text=self.draft)


def test_recalls_say_what_they_find_and_bodies_what_they_are_given():
    assert shown(Asked) == [
        "Asked    start",
        "  text: str  caller",
        "  → Drafted",
        "Drafted  LM offline",
        "  asked: str            Recall Asked.text",
        "  draft: str            LM",
        "  → Drafted | Answered  code chooses, the LM fills",
        "    lm: LM        the LM in charge",
        "    again: Asked  Recall Asked",
        "Answered",
        "  draft: str     Recall Drafted.draft",
        "  → Asked | end  code chooses",
    ]


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (None, "None"),
        (str | None, "str | None"),
        (list[Asked], "list[Asked]"),
        (dict[str, list[int | None]], "dict[str, list[int | None]]"),
        (Literal["a.b", 1], "Literal['a.b', 1]"),
        (Annotated[int, "said"], "int"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Callable[[int, str], bool], "Callable[[int, str], bool]"),
        (Any, "Any"),
        ("Later", "Later"),
    ],
)
def test_types_are_written_without_modules(annotation, name):
    assert type_name(annotation) == name


def test_lines_that_stand_under_each_other_are_aligned_but_for_very_long_ones():
    branches = [Branch("a", "1"), Branch("bbb", "2", branches=(Branch("c"),)), Branch("d" * 60, "3")]

    assert list(lines(branches)) == ["a    1", "bbb  2", "  c", f"{'d' * 60}  3"]
