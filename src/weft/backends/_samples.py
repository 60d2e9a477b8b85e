"""Values that mean nothing but fit a type: what the offline back-end answers with.

The sampler walks the JSON schema Pydantic wrote. While shallow it fills everything; once deep it takes only
what is required, and every $ref it follows must have a lower rank than the one before, so it always ends.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import chain, count, islice, repeat
from random import Random
from string import ascii_lowercase
from typing import Any, TypeAlias

from ..errors import MissingExtraError, shorten

_DEEP = 6  # A $ref counts as a step, so this is about three models deep.
_MANY = 1000  # Values made while shallow: wide recursive models would otherwise explode.
_TRIES = 100  # Per distinct item or key: what does not come up in so many draws does not exist.
_REACH = 98  # How many steps a number goes from its only bound.

_Schema: TypeAlias = Mapping[str, Any]
_Part: TypeAlias = _Schema | bool


def sample(schema: Mapping[str, Any], seed: str) -> Any:
    """Return a JSON value valid for *schema*; the same seed gives the same value in every process.

    Raises:
        ValueError: if nothing fits; its line names the keywords and the place.
        MissingExtraError: if a ``pattern`` must be followed and the package rstr is not installed.
    """
    return _Sampler(schema, seed).value(schema, _Spot())


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in the value: what errors point at, what texts are called after, which $refs may follow."""

    path: str = "$"
    name: str = ""
    numbers: tuple[int, ...] = ()
    depth: int = 0
    rank: float = math.inf

    def field(self, name: str) -> _Spot:
        return replace(self, path=f"{self.path}.{name}", name=name, depth=self.depth + 1)

    def item(self, number: int) -> _Spot:
        return replace(self, path=f"{self.path}[]", numbers=(*self.numbers, number), depth=self.depth + 1)

    def text(self, schema: _Schema) -> str:
        about = shorten(" ".join(schema.get("description", "").split()), 60)
        number = f" {'.'.join(map(str, self.numbers))}" if self.numbers else ""
        return f"offline text for {self.name or schema.get('title', 'value')}{number}{about and f': {about}'}"

    def nothing(self, schema: _Schema, *keywords: str) -> ValueError:
        given = ", ".join(f"{key} {shorten(schema[key])}" for key in keywords if key in schema)
        return ValueError(f"no value fits the schema at {self.path}: {given}")


class _Sampler:
    """One walk over one schema."""

    def __init__(self, schema: _Schema, seed: str) -> None:
        self.random = Random(seed)
        self._definitions = {f"#/$defs/{name}": each for name, each in schema.get("$defs", {}).items()}
        self._ranks: dict[str, int] | None = None
        self._shallow_values = 0

    def value(self, schema: _Part, spot: _Spot) -> Any:
        self._shallow_values += spot.depth <= _DEEP
        given = _merged(schema)
        if given.keys() & {"$ref", "allOf"}:
            return self.composed(given, spot)
        if given.keys() & {"const", "enum"}:
            return self.chosen(given, spot)
        if given.keys() & {"anyOf", "oneOf"}:
            return self.any_of(given, spot)
        kind = given.get("type") or next((_IMPLIED[key] for key in given if key in _IMPLIED), "string")
        if not isinstance(kind, str):
            return self.any_of({**_without(given, "type"), "anyOf": [{"type": each} for each in kind]}, spot)
        if kind not in _BY_TYPE:
            raise spot.nothing(given, "type")
        return _BY_TYPE[kind](self, given, spot)

    def _is_deep(self, spot: _Spot) -> bool:
        return spot.depth > _DEEP or self._shallow_values > _MANY

    def _rank(self, schema: _Schema) -> float:
        """Return how many $refs high the least value is: 0 without a $ref, infinity if it never ends."""
        if self._ranks is None:
            self._ranks = {}
            for rank in count(1):
                ended = {}
                for name, definition in self._definitions.items():
                    with suppress(ValueError):  # It needs a definition that did not end in an earlier round.
                        self.value(definition, _Spot(depth=_DEEP + 1))
                        ended[name] = rank
                if ended.keys() <= self._ranks.keys():
                    break
                self._ranks = ended | self._ranks
        return self._ranks.get(schema["$ref"], math.inf) if "$ref" in schema else 0

    def composed(self, schema: _Schema, spot: _Spot) -> Any:
        """Return a value for $ref and allOf, merged with what stands beside them."""
        parts = [_without(schema, "allOf"), *map(_merged, schema.get("allOf", ()))]
        references = [part for part in parts if "$ref" in part]
        ranks = [self._rank(part) for part in references] if self._is_deep(spot) else []
        unknown = any(part["$ref"] not in self._definitions for part in references)
        if unknown or any(rank >= spot.rank for rank in ranks):
            raise spot.nothing(schema, "$ref", "allOf")
        found = [self._definitions[part["$ref"]] for part in references]
        whole = _merged(*found, *(_without(part, "$ref") for part in reversed(parts)))
        return self.value(whole, replace(spot, depth=spot.depth + 1, rank=min([spot.rank, *ranks])))

    def any_of(self, schema: _Schema, spot: _Spot) -> Any:
        """Return a value for the first branch that has one."""
        beside = _without(schema, "anyOf", "oneOf", "discriminator")
        branches = [_merged(each, beside) for key in ("anyOf", "oneOf") for each in schema.get(key, ())]
        failure = spot.nothing(schema, "anyOf", "oneOf")
        for branch in self._ordered(branches, spot):
            try:
                return self.value(branch, spot)
            except ValueError as error:
                failure = error
        raise failure

    def _ordered(self, branches: list[_Schema], spot: _Spot) -> list[_Schema]:
        """Return the branches in any order, but null last; when deep, null first and then the lowest rank."""
        kinds = {branch.get("type") for branch in branches}
        deep = self._is_deep(spot)

        def preference(branch: _Schema) -> tuple[bool, float]:
            is_null, is_text = (branch.get("type") == kind for kind in ("null", "string"))
            # Decimal, ByteSize and others are written as a number or a string, and not every string will do.
            vague = is_text and not branch.keys() & {"const", "enum", "format"}
            return vague and bool(kinds & {"number", "integer"}), self._rank(branch) - is_null if deep else is_null

        return sorted(self.random.sample(branches, len(branches)), key=preference)

    def chosen(self, schema: _Schema, spot: _Spot) -> Any:
        few = _FEW.get(schema.get("type", ""), [])
        options = [schema["const"]] if "const" in schema else schema.get("enum", few)
        if not options:
            raise spot.nothing(schema, "enum")
        return self.random.choice(options)

    def number(self, schema: _Schema, spot: _Spot) -> float:
        """Return a number with as few decimals as the bounds allow."""
        whole, unit = schema.get("type") == "integer", Fraction(str(schema.get("multipleOf", 1)))
        lows, highs = (_limits(schema, bound, whole=whole) for bound in ("minimum", "maximum"))
        for decimals in [0] if whole or "multipleOf" in schema else range(1, 326):
            # The integers among the multiples of a reduced fraction p/q are the multiples of p.
            step = Fraction(unit.numerator) if whole else unit / 10**decimals
            firsts = [math.ceil(Fraction(str(low)) / step) for low in lows]
            lasts = [math.floor(Fraction(str(high)) / step) for high in highs]
            first = max(firsts) if firsts else min([1, *(last - _REACH for last in lasts if last < 1)])
            last = min(lasts) if lasts else first + _REACH
            if first <= last:
                number = self.random.randint(first, last) * step
                return int(number) if whole else float(number)
        raise spot.nothing(schema, "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")

    def string(self, schema: _Schema, spot: _Spot) -> str:
        low, high = _sizes(schema, "Length")
        if schema.get("contentMediaType") == "application/json":
            # Pydantic counts what the JSON holds, not its characters.
            content = _merged(schema.get("contentSchema", True), {"minLength": low, "maxLength": high})
            return json.dumps(self.value(content, replace(spot, depth=spot.depth + 1)))
        pattern = schema.get("pattern", "")
        try:
            for text in self._texts(schema, spot, low, high):
                if low <= len(text) <= high and re.search(pattern, text):
                    return text
        except (re.error, LookupError) as error:
            raise spot.nothing({"pattern": f"{pattern} ({error!r})"}, "pattern") from error
        raise spot.nothing(schema, "format", "pattern", "minLength", "maxLength")

    def _texts(self, schema: _Schema, spot: _Spot, low: int, high: float) -> Iterator[str]:
        """Yield texts of the format, then of the pattern; the first that fits is taken."""
        text, draw = spot.text(schema), self.random.getrandbits(48)
        if len(text) > high and spot.numbers:
            # Cut to a few letters all texts would be alike, and a set wants them distinct.
            text = "".join(self.random.choices(ascii_lowercase, k=int(high)))
        slug = "-".join(re.findall("[a-z0-9]+", f"{spot.name} {spot.numbers}".lower())) or "value"
        # Pydantic counts the decoded bytes; three of them are written as four characters.
        raw = _fitted(f"offline bytes for {slug}", low, min(high, 9999) // 4 * 3)
        moment = datetime(2025, 6, 1, tzinfo=UTC) + timedelta(minutes=draw % (240 * 24 * 60))
        words = {"text": text, "b64": b64encode(raw.encode()).decode(), "moment": moment}
        numbers = {"byte": draw % 256, "hex": f"{draw:012x}"}
        template = _FORMATS.get(schema.get("format", ""), "{text}")
        for name in (slug, slug[0]):
            text = template.format(slug=name, **words, **numbers)
            yield _fitted(text, low, high) if template.endswith(("{text}", "{slug}")) else text
        for drawn in _drawn(schema["pattern"], self.random) if "pattern" in schema else ():
            yield drawn
            yield _fitted(drawn, low, high, drawn[-1:] or "x")

    def array(self, schema: _Schema, spot: _Spot) -> list[Any]:
        prefix = schema.get("prefixItems", ())
        parts = enumerate(chain(prefix, repeat(schema.get("items", True))), 1)
        items = ((number, self.value(part, spot.item(number))) for number, part in parts)
        usual = len(prefix) or (self.random.randint(1, 2) if "items" in schema else 0)
        return [*self._filled(items, usual, schema, spot, "Items").values()]

    def mapping(self, schema: _Schema, spot: _Spot) -> dict[str, Any]:
        fields, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        other = next(iter(patterns.values()), schema.get("additionalProperties", True))
        names = dict.fromkeys([*schema.get("required", ()), *fields])
        named = ((name, self.value(fields.get(name, other), spot.field(name))) for name in names)
        spots = map(spot.item, count(1))
        others = ((self._key(schema, each), self.value(other, each)) for each in spots)
        usual = len(fields) or int("additionalProperties" in schema or bool(patterns))
        return self._filled(chain(named, others), usual, schema, spot, "Properties")

    def _key(self, schema: _Schema, spot: _Spot) -> str:
        if not schema.keys() & {"patternProperties", "propertyNames"}:
            # dict[int, ...] and dict[str, ...] have the same schema: only digits are keys of both.
            return str(spot.numbers[-1])
        patterns = [{"pattern": pattern} for pattern in schema.get("patternProperties", ())]
        names = _merged(schema.get("propertyNames", {}), *patterns[:1], {"type": "string"})
        return str(self.value(names, spot))

    def _filled(
        self, pairs: Iterator[tuple[Any, Any]], usual: int, schema: _Schema, spot: _Spot, what: str
    ) -> dict[Any, Any]:
        """Return as many of the pairs as usual, or as few as must be, if deep or if there are no more."""
        low, high = _sizes(schema, what)
        least = max(low, len(schema.get("required", ())))
        wanted = int(least if self._is_deep(spot) else min(high, max(least, usual)))
        made: dict[Any, Any] = {}
        try:
            for key, value in islice(pairs, _TRIES * wanted):
                if not schema.get("uniqueItems") or value not in made.values():
                    made.setdefault(key, value)
                if len(made) == wanted:
                    break
        except ValueError:
            if len(made) < least:
                raise
        if not least <= len(made) <= high:
            sizes = [keyword for keyword in schema if keyword.startswith(("min", "max"))]
            raise spot.nothing(schema, "required", *sizes, "uniqueItems", "propertyNames")
        return made


class _Draw(Random):
    """Draws for rstr: short, plain, and sorted, as rstr draws from sets, whose order no seed decides."""

    longest = 0

    def choice(self, seq: Any) -> Any:
        if isinstance(seq[0], str):
            seq = sorted(each for each in seq if each.isalnum()) or sorted(seq)
        return super().choice(seq)

    def randint(self, a: int, b: int) -> int:
        return super().randint(a, min(b, a + self.longest))


def _drawn(pattern: str, random: Random) -> Iterator[str]:
    try:
        import rstr
    except ImportError as error:
        raise MissingExtraError("offline", "rstr", needed_for=f"offline text for {pattern!r}") from error
    draw = _Draw(random.random())
    # Short ones first: long repeats rarely fit, but a lookahead or a minLength may need them.
    for longest in (*range(5, -1, -1), *range(100)):
        draw.longest = longest
        yield rstr.Rstr(draw).xeger(pattern)


def _without(schema: _Schema, *keywords: str) -> _Schema:
    return {keyword: value for keyword, value in schema.items() if keyword not in keywords}


def _merged(*schemas: _Part) -> _Schema:
    """Return one schema in long form that asks for all that *schemas* ask for; of several titles the last."""
    merged: dict[str, Any] = {}
    for schema in schemas:
        long = _LONG_FORM[schema] if isinstance(schema, bool) else schema
        for key, value in long.items():
            keyword = _ALIASES.get(key, key)
            join = _JOINS.get(keyword) if keyword in merged else None
            merged[keyword] = join(merged[keyword], value) if join else value
    return merged


def _sizes(schema: _Schema, what: str) -> tuple[int, float]:
    # Beside a union of lists, too, Pydantic writes minLength.
    low = max(schema.get(f"min{what}", 0), schema.get("minLength", 0))
    return low, min(schema.get(f"max{what}", math.inf), schema.get("maxLength", math.inf))


def _limits(schema: _Schema, bound: str, *, whole: bool) -> list[float]:
    """Return the inclusive bound, and the exclusive one moved to the next number it allows."""
    limits = [schema[bound]] if bound in schema else []
    exclusive = f"exclusive{bound.title()}"
    if exclusive in schema and whole:
        limit = schema[exclusive]
        limits.append(math.floor(limit) + 1 if bound == "minimum" else math.ceil(limit) - 1)
    elif exclusive in schema:
        limits.append(math.nextafter(schema[exclusive], math.inf if bound == "minimum" else -math.inf))
    return limits


def _fitted(text: str, low: int, high: float, pad: str = ".") -> str:
    return (text if len(text) <= high else text[: int(high)].rstrip()).ljust(low, pad)


_BY_TYPE: Mapping[str, Callable[[_Sampler, _Schema, _Spot], Any]] = {
    "null": _Sampler.chosen,
    "boolean": _Sampler.chosen,
    "integer": _Sampler.number,
    "number": _Sampler.number,
    "string": _Sampler.string,
    "array": _Sampler.array,
    "object": _Sampler.mapping,
}
_FEW: Mapping[str, list[Any]] = {"null": [None], "boolean": [False, True]}
_LONG_FORM: Mapping[bool, _Schema] = {True: {}, False: {"enum": []}}
_IMPLIED = {"properties": "object", "additionalProperties": "object", "items": "array", "minimum": "number"}
_ALIASES = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_JOINS: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    "enum": lambda some, others: [each for each in some if each in others],
    "properties": lambda some, others: {**some, **others},
    "required": lambda some, others: [*some, *others],
}
# What ends in a word is still of its format when it is cut or padded. Every address is reserved for examples.
_FORMATS: Mapping[str, str] = {
    **dict.fromkeys(("base64", "base64url"), "{b64}"),
    "binary": "offline bytes for {slug}",
    "color": "#{hex:.6}",
    "date": "{moment:%Y-%m-%d}",
    "date-time": "{moment:%Y-%m-%dT%H:%M:00Z}",
    "duration": "PT{byte}M",
    **dict.fromkeys(("email", "idn-email"), "{slug}@example.com"),
    "fraction": "{byte}/7",
    "hostname": "{slug}.example.com",
    **dict.fromkeys(("ipv4", "ipvanyaddress"), "192.0.2.{byte}"),
    **dict.fromkeys(("ipv4interface", "ipvanyinterface"), "192.0.2.{byte}/24"),
    **dict.fromkeys(("ipv4network", "ipvanynetwork"), "192.0.2.{byte}/32"),
    "ipv6": "2001:db8::{hex:.4}",
    "ipv6interface": "2001:db8::{hex:.4}/32",
    "ipv6network": "2001:db8:{hex:.4}::/48",
    "json-string": '"{slug}"',
    "multi-host-uri": "postgresql://offline@db.example.com:5432/{slug}",
    "name-email": "Offline Example <{slug}@example.com>",
    **dict.fromkeys(("path", "file-path", "directory-path"), "offline-{slug}"),
    "phone": "+1 202 555 01{moment:%M}",
    "regex": "^{slug}$",
    "time": "{moment:%H:%M:00}",
    "uri": "https://example.com/{slug}",
    **{f"uuid{n or ''}": f"{{hex:.8}}-{{hex:.4}}-{n or 4}{{hex:.3}}-8{{hex:.3}}-{{hex}}" for n in range(9)},
    "zoneinfo": "UTC",
}
