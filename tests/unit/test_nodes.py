"""What a Node declares: where its fields come from, and that it stays a Pydantic model in every other way."""

import copy
import gc
import json
import pickle
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from weft import (
    BaseLM,
    Dep,
    DepError,
    Graph,
    GraphError,
    LMResponse,
    Node,
    NodeConfig,
    Recall,
    UnresolvedFieldError,
    classify_fields,
)

T = TypeVar("T")


def get_three() -> int:
    return 3


def get_text() -> str:
    return "three"


class Connection:
    """Something JSON does not know."""


def get_connection() -> Connection:
    return Connection()


class Both(Node):
    plain: int
    annotated: Annotated[int, Dep(get_three)]
    assigned: int = Dep(get_three)


class Earlier(Node):
    number: int
    text: str = "said"
    maybe: int | None = None

    async def __call__(self) -> "Remembering": ...


class Remembering(Node):
    annotated: Annotated[str, Recall()]
    assigned: Earlier = Recall()
    maybe: int | None = Recall()


class Frozen(Node):
    model_config = ConfigDict(frozen=True)
    plain: int
    dep: int = Dep(get_three)


class Told(BaseLM):
    """Answers every fill with the same fields, and keeps what it was asked."""

    def __init__(self, **fields):
        self.fields = fields
        self.requests = []

    async def generate(self, request, on_partial=None):
        self.requests.append(request)
        if request.kind == "choose":
            return LMResponse({"choice": request.options[0].name})
        return LMResponse(self.fields)


def resolved(node: Node) -> Any:
    return Graph(start=type(node)).run(node).result


# --- Both forms ------------------------------------------------------------------------------------------------------


def test_classify_fields_names_the_source_of_each_field_in_both_forms():
    assert classify_fields(Both) == {"plain": "plain", "annotated": "dep", "assigned": "dep"}
    assert classify_fields(Remembering) == {"annotated": "recall", "assigned": "recall", "maybe": "recall"}


def test_both_forms_resolve_alike():
    result = resolved(Both(plain=1))

    assert result == Both(plain=1, annotated=3, assigned=3)


class WithConstraints(Node):
    field_before: Annotated[int, Field(ge=0, description="before"), Dep(get_three)]
    field_after: Annotated[int, Dep(get_three), Field(ge=0, description="after")]
    field_and_default: Annotated[int, Field(ge=0, description="mixed")] = Dep(get_three)
    dep_and_field: Annotated[int, Dep(get_three)] = Field(ge=0, description="assigned")


@pytest.mark.parametrize("name", WithConstraints.model_fields)
def test_every_way_to_add_a_field_keeps_dep_and_constraints(name):
    assert classify_fields(WithConstraints)[name] == "dep"
    assert WithConstraints.model_fields[name].description in ("before", "after", "mixed", "assigned")
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        WithConstraints(**{name: -1})
    assert resolved(WithConstraints()).model_dump()[name] == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda minus: Annotated[int, Field(ge=0), Dep(minus)],
        lambda minus: Annotated[int, Dep(minus), Field(ge=0)],
    ],
)
def test_a_dependencys_value_must_meet_the_fields_constraints(make):
    def get_minus() -> int:
        return -1

    class Strict(Node):
        value: make(get_minus)

    with pytest.raises(DepError) as caught:
        resolved(Strict())

    assert caught.value.field_name == "value"
    assert "greater than or equal to 0" in str(caught.value)


def test_dep_inside_a_validator_chain_is_still_found():
    class Chained(Node):
        value: Annotated[int, BeforeValidator(lambda value: value + 1), Dep(get_three), Field(le=4)]

    assert resolved(Chained()).value == 4


def test_a_recall_in_both_forms_reads_the_trace():
    lm = Told()

    result = Graph(start=Earlier).run(Earlier(number=2), lm=lm).result

    assert result.model_dump() == {
        "annotated": "said",
        "assigned": {"number": 2, "text": "said", "maybe": None},
        "maybe": None,
    }
    assert lm.requests == []


# --- Unresolved ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["annotated", "assigned"])
def test_reading_an_unresolved_field_names_it(name):
    node = Both(plain=1)

    with pytest.raises(UnresolvedFieldError) as caught:
        getattr(node, name)

    assert isinstance(caught.value, AttributeError)
    assert (caught.value.node_type, caught.value.field_name, caught.value.name) == (Both, name, name)
    assert str(caught.value) == (
        f"Both.{name}: is not resolved yet. A run resolves it; outside a run, pass it to the constructor."
    )
    assert not hasattr(node, name)
    assert getattr(node, name, "else") == "else"


def test_an_unknown_attribute_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'") as caught:
        Both(plain=1).nothing  # noqa: B018

    assert not isinstance(caught.value, UnresolvedFieldError)


def test_repr_and_str_show_what_is_unresolved_in_the_order_of_declaration():
    node = Both(plain=1, assigned=4)

    assert repr(node) == "Both(plain=1, annotated=<unresolved>, assigned=4)"
    assert str(node) == "plain=1 annotated=<unresolved> assigned=4"


def test_dumps_omit_what_is_unresolved():
    node = Both(plain=1, assigned=4)

    assert node.model_dump() == {"plain": 1, "assigned": 4}
    assert node.model_dump(mode="json") == {"plain": 1, "assigned": 4}
    assert json.loads(node.model_dump_json()) == {"plain": 1, "assigned": 4}
    assert node.model_dump(exclude_unset=True) == {"plain": 1, "assigned": 4}
    assert node.model_dump(exclude_defaults=True) == {"plain": 1, "assigned": 4}
    assert dict(node) == {"plain": 1, "assigned": 4}
    assert node.model_fields_set == {"plain", "assigned"}


def test_a_dump_of_a_model_that_holds_an_unresolved_node_omits_it_too():
    class Holder(BaseModel):
        nodes: list[Both]

    assert Holder(nodes=[Both(plain=1)]).model_dump() == {"nodes": [{"plain": 1}]}
    assert Holder.model_validate({"nodes": [{"plain": 1}]}) == Holder(nodes=[Both(plain=1)])


def test_a_nested_node_of_the_same_class_keeps_its_own_fields():
    class Start(Node):
        async def __call__(self) -> Tree: ...

    lm = Told(value=1, children=[{"value": 2}])

    result = Graph(start=Start).run(Start(), lm=lm).result

    assert repr(result) == "Tree(value=1, children=[Tree(value=2, children=[], dep=<unresolved>)], dep=3)"


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda node: node.model_copy(),
    "model_copy deep": lambda node: node.model_copy(deep=True),
    "pickle": lambda node: pickle.loads(pickle.dumps(node)),
    "python": lambda node: type(node).model_validate(node.model_dump()),
    "json": lambda node: type(node).model_validate_json(node.model_dump_json()),
    "construct": lambda node: type(node).model_construct(**node.model_dump()),
}


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("node", [Both(plain=1), Both(plain=1, assigned=4), Both(plain=1, annotated=2, assigned=3)])
def test_copies_are_equal_and_stay_as_unresolved(node, way):
    again = way(node)

    assert again == node
    assert repr(again) == repr(node)
    assert again.model_fields_set == node.model_fields_set


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
def test_a_copy_of_an_unresolved_node_can_be_run(way):
    assert resolved(way(Both(plain=1))) == Both(plain=1, annotated=3, assigned=3)


def test_model_copy_with_update_gives_a_value():
    node = Both(plain=1).model_copy(update={"annotated": 7})

    assert (node.annotated, repr(node)) == (7, "Both(plain=1, annotated=7, assigned=<unresolved>)")


def test_equality_tells_unresolved_from_given():
    assert Both(plain=1) == Both(plain=1)
    assert Both(plain=1) != Both(plain=1, annotated=3)
    assert Both(plain=1) != Both(plain=2)


def test_a_frozen_node_is_hashable_before_and_after_resolution():
    node = Frozen(plain=1)

    result = resolved(node)

    assert hash(node) == hash(Frozen(plain=1))
    assert len({node, Frozen(plain=1), result, Frozen(plain=1, dep=3)}) == 2
    assert result.dep == 3
    with pytest.raises(ValidationError, match="frozen"):
        result.dep = 4


def test_an_unresolved_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(UnresolvedFieldError(Both, "assigned")))

    assert str(error).startswith("Both.assigned: is not resolved yet.")
    assert (error.node_type, error.field_name) == (Both, "assigned")


def test_setting_and_deleting_an_injected_field_works_like_any_other():
    node = Both(plain=1)

    node.annotated = 9
    assert node.annotated == 9
    del node.annotated

    with pytest.raises(UnresolvedFieldError):
        node.annotated  # noqa: B018


def test_a_node_class_can_be_collected():
    def watch_of_a_class_nobody_keeps():
        class Gone(Node):
            value: int = Dep(get_three)

            async def __call__(self) -> "Gone | None": ...

        Graph(start=Gone)
        return weakref.ref(Gone)

    watch = watch_of_a_class_nobody_keeps()
    gc.collect()

    assert watch() is None


# --- Given values win ------------------------------------------------------------------------------------------------


def counted():
    calls = []

    def make() -> int:
        calls.append("made")
        return 3

    return calls, make


def test_a_given_value_wins_and_its_dependency_does_not_run():
    calls, make = counted()

    class Given(Node):
        value: int = Dep(make)
        other: int = 0

    start = Given(value=8)
    result = resolved(start)

    assert (result.value, calls) == (8, [])


def test_a_chain_below_a_given_value_does_not_run_either():
    calls, make = counted()

    def above(below: Annotated[int, Dep(make)]) -> int:
        return below

    class Given(Node):
        value: int = Dep(above)

    assert (resolved(Given(value=8)).value, calls) == (8, [])


def test_a_given_none_is_a_value():
    calls, make = counted()

    class Given(Node):
        value: int | None = Dep(make)

    assert (resolved(Given(value=None)).value, calls) == (None, [])


@pytest.mark.parametrize("way", [COPIES["python"], COPIES["json"], COPIES["construct"], COPIES["pickle"]])
def test_a_value_given_in_any_way_wins(way):
    calls = []

    class Given(Both):
        assigned: int = Dep(lambda: calls.append("made") or 3)

    globals()["Given"] = Given
    Given.__qualname__ = "Given"
    node = way(Given(plain=1, assigned=8))
    result = resolved(node)

    assert (result.assigned, result.annotated, calls) == (8, 3, [])


def test_given_values_are_validated():
    assert Both(plain="1", annotated="2").annotated == 2
    with pytest.raises(ValidationError) as caught:
        Both(plain="x", annotated="y", assigned="z")
    assert [error["loc"] for error in caught.value.errors()] == [("plain",), ("annotated",), ("assigned",)]


def test_plain_fields_stay_required():
    with pytest.raises(ValidationError) as caught:
        Both()

    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("missing", ("plain",))]


def test_the_callers_start_node_is_never_changed():
    start = Both(plain=1)

    run = Graph(start=Both).run(start)

    assert run.trace[0] is not start
    assert repr(start) == "Both(plain=1, annotated=<unresolved>, assigned=<unresolved>)"
    assert start.model_fields_set == {"plain"}
    assert run.trace[0].model_fields_set == {"plain", "annotated", "assigned"}


def test_a_start_node_can_be_run_again_with_fresh_dependencies():
    values = iter([1, 2])

    class Start(Node):
        value: int = Dep(lambda: next(values))

    start, graph = Start(), Graph(start=Start)

    assert [graph.run(start).result.value, graph.run(start).result.value] == [1, 2]


def test_a_value_given_by_a_custom_body_wins():
    calls, make = counted()

    class Next(Node):
        value: int = Dep(make)
        other: int = Dep(get_three)

    class Start(Node):
        async def __call__(self) -> Next:
            return Next(value=5)

    assert (Graph(start=Start).run(Start()).result, calls) == (Next(value=5, other=3), [])


# --- Validators ------------------------------------------------------------------------------------------------------


class Watched(Node):
    seen: ClassVar[list[Any]] = []
    dep: int = Dep(get_three)
    plain: int = 0

    @field_validator("dep", mode="before")
    @classmethod
    def _dep_before(cls, value: Any) -> Any:
        cls.seen.append("dep before")
        return value

    @field_validator("dep", mode="after")
    @classmethod
    def _dep_after(cls, value: int) -> int:
        cls.seen.append("dep after")
        return value * 10

    @field_validator("plain", mode="wrap")
    @classmethod
    def _plain_wrap(cls, value: Any, handler: Any) -> int:
        cls.seen.append("plain wrap")
        return handler(value) * 10

    @model_validator(mode="before")
    @classmethod
    def _model_before(cls, value: Any) -> Any:
        cls.seen.append("model before")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _model_wrap(cls, value: Any, handler: Any) -> Any:
        cls.seen.append("model wrap")
        return handler(value)

    @model_validator(mode="after")
    def _model_after(self) -> "Watched":
        self.seen.append("model after")
        return self


class ToWatched(Node):
    async def __call__(self) -> Watched: ...


class WatchedByCode(Node):
    async def __call__(self) -> Watched:
        return Watched(plain=2)


WATCHED_ONCE = sorted(["dep after", "dep before", "model after", "model before", "model wrap", "plain wrap"])


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    Watched.seen.clear()
    yield Watched.seen
    Watched.seen.clear()


def test_on_the_start_node_every_validator_runs_once(seen):
    result = resolved(Watched(plain=2))

    assert (result.dep, result.plain) == (30, 20)
    assert sorted(seen) == WATCHED_ONCE


def test_on_a_filled_node_every_validator_runs_once(seen):
    result = Graph(start=ToWatched).run(ToWatched(), lm=Told(plain=2)).result

    assert (result.dep, result.plain) == (30, 20)
    assert sorted(seen) == WATCHED_ONCE


def test_on_a_node_that_code_returns_every_validator_runs_once(seen):
    result = Graph(start=WatchedByCode).run(WatchedByCode()).result

    assert (result.dep, result.plain) == (30, 20)
    assert sorted(seen) == WATCHED_ONCE


def test_a_given_dependency_is_validated_once(seen):
    result = resolved(Watched(plain=2, dep=1))

    assert (result.dep, result.plain) == (10, 20)
    assert sorted(seen) == WATCHED_ONCE


def test_a_recalled_value_is_validated_once_by_the_field_that_recalls_it():
    calls = []

    class Second(Node):
        number: Annotated[int, BeforeValidator(lambda value: calls.append(value) or value + 1), Recall()]

    class First(Node):
        number: int

        async def __call__(self) -> Second: ...

    result = Graph(start=First).run(First(number=4), lm=Told()).result

    assert (result.number, calls) == (5, [4])


def test_a_model_validator_sees_the_injected_values_of_a_filled_node():
    class Sum(Node):
        dep: int = Dep(get_three)
        plain: int

        @model_validator(mode="after")
        def _add_up(self) -> "Sum":
            self.plain += self.dep
            return self

    class Start(Node):
        async def __call__(self) -> Sum: ...

    assert Graph(start=Start).run(Start(), lm=Told(plain=4)).result.plain == 7


def test_a_model_validator_that_returns_another_instance_is_respected():
    class Replaced(Node):
        dep: int = Dep(get_three)
        plain: int

        @model_validator(mode="wrap")
        @classmethod
        def _doubled(cls, value: Any, handler: Any) -> Any:
            made = handler(value)
            return made.model_copy(update={"plain": made.plain * 2})

    class Start(Node):
        async def __call__(self) -> Replaced: ...

    assert Graph(start=Start).run(Start(), lm=Told(plain=4)).result == Replaced.model_construct(plain=8, dep=3)


def test_a_validator_that_rejects_a_dependency_is_a_dep_error():
    class Picky(Node):
        dep: int = Dep(get_three)

        @field_validator("dep")
        @classmethod
        def _never(cls, value: int) -> int:
            message = "three is not enough"
            raise ValueError(message)

    with pytest.raises(DepError) as caught:
        resolved(Picky())

    assert str(caught.value) == (
        "Picky.dep → get_three: gave an int, which does not fit the field: "
        "Value error, three is not enough. The field's type and constraints say what fits."
    )
    assert isinstance(caught.value.__cause__, ValidationError)


def test_a_star_validator_runs_for_each_field_once():
    calls = []

    class Starred(Node):
        plain: int
        dep: int = Dep(get_three)

        @field_validator("*")
        @classmethod
        def _note(cls, value: int, info: Any) -> int:
            calls.append(info.field_name)
            return value

    resolved(Starred(plain=1))

    assert sorted(calls) == ["dep", "plain"]


def test_values_of_dependencies_are_coerced_like_constructor_values():
    class Coerced(Node):
        value: float = Dep(get_three)

    value = resolved(Coerced()).value

    assert (value, type(value)) == (3.0, float)


# --- Pydantic's own ways ---------------------------------------------------------------------------------------------


class Aliased(Node):
    plain: int = Field(alias="Plain")
    dep: Annotated[int, Dep(get_three), Field(alias="Dependency")]
    either: Annotated[int, Field(validation_alias=AliasChoices("one", "other")), Dep(get_three)]
    inside: Annotated[int, Dep(get_three), Field(validation_alias=AliasPath("outer", "inner"))]


def test_aliases_work_for_plain_and_injected_fields():
    node = Aliased(Plain=1)

    assert resolved(node).model_dump(by_alias=True) == {"Plain": 1, "Dependency": 3, "either": 3, "inside": 3}
    assert Aliased(Plain=1, Dependency=8).dep == 8
    assert Aliased(Plain=1, other=8).either == 8
    assert Aliased(Plain=1, outer={"inner": 8}).inside == 8
    assert resolved(Aliased(Plain=1, Dependency=8, one=7)).model_dump() == {
        "plain": 1,
        "dep": 8,
        "either": 7,
        "inside": 3,
    }


def test_the_lm_cannot_write_an_injected_field_by_any_of_its_names():
    class Start(Node):
        async def __call__(self) -> Aliased: ...

    lm = Told(Plain=1, dep=9, Dependency=9, either=9, one=9, other=9, inside=9, outer={"inner": 9})

    result = Graph(start=Start).run(Start(), lm=lm).result

    assert result.model_dump() == {"plain": 1, "dep": 3, "either": 3, "inside": 3}
    assert list(lm.requests[0].schema["properties"]) == ["Plain"]


def test_an_alias_generator_and_population_by_name_work():
    class Generated(Node):
        model_config = ConfigDict(alias_generator=str.upper, populate_by_name=True)
        plain: int
        dep: int = Dep(get_three)

    assert Generated(PLAIN=1) == Generated(plain=1)
    assert Generated(PLAIN=1, DEP=4) == Generated(plain=1, dep=4)
    assert resolved(Generated(PLAIN=1)) == Generated(plain=1, dep=3)


def test_extra_fields_can_be_forbidden_or_allowed():
    class Forbidding(Node):
        model_config = ConfigDict(extra="forbid")
        plain: int
        dep: int = Dep(get_three)

    class Allowing(Node):
        model_config = ConfigDict(extra="allow")
        plain: int
        dep: int = Dep(get_three)

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Forbidding(plain=1, other=2)
    assert resolved(Forbidding(plain=1)).dep == 3
    node = Allowing(plain=1, other=2)
    assert (node.other, node.model_extra) == (2, {"other": 2})
    assert repr(node) == "Allowing(plain=1, dep=<unresolved>, other=2)"
    assert resolved(node).model_dump() == {"plain": 1, "dep": 3, "other": 2}


def test_an_lm_that_writes_an_injected_field_does_not_offend_extra_forbid():
    class Forbidding(Node):
        model_config = ConfigDict(extra="forbid")
        plain: int
        dep: int = Dep(get_three)

    class Start(Node):
        async def __call__(self) -> Forbidding: ...

    assert Graph(start=Start).run(Start(), lm=Told(plain=1)).result == Forbidding(plain=1, dep=3)


def test_private_attributes_survive_resolution_and_copies():
    class Private(Node):
        dep: int = Dep(get_three)
        _secret: list[int] = PrivateAttr(default_factory=list)

    node = Private()
    node._secret.append(1)

    assert resolved(node)._secret == [1]
    assert copy.deepcopy(node)._secret == [1]
    with pytest.raises(AttributeError):
        node._unknown  # noqa: B018


def test_model_post_init_runs_once_where_it_does_in_pydantic():
    calls = []

    class Initialised(Node):
        plain: int
        dep: int = Dep(get_three)

        def model_post_init(self, context: Any) -> None:
            calls.append(self.plain)

    class Start(Node):
        async def __call__(self) -> Initialised: ...

    resolved(Initialised(plain=1))
    Graph(start=Start).run(Start(), lm=Told(plain=2))

    assert calls == [1, 2]


def test_a_computed_field_works():
    class Computed(Node):
        plain: int
        dep: int = Dep(get_three)

        @computed_field
        @property
        def total(self) -> int:
            return self.plain + self.dep

    assert resolved(Computed(plain=1)).model_dump() == {"plain": 1, "dep": 3, "total": 4}


class Computed(Node):
    plain: int
    dep: int = Dep(get_three)

    @computed_field
    @property
    def total(self) -> int:
        return self.plain + self.dep


def test_repr_of_an_unresolved_node_never_raises():
    assert repr(Computed(plain=1)).startswith("Computed(plain=1, dep=<unresolved>")


def test_a_dump_that_computes_from_what_is_unresolved_says_so():
    with pytest.raises(UnresolvedFieldError):
        Computed(plain=1).model_dump()


def test_events_of_a_start_node_with_such_a_computed_field_are_json_ready():
    told = []

    result = Graph(start=Computed).run(Computed(plain=1), on_event=lambda event: told.append(event.to_json())).result

    assert result.total == 4
    assert told


def test_serializers_are_used():
    class Serialised(Node):
        plain: Annotated[int, PlainSerializer(str)]
        dep: int = Dep(get_three)

        @field_serializer("dep")
        def _doubled(self, value: int) -> int:
            return value * 2

    class Whole(Node):
        dep: int = Dep(get_three)

        @model_serializer(mode="wrap")
        def _wrapped(self, handler: Any) -> Any:
            return {"whole": handler(self)}

    assert Serialised(plain=1).model_dump() == {"plain": "1"}
    assert resolved(Serialised(plain=1)).model_dump() == {"plain": "1", "dep": 6}
    assert Whole().model_dump() == {"whole": {}}
    assert resolved(Whole()).model_dump() == {"whole": {"dep": 3}}


CONFIGS = {
    "validate_default": ConfigDict(validate_default=True),
    "validate_assignment": ConfigDict(validate_assignment=True),
    "revalidate_instances": ConfigDict(revalidate_instances="always"),
    "strict": ConfigDict(strict=True),
    "defer_build": ConfigDict(defer_build=True),
    "from_attributes": ConfigDict(from_attributes=True),
    "use_attribute_docstrings": ConfigDict(use_attribute_docstrings=True),
    "frozen": ConfigDict(frozen=True),
    "extra forbid": ConfigDict(extra="forbid"),
    "extra allow": ConfigDict(extra="allow"),
    "ser_json_by_alias": ConfigDict(serialize_by_alias=True),
    "validate_by_name": ConfigDict(validate_by_name=True),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_model_config_leaves_fields_unresolved_and_resolvable(config):
    class Configured(Node):
        model_config = config
        plain: int = 1
        dep: int = Dep(get_three)
        other: Annotated[int, Dep(get_three)]

    class Start(Node):
        async def __call__(self) -> Configured: ...

    node = Configured(plain=2)

    assert repr(node) == "Configured(plain=2, dep=<unresolved>, other=<unresolved>)"
    assert resolved(node).model_dump() == {"plain": 2, "dep": 3, "other": 3}
    assert Graph(start=Start).run(Start(), lm=Told(plain=4)).result.model_dump() == {"plain": 4, "dep": 3, "other": 3}
    assert copy.deepcopy(node) == node


def test_assignments_are_validated_on_an_unresolved_node():
    class Assigned(Node):
        model_config = ConfigDict(validate_assignment=True)
        plain: int
        dep: int = Dep(get_three)

    node = Assigned(plain=1)
    node.plain = "2"

    assert repr(node) == "Assigned(plain=2, dep=<unresolved>)"
    node.dep = "4"
    assert node.dep == 4
    with pytest.raises(ValidationError):
        node.dep = "x"


class Tree(Node):
    value: int
    children: list["Tree"] = Field(default=[])
    dep: int = Dep(get_three)


def test_a_recursive_node_works():
    tree = Tree(value=1, children=[Tree(value=2), Tree(value=3, dep=4)])

    assert Tree.model_validate_json(tree.model_dump_json()) == tree
    assert resolved(tree).model_dump() == {
        "value": 1,
        "children": [{"value": 2, "children": []}, {"value": 3, "children": [], "dep": 4}],
        "dep": 3,
    }


def test_arbitrary_types_can_be_injected_and_have_a_json_schema():
    class Holding(Node):
        annotated: Annotated[Connection, Dep(get_connection)]
        assigned: Connection = Dep(get_connection)
        optional: Connection | None = Dep(get_connection)
        many: Annotated[list[Connection], Dep(lambda: [Connection()])]
        function: Callable[[], int] = Dep(lambda: get_three)
        plain: int = 1

    schema = Holding.model_json_schema()

    result = resolved(Holding())
    assert isinstance(result.annotated, Connection)
    assert result.annotated is result.assigned is result.optional
    assert result.function() == 3
    assert set(schema["properties"]) == set(Holding.model_fields)
    assert "required" not in schema
    assert Holding.model_json_schema(mode="serialization")["properties"]["plain"]["type"] == "integer"
    with pytest.raises(ValidationError):
        Holding(annotated=object())


def test_plain_and_injected_requirements_show_in_the_json_schema():
    schema = Both.model_json_schema()

    assert schema["required"] == ["plain"]
    assert schema["properties"]["annotated"]["type"] == "integer"


# --- No defaults -----------------------------------------------------------------------------------------------------


def faults_of(start):
    with pytest.raises(GraphError) as caught:
        Graph(start=start)
    return [str(fault) for fault in caught.value.faults]


def test_dep_and_recall_fields_take_no_default():
    class Defaults(Node):
        plain: int = 3
        in_annotation: Annotated[int, Dep(get_three)] = 3
        by_field: Annotated[int, Dep(get_three)] = Field(default=3)
        by_factory: Annotated[int, Field(default_factory=int)] = Dep(get_three)
        mixed: Annotated[int, Field(default=3)] = Dep(get_three)
        none: Annotated[int | None, Dep(get_three)] = None
        recalled: Annotated[int, Recall(Earlier, "number")] = 3

    class Before(Earlier):
        async def __call__(self) -> Defaults: ...

    assert faults_of(Before) == [
        f"Defaults.{name}: a {word} field takes no default. Leave the default out."
        for name, word in [
            ("in_annotation", "Dep"),
            ("by_field", "Dep"),
            ("by_factory", "Dep"),
            ("mixed", "Dep"),
            ("none", "Dep"),
            ("recalled", "Recall"),
        ]
    ]


@pytest.mark.parametrize("arguments", [{"per": "week"}, {"retries": -1}, {"timeout": 0}, {"timeout": -1}])
def test_dep_refuses_options_that_make_no_sense(arguments):
    with pytest.raises(ValueError, match=r"^Dep: "):
        Dep(get_three, **arguments)


@pytest.mark.parametrize("thing", [3, "name", [get_three]])
def test_dep_refuses_what_cannot_be_called(thing):
    with pytest.raises(TypeError) as caught:
        Dep(thing)

    hint = "Pass the function itself, not what it returns: Dep(get_weather)."
    assert str(caught.value) == f"Dep: {thing!r} is not callable. {hint}"


def test_dep_says_how_to_run_a_graph_as_a_dependency():
    class Only(Node):
        pass

    with pytest.raises(TypeError, match=r"is not callable\. Pass a function that runs it: async def .*graph\.arun"):
        Dep(Graph(start=Only))  # type: ignore[call-overload]


@pytest.mark.parametrize("arguments", [(int,), (3,), ("a", "b"), (Node,), (get_three,)])
def test_recall_refuses_what_is_neither_node_nor_name(arguments):
    with pytest.raises(TypeError, match=r"^Recall: "):
        Recall(*arguments)


# --- Inheritance, mixins, generics -----------------------------------------------------------------------------------


def test_fields_are_inherited_and_can_be_overridden_by_another_source():
    class Base(Node):
        value: int = Dep(get_three)
        other: str = Dep(get_text)

    class AsPlain(Base):
        value: int

    class AsOther(Base):
        value: int = Dep(lambda: 4)
        more: int = 1

    assert classify_fields(AsPlain) == {"value": "plain", "other": "dep"}
    assert classify_fields(AsOther) == {"value": "dep", "other": "dep", "more": "plain"}
    assert resolved(AsPlain(value=1)).model_dump() == {"value": 1, "other": "three"}
    assert resolved(AsOther()).model_dump() == {"value": 4, "other": "three", "more": 1}
    with pytest.raises(ValidationError):
        AsPlain()


def test_fields_come_from_mixins_that_are_models():
    class Timed(BaseModel):
        at: int = Dep(get_three)

        def later(self) -> int:
            return self.at + 1

    class Event(Timed, Node):
        name: str

    class Other(Node, Timed):
        name: str

    assert classify_fields(Event) == {"at": "dep", "name": "plain"}
    assert resolved(Event(name="a")).later() == 4
    assert resolved(Other(name="a")).later() == 4


class Box(Node, Generic[T]):
    item: T
    dep: Annotated[T, Dep(get_three)]


def test_generic_nodes_resolve_and_validate_by_their_arguments():
    node = Box[int](item="1")

    assert node.item == 1
    assert repr(node) == "Box[int](item=1, dep=<unresolved>)"
    assert resolved(node).model_dump() == {"item": 1, "dep": 3}
    with pytest.raises(ValidationError):
        Box[int](item="x")
    with pytest.raises(UnresolvedFieldError, match=r"^Box\[int\]\.dep: "):
        node.dep  # noqa: B018


def test_a_generic_nodes_dependency_must_fit_its_argument():
    assert faults_of(Box[str]) == [
        "Box[str].dep: get_three returns int, which does not fit str. "  # noqa: ISC004
        "Change the annotation, or what the function returns."
    ]


def test_a_subclass_of_a_generic_node_works():
    class IntBox(Box[int]):
        more: str = "m"

    assert resolved(IntBox(item=1)).model_dump() == {"item": 1, "dep": 3, "more": "m"}


# --- Classes made elsewhere ------------------------------------------------------------------------------------------


def made_in_a_function():
    class Local(BaseModel):
        value: int = 1

    class Here(Node):
        plain: "Local"
        dep: "Annotated[Local, Dep(Local)]"

    return Here


def test_a_class_made_in_a_function_with_string_annotations_works_outside_it():
    here = made_in_a_function()

    node = here(plain={"value": 2})

    assert node.plain.value == 2
    assert classify_fields(here) == {"plain": "plain", "dep": "dep"}
    assert resolved(node).dep.value == 1


def test_a_class_made_in_exec_with_future_annotations_works():
    source = """
from __future__ import annotations
from typing import Annotated
from pydantic import BaseModel
from weft import Dep, Node

def make():
    class Local(BaseModel):
        value: int = 1

    def get() -> Local:
        return Local(value=7)

    class Here(Node):
        plain: Local
        dep: Annotated[Local, Dep(get)]
        assigned: Local = Dep(get)
    return Here
"""
    namespace = {"__name__": "made_by_exec"}
    exec(source, namespace)

    here = namespace["make"]()

    assert classify_fields(here) == {"plain": "plain", "dep": "dep", "assigned": "dep"}
    assert resolved(here(plain={"value": 2})).model_dump() == {
        "plain": {"value": 2},
        "dep": {"value": 7},
        "assigned": {"value": 7},
    }


@pytest.mark.parametrize("name", ["name", "bases", "namespace", "kwargs", "mcs", "cls", "own", "body"])
def test_no_name_of_wefts_own_code_is_found_in_an_annotation(name):
    source = f"from weft import Node\nclass Odd(Node):\n    field: '{name}'\n"
    made = {"__name__": "odd"}
    exec(source, made)

    assert not made["Odd"].__pydantic_complete__
    with pytest.raises(GraphError, match=f"the name '{name}' cannot be found"):
        Graph(start=made["Odd"])


# --- node_config -----------------------------------------------------------------------------------------------------


def test_node_config_is_inherited_and_merged_field_by_field():
    class Base(Node):
        node_config = NodeConfig(lm="offline", timeout=3)

    class Same(Base):
        pass

    class More(Base):
        node_config = NodeConfig(timeout=5, retries=0)

    class Most(More):
        node_config: ClassVar[NodeConfig] = NodeConfig(instruction="Do it.")

    assert Base.node_config == NodeConfig(lm="offline", timeout=3)
    assert Same.node_config == Base.node_config
    assert More.node_config == NodeConfig(lm="offline", timeout=5, retries=0)
    assert Most.node_config == NodeConfig(lm="offline", timeout=5, retries=0, instruction="Do it.")
    assert Node.node_config == NodeConfig()
    assert "node_config" not in Most.model_fields


def test_node_configs_of_mixins_are_merged():
    class Offline(Node):
        node_config = NodeConfig(lm="offline")

    class Patient(Node):
        node_config = NodeConfig(timeout=5)

    class Mixed(Offline, Patient):
        node_config = NodeConfig(retries=1)

    assert Mixed.node_config == NodeConfig(lm="offline", timeout=5, retries=1)


class WriteAPoem(Node):
    """Nobody but a person reads this."""

    text: str


class Instructed(WriteAPoem):
    node_config = NodeConfig(instruction="Write one line.")


@pytest.mark.parametrize(("target", "expected"), [(WriteAPoem, "WriteAPoem"), (Instructed, "Write one line.")])
def test_the_instruction_is_the_class_name_unless_node_config_says_it(target, expected):
    class To(Node):
        async def __call__(self) -> target: ...

    lm = Told(text="a")

    Graph(start=To).run(To(), lm=lm)

    assert [request.instruction for request in lm.requests] == [expected]


def test_a_candidate_is_offered_with_its_name_and_instruction():
    class To(Node):
        async def __call__(self) -> WriteAPoem | Instructed: ...

    lm = Told(text="a")

    Graph(start=To).run(To(), lm=lm)

    assert [(option.name, option.instruction) for option in lm.requests[0].options] == [
        ("WriteAPoem", "WriteAPoem"),
        ("Instructed", "Write one line."),
    ]


# --- What a model sees -----------------------------------------------------------------------------------------------


class Colour(Enum):
    """SECRET of an enum."""

    RED = "red"


@dataclass
class Point:
    """SECRET of a dataclass."""

    x: int


class Row(TypedDict):
    """SECRET of a typed dict."""

    y: int


class Inner(BaseModel):
    """SECRET of a nested model."""

    colour: Colour
    again: "Inner | None" = None


def get_inner() -> Inner:
    """SECRET of a function."""
    return Inner(colour=Colour.RED)


class Start(Node):
    """SECRET of the start node."""

    question: str = Field(description="what is asked")

    async def __call__(self) -> "Target | Alternative":
        """SECRET of a body."""


class Target(Node):
    """SECRET of the target."""

    given: Annotated[Inner, Dep(get_inner)]
    inner: Inner = Field(description="hint for inner")
    point: Point
    row: Row
    colour: Colour
    kind: Literal["a", "b"] = "a"


class Alternative(Node):
    """SECRET of another."""

    n: int = Field(description="how many")


def seen_by_a_model():
    lm = Told(inner={"colour": "red"}, point={"x": 1}, row={"y": 2}, colour="red")
    Graph(start=Start).run(Start(question="?"), lm=lm)
    return lm.requests


def test_docstrings_never_reach_a_model():
    requests = seen_by_a_model()

    assert [request.kind for request in requests] == ["choose", "fill"]
    assert "SECRET" not in repr(requests)
    assert "SECRET" not in json.dumps([request.schema for request in requests])


def test_field_descriptions_reach_a_model_once():
    choose, fill = seen_by_a_model()

    assert [(option.name, dict(option.fields)) for option in choose.options] == [
        ("Target", {"inner": "hint for inner", "point": "", "row": "", "colour": "", "kind": ""}),
        ("Alternative", {"n": "how many"}),
    ]
    assert fill.schema["properties"]["inner"]["description"] == "hint for inner"
    assert json.dumps(fill.schema).count("hint for inner") == 1


def test_a_model_is_asked_for_plain_fields_and_shown_the_others():
    _, fill = seen_by_a_model()

    assert list(fill.schema["properties"]) == ["inner", "point", "row", "colour", "kind"]
    assert fill.schema["required"] == ["inner", "point", "row", "colour"]
    assert fill.inputs == {"given": {"colour": "red", "again": None}}
    assert (fill.source_name, fill.source) == ("Start", {"question": "?"})


def test_a_description_that_repeats_a_docstring_but_was_written_in_field_stays():
    class Described(Node):
        inner: Inner = Field(description="SECRET of a nested model.")

    class To(Node):
        async def __call__(self) -> Described: ...

    lm = Told(inner={"colour": "red"})
    Graph(start=To).run(To(), lm=lm)

    assert lm.requests[0].schema["properties"]["inner"]["description"] == "SECRET of a nested model."


def test_nested_models_that_a_model_wrote_are_instances():
    lm = Told(inner={"colour": "red"}, point={"x": 1}, row={"y": 2}, colour="red")

    result = Graph(start=Start).run(Start(question="?"), lm=lm).result

    assert isinstance(result.inner, Inner)
    assert result.point == Point(1)
    assert result.colour is Colour.RED


def test_a_filled_node_whose_plain_field_json_does_not_know_is_a_fault():
    class Odd(Node):
        connection: Connection

    class To(Node):
        async def __call__(self) -> Odd: ...

    with pytest.raises(GraphError) as caught:
        Graph(start=To)

    (fault,) = caught.value.faults
    assert (fault.node_type, fault.field_name) == (Odd, "connection")
    assert fault.hint == "Make it a Dep, or give it a type that JSON knows."
