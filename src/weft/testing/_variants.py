"""Other values than the one at hand: what a model might as well have written, and what it must not write.

A value is varied one place at a time, with the edges of its schema first, and what the code that reads it compares
with: every constant of that code is tried, and the numbers beside it.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

from .._bodies import innermost
from ..backends._samples import sample

_Schema: TypeAlias = Mapping[str, Any]
_MAX_DEPTH = 4  # of nested models, and of functions that a body calls
_LONGEST = 10_000
_SAMPLES = 10
_SECONDS = 12


@dataclass(frozen=True, slots=True)
class Constants:
    """What code compares with."""

    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A value with one place changed; `what` says which, as people write it."""

    what: str
    value: Any = field(repr=False)


def constants_of(*functions: Any) -> Constants:
    """Return the constants in *functions* and in the functions they name."""
    seen: set[types.CodeType] = set()
    found = dict.fromkeys(each for function in functions for each in _constants(function, seen, 0))
    texts = tuple(each for each in found if isinstance(each, str))
    numbers = tuple(each for each in found if isinstance(each, int | float) and not isinstance(each, bool))
    return Constants(texts, numbers)


def _constants(function: Any, seen: set[types.CodeType], depth: int) -> Iterator[Any]:
    function = innermost(function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or code in seen or depth > _MAX_DEPTH:
        return
    inner = list(_code_objects(code))
    seen.update(inner)
    names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    for each in inner:
        yield from _flat(each.co_consts)
        for known in (names[name] for name in each.co_names + each.co_freevars if name in names):
            yield from _constants(known, seen, depth + 1) if callable(known) else _flat((known,))


def methods_named_in(function: Any, cls: type) -> list[Any]:
    """Return the methods and properties of *cls* that *function* names."""
    code = getattr(innermost(function), "__code__", None)
    names = {name for each in _code_objects(code) for name in each.co_names} if code is not None else set[str]()
    found = [vars(base)[name] for base in cls.__mro__ for name in sorted(names & vars(base).keys())]
    return [getattr(each, "fget", each) for each in found]


def _code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _code_objects(each)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | frozenset):
            yield from _flat(value)
        elif isinstance(value, str | int | float):
            yield value


# --- Values that may be written


def variants(schema: _Schema, value: Any, constants: Constants) -> Iterator[Variant]:
    """Yield *value* with one place changed, the places in turn, until every place has run out of other values."""
    walk = _Walk(schema.get("$defs", {}), constants)
    turns = [[(spot.place, other) for other in walk.others(spot)] for spot in walk.spots(schema, value, (), 0)]
    for change in itertools.chain.from_iterable(itertools.zip_longest(*turns)):
        if change is not None:
            place, other = change
            yield Variant(f"{_dotted(place)} = {_shown(other)}", _with(value, place, other))


def combinations(schema: _Schema, value: Any, constants: Constants, seed: str) -> Iterator[Variant]:
    """Yield *value* with one place changed, then made up anew, then with two places changed."""
    yield from variants(schema, value, constants)
    for number in range(_SAMPLES):
        yield Variant(f"* made up anew, {number}", {**value, **sample(schema, f"{seed} {number}")})
    for one in variants(schema, value, constants):
        for both in itertools.islice(variants(schema, one.value, constants), _SECONDS):
            yield Variant(f"{one.what} and {both.what}", both.value)


def _dotted(place: Sequence[Any]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place).lstrip(".") or "value"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}… ({len(value)} long)"


_SHOWN = 40


def _with(value: Any, place: Sequence[Any], other: Any) -> Any:
    if not place:
        return other
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = other
    return changed


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in a value, what stands there, and the schemas of what may."""

    place: tuple[Any, ...]
    now: Any
    schemas: list[_Schema]


class _Walk:
    """One walk over a value beside its schema."""

    def __init__(self, definitions: _Schema, constants: Constants) -> None:
        self.definitions = definitions
        self.constants = constants

    def spots(self, schema: _Schema, value: Any, place: tuple[Any, ...], depth: int) -> Iterator[_Spot]:
        """Yield each place in *value*, the outermost object left out."""
        schemas = list(self._branches(schema))
        is_object, is_list = isinstance(value, dict), isinstance(value, list)
        if place or not is_object:
            yield _Spot(place, value, schemas)
        if depth > _MAX_DEPTH:
            return
        for branch in schemas:
            for name, part in branch.get("properties", {}).items() if is_object else ():
                if name in value:
                    yield from self.spots(part, value[name], (*place, name), depth + 1)
            if is_list and value and "items" in branch:
                yield from self.spots(branch["items"], value[0], (*place, 0), depth + 1)

    def _branches(self, schema: _Schema) -> Iterator[_Schema]:
        """Yield the schemas that *schema* is a union of, references followed."""
        if "$ref" in schema:
            found = self.definitions.get(schema["$ref"].rpartition("/")[2], {})
            yield from self._branches({**found, **{key: each for key, each in schema.items() if key != "$ref"}})
            return
        for key in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(key, ()):
                yield from self._branches(each)
        yield schema

    def others(self, spot: _Spot) -> Iterator[Any]:
        """Yield what may stand there instead of what does."""
        seen = [spot.now]
        for schema in spot.schemas:
            for other in self._others(schema, spot.now):
                if not any(other == each and type(other) is type(each) for each in seen):
                    seen.append(other)
                    yield other

    def _others(self, schema: _Schema, now: Any) -> Iterator[Any]:
        if "const" in schema or "enum" in schema:
            yield from schema.get("enum", [schema.get("const")])
            return
        others = _OTHERS.get(str(schema.get("type")))
        yield from others(self, schema, now) if others else ()

    def numbers(self, schema: _Schema, now: Any) -> Iterator[Any]:
        """Yield the edges of the range, small numbers, and what the code compares with."""
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        beside = [each + step for each in self.constants.numbers for step in (0, 1, -1)]
        is_whole = schema.get("type") == "integer"
        for each in [*beside, low, high, 0, 1, -1, _LONGEST]:
            if each is None or (is_whole and each != int(each)):
                continue
            if _is_between(schema, each):
                yield int(each) if is_whole else float(each)

    def texts(self, schema: _Schema, now: Any) -> Iterator[str]:
        """Yield what the code compares with, the shortest and the longest, and texts around the lengths it names."""
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        lengths = [int(each) + step for each in self.constants.numbers for step in (1, -1)]
        words = str(now or "x")
        sized = [_sized(words, each) for each in [low, *lengths, *([high] if high is not None else [])] if each >= 0]
        for each in [*self.constants.texts, *sized]:
            is_plain = "pattern" not in schema and "format" not in schema
            if is_plain and low <= len(each) <= (_LONGEST if high is None else high):
                yield each

    def lists(self, schema: _Schema, now: Any) -> Iterator[list[Any]]:
        """Yield the shortest and the longest, and lists around the lengths that the code names."""
        items = now if _is_list(now) else []
        low, high = schema.get("minItems", 0), schema.get("maxItems", 100)
        named = [int(each) + step for each in self.constants.numbers for step in (0, 1, -1)]
        for size in [low, len(items) + 1, *named, high]:
            if low <= size <= high and (items or not size) and not (schema.get("uniqueItems") and size > len(items)):
                yield [copy.deepcopy(items[index % len(items)]) for index in range(size)]

    def truths(self, schema: _Schema, now: Any) -> Iterator[bool]:
        yield from (True, False)

    def nothing(self, schema: _Schema, now: Any) -> Iterator[None]:
        yield None


_OTHERS: Mapping[str, Callable[[_Walk, _Schema, Any], Iterator[Any]]] = {
    "integer": _Walk.numbers,
    "number": _Walk.numbers,
    "string": _Walk.texts,
    "array": _Walk.lists,
    "boolean": _Walk.truths,
    "null": _Walk.nothing,
}


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_between(schema: _Schema, number: float) -> bool:
    return (
        schema.get("minimum", number) <= number <= schema.get("maximum", number)
        and not schema.get("exclusiveMinimum", number - 1) >= number
        and not schema.get("exclusiveMaximum", number + 1) <= number
        and not ("multipleOf" in schema and number % schema["multipleOf"])
    )


def _sized(text: str, size: int) -> str:
    size = min(size, _LONGEST)
    return (text * (size // len(text) + 1))[:size]


# --- Values that must not be written


def wrong_answers(schema: _Schema) -> Iterator[Any]:
    """Yield answers to be rejected: nothing in every field, nothing at all, and at last what is no JSON at all."""
    properties = schema.get("properties", {})
    if properties:
        yield dict.fromkeys(properties)
        yield {}
    while True:
        yield "This is not JSON."
