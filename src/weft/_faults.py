"""What is wrong with one node class or parameter by itself, and what to do about it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from . import _hints
from ._markers import DepMarker, RecallMarker, marker_in
from ._routes import Route, body_of, is_coroutine_body
from .errors import Fault, name_of, shorten, what_is
from .nodes import Dep, Node, Recall, is_node

if TYPE_CHECKING:
    from ._spec import NodeSpec

NodeType = type[Node]
_THE_CLASS_ITSELF = "Pass the class itself: Graph(start=MyNode)."
BARE_HINTS = {"Dep": "Write Dep(fn), or Dep() for a node that the LM fills.", "Recall": "Write Recall()."}
_BY_NAME = {
    "lm": "Annotate it to get the run's LM: lm: LM.",
    "self": "Pass a method of an object: Dep(service.get), not Dep(Service.get).",
}
# What Weft gives every node; of Pydantic's own names Pydantic itself warns.
_OF_EVERY_NODE = {name for name in vars(Node) if not name.startswith("_") and not hasattr(BaseModel, name)}
DEP_HINT = "Dep and Recall stand outermost: Annotated[T, Dep(fn)] or x: T = Dep(fn)."


# --- Where a graph starts and ends ---


def start_fault(start: Any) -> Fault:
    """Return the fault of a `start` that is no Node class."""
    where = "Graph(start=…)"
    if is_node(type(start)):
        hint = f"Pass the class itself: Graph(start={start.__class__.__name__})."
        return Fault(None, where, f"this is a node, {what_is(start)}, and not its class", hint)
    if isinstance(start, type):
        cls = cast("type[Any]", start)
        return Fault(None, where, f"{name_of(cls)} is not a Node class", _how_to_be_a_node(cls))
    return Fault(None, where, f"{shorten(repr(start))} is not a Node class", _THE_CLASS_ITSELF)


def end_faults(named: Iterable[Any]) -> Iterator[Fault]:
    """Yield what is wrong with the classes that `end` names."""
    for stranger in [each for each in named if not is_node(each)]:
        shown = _hints.shown(stranger) if isinstance(stranger, type) else what_is(stranger)
        hint = "Name the classes a run may stop at: end=Answer or end=Answer | Refusal."
        yield Fault(None, "Graph(end=…)", f"{shown} is not a Node class", hint)


# --- Routes ---


def route_faults(cls: NodeType, route: Route) -> Iterator[Fault]:
    """Yield what is wrong with where *cls* says it leads."""
    if not route.is_annotated:
        hint = 'Say where it leads: -> "Next", -> "A | B", or -> None for an end.'
        yield Fault(cls, "__call__", "has no return annotation", hint)
    for stranger in [each for each in route.candidates if not is_node(each)]:
        message = f"may return {_hints.shown(stranger)}, which is not a Node class"
        yield Fault(cls, "__call__", message, _instead_of(stranger))
    names = [each.__name__ for each in route.candidates if is_node(each)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(cls, "__call__", f"two candidates are called {name}", "Rename one: the LM chooses by name.")
    if route.by is None:
        hint = "Say who chooses the next node: node_config = NodeConfig(routes='lm') or 'code'."
        yield Fault(cls, "__call__", "whether its body has code cannot be told", hint)
    if route.by == "code" and not is_coroutine_body(body_of(cls)):
        yield Fault(cls, "__call__", *_not_async(cls))


def _not_async(cls: NodeType) -> tuple[str, str]:
    if inspect.isasyncgenfunction(body_of(cls)):
        return "yields, and one node follows", "Write return in place of yield."
    return "has code and is not async", "Write: async def __call__."


def _instead_of(stranger: Any) -> str:
    """Return what to write where a route names *stranger*."""
    if stranger is Node or stranger is Any:
        return 'Name the classes that may follow: -> "A | B".'
    if get_origin(stranger) is type:
        return "Write type[…] around every class, or around none."
    if any(is_node(each) for each in get_args(stranger)):
        return "One node follows at a time; what is wanted at once are Dep fields of one node, or asyncio.gather."
    if isinstance(stranger, type) and issubclass(stranger, BaseModel):
        return _how_to_be_a_node(stranger)
    return "A run ends with a node: name one that holds the value, or None."


def _how_to_be_a_node(cls: type) -> str:
    if cls in (Node, BaseModel):
        return "Name a class made from Node."
    is_pythons = cls.__module__ == "builtins"
    return _THE_CLASS_ITSELF if is_pythons else f"Let it inherit from Node: class {name_of(cls)}(Node)."


# --- Fields ---


def field_faults(cls: NodeType, spec: NodeSpec) -> Iterator[Fault]:
    """Yield what is wrong with how *cls* declares its fields."""
    fields = cls.__pydantic_fields__
    if "__dataclass_fields__" in vars(cls):
        yield Fault(cls, None, "@dataclass breaks the model that a Node is", "Remove @dataclass.")
    for need in spec.needs:
        field = fields[need.name]
        if field.default is not PydanticUndefined or field.default_factory is not None:
            word = "Dep" if isinstance(need.source, DepMarker) else "Recall"
            yield Fault(cls, need.name, f"a {word} field takes no default", "Leave the default out.")
    for name in sorted(_OF_EVERY_NODE & fields.keys()):
        yield Fault(cls, name, f"this hides Node.{name}", "Give the field another name.")
    for name in spec.plain:
        yield from _plain_faults(cls, name, fields[name])
    for name in buried_marker(cls):
        yield Fault(cls, name, "Dep or Recall is inside the type, where it says nothing", DEP_HINT)
    for name in cls.__class_vars__:
        if marker_in([vars(cls).get(name)]):
            yield Fault(cls, name, "a ClassVar is no field, so nothing gives it a value", "Leave ClassVar out.")


def _plain_faults(cls: NodeType, name: str, field: FieldInfo) -> Iterator[Fault]:
    bare = bare_marker(field.default, field.metadata)
    if bare:
        yield Fault(cls, name, f"{bare} stands here without its parentheses", BARE_HINTS[bare])
    if inspect.iscoroutine(field.default):
        function = field.default.__name__
        yield Fault(cls, name, f"its default is a call of {function}, not awaited", f"Write: = Dep({function}).")


def buried_marker(cls: NodeType) -> list[str]:
    """Return the plain fields of *cls* that have a Dep or Recall as their type, or somewhere inside it."""
    return [
        name
        for name, field in cls.__pydantic_fields__.items()
        if not marker_in(field.metadata)
        and any(marker_in([part]) for part in (field.annotation, *_hints.inner_annotations(field.annotation)))
    ]


# --- Parameters ---


def how_to_provide(parameter: str, hint: _hints.Hint) -> str:
    """Return how a required parameter can get its value."""
    if any(marker_in([inner]) for inner in _hints.inner_annotations(hint.type)):
        return DEP_HINT
    if hint.type is _hints.MISSING and parameter in _BY_NAME:
        return _BY_NAME[parameter]
    wanted = "T" if hint.type is _hints.MISSING else _hints.shown(hint.type)
    return f"Give it a default, or annotate it: Annotated[{wanted}, Dep(fn)] or Annotated[{wanted}, Recall()]."


def bare_marker(default: Any, metadata: Iterable[Any]) -> str:
    """Return the name of a Dep or Recall that was not called, or nothing."""
    return next((each.__name__ for each in (default, *metadata) if each is Dep or each is Recall), "")


# --- Recall ---


def recall_hint(marker: RecallMarker, before: Collection[NodeType]) -> str:
    """Return what to do about a Recall that no node among *before* can meet."""
    meant = [each for each in before if marker.node is None or issubclass(each, marker.node)]
    known = sorted({name for each in meant for name in each.__pydantic_fields__})
    close = difflib.get_close_matches(marker.field or "", known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    if not before:
        return "No node comes before this one."
    names = ", ".join(sorted(map(name_of, before)))
    return f"Before it come: {names}. Recall reads them and their plain fields."


# --- What is only suspicious ---


def suspicions_of(cls: NodeType, spec: NodeSpec, *, is_alone: bool) -> Iterator[str]:
    """Yield, a line each, what in *cls* is allowed and seldom meant; *is_alone* where nothing leads to or from it."""
    for name in spec.plain:
        for function in filter(inspect.isroutine, cls.__pydantic_fields__[name].metadata):
            called = name_of(function)
            yield f"{cls.__name__}.{name}: {called} in its Annotated says nothing to Weft. Is Dep({called}) meant?"
    if is_alone and body_of(cls) is None:
        for name, value in vars(cls).items():
            if inspect.iscoroutinefunction(value):
                yield f"{cls.__name__}.{name}: only __call__ leads to another node. Is {name} meant to be __call__?"
