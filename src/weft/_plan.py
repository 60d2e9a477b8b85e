"""The one dependency graph: for a node class, every value its fields need and what each is made from.

A plan is made once, when the graph is, and never changed. It is walked with an explicit stack, so depth is no limit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _hints
from ._markers import DepMarker, RecallMarker
from ._spec import FunctionSpec, InjectLM, Need, NodeSpec, Reader
from ._survey import Survey
from .errors import Fault, arrows, name_of
from .nodes import is_node

SlotKind = Literal["function", "node", "recall", "lm", "provided"]
How = Literal["call", "thread", "open", "fill"]
DepKey = Hashable


@dataclass(frozen=True, slots=True)
class Substitute:
    """What stands in for a dependency: another function to call, or, without one, a value that the run provides.

    `layer` is the run that said so, the outermost being 0.
    """

    layer: int
    function: Callable[..., Any] | None = None


Substitutes = Mapping[DepKey, Substitute]


@dataclass(frozen=True, slots=True)
class Input:
    """A need, and the index of the slot that meets it."""

    need: Need
    slot: int


def _nothing() -> None:
    """Stand where there is no function to call."""


@dataclass(slots=True)
class Slot:
    """One value to be made: by a function, by the LM, from the trace, or given.

    `key` is its identity in a run. `reads` holds the recall slots it looks at, directly or not, and `reads_source`
    whether the LM is shown the source node for it: with either it belongs to what it read. `layer` says which run's
    substitutes it is made from, 0 being none or the outermost's. `positional` and `named` say which slots hold a
    function's arguments; a bare one is called without any, and tried once. What is simple belongs to the outermost run.
    With `starts_ahead` it may be made before its node is visited.
    """

    index: int
    key: DepKey
    name: str
    kind: SlotKind
    # Beside each other in memory: what is looked at to make a value.
    call: Callable[..., Any] = field(default=_nothing, repr=False)
    users: Sequence[int] = ()
    is_bare: bool = False
    is_made: bool = False
    is_simple: bool = False
    holds_loop: bool = False
    function: FunctionSpec | None = None
    node: NodeSpec | None = None
    recall: RecallMarker | None = None
    wanted: Any = None
    found_in: dict[type, tuple[str | None, ...]] = field(default_factory=dict[type, tuple[str | None, ...]])
    provided_as: Any = None
    marker: DepMarker = field(default_factory=lambda: DepMarker(None))
    inputs: Sequence[Input] = ()
    per_visit: bool = False
    reads: tuple[int, ...] = ()
    reads_source: bool = False
    layer: int = 0
    state: Literal["new", "open", "closed"] = "new"
    reads_trace: bool = False
    is_tried: bool = False
    how: How = "fill"
    positional: tuple[int, ...] = ()
    named: tuple[tuple[str, int], ...] = ()
    starts_ahead: bool = False

    @property
    def defined_at(self) -> str:
        """Where the function is written, as a hint, or nothing."""
        code = getattr(self.function and inspect.unwrap(self.function.function), "__code__", None)
        return f"It is defined at {code.co_filename}:{code.co_firstlineno}." if code else ""

    def needs(self) -> Sequence[Need]:
        """Return what the value is made from."""
        if self.function is not None:
            return self.function.needs
        return self.node.needs if self.node is not None else ()

    def close(self, inputs: Sequence[Input], slots: Sequence[Slot]) -> None:
        """Take over what follows from the inputs, once they are all known."""
        self.inputs = tuple(inputs)
        makers = [slots[each.slot] for each in self.inputs]
        self.per_visit = self.per_visit or any(maker.per_visit for maker in makers)
        self.reads_source = self.reads_source or any(maker.reads_source for maker in makers)
        self.layer = max([self.layer, *(maker.layer for maker in makers)])
        if self.kind != "recall":
            # In the order of the inputs, so that the same function reads in the same order in every plan.
            self.reads = _joined([maker.reads for maker in makers if maker.reads])
        self.state = "closed"
        self.reads_trace = bool(self.reads) or self.reads_source
        function = self.function
        self.holds_loop = function is not None and function.kind == "sync" and not self.marker.thread
        self.is_tried = bool(self.marker.retries) or self.marker.timeout is not None
        if function is not None:
            self.how, self.call = _how(function, self.marker), function.function
        self.positional = tuple(each.slot for each in self.inputs if each.need.by_position)
        self.named = tuple((each.need.name, each.slot) for each in self.inputs if not each.need.by_position)
        self.is_made = self.kind in ("function", "node")
        self.is_simple = self.is_made and not (self.layer or self.per_visit or self.reads_trace)
        is_called = self.is_simple and self.how == "call" and not self.holds_loop
        self.is_bare = is_called and not self.inputs and not self.is_tried
        # Neither what is given an LM nor a model with tools is asked anything before its time.
        asks = any(maker.kind == "lm" for maker in makers) or bool(self.node and self.node.node.node_config.tools)
        self.starts_ahead = self.is_made and self.marker.prefetch and not (self.per_visit or asks)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every value that one node's fields, or one body's parameters, need; `targets` are the fields or parameters.

    `fields` says by name which slot holds what, and `survey` what is needed where nothing of it is there, if that is
    the same at every visit.
    """

    owner: str
    slots: tuple[Slot, ...]
    targets: Sequence[Input]
    by_key: Mapping[DepKey, int]
    fields: Mapping[str, int]
    survey: Survey | None

    def path(self, way: Sequence[Input]) -> list[str]:
        """Return *way*, the inputs that lead to a slot, as people read it: ``Node.field``, or a function's name."""
        path: list[str] = []
        owner = self.owner
        for step in way:
            if owner:
                path.append(f"{owner}.{step.need.name}")
            slot = self.slots[step.slot]
            owner = slot.name if slot.kind == "node" else ""
            if slot.kind == "function":
                path.append(slot.name)
        return [*path, owner] if owner else path


class PlanBuilder:
    """Builds plans from what a reader reads; what is wrong is among the reader's faults."""

    def __init__(self, reader: Reader, substitutes: Substitutes | None = None) -> None:
        self.reader = reader
        self.substitutes = substitutes or {}
        self._cycles: set[frozenset[DepKey]] = set()
        self._markers: dict[DepKey, DepMarker] = {}

    def build(self, owner: str, needs: Sequence[Need], node_type: type | None = None) -> Plan:
        """Return the plan for *needs*; *owner* is the node, as paths name it."""
        slots: list[Slot] = []
        found: dict[DepKey, Slot] = {}
        top = Slot(-1, None, owner, "node")
        stack: list[tuple[Slot, Iterator[Need], list[Input]]] = [(top, iter(needs), [])]
        while stack:
            slot, pending, inputs = stack[-1]
            need = next(pending, None)
            if need is None:
                stack.pop()
                slot.close(inputs, slots)
                continue
            maker = self._maker(need, slots, found, node_type, slot)
            if maker is None:
                continue
            if maker.state == "open":
                self._report_cycle([other for other, _, _ in stack], maker, node_type)
                continue
            inputs.append(Input(need, maker.index))
            if maker.state == "new":
                maker.state = "open"
                stack.append((maker, iter(maker.needs()), []))
        _tell_users(slots)
        by_key = {key: slot.index for key, slot in found.items()}
        fields = {each.need.name: each.slot for each in top.inputs}
        is_alike = all(slot.is_simple or not slot.is_made for slot in slots)
        survey = Survey(slots, top.inputs) if is_alike else None
        return Plan(owner, tuple(slots), top.inputs, by_key, fields, survey)

    def _maker(
        self, need: Need, slots: list[Slot], found: dict[DepKey, Slot], node_type: type | None, user: Slot
    ) -> Slot | None:
        """Return the slot that meets *need*, made if it is new, or None where a fault says why there is none."""
        try:
            key = _key(need, user)
            known = found.get(key)
        except TypeError:
            hint = "Wrap it in a function: dependencies are told apart by hash and equality."
            self._fault(node_type, user, need, "this dependency cannot be hashed", hint)
            return None
        if not self._agrees(key, need, node_type, user):
            return None
        if known is not None:
            return known
        slot = self._new(key, len(slots), need)
        if slot is None:
            hint = "Dep() alone has the LM fill a node: annotate one Node class, or name what makes the value, Dep(fn)."
            self._fault(node_type, user, need, f"{_hints.shown(need.type)} is not a Node class", hint)
            return None
        slots.append(slot)
        found[key] = slot
        return slot

    def _agrees(self, key: DepKey, need: Need, node_type: type | None, user: Slot) -> bool:
        marker = need.source
        if not isinstance(marker, DepMarker) or self._markers.setdefault(key, marker).options == marker.options:
            return True
        message = f"{name_of(dep_key(need))} is a Dep with other options elsewhere"
        hint = "One run of it is shared: say the same thread=, timeout=, retries= and prefetch= everywhere."
        self._fault(node_type, user, need, message, hint)
        return False

    def _new(self, key: DepKey, index: int, need: Need) -> Slot | None:
        source = need.source
        if isinstance(source, RecallMarker):
            slot = Slot(index, key, repr(source), "recall", recall=source, wanted=need.type)
            slot.reads = (index,)
            return slot
        if isinstance(source, InjectLM):
            return Slot(index, key, "lm", "lm")
        return self._new_dep(key, index, source, dep_key(need))

    def _new_dep(self, key: DepKey, index: int, marker: DepMarker, made_by: Any) -> Slot | None:
        name, per_visit = name_of(made_by), marker.per == "visit"
        substitute = self.substitutes.get(made_by)
        if substitute is not None and substitute.function is None:
            return Slot(index, key, name, "provided", provided_as=made_by, layer=substitute.layer)
        slot = Slot(index, key, name, "function", marker=marker, per_visit=per_visit)
        if substitute is not None and substitute.function is not None:
            slot.function, slot.layer = self.reader.function(substitute.function), substitute.layer
        elif is_node(made_by):
            slot.kind, slot.node, slot.reads_source = "node", self.reader.node(made_by), True
        elif isinstance(made_by, type) or callable(made_by):
            if marker.function is None:
                return None
            slot.function = self.reader.function(made_by)
        else:
            return None
        return slot

    def _report_cycle(self, stack: Sequence[Slot], maker: Slot, node_type: type | None) -> None:
        start = next(position for position, slot in enumerate(stack) if slot is maker)
        members = stack[start:]
        identity = frozenset(slot.key for slot in members)
        if identity not in self._cycles:
            self._cycles.add(identity)
            names = arrows([*(slot.name for slot in members), maker.name])
            hint = "Break the circle: one of them must do without the other."
            self.reader.faults.append(Fault(node_type, None, f"these dependencies wait for each other: {names}", hint))

    def _fault(self, node_type: type | None, user: Slot, need: Need, message: str, hint: str) -> None:
        if user.index < 0:
            self.reader.faults.append(Fault(node_type, need.name, message, hint))
        else:
            where = f"{user.name}.{need.name}" if user.kind == "node" else f"{user.name}({need.name})"
            self.reader.faults.append(Fault(None, where, message, hint))


def _tell_users(slots: Sequence[Slot]) -> None:
    users: dict[int, list[int]] = {}
    for slot in slots:
        for each in slot.inputs:
            users.setdefault(each.slot, []).append(slot.index)
    for index, found in users.items():
        slots[index].users = tuple(found)


def _how(function: FunctionSpec, marker: DepMarker) -> How:
    if function.kind in ("generator", "async generator"):
        return "open"
    return "thread" if marker.thread else "call"


def _joined(reads: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if len(reads) <= 1:
        return reads[0] if reads else ()
    return tuple(dict.fromkeys(index for each in reads for index in each))


def dep_key(need: Need) -> Any:
    """Return what a need's Dep names: the function, or the node class of the annotation."""
    assert isinstance(need.source, DepMarker)
    return need.type if need.source.function is None else need.source.function


def _key(need: Need, user: Slot) -> DepKey:
    """Return what two needs share when one value meets both; an LM is each user's own, as is the place of its calls."""
    source = need.source
    if isinstance(source, RecallMarker | InjectLM):
        return (type(source), user.index, need.name)
    made_by = dep_key(need)
    hash(made_by)
    return (made_by, "visit") if source.per == "visit" else made_by
