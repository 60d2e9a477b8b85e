"""The start node's plain fields as people are told of them: name, type, default, constraints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast, get_args

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .. import _hints
from ..backends._samples import sample
from ..errors import MissingExtraError, shorten
from ..nodes import injected_fields
from ._document import json_of
from ._fields import Target, target_of, type_of

_SHOWN = 40
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "pattern": "matching {}",
}
_SIZES = {
    "minLength": ("at least", "character"),
    "maxLength": ("at most", "character"),
    "minItems": ("at least", "item"),
    "maxItems": ("at most", "item"),
}


@dataclass(frozen=True)
class Entry:
    """A field that the caller may fill: `names` lead to it from the start node, `keys` do so in JSON."""

    names: tuple[str, ...]
    keys: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """The dotted name, as `--set` takes it."""
        return ".".join(self.names)

    @cached_property
    def target(self) -> Target:
        """Where the value goes, and its type with all that narrows it."""
        return Target(self.keys, type_of(self.field))

    @property
    def description(self) -> str:
        """What the author says of it."""
        return self.field.description or ""

    @property
    def takes_none(self) -> bool:
        """Whether None is a value of it."""
        return type(None) in _hints.members(self.target.annotation)

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """The model to fill field by field, if it is one (or None) and nothing else."""
        members = [each for each in _hints.members(self.target.annotation) if each is not type(None)]
        return members[0] if len(members) == 1 and _has_fields(members[0]) else None

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """What JSON is taken, None left out; empty where that cannot be said in a schema."""
        return json_schema(self.target.annotation)

    @property
    def choices(self) -> list[Any]:
        """The JSON values to choose from, if they are few."""
        few = [False, True] if self.schema.get("type") == "boolean" else []
        options = [self.schema["const"]] if "const" in self.schema else self.schema.get("enum", few[::-1])
        return [each for each in options if each is not None]

    @property
    def is_secret(self) -> bool:
        """Whether nobody should see the value."""
        return "password" in (self.schema.get("format"), self._items.get("format"))

    @property
    def _items(self) -> Mapping[str, Any]:
        items = self.schema.get("items")
        return cast("Mapping[str, Any]", items) if isinstance(items, dict) else {}

    @cached_property
    def item(self) -> Target | None:
        """The type of a list's items; None where it is no list."""
        members = [each for each in _hints.members(self.target.annotation) if each is not type(None)]
        arguments = [each for each in get_args(members[0]) if each is not ...] if len(members) == 1 else []
        if self.schema.get("type") != "array" or "prefixItems" in self.schema:
            return None
        return Target(self.keys, arguments[0] if len(arguments) == 1 else Any)

    @property
    def type_name(self) -> str:
        """The type as people write it, choices listed."""
        if not self.choices or self.schema.get("type") == "boolean":
            return self.target.type_name
        return " | ".join([*map(text_of, self.choices), *(["None"] if self.takes_none else [])])

    @property
    def default(self) -> str:
        """The default as JSON; empty if there is none."""
        if self.field.is_required():
            return ""
        if self.field.default_factory is not None:
            made: Any = self.field.default_factory
            return json.dumps(json_of(made())) if made in (list, dict) else "made when needed"
        is_told = self.field.default is not PydanticUndefined
        return shorten(json.dumps(json_of(self.field.default), ensure_ascii=False), _SHOWN) if is_told else ""

    @property
    def constraints(self) -> list[str]:
        """What narrows the type, each in a few words."""
        return [*_limits(self.schema), *(f"each {limit}" for limit in _limits(self._items))]

    @property
    def inner(self) -> list[Entry]:
        """The fields of its model."""
        return entries(self.model, self) if self.model is not None else []


def entries(cls: type[BaseModel], around: Entry | None = None) -> list[Entry]:
    """Return *cls*'s plain fields; *around* is the field that holds them."""
    injected = injected_fields(cls)
    names, keys = (around.names, around.keys) if around is not None else ((), ())
    return [
        Entry((*names, name), (*keys, *target_of(cls, [name]).keys), field)
        for name, field in cls.__pydantic_fields__.items()
        if name not in injected
    ]


def entry_at(cls: type[BaseModel], keys: Sequence[Any]) -> Entry | None:
    """Return the field that *keys* lead to; None if models alone do not lead there."""
    found: Entry | None = None
    for size in range(1, len(keys) + 1):
        known = entries(cls) if found is None else found.inner
        found = next((each for each in known if each.keys == tuple(keys[:size])), None)
        if found is None:
            return None
    return found


def leaves(cls: type[BaseModel], values: Mapping[str, Any]) -> Iterator[tuple[Entry, Any]]:
    """Yield each field that has a value, models taken apart, and the value."""
    todo = [(entry, values) for entry in reversed(entries(cls))]
    while todo:
        entry, around = todo.pop()
        if entry.keys[-1] not in around:
            continue
        value = around[entry.keys[-1]]
        if entry.model is not None and isinstance(value, dict):
            todo.extend((each, cast("Mapping[str, Any]", value)) for each in reversed(entry.inner))
        else:
            yield entry, value


def text_of(choice: Any) -> str:
    """Return a choice as people type it."""
    return choice if isinstance(choice, str) else json.dumps(choice, ensure_ascii=False)


def json_schema(annotation: Any) -> Mapping[str, Any]:
    """Return the JSON schema of *annotation*, references and None opened; empty where there is none."""
    try:
        schema = TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        return {}
    definitions = schema.get("$defs", {})
    return {**_opened(schema, definitions), "$defs": definitions}


def json_example(schema: Mapping[str, Any]) -> str:
    """Return a value of what can only be typed as JSON; empty for anything else."""
    branches = schema.get("oneOf") or schema.get("anyOf") or [schema]
    opened = [_opened(each, schema.get("$defs", {})) for each in branches]
    if not all(each.get("type") in ("object", "array") for each in opened):
        return ""
    try:
        return json.dumps(sample(schema, ""), ensure_ascii=False)
    except (ValueError, MissingExtraError):  # nothing fits, or a pattern needs a package that is not there
        return ""


def _opened(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    while True:
        branches = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        numbers = [each for each in branches if each.get("type") in ("integer", "number")]
        if "$ref" in schema:
            schema = definitions.get(schema["$ref"].removeprefix("#/$defs/"), {})
        elif len(branches) == 1:
            schema = branches[0]
        elif numbers and [each.get("type") for each in branches if each not in numbers] == ["string"]:
            schema = numbers[0]  # a Decimal may be written as a string, too
        else:
            return schema


def _has_fields(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, BaseModel) and not issubclass(member, RootModel)


def _limits(schema: Mapping[str, Any]) -> list[str]:
    limits = [said.format(_short(schema[key])) for key, said in _LIMITS.items() if key in schema]
    for key, (bound, noun) in _SIZES.items():
        if key in schema and "prefixItems" not in schema:  # a tuple's type shows how many there are
            limits.append(f"{bound} {schema[key]} {noun}{'' if schema[key] == 1 else 's'}")
    return [*limits, *(["all different"] if schema.get("uniqueItems") else [])]


def _short(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
