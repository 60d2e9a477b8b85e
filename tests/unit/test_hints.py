"""Annotations: names become types, unions and aliases are taken apart, and one type fits another or certainly not."""

import functools
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import pytest
from pydantic import BaseModel
from typing_extensions import TypeAliasType

from weft import Node
from weft._hints import (
    MISSING,
    NOWHERE,
    UnknownNameError,
    evaluate,
    fits,
    inner_annotations,
    members,
    plain_type,
    read_callable,
    split,
    substitute,
    surroundings,
    type_arguments,
)

T = TypeVar("T")
S = TypeVar("S")
UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
Alias = TypeAliasType("Alias", int | str)
Nested = TypeAliasType("Nested", Alias | None)


class Animal:
    pass


class Dog(Animal):
    pass


class Talks(Protocol):
    def talk(self) -> str: ...


@runtime_checkable
class Walks(Protocol):
    steps: int


class Row(TypedDict):
    x: int


class Pair(NamedTuple):
    x: int
    y: int


class Shelf(BaseModel, Generic[T]):
    item: T


FITTING = [
    (int, int),
    (int, float),
    (int, complex),
    (float, complex),
    (bool, int),
    (bool, float),
    (Dog, Animal),
    (Dog, object),
    (Dog, Any),
    (Any, Dog),
    (int, MISSING),
    (MISSING, int),
    (T, int),
    (int, T),
    (list[T], list[int]),
    (UserId, int),
    (AdminId, int),
    (UserId, UserId),
    (int, UserId),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a", 1], str | int),
    (Literal[None], None),  # noqa: PYI061
    (None, None),
    (type(None), None),
    (None, int | None),
    (None, Optional[int]),  # noqa: UP045
    (int, Union[int, str]),  # noqa: UP007
    (int | str, Union[str, int]),  # noqa: UP007
    (int | str, int | str | None),
    (int | bool, float),
    (Dog | None, Animal | None),
    (list[int], list[int]),
    (list[int], list),
    (list, list[int]),
    (list[int], list[float]),
    (list[Dog], list[Animal]),
    (list[int], Sequence[int]),
    (list[int], Iterable[Any]),
    (dict[str, int], Mapping[str, int]),
    (dict[str, Any], dict[str, int]),
    (tuple[int, ...], tuple[int, ...]),
    (tuple[int, str], tuple[int, str]),
    (tuple[int, str], tuple),
    (type[Dog], type[Animal]),
    (Callable[[int], str], Callable[[int], str]),
    (Callable[..., Any], Callable[[int], str]),
    (Dog, Talks),
    (Dog, Walks),
    (Row, dict[str, int]),
    (dict[str, int], Row),
    (Row, Row),
    (Pair, tuple[int, int]),
    (Shelf[int], Shelf[int]),
    (Annotated[int, "note"], int),
    (int, Annotated[int, "note"]),
    (Alias, int | str),
    (int, Alias),
    (None, Nested),
    (str, Nested),
    ("Unknown", int),
]
NOT_FITTING = [
    (str, int),
    (int, str),
    (float, int),
    (complex, float),
    (int, bool),
    (Animal, Dog),
    (None, int),
    (int, None),
    (int | None, int),
    (int | str, int),
    (int, str | bytes),
    (list[str], list[int]),
    (list[Animal], list[Dog]),
    (list[int | None], list[int]),
    (dict[str, int], dict[str, str]),
    (list[int], dict[str, int]),
    (set[int], Sequence[int]),
    (Literal["a"], int),
    (Literal["a", "c"], Literal["a", "b"]),
    (Literal["a", 1], str),
    (str, Literal["a"]),
    (type[Animal], type[Dog]),
    (Alias, int),
    (float, UserId),
    (Nested, int | str),
    (Shelf[int], Shelf[str]),
    (Annotated[str, "note"], int),
]


@pytest.mark.parametrize(("given", "wanted"), FITTING, ids=str)
def test_what_may_stand_there_fits(given, wanted):
    assert fits(given, wanted) is True


@pytest.mark.parametrize(("given", "wanted"), NOT_FITTING, ids=str)
def test_what_certainly_cannot_stand_there_does_not_fit(given, wanted):
    assert fits(given, wanted) is False


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, (int,)),
        (None, (type(None),)),
        (int | None, (int, type(None))),
        (Optional[int], (int, type(None))),  # noqa: UP045
        (Union[int, "str"], None),
        (Union[int, str, int], (int, str)),  # noqa: PYI016, UP007
        (Annotated[int | str, "note"], (int, str)),
        (Annotated[int, "a"] | Annotated[str, "b"], (int, str)),
        (Nested, (int, str, type(None))),
        (Alias | bytes, (int, str, bytes)),
        (list[int] | None, (list[int], type(None))),
    ],
    ids=str,
)
def test_members_takes_unions_apart_in_order(annotation, expected):
    if expected is None:
        annotation, expected = evaluate(annotation, {}), (int, str)

    assert members(annotation) == expected


def test_plain_type_opens_aliases_and_new_types_and_leaves_the_rest():
    assert plain_type(AdminId) is int
    assert plain_type(Annotated[UserId, "note"]) is int
    assert plain_type(Alias) == int | str
    assert plain_type(list[UserId]) == list[UserId]


def test_split_keeps_the_metadata_in_order():
    hint = split(Annotated[Annotated[int, "inner"], "outer"])

    assert (hint.type, hint.metadata) == (int, ("inner", "outer"))
    assert split(int).metadata == ()


def test_inner_annotations_sees_metadata_at_any_depth():
    assert "note" in list(inner_annotations(dict[str, list[Annotated[int, "note"]]]))
    assert list(inner_annotations(int)) == []


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", int),
        ("Dog | None", Dog | None),
        ("Optional[Dog]", Optional[Dog]),  # noqa: UP045
        (list["Dog"], list[Dog]),
        ("list['Dog']", list[Dog]),
        (type["Dog"] | type["Animal"], type[Dog] | type[Animal]),
        (Union["Dog", "Animal"], Union[Dog, Animal]),  # noqa: UP007
        ("Annotated[Dog, 'note']", Annotated[Dog, "note"]),
        (None, type(None)),
        ("None", type(None)),
        (dict[str, "list[Dog]"], dict[str, list[Dog]]),
    ],
    ids=str,
)
def test_strings_are_looked_up_wherever_they_stand(annotation, expected):
    assert evaluate(annotation, globals()) == expected


@pytest.mark.parametrize("annotation", ["Nowhere", "list[Nowhere]", list["Nowhere"], "Dog | Nowhere"])  # noqa: F821
def test_a_name_that_is_nowhere_is_named(annotation):
    with pytest.raises(UnknownNameError) as caught:
        evaluate(annotation, globals())

    assert (caught.value.name, caught.value.annotation) == ("Nowhere", annotation)


@pytest.mark.parametrize("annotation", ["not python", "Dog.nothing", "Dog[int]", "3 +"])
def test_a_string_that_is_no_type_is_an_unknown_name_and_nothing_else(annotation):
    with pytest.raises(UnknownNameError):
        evaluate(annotation, globals())


def test_type_variables_are_substituted_wherever_they_stand():
    values = {T: int, S: str}

    assert substitute(T, values) is int
    assert substitute(list[T], values) == list[int]
    assert substitute(dict[S, list[T]] | None, values) == dict[str, list[int]] | None
    assert substitute(int, values) is int
    assert substitute(list[T], {}) == list[T]


class One(Node, Generic[T]):
    item: T


class Two(One[S], Generic[S]):
    pass


class Three(Two[int]):
    pass


def test_type_arguments_follow_every_generic_base():
    assert type_arguments(One[int])[T] is int
    assert type_arguments(One) == {}
    assert type_arguments(Two[int])[S] is int
    assert type_arguments(Two[int])[T] is int
    assert type_arguments(Three)[T] is int


# --- Callables -------------------------------------------------------------------------------------------------------


def function(a: int, /, b: "Dog", *args: Any, c: str = "c", **kwargs: Any) -> "Dog | None": ...


class Caller:
    def __call__(self, a: int) -> "Dog": ...

    def method(self, a: int) -> "Dog": ...

    @classmethod
    def by_class(cls, a: int) -> "Dog": ...

    @staticmethod
    def static(a: int) -> "Dog": ...


class Made:
    def __init__(self, a: "int") -> None: ...


class ByNew:
    def __new__(cls, a: int) -> "ByNew":  # noqa: PYI034
        return super().__new__(cls)


def told(thing):
    hints = read_callable(thing)
    shown = {each.name: hints.hint(each.annotation, NOWHERE).type for each in hints.parameters}
    return shown, hints.hint(hints.returns, NOWHERE).type


def test_a_functions_signature_is_read_without_star_parameters():
    hints = read_callable(function)

    assert [(each.name, each.by_position) for each in hints.parameters] == [("a", True), ("b", False), ("c", False)]
    assert [each.default for each in hints.parameters] == [MISSING, MISSING, "c"]
    assert told(function) == ({"a": int, "b": Dog, "c": str}, Dog | None)


@pytest.mark.parametrize(
    "thing",
    [
        Caller(),
        Caller().method,
        Caller.by_class,
        Caller.static,
        functools.partial(Caller().method),
        functools.partial(Caller()),
        functools.wraps(Caller.static)(lambda *args: None),
        functools.cache(Caller.static),
    ],
    ids=["object", "method", "classmethod", "staticmethod", "partial", "partial of object", "wraps", "cache"],
)
def test_every_kind_of_callable_is_read_by_its_annotations(thing):
    assert told(thing) == ({"a": int}, Dog)


def test_a_partials_bound_arguments_are_not_needed():
    hints = read_callable(functools.partial(Caller.static, 1))
    named = read_callable(functools.partial(Caller.static, a=1))

    assert hints.parameters == ()
    assert [each.default for each in named.parameters] == [1]


@pytest.mark.parametrize("cls", [Made, ByNew, Shelf[int], Pair])
def test_a_class_returns_itself(cls):
    assert read_callable(cls).returns is cls


def test_a_class_takes_what_its_constructor_takes():
    assert told(Made)[0] == {"a": int}
    assert told(ByNew)[0] == {"a": int}


@pytest.mark.parametrize("thing", [dict, int, print, "x".join])
def test_a_built_in_is_read_as_far_as_it_tells(thing):
    read_callable(thing)


def test_a_lambda_says_nothing_of_types():
    hints = read_callable(lambda: 3)

    assert (hints.parameters, hints.returns) == ((), MISSING)


def test_names_of_a_closure_are_found():
    class Local:
        pass

    def inner() -> "Local":
        return Local()

    assert read_callable(inner).closure["Local"] is Local
    assert told(inner)[1] is Local


def test_the_returned_type_of_generators_and_coroutines_is_kept_as_written():
    async def coroutine() -> int: ...
    def awaitable() -> Awaitable[int]: ...
    async def resource() -> AsyncIterator[int]:
        yield 1

    assert [read_callable(each).returns for each in (coroutine, awaitable, resource)] == [
        int,
        Awaitable[int],
        AsyncIterator[int],
    ]


# --- Surroundings ----------------------------------------------------------------------------------------------------


def test_surroundings_hold_local_and_module_names():
    class Local:
        pass

    around = surroundings(0).names()

    assert around["Local"] is Local
    assert around["Dog"] is Dog


def test_surroundings_of_a_module_are_live():
    namespace = {"__name__": "made", "surroundings": surroundings}
    exec("around = surroundings(0)\nlater = 3", namespace)

    assert namespace["around"].names()["later"] == 3


def test_local_values_do_not_outlive_their_function():
    def make():
        class Local:
            pass

        return Local, surroundings(0)

    local, around = make()
    assert around.names()["Local"] is local
    del local
    gc.collect()

    assert "Local" not in around.names()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is new in 3.12")
def test_pep_695_aliases_and_functions_are_read():
    namespace: dict[str, Any] = {}
    exec("type Both = int | str\ndef first[V](items: list[V]) -> V: ...", namespace)

    hints = read_callable(namespace["first"])
    variable = namespace["first"].__type_params__[0]

    assert members(namespace["Both"]) == (int, str)
    assert fits(namespace["Both"], int) is False
    assert hints.hint("V", NOWHERE).type is variable
