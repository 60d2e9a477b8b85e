"""Other values than the one at hand: what a model might as well have written, and what it must not write.

A value is varied one place at a time, with the edges of its schema first, and what the code that reads it compares
with: every constant of that code is tried, and the numbers beside it. Code that asks for several things at once is
met by values with many places changed.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias, TypeGuard

from ..backends._samples import sample
from ._constants import Constants, constants_of, methods_named_in
from ._moments import moments

__all__ = ["Constants", "Variant", "combinations", "constants_of", "methods_named_in", "variants", "wrong_answers"]

_Schema: TypeAlias = Mapping[str, Any]
_Place: TypeAlias = tuple[Any, ...]

_MAX_DEPTH = 4  # of nested models
_LONGEST = 10_000
_SHOWN = 40
_SAMPLES = 10
_SECONDS = 12
_SINGLES = 30  # changes in one place that come before any in several
_ROWS = 80
_TOGETHER = 3  # places of which every choice of values meets, as far as the rows suffice
_MOST_PLACES = 10
_MOST_VALUES = 4
_MOST_KEYS = 8
_PLAIN = ("   ", "0123", "One line.\nAnother?", "long " * 1000, "naïve café 東京 😀", "שלום עולם", "?")


@dataclass(frozen=True, slots=True)
class Variant:
    """A value with one place or more changed; `what` says which, as people write it."""

    what: str
    value: Any = field(repr=False)


def variants(schema: _Schema, value: Any, constants: Constants) -> Iterator[Variant]:
    """Yield *value* with one place changed, the places in turn, until every place has run out of other values."""
    turns = [[(place, other) for other in others] for place, others in _changes(schema, value, constants)]
    for change in _in_turn(*turns):
        yield _changed(value, [change])


def combinations(schema: _Schema, value: Any, constants: Constants, seed: str) -> Iterator[Variant]:
    """Yield *value* with one place changed, then made up anew and with many places changed in turn, then with two."""
    singles = variants(schema, value, constants)
    yield from itertools.islice(singles, _SINGLES)
    anew = (
        Variant(f"* made up anew, {number}", {**value, **sample(schema, f"{seed} {number}")})
        for number in range(_SAMPLES)
    )
    yield from _in_turn(_together(schema, value, constants, seed), anew, singles)
    for one in variants(schema, value, constants):
        for both in itertools.islice(variants(schema, one.value, constants), _SECONDS):
            yield Variant(f"{one.what} and {both.what}", both.value)


def _together(schema: _Schema, value: Any, constants: Constants, seed: str) -> Iterator[Variant]:
    """Yield *value* with as many places changed as go together."""
    changes = [each for each in _changes(schema, value, constants) if each[1]][:_MOST_PLACES]
    sizes = [min(len(others), _MOST_VALUES) + 1 for _, others in changes]
    for row in itertools.islice(_rows(sizes, seed), _ROWS):
        taken: dict[_Place, Any] = {}
        for (place, others), pick in zip(changes, row, strict=True):
            if pick and not any(place[: len(each)] == each for each in taken):
                taken[place] = others[pick - 1]
        if len(taken) > 1:
            yield _changed(value, taken.items())


def _rows(sizes: Sequence[int], seed: str) -> Iterator[list[int]]:
    """Yield rows of picks below *sizes*: all first, all second, then a few in which any three places meet in any way.

    A pick of 0 leaves a place as it is.
    """
    random, everywhere = Random(seed), tuple(range(len(sizes)))
    groups = list(itertools.combinations(everywhere, min(_TOGETHER, len(sizes))))
    some = [(group, picks) for group in groups for picks in itertools.product(*(range(sizes[each]) for each in group))]
    random.shuffle(some)
    some.sort(key=lambda each: max(each[1], default=0))  # the most telling first
    todo = [(everywhere, tuple(min(pick, size - 1) for size in sizes)) for pick in (1, 2)] + some
    covered: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for group, picks in todo:
        if (group, picks) not in covered:
            row = [random.randrange(size) for size in sizes]
            for each, pick in zip(group, picks, strict=True):
                row[each] = pick
            yield row
            covered.update((group, tuple(row[each] for each in group)) for group in (everywhere, *groups))


def _in_turn(*ways: Iterable[Any]) -> Iterator[Any]:
    nothing = object()
    turns = itertools.chain.from_iterable(itertools.zip_longest(*ways, fillvalue=nothing))
    return (each for each in turns if each is not nothing)


def _changes(schema: _Schema, value: Any, constants: Constants) -> list[tuple[_Place, list[Any]]]:
    """Return each place in *value*, and what may stand there instead, the most telling first."""
    walk = _Walk(schema.get("$defs", {}), constants)
    return [(spot.place, list(walk.others(spot))) for spot in walk.spots(schema, value, (), 0)]


def _changed(value: Any, changes: Iterable[tuple[_Place, Any]]) -> Variant:
    whats: list[str] = []
    for place, other in changes:
        whats.append(f"{_dotted(place)} = {_shown(other)}")
        value = _with(value, place, other)
    return Variant(" and ".join(whats), value)


def _dotted(place: Sequence[Any]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place).lstrip(".") or "value"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}… ({len(value)} long)"


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

    place: _Place
    now: Any
    schemas: list[_Schema]


class _Walk:
    """One walk over a value beside its schema."""

    def __init__(self, definitions: _Schema, constants: Constants) -> None:
        self.definitions = definitions
        self.constants = constants

    def spots(self, schema: _Schema, value: Any, place: _Place, depth: int) -> Iterator[_Spot]:
        """Yield each place in *value*, the outermost object left out."""
        schemas = list(self._branches(schema))
        if place or not isinstance(value, dict):
            yield _Spot(place, value, schemas)
        if depth <= _MAX_DEPTH:
            for branch in schemas:
                for key, part in _parts(branch, value):
                    yield from self.spots(part, value[key], (*place, key), depth + 1)

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
        """Yield what the code compares with, what is beyond all that and beside it, and the edges of the range."""
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        is_whole = schema.get("type") == "integer"
        named = [math.floor(each) if is_whole else each for each in self.constants.numbers]
        beyond = [max(named) + 1, min(named) - 1] if named else []
        beside = [each + step for step in (1, -1, *(() if is_whole else (0.01, -0.01))) for each in named]
        edges = [each + step for step in (0, 1, -1) for each in (low, high) if each is not None]
        for each in [*_in_turn(named, beyond), *beside, *edges[:2], 0, *edges[2:], 1, -1, _LONGEST]:
            if (not is_whole or each == int(each)) and _is_between(schema, each):
                yield int(each) if is_whole else float(each)

    def texts(self, schema: _Schema, now: Any) -> Iterator[str]:
        """Yield what the code compares with, in turn with other lengths, and then texts of many kinds.

        The lengths are the shortest, the longest if there is one, and those around the numbers of the code, as letters
        and as words. Blanks, digits, lines, a long text and other scripts follow. A date or a time is varied as one;
        what else has a format or a pattern is left alone.
        """
        kind = schema.get("format", "")
        if kind in {"date", "date-time", "time"}:
            yield from moments(kind, now, self.constants)
        if kind or "pattern" in schema:
            return
        low, high = schema.get("minLength", 0), schema.get("maxLength", _LONGEST)
        sizes = [math.floor(each) for each in self.constants.numbers if 0 <= each < _LONGEST]
        sizes = [*([max(sizes) + 1] if sizes else []), *(each + step for step in (1, -1, 0) for each in sizes)]
        letters = [_sized(str(now or "x"), each) for each in [low, *sizes] if each >= 0]
        words = [" ".join(["word"] * each) for each in sizes]
        longest = [_sized(str(now or "x"), schema["maxLength"])] if "maxLength" in schema else []
        sized = [*letters[:1], *longest, *_in_turn(words, letters[1:])]
        for each in [*_in_turn(self.constants.texts, sized), *_PLAIN]:
            if low <= len(each) <= high:
                yield each

    def lists(self, schema: _Schema, now: Any) -> Iterator[list[Any]]:
        """Yield the shortest and the longest, lists around the lengths that the code names, and other items."""
        items = now if _is_list(now) else []
        low, high = schema.get("minItems", 0), schema.get("maxItems", 100)
        named = [math.floor(each) + step for each in self.constants.numbers for step in (0, 1, -1)]
        for size in [low, len(items) + 1, *named, high]:
            if low <= size <= high and (items or not size) and not (schema.get("uniqueItems") and size > len(items)):
                yield [copy.deepcopy(items[index % len(items)]) for index in range(size)]
        part: object = schema.get("items")
        if _is_object(part) and "prefixItems" not in schema:
            for other in self._lists_of(part, items, max(low, 1)):
                if low <= len(other) <= high and not (schema.get("uniqueItems") and other[:1] * 2 == other[:2]):
                    yield other

    def _lists_of(self, part: _Schema, items: list[Any], size: int) -> Iterator[list[Any]]:
        """Yield lists of zeros, lists of one other item, and a list of the most telling items at once."""
        others = self._others_of(part, items[0] if items else None)
        zeros = [each for each in others if not each and isinstance(each, int | float) and not isinstance(each, bool)]
        telling = others[:_MOST_VALUES]
        lists = [
            *([each] * length for each in zeros for length in (size, len(items))),
            *([each] * size for each in telling),
            telling,
        ]
        # A list of one item has a place for it, where the same would come again.
        yield from (copy.deepcopy(each) for each in lists if not len(each) == len(items) == 1)

    def objects(self, schema: _Schema, now: Any) -> Iterator[dict[str, Any]]:
        """Yield an object with any keys without them, and with those that the code names."""
        part = schema.get("additionalProperties")
        if not _is_object(part) or not _is_object(now) or schema.get("properties"):
            return
        low, high = schema.get("minProperties", 0), schema.get("maxProperties", len(now) + 1)
        others = self._others_of(part, next(iter(now.values()), None))[:_MOST_VALUES]
        added = [{**now, key: copy.deepcopy(other)} for other in others for key in self._keys(schema) if key not in now]
        yield from (each for each in ({}, *added) if low <= len(each) <= high)

    def _keys(self, schema: _Schema) -> list[str]:
        names = next(self._branches(schema.get("propertyNames", {})))
        if "patternProperties" in schema or (names and "enum" not in names):
            return []
        numbers = [str(math.floor(each)) for each in self.constants.numbers]
        named: list[str] = names.get("enum", [*self.constants.texts[:_MOST_KEYS], *numbers[:_MOST_KEYS]])
        return named

    def _others_of(self, schema: _Schema, now: Any) -> list[Any]:
        return list(self.others(_Spot((), now, list(self._branches(schema)))))

    def truths(self, schema: _Schema, now: Any) -> Iterator[bool]:
        yield from (True, False)

    def nothing(self, schema: _Schema, now: Any) -> Iterator[None]:
        yield None


_OTHERS: Mapping[str, Callable[[_Walk, _Schema, Any], Iterator[Any]]] = {
    "integer": _Walk.numbers,
    "number": _Walk.numbers,
    "string": _Walk.texts,
    "array": _Walk.lists,
    "object": _Walk.objects,
    "boolean": _Walk.truths,
    "null": _Walk.nothing,
}


def _parts(schema: _Schema, value: Any) -> Iterator[tuple[Any, _Schema]]:
    """Yield the keys in *value* that are varied, with their schemas: of items and of any keys the first."""
    if _is_object(value):
        properties = schema.get("properties", {})
        yield from ((key, part) for key, part in properties.items() if key in value)
        part, others = schema.get("additionalProperties"), [key for key in value if key not in properties]
        if _is_object(part) and others:
            yield others[0], part
    elif _is_list(value):
        first = schema.get("prefixItems", [schema["items"]] if isinstance(schema.get("items"), dict) else [])
        yield from ((index, part) for index, part in enumerate(first[: len(value)]))


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


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
    """Yield answers to be rejected: nothing in every field, nothing at all, and at last what is no JSON at all.

    What the schema takes is left out: nothing where every field may be null, or where none is required.
    """
    properties = schema.get("properties", {})
    if not all(_takes_null(each, schema.get("$defs", {})) for each in properties.values()):
        yield dict.fromkeys(properties)
    if schema.get("required"):
        yield {}
    while True:
        yield "This is not JSON."


def _takes_null(schema: Any, definitions: _Schema, depth: int = 0) -> bool:
    """Return whether null may be written; True where that is hard to tell."""
    if not _is_object(schema) or depth > _MAX_DEPTH:
        return True
    if "$ref" in schema:
        return _takes_null(definitions.get(schema["$ref"].rpartition("/")[2]), definitions, depth + 1)
    kind = schema.get("type", "null")
    options = [each for key in ("anyOf", "oneOf") for each in schema.get(key, ())]
    return (
        "null" in kind
        and None in schema.get("enum", [schema.get("const")])
        and (not options or any(_takes_null(each, definitions, depth + 1) for each in options))
        and all(_takes_null(each, definitions, depth + 1) for each in schema.get("allOf", ()))
    )
