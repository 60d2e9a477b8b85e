"""A graph as lines of text: its nodes in order, each with its fields, their sources, and where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeGuard, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .._plan import Input, Plan, Slot
from .._spec import recalled
from ..errors import name_of, shorten
from ..nodes import Node
from ..topology import NodePlan, Topology

_MAX_COLUMN = 44
_MAX_DEPTH = 12
_MAX_RECALLED = 3
_SHOWN_DEFAULT = 40
_SHOWN_DESCRIPTION = 100


Tone = Literal["plain", "good", "bad", "quiet", "going", "waiting"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of a picture, in two columns, and the lines that hang under it."""

    title: str
    detail: str = ""
    tone: Tone = "plain"
    branches: tuple[Branch, ...] = ()


def column_of(branches: Iterable[Branch]) -> int:
    """Return where the second column of lines that stand under each other begins; very long titles reach into it."""
    widths = [len(branch.title) for branch in branches if branch.detail]
    return max((width for width in widths if width <= _MAX_COLUMN), default=0)


def row(branch: Branch, column: int) -> tuple[str, str]:
    """Return the line of *branch* as its title, padded to *column*, and its detail."""
    return (f"{branch.title:<{column}}  ", branch.detail) if branch.detail else (branch.title, "")


def lines(branches: Sequence[Branch], indent: str = "") -> Iterator[str]:
    """Yield *branches* as plain lines, what hangs under a line being indented."""
    column = column_of(branches)
    for branch in branches:
        yield indent + "".join(row(branch, column))
        yield from lines(branch.branches, f"{indent}  ")


def picture(topology: Topology) -> tuple[Branch, ...]:
    """Return *topology* as a branch for each node, in the order in which they are found from the start."""
    return tuple(_NodePicture(topology, visit).branch() for visit in topology.visits.values())


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


class _NodePicture:
    """What is shown of one node; a value that two fields share is taken apart once."""

    def __init__(self, topology: Topology, visit: NodePlan) -> None:
        self.topology = topology
        self.visit = visit
        self.cls = visit.spec.node
        self.is_start = self.cls is topology.start
        self.plan = visit.plan
        self.taken_apart: set[int] = set()

    def branch(self) -> Branch:
        said = ["start"] if self.is_start else []
        lm = self.cls.node_config.lm
        if lm is not None:
            said.append(f"LM {lm if isinstance(lm, str) else type(lm).__name__}")
        source = "caller" if self.is_start else "LM"
        fields = self._fields(self.cls, self.plan.targets, source)
        return Branch(self.cls.__name__, ", ".join(said), branches=(*fields, self._route()))

    # --- Where values come from ---

    def _fields(self, cls: type[Node], inputs: Sequence[Input], source: str, depth: int = 0) -> Iterator[Branch]:
        made = {each.need.name: each for each in inputs}
        for name, field in cls.__pydantic_fields__.items():
            if name in made:
                yield self._value(made[name], depth)
            else:
                yield Branch(f"{name}: {type_name(field.annotation)}", _plain_source(source, field))

    def _value(self, made: Input, depth: int) -> Branch:
        slot = self.plan.slots[made.slot]
        title = f"{made.need.name}: {type_name(made.need.type)}"
        source = self._source(slot)
        if not slot.inputs and slot.node is None:
            return Branch(title, source)
        if slot.index in self.taken_apart:
            return Branch(title, f"{source}, as above")
        self.taken_apart.add(slot.index)
        return Branch(title, source, branches=tuple(self._inputs(slot, depth + 1)))

    def _inputs(self, slot: Slot, depth: int) -> Iterator[Branch]:
        if depth > _MAX_DEPTH:
            yield Branch("…")
        elif slot.node is not None:
            yield from self._fields(slot.node.node, slot.inputs, "LM", depth)
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

    def _route(self) -> Branch:
        route = self.visit.route
        names = [name_of(each) for each in route.candidates]
        ends = ["end"] if route.may_stop or not names else []
        title = f"→ {' | '.join([*names, *ends])}"
        is_choice = len(names) + len(ends) > 1
        if route.by != "code":
            return Branch(title, "the LM chooses" if is_choice else "")
        chooser = "code chooses" if is_choice else "code decides"
        detail = f"{chooser}, the LM fills" if route.returns_class else chooser
        return Branch(title, detail, branches=tuple(self._parameters()))

    def _parameters(self) -> Iterator[Branch]:
        plan: Plan | None = self.visit.body_plan
        if plan is not None:
            self.plan, self.taken_apart = plan, set()
            yield from (self._value(each, 1) for each in plan.targets)


def _plain_source(source: str, field: FieldInfo) -> str:
    said = source
    if source == "caller" and not field.is_required():
        is_known = field.default is not PydanticUndefined
        said += f", or {shorten(repr(field.default), _SHOWN_DEFAULT)}" if is_known else ", optional"
    return f"{said}: {shorten(field.description, _SHOWN_DESCRIPTION)}" if field.description else said


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
