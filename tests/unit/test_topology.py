"""What a Graph checks before anything runs: every fault at once, in full, and no false alarm."""

import functools
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, Protocol, TypeVar, Union

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from weft import LM, BaseLM, Dep, Graph, GraphError, LMResponse, Node, NodeConfig, Recall

T = TypeVar("T")
FIT = "Change the annotation, or what the function returns."
PROVIDE = "Give it a default, or annotate it: Annotated[int, Dep(fn)] or Annotated[int, Recall()]."
FIND = "Define or import it before the Graph is made; names are looked up there and where the class is made."
READS = "Before it come: Start. Recall reads them and their plain fields."
HOLD = "A run ends with a node: name one that holds the value, or None."
AT_A_TIME = "One node follows at a time; what is wanted at once are Dep fields of one node, or asyncio.gather."
OUTERMOST = "Dep and Recall stand outermost: Annotated[T, Dep(fn)] or x: T = Dep(fn)."
BREAK = "Break the circle: one of them must do without the other."
END = "Let some path lead to a node without __call__, or with None in its annotation."


class Told(BaseLM):
    """Chooses the first candidate and writes the same fields everywhere."""

    def __init__(self, **fields):
        self.fields = fields

    async def generate(self, request, on_partial=None):
        return LMResponse({"choice": request.options[0].name} if request.kind == "choose" else self.fields)


class End(Node):
    words: str = ""


class Other(Node):
    words: str = ""


class Value:
    pass


class Special(Value):
    pass


def get_int() -> int:
    return 1


def get_str() -> str:
    return "s"


def get_value() -> Value:
    return Value()


def faults_of(start, **options):
    with pytest.raises(GraphError) as caught:
        Graph(start=start, **options)
    return [(fault.node_type, fault.field_name, fault.message, fault.hint) for fault in caught.value.faults]


def texts_of(start, **options):
    with pytest.raises(GraphError) as caught:
        Graph(start=start, **options)
    return [str(fault) for fault in caught.value.faults]


# --- Each kind of fault, in full -------------------------------------------------------------------------------------


class Plain(BaseModel):
    words: str = ""


@pytest.mark.parametrize(
    ("start", "message", "hint"),
    [
        (Node, "Node is not a Node class", "Name a class made from Node."),
        (BaseModel, "BaseModel is not a Node class", "Name a class made from Node."),
        (Plain, "Plain is not a Node class", "Let it inherit from Node: class Plain(Node)."),
        (int, "int is not a Node class", "Pass the class itself: Graph(start=MyNode)."),
        ("End", "'End' is not a Node class", "Pass the class itself: Graph(start=MyNode)."),
        (None, "None is not a Node class", "Pass the class itself: Graph(start=MyNode)."),
        (End(), "this is a node, an End, and not its class", "Pass the class itself: Graph(start=End)."),
        (End | Other, f"{End | Other!r} is not a Node class", "Pass the class itself: Graph(start=MyNode)."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_start_must_be_a_node_class(start, message, hint):
    assert faults_of(start) == [(None, "Graph(start=…)", message, hint)]


def test_dependencies_that_wait_for_each_other_are_named():
    def first(x: "Annotated[int, Dep(second)]") -> int: ...
    def second(x: "Annotated[int, Dep(third)]") -> int: ...
    def third(x: Annotated[int, Dep(first)]) -> int: ...

    class Start(Node):
        value: int = Dep(first)

    assert faults_of_here(Start, locals()) == [
        (Start, None, "these dependencies wait for each other: first → second → third → first", BREAK)
    ]


def faults_of_here(start, names):
    """Return the faults of a graph that is made among *names*."""
    space = {"Graph": Graph, "start": start, **names}
    with pytest.raises(GraphError) as caught:
        exec("Graph(start=start)", space)
    return [(fault.node_type, fault.field_name, fault.message, fault.hint) for fault in caught.value.faults]


def test_a_dependency_that_waits_for_itself_is_named():
    def own(x: "Annotated[int, Dep(own)]") -> int: ...

    class Start(Node):
        value: int = Dep(own)

    assert faults_of_here(Start, {"own": own}) == [
        (Start, None, "these dependencies wait for each other: own → own", BREAK)
    ]


def test_nodes_that_need_each_other_are_a_cycle():
    class Egg(Node):
        hen: "Annotated[Hen, Dep()]"

    class Hen(Node):
        egg: Annotated[Egg, Dep()]

    class Start(Node):
        egg: Annotated[Egg, Dep()]

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [str(fault) for fault in caught.value.faults] == [
        f"Start: these dependencies wait for each other: Egg → Hen → Egg. {BREAK}"
    ]


def test_each_cycle_is_reported_once():
    def one(x: "Annotated[int, Dep(one)]") -> int: ...
    def left(x: "Annotated[int, Dep(right)]") -> int: ...
    def right(x: Annotated[int, Dep(left)]) -> int: ...

    class Start(Node):
        a: int = Dep(one)
        b: int = Dep(left)
        c: int = Dep(right)

        async def __call__(self) -> "Second": ...

    class Second(Node):
        a: int = Dep(one)
        c: int = Dep(right)

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [fault.message for fault in caught.value.faults] == [
        "these dependencies wait for each other: one → one",
        "these dependencies wait for each other: left → right → left",
    ]


def test_a_return_type_that_does_not_fit_the_field():
    class Start(Node):
        wrong: int = Dep(get_str)
        too_wide: Annotated[Special, Dep(get_value)]

    assert faults_of(Start) == [
        (Start, "wrong", "get_str returns str, which does not fit int", FIT),
        (Start, "too_wide", "get_value returns Value, which does not fit Special", FIT),
    ]


def test_a_return_type_that_does_not_fit_a_parameter():
    def use(x: Annotated[int, Dep(get_str)]) -> int: ...

    class Start(Node):
        value: int = Dep(use)

    assert faults_of(Start) == [(None, "use(x)", "get_str returns str, which does not fit int", FIT)]


def test_a_return_type_inside_a_generic_does_not_fit():
    def get_words() -> list[str]: ...

    class Start(Node):
        value: list[int] = Dep(get_words)

    assert texts_of(Start) == [f"Start.value: get_words returns list[str], which does not fit list[int]. {FIT}"]


def test_a_node_as_dependency_must_fit_its_field():
    class Start(Node):
        value: End = Dep(get_int)

    assert texts_of(Start) == [f"Start.value: get_int returns int, which does not fit End. {FIT}"]


def test_what_a_sub_node_needs_is_checked_under_its_own_name():
    class Sub(Node):
        value: int = Dep(get_str)

    class Start(Node):
        sub: Annotated[Sub, Dep()]

    assert faults_of(Start) == [(Sub, "value", "get_str returns str, which does not fit int", FIT)]


@pytest.mark.parametrize("annotation", [int, "int", list[int], None, Any])
def test_dep_without_a_function_is_for_nodes(annotation):
    class Start(Node):
        value: Annotated[annotation, Dep()]

    hint = "Dep() alone has the LM fill a node: annotate one Node class, or name what makes the value, Dep(fn)."

    ((node_type, field_name, message, given_hint),) = faults_of(Start)

    assert (node_type, field_name, given_hint) == (Start, "value", hint)
    assert message.endswith(" is not a Node class")


def test_a_required_parameter_that_nothing_provides():
    def use(x: int, *, y: str) -> int: ...

    class Start(Node):
        value: int = Dep(use)

    message = "nothing provides this required parameter"
    text = PROVIDE.replace("int", "str")
    assert faults_of(Start) == [(None, "use(x)", message, PROVIDE), (None, "use(y)", message, text)]


def test_a_classs_required_parameter_counts():
    class Client:
        def __init__(self, url: str) -> None: ...

    class Start(Node):
        value: Client = Dep(Client)

    provide = PROVIDE.replace("int", "str")
    assert texts_of(Start) == [f"Client(url): nothing provides this required parameter. {provide}"]


def test_a_bodys_required_parameter_counts():
    class Start(Node):
        async def __call__(self, x: int) -> End:
            return End()

    assert faults_of(Start) == [(Start, "__call__(x)", "nothing provides this required parameter", PROVIDE)]


def test_the_same_fault_in_two_bodies_is_told_for_each():
    class Start(Node):
        async def __call__(self, x: int) -> "Second":
            return Second()

    class Second(Node):
        async def __call__(self, x: int) -> End:
            return End()

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [fault.where for fault in caught.value.faults] == ["Start.__call__(x)", "Second.__call__(x)"]


def test_a_bodys_dependency_that_does_not_fit_names_the_body():
    class Start(Node):
        async def __call__(self, x: Annotated[int, Dep(get_str)]) -> End:
            return End()

    ((node_type, where, message, _),) = faults_of(Start)

    assert (node_type, message) == (Start, "get_str returns str, which does not fit int")
    assert where in ("x", "__call__(x)")


def test_a_missing_return_annotation():
    class Start(Node):
        async def __call__(self): ...

    hint = 'Say where it leads: -> "Next", -> "A | B", or -> None for an end.'
    assert faults_of(Start) == [(Start, "__call__", "has no return annotation", hint)]


def test_recall_on_the_start_node():
    class Start(Node):
        text: str
        again: Annotated[str, Recall()]
        node: End = Recall()

    hint = "Nothing has been visited before the start node: make it a plain field or a Dep."
    assert faults_of(Start) == [
        (Start, "again", "the start node cannot Recall", hint),
        (Start, "node", "the start node cannot Recall", hint),
    ]


def test_recall_on_a_start_node_that_is_on_a_loop_is_a_fault_too():
    class Start(Node):
        again: "Start" = Recall()

        async def __call__(self) -> "Start | None": ...

    assert [fault[2] for fault in faults_of(Start)] == ["the start node cannot Recall"]


def test_recall_of_what_no_path_can_provide():
    class Start(Node):
        text: str

        async def __call__(self) -> "Absent": ...

    class Absent(Node):
        number: Annotated[int, Recall()]
        other: Other = Recall()
        named: Annotated[str, Recall("nothing")]
        of_node: Annotated[str, Recall(Other, "words")]
        of_end: Annotated[int, Recall(Start)]
        unnamed: Annotated[list[str], Recall()]

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [(fault.node_type, fault.field_name, fault.message, fault.hint) for fault in caught.value.faults] == [
        (Absent, "number", "no node that can come before has a value of type int", READS),
        (Absent, "other", "no node that can come before has a value of type Other", READS),
        (Absent, "named", "no node that can come before has a field 'nothing'", READS),
        (Absent, "of_node", "no node that can come before has a field 'words' in Other", READS),
        (Absent, "of_end", "no node that can come before has a value of type int in Start", READS),
        (Absent, "unnamed", "no node that can come before has a value of type list[str]", READS),
    ]


def test_a_node_only_on_another_branch_cannot_be_recalled():
    class Start(Node):
        async def __call__(self) -> "Left | Right": ...

    class Left(Node):
        number: int

    class Right(Node):
        number: Annotated[int, Recall()]

    with pytest.raises(GraphError, match="no node that can come before has a value of type int"):
        Graph(start=Start)


def test_a_node_on_a_loop_may_recall_itself_and_what_comes_later():
    class Start(Node):
        async def __call__(self) -> "Draft": ...

    class Draft(Node):
        text: str

        async def __call__(self) -> "Review": ...

    class Review(Node):
        draft: Annotated[Draft, Recall()]
        before: Annotated["Review", Recall()]
        score: int

        async def __call__(self) -> "Draft | None": ...

    assert Graph(start=Start).nodes == {Start, Draft, Review}


def test_two_matching_plain_fields_are_ambiguous():
    class Start(Node):
        first: str
        second: str
        number: int

        async def __call__(self) -> "Asking": ...

    class Asking(Node):
        text: Annotated[str, Recall()]
        number: Annotated[int, Recall()]
        named: Annotated[str, Recall("first")]
        of_node: Annotated[str, Recall(Start)]
        both: Annotated[str, Recall(Start, "second")]

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    message, hint = "Start has two that match: first and second", "Say which: Recall(Start, 'field')."
    assert [(fault.node_type, fault.field_name, fault.message, fault.hint) for fault in caught.value.faults] == [
        (Asking, "text", message, hint),
        (Asking, "of_node", message, hint),
    ]


def test_a_recalled_field_of_that_name_must_fit():
    class Start(Node):
        number: int

        async def __call__(self) -> "Asking": ...

    class Asking(Node):
        text: Annotated[str, Recall("number")]

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [str(fault) for fault in caught.value.faults] == [
        "Asking.text: Start.number is int, which does not fit str. Say which: Recall(Start, 'field')."
    ]


def test_nodes_with_no_way_to_an_end():
    class Start(Node):
        async def __call__(self) -> "Round | End": ...

    class Round(Node):
        async def __call__(self) -> "About": ...

    class About(Node):
        async def __call__(self) -> "Round": ...

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert {(fault.node_type, fault.field_name, fault.message, fault.hint) for fault in caught.value.faults} == {
        (Round, None, "no path from this node comes to an end", END),
        (About, None, "no path from this node comes to an end", END),
    }


def test_two_candidates_of_one_name():
    def twin():
        class Twin(Node):
            pass

        return Twin

    first, second = twin(), twin()

    class Start(Node):
        async def __call__(self) -> first | second: ...

    assert faults_of(Start) == [
        (Start, "__call__", "two candidates are called Twin", "Rename one: the LM chooses by name.")
    ]


@pytest.mark.parametrize(
    ("annotation", "shown", "hint"),
    [
        (int, "int", HOLD),
        (End | str, "str", HOLD),
        (dict[str, list[int]], "dict[str, list[int]]", HOLD),
        (list[End], "list[End]", AT_A_TIME),
        (tuple[End, ...], "tuple[End, ...]", AT_A_TIME),
        (Plain, "Plain", "Let it inherit from Node: class Plain(Node)."),
        (Node, "Node", 'Name the classes that may follow: -> "A | B".'),
        (Any, "Any", 'Name the classes that may follow: -> "A | B".'),
        (type[End] | Other, "type[End]", "Write type[…] around every class, or around none."),
    ],
    ids=str,
)
def test_return_annotations_that_are_not_nodes(annotation, shown, hint):
    class Start(Node):
        async def __call__(self) -> annotation: ...

    assert faults_of(Start) == [(Start, "__call__", f"may return {shown}, which is not a Node class", hint)]


def test_classes_and_instances_cannot_be_mixed():
    class Start(Node):
        async def __call__(self) -> type[End] | Other:
            return End

    ((node_type, field_name, message, _),) = faults_of(Start)

    assert (node_type, field_name) == (Start, "__call__")
    assert "which is not a Node class" in message


def test_names_that_cannot_be_found_in_a_call():
    class Start(Node):
        async def __call__(self) -> "Nowhere | End": ...  # noqa: F821

    assert faults_of(Start) == [
        (Start, "__call__", "the name 'Nowhere' in the annotation 'Nowhere | End' cannot be found", FIND)
    ]


def test_names_that_cannot_be_found_in_a_field():
    class Start(Node):
        value: "Nowhere"  # noqa: F821

    ((node_type, _, message, hint),) = faults_of(Start)

    assert (node_type, message, hint) == (
        Start,
        "the name 'Nowhere' cannot be found",
        FIND,
    )


def test_names_that_cannot_be_found_in_a_function():
    def get(x: "Annotated[Nowhere, Dep(get_int)]") -> int: ...  # noqa: F821
    def give() -> "Elsewhere": ...  # noqa: F821

    class Start(Node):
        a: int = Dep(get)
        b: int = Dep(give)

    assert faults_of(Start) == [
        (
            None,
            "get(x)",
            "the name 'Nowhere' in the annotation 'Annotated[Nowhere, Dep(get_int)]' cannot be found",
            FIND,
        ),
        (None, "give(…)", "the name 'Elsewhere' cannot be found", FIND),
    ]


def test_a_sync_body_with_code():
    class Start(Node):
        def __call__(self) -> End:
            return End()

    assert faults_of(Start) == [(Start, "__call__", "has code and is not async", "Write: async def __call__.")]


def test_an_async_generator_is_no_body():
    class Start(Node):
        async def __call__(self) -> End:
            yield End()

    assert texts_of(Start) == ["Start.__call__: yields, and one node follows. Write return in place of yield."]


def test_a_generator_without_an_iterator_annotation():
    def bare() -> int:
        yield 1

    async def wrong() -> Iterator[int]:
        yield 1

    class Start(Node):
        a: int = Dep(bare)
        b: int = Dep(wrong)

    what = "this generator is a resource, and its return annotation is not"
    assert faults_of(Start) == [
        (None, "bare(…)", f"{what} Iterator[T]", "Annotate it as Iterator[T]."),
        (None, "wrong(…)", f"{what} AsyncIterator[T]", "Annotate it as AsyncIterator[T]."),
    ]


def test_a_resource_is_checked_by_what_it_yields():
    def resource() -> Iterator[str]:
        yield "a"

    class Start(Node):
        value: int = Dep(resource)

    assert texts_of(Start) == [f"Start.value: resource returns str, which does not fit int. {FIT}"]


def test_a_marker_inside_the_type_says_nothing():
    def use(x: list[Annotated[int, Dep(get_int)]]) -> int: ...

    class Start(Node):
        values: list[Annotated[int, Dep(get_int)]]
        maybe: Annotated[int, Dep(get_int)] | None
        other: int = Dep(use)

    inside = "Dep or Recall is inside the type, where it says nothing"
    assert set(faults_of(Start)) == {
        (Start, "values", inside, OUTERMOST),
        (Start, "maybe", inside, OUTERMOST),
        (None, "use(x)", "nothing provides this required parameter", OUTERMOST),
    }


def test_options_of_a_shared_dependency_must_agree():
    class Start(Node):
        a: int = Dep(get_int)
        b: int = Dep(get_int, retries=2)

    assert faults_of(Start) == [
        (
            Start,
            "b",
            "get_int is a Dep with other options elsewhere",
            "One run of it is shared: say the same thread=, timeout=, retries= and prefetch= everywhere.",
        )
    ]


def test_a_timeout_that_cannot_work_and_a_thread_for_async_code():
    async def coroutine() -> int: ...

    class Start(Node):
        a: int = Dep(get_int, timeout=1)
        b: int = Dep(coroutine, thread=True)

    assert faults_of(Start) == [
        (
            None,
            "get_int",
            "timeout= cannot stop a sync function that runs on the event loop",
            "Make it async, or add thread=True.",
        ),
        (None, "coroutine", "thread=True is for blocking functions, and this one is async", "Leave thread=True out."),
    ]


def test_an_unhashable_dependency():
    @dataclass
    class Getter:
        number: int

        def __call__(self) -> int:
            return self.number

    class Start(Node):
        value: int = Dep(Getter(1))

    assert faults_of(Start) == [
        (
            Start,
            "value",
            "this dependency cannot be hashed",
            "Wrap it in a function: dependencies are told apart by hash and equality.",
        )
    ]


def test_a_default_is_a_fault():
    class Start(Node):
        value: Annotated[int, Dep(get_int)] = 3

    assert faults_of(Start) == [(Start, "value", "a Dep field takes no default", "Leave the default out.")]


@pytest.mark.filterwarnings("ignore:Field name .* shadows:UserWarning")
@pytest.mark.parametrize("name", ["successors", "is_terminal"])
def test_a_field_hides_nothing_that_every_node_has(name):
    start = type("Start", (Node,), {"__annotations__": {name: int}, "__module__": __name__})

    assert faults_of(start) == [(start, name, f"this hides Node.{name}", "Give the field another name.")]


# --- All at once -----------------------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_and_as_lines():
    class Start(Node):
        wrong: int = Dep(get_str)
        early: Annotated[str, Recall()]

        async def __call__(self) -> "Second | Nowhere2": ...  # noqa: F821

    class First(Node):
        wrong: int = Dep(get_str)
        early: Annotated[str, Recall()]

        async def __call__(self) -> "Second | Third | int": ...

    class Second(Node):
        absent: Annotated[bytes, Recall()]

        def __call__(self) -> "Second":
            return self

    class Third(Node):
        default: Annotated[int, Dep(get_int)] = 3

        async def __call__(self): ...

    with pytest.raises(GraphError) as caught:
        Graph(start=First)

    wheres = {fault.where for fault in caught.value.faults}
    assert {
        "First.wrong",
        "First.early",
        "First.__call__",
        "Second.absent",
        "Second.__call__",
        "Second",
        "Third.default",
        "Third.__call__",
    } == wheres
    assert len(set(caught.value.faults)) == len(caught.value.faults)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{len(caught.value.faults)} faults in this graph:"
    assert lines[1:] == [f"  {fault}" for fault in caught.value.faults]
    with pytest.raises(GraphError, match="Nowhere2"):
        Graph(start=Start)


def test_an_unreadable_node_does_not_raise_false_alarms_about_others():
    class Start(Node):
        async def __call__(self) -> "Middle": ...

    class Middle(Node):
        async def __call__(self) -> "Nowhere": ...  # noqa: F821

    with pytest.raises(GraphError) as caught:
        Graph(start=Start, end=End)

    assert [fault.where for fault in caught.value.faults] == ["Middle.__call__"]


def test_a_fault_shared_by_many_nodes_is_told_once():
    def needy(x: int) -> int: ...

    class Start(Node):
        a: int = Dep(needy)

        async def __call__(self) -> "Second": ...

    class Second(Node):
        a: int = Dep(needy)

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [fault.where for fault in caught.value.faults] == ["needy(x)"]


# --- The end ---------------------------------------------------------------------------------------------------------


class Forking(Node):
    async def __call__(self) -> End | Other: ...


@pytest.mark.parametrize("end", [End | Other, Union[End, Other], Other | End, "End | Other", Annotated[End | Other, 1]])  # noqa: UP007
def test_end_may_be_written_in_every_form(end):
    graph = Graph(start=Forking, end=end)

    assert graph.terminal_nodes == {End, Other}
    assert graph.validate() == []


def test_end_may_be_one_class_and_is_optional():
    class Straight(Node):
        async def __call__(self) -> End: ...

    assert Graph(start=Straight, end=End).terminal_nodes == {End}
    assert Graph(Straight, End).terminal_nodes == {End}
    assert Graph(Straight).terminal_nodes == {End}


def test_end_must_cover_every_stop():
    assert faults_of(Forking, end=End) == [
        (Other, None, "a run can stop here, and end= does not name it", "Add it: end=… | Other.")
    ]


def test_a_node_that_may_stop_must_be_covered():
    class Stopping(Node):
        async def __call__(self) -> End | None: ...

    assert [fault[0] for fault in faults_of(Stopping, end=End)] == [Stopping]
    assert Graph(start=Stopping, end=End | Stopping).terminal_nodes == {End, Stopping}


def test_a_base_class_as_end_covers_its_subclasses():
    class Answer(Node):
        pass

    class Long(Answer):
        pass

    class Short(Answer):
        pass

    class Asking(Node):
        async def __call__(self) -> Long | Short: ...

    assert Graph(start=Asking, end=Answer).terminal_nodes == {Long, Short}


@pytest.mark.parametrize("end", [int, End | Other | int, End | Other | None])
def test_end_must_name_nodes(end):
    faults = faults_of(Forking, end=end)

    assert (None, "Graph(end=…)") in [fault[:2] for fault in faults]
    assert any("is not a Node class" in fault[2] for fault in faults)


def test_an_end_that_cannot_be_found():
    assert texts_of(Forking, end="Nowhere") == [f"Graph(end=…): the name 'Nowhere' cannot be found. {FIND}"]


# --- validate() ------------------------------------------------------------------------------------------------------


def test_validate_tells_what_is_only_suspicious():
    def untyped():
        return 1

    class Start(Node):
        value: int = Dep(untyped)
        again: int = Dep(untyped)
        short: int = Dep(lambda: 1)

        async def __call__(self) -> End: ...

    graph = Graph(start=Start, end=End | Other)

    assert graph.validate() == [
        "Graph(end=…): no run stops at Other.",
        "untyped: has no return annotation, so its value's type is not checked here.",
    ]


def test_validate_gives_a_fresh_list():
    graph = Graph(start=Forking)
    graph.validate().append("mine")

    assert graph.validate() == []


# --- No false alarms -------------------------------------------------------------------------------------------------

UserId = NewType("UserId", int)


class Talks(Protocol):
    def talk(self) -> str: ...


class Talker:
    def talk(self) -> str:
        return "hello"


class Row(TypedDict):
    x: int


class Pair(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Getter:
    number: int

    def __call__(self) -> int:
        return self.number

    def method(self) -> int:
        return self.number

    @classmethod
    def by_class(cls) -> int:
        return 1

    @staticmethod
    def static() -> int:
        return 1


class AsyncGetter:
    async def __call__(self) -> int:
        return 1


class ResourceGetter:
    def __call__(self) -> Iterator[int]:
        yield 1


class Settings(BaseModel):
    url: str = "a"


class Client:
    def __init__(self, settings: Annotated[Settings, Dep(Settings)], retries: int = 3) -> None:
        self.settings = settings


def positional(x: Annotated[int, Dep(get_int)], /, *args: int, y: str = Dep(get_str), z: int = 3, **more: Any) -> int:
    return x + len(y)


@functools.wraps(get_int)
def wrapped(*args, **kwargs):
    return get_int(*args, **kwargs)


@functools.cache
def cached() -> int:
    return 1


def any_value() -> Any:
    return 1


def generic_list() -> list[T]:
    return []


def special() -> Special:
    return Special()


def literal() -> Literal["a"]:
    return "a"


def talker() -> Talker:
    return Talker()


def row() -> Row:
    return {"x": 1}


def pair() -> Pair:
    return Pair(1, 2)


def maybe() -> int | None:
    return None


def user_id() -> UserId:
    return UserId(1)


def words() -> list[str]:
    return ["a"]


def nothing() -> None: ...


def awaitable() -> Awaitable[int]:
    async def later() -> int:
        return 1

    return later()


def function_value() -> Callable[[], int]:
    return get_int


def iterator() -> Iterator[int]:
    yield 1


def iterable() -> Iterable[int]:
    yield 1


def generator() -> Generator[int, None, None]:
    yield 1


async def async_iterator() -> AsyncIterator[int]:
    yield 1


async def async_iterable() -> AsyncIterable[int]:
    yield 1


async def async_generator() -> AsyncGenerator[int, None]:
    yield 1


async def coroutine() -> int:
    return 1


def mixed_literal() -> Literal["a", 1]:
    return "a"


def list_of_iterators() -> Iterable[str]:
    return ["a"]


ZOO = [
    (get_int, int),
    (get_int, float),
    (get_int, Any),
    (get_int, int | None),
    (get_int, Optional[str | int]),  # noqa: UP045
    (get_int, Annotated[int, Field(ge=0)]),
    (get_int, Literal[1] | int),  # noqa: PYI051
    (any_value, int),
    (generic_list, list[int]),
    (special, Value),
    (special, Value | None),
    (literal, str),
    (literal, Literal["a", "b"]),
    (mixed_literal, str | int),
    (talker, Talker),
    (row, dict[str, int]),
    (row, Row),
    (pair, Pair),
    (pair, tuple[int, int]),
    (maybe, int | None),
    (maybe, int | str | None),
    (user_id, int),
    (get_int, UserId),
    (words, list[str]),
    (nothing, None),
    (awaitable, int),
    (function_value, Callable[[], int]),
    (iterator, int),
    (iterable, int),
    (generator, int),
    (async_iterator, int),
    (async_iterable, int),
    (async_generator, int),
    (coroutine, int),
    (list_of_iterators, Iterable[str]),
    (Getter(1), int),
    (Getter(1).method, int),
    (Getter.by_class, int),
    (Getter.static, int),
    (AsyncGetter(), int),
    (ResourceGetter(), int),
    (functools.partial(positional, 1), int),
    (functools.partial(positional, y="a"), int),
    (functools.partial(Getter(1)), int),
    (positional, int),
    (wrapped, int),
    (cached, int),
    (lambda: 1, int),
    (Client, Client),
    (Settings, Settings),
    (Settings, BaseModel),
    (Value, Value),
    (Special, Value),
    (int, int),
    (dict, dict),
    (dict, dict[str, int]),
    (list, list[str]),
    (time.time, float),
]


@pytest.mark.parametrize(("function", "wanted"), ZOO, ids=map(str, range(len(ZOO))))
def test_a_legal_dependency_raises_no_alarm_and_resolves(function, wanted):
    class Start(Node):
        annotated: Annotated[wanted, Dep(function)]
        assigned: wanted = Dep(function)

    result = Graph(start=Start).run(Start()).result

    assert result.annotated == result.assigned or wanted == Iterable[str]


def test_a_protocol_is_no_alarm_as_a_parameter():
    def use(it: Annotated[Talks, Dep(talker)]) -> str:
        return it.talk()

    class Start(Node):
        value: str = Dep(use)

    assert Graph(start=Start).run(Start()).result.value == "hello"


def test_a_body_may_take_the_lm_a_dep_a_recall_and_defaults():
    class Start(Node):
        text: str

        async def __call__(
            self,
            lm: LM,
            number: Annotated[int, Dep(get_int)],
            text: Annotated[str, Recall()],
            *,
            value: Value = Dep(get_value),  # noqa: B008
            flag: bool = False,
        ) -> End:
            return End(words=f"{text} {number} {flag}")

    assert Graph(start=Start).run(Start(text="a"), lm=Told()).result.words == "a 1 False"


def test_a_dep_function_of_the_start_node_may_recall_its_plain_fields():
    def shout(text: Annotated[str, Recall()], start: "Annotated[Start, Recall()]") -> str:
        return f"{text.upper()} {start.text}"

    class Start(Node):
        text: str
        loud: str = Dep(shout)

    result = Graph(start=Start).run(Start(text="a")).result

    assert result.loud == "A a"


def test_none_is_a_value_that_can_be_recalled():
    class Start(Node):
        maybe: int | None = None
        also: Optional[str] = "s"  # noqa: UP045

        async def __call__(self) -> "Asking": ...

    class Asking(Node):
        maybe: Annotated[int | None, Recall()]
        also: Annotated[str | None, Recall()]

    assert Graph(start=Start).run(Start(), lm=Told()).result.model_dump() == {"maybe": None, "also": "s"}


def test_recall_matches_generics_by_equality_and_classes_by_subclass():
    class Holder(Node, Generic[T]):
        value: T

        async def __call__(self) -> "Asking": ...

    class Asking(Node):
        words: Annotated[list[str], Recall()]

    class Base(Node):
        special: Special

        async def __call__(self) -> "AskingBase": ...

    class Derived(Base):
        more: int = 0

    class AskingBase(Node):
        value: Annotated[Value, Recall()]
        base: Annotated[Base, Recall()]

    assert Graph(start=Holder[list[str]])
    with pytest.raises(GraphError, match=r"value of type list\[str\]"):
        Graph(start=Holder[list[int]])
    result = Graph(start=Derived).run(Derived(special=Special()), lm=Told()).result
    assert isinstance(result.base, Derived)
    assert isinstance(result.value, Special)


def test_recall_does_not_read_dep_fields_by_type():
    class Start(Node):
        number: int = Dep(get_int)

        async def __call__(self) -> "Asking": ...

    class Asking(Node):
        number: Annotated[int, Recall()]

    with pytest.raises(GraphError, match="no node that can come before has a value of type int"):
        Graph(start=Start)


def test_a_recall_in_a_sub_node_is_checked_against_the_nodes_before():
    class Sub(Node):
        number: Annotated[int, Recall()]

    class Start(Node):
        number: int

        async def __call__(self) -> "Second": ...

    class Second(Node):
        sub: Annotated[Sub, Dep()]

    class Wrong(Node):
        async def __call__(self) -> "Second": ...

    assert Graph(start=Start).run(Start(number=4), lm=Told()).result.sub == Sub(number=4)
    with pytest.raises(GraphError) as caught:
        Graph(start=Wrong)
    assert [fault.where for fault in caught.value.faults] == ["Sub.number"]


def test_a_diamond_a_self_loop_and_a_dead_start_are_no_alarm():
    class Top(Node):
        async def __call__(self) -> "Left | Right | Top": ...

    class Left(Node):
        async def __call__(self) -> "Bottom": ...

    class Right(Node):
        async def __call__(self) -> "Bottom": ...

    class Bottom(Node):
        pass

    class Alone(Node):
        pass

    graph = Graph(start=Top)

    assert graph.edges == {Top: {Left, Right, Top}, Left: {Bottom}, Right: {Bottom}, Bottom: set()}
    assert (graph.nodes, graph.terminal_nodes) == ({Top, Left, Right, Bottom}, {Bottom})
    assert Graph(start=Alone).nodes == {Alone}
    assert graph.validate() == []


def test_one_function_may_serve_many_fields_and_be_per_visit_elsewhere():
    class Start(Node):
        a: int = Dep(get_int)
        b: int = Dep(get_int, per="visit")

    assert Graph(start=Start).run(Start()).result.model_dump() == {"a": 1, "b": 1}


def test_a_failing_graph_changes_nothing_about_its_nodes():
    class Start(Node):
        async def __call__(self) -> End: ...

    with pytest.raises(GraphError):
        Graph(start=Start, end=Other)

    assert Graph(start=Start).nodes == {Start, End}


def test_node_config_of_an_unused_candidate_is_no_alarm():
    class Start(Node):
        node_config = NodeConfig(lm="offline", routes="lm")

        async def __call__(self) -> End: ...

    assert Graph(start=Start).validate() == []


# --- Size ------------------------------------------------------------------------------------------------------------


def timed(function):
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def deep_chain(depth):
    function = get_int
    for _ in range(depth):

        def following(x) -> int:
            return x + 1

        following.__annotations__["x"] = Annotated[int, Dep(function)]
        function = following
    return function


def test_a_chain_5000_deep_is_checked_and_runs():
    class Start(Node):
        value: int = Dep(deep_chain(5_000))

    graph, seconds = timed(lambda: Graph(start=Start))

    assert seconds < 5
    assert graph.run(Start()).result.value == 5_001


def test_a_cycle_at_the_end_of_a_deep_chain_is_named_in_one_short_line():
    functions: list[Any] = []
    for index in range(2_000):

        def link(x) -> int: ...

        link.__name__ = f"link{index}"
        functions.append(link)
    for link, following in zip(functions, [*functions[1:], functions[0]], strict=True):
        link.__annotations__["x"] = Annotated[int, Dep(following)]

    class Start(Node):
        value: int = Dep(functions[0])

    (fault,) = faults_of(Start)

    assert fault[2] == (
        "these dependencies wait for each other: link0 → link1 → link2 → link3 → link4 → link5 → … 1,989 more … → "
        "link1995 → link1996 → link1997 → link1998 → link1999 → link0"
    )


def test_a_node_10000_wide_is_checked():
    def make():
        def one() -> int:
            return 1

        return one

    functions = [make() for _ in range(10_000)]
    source = ", ".join(f"v{index}: Annotated[int, Dep(functions[{index}])]" for index in range(10_000))
    names: dict[str, Any] = {"functions": functions, "Annotated": Annotated, "Dep": Dep}
    exec(f"def total({source}) -> int:\n    return v0 + v9999", names)

    class Start(Node):
        value: int = Dep(names["total"])

    graph, seconds = timed(lambda: Graph(start=Start))

    assert seconds < 5
    assert graph.run(Start()).result.value == 2


def test_a_graph_of_many_nodes_that_all_recall_is_checked_in_reasonable_time():
    count = 400
    names: dict[str, Any] = {"__name__": "many_nodes"}
    lines = ["from typing import Annotated", "from weft import Graph, Node, Recall"]
    lines += ["class N0(Node):", "    text: str", "    async def __call__(self) -> 'N1': ..."]
    for index in range(1, count):
        lines += [
            f"class N{index}(Node):",
            "    text: Annotated[str, Recall()]",
            f"    async def __call__(self) -> 'N{index + 1} | N{max(1, index - 1)}': ...",
        ]
    lines += [f"class N{count}(Node):", "    text: Annotated[str, Recall()]"]
    exec("\n".join(lines), names)

    graph, seconds = timed(lambda: Graph(start=names["N0"]))

    assert len(graph.nodes) == count + 1
    assert seconds < 4
