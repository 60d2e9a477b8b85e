"""What the visit that is going on will still do, read from its plan before any of it takes place."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._plan import Input, Plan, Slot
from .._run import Trace, key_part
from .._spec import recalled
from ..errors import RecallError
from ..events import DepFinished, Event, LMCallFinished, NodeFinished, NodeStarted, RouteChosen, RunStarted
from ..filling import offered_names
from ..nodes import Node
from ..topology import NodePlan, Topology
from ._branches import Part, choice_title, place_of

Need = tuple[str, str]  # a name that people read, and the place of what gives the value


@dataclass(frozen=True, slots=True)
class Step:
    """A part that is to come: the places it `needs`, the one that will use it, and the one it is `inside` of, if any.

    `kept_as` is the identity of a value that later visits find made; None where it is made again.
    """

    part: Part
    needs: Sequence[Need] = ()
    user: str | None = None
    inside: str | None = None
    kept_as: Hashable = None


class Outlook:
    """What a run of a graph is going to do next, as far as the plans say: the visit that is going on, not its routes.

    A graph run inside shows up as it goes on, since only its own run knows its plans. Dependencies that a custom body
    gave the node it returned may be shown until the visit goes on without them.
    """

    def __init__(self, topology: Topology) -> None:
        names = [cls.__name__ for cls in topology.visits]
        self._plans = {cls.__name__: plan for cls, plan in topology.visits.items() if names.count(cls.__name__) == 1}
        self._trace = Trace()
        self._given: Any = None  # what is there of the node to be visited next: its fields, or all of it
        self._made: set[Hashable] = set()
        self._done: set[str] = set()
        self._steps: dict[str, Step] = {}
        self.order: dict[str, int] = {}

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RunStarted(key=""):
                self._given = event.start
                self._trace.append(event.start, 0)
            case NodeStarted(parent=None):
                self._look_ahead(event)
            case RouteChosen(by="code"):
                self._note_return(event)
            case DepFinished(status="done"):
                self._note_made(place_of(event.key))
            case LMCallFinished(is_accepted=True):
                self._note_call(event)
            case NodeFinished(parent=None):
                self._leave(event)
            case _:
                pass

    def _note_return(self, event: RouteChosen) -> None:
        """Keep that code has made the next node, if it did: the LM fills nothing of it."""
        visit = self._plans.get((event.parent or "").partition(":")[2])
        if visit is not None and not visit.route.returns_class:
            self._given = visit

    def _note_call(self, event: LMCallFinished) -> None:
        """Keep that a call was answered, and that the next node is written if the call that routes wrote it."""
        place = place_of(event.key)
        self._done.add(place)
        if event.kind == "decide" and place.count("/") == 1 and place.endswith("/route"):
            self._given = event

    def _note_made(self, place: str) -> None:
        self._done.add(place)
        step = self._steps.get(place)
        if step is not None and step.kept_as is not None:
            self._made.add(step.kept_as)

    def _leave(self, event: NodeFinished) -> None:
        if isinstance(event.node, Node) and event.step:
            self._trace.append(event.node, event.step)
        self._steps, self.order, self._done = {}, {}, set()

    # --- What is to come ---

    def _look_ahead(self, event: NodeStarted) -> None:
        visit, given = self._plans.get(event.node_type), self._given
        self._given = None
        if visit is not None:
            self._steps, self.order = _Ahead(event, visit, given, self._trace, self._made).steps()

    def waiting(self, begun: Collection[str]) -> dict[str, Part]:
        """Return what is still to come of the visit, *begun* being the keys of what is not."""
        still: dict[str, Part] = {}
        for key, step in self._steps.items():  # users before what they use
            if key in begun or (step.user is not None and step.user not in still):
                continue
            if step.inside is None or (step.inside in begun and step.inside not in self._done):
                missing = [name for name, place in step.needs if place not in self._done]
                still[key] = replace(step.part, waits_for=missing)
        return still


class _Ahead:
    """One visit, looked at when it begins: the steps to be taken, and the order in which they are shown."""

    def __init__(
        self, event: NodeStarted, visit: NodePlan, given: Any, trace: Trace, made: Collection[Hashable]
    ) -> None:
        self.key, self.visit, self.given = event.key, visit, given
        self.step = event.step
        self.trace, self.made = trace, made
        self.is_visited = False  # whether what is looked at sees the node itself in the trace, as its body does
        self.places: dict[Hashable, str] = {}
        self.found: dict[str, Step] = {}

    def steps(self) -> tuple[dict[str, Step], dict[str, int]]:
        """Return what is to come by key, users before what they use, and the position of each key on the screen."""
        fill, route = f"{self.key}/fill", f"{self.key}/route"
        is_filled = self.given is None and bool(self.visit.spec.plain)
        is_choice = self.visit.route.by == "lm" and len(self.visit.offered) > 1
        user = fill if is_filled else route if is_choice else None
        plan, body_plan = self.visit.plan, self.visit.body_plan
        self._add(plan, self._wanted(plan), self.key, user)
        fields = self._needs(plan, self._wanted(plan))
        after_fields = [("its fields", fill)] if is_filled else fields
        name = self.visit.spec.node.__name__
        last: dict[str, Step] = {}
        if is_filled:
            last[fill] = Step(Part(fill, f"LM fills {name}", "lm"), fields, route if is_choice else None)
        if is_choice:
            title = choice_title(offered_names(self.visit.offered))
            last[route] = Step(Part(route, title, "lm"), after_fields)
        of_fields = len(self.found)
        if body_plan is not None:
            self.is_visited = True
            self._add(body_plan, body_plan.targets, f"{self.key}/body", None, after_fields)
        keys = list(self.found)
        shown = [*keys[:of_fields], *last, *keys[of_fields:]]
        return {**dict(reversed(last.items())), **self.found}, {each: place for place, each in enumerate(shown)}

    def _wanted(self, plan: Plan) -> Sequence[Input]:
        there: Mapping[str, Any] = self.given.__dict__ if isinstance(self.given, Node) else {}
        return [each for each in plan.targets if each.need.name not in there]

    def _add(
        self, plan: Plan, wanted: Sequence[Input], around: str, user: str | None, after: Sequence[Need] = ()
    ) -> None:
        """Add what *wanted* are made from, found on the same ways as the engine finds it: places are named by them."""
        todo = [(around, user, each) for each in reversed(wanted)]
        added: list[tuple[str, Slot]] = []
        while todo:
            around, user, step = todo.pop()
            slot = plan.slots[step.slot]
            identity = self._identity(plan, slot)
            if not slot.is_made or identity in self.made or identity in self.places:
                continue
            place = self.places[identity] = f"{around}/{key_part(step.need.name)}"
            kept_as = None if slot.per_visit else identity
            self.found[place] = Step(Part(place, slot.name, "dep"), after, user, kept_as=kept_as)
            added.append((place, slot))
            todo.extend((place, place, each) for each in reversed(slot.inputs))
        for place, slot in added:
            self._complete(plan, place, slot)

    def _complete(self, plan: Plan, place: str, slot: Slot) -> None:
        """Say what is waited for at *place*, and that an LM call follows there if *slot* is a node to be filled."""
        needs = self._needs(plan, slot.inputs)
        if needs:
            self.found[place] = replace(self.found[place], needs=needs)
        if slot.node is not None and slot.node.plain:
            key = f"{place}/fill"
            self.found[key] = Step(Part(key, f"LM fills {slot.name}", "lm"), inside=place)

    def _needs(self, plan: Plan, inputs: Sequence[Input]) -> list[Need]:
        """Return those of *inputs* that are still to be made."""
        places = [(each.need.name, self.places.get(self._identity(plan, plan.slots[each.slot]))) for each in inputs]
        return [(name, place) for name, place in places if place is not None]

    def _identity(self, plan: Plan, slot: Slot) -> Hashable:
        """Return what a value is kept under: what reads the trace belongs to what it reads there."""
        if not slot.reads_trace:
            return slot.key
        source = (self.step + 1 if self.is_visited else len(self.trace.nodes)) if slot.reads_source else None
        return (slot.key, tuple(self._read_by(plan.slots[each]) for each in slot.reads), source)

    def _read_by(self, slot: Slot) -> int | None:
        """Return the place in the trace that a Recall will read."""
        if self.is_visited and slot.recall and recalled(slot.recall, slot.wanted, self.visit.spec.node):
            return self.step
        try:
            found = self.trace.newest(slot)
        except RecallError:  # the run itself says so, when it gets there
            return None
        return None if found is None else found[0]
