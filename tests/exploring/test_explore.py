"""explore walks every way through a graph, and tells which it walked."""

import asyncio
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from weft import Dep, Graph, Node, NodeConfig, RunError
from weft.testing import Exploration, ExploredPath, PlannedFailureError, aexplore, explore

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def ways(found: Exploration) -> set[str]:
    return {" ".join(path.nodes) for path in found.paths if path.outcome == "done"}


def tried(found: Exploration, outcome: str) -> list[str]:
    return [path.tried for path in found.paths if path.outcome == outcome]


# --- Where it goes


class Question(Node):
    text: str = "?"

    async def __call__(self) -> "Search | Answer | None": ...


class Search(Node):
    query: str

    async def __call__(self) -> "Search | Answer": ...


class Answer(Node):
    text: str


def test_every_option_is_taken_and_loops_are_left_at_once_and_after_one_and_two_rounds():
    found = explore(Graph(start=Question), Question())

    assert ways(found) == {
        "Question",
        "Question Answer",
        "Question Search Answer",
        "Question Search Search Answer",
        "Question Search Search Search Answer",
    }
    assert (found.failures, found.unreached_nodes, found.unreached_edges) == ((), (), ())
    assert found.is_complete


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_node_and_edge_of_the_examples_is_reached_and_nothing_is_wrong(example, capsys):
    for graph in [each for each in runpy.run_path(str(example)).values() if isinstance(each, Graph)]:
        found = explore(graph)

        found.check()
        assert found.is_complete


def test_with_few_runs_new_ways_come_first_and_it_says_that_there_is_more():
    found = explore(Graph(start=Question), Question(), 3)

    assert found.unreached_edges == (("Search", "Search"),)
    assert (found.runs, found.is_complete) == (3, False)
    assert "raise max_paths" in str(found)


class Member(Node):
    plan: Literal["free", "team", "enterprise"]
    seats: int = Field(ge=1)

    async def __call__(self) -> "type[Free] | type[Small] | type[Large] | type[Sales]":  # noqa: PYI055
        if self.plan == "enterprise" and self.seats > LARGE:
            return Sales
        if self.plan == "free":
            return Free
        return Large if self.seats > LARGE else Small


LARGE = 250


class Free(Node):
    text: str


class Small(Node):
    text: str


class Large(Node):
    text: str


class Sales(Node):
    text: str


def test_values_are_found_for_every_way_that_code_may_go():
    class Signup(Node):
        async def __call__(self) -> "Member": ...

    assert explore(Graph(start=Signup), Signup()).unreached_edges == ()


def test_a_start_node_is_made_up_and_varied_where_none_is_given_and_kept_as_it_is_otherwise():
    assert explore(Graph(start=Member)).unreached_edges == ()
    assert explore(Graph(start=Member), Member(plan="free", seats=1)).unreached_nodes == ("Small", "Large", "Sales")


class Reading(BaseModel):
    celsius: float
    source: str = "roof"


def read_thermometer() -> Reading:
    return Reading(celsius=12.5)


class Morning(Node):
    reading: Annotated[Reading, Dep(read_thermometer)]

    async def __call__(self) -> "type[Coat] | type[Shirt]":  # noqa: PYI055
        return Coat if self.reading.celsius < -10 else Shirt


class Coat(Node):
    colour: str


class Shirt(Node):
    colour: str


def test_values_of_dependencies_are_made_up_where_code_decides_by_them():
    found = explore(Graph(start=Morning), Morning())

    assert found.findings() == []
    tried = next(path.tried for path in found.paths if path.nodes == ("Morning", "Coat"))
    assert tried.startswith("read_thermometer gives celsius = -")


# --- What is made to fail


def fetch() -> str:
    return "page"


class Page(Node):
    async def __call__(self) -> "Summary": ...


class Summary(Node):
    page: Annotated[str, Dep(fetch)]
    words: str
    is_short: bool


def test_each_dependency_is_made_to_fail_and_each_answer_rejected():
    found = explore(Graph(start=Page), Page())

    assert tried(found, "planned") == ["fetch fails", "Summary rejected every time"]
    assert tried(found, "done") == ["", "Summary rejected, then repaired"]
    failing = next(path for path in found.paths if path.tried == "fetch fails")
    assert isinstance(failing.error.__cause__, PlannedFailureError)


def test_a_failure_that_hides_the_planned_one_is_a_finding():
    class Shop(Node):
        async def __call__(self) -> "Price": ...

    class Price(Node):
        page: Annotated[str, Dep(fetch)]

    async def prices() -> str:
        try:
            result = await Graph(start=Page).arun(Page())
        except RunError:
            return {}["the cache"]
        return result.result.words

    class Offer(Node):
        text: Annotated[str, Dep(prices)]

    found = explore(Graph(start=Offer), Offer())

    assert [(path.tried, repr(path.error.__cause__)) for path in found.failures] == [
        ("Summary rejected every time", "KeyError('the cache')")
    ]


def test_a_run_that_outlives_a_failure_is_done():
    async def ask_twice() -> str:
        for _ in range(2):
            try:
                return (await Graph(start=Page).arun(Page())).result.words
            except RunError as error:
                last = error
        raise last

    class Offer(Node):
        text: Annotated[str, Dep(ask_twice)]

    found = explore(Graph(start=Offer), Offer())

    assert found.failures == ()
    assert "Summary rejected every time" in tried(found, "done")


def test_an_answer_is_not_expected_to_be_repaired_where_there_is_no_second_attempt():
    class Once(Node):
        node_config = NodeConfig(retries=0)
        words: str

    class Begin(Node):
        async def __call__(self) -> "Once": ...

    found = explore(Graph(start=Begin), Begin())

    assert tried(found, "planned") == ["Once rejected, then repaired", "Once rejected every time"]
    assert found.failures == ()


# --- What it leaves alone


async def test_nothing_outlives_an_exploration():
    before = asyncio.all_tasks()

    found = await aexplore(Graph(start=Question), Question())

    assert found.is_complete
    assert asyncio.all_tasks() == before


async def test_explore_says_what_to_await_in_a_running_loop():
    with pytest.raises(RuntimeError, match=r"Write: await aexplore\(\.\.\.\)"):
        explore(Graph(start=Question), Question())


def test_fakes_stand_in_for_dependencies_while_a_graph_is_explored():
    calls = []
    graph = Graph(start=Page)

    with graph.override({fetch: lambda: calls.append("fake") or "fake"}):
        explore(graph, Page())

    assert set(calls) == {"fake"}


def test_no_model_is_asked_even_where_a_node_names_one():
    class Pinned(Node):
        node_config = NodeConfig(lm="nobody:nothing")
        words: str

    class Begin(Node):
        async def __call__(self) -> "Pinned": ...

    explore(Graph(start=Begin, lm="nobody:nothing-else"), Begin()).check()


def test_a_resource_is_closed_at_the_end_of_each_run():
    opened = []

    def open_file() -> Iterator[str]:
        opened.append("open")
        yield "text"
        opened.append("closed")

    class Copy(Node):
        text: Annotated[str, Dep(open_file)]
        note: str = "x"

    explore(Graph(start=Copy), Copy()).check()

    assert opened == ["open", "closed"] * (len(opened) // 2)


# --- What a caller can say


class Coded(Node):
    code: str
    size: int

    @field_validator("code")
    @classmethod
    def is_known(cls, code):
        if code != "K-17":
            msg = "not a known code"
            raise ValueError(msg)
        return code


def test_what_cannot_be_made_up_is_a_finding_and_may_be_given():
    class Begin(Node):
        async def __call__(self) -> "Coded": ...

    graph = Graph(start=Begin)

    assert "not a known code" in explore(graph, Begin()).findings()[0]
    explore(graph, Begin(), fills={Coded: {"code": "K-17"}}).check()


def test_a_start_node_that_cannot_be_made_up_must_be_given():
    graph = Graph(start=Coded)

    with pytest.raises(ValueError, match=r"^Coded: no start node can be made up: code: .*Pass one: explore\(graph, "):
        explore(graph)
    explore(graph, fills={Coded: {"code": "K-17"}}).check()


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((Question(), 0), {}, "explore: max_paths=0 allows no run."),
        ((Question(),), {"timeout": 0}, "explore: timeout=0 allows no run."),
        ((Question,), {}, "explore: the graph starts with Question, and this is the class Question. Write: "),
        ((Answer(text="x"),), {}, "explore: the graph starts with Question, and this is an Answer. Write: "),
        ((), {"fills": {"Answer": {}}}, "explore: the key 'Answer' of fills= is not a Node class."),
        (
            (),
            {"fills": {Answer: {"word": 1}}},
            "explore: fills= names word, which Answer has not as plain fields. It has:",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_run(arguments, options, told):
    with pytest.raises((TypeError, ValueError)) as caught:
        explore(Graph(start=Question), *arguments, **options)

    assert str(caught.value).startswith(told)


def test_several_start_nodes_are_tried():
    class Order(Node):
        code: str

        async def __call__(self) -> "type[Known] | type[Other]":  # noqa: PYI055
            return Known if hash_of(self.code) == hash_of("K-17") else Other

    class Known(Node):
        text: str

    class Other(Node):
        text: str

    graph = Graph(start=Order)

    assert explore(graph, Order(code="K-17")).findings() == [
        "Other: no run reached this node. Give a start node, or fills=, that leads there."
    ]
    explore(graph, [Order(code="K-17"), Order(code="")]).check()


def hash_of(text):
    return sum(map(ord, text))


class Half(Node):
    first: int = Field(ge=0)
    second: int = Field(ge=0)

    async def __call__(self) -> "type[Answer]":
        if self.first == 0:
            raise ValueError(self.first)
        if self.second == 0:
            raise ValueError(self.second)
        return Answer


def test_two_faults_of_one_kind_on_one_path_are_both_found_with_their_places():
    class Begin(Node):
        async def __call__(self) -> "Half": ...

    found = explore(Graph(start=Begin), Begin())

    assert [path.tried for path in found.failures] == ["Half.first = 0", "Half.second = 0"]
    assert all(re.search(r"ValueError: 0, at .*test_explore\.py:\d+$", line) for line in found.findings())


def test_a_loop_that_the_same_answers_never_end_is_told_with_these_answers():
    class Begin(Node):
        async def __call__(self) -> "Attempt": ...

    class Attempt(Node):
        text: str
        is_good: bool

        async def __call__(self) -> "type[Attempt] | None":
            return None if self.is_good else Attempt

    [path] = explore(Graph(start=Begin), Begin()).failures

    assert type(path.error).__name__ == "StepLimitError"
    assert "'is_good': False} at every visit" in path.tried


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
def test_whatever_a_body_raises_is_a_finding(raised):
    class Leave(Node):
        async def __call__(self) -> "type[Answer]":
            raise raised

    assert type(raised).__name__ in explore(Graph(start=Leave), Leave()).findings()[0]


async def test_an_exploration_can_be_cancelled():
    exploring = asyncio.ensure_future(aexplore(Graph(start=Question), Question()))
    await asyncio.sleep(0)
    exploring.cancel()

    with pytest.raises(asyncio.CancelledError):
        await exploring


def test_a_fault_behind_a_made_up_value_of_a_dependency_is_told_as_a_remark():
    class Depart(Node):
        reading: Annotated[Reading, Dep(read_thermometer)]

        async def __call__(self) -> "type[Coat] | type[Shirt]":  # noqa: PYI055
            if self.reading.celsius == 0:
                raise ZeroDivisionError
            return Coat if False else Shirt

    found = explore(Graph(start=Depart), Depart())

    assert found.failures == ()
    assert found.findings()[1].startswith("Perhaps because of this: Depart (read_thermometer gives celsius = 0.0)")


def test_what_was_found_so_far_is_told_after_each_run_and_time_is_a_limit():
    runs = []

    explore(Graph(start=Question), Question(), on_run=lambda found: runs.append(found.runs))
    short = explore(Graph(start=Question), Question(), max_seconds=1e-9)

    assert runs == list(range(1, len(runs) + 1))
    assert (short.runs, short.is_complete) == (0, False)


def test_a_way_that_is_not_told_already_is_shown_where_it_ended():
    path = ExploredPath("rejected answer", ("A", "C"), "B rejected every time", "B rejected every time", "done")

    assert path.branch({("A", "B")}).detail == "the run ended well: A → C"
    assert path.branch({("A", "C")}).detail == "the run ended well"


def one():
    def get() -> int:
        return 1

    return get


def test_dependencies_of_one_name_are_told_apart():
    class Sum(Node):
        left: Annotated[int, Dep(one())]
        right: Annotated[int, Dep(one())]

    subjects = [path.subject for path in explore(Graph(start=Sum), Sum()).paths if path.kind == "failing dependency"]

    assert all(re.fullmatch(r"get at test_explore\.py:\d+ fails", each) for each in subjects)
    assert len(subjects) == 2


# --- What it gives


def test_a_path_can_be_gone_again():
    graph = Graph(start=Question)
    found = explore(graph, Question())

    for path in found.paths:
        if path.outcome == "done":
            with path.scripted_lm() as lm:
                again = graph.run(path.start, lm=lm)
            assert tuple(type(node).__name__ for node in again.trace) == path.nodes


def test_it_is_told_as_text_and_as_data():
    found = explore(Graph(start=Page), Page())

    assert str(found) == (
        "1 way through the graph\n"
        "  Page → Summary\n"
        "1 dependency made to fail\n"
        "  fetch fails  DepError, as it should\n"
        "2 answers rejected\n"
        "  Summary rejected, then repaired  the run ended well\n"
        "  Summary rejected every time      FillError, as it should\n"
        f"{found.runs} runs: 0 failures, every node and edge reached."
    )
    told = json.loads(json.dumps(found.to_json()))
    assert told["paths"][1] == {
        "kind": "failing dependency",
        "nodes": ["Page", "Summary"],
        "tried": "fetch fails",
        "outcome": "planned",
        "error": {"type": "DepError", "message": str(found.paths[1].error), "at": ""},
        "start": {},
        "script": {"fill": {}, "choose": {}},
    }
    assert (told["unreached_nodes"], told["unreached_edges"], told["is_complete"]) == ([], [], True)


def test_two_explorations_of_one_graph_are_the_same():
    assert str(explore(Graph(start=Member))) == str(explore(Graph(start=Member)))
