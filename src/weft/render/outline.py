"""What pictures of a graph tell, before it is drawn: its nodes in order, their values and sources, and who chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeGuard, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .._plan import Input, Plan, Slot
from .._spec import recalled
from ..errors import shorten
from ..nodes import Node
from ..topology import NodePlan, Topology

Kind = Literal["caller", "lm", "dep", "node", "recall"]
Chooser = Literal["nobody", "lm", "code", "code, then lm"]

_MAX_RECALLED = 3
_SHOWN_DEFAULT = 40


@dataclass(frozen=True, slots=True)
class Value:
    """One field or parameter: its type, where its value comes from, and the values that is made from."""

    name: str
    type: str = ""
    kind: Kind = "dep"
    source: str = ""
    description: str = ""
    values: tuple[Value, ...] = ()

    @property
    def title(self) -> str:
        """The name and the type."""
        return f"{self.name}: {self.type}" if self.type else self.name


@dataclass(frozen=True, slots=True)
class NodeOutline:
    """One node: its values, what follows it, and who chooses among that; `lm` is the LM pinned to it, if any."""

    node: type[Node]
    is_start: bool
    lm: str
    values: tuple[Value, ...]
    following: tuple[type[Node], ...]
    may_end: bool
    chooser: Chooser
    parameters: tuple[Value, ...]

    @property
    def name(self) -> str:
        """The class name."""
        return self.node.__name__

    @property
    def said_of_route(self) -> str:
        """Who chooses what follows, in words; nothing where nobody has to."""
        said = {"lm": "the LM chooses", "code": "code chooses", "code, then lm": "code chooses, the LM fills"}
        return said.get(self.chooser, "")


def outline(topology: Topology, max_depth: int) -> tuple[NodeOutline, ...]:
    """Return the nodes of *topology* as they are found from the start, values taken apart *max_depth* levels deep."""
    return tuple(_Reading(topology, visit, max_depth).node() for visit in topology.visits.values())


def type_name(annotation: Any) -> str:
    """Return *annotation* as people write it, without modules."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_list(annotation):  # a Callable's parameters
        return f"[{', '.join(map(type_name, annotation))}]"
    if origin is Annotated:
        return type_name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(type_name, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{type_name(origin)}[{', '.join(map(type_name, arguments))}]"
    return _plain_name(annotation)


def _is_list(annotation: object) -> TypeGuard[list[Any]]:
    return isinstance(annotation, list)


def _plain_name(annotation: Any) -> str:
    if annotation in (None, type(None)):
        return "None"
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    known = getattr(annotation, "__name__", None)
    return "..." if annotation is ... else str(known or annotation).replace("typing.", "")


class _Reading:
    """One node being read; a value that two fields share is taken apart once."""

    def __init__(self, topology: Topology, visit: NodePlan, max_depth: int) -> None:
        self.topology = topology
        self.visit = visit
        self.max_depth = max_depth
        self.cls = visit.spec.node
        self.is_start = self.cls is topology.start
        self.plan = visit.plan
        self.taken_apart: set[int] = set()

    def node(self) -> NodeOutline:
        lm, route = self.cls.node_config.lm, self.visit.route
        return NodeOutline(
            self.cls,
            self.is_start,
            "" if lm is None else lm if isinstance(lm, str) else type(lm).__name__,
            tuple(self._fields(self.cls, self.plan.targets, "caller" if self.is_start else "lm")),
            route.candidates,
            route.may_stop or not route.candidates,
            self._chooser(),
            tuple(self._parameters()),
        )

    # --- Where values come from ---

    def _fields(self, cls: type[Node], inputs: Sequence[Input], kind: Kind, depth: int = 0) -> Iterator[Value]:
        made = {each.need.name: each for each in inputs}
        for name, field in cls.__pydantic_fields__.items():
            if name in made:
                yield self._value(made[name], depth)
            else:
                source = _caller(field) if kind == "caller" else "LM"
                yield Value(name, type_name(field.annotation), kind, source, field.description or "")

    def _value(self, made: Input, depth: int) -> Value:
        slot = self.plan.slots[made.slot]
        source, values = self._source(slot), tuple[Value, ...]()
        if slot.index in self.taken_apart:
            source += ", as above"
        elif slot.inputs or slot.node is not None:
            self.taken_apart.add(slot.index)
            values = tuple(self._inputs(slot, depth + 1))
        return Value(made.need.name, type_name(made.need.type), _kind(slot), source, values=values)

    def _inputs(self, slot: Slot, depth: int) -> Iterator[Value]:
        if depth > self.max_depth:
            yield Value("…")
        elif slot.node is not None:
            yield from self._fields(slot.node.node, slot.inputs, "lm", depth)
        else:
            yield from (self._value(each, depth) for each in slot.inputs)

    def _source(self, slot: Slot) -> str:
        if slot.recall is not None:
            return f"Recall {self._recalled(slot)}".rstrip()
        if slot.kind == "lm":
            return "the LM in charge"
        said = [f"Dep {slot.name}" if slot.function else "Dep, filled by the LM", *_options(slot)]
        return ", ".join(said)

    def _recalled(self, slot: Slot) -> str:
        """Return what a Recall may find, in the nodes that can have been visited."""
        assert slot.recall is not None
        found: list[str] = []
        for each in self._visited_before():
            match = recalled(slot.recall, slot.wanted, each)
            found.extend(f"{each.__name__}.{name}" if name else each.__name__ for name in match)
        more = ["…"] if len(found) > _MAX_RECALLED else []
        return " or ".join([*found[:_MAX_RECALLED], *more])

    def _visited_before(self) -> list[type[Node]]:
        edges = self.topology.edges
        found = {self.cls} if self.is_start or self.plan is not self.visit.plan else set[type[Node]]()
        todo = [self.cls]
        while todo:
            following = todo.pop()
            fresh = [each for each, nexts in edges.items() if following in nexts and each not in found]
            found.update(fresh)
            todo.extend(fresh)
        return [each for each in self.topology.visits if each in found]

    # --- Where it leads ---

    def _chooser(self) -> Chooser:
        route = self.visit.route
        if route.by == "code":
            return "code, then lm" if route.returns_class else "code"
        return "nobody" if self.visit.is_settled else "lm"

    def _parameters(self) -> Iterator[Value]:
        plan: Plan | None = self.visit.body_plan
        if plan is not None:
            self.plan, self.taken_apart = plan, set()
            yield from (self._value(each, 1) for each in plan.targets)


def _kind(slot: Slot) -> Kind:
    if slot.recall is not None:
        return "recall"
    if slot.kind == "lm":
        return "lm"
    return "node" if slot.node is not None else "dep"


def _caller(field: FieldInfo) -> str:
    if field.is_required():
        return "caller"
    is_known = field.default is not PydanticUndefined
    return f"caller, or {shorten(repr(field.default), _SHOWN_DEFAULT)}" if is_known else "caller, optional"


def _options(slot: Slot) -> Iterator[str]:
    marker = slot.marker
    said: Mapping[str, bool] = {
        "a resource": slot.function is not None and "generator" in slot.function.kind,
        "at each visit": marker.per == "visit",
        "in a thread": marker.thread,
        f"within {marker.timeout} s": marker.timeout is not None,
        f"{marker.retries} retries": bool(marker.retries),
    }
    return (text for text, holds in said.items() if holds)
