"""Values are varied so that code goes every way that it can."""

import json
import os
import subprocess
import sys
from datetime import date, datetime, time
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from weft import Graph, Node
from weft.backends._samples import sample
from weft.testing import explore
from weft.testing._variants import Constants, combinations, constants_of, variants, wrong_answers

ROOT = Path(__file__).parents[2]
LARGE = 250
WORDS = ["refund", "chargeback"]
BANNED = {"casino", "lottery"}
TABLE = {"alpha": 1, "omega": {"deep": 4242}}
SHUT = date(2031, 3, 4)


class Cfg:
    WORD = "swordfish"
    LIMIT = 777

    @staticmethod
    def is_known(text):
        return text == "from a static method"


class Colour(Enum):
    RED = "rouge"
    BLUE = "bleu"


class Yes(Node):
    text: str


class No(Node):
    text: str


# --- The ways that code goes


class InList(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if any(each in self.text for each in WORDS) else No


class InSet(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text in BANNED else No


class InTable(Node):
    text: str
    size: int

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if any((self.text, self.size) == pair for pair in TABLE.items()) else No


class OfClass(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text == Cfg.WORD else No


class OwnConstant(Node):
    word: ClassVar[str] = "tulip"
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text == self.word else No


class OfEnum(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text == Colour.BLUE.value else No


class Dated(Node):
    due: date

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.due < date(2024, 1, 1) else No


class OnTheDay(Node):
    due: date

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.due == date(2024, 2, 29) else No


class OnGlobalDay(Node):
    due: date

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.due == SHUT else No


class Soon(Node):
    due: date

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if 0 <= (self.due - date.today()).days <= 14 else No  # noqa: DTZ011


class Evening(Node):
    at: datetime

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.at.hour == 21 else No


class Late(Node):
    at: time

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.at.hour > 22 else No


class Keyed(Node):
    counts: dict[str, int]

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.counts.get("errors", 0) > 5 else No


class AnyCount(Node):
    counts: dict[str, int]

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if max(self.counts.values(), default=0) > 5000 else No


class Worded(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if len(self.text.split()) > 12 else No


class Digits(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text.isdigit() else No


class Blank(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.text and not self.text.strip() else No


class Lines(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if "?" in self.text and len(self.text.splitlines()) > 1 else No


class Foreign(Node):
    text: str

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return No if self.text.isascii() else Yes


class Three(Node):
    a: int
    b: int
    c: bool

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.a > 100 and self.b < -7 and self.c else No


class ThreeEqual(Node):
    a: int
    b: str
    c: bool
    d: list[str]

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.a == 31 and self.b == "go" and not self.d else No


class Matched(Node):
    text: str
    n: float = Field(ge=0, le=1)

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        match (self.text, self.n):
            case ("go", n) if n > 0.75:
                return Yes
            case _:
                return No


class Inside(Node):
    n: float = Field(gt=0, lt=1)

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if 0.75 < self.n < 0.8 else No


class Pair(Node):
    pair: tuple[str, int]

    async def __call__(self) -> "type[Yes] | type[No]":  # noqa: PYI055
        return Yes if self.pair == ("go", 99) else No


DECIDING = [each for each in list(globals().values()) if isinstance(each, type) and each.__module__ == __name__]
DECIDING = [each for each in DECIDING if issubclass(each, Node) and each not in {Yes, No}]


@pytest.mark.parametrize("node", DECIDING, ids=lambda node: node.__name__)
def test_values_are_found_for_both_ways(node):
    class Begin(Node):
        async def __call__(self) -> "node": ...

    found = explore(Graph(start=Begin), Begin())

    assert found.unreached_nodes == ()


def test_a_division_by_a_sum_of_zeros_is_found():
    class Begin(Node):
        async def __call__(self) -> "Weights": ...

    class Weights(Node):
        each: list[float]

        async def __call__(self) -> "type[Yes]":
            [one / sum(self.each) for one in self.each]
            return Yes

    found = explore(Graph(start=Begin), Begin())

    assert any(isinstance(path.error, ZeroDivisionError) for path in found.failures)


def test_answers_to_optional_fields_are_rejected_all_the_same():
    class Begin(Node):
        async def __call__(self) -> "Loose": ...

    class Loose(Node):
        note: str | None = None
        size: int | None = None

    explore(Graph(start=Begin), Begin()).check()


# --- What the constants of code are


def code_with_constants(self):
    if self.kind in ("odd", "even") or len(self.text) > 7:
        return limit_of(self)
    return [each for each in self.items if each.startswith("x-")]


def limit_of(self):
    return self.size > LARGE


def test_the_constants_of_code_are_those_in_it_and_in_what_it_calls():
    found = constants_of(code_with_constants)

    assert {"odd", "even", "x-"} <= set(found.texts)
    assert {7, LARGE} <= set(found.numbers)


def test_the_constants_around_a_function_are_found_too():
    limit = 31

    def code(self):
        return self.size > limit

    assert 31 in constants_of(code).numbers


def code_with_values(self):
    if self.text in BANNED or any(each in self.text for each in WORDS) or self.due > SHUT:
        return Cfg.LIMIT, Cfg.is_known(self.text), Colour.RED
    return [key for key, value in TABLE.items() if value]


def test_the_constants_in_lists_sets_tables_classes_and_enums_are_found():
    found = constants_of(code_with_values)

    assert {*WORDS, *BANNED, "alpha", "omega", "deep", "from a static method", "rouge", "bleu"} <= set(found.texts)
    assert {777, 1, 4242} <= set(found.numbers)
    assert "swordfish" not in found.texts
    assert found.moments == (SHUT,)


def test_a_long_list_leaves_room_for_other_constants_and_none_is_endless():
    many = [f"word {number}" for number in range(10_000)]
    ring = ["round"]
    ring.append(ring)

    def code(self):
        return self.text in many or self.text in ring or self.size > float("-inf") or self.text == "last"

    found = constants_of(code, [float("inf"), float("nan"), 10**400])

    assert {"word 0", "round", "last"} <= set(found.texts)
    assert len(found.texts) < 200
    assert found.numbers == ()


# --- What may be written


class Inner(BaseModel):
    flag: bool
    weight: float | None = Field(gt=0, lt=1)


class Outer(BaseModel):
    name: str = Field(min_length=1, max_length=12)
    size: int = Field(ge=0, le=10)
    inner: Inner
    tags: list[str] = Field(max_length=3)
    kind: Literal["a", "b"]
    due: date
    at: datetime
    scores: dict[str, int] = Field(max_length=2)
    weights: list[float] = Field(min_length=1)


def test_every_place_of_a_value_is_varied_to_its_edges():
    value = {
        "name": "n",
        "size": 5,
        "inner": {"flag": True, "weight": 0.5},
        "tags": ["t"],
        "kind": "a",
        "due": "2025-06-01",
        "at": "2025-06-01T12:00:00Z",
        "scores": {"a": 1},
        "weights": [0.5, 0.5],
    }
    schema = TypeAdapter(Outer).json_schema()

    found = {each.what for each in variants(schema, value, Constants())}

    assert {
        "size = 0",
        "size = 10",
        "inner.flag = False",
        "inner.weight = None",
        "tags = []",
        "kind = 'b'",
        "name = 'nnnnnnnnnnnn'",
        "due = '1900-01-01'",
        "at = '2999-12-31T00:00:00Z'",
        "scores = {}",
        "scores.a = -1",
        "weights = [0.0]",
        "weights = [0.0, 0.0]",
    } <= found


@given(seed=st.integers(0, 10_000), numbers=st.lists(st.integers(-20, 20), max_size=3), text=st.text(max_size=5))
@settings(max_examples=60, deadline=None)
def test_whatever_the_value_each_variant_changes_it_in_one_place_and_fits_its_type(seed, numbers, text):
    adapter = TypeAdapter(Outer)
    schema = adapter.json_schema()
    value = sample(schema, str(seed))

    found = [each.value for each in variants(schema, value, Constants((text,), tuple(numbers)))]

    assert value not in found
    for each in found:
        adapter.validate_python(each)
    assert len({json.dumps(each) for each in found}) == len(found)


# --- Several places at once


def test_before_two_places_are_changed_all_are_and_any_three_values_meet_early():
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 0, "maximum": 3} for name in "abc"},
    }
    value = dict.fromkeys("abc", 1)

    found = [each.value for each in islice(combinations(schema, value, Constants(), "seed"), 120)]

    met = {(each["a"], each["b"], each["c"]) for each in found}
    assert len(met) == 4**3


def test_rows_are_early_even_where_there_are_very_many_constants():
    schema = TypeAdapter(dict[str, str]).json_schema()
    schema = {"type": "object", "properties": dict.fromkeys("abc", schema["additionalProperties"])}
    constants = Constants(tuple(f"word {number}" for number in range(190)))

    found = [each.what for each in islice(combinations(schema, dict.fromkeys("abc", "x"), constants, "seed"), 120)]

    assert "a = 'word 0' and b = 'word 0' and c = 'word 0'" in found
    assert len(set(found)) == 120


PRINTING = """
from tests.exploring.test_variants import *
schema = TypeAdapter(Outer).json_schema()
found = combinations(schema, sample(schema, "x"), constants_of(code_with_values), "seed")
print(*[each.what for each in islice(found, 500)], sep="\\n")
"""


def test_the_hash_seed_changes_nothing():
    def printed(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", PRINTING], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    first = printed("1")

    assert len(first.splitlines()) == 500
    assert printed("2") == first


# --- What must not be written


class Loose(BaseModel):
    note: str | None = None
    kind: Literal["a"] | None = None


class Strict(BaseModel):
    note: str | None = None
    inner: Inner = Inner(flag=True, weight=0.5)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Loose, ["This is not JSON."]),
        (Strict, [{"note": None, "inner": None}, "This is not JSON."]),
        (Inner, [{"flag": None, "weight": None}, {}, "This is not JSON."]),
    ],
)
def test_wrong_answers_are_surely_wrong(model, expected):
    answers = wrong_answers(model.model_json_schema())

    assert [next(answers) for _ in expected] == expected
    for each in expected:
        with pytest.raises(ValueError, match="validation error"):
            model.model_validate(each)
