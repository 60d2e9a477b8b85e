"""Nodes as DSPy signatures: what a model is shown is inputs, what it writes is outputs, in the words of the node.

What a model writes is described by the JSON schema that every back-end uses, so that no docstring reaches it, and stays
JSON until the node's class validates it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal, cast, get_origin

import dspy
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import core_schema

from ... import _hints
from ..._spec import NodeSpec, spec_of
from ...lm import Option
from ...nodes import Node
from .._scrubbing import is_list, is_object

JSON = Mapping[str, Any]

# What Predict and examples keep for themselves, the end of an answer, and what goes back with a rejected one.
_KEPT = [
    *["signature", "demos", "config", "lm", "new_signature", "prediction", "self", "base", "augmented"],
    *["completed", "previous_attempts"],
]
_RESERVED = frozenset([*_KEPT, *dir(dspy.Signature), *dir(type(dspy.Signature))])
_SCALARS: Mapping[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
# JSON schema's word → pydantic's, which DSPy shows to the model.
_CONSTRAINTS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "multipleOf": "multiple_of",
}
_SAID_APART = ("default", "description")
_SAID_IN_WORDS = ("format", "pattern")


class Left(Enum):
    """The value of an output that the model left out, and may: the node's own default stands."""

    OUT = ""


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a signature: the name of what it holds, and what DSPy is told of it."""

    name: str
    type: Any
    schema: JSON
    description: str = ""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """What a signature is made from: the fields by the names that DSPy has for them."""

    title: str
    instruction: str
    sources: Mapping[str, FormField] = field(default_factory=dict[str, FormField])
    inputs: Mapping[str, FormField] = field(default_factory=dict[str, FormField])
    outputs: Mapping[str, FormField] = field(default_factory=dict[str, FormField])

    @classmethod
    def of_fill(cls, target: type[Node], source: type[Node] | None, *, is_start: bool = False) -> Form:
        """Return the form of filling *target*, having come from *source*."""
        spec = spec_of(target)
        wanted = [need.name for need in spec.needs]
        given = [*wanted, *(name for name in spec.plain if is_start)]
        names = _Names()
        inputs = {names.of(name): shown_field(target, name) for name in given if not _is_hidden(target, name)}
        outputs = {} if is_start else {names.of(each.name): each for each in _written(spec)}
        sources = {} if source is None else _of_source(source, names)
        return cls(target.__name__, spec.instruction, sources, inputs, outputs)

    @classmethod
    def of_choice(cls, node: type[Node], instruction: str, options: Sequence[Option]) -> Form:
        """Return the form of choosing one of *options* at *node*."""
        schema = {"enum": [option.name for option in options], "type": "string"}
        described = "; ".join(_described(option) for option in options)
        names = _Names()
        outputs = {names.of("choice"): FormField("choice", _annotation(schema, "str"), schema, described)}
        return cls(f"{node.__name__}Route", instruction, _of_source(node, names), {}, outputs)

    def signature(self) -> type[dspy.Signature]:
        """Return the signature that DSPy is given."""
        fields: dict[str, tuple[Any, Any]] = {}
        for name, each in [*self.sources.items(), *self.inputs.items()]:
            fields[name] = (each.type, dspy.InputField(**_desc(each.description)))
        for name, each in self.outputs.items():
            fields[name] = (each.type, dspy.OutputField(**_told(each)))
        made = dspy.Signature(fields, self.instruction, signature_name=re.sub(r"\W", "_", self.title))
        return cast("type[dspy.Signature]", made)


class _Names:
    """Names for the fields of one signature: each once, and none that DSPy keeps for itself."""

    def __init__(self) -> None:
        self._taken: set[str] = set(_RESERVED)

    def of(self, name: str, owner: str = "") -> str:
        """Return a name for the field *name*; one that is taken stands behind its *owner*'s."""
        name = re.sub(r"\W", "_", name).lstrip("_") or "field"
        if name in self._taken and owner:
            name = f"{_snake(owner)}_{name}"
        while name in self._taken or not name.isidentifier():
            name = f"{name}_" if name.isidentifier() else f"field_{name}"
        self._taken.add(name)
        return name


def _snake(name: str) -> str:
    return re.sub(r"\W", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def _of_source(source: type[Node], names: _Names) -> dict[str, FormField]:
    shown = [name for name in source.model_fields if not _is_hidden(source, name)]
    return {names.of(name, source.__name__): shown_field(source, name) for name in shown}


def _is_hidden(cls: type[Node], name: str) -> bool:
    return bool(cls.model_fields[name].exclude)


def shown_field(cls: type[Node], name: str) -> FormField:
    """Return a field of *cls* that a model is shown."""
    info = cls.model_fields[name]
    annotation = _hints.plain_type(info.annotation)
    called = _hints.shown(annotation)
    try:
        schema = TypeAdapter(annotation).json_schema()
    except (PydanticUserError, NameError):  # there is none, as for any class
        schema, annotation = {"type": called}, Any
    is_class = isinstance(annotation, type | types.GenericAlias | types.UnionType) or get_origin(annotation) is not None
    if annotation is Any or not is_class:
        annotation = _json_type(called, {})
    return FormField(name, annotation, schema, info.description or "")


# --- What a model writes -------------------------------------------------------------------------------------------


def _written(spec: NodeSpec) -> Iterator[FormField]:
    """Yield the fields that a model writes, by their names in the answer."""
    required = spec.schema.get("required", ())
    definitions = spec.schema.get("$defs", {})
    declared = {key: annotation for name, annotation in spec.plain.items() for key in _keys_of(spec.node, name)}
    for name, each in spec.schema.get("properties", {}).items():
        opened = _opened(each, definitions, set())
        schema = {key: value for key, value in opened.items() if key not in _SAID_APART}
        annotation = _annotation(schema, _hints.shown(_hints.plain_type(declared.get(name, Any))))
        yield FormField(name, annotation, schema, each.get("description", ""), name not in required)


def _keys_of(cls: type[Node], name: str) -> tuple[Any, ...]:
    info = cls.model_fields[name]
    return name, info.alias, info.validation_alias if isinstance(info.validation_alias, str) else None


def _opened(part: Any, definitions: JSON, named: set[str]) -> Any:
    """Return a schema with its references opened; one that holds others is opened once, and then referred to by anchor.

    DSPy has Pydantic write the schema, which knows no references but its own.
    """
    if is_list(part):
        return [_opened(each, definitions, named) for each in part]
    if not is_object(part):
        return part
    if not isinstance(reference := part.get("$ref"), str):
        return {key: _opened(each, definitions, named) for key, each in part.items()}
    name = reference.removeprefix("#/$defs/")
    beside = {key: each for key, each in part.items() if key != "$ref"}
    if name in named:
        return {"$dynamicRef": f"#{name}", **beside}
    holds_others = "'$ref'" in str(definitions[name])
    if holds_others:
        named.add(name)
    anchor = {"$dynamicAnchor": name} if holds_others else {}
    return {**anchor, **_opened(definitions[name], definitions, named), **beside}


def _annotation(schema: JSON, called: str) -> Any:
    """Return what DSPy parses a value of *schema* as: text, a number, a choice, or else JSON."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values and all(type(value) in (str, int) for value in values):
        return Literal[tuple(values)]
    if schema.get("type") in _SCALARS and not values:
        return _SCALARS[schema["type"]]
    match schema.get("anyOf"):
        case [{"type": kind, **rest}, {"type": "null"}] if kind in _SCALARS and not rest:
            return _SCALARS[kind] | None
        case [{"type": "string", **rest}, {"type": "null"}] if "enum" not in rest:
            return str | None
        case _:
            return _json_type(called, schema)


class AnyJSON:
    """A type that takes any JSON, and says that it is of a schema."""

    schema: ClassVar[JSON] = {}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, written: Any, handler: Any) -> dict[str, Any]:
        return dict(cls.schema)


def _json_type(called: str, schema: JSON) -> type:
    """Return a type that takes any JSON, and says it is *called* so and is of *schema*."""
    return type(called, (AnyJSON,), {"schema": schema})


# --- What a model is told of a field ---------------------------------------------------------------------------------


def _desc(text: str) -> dict[str, str]:
    return {"desc": text} if text else {}


def _told(each: FormField) -> dict[str, Any]:
    """Return the arguments of an output field: description, constraints, and what stands for a value left out."""
    is_plain = each.type in _SCALARS.values()
    limits = {_CONSTRAINTS[key]: value for key, value in each.schema.items() if key in _CONSTRAINTS and is_plain}
    words = [f"{key} {each.schema[key]}" for key in _SAID_IN_WORDS if is_plain and key in each.schema]
    if each.type == str | None:
        words += [f"{key} {value}" for key, value in each.schema["anyOf"][0].items() if key != "type"]
    if each.is_optional:
        words.append("may be left out")
    said = f"({', '.join(words)})" if words else ""
    default = {"default": Left.OUT} if each.is_optional else {}
    return {**_desc(f"{each.description} {said}".strip()), **limits, **default}


def _described(option: Option) -> str:
    fields = [f"{name} ({text})" if text else name for name, text in option.fields.items()]
    has = f", which has {', '.join(fields)}" if fields else ""
    return f"{option.name}{'' if option.instruction == option.name else f': {option.instruction}'}{has}"
