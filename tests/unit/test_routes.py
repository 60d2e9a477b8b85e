"""Where a node leads: every way to write its return annotation, and every place to write it in."""

import functools
import sys
from types import ModuleType
from typing import Annotated, Any, Generic, Optional, TypeVar, Union

import pytest
from typing_extensions import TypeAliasType

from weft import BaseLM, Dep, Graph, GraphError, LMResponse, Node, Recall

T = TypeVar("T")
S = TypeVar("S")


class A(Node):
    pass


class B(Node):
    pass


class C(Node):
    async def __call__(self) -> None: ...


Either = TypeAliasType("Either", A | B)
OldAlias = A | B


class First(BaseLM):
    """Chooses the first candidate, and writes nothing."""

    async def generate(self, request, on_partial=None):
        return LMResponse({"choice": request.options[0].name} if request.kind == "choose" else {})


def routing(annotation):
    async def __call__(self) -> annotation: ...  # noqa: N807

    return type("Start", (Node,), {"__call__": __call__, "__module__": __name__})


# --- Annotations -----------------------------------------------------------------------------------------------------

ANNOTATIONS = [
    (A, {A}, False),
    ("A", {A}, False),
    (A | B, {A, B}, False),
    ("A | B", {A, B}, False),
    (A | None, {A}, True),
    ("A | B | None", {A, B}, True),
    (Optional[A], {A}, True),  # noqa: UP045
    ("Optional[A]", {A}, True),
    (Union[A, B], {A, B}, False),  # noqa: UP007
    (Union["A", "B", None], {A, B}, True),
    (None, set(), True),
    ("None", set(), True),
    (type(None), set(), True),
    (type[A], {A}, False),
    (type[A] | type[B], {A, B}, False),
    ("type[A] | type[B] | None", {A, B}, True),
    (type["A"] | type["B"], {A, B}, False),
    (type[A | B], {A, B}, False),
    (Optional[type[A]], {A}, True),  # noqa: UP045
    (Annotated[A | B, "a note"], {A, B}, False),
    (Either, {A, B}, False),
    ("Either | None", {A, B}, True),
    ("OldAlias", {A, B}, False),
]


@pytest.mark.parametrize(
    ("annotation", "successors", "is_terminal"), ANNOTATIONS, ids=[str(annotation) for annotation, *_ in ANNOTATIONS]
)
def test_every_way_to_write_an_edge(annotation, successors, is_terminal):
    cls = routing(annotation)

    assert cls.successors() == successors
    assert cls.is_terminal() is is_terminal
    assert Graph(start=cls).edges[cls] == successors


@pytest.mark.parametrize("annotation", [type[A], type[A] | type[B], Optional[type[A]], type[A | B]], ids=str)  # noqa: UP045
def test_an_annotation_of_classes_is_known_as_such(annotation):
    cls = routing(annotation)

    assert Graph(start=cls).topology.visits[cls].route.returns_class is True


def test_a_class_without_call_is_terminal():
    class Last(Node):
        words: str = ""

    assert (Last.successors(), Last.is_terminal()) == (set(), True)


def test_none_is_a_terminal_that_inherits_nothing():
    class Stops(C):
        pass

    assert (Stops.successors(), Stops.is_terminal()) == (set(), True)


def test_candidates_keep_the_order_of_the_annotation():
    cls = routing(B | A | None)

    assert Graph(start=cls).topology.visits[cls].offered == (B, A, None)


def test_code_that_returns_a_class_lets_the_lm_fill_it():
    class Start(Node):
        async def __call__(self) -> type[A] | type[B]:
            return B

    assert Graph(start=Start).run(Start(), lm=First()).result == B()


# --- Inherited and generic -------------------------------------------------------------------------------------------


def test_an_inherited_call_leads_where_it_did():
    class Base(Node):
        async def __call__(self) -> "A | Base": ...

    class Derived(Base):
        extra: int = 0

    assert Derived.successors() == {A, Base}
    assert Graph(start=Derived).nodes == {Derived, Base, A}


def test_an_overriding_call_leads_elsewhere():
    class Base(Node):
        async def __call__(self) -> A: ...

    class Derived(Base):
        async def __call__(self) -> B: ...

    assert Graph(start=Base).nodes == {Base, A}
    assert Graph(start=Derived).nodes == {Derived, B}


class Step(Node, Generic[T]):
    async def __call__(self) -> T: ...


class OrStop(Node, Generic[T]):
    async def __call__(self) -> "T | None": ...


class Both(Node, Generic[T, S]):
    async def __call__(self) -> Union[T, S]: ...  # noqa: UP007


class Renamed(Step[S], Generic[S]):
    pass


class Swapped(Both[S, T], Generic[T, S]):
    pass


class Concrete(Renamed[A]):
    pass


@pytest.mark.parametrize(
    ("cls", "successors"),
    [
        (Step[A], {A}),
        (Step[A | B], {A, B}),
        (OrStop[A], {A}),
        (Both[A, B], {A, B}),
        (Renamed[A], {A}),
        (Concrete, {A}),
        (Swapped[A, B], {A, B}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_type_variable_leads_where_its_argument_says(cls, successors):
    assert cls.successors() == successors
    assert Graph(start=cls).edges[cls] == successors


def test_a_generic_that_may_stop_is_terminal():
    assert OrStop[A].is_terminal() is True
    assert Step[A | None].is_terminal() is True


class Box(Node, Generic[T]):
    item: T

    async def __call__(self) -> "Unpacked[T]": ...


class Unpacked(Node, Generic[T]):
    item: Annotated[T, Recall()]


class Loop(Node, Generic[T]):
    item: T

    async def __call__(self) -> "Loop[T] | Unpacked[T] | None": ...


class Listed(Node, Generic[T]):
    item: T

    async def __call__(self) -> "Unpacked[list[T]] | Box[T]": ...


def test_an_edge_to_a_generic_node_takes_the_argument_along():
    assert Box[int].successors() == {Unpacked[int]}
    assert Graph(start=Box[int]).nodes == {Box[int], Unpacked[int]}
    assert Graph(start=Box[int]).run(Box[int](item=3), lm=First()).result == Unpacked[int](item=3)


def test_a_generic_node_can_lead_to_itself():
    assert Graph(start=Loop[int]).edges[Loop[int]] == {Loop[int], Unpacked[int]}


def test_an_argument_inside_an_argument_is_taken_along():
    assert Listed[int].successors() == {Unpacked[list[int]], Box[int]}


def test_a_subclass_of_a_generic_takes_its_argument_along():
    class IntBox(Box[int]):
        pass

    assert IntBox.successors() == {Unpacked[int]}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is new in 3.12")
def test_pep_695_nodes_work():
    namespace: dict[str, Any] = {"__name__": __name__, **globals()}
    exec(
        "class New[V](Node):\n"
        "    item: V\n"
        "    async def __call__(self) -> 'Next[V]': ...\n"
        "class Next[V](Node):\n"
        "    item: 'Annotated[V, Recall()]'\n"
        "class Choice[V, W](Node):\n"
        "    async def __call__(self) -> V | W: ...\n"
        "type Alias = A | B\n"
        "class Aliased(Node):\n"
        "    async def __call__(self) -> Alias: ...\n",
        namespace,
    )
    new, following, choice = namespace["New"], namespace["Next"], namespace["Choice"]

    assert new[int].successors() == {following[int]}
    assert Graph(start=new[int]).run(new[int](item=3), lm=First()).result.item == 3
    assert choice[A, B].successors() == {A, B}
    assert namespace["Aliased"].successors() == {A, B}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is new in 3.12")
def test_pep_695_nodes_made_in_a_function_find_the_names_around_them():
    namespace: dict[str, Any] = {"__name__": __name__, **globals()}
    exec(
        "def make():\n"
        "    class Local(Node): pass\n"
        "    class New[V](Node):\n"
        "        item: V\n"
        "        async def __call__(self) -> 'Local': ...\n"
        "    return New, Local\n",
        namespace,
    )

    new, local = namespace["make"]()

    assert new[int].successors() == {local}


# --- Where names are looked up ---------------------------------------------------------------------------------------


def test_a_class_defined_later_in_a_function_is_found_by_the_graph():
    class Start(Node):
        async def __call__(self) -> "Later": ...

    class Later(Node):
        pass

    graph = Graph(start=Start)

    assert graph.edges == {Start: {Later}, Later: set()}
    assert Start.successors() == {Later}


def test_before_there_is_a_graph_a_later_class_is_a_fault_that_names_it():
    class Start(Node):
        async def __call__(self) -> "NotYet": ...  # noqa: F821

    with pytest.raises(GraphError) as caught:
        Start.successors()

    assert str(caught.value) == (
        "Start.__call__: the name 'NotYet' cannot be found. "
        "Define or import it before the Graph is made; names are looked up there and where the class is made."
    )
    with pytest.raises(GraphError):
        Start.is_terminal()


def test_a_local_class_hides_the_modules_class_of_the_same_name():
    class A(Node):
        number: int = 0

    class Start(Node):
        async def __call__(self) -> "A": ...

    assert Start.successors() == {A}
    assert Graph(start=Start).nodes == {Start, A}


def test_a_class_that_bears_a_module_names_name_means_itself():
    class A(Node):
        async def __call__(self) -> "A | None": ...

    assert A.successors() == {A}


def test_a_nested_functions_class_finds_the_enclosing_functions_classes():
    class Outer(Node):
        pass

    def make():
        class Start(Node):
            async def __call__(self) -> "Outer": ...

        return Start, Outer

    start, outer = make()

    assert Graph(start=start).nodes == {start, outer}


def test_a_graph_with_type_arguments_looks_where_it_is_made_too():
    class Start(Node):
        async def __call__(self) -> "Later": ...

    class Later(Node):
        pass

    assert Graph[Start, Later](start=Start, end=Later).nodes == {Start, Later}


def test_a_class_found_when_the_graph_was_made_stays_found_elsewhere():
    def make():
        class Start(Node):
            async def __call__(self) -> "Later": ...

        class Later(Node):
            pass

        return Graph(start=Start), Start, Later

    graph, start, later = make()

    assert start.successors() == {later}
    assert graph.run(start(), lm=First()).result == later()
    with graph.override({}):
        assert graph.nodes == {start, later}


def test_an_override_keeps_the_names_of_the_graph():
    def get_number() -> int:
        return 1

    class Start(Node):
        async def __call__(self) -> "Later": ...

    class Later(Node):
        number: int = Dep(get_number)

    def run_elsewhere(graph, start, function):
        with graph.override({function: lambda: 2}):
            return graph.run(start, lm=First()).result.number

    assert run_elsewhere(Graph(start=Start), Start(), get_number) == 2


FUTURE = """
from __future__ import annotations
from typing import Annotated, Optional
from weft import Dep, Graph, Node, Recall

def get_number() -> int:
    return 3

class Start(Node):
    text: str = "t"
    async def __call__(self) -> Left | Optional[Right]: ...

class Left(Node):
    number: Annotated[int, Dep(get_number)]
    text: Annotated[str, Recall()]
    async def __call__(self) -> type[Right] | None: ...

class Right(Node):
    pass
"""


@pytest.mark.parametrize("registered", [True, False])
def test_future_annotations_work_in_exec_with_and_without_a_module(registered, monkeypatch):
    module = ModuleType("future_nodes")
    if registered:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(FUTURE, module.__dict__)

    graph = Graph(start=module.Start)

    assert graph.edges == {module.Start: {module.Left, module.Right}, module.Left: {module.Right}, module.Right: set()}
    assert graph.terminal_nodes == {module.Start, module.Left, module.Right}
    assert module.Left.successors() == {module.Right}


def test_exec_with_two_namespaces_works():
    module: dict[str, Any] = {"__name__": "two_namespaces"}
    local: dict[str, Any] = {}
    exec(FUTURE.replace("Dep(get_number)", "Dep(int)"), module, local)
    exec("graph = Graph(start=Start)", module, local)

    assert {cls.__name__ for cls in local["graph"].nodes} == {"Start", "Left", "Right"}


def test_future_annotations_work_in_a_function():
    module: dict[str, Any] = {"__name__": "in_a_function"}
    body = "\n".join(f"    {line}" for line in FUTURE.splitlines()[3:])
    exec(f"{FUTURE[: FUTURE.index('def ')]}def make():\n{body}\n    return Graph(start=Start)\n", module)

    graph = module["make"]()

    assert {cls.__name__: {each.__name__ for each in following} for cls, following in graph.edges.items()} == {
        "Start": {"Left", "Right"},
        "Left": {"Right"},
        "Right": set(),
    }


def test_a_redefined_class_is_the_one_meant():
    module: dict[str, Any] = {"__name__": "redefining"}
    exec("from weft import Graph, Node", module)
    exec("class Start(Node):\n    async def __call__(self) -> 'Later': ...", module)
    exec("class Later(Node):\n    old: int = 1", module)
    old_graph = module["Graph"](start=module["Start"])
    old = module["Later"]
    exec("class Later(Node):\n    new: int = 1", module)

    new_graph = Graph(start=module["Start"])

    assert module["Later"] is not old
    assert (old in old_graph.nodes, old in new_graph.nodes) == (True, False)
    assert module["Later"] in new_graph.nodes
    assert module["Start"].successors() == {module["Later"]}


def test_the_first_graph_keeps_its_edges_when_a_class_is_redefined():
    module: dict[str, Any] = {"__name__": "redefining_again"}
    exec("from weft import Graph, Node", module)
    exec("class Start(Node):\n    async def __call__(self) -> 'Later': ...", module)
    exec("class Later(Node):\n    old: int = 1", module)
    graph, old = Graph(start=module["Start"]), module["Later"]
    exec("class Later(Node):\n    new: int = 1", module)
    Graph(start=module["Start"])

    assert graph.run(module["Start"](), lm=First()).result == old()


def test_classes_made_by_a_factory_keep_their_own_neighbours():
    def make(number):
        class Target(Node):
            n: int = number

        class Start(Node):
            async def __call__(self) -> "Target": ...

        return Start, Target

    (first, first_target), (second, second_target) = make(1), make(2)

    assert Graph(start=first).nodes == {first, first_target}
    assert Graph(start=second).nodes == {second, second_target}
    assert first.successors() == {first_target}


def test_a_wrapped_call_finds_its_own_names():
    def logged(function):
        @functools.wraps(function)
        async def wrapper(self):
            return await function(self)

        return wrapper

    class Target(Node):
        pass

    class Start(Node):
        @logged
        async def __call__(self) -> "Target": ...

    assert Start.successors() == {Target}
