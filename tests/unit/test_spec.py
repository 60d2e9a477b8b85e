"""A node class and a function, read once into what the rest goes by."""

import functools
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from weft import LM, Dep, Graph, GraphError, Node, NodeConfig, Recall
from weft._faults import buried_marker
from weft._hints import Surroundings
from weft._spec import InjectLM, Reader, kind_of, recalled, spec_of


def get_int() -> int:
    return 1


class Filled(Node):
    """For people."""

    dep: Annotated[int, Dep(get_int), Field(ge=0)]
    text: str = Field(description="a hint", min_length=2)
    recalled: Annotated[str, Recall()]
    number: int = 3


def names_of_needs(spec):
    return [need.name for need in spec.needs]


# --- Nodes -----------------------------------------------------------------------------------------------------------


def test_a_node_is_read_once():
    assert spec_of(Filled) is spec_of(Filled)


def test_a_subclass_is_read_for_itself():
    class More(Filled):
        more: int = Dep(get_int)

    assert names_of_needs(spec_of(Filled)) == ["dep", "recalled"]
    assert names_of_needs(spec_of(More)) == ["dep", "recalled", "more"]
    assert spec_of(More).node is More


def test_needs_and_plain_fields_keep_the_order_of_declaration():
    assert names_of_needs(spec_of(Filled)) == ["dep", "recalled"]
    assert list(spec_of(Filled).plain) == ["text", "number"]


def test_validated_values_keep_the_order_of_declaration():
    names = [f"field_{number}" for number in range(20)]
    annotations = {name: Annotated[int, Dep(get_int)] for name in names}
    wide = type("Wide", (Node,), {"__annotations__": annotations, "__module__": __name__})

    assert list(spec_of(wide).validate_injected(dict.fromkeys(names, 1))) == names


def test_the_instruction_is_the_name_or_what_node_config_says():
    class Said(Node):
        node_config = NodeConfig(instruction="Say it.")

    assert (spec_of(Filled).instruction, spec_of(Said).instruction) == ("Filled", "Say it.")


def test_the_schema_holds_plain_fields_their_constraints_and_descriptions():
    assert spec_of(Filled).schema == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 2, "description": "a hint"},
            "number": {"type": "integer", "default": 3},
        },
        "required": ["text"],
    }


def test_the_schema_of_recursive_models_is_complete_and_without_docstrings():
    class Tree(BaseModel):
        """A SECRET."""

        children: list["Tree"] = Field(default=[], description="below")

    class Holder(Node):
        tree: Tree
        dep: int = Dep(get_int)

    schema = spec_of(Holder).schema

    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"]["children"]["description"] == "below"
    assert "SECRET" not in json.dumps(schema)


def test_the_schema_knows_what_its_fields_share_and_nothing_of_what_dependencies_are_made_of():
    class Place(BaseModel):
        name: str

    class Way(BaseModel):
        start: Place
        end: Place

    class Client(BaseModel):
        home: Place

    class Trip(Node):
        there: Way
        back: Way = Way(start=Place(name="b"), end=Place(name="a"))
        client: Client = Dep(Client)
        other: Client = Dep(Client)

    written = spec_of(Trip).written

    assert {each["cls"] for each in written["definitions"]} == {Way, Place}
    assert set(spec_of(Trip).schema["$defs"]) == {"Way", "Place"}


def test_a_node_that_holds_itself_has_a_schema_of_its_plain_fields():
    class Chain(Node):
        """A SECRET."""

        following: "Chain | None" = None
        dep: int = Dep(get_int)

    spec = spec_of(Chain)
    built = spec.build({"dep": 4}, json.dumps({"following": {"following": None}}))

    assert "SECRET" not in json.dumps(spec.schema)
    assert list(spec.schema["properties"]) == ["following"]
    assert built.dep == 4
    assert repr(built.following) == "Chain(following=None, dep=<unresolved>)"


def test_building_takes_injected_values_as_they_are():
    class Counted(Node):
        dep: int = Dep(get_int)
        text: str

        @field_validator("dep")
        @classmethod
        def _add_one(cls, value: int) -> int:
            return value + 1

    spec = spec_of(Counted)
    injected = spec.validate_injected({"dep": "1"})
    node = spec.build(injected, '{"text": "a"}')

    assert injected == {"dep": 2}
    assert (node.dep, node.text, node.model_fields_set) == (2, "a", {"dep", "text"})


def test_building_checks_what_the_answer_says():
    with pytest.raises(ValidationError) as caught:
        spec_of(Filled).build({"dep": 1, "recalled": "r"}, '{"text": "a"}')

    assert [error["loc"] for error in caught.value.errors()] == [("text",)]


def test_injected_values_are_checked_by_their_own_field():
    with pytest.raises(ValidationError) as caught:
        spec_of(Filled).validate_injected({"dep": -1, "recalled": 3})

    assert {error["loc"] for error in caught.value.errors()} == {("dep",), ("recalled",)}
    assert spec_of(Filled).validate_injected({}) == {}
    assert spec_of(Filled).validate_injected({"recalled": "r"}) == {"recalled": "r"}


def test_putting_values_in_leaves_the_original_alone():
    node = Filled(text="ab")

    again = spec_of(Filled).with_injected(node, {"dep": 1, "recalled": "r"})

    assert repr(node) == "Filled(dep=<unresolved>, text='ab', recalled=<unresolved>, number=3)"
    assert again == Filled(text="ab", dep=1, recalled="r")


def test_a_marker_inside_a_type_is_found():
    class Buried(Node):
        inside: list[Annotated[int, Dep(get_int)]]
        deep: dict[str, list[Annotated[int, Recall()]]]
        right: Annotated[list[int], Dep(list)]

    assert buried_marker(Buried) == ["inside", "deep"]


# --- Recall ----------------------------------------------------------------------------------------------------------


class Animal:
    pass


class Dog(Animal):
    pass


class Visited(Node):
    dog: Dog
    words: list[str]
    maybe: int | None
    first: str
    second: str
    made: float = Dep(lambda: 1.0)


class Younger(Visited):
    pass


@pytest.mark.parametrize(
    ("arguments", "wanted", "expected"),
    [
        ((), Visited, (None,)),
        ((), Dog, ("dog",)),
        ((), Animal, ("dog",)),
        ((), list[str], ("words",)),
        ((), list[int], ()),
        ((), list, ()),
        ((), int | None, ("maybe",)),
        ((), int, ()),
        ((), str, ("first", "second")),
        ((), float, ()),
        (("first",), str, ("first",)),
        (("none",), str, ()),
        ((Visited,), Visited, (None,)),
        ((Visited,), Animal, ("dog",)),
        ((Visited, "second"), str, ("second",)),
        ((Visited, "none"), str, ()),
        ((Filled,), Dog, ()),
        ((Filled, "first"), str, ()),
    ],
    ids=str,
)
def test_what_a_recall_means_of_a_visited_node(arguments, wanted, expected):
    marker = Recall(*arguments).metadata[0]

    assert recalled(marker, wanted, Visited) == expected
    assert recalled(marker, wanted, Younger) == expected


def test_a_base_class_is_not_the_node_that_is_recalled():
    assert recalled(Recall().metadata[0], Younger, Visited) == ()
    assert recalled(Recall(Younger).metadata[0], Dog, Visited) == ()


# --- Functions -------------------------------------------------------------------------------------------------------


class Called:
    def __init__(self, kind="sync"):
        self.kind = kind

    def __call__(self) -> int:
        return 1


class CalledAsync:
    async def __call__(self) -> int:
        return 1


class CalledGenerator:
    def __call__(self) -> Iterator[int]:
        yield 1


class CalledAsyncGenerator:
    async def __call__(self) -> AsyncIterator[int]:
        yield 1


KINDS = [
    (get_int, "sync"),
    (Called(), "sync"),
    (Called, "sync"),
    (Called().__call__, "sync"),
    (CalledAsync(), "async"),
    (CalledAsync, "sync"),
    (CalledAsync().__call__, "async"),
    (functools.partial(CalledAsync().__call__), "async"),
    (functools.partial(CalledAsync()), "async"),
    (functools.partial(CalledGenerator()), "generator"),
    (CalledGenerator(), "generator"),
    (CalledGenerator().__call__, "generator"),
    (functools.partial(CalledGenerator().__call__), "generator"),
    (CalledGenerator, "sync"),
    (CalledAsyncGenerator(), "async generator"),
    (functools.partial(CalledAsyncGenerator().__call__), "async generator"),
    (lambda: (yield), "generator"),
    (lambda: 1, "sync"),
    (int, "sync"),
    (len, "sync"),
]


@pytest.mark.parametrize(
    ("function", "kind"), KINDS, ids=[f"{number}-{kind}" for number, (_, kind) in enumerate(KINDS)]
)
def test_how_a_callable_is_to_be_called(function, kind):
    assert kind_of(function) == kind


def read(function):
    reader = Reader(Surroundings(globals(), {}))
    return reader.read(function), [str(fault) for fault in reader.faults]


def test_parameters_are_needs_by_dep_recall_or_lm():
    def use(  # noqa: PLR0917
        a: Annotated[int, Dep(get_int)],
        /,
        b: Annotated[str, Recall("text")],
        lm: LM,
        c: int = Dep(get_int),
        d: str = Recall(),
        e: int = 3,
        *args: Any,
        f: "Annotated[int, Dep(get_int)]",
        **kwargs: Any,
    ) -> int: ...

    spec, faults = read(use)

    assert faults == []
    assert names_of_needs(spec) == ["a", "b", "lm", "c", "d", "f"]
    assert [need.by_position for need in spec.needs] == [True, False, False, False, False, False]
    assert isinstance(spec.needs[2].source, InjectLM)
    assert [need.type for need in spec.needs] == [int, str, LM, int, str, int]


def test_the_first_parameter_of_a_method_is_left_to_the_caller():
    def body(self, x: Annotated[int, Dep(get_int)]) -> int: ...

    reader = Reader()

    assert names_of_needs(reader.read(body, skipped=1)) == ["x"]
    assert reader.faults == []


@pytest.mark.parametrize(
    ("annotation", "is_generator", "expected"),
    [
        (int, False, int),
        (Awaitable[int], False, int),
        (Iterator[int], False, Iterator[int]),
        (Iterator[int], True, int),
    ],
    ids=str,
)
def test_what_a_function_gives(annotation, is_generator, expected):
    def plain() -> annotation: ...

    def resource() -> annotation:
        yield 1

    spec, faults = read(resource if is_generator else plain)

    assert (spec.returns, faults) == (expected, [])


def test_functions_are_read_once_a_reader():
    reader = Reader()

    assert reader.function(get_int) is reader.function(get_int)


def test_partials_of_one_function_are_told_apart_by_how_they_call_it():
    def use(a: Annotated[int, Dep(get_int)], b: Annotated[int, Dep(get_int)], c: int = 0) -> int: ...
    def by_position(a: int, b: Annotated[int, Dep(get_int)], c: int = 0, /) -> int: ...

    reader = Reader()
    signed = functools.partial(use, 1)
    signed.__signature__ = inspect.signature(get_int)  # type: ignore[attr-defined]
    alike = [functools.partial(use, 1), functools.partial(use, 2)]
    others = [use, functools.partial(use), functools.partial(use, 1, 2), signed]
    defaults = [functools.partial(by_position, 1), functools.partial(by_position, 2)]

    needs = [names_of_needs(reader.function(each)) for each in (*alike, *others, *defaults)]

    assert needs == [["b"], ["b"], ["a", "b"], ["a", "b"], [], [], ["b"], ["b"]]
    assert [reader.function(each).function for each in (*alike, *others)] == [*alike, *others]
    assert reader.faults == []


def test_what_partials_of_one_function_lack_is_told_once():
    def use(a: int, b: int) -> int: ...

    class Start(Node):
        x: int = Dep(functools.partial(use, 1))
        y: int = Dep(functools.partial(use, 2))

    with pytest.raises(GraphError) as caught:
        Graph(start=Start)

    assert [(fault.field_name, fault.message) for fault in caught.value.faults] == [
        ("use(b)", "nothing provides this required parameter")
    ]


def test_a_bare_iterator_annotation_is_a_fault_or_any_value_but_no_crash():
    def bare() -> Iterator:
        yield 1

    spec, _ = read(bare)

    assert spec.kind == "generator"
