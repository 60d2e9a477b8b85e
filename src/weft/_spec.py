"""A node class and a function, each read once into frozen values; nothing looks at an annotation after this."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from . import _hints
from ._faults import BARE_HINTS, bare_marker, how_to_provide
from ._injection import UNRESOLVED, injecting
from ._markers import DepMarker, RecallMarker, marker_in
from ._routes import method_of, prefilled, takes_self, unknown_name
from ._schemas import ModelFacingSchema, used_of
from .errors import Fault, name_of
from .lm import LM
from .nodes import Node, is_node

_PLACEHOLDER = getattr(functools, "Placeholder", object())  # Python 3.14's, for an argument to be given later
Kind = Literal["sync", "async", "generator", "async generator"]


@dataclass(frozen=True, slots=True)
class InjectLM:
    """The parameter is the run's LM."""


Source = DepMarker | RecallMarker | InjectLM


@dataclass(frozen=True, slots=True)
class Need:
    """One value wanted: by a node's field or a function's parameter."""

    name: str
    type: Any
    source: Source
    by_position: bool = False


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A callable read once: how to call it, what it needs, what it gives."""

    function: Callable[..., Any]
    kind: Kind
    needs: tuple[Need, ...]
    returns: Any


@dataclass(frozen=True)
class NodeSpec:
    """A node class read once: the needs of its fields, and what the LM writes."""

    node: type[Node]
    needs: tuple[Need, ...]
    plain: Mapping[str, Any]
    instruction: str
    injected_keys: frozenset[str]
    _validator: SchemaValidator | None = field(repr=False)

    def validate_injected(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return *values* of Dep and Recall fields as their types want them; raises ValidationError."""
        if self._validator is None or not values:
            return dict(values)
        validated: dict[str, Any] = self._validator.validate_python(values)[0]
        return validated if len(values) == len(self.needs) else {name: validated[name] for name in values}

    def build(self, injected: Mapping[str, Any], answer: bytes | str) -> Node:
        """Return the node with *answer*'s JSON in its plain fields and *injected*, validated before, in the others.

        Raises ValidationError.
        """
        if not injected:
            return cast("Node", self.node.__pydantic_validator__.validate_json(answer))
        with injecting(self.node, injected):
            node = cast("Node", self.node.__pydantic_validator__.validate_json(answer))
        return self.inject(node, injected)

    def with_injected(self, node: Node, injected: Mapping[str, Any]) -> Node:
        """Return a copy of *node* that has *injected*, validated before, in its Dep and Recall fields."""
        return self.inject(node.__copy__(), injected)

    def inject(self, node: Node, injected: Mapping[str, Any]) -> Node:
        """Put *injected*, validated before, into the node's own fields, and return it."""
        vars(node).update(injected)
        node.__pydantic_fields_set__.update(injected)
        return node

    def unwritable(self) -> dict[str, Any]:
        """Return the plain fields, and their types, that have no JSON schema: what an LM cannot write."""
        try:
            self.schema  # noqa: B018  mostly there is one for all
        except PydanticInvalidForJsonSchema:
            return {name: annotation for name, annotation in self.plain.items() if not self._has_schema(name)}
        return {}

    def _has_schema(self, name: str) -> bool:
        try:
            ModelFacingSchema().generate(_with_fields(self.node, [name], keep_default=True))
        except PydanticInvalidForJsonSchema:
            return False
        return True

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the fields that the LM writes; raises PydanticInvalidForJsonSchema."""
        return ModelFacingSchema().generate(self.written)

    @property
    def written(self) -> CoreSchema:
        """The core schema of the fields that the LM writes."""
        return _with_fields(self.node, self.plain, keep_default=True)


def spec_of(cls: type[Node]) -> NodeSpec:
    """Return *cls* read once; its annotations must all be found already."""
    known = vars(cls).get("__weft_spec__")
    if known is None:
        known = _read_node(cls)
        cls.__weft_spec__ = known  # type: ignore[attr-defined]
    return cast("NodeSpec", known)


def _read_node(cls: type[Node]) -> NodeSpec:
    fields = cls.__pydantic_fields__
    needs = tuple(
        Need(name, field.annotation, marker)
        for name, field in fields.items()
        if (marker := marker_in(field.metadata)) is not None
    )
    injected = [need.name for need in needs]  # in this order they are validated, and shown to a model
    plain = {name: field.annotation for name, field in fields.items() if not marker_in(field.metadata)}
    validator = SchemaValidator(_with_fields(cls, injected), _core_config(cls)) if injected else None
    keys = frozenset(key for name in injected for key in _keys_of(name, fields[name]))
    return NodeSpec(cls, needs, plain, cls.node_config.instruction or cls.__name__, keys, validator)


def _keys_of(name: str, field: FieldInfo) -> Iterator[str]:
    """Yield every key under which a model's answer could reach a field."""
    yield name
    aliases = field.validation_alias
    choices: list[Any] = aliases.choices if isinstance(aliases, AliasChoices) else [aliases, field.alias]
    for each in choices:
        first = each.path[0] if isinstance(each, AliasPath) else each
        if isinstance(first, str):
            yield first


def _model_schema(cls: type[BaseModel]) -> tuple[Any, list[CoreSchema]]:
    """Return the ``model`` part of *cls*'s core schema, and the definitions it refers to."""
    schema: Any = cls.__pydantic_core_schema__
    definitions: list[Any] = []
    while schema["type"] != "model":
        if schema["type"] == "definitions":
            definitions = schema["definitions"]
        if schema["type"] == "definition-ref":
            schema = next(each for each in definitions if each.get("ref") == schema["schema_ref"])
        else:
            schema = schema["schema"]
    return schema, definitions


def _core_config(cls: type[BaseModel]) -> Any:
    return _model_schema(cls)[0].get("config")


def _with_fields(cls: type[BaseModel], names: Iterable[str], *, keep_default: bool = False) -> CoreSchema:
    """Return *cls*'s own core schema cut down to *names*; without their defaults missing ones give UNRESOLVED."""
    inner, definitions = _model_schema(cls)
    while inner["type"] != "model-fields":
        inner = inner["schema"]
    fields = {name: inner["fields"][name] if keep_default else _optional(inner["fields"][name]) for name in names}
    schema = core_schema.model_fields_schema(fields, model_name=cls.__name__)
    # To write schemas takes long, and an LM writes few fields that share what dependencies are made of.
    used = used_of(definitions, schema) if keep_default else definitions
    return core_schema.definitions_schema(schema, used) if used else schema


def _optional(field: Any) -> Any:
    schema = core_schema.with_default_schema(field["schema"]["schema"], default=UNRESOLVED, validate_default=False)
    return core_schema.model_field(schema)


# --- Functions ---------------------------------------------------------------------------------------------------


_KINDS: Mapping[Kind, Callable[[Any], bool]] = {
    "async generator": inspect.isasyncgenfunction,
    "generator": inspect.isgeneratorfunction,
    "async": inspect.iscoroutinefunction,
}


def kind_of(function: Callable[..., Any]) -> Kind:
    """Return how *function* is to be called."""
    while isinstance(function, functools.partial):
        function = function.func
    is_itself = inspect.isroutine(function) or isinstance(function, type)
    called = (function,) if is_itself else (function, _call_method(function))
    for kind, is_kind in _KINDS.items():
        if any(map(is_kind, called)):
            return kind
    return "sync"


def _call_method(thing: object) -> Any:
    return getattr(type(thing), "__call__", thing)  # noqa: B004  the method itself is wanted


def _signed_by(function: Any) -> Hashable:
    """Return what settles *function*'s signature: of a plain partial how many arguments it gives, and not which."""
    is_partial = type(function) is functools.partial and inspect.isfunction(function.func)
    if not is_partial or function.keywords or vars(function):
        return cast("Hashable", function)
    return (function.func, *(each is _PLACEHOLDER for each in function.args))


def _with_defaults(
    function: Callable[..., Any], parameters: Sequence[_hints.Parameter], needs: Sequence[Need | None]
) -> Callable[..., Any]:
    """Return *function* taking only what is injected by position, its own defaults standing where nothing is."""
    by_position = [(each, need) for each, need in zip(parameters, needs, strict=True) if each.by_position]
    if all(need is not None for _, need in by_position) or not any(need for _, need in by_position):
        return function

    @functools.wraps(function)
    def call(*injected: Any, **named: Any) -> Any:
        given = iter(injected)
        return function(*(each.default if need is None else next(given) for each, need in by_position), **named)

    return call


class Reader:
    """Reads nodes and functions with the names that one graph can see, keeping each fault it meets."""

    def __init__(self, around: _hints.Surroundings = _hints.NOWHERE) -> None:
        self.around = around
        self.faults: list[Fault] = []
        self._functions: dict[Hashable, FunctionSpec] = {}

    def node(self, cls: type[Node]) -> NodeSpec | None:
        """Return *cls* read, or None where a fault says why it cannot be."""
        problem = self._complete(cls)
        if problem:
            self.faults.append(problem)
            return None
        return spec_of(cls)

    def _complete(self, cls: type[Node]) -> Fault | None:
        if cls.__pydantic_complete__:
            return None
        made_at = cls.__weft_surroundings__
        names = self.around.reach_of(cls, made_at.module, {**made_at.local_names(), cls.__name__: cls})
        try:
            cls.model_rebuild(_types_namespace=names)
        except PydanticUndefinedAnnotation as error:
            name = error.name or str(error)
            missing = _hints.UnknownNameError(name, error.name, close=_hints.class_like(name, names))
            return unknown_name(cls, None, missing)
        except PydanticUserError as error:
            return Fault(cls, None, str(error).splitlines()[0])
        return None

    def function(self, function: Callable[..., Any]) -> FunctionSpec:
        """Return *function* read; what is wrong with it is among the faults afterwards."""
        known = self._functions.get(function)
        if known is None:
            signed = _signed_by(function)
            alike = self._functions.get(signed)
            known = self.read(function) if alike is None else replace(alike, function=function)
            self._functions[function] = known
            if known.function is function:
                self._functions[signed] = known
        return known

    def body(self, cls: type[Node], body: Any) -> FunctionSpec:
        """Return a custom ``__call__`` read; faults in it are those of *cls*."""
        found = len(self.faults)
        function = method_of(body)
        arguments, given = prefilled(body)
        spec = self.read(function, skipped=takes_self(body) + arguments, given=given)
        own = [replace(fault, node_type=cls, field_name=_in_call(fault.field_name)) for fault in self.faults[found:]]
        self.faults[found:] = own
        return spec

    def read(self, function: Callable[..., Any], *, skipped: int = 0, given: Iterable[str] = ()) -> FunctionSpec:
        """Return *function* read afresh; the first parameters *skipped*, and those *given*, are not looked at."""
        hints = _hints.read_callable(function)
        parameters = [each for each in hints.parameters[skipped:] if each.name not in given]
        needs = [self._need(function, hints, parameter) for parameter in parameters]
        kind = kind_of(function)
        call = _with_defaults(function, parameters, needs)
        found = tuple(need for need in needs if need)
        return FunctionSpec(call, kind, found, self._returns(function, kind, hints))

    def _need(self, function: Any, hints: _hints.CallableHints, parameter: _hints.Parameter) -> Need | None:
        in_default = marker_in([parameter.default])
        try:
            hint = hints.hint(parameter.annotation, self.around)
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(None, f"{name_of(function)}({parameter.name})", error))
            return None
        bare = bare_marker(parameter.default, hint.metadata)
        if bare:
            where = f"{name_of(function)}({parameter.name})"
            self.faults.append(Fault(None, where, f"{bare} stands here without its parentheses", BARE_HINTS[bare]))
            return None
        source: Source | None = in_default or marker_in(hint.metadata)
        if source is None and hint.type is LM:
            source = InjectLM()
        if source is not None:
            return Need(parameter.name, hint.type, source, parameter.by_position)
        if parameter.default is _hints.MISSING:
            self._no_source(function, parameter.name, hint)
        return None

    def _no_source(self, function: Any, parameter: str, hint: _hints.Hint) -> None:
        where = f"{name_of(function)}({parameter})"
        advice = how_to_provide(parameter, hint)
        self.faults.append(Fault(None, where, "nothing provides this required parameter", advice))

    def _returns(self, function: Any, kind: Kind, hints: _hints.CallableHints) -> Any:
        if hints.returns is _hints.MISSING:
            return _hints.MISSING
        try:
            annotation = hints.hint(hints.returns, self.around).type
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(None, f"{name_of(function)}(…)", error))
            return _hints.MISSING
        return self._value_type(function, kind, annotation)

    def _value_type(self, function: Any, kind: Kind, annotation: Any) -> Any:
        origin = get_origin(annotation)
        if kind in ("generator", "async generator"):
            iterable = Iterable if kind == "generator" else AsyncIterable
            if isinstance(origin, type) and issubclass(origin, iterable):
                return get_args(annotation)[0]
            wanted = "Iterator[T]" if kind == "generator" else "AsyncIterator[T]"
            message = f"this generator is a resource, and its return annotation is not {wanted}"
            self.faults.append(Fault(None, f"{name_of(function)}(…)", message, f"Annotate it as {wanted}."))
            return _hints.MISSING
        if kind == "sync" and isinstance(origin, type) and issubclass(origin, Awaitable):
            return get_args(annotation)[-1]
        return annotation


def _in_call(field_name: str | None) -> str:
    return f"__call__({(field_name or '').partition('(')[2]}" if field_name and "(" in field_name else "__call__"


def recalled(marker: RecallMarker, wanted: Any, cls: type[Node]) -> tuple[str | None, ...]:
    """Return what of a visited *cls* the Recall means: field names, or None for the node itself.

    Nothing means no match; more than one is ambiguous.
    """
    if marker.node is not None and not issubclass(cls, marker.node):
        return ()
    if marker.field is not None:
        return (marker.field,) if marker.field in cls.__pydantic_fields__ else ()
    if isinstance(wanted, type) and issubclass(cls, wanted) and is_node(wanted):
        return (None,)
    return tuple(name for name, declared in spec_of(cls).plain.items() if _same_type(declared, wanted))


def _same_type(declared: Any, wanted: Any) -> bool:
    if isinstance(declared, type) and isinstance(wanted, type) and not get_args(declared) and not get_args(wanted):
        return issubclass(declared, wanted)
    return bool(declared == wanted)


def wanted_by(marker: RecallMarker, wanted: Any) -> str:
    """Return in words what a Recall looks for."""
    what = f"a field {marker.field!r}" if marker.field else f"a value of type {_hints.shown(wanted)}"
    return f"{what} in {marker.node.__name__}" if marker.node else what
