"""A program: one prompt of a graph as DSPy sees it, and the way of its values there and back."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dspy

from ..._event import jsonable
from ..._requests import CHOOSE, option_of
from ...lm import LMRequest, Option
from ...nodes import Node
from .._scrubbing import is_list, is_object
from .signatures import Form, FormField, Left

_HEADER = re.compile(r"\[\[(?=\s*##)")
_NOTHING = frozenset(["None", "null"])


@dataclass(frozen=True, eq=False)  # kept by identity
class Program:
    """One prompt of a graph: the filling of a node that comes from another one, or a choice.

    `key` names it, and is the same in every process: ``"Ticket/Billing"`` fills a Billing from a Ticket,
    ``"Ticket/route"`` chooses what follows a Ticket. `node_type` is the node that is filled, or chosen at.
    """

    key: str
    node_type: type[Node]
    form: Form = field(repr=False)

    @classmethod
    def of_fill(cls, target: type[Node], source: type[Node] | None) -> Program:
        """Return the program that fills *target*, having come from *source*."""
        key = target.__name__ if source is None else f"{source.__name__}/{target.__name__}"
        return cls(key, target, Form.of_fill(target, source))

    @classmethod
    def of_choice(cls, node: type[Node], options: tuple[Option, ...]) -> Program:
        """Return the program that chooses among *options* at *node*."""
        return cls(f"{node.__name__}/route", node, Form.of_choice(node, CHOOSE, options))

    @functools.cached_property
    def signature(self) -> type[dspy.Signature]:
        """The signature that nothing has tuned."""
        return self.form.signature()

    @functools.cached_property
    def predictor(self) -> dspy.Predict:
        """The predictor that nothing has tuned."""
        return dspy.Predict(self.signature)

    @functools.cached_property
    def contract(self) -> str:
        """A digest of the fields: names, types and constraints; neither their order nor descriptions count."""
        text = json.dumps([_contract(self.form.sources), _contract(self.form.inputs), _contract(self.form.outputs)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # --- There and back ---

    def inputs_of(self, request: LMRequest) -> dict[str, Any]:
        """Return what the model is shown for *request*, as JSON values by the names that DSPy has for the fields."""
        return self.inputs(request.source, request.inputs)

    def inputs(self, source: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON values of a source's fields and of resolved ones by the names that DSPy has for them."""
        found = {name: source[each.name] for name, each in self.form.sources.items() if each.name in source}
        found |= {name: resolved[each.name] for name, each in self.form.inputs.items() if each.name in resolved}
        return {name: harmless(value) for name, value in found.items()}

    def answer_in(self, prediction: dspy.Prediction) -> dict[str, Any]:
        """Return the JSON values that the model wrote, by the names that the node's class knows."""
        answer: dict[str, Any] = {}
        for name, each in self.form.outputs.items():
            value = prediction[name]
            if value is Left.OUT:
                del prediction[name]
            else:
                answer[each.name] = None if _is_nothing(each, value) else jsonable(value)
        return answer


class Programs:
    """The programs that requests ask for, each made once."""

    def __init__(self) -> None:
        # Classes come and go where nodes are made in functions.
        self._made = functools.lru_cache(maxsize=512)(_program)

    def of(self, request: LMRequest) -> Program:
        """Return the program that answers *request*."""
        types: Any = tuple(option.type for option in request.options)
        classes: Any = (request.node_type, request.source_type)
        return self._made(request.kind, *classes, types)


def _program(
    kind: Literal["fill", "choose"],
    node: type[Node] | None,
    source: type[Node] | None,
    types: Sequence[type[Node] | None],
) -> Program:
    assert node is not None
    if kind == "choose":
        return Program.of_choice(node, tuple(map(option_of, types)))
    return Program.of_fill(node, source)


def _contract(fields: Mapping[str, FormField]) -> str:
    return json.dumps({name: [_bare(each.schema), each.is_optional] for name, each in fields.items()}, sort_keys=True)


def _bare(schema: Any) -> Any:
    """Return *schema* without what is said for people; a property of such a name holds a schema, no text."""
    if is_object(schema):
        said = {key for key in ("title", "description") if isinstance(schema.get(key), str)}
        return {key: _bare(each) for key, each in schema.items() if key not in said}
    return [_bare(each) for each in schema] if is_list(schema) else schema


def _is_nothing(each: FormField, value: Any) -> bool:
    """Return whether *value* is how a text says that there is none: DSPy takes it for the text itself."""
    return isinstance(value, str) and value.strip() in _NOTHING and {"type": "null"} in each.schema.get("anyOf", ())


def harmless(value: Any) -> Any:
    """Return a JSON value in which no text can pass for the header of a field."""
    if isinstance(value, str):
        return _HEADER.sub("[ [", value)
    if is_list(value):
        return [harmless(each) for each in value]
    if is_object(value):
        return {harmless(key): harmless(each) for key, each in value.items()}
    return value
