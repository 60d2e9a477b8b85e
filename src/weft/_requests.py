"""What a model is shown: to fill a node, to choose what comes next, or to do both in one call."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ._event import jsonable
from ._schemas import schemas_of
from ._spec import NodeSpec, spec_of
from .lm import LMRequest, Option
from .nodes import Node

STOP = "None"
CHOOSE = "Choose what comes next."
DECISION = "decision"


def fill_request(spec: NodeSpec, resolved: Mapping[str, Any], instruction: str, source: Node | None) -> LMRequest:
    """Return what a model is shown to fill *spec*'s node."""
    return LMRequest(
        kind="fill",
        target=spec.node.__name__,
        instruction=instruction,
        schema=spec.schema,
        source_name=None if source is None else type(source).__name__,
        source={} if source is None else _shown_fields(source),
        source_type=None if source is None else type(source),
        inputs=_shown_values(spec.node, resolved),
        tools=tuple(spec.node.node_config.tools or ()),
        node_type=spec.node,
    )


def choice_request(context: Node, options: Sequence[Option]) -> LMRequest:
    """Return what a model is shown to choose where to go from *context*."""
    names = [option.name for option in options]
    properties = {"choice": {"type": "string", "enum": names}}
    return LMRequest(
        kind="choose",
        target=type(context).__name__,
        instruction=CHOOSE,
        schema={"type": "object", "properties": properties, "required": ["choice"]},
        options=tuple(options),
        source_name=type(context).__name__,
        source=_shown_fields(context),
        node_type=type(context),
        source_type=type(context),
    )


def decision_request(
    context: Node, options: Sequence[Option], resolved: Mapping[type[Node], Mapping[str, Any]]
) -> LMRequest:
    """Return what a model is shown to choose where to go from *context*, and to write that node at once."""
    given = {option.name: _shown_values(option.type, resolved[option.type]) for option in options if option.type}
    return LMRequest(
        kind="decide",
        target=type(context).__name__,
        instruction="Choose what comes next, and write its fields.",
        schema=_decision_schema(tuple(option.type for option in options)),
        options=tuple(options),
        source_name=type(context).__name__,
        source=_shown_fields(context),
        inputs={name: values for name, values in given.items() if values},
        node_type=type(context),
        source_type=type(context),
    )


@functools.lru_cache(maxsize=128)
def _decision_schema(types: tuple[type[Node] | None, ...]) -> dict[str, Any]:
    """Return the union of what can be answered, told apart by the choice.

    It is a field of an object, since providers take no union at the root.
    """
    specs = {each.__name__: spec_of(each) for each in types if each is not None}
    fields, definitions = schemas_of({name: spec.written for name, spec in specs.items() if spec.plain})
    branches = [_branch(name, fields.get(name)) for name in _names(types)]
    decision = branches[0] if len(branches) == 1 else {"anyOf": branches}
    schema = _closed_object({DECISION: decision})
    return {**schema, "$defs": definitions} if definitions else schema


def _names(types: Sequence[type[Node] | None]) -> list[str]:
    return [STOP if each is None else each.__name__ for each in types]


def _branch(name: str, fields: dict[str, Any] | None) -> dict[str, Any]:
    choice = {"const": name, "type": "string"}
    return _closed_object({"choice": choice} if fields is None else {"choice": choice, "fields": fields})


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "properties": properties,
        "required": list(properties),
        "type": "object",
        "additionalProperties": False,
    }


def decision(choice: str, fields: Any = None) -> dict[str, Any]:
    """Return the answer that chooses *choice*, and writes *fields*, if it has any."""
    return {DECISION: {"choice": choice} if fields is None else {"choice": choice, "fields": fields}}


def option_of(candidate: type[Node] | None) -> Option:
    """Return *candidate*, None being a stop, as a model sees it."""
    if candidate is None:
        return Option(STOP, "Stop here: nothing comes next.", {}, None)
    spec = spec_of(candidate)
    described = {name: candidate.model_fields[name].description or "" for name in spec.plain}
    return Option(candidate.__name__, spec.instruction, described, candidate)


def _shown_fields(node: Node) -> dict[str, Any]:
    shown = {name: field for name, field in type(node).model_fields.items() if not field.exclude}
    return {name: jsonable(node.__dict__[name]) for name in shown if name in node.__dict__}


def _shown_values(cls: type[Node], values: Mapping[str, Any]) -> dict[str, Any]:
    fields = cls.model_fields
    return {name: jsonable(value) for name, value in values.items() if not fields[name].exclude}
