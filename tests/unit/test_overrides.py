"""Overrides hold in their context only; what a run is provided with is its own."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import pytest
from running import finish

from weft import Dep, Graph, GraphError, Node, NodeConfig
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


CALLS = []


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


async def get_place() -> str:
    CALLS.append("place")
    return "Oslo"


def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    CALLS.append("weather")
    return f"rain in {place}"


def get_other() -> str:
    CALLS.append("other")
    return "other"


class Forecast(Node):
    weather: Annotated[str, Dep(get_weather)]
    place: Annotated[str, Dep(get_place)]
    other: Annotated[str, Dep(get_other)]


graph = Graph(start=Forecast)


async def forecast(graph=graph, **options):
    node = (await finish(graph.arun(Forecast(), **options))).result
    return node.weather, node.place, node.other


REAL = ("rain in Oslo", "Oslo", "other")


# --- override ---


async def test_another_function_stands_in_and_the_real_one_is_back_afterwards():
    with graph.override({get_place: lambda: "Rome"}):
        assert await forecast() == ("rain in Rome", "Rome", "other")
    assert await forecast() == REAL


async def test_the_stand_in_may_have_dependencies_of_its_own():
    async def fake(other: Annotated[str, Dep(get_other)]) -> str:
        return f"{other} place"

    with graph.override({get_place: fake}):
        assert await forecast() == ("rain in other place", "other place", "other")
    assert CALLS == ["other", "weather"]


async def test_a_node_dependency_can_be_overridden_by_a_function():
    class Sub(Node):
        words: str

    class Only(Node):
        sub: Annotated[Sub, Dep()]

    only = Graph(start=Only)
    with only.override({Sub: lambda: Sub(words="by hand")}):
        assert (await finish(only.arun(Only()))).result.sub.words == "by hand"


async def test_overrides_nest_and_the_inner_one_wins():
    with graph.override({get_place: lambda: "Rome", get_other: lambda: "o"}):
        with graph.override({get_place: lambda: "Bern"}):
            assert await forecast() == ("rain in Bern", "Bern", "o")
        assert await forecast() == ("rain in Rome", "Rome", "o")


async def test_an_override_ends_also_when_its_block_fails():
    with pytest.raises(ZeroDivisionError), graph.override({get_place: lambda: "Rome"}):
        _ = 1 / 0

    assert await forecast() == REAL


async def test_other_tasks_do_not_see_it():
    inside, outside = asyncio.Event(), asyncio.Event()

    async def overriding():
        with graph.override({get_place: lambda: "Rome"}):
            inside.set()
            await outside.wait()
            return await forecast()

    async def plain():
        await inside.wait()
        found = await forecast()
        outside.set()
        return found

    assert await finish(asyncio.gather(overriding(), plain())) == [("rain in Rome", "Rome", "other"), REAL]


async def test_another_graph_over_the_same_nodes_does_not_see_it():
    with graph.override({get_place: lambda: "Rome"}):
        assert await forecast(Graph(start=Forecast)) == REAL


async def test_a_task_made_inside_keeps_it():
    with graph.override({get_place: lambda: "Rome"}):
        task = asyncio.ensure_future(forecast())

    assert await finish(task) == ("rain in Rome", "Rome", "other")


async def test_an_override_that_does_not_fit_is_a_graph_error_at_the_entry():
    def number() -> int:
        return 1

    def wants(value: str) -> str:
        return value

    for stand_in in (number, wants):
        with pytest.raises(GraphError), graph.override({get_place: stand_in}):
            raise AssertionError("entered")

    assert await forecast() == REAL


async def test_an_override_that_makes_a_cycle_is_a_graph_error_at_the_entry():
    def place_by_weather(weather: Annotated[str, Dep(get_weather)]) -> str:
        return weather

    with pytest.raises(GraphError, match="wait for each other"), graph.override({get_place: place_by_weather}):
        raise AssertionError("entered")


async def test_two_overrides_that_fit_alone_and_not_together_are_a_graph_error():
    def place(other: Annotated[str, Dep(get_other)]) -> str:
        return other

    def other(place: Annotated[str, Dep(get_place)]) -> str:
        return place

    with graph.override({get_place: place}), pytest.raises(GraphError), graph.override({get_other: other}):
        await forecast()


async def test_what_is_no_function_is_a_type_error():
    with pytest.raises(TypeError, match="provide"), graph.override({get_place: "Rome"}):
        raise AssertionError("entered")


async def test_lm_replaces_a_pinned_lm_too():
    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        node_config = NodeConfig(lm=ScriptedLM())
        words: str

    pinned = Graph(start=Start, lm=ScriptedLM())
    with pinned.override(lm=ScriptedLM({Last: {"words": "trial"}})):
        result = await finish(pinned.arun(Start(), lm=ScriptedLM()))

    assert result.result.words == "trial"


async def test_an_override_reaches_the_graphs_that_are_run_inside():
    async def sub() -> str:
        return (await finish(graph.arun(Forecast()))).result.weather

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]

    outer = Graph(start=Outer)
    with outer.override({get_place: lambda: "Rome"}):
        assert (await finish(outer.arun(Outer()))).result.inside == "rain in Rome"
    assert (await finish(outer.arun(Outer()))).result.inside == "rain in Oslo"


async def test_an_override_of_the_inner_graph_holds_when_it_is_run_inside():
    async def sub() -> str:
        return (await graph.arun(Forecast())).result.weather

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]
        place: Annotated[str, Dep(get_place)]

    outer = Graph(start=Outer)
    with graph.override({get_place: lambda: "Rome"}):
        result = (await finish(outer.arun(Outer()))).result

    assert (result.inside, result.place) == ("rain in Rome", "Oslo")


# --- provide ---


async def test_a_provided_value_is_used_and_its_function_not_called():
    assert await forecast(provide={get_place: "Rome"}) == ("rain in Rome", "Rome", "other")
    assert "place" not in CALLS
    assert await forecast() == REAL


@pytest.mark.parametrize("value", [None, "", 0])
async def test_a_provided_false_value_is_a_value(value):
    def get() -> object:
        raise AssertionError

    class Only(Node):
        value: Annotated[object, Dep(get)]

    assert (await finish(Graph(start=Only).arun(Only(), provide={get: value}))).result.value == value


async def test_each_run_has_values_of_its_own():
    runs = [forecast(provide={get_place: place}) for place in ("Rome", "Bern")]

    assert [place for _, place, _ in await asyncio.gather(*runs)] == ["Rome", "Bern"]


async def test_a_provided_value_is_validated_by_the_field():
    class Only(Node):
        number: Annotated[int, Dep(lambda: 1)]

    function = Only.model_fields["number"].metadata[0].function
    only = Graph(start=Only)

    assert (await finish(only.arun(Only(), provide={function: "5"}))).result.number == 5


async def test_provide_comes_before_an_override():
    with graph.override({get_place: lambda: "Rome"}):
        assert await forecast(provide={get_place: "Bern"}) == ("rain in Bern", "Bern", "other")


async def test_a_node_and_a_resource_can_be_provided():
    def make() -> Iterator[str]:
        raise AssertionError
        yield

    class Sub(Node):
        words: str

    class Only(Node):
        sub: Annotated[Sub, Dep()]
        made: Annotated[str, Dep(make)]

    sub = Sub(words="given")
    result = await finish(Graph(start=Only).arun(Only(), provide={Sub: sub, make: "given"}))
    assert result.result.sub is sub
    assert result.result.made == "given"


# --- Inside each other ---


async def test_what_an_inner_run_is_provided_with_taints_nothing_outside():
    async def sub() -> list[str]:
        results = await asyncio.gather(
            graph.arun(Forecast(), provide={get_place: "Rome"}),
            graph.arun(Forecast()),
            graph.arun(Forecast(), provide={get_place: "Bern"}),
        )
        return [result.result.weather for result in results]

    class Outer(Node):
        inside: Annotated[list[str], Dep(sub)]

        async def __call__(self) -> "Forecast":
            return Forecast()

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.trace[0].inside == ["rain in Rome", "rain in Oslo", "rain in Bern"]
    assert result.result.weather == "rain in Oslo"
    assert CALLS.count("other") == 1
    assert CALLS.count("place") == 1
    assert CALLS.count("weather") == 3


async def test_what_the_outer_run_made_does_not_leak_into_a_run_that_is_provided_otherwise():
    class Outer(Node):
        weather: Annotated[str, Dep(get_weather)]

        async def __call__(self) -> "Last":
            inner = await graph.arun(Forecast(), provide={get_place: "Rome"})
            plain = await graph.arun(Forecast())
            return Last(words=[inner.result.weather, plain.result.weather])

    class Last(Node):
        words: list[str]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.result.words == ["rain in Rome", "rain in Oslo"]
    assert CALLS.count("weather") == 2


async def test_what_the_outer_run_is_provided_with_reaches_the_inner_one_and_is_shared():
    async def sub() -> str:
        return (await graph.arun(Forecast())).result.weather

    class Outer(Node):
        inside: Annotated[str, Dep(sub)]
        weather: Annotated[str, Dep(get_weather)]

    result = await finish(Graph(start=Outer).arun(Outer(), provide={get_place: "Rome"}))

    assert (result.result.inside, result.result.weather) == ("rain in Rome", "rain in Rome")
    assert sorted(CALLS) == ["other", "weather"]


async def test_three_runs_deep_each_value_belongs_to_the_run_whose_provision_it_used():
    def both(place: Annotated[str, Dep(get_place)], other: Annotated[str, Dep(get_other)]) -> str:
        CALLS.append("both")
        return f"{place} {other}"

    class Deep(Node):
        value: str = Dep(both)

    deep = Graph(start=Deep)

    async def middle() -> list[str]:
        one = await deep.arun(Deep(), provide={get_other: "o1"})
        two = await deep.arun(Deep(), provide={get_other: "o2"})
        three = await deep.arun(Deep())
        four = await deep.arun(Deep())
        return [each.result.value for each in (one, two, three, four)]

    class Middle(Node):
        values: Annotated[list[str], Dep(middle)]

    middle_graph = Graph(start=Middle)

    async def top() -> list[str]:
        return (await middle_graph.arun(Middle(), provide={get_place: "Rome"})).result.values

    class Top(Node):
        values: Annotated[list[str], Dep(top)]
        outside: Annotated[str, Dep(both)]

    result = (await finish(Graph(start=Top).arun(Top()))).result

    assert result.values == ["Rome o1", "Rome o2", "Rome other", "Rome other"]
    assert result.outside == "Oslo other"
    assert CALLS.count("both") == 4
    assert CALLS.count("other") == 1


async def test_a_dependency_that_runs_an_overridden_subgraph_of_its_own_may_need_what_is_replaced_there():
    """The replaced function does not wait for itself: in the subgraph something else stands in."""

    async def sub() -> str:
        return (await inner.arun(Inner(), provide={sub: "provided"})).result.value

    class Inner(Node):
        value: Annotated[str, Dep(sub)]

    inner = Graph(start=Inner)

    assert (await finish(inner.arun(Inner()))).result.value == "provided"
