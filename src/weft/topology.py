"""Nodes and edges, found from the start node by their return annotations, and every check of a definition.

If `discover` finds no fault, every edge, dependency and Recall of the graph has been looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import PydanticUndefined

from . import _hints
from ._markers import DepMarker, RecallMarker
from ._plan import Input, Plan, PlanBuilder, Slot, Substitutes
from ._routes import Route, body_of, is_coroutine_body, read_route, unknown_name
from ._spec import DEP_HINT, FunctionSpec, Need, NodeSpec, Reader, buried_marker, recalled
from .errors import Fault, GraphError, name_of
from .nodes import Node, is_node

NodeType = type[Node]
Edges = Mapping[NodeType, Iterable[NodeType]]


@dataclass
class NodePlan:
    """All that a run must know of one node class: what its fields need, its body, and where it leads.

    `offered` is what a choice is made among: the candidates, and None where the run may stop. It is settled, and `only`
    is what follows, where there is nothing to choose.
    """

    spec: NodeSpec
    route: Route
    plan: Plan
    body: FunctionSpec | None = None
    body_plan: Plan | None = None

    def __post_init__(self) -> None:
        self.offered: tuple[NodeType | None, ...] = self.route.offered
        self.is_settled = self.route.by != "code" and len(self.offered) == 1
        self.only = self.offered[0] if self.is_settled else None


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
        hint = "Pass the class itself: Graph(start=MyNode)."
        raise GraphError([Fault(None, "Graph(start=…)", f"{start!r} is not a Node class", hint)])
    return _Discovery(start, around, substitutes).run(end)


class _Discovery:
    def __init__(self, start: NodeType, around: _hints.Surroundings, substitutes: Substitutes | None) -> None:
        self.around = around
        self.reader = Reader(around)
        self.faults = self.reader.faults
        self.builder = PlanBuilder(self.reader, substitutes)
        self.topology = Topology(start)
        self.unreadable: set[NodeType] = set()

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
            cls.__weft_route__ = visit.route  # type: ignore[attr-defined]
        return self.topology

    # --- Finding ---

    def _find_nodes(self) -> None:
        todo, seen = [self.topology.start], {self.topology.start}
        for cls in todo:
            visit = self._read(cls)
            if visit is None:
                continue
            self.topology.visits[cls] = visit
            fresh = [each for each in visit.route.candidates if is_node(each) and each not in seen]
            seen.update(fresh)
            todo.extend(fresh)

    def _read(self, cls: NodeType) -> NodePlan | None:
        try:
            route = read_route(cls, self.around)
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(cls, "__call__", error))
            route = Route("end")
        spec = self.reader.node(cls)
        if spec is None or not (route.candidates or route.may_stop):
            self.unreadable.add(cls)
        if spec is None:
            return None
        self.faults.extend(_route_faults(cls, route))
        self.faults.extend(_field_faults(cls, spec))
        visit = NodePlan(spec, route, self.builder.build(cls.__name__, spec.needs, cls))
        if route.by == "code" and is_coroutine_body(body_of(cls)):
            visit.body = self.reader.body(cls, body_of(cls))
            visit.body_plan = self.builder.build(cls.__name__, visit.body.needs, cls)
        return visit

    # --- Edges ---

    def _check_ends(self, end: Any) -> None:
        edges, stops = self.topology.edges, self.topology.terminal_nodes
        ending = _reaching(edges, stops | self.unreadable)
        for cls in self.topology.visits:
            if cls not in ending:
                hint = "Let some path lead to a node without __call__, or with None in its annotation."
                self.faults.append(Fault(cls, None, "no path from this node comes to an end", hint))
        if end is not None:
            self._check_end_type(end, stops)

    def _check_end_type(self, end: Any, stops: set[NodeType]) -> None:
        try:
            named = set(_hints.members(_hints.evaluate(end, self.around.names())))
        except _hints.UnknownNameError as error:
            self.faults.append(unknown_name(None, "Graph(end=…)", error))
            return
        for stranger in [each for each in named if not is_node(each)]:
            hint = "Name the classes a run may stop at: end=Answer or end=Answer | Refusal."
            self.faults.append(Fault(None, "Graph(end=…)", f"{name_of(stranger)} is not a Node class", hint))
        classes = tuple(each for each in named if isinstance(each, type))
        for cls in sorted((each for each in stops if not issubclass(each, classes)), key=name_of):
            hint = f"Add it: end=… | {cls.__name__}."
            self.faults.append(Fault(cls, None, "a run can stop here, and end= does not name it", hint))
        self.topology.suspicions.extend(
            f"Graph(end=…): no run stops at {name_of(cls)}."
            for cls in sorted(filter(is_node, named), key=name_of)
            if not any(issubclass(each, cls) for each in stops)
        )

    # --- Dependencies ---

    def _check_plans(self, cls: NodeType, visit: NodePlan) -> None:
        before: set[NodeType] = set()
        if _recalls(visit.plan) or _recalls(visit.body_plan):
            before = _before(self.topology.edges, cls)
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
        message = f"{slot.name} returns {_shown(given)}, which does not fit {_shown(need.type)}"
        return Fault(owner, place, message, "Change the annotation, or what the function returns.")

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
            self._suspect(f"{slot.name}: has no return annotation, so its value's type is not checked here.")

    def _suspect(self, line: str) -> None:
        if line not in self.topology.suspicions:
            self.topology.suspicions.append(line)

    def _check_recall(
        self, cls: NodeType, user: Slot | None, need: Need, marker: RecallMarker, before: set[NodeType]
    ) -> None:
        if cls is self.topology.start and user is None and need in self.topology.visits[cls].spec.needs:
            return
        owner, place = _place(cls, user, need)
        found = {each: match for each in before if (match := recalled(marker, need.type, each))}
        if not found:
            hint = "Recall reads plain fields and nodes visited earlier; Recall(SomeNode, 'field') names one."
            message = f"no node that can come before has {_wanted(marker, need.type)}"
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
            try:
                spec.schema  # noqa: B018  building it is the check
            except PydanticInvalidForJsonSchema as error:
                hint = "Give the field a Dep, or a type that JSON knows."
                self.faults.append(Fault(cls, None, f"the LM cannot write its fields: {error.message}", hint))


def _reaching(edges: Edges, goals: Iterable[NodeType]) -> set[NodeType]:
    """Return the nodes from which some goal can be reached, the goals included."""
    users: dict[NodeType, list[NodeType]] = {}
    for cls, following in edges.items():
        for each in following:
            users.setdefault(each, []).append(cls)
    found, todo = set(goals), list(goals)
    while todo:
        fresh = [each for each in users.get(todo.pop(), ()) if each not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def _before(edges: Edges, cls: NodeType) -> set[NodeType]:
    """Return the nodes that some path visits before *cls*; itself too, if it is on a loop."""
    return _reaching(edges, [each for each, following in edges.items() if cls in following])


def _recalls(plan: Plan | None) -> bool:
    return plan is not None and any(slot.recall for slot in plan.slots)


def _recall_problem(cls: NodeType, match: tuple[str | None, ...], need: Need) -> str:
    if len(match) != 1:
        return f"{cls.__name__} has two that match: {' and '.join(map(str, match))}"
    name = match[0]
    declared = cls if name is None else cls.__pydantic_fields__[name].annotation
    if _hints.fits(declared, need.type):
        return ""
    return f"{cls.__name__}.{name} is {_shown(declared)}, which does not fit {_shown(need.type)}"


def _route_faults(cls: NodeType, route: Route) -> Iterator[Fault]:
    if not route.is_annotated:
        hint = 'Say where it leads: -> "Next", -> "A | B", or -> None for an end.'
        yield Fault(cls, "__call__", "has no return annotation", hint)
    for stranger in [each for each in route.candidates if not is_node(each)]:
        yield Fault(
            cls,
            "__call__",
            f"may return {_shown(stranger)}, which is not a Node class",
            "Return Nodes or None.",
        )
    names = [each.__name__ for each in route.candidates if is_node(each)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(cls, "__call__", f"two candidates are called {name}", "Rename one: the LM chooses by name.")
    if route.by is None:
        hint = "Say who chooses the next node: node_config = NodeConfig(routes='lm') or 'code'."
        yield Fault(cls, "__call__", "whether its body has code cannot be told", hint)
    if route.by == "code" and not is_coroutine_body(body_of(cls)):
        yield Fault(cls, "__call__", "has code and is not async", "Write: async def __call__.")


def _field_faults(cls: NodeType, spec: NodeSpec) -> Iterator[Fault]:
    for need in spec.needs:
        field = cls.__pydantic_fields__[need.name]
        if field.default is not PydanticUndefined or field.default_factory is not None:
            word = "Dep" if isinstance(need.source, DepMarker) else "Recall"
            yield Fault(cls, need.name, f"a {word} field takes no default", "Leave the default out.")
    for name in buried_marker(cls):
        yield Fault(cls, name, "Dep or Recall is inside the type, where it says nothing", DEP_HINT)


def _place(cls: NodeType, user: Slot | None, need: Need) -> tuple[type | None, str]:
    if user is None:
        return cls, need.name
    if user.node is not None:
        return user.node.node, need.name
    return None, f"{user.name}({need.name})"


def _all_inputs(plan: Plan) -> Iterator[tuple[Slot | None, Input]]:
    for step in plan.targets:
        yield None, step
    for slot in plan.slots:
        for step in slot.inputs:
            yield slot, step


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _wanted(marker: RecallMarker, wanted: Any) -> str:
    what = f"a field {marker.field!r}" if marker.field else f"a value of type {_shown(wanted)}"
    return f"{what} in {marker.node.__name__}" if marker.node else what
