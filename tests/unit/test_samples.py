"""Samples are valid for the type whose schema they are made from, and the same in every process."""

import json
import math
import os
import subprocess
import sys
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from re import Pattern
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional
from uuid import UUID

import pytest
from annotated_types import Ge, Interval, Len
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    AnyHttpUrl,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    ByteSize,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    JsonValue,
    NegativeInt,
    NewPath,
    NonNegativeFloat,
    PastDate,
    PastDatetime,
    PositiveInt,
    PostgresDsn,
    RootModel,
    SecretBytes,
    SecretStr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    TypeAdapter,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from weft.backends._samples import sample
from weft.errors import MissingExtraError

SEEDS = [str(number) for number in range(20)]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


Odd = Enum("Odd", {"LIST": [1, 2], "TEXT": "text", "NUMBER": 1.5})


class Only(Enum):
    ONE = "one"


class Leaf(BaseModel):
    worth: int


class Tree(BaseModel):
    left: "Tree | Leaf"
    right: "Tree | Leaf"


class Chain(BaseModel):
    link: int
    following: "Chain | None"


class Folder(BaseModel):
    name: str
    folders: list["Folder"]
    by_name: dict[str, "Folder"] = Field({})


class Hen(BaseModel):
    egg: "Egg | None" = None
    eggs: list["Egg"]


class Egg(BaseModel):
    hen: Hen


class Wide(BaseModel):
    a: list["Wide"]
    b: dict[str, "Wide"]
    c: "Wide | None"
    d: tuple["Wide | None", "Wide | int"]
    e: list["Wide"]
    f: list["Wide"]
    g: "list[Wide] | Wide | None"


class Start(BaseModel):
    way: "Long | Short | Start"


class Long(BaseModel):
    way: "Longer | Start"


class Longer(BaseModel):
    way: "Start | Leaf"


class Short(BaseModel):
    worth: float


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: PositiveInt


class Dog(BaseModel):
    kind: Literal["dog", "wolf"]
    barks: bool = True


class Owner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pet: Cat | Dog = Field(discriminator="kind")
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(min_length=1, max_length=3)
    favourite: Leaf | None = Field(None, description="What she likes most\nof all")


class Point(NamedTuple):
    x: float
    y: float = 0.0
    label: str = "origin"


class Address(TypedDict):
    street: str
    number: NotRequired[PositiveInt]


@dataclass
class Person:
    name: str
    age: Annotated[int, Field(ge=0, lt=150)]
    homes: list[Address]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    word: str


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow", json_schema_extra={"minProperties": 3})

    word: str


class Aliased(BaseModel):
    number: int = Field(alias="theNumber", gt=3)
    texts: tuple[str, ...] = Field(alias="the-texts", min_length=2)


class Numbers(RootModel[list[int]]):
    pass


class Merged(BaseModel):
    word: str = Field(json_schema_extra={"allOf": [{"minLength": 40}, {"maxLength": 50}]})


Nested = TypeAliasType("Nested", "list[Nested] | dict[str, Nested] | int")
Letters = Annotated[str, Field(pattern="^[a-c]{1,2}$")]

ZOO = [
    # numbers
    int,
    float,
    bool,
    complex | int,
    StrictInt,
    StrictFloat,
    StrictBool,
    PositiveInt,
    NegativeInt,
    NonNegativeFloat,
    ByteSize,
    Fraction,
    Decimal,
    Decimal | None,
    Annotated[int, Field(gt=3, multiple_of=7)],
    Annotated[int, Field(le=-5)],
    Annotated[int, Field(lt=3, multiple_of=100)],
    Annotated[int, Field(gt=2**70, lt=2**70 + 2)],
    Annotated[int, Field(ge=-3, le=-3)],
    Annotated[int, Field(gt=10, le=20, multiple_of=5)],
    Annotated[float, Field(ge=0, le=1)],
    Annotated[float, Field(gt=0, lt=1e-9)],
    Annotated[float, Field(gt=0.1, lt=0.1000001)],
    Annotated[float, Field(gt=0.1, lt=math.nextafter(math.nextafter(0.1, 1), 1))],
    Annotated[float, Field(gt=1e300)],
    Annotated[float, Field(lt=-1e300)],
    Annotated[float, Field(ge=0.5, le=0.5)],
    Annotated[float, Field(multiple_of=0.1)],
    Annotated[float, Field(gt=0.3, le=0.7, multiple_of=0.2)],
    Annotated[float, Field(ge=-2.5, lt=0, multiple_of=0.5)],
    Annotated[float, Interval(gt=5e-324, lt=1.5e-323)],
    Annotated[Decimal, Field(gt=1, le=2, max_digits=5, decimal_places=2)],
    Annotated[Decimal, Field(max_digits=2)],
    Annotated[Decimal, Field(multiple_of=0.25)],
    Annotated[int | float, Field(ge=200, lt=300)],
    Annotated[int | None, Ge(50)],
    # a few values
    None,
    Literal["only"],
    Literal[1, "one", True] | None,
    Colour,
    Size,
    Odd,
    Only,
    dict[Colour, int],
    dict[Size, bool],
    # texts
    str,
    Annotated[str, Field(max_length=0)],
    Annotated[str, Field(max_length=3)],
    Annotated[str, Field(min_length=300)],
    Annotated[str, Field(min_length=8, max_length=8)],
    Annotated[str, StringConstraints(strip_whitespace=True, min_length=8, max_length=8)],
    Annotated[str, StringConstraints(to_upper=True, pattern="^[A-Z]{3}$")],
    Annotated[str, Field(pattern="text")],
    Annotated[str, Field(pattern=r"^[a-z]+$", max_length=4)],
    Annotated[str, Field(pattern=r"^[a-z]+\d$", min_length=12)],
    Annotated[str, Field(pattern="^x", min_length=40)],
    Annotated[str, Field(pattern=r"^\d{4}-[^a-z]{2}$")],
    Annotated[str, Field(pattern=r"^(\+|-)?\S+@\S+\.(com|org)$")],
    bytes,
    Annotated[bytes, Field(min_length=1, max_length=3)],
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    Annotated[Base64Bytes, Field(min_length=50)],
    Annotated[Base64Str, Field(max_length=9)],
    SecretStr,
    SecretBytes,
    Annotated[SecretStr, Field(min_length=30)],
    Pattern,
    Json,
    Json[list[PositiveInt]],
    Annotated[Json[list[int]], Field(min_length=3)],
    # times
    date,
    time,
    datetime,
    timedelta,
    PastDate,
    PastDatetime,
    AwareDatetime,
    # the net
    HttpUrl,
    AnyUrl,
    AnyHttpUrl,
    PostgresDsn,
    Annotated[HttpUrl, Field(max_length=24)],
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    UUID,
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    Path,
    NewPath,
    # collections
    list,
    dict,
    set,
    tuple,
    list[list[int]],
    tuple[()],
    tuple[int, str, Colour],
    tuple[int, ...],
    Sequence[int],
    Iterable[str],
    deque[int],
    OrderedDict[str, int],
    Mapping[str, bool],
    Annotated[list[int], Len(3, 3)],
    Annotated[list[int], Len(0, 0)],
    set[int],
    set[Colour],
    frozenset[Literal[1, 2]],
    Annotated[set[bool], Len(2)],
    Annotated[set[Colour], Len(3)],
    Annotated[set[Frozen], Len(4)],
    Annotated[set[str], Len(30)],
    Annotated[set[tuple[str, ...]], Len(5)],
    Annotated[set[Annotated[str, Field(max_length=2)]], Len(9)],
    Annotated[set[Annotated[int, Field(ge=1, le=50)]], Len(50)],
    Annotated[set[Letters], Len(12)],
    Annotated[set[HttpUrl], Len(5)],
    Annotated[list[int] | set[int], Field(min_length=4)],
    dict[str, int],
    dict[int, str],
    dict[float, str],
    dict[bool, str],
    dict[UUID, date],
    dict[date, UUID],
    dict[Letters, int],
    dict[Annotated[str, Len(3, 5)], int],
    dict[Literal["left", "right"], int],
    Annotated[dict[str, int], Len(3, 4)],
    Annotated[dict[Colour, int], Len(3)],
    Annotated[dict[Letters, int], Len(12)],
    # models and the like
    Tree,
    Chain,
    Folder,
    Hen,
    Egg,
    Wide,
    Start,
    Nested,
    JsonValue,
    Owner,
    Annotated[Cat | Dog, Field(discriminator="kind")],
    Cat | Dog | None,
    Point,
    Address,
    Person,
    Frozen,
    Extra,
    Aliased,
    Numbers,
    Merged,
    # unions and anything
    Any,
    object,
    Hashable,
    Optional[int],  # noqa: UP045 - the older spelling is a type of its own
    int | str,
    int | str | list[int] | None,
    Letters | PositiveInt,
    Annotated[str | bytes, Field(min_length=2)],
]


def schema_of(annotation: Any, **options: Any) -> dict[str, Any]:
    return TypeAdapter(annotation).json_schema(**options)


@pytest.mark.parametrize("annotation", ZOO, ids=lambda annotation: str(annotation)[:80])
def test_a_sample_is_valid_for_its_type(annotation):
    adapter = TypeAdapter(annotation)
    schema = adapter.json_schema()
    for seed in SEEDS:
        adapter.validate_json(json.dumps(sample(schema, seed)))


@pytest.mark.parametrize("annotation", [Decimal | None, Annotated[int | float, Field(ge=200)], int | None | str])
def test_a_list_of_types_is_a_union(annotation):
    adapter = TypeAdapter(annotation)
    schema = adapter.json_schema(union_format="primitive_type_array")
    for seed in SEEDS:
        adapter.validate_json(json.dumps(sample(schema, seed)))


def test_an_email_is_valid():
    pytest.importorskip("email_validator")
    adapter = TypeAdapter(dict[str, EmailStr])
    adapter.validate_json(json.dumps(sample(adapter.json_schema(), "seed")))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("email", "home-page@example.com"),
        ("idn-email", "home-page@example.com"),
        ("name-email", "Offline Example <home-page@example.com>"),
        ("hostname", "home-page.example.com"),
        ("uri", "https://example.com/home-page"),
        ("json-string", '"home-page"'),
        ("zoneinfo", "UTC"),
        ("a format of one's own", "offline text for home_page"),
    ],
)
def test_a_format_is_filled_with_the_name_of_the_field(form, text):
    schema = {"type": "object", "properties": {"home_page": {"type": "string", "format": form}}}
    assert sample(schema, "seed") == {"home_page": text}


def test_a_text_says_that_it_means_nothing_and_what_it_stands_for():
    class Answer(BaseModel):
        final_response: str
        tags: Annotated[list[str], Len(2, 2)]
        reason: str = Field(description="Why it is\nso")

    assert sample(schema_of(Answer), "seed") == {
        "final_response": "offline text for final_response",
        "tags": ["offline text for tags 1", "offline text for tags 2"],
        "reason": "offline text for reason: Why it is so",
    }


def test_an_email_that_is_too_long_is_made_shorter():
    schema = {"type": "object", "properties": {"contact": {"type": "string", "format": "email", "maxLength": 15}}}
    assert sample(schema, "seed") == {"contact": "c@example.com"}


def test_only_plain_json_is_made():
    for annotation in (Owner, Wide, Person, Nested, Odd):
        value = sample(schema_of(annotation), "seed")
        assert json.loads(json.dumps(value)) == value


# Endless types


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(depth_of, children), default=0)


@pytest.mark.parametrize("annotation", [Tree, Chain, Folder, Hen, Egg, Wide, Start, Nested])
def test_a_recursive_type_ends_soon(annotation):
    schema = schema_of(annotation)
    for seed in SEEDS:
        value = sample(schema, seed)
        assert depth_of(value) <= 12
        assert len(json.dumps(value)) < 200_000


def refers_to(*names: str) -> dict[str, Any]:
    branches = [{"$ref": f"#/$defs/{name}"} for name in names]
    return {"type": "object", "required": ["to"], "properties": {"to": {"anyOf": branches}}}


def test_deep_down_the_branch_that_ends_first_is_taken():
    names = {"A": refers_to("B", "Z"), "B": refers_to("C"), "C": refers_to("D"), "D": refers_to("Z")}
    schema = {"$ref": "#/$defs/A"}
    for _ in range(8):
        schema = {"type": "array", "minItems": 1, "maxItems": 1, "items": schema}
    for seed in SEEDS:
        value = sample({**schema, "$defs": {**names, "Z": {"const": "end"}}}, seed)
        assert json.dumps(value).strip("[]") == '{"to": "end"}'


def test_a_type_that_requires_itself_fits_nothing():
    schema = {
        "$defs": {"Loop": {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/$defs/Loop"}}}},
        "$ref": "#/$defs/Loop",
    }
    with pytest.raises(ValueError, match=r"^no value fits the schema at \$(\.next)+: \$ref #/\$defs/Loop$"):
        sample(schema, "seed")


def test_an_impossible_branch_is_left_out_even_in_a_recursive_type():
    ends = {"type": "array", "minItems": 1, "items": {"const": 1}}
    side = {"anyOf": [{"enum": []}, {"$ref": "#/$defs/Node"}, ends]}
    node = {"type": "object", "required": ["left", "right"], "properties": {"left": side, "right": side}}
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    for seed in SEEDS:
        assert sample(schema, seed).keys() == {"left", "right"}


# Impossible schemas


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"enum": []}, "$: enum []"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "$: minimum 5, maximum 3"),
        ({"type": "integer", "minimum": 1, "maximum": 6, "multipleOf": 7}, "$: minimum 1, maximum 6, multipleOf 7"),
        (
            {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
            "$: exclusiveMinimum 1, exclusiveMaximum 2",
        ),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "$: exclusiveMinimum 1, maximum 1"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "$: minLength 3, maxLength 2"),
        ({"type": "string", "format": "date", "maxLength": 4}, "$: format date, maxLength 4"),
        ({"type": "string", "pattern": "^ab$", "minLength": 3}, "$: pattern ^ab$, minLength 3"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "$: minItems 2, maxItems 1"),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
            "$: minItems 3, uniqueItems True",
        ),
        ({"type": "array", "items": {"enum": []}, "minItems": 1}, "$[]: enum []"),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "$.a: enum []"),
        ({"type": "object", "required": ["a"], "maxProperties": 0}, "$: required ['a'], maxProperties 0"),
        (
            {"type": "object", "minProperties": 2, "propertyNames": {"enum": ["a"]}},
            "$: minProperties 2, propertyNames {'enum': ['a']}",
        ),
        ({"anyOf": []}, "$: anyOf []"),
        ({"anyOf": [{"enum": []}, {"type": "string", "maxLength": -1}]}, None),
        ({"allOf": [{"minimum": 4}, {"maximum": 3}], "type": "number"}, "$: minimum 4, maximum 3"),
        ({"$ref": "#/$defs/Missing"}, "$: $ref #/$defs/Missing"),
        ({"type": "telepathy"}, "$: type telepathy"),
    ],
)
def test_a_schema_that_nothing_fits_names_the_keywords_and_the_place(schema, line):
    with pytest.raises(ValueError, match=r"^no value fits the schema at [^\n]+$") as caught:
        sample(schema, "seed")
    assert line is None or str(caught.value) == f"no value fits the schema at {line}"


@pytest.mark.parametrize("pattern", ["(", r"\p{Lu}", "(?>ab)x"])
def test_a_pattern_that_cannot_be_followed_is_named(pattern):
    with pytest.raises(ValueError, match=r"^no value fits the schema at \$: pattern [^\n]+$") as caught:
        sample({"type": "string", "pattern": pattern}, "seed")
    assert pattern in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": False}, []),
        ({"type": "object", "additionalProperties": {"enum": []}}, {}),
        ({"type": "object", "properties": {"a": {"enum": []}}}, {}),
        ({"anyOf": [{"enum": []}, {"const": 1}]}, 1),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        (
            {
                "allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
                "$defs": {"A": {"enum": [1, 2]}, "B": {"enum": [2, 3]}},
            },
            2,
        ),
        ({"title": "Word"}, "offline text for Word"),
    ],
)
def test_what_is_impossible_but_optional_is_left_out(schema, value):
    assert sample(schema, "seed") == value


# The extra


def test_without_rstr_a_pattern_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rstr", None)
    with pytest.raises(MissingExtraError) as caught:
        sample(schema_of(Letters), "seed")
    assert (caught.value.extra, caught.value.package) == ("offline", "rstr")


def test_without_rstr_a_pattern_is_no_matter_if_a_plain_value_will_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "rstr", None)
    for annotation in (Decimal, ByteSize, Annotated[str, Field(pattern="^[a-z ]+$")]):
        sample(schema_of(annotation), "seed")


# The seed

SHOW = """
import json, sys
from weft.backends._samples import sample
print(json.dumps([sample(schema, str(seed)) for schema in json.load(sys.stdin) for seed in range(5)]))
"""


def test_the_same_seed_gives_the_same_value_in_every_process():
    schemas = [schema_of(annotation) for annotation in ZOO]
    here = [sample(schema, str(seed)) for schema in schemas for seed in range(5)]
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", SHOW],
            input=json.dumps(schemas),
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(there.stdout) == here


def test_another_seed_gives_another_value_where_there_is_a_choice():
    assert len({json.dumps(sample(schema_of(Person), seed)) for seed in SEEDS}) > 5


def test_the_schema_is_left_as_it_was():
    schema = schema_of(Owner)
    before = json.dumps(schema)
    sample(schema, "seed")
    assert json.dumps(schema) == before


# Types at random


def constrained(kind: type, **constraints: Any) -> Any:
    return Annotated[kind, Field(**constraints)]


@st.composite
def whole_numbers(draw: st.DrawFn) -> Any:
    step = draw(st.one_of(st.none(), st.integers(1, 1000)))
    witness = draw(st.integers(-(10**20), 10**20)) * (step or 1)
    below, above = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    low = draw(st.sampled_from([{}, {"ge": witness - below}, {"gt": witness - below - 1}]))
    high = draw(st.sampled_from([{}, {"le": witness + above}, {"lt": witness + above + 1}]))
    return constrained(int, **low, **high, multiple_of=step)


@st.composite
def real_numbers(draw: st.DrawFn) -> Any:
    witness = draw(st.floats(-1e300, 1e300, allow_subnormal=True))
    below = draw(st.sampled_from([witness, math.nextafter(witness, -math.inf), witness - 1, witness - 1e9]))
    above = draw(st.sampled_from([witness, math.nextafter(witness, math.inf), witness + 1, witness + 1e9]))
    low = {draw(st.sampled_from(["ge", "gt"] if below < witness else ["ge"])): below}
    high = {draw(st.sampled_from(["le", "lt"] if above > witness else ["le"])): above}
    return constrained(float, **draw(st.sampled_from([{}, low, high, {**low, **high}])))


@st.composite
def multiples(draw: st.DrawFn) -> Any:
    step = draw(st.sampled_from(["0.1", "0.25", "0.01", "3", "1.5", "0.3"]))
    witness = draw(st.integers(-1000, 1000)) * Fraction(step)
    low, high = (float(witness - draw(st.integers(0, 3))), float(witness + draw(st.integers(0, 3))))
    bounds = draw(st.sampled_from([{}, {"ge": low}, {"le": high}, {"ge": low, "le": high}]))
    return constrained(float, **bounds, multiple_of=float(step))


@st.composite
def texts(draw: st.DrawFn) -> Any:
    low = draw(st.integers(0, 60))
    high = draw(st.one_of(st.none(), st.integers(low, 80)))
    pattern = draw(st.sampled_from([None, None, "^[a-z]*", r"\w*$", "^[^x]*$", "(a|b)?"]))
    return Annotated[str, Field(min_length=low, max_length=high, pattern=pattern)]


PLAIN: list[Any] = [
    int,
    str,
    bool,
    float,
    date,
    UUID,
    Colour,
    Size,
    HttpUrl,
    Decimal,
    Literal["a", 1],
    None,
    Tree,
    Nested,
]
LEAVES = st.one_of(whole_numbers(), real_numbers(), multiples(), texts(), st.sampled_from(PLAIN))
KEYS = st.sampled_from([str, int, UUID, date, Colour, Letters, Literal["a", "b"]])
DISTINCT = st.sampled_from([int, str, date, UUID, Letters, tuple[str, int], Frozen])


@st.composite
def models(draw: st.DrawFn, parts: st.SearchStrategy[Any]) -> Any:
    required = {f"field_{number}": (part, ...) for number, part in enumerate(draw(st.lists(parts, max_size=3)))}
    optional = {f"option_{number}": (part, None) for number, part in enumerate(draw(st.lists(parts, max_size=3)))}
    make: Any = create_model
    return make("Made", **required, **optional)


def composed(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    sizes = st.integers(0, 4).flatmap(
        lambda low: st.builds(Len, st.just(low), st.one_of(st.none(), st.integers(low, 6)))
    )
    return st.one_of(
        st.builds(lambda part, size: Annotated[list[part], size], parts, sizes),
        st.builds(lambda part, size: Annotated[set[part], size], DISTINCT, sizes),
        st.builds(lambda key, part: dict[key, part], KEYS, parts),
        st.builds(lambda part, size: Annotated[dict[str, part], size], parts, sizes),
        st.builds(lambda some: tuple[tuple(some)], st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda part: tuple[part, ...], parts),
        st.builds(lambda one, other: one | other if one or other else None, parts, parts),
        st.builds(lambda part: Json[part], parts),
        models(parts),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, composed, max_leaves=8), st.text(max_size=10))
def test_a_sample_is_valid_for_any_composed_type(annotation, seed):
    adapter = TypeAdapter(annotation)
    schema = adapter.json_schema()
    value = sample(schema, seed)
    adapter.validate_json(json.dumps(value))
    assert sample(schema, seed) == value
