"""Nodes and edges, found from the start node by their return annotations, and every check of a definition.

If `discover` finds no fault, every edge, dependency and Recall of the graph has been looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _hints
from ._faults import end_faults, field_faults, recall_hint, route_faults, start_fault, suspicions_of
from ._markers import RecallMarker
from ._plan import DepKey, Input, Plan, PlanBuilder, Slot, Substitutes
from ._routes import Route, body_of, filled_apart, is_coroutine_body, read_route, unknown_name
from ._spec import FunctionSpec, Need, NodeSpec, Reader, recalled, wanted_by
from .errors import Fault, GraphError, name_of
from .nodes import Node, is_node

NodeType = type[Node]
Edges = Mapping[NodeType, Iterable[NodeType]]


@dataclass
class NodePlan:
    """All that a run must know of one node class: what its fields need, its body, and where it leads.

    `offered` is what a choice is made among: the candidates, and None where the run may stop. It is settled, and `only`
    is what follows, where there is nothing to choose.

    `fills_ahead` says that something may be prefetched while the node is filled. While the LM chooses what follows it,
    that is what is `shared` by the candidates, where it `speculates` what each of them needs, and what the node needs
    at which they `join`: the one that comes next after each of them. While it chooses and fills in one call, that is
    also what nodes need that come after one of the candidates, those that it may go `beyond`.
    """

    spec: NodeSpec
    route: Route
    plan: Plan
    body: FunctionSpec | None = None
    body_plan: Plan | None = None
    fills_ahead: bool = False
    shared: frozenset[DepKey] = frozenset()
    speculates: bool = False
    join: NodeType | None = None
    beyond: tuple[NodeType, ...] = ()

    def __post_init__(self) -> None:
        self.offered: tuple[NodeType | None, ...] = self.route.offered
        self.is_settled = self.route.by != "code" and len(self.offered) == 1
        self.only = self.offered[0] if self.is_settled else None
        self.is_choice = self.route.by == "lm" and len(self.offered) > 1


@dataclass(slots=True)
class Topology:
    """A graph's nodes and edges, checked: `visits` by node class, in the order they were found."""

    start: NodeType
    visits: dict[NodeType, NodePlan] = field(default_factory=dict[NodeType, NodePlan])
    suspicions: list[str] = field(default_factory=list[str])
    with_tools: list[NodeType] = field(default_factory=list[NodeType])

    @property
    def nodes(self) -> set[NodeType]:
        """Every node class a run may visit."""
        return set(self.visits)

    @property
    def edges(self) -> dict[NodeType, set[NodeType]]:
        """The classes that may follow each class."""
        return {cls: {each for each in visit.route.candidates if is_node(each)} for cls, visit in self.visits.items()}

    @property
    def filled_nodes(self) -> set[NodeType]:
        """The classes that an LM may fill: visited ones, and those that are dependencies."""
        visits = self.visits.values()
        chosen = [visit.route for visit in visits if visit.route.by == "lm" or visit.route.returns_class]
        plans = [plan for visit in visits for plan in (visit.plan, visit.body_plan) if plan]
        filled = {each for route in chosen for each in route.candidates if is_node(each)}
        return filled | {slot.node.node for plan in plans for slot in plan.slots if slot.node is not None}

    @property
    def terminal_nodes(self) -> set[NodeType]:
        """The classes a run may stop at."""
        return {cls for cls, visit in self.visits.items() if visit.route.may_stop}


def apart(cls: NodeType, candidate: NodePlan, *, is_one_lm: bool = False) -> str:
    """Return why *candidate* can never be filled in the call that chooses after *cls*, or nothing.

    With *is_one_lm* one LM stands in for all.
    """
    own, routing = candidate.spec.node.node_config.lm, cls.node_config.lm
    if not is_one_lm and own is not routing and not (isinstance(own, str) and own == routing):
        return "has another LM"
    if why := filled_apart(cls, candidate.spec.node):
        return why
    for target in candidate.plan.targets:
        slot = candidate.plan.slots[target.slot]
        if slot.per_visit or slot.reads_source:
            return f"is visited before {target.need.name} can be made"
    return ""


def discover(
    start: NodeType,
    end: Any = None,
    around: _hints.Surroundings = _hints.NOWHERE,
    substitutes: Substitutes | None = None,
) -> Topology:
    """Return the graph that begins at *start*; raises one GraphError with every fault found.

    Args:
        start: The first node's class.
        end: The class or union of classes that a run may stop at, if that is to be checked.
        around: Where the graph is made: names that annotations may use are looked up there too.
        substitutes: What stands in for dependencies.
    """
    if not is_node(start):
        raise GraphError([start_fault(start)])
    return _Discovery(start, around, substitutes).run(end)


class _Discovery:
    def __init__(self, start: NodeType, around: _hints.Surroundings, substitutes: Substitutes | None) -> None:
        self.around = around
        self.reader = Reader(around)
        self.faults = self.reader.faults
        self.builder = PlanBuilder(self.reader, substitutes)
        self.topology = Topology(start)
        self.unreadable: set[NodeType] = set()
        self.suspicions: list[str] = []
        self.leading_to: dict[NodeType, list[NodeType]] = {}

    def run(self, end: Any) -> Topology:
        self._find_nodes()
        self._check_ends(end)
        for cls, visit in self.topology.visits.items():
            self._check_plans(cls, visit)
        self._check_filled_nodes()
        if self.faults:
            raise GraphError(list(dict.fromkeys(self.faults)))
        with_tools = [each for each in self.topology.filled_nodes if each.node_config.tools]
        self.topology.with_tools = sorted(with_tools, key=name_of)
        for cls, visit in self.topology.visits.items():
            self.suspicions.extend(suspicions_of(cls, visit.spec, is_alone=len(self.topology.visits) == 1))
            self.suspicions.extend(self._two_calls(cls, visit))
            cls.__weft_route__ = visit.route  # type: ignore[attr-defined]
        self.topology.suspicions = list(dict.fromkeys(self.suspicions))
        return self.topology

    def _two_calls(self, cls: NodeType, visit: NodePlan) -> Iterator[str]:
        """Yield why a node that is to route in one call never can."""
        if cls.node_config.routing != "one-call" or not visit.is_choice:
            return
        for each in visit.route.candidates:
            if why := apart(cls, self.topology.visits[each]):
                yield f"{cls.__name__}: routing='one-call' takes two calls, since {each.__name__} {why}."

    # --- Finding ---

    def _find_nodes(self) -> None:
        todo, seen = [self.topology.start], {self.topology.start}
        for cls in todo:
            visit = self._read(cls)
            if visit is None:
                continue
            self.topology.visits[cls] = visit
            for following in filter(is_node, visit.route.candidates):
                self.leading_to.setdefault(following, []).append(cls)
                if following not in seen:
                    seen.add(following)
                    todo.append(following)

    def _read(self, cls: NodeType) -> NodePlan | None:
        try:
            route = read_route(cls, self.around)
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(cls, "__call__", error))
            route = Route("end")
        spec = self.reader.node(cls)
        # What follows such a node is not known, so neither is whether it comes to an end.
        if spec is None or not route.offered or not all(map(is_node, route.candidates)):
            self.unreadable.add(cls)
        if spec is None:
            return None
        self.faults.extend(route_faults(cls, route))
        self.faults.extend(field_faults(cls, spec))
        visit = NodePlan(spec, route, self.builder.build(cls.__name__, spec.needs, cls))
        if route.by == "code" and is_coroutine_body(body_of(cls)):
            visit.body = self.reader.body(cls, body_of(cls))
            visit.body_plan = self.builder.build(cls.__name__, visit.body.needs, cls)
        return visit

    # --- Edges ---

    def _check_ends(self, end: Any) -> None:
        stops = self.topology.terminal_nodes
        ending = reaching(self.leading_to, stops | self.unreadable)
        for cls in self.topology.visits:
            if cls not in ending:
                hint = "Let some path lead to a node without __call__, or with None in its annotation."
                self.faults.append(Fault(cls, None, "no path from this node comes to an end", hint))
        if end is not None:
            self._check_end_type(end, stops)

    def _check_end_type(self, end: Any, stops: set[NodeType]) -> None:
        try:
            named = _hints.members(_hints.evaluate(end, self.around.names()))
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(None, "Graph(end=…)", error))
            return
        strangers = list(end_faults(named))
        if strangers:
            self.faults.extend(strangers)
            return
        for cls in sorted((each for each in stops if not issubclass(each, named)), key=name_of):
            hint = f"Add it: end=… | {cls.__name__}."
            self.faults.append(Fault(cls, None, "a run can stop here, and end= does not name it", hint))
        self.suspicions.extend(
            f"Graph(end=…): no run stops at {name_of(cls)}."
            for cls in sorted(named, key=name_of)
            if not any(issubclass(each, cls) for each in stops)
        )

    # --- Dependencies ---

    def _check_plans(self, cls: NodeType, visit: NodePlan) -> None:
        before: set[NodeType] = set()
        if _recalls(visit.plan) or _recalls(visit.body_plan):
            before = reaching(self.leading_to, self.leading_to.get(cls, ()))
        if cls is self.topology.start:
            self._check_start(cls, visit)
            before = before | {cls}
        self._check_plan(cls, visit.plan, before)
        if visit.body_plan is not None:
            self._check_plan(cls, visit.body_plan, before | {cls})

    def _check_start(self, cls: NodeType, visit: NodePlan) -> None:
        for need in visit.spec.needs:
            if isinstance(need.source, RecallMarker):
                hint = "Nothing has been visited before the start node: make it a plain field or a Dep."
                self.faults.append(Fault(cls, need.name, "the start node cannot Recall", hint))

    def _check_plan(self, cls: NodeType, plan: Plan, before: set[NodeType]) -> None:
        for user, step in _all_inputs(plan):
            slot = plan.slots[step.slot]
            fault = self._type_fault(cls, user, step.need, slot)
            if fault is not None:
                self.faults.append(fault)
            if slot.recall is not None:
                self._check_recall(cls, user, step.need, slot.recall, before)
        for slot in plan.slots:
            self._check_function(slot)

    def _type_fault(self, cls: NodeType, user: Slot | None, need: Need, slot: Slot) -> Fault | None:
        given: Any = slot.node.node if slot.node is not None else slot.function and slot.function.returns
        if slot.kind not in ("function", "node") or _hints.fits(given, need.type):
            return None
        owner, place = _place(cls, user, need)
        message = f"{_maker(slot)} returns {_hints.shown(given)}, which does not fit {_hints.shown(need.type)}"
        return Fault(owner, place, message, _misfit_hint(slot))

    def _check_function(self, slot: Slot) -> None:
        function = slot.function
        if function is None:
            return
        if slot.marker.thread and function.kind not in ("sync", "generator"):
            message = "thread=True is for blocking functions, and this one is async"
            self.faults.append(Fault(None, slot.name, message, "Leave thread=True out."))
        if slot.marker.timeout is not None and function.kind == "sync" and not slot.marker.thread:
            message = "timeout= cannot stop a sync function that runs on the event loop"
            self.faults.append(Fault(None, slot.name, message, "Make it async, or add thread=True."))
        is_lambda = slot.name == "<lambda>"
        if function.returns is _hints.MISSING and not is_lambda:
            self.suspicions.append(f"{slot.name}: has no return annotation, so its value's type is not checked here.")

    def _check_recall(
        self, cls: NodeType, user: Slot | None, need: Need, marker: RecallMarker, before: set[NodeType]
    ) -> None:
        if cls is self.topology.start and user is None and need in self.topology.visits[cls].spec.needs:
            return
        owner, place = _place(cls, user, need)
        found = {each: match for each in before if (match := recalled(marker, need.type, each))}
        if not found:
            hint = recall_hint(marker, before)
            message = f"no node that can come before has {wanted_by(marker, need.type)}"
            self.faults.append(Fault(owner, place, message, hint))
        for each in sorted(found, key=name_of):
            message = _recall_problem(each, found[each], need)
            if message:
                self.faults.append(Fault(owner, place, message, f"Say which: Recall({each.__name__}, 'field')."))

    def _check_filled_nodes(self) -> None:
        for cls in self.topology.filled_nodes - self.unreadable:
            spec = self.reader.node(cls)
            if spec is None:
                continue
            for name, annotation in spec.unwritable().items():
                hint = "Make it a Dep, or give it a type that JSON knows."
                message = f"the LM is to write it, and {_hints.shown(annotation)} has no JSON schema"
                self.faults.append(Fault(cls, name, message, hint))


def reaching(leading_to: Edges, goals: Iterable[NodeType]) -> set[NodeType]:
    """Return the nodes from which some goal can be reached, the goals included, by those *leading_to* each."""
    found, todo = set(goals), list(goals)
    while todo:
        fresh = [each for each in leading_to.get(todo.pop(), ()) if each not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def _recalls(plan: Plan | None) -> bool:
    return plan is not None and any(slot.recall for slot in plan.slots)


def _recall_problem(cls: NodeType, match: tuple[str | None, ...], need: Need) -> str:
    if len(match) != 1:
        return f"{cls.__name__} has two that match: {' and '.join(map(str, match))}"
    name = match[0]
    declared = cls if name is None else cls.__pydantic_fields__[name].annotation
    if _hints.fits(declared, need.type):
        return ""
    return f"{cls.__name__}.{name} is {_hints.shown(declared)}, which does not fit {_hints.shown(need.type)}"


def _place(cls: NodeType, user: Slot | None, need: Need) -> tuple[type | None, str]:
    if user is None:
        return cls, need.name
    if user.node is not None:
        return user.node.node, need.name
    return None, f"{user.name}({need.name})"


def _maker(slot: Slot) -> str:
    """Return what makes a value: a dependency, or what stands in for it."""
    called = slot.name if slot.function is None else name_of(slot.function.function)
    return slot.name if called == slot.name else f"{called}, in the place of {slot.name},"


def _all_inputs(plan: Plan) -> Iterator[tuple[Slot | None, Input]]:
    for step in plan.targets:
        yield None, step
    for slot in plan.slots:
        for step in slot.inputs:
            yield slot, step


def _misfit_hint(slot: Slot) -> str:
    function = slot.function
    wrapped = inspect.unwrap(function.function) if function is not None and function.kind == "sync" else None
    if inspect.isgeneratorfunction(wrapped) or inspect.isasyncgenfunction(wrapped):
        return "Leave @contextmanager out: a generator function is a resource, which the run closes."
    return "Change the annotation, or what the function returns."
