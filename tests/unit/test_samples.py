"""Samples are valid for the type whose schema they are made from, and the same in every process."""

import itertools
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from annotated_types import Interval, Len
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ByteSize,
    EmailStr,
    Field,
    HttpUrl,
    Json,
    PositiveInt,
    TypeAdapter,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from weft.backends._samples import sample
from weft.errors import MissingExtraError
from weft.testing._zoo import (
    ZOO,
    Chain,
    Colour,
    Egg,
    Folder,
    Frozen,
    Hen,
    Letters,
    Odd,
    Owner,
    Person,
    Size,
    Start,
    Tree,
    Wide,
)

SEEDS = [str(number) for number in range(20)]


class Address(TypedDict):
    street: str
    number: NotRequired[PositiveInt]


@dataclass
class Resident:
    name: str
    age: Annotated[int, Field(ge=0, lt=150)]
    homes: list[Address]


Nested = TypeAliasType("Nested", "list[Nested] | dict[str, Nested] | int")

# Types that need more than Pydantic.
MORE = [
    Nested,
    Address,
    Annotated[float, Interval(gt=5e-324, lt=1.5e-323)],
    Resident,
]
TYPES = [*itertools.chain(*ZOO.values()), *MORE]


def schema_of(annotation: Any, **options: Any) -> dict[str, Any]:
    return TypeAdapter(annotation).json_schema(**options)


@pytest.mark.parametrize("annotation", TYPES, ids=lambda annotation: str(annotation)[:80])
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
    schemas = [schema_of(annotation) for annotation in TYPES]
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
