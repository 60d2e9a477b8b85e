"""Prefetch: while an LM fills or chooses, dependencies of the nodes that come next are made already.

What may be made ahead is found when the graph is made (`look_ahead`). A run has a `Prefetcher`, which has a `Stage` for
each node to come whose values are being made: a resolution that starts what it can and whose failures harm nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal

from ._ahead import Prefetched
from ._plan import Plan, Slot
from ._resolution import Resolution
from ._run import Run, Visit
from ._scope import until_done
from ._spec import recalled
from ._survey import MISSING, UNDER_WAY
from .nodes import Node
from .topology import NodePlan, Topology, reaching

Prefetch = Literal["certain", "candidates", "off"]
NodeType = type[Node]
Before = tuple[tuple[NodeType, ...], ...]


# --- When the graph is made ----------------------------------------------------------------------------------------


def look_ahead(topology: Topology, prefetch: Prefetch) -> Topology:
    """Return *topology*, each of its nodes knowing what may be made ahead while it is filled or routed from."""
    if prefetch == "off":
        return topology
    visits = topology.visits
    starting = {cls for cls, visit in visits.items() if any(map(_startable, _plans(visit)))}
    certainly_before: dict[NodeType, list[NodeType]] = {}
    for cls, visit in visits.items():
        if visit.only is not None:
            certainly_before.setdefault(visit.only, []).append(cls)
    leading = reaching(certainly_before, starting)
    for visit in visits.values():
        body = visit.body_plan
        visit.fills_ahead = visit.only in leading or (body is not None and _startable(body))
        candidates = [visits[cls] for cls in visit.offered if cls is not None]
        if visit.is_choice:
            if None not in visit.offered:
                visit.shared = frozenset(_shared(candidates))
                visit.join = _join(candidates, leading)
            if prefetch == "candidates":
                visit.speculates = any(each.spec.node in starting for each in candidates)
                visit.beyond = tuple(each.spec.node for each in candidates if each.only in leading and not visit.join)
    return topology


def _plans(visit: NodePlan) -> list[Plan]:
    return [visit.plan] if visit.body_plan is None else [visit.plan, visit.body_plan]


def _startable(plan: Plan) -> bool:
    return any(slot.starts_ahead for slot in plan.slots)


def _certain_from(cls: NodeType | None, topology: Topology) -> Iterator[NodeType]:
    """Yield *cls*, if there is one, and the classes that come after it in any case; a circle of them has no end."""
    while cls is not None:
        yield cls
        cls = topology.visits[cls].only


def _join(candidates: Iterable[NodePlan], leading: Container[NodeType]) -> NodeType | None:
    """Return the one class that comes next after every candidate, if something may be made ahead from there on."""
    first, *others = {each.only for each in candidates}
    return first if not others and first is not None and first in leading else None


def _shared(candidates: Sequence[NodePlan]) -> set[Hashable]:
    """Return what every candidate needs and is the same for all: what reads the trace is so only in their fields."""
    wanted = [{key: slot for plan in _plans(each) for key, slot in _startables(plan)} for each in candidates]
    in_fields = [dict(_startables(each.plan)) for each in candidates]
    return {
        key
        for key, slot in wanted[0].items()
        if all(key in each for each in (in_fields if slot.reads_trace else wanted))
    }


def _startables(plan: Plan) -> Iterable[tuple[Hashable, Slot]]:
    return ((slot.key, slot) for slot in plan.slots if slot.starts_ahead)


# --- While a run goes on -------------------------------------------------------------------------------------------


class Prefetcher:
    """What one run makes ahead: a stage for each node to come, and what was let go of and has not ended yet."""

    def __init__(self, run: Run, topology: Topology, max_steps: int | None) -> None:
        self.run = run
        self.topology = topology
        self.max_steps = max_steps
        self.stages: list[Stage] = []
        self._covered = self._chosen_at = -1
        self._leaving: set[asyncio.Task[Any]] = set()

    def while_filling(self, visit: NodePlan) -> None:
        """Start what is needed in any case after the node that is being filled, nearest first."""
        step = len(self.run.trace.nodes)
        for stage in self.stages:
            stage.look_again()
        if step > self._covered:
            before = ((visit.spec.node,),)
            self._begin_body(step, visit, before)
            self._covered = self._begin_from(visit.only, step, before)

    async def until_made(self, visit: NodePlan) -> None:
        """Start what the candidates need, and wait for their fields' values, unless one of them cannot have all."""
        self.run.context.run(self._begin_candidates, visit)
        step = len(self.run.trace.nodes)
        fields = [stage for stage in self.stages if stage.step == step and not stage.is_body]
        if all(stage.may_have_all() for stage in fields):
            for stage in fields:
                await stage.until_made()

    def while_choosing(self, visit: NodePlan) -> None:
        """Start what every candidate needs, where that is wanted what each of them does, and what comes after all."""
        self._begin_candidates(visit)
        self._begin_join(visit)

    def while_deciding(self, visit: NodePlan) -> None:
        """Start what comes after the candidates, as while one is filled; what they need themselves is there."""
        self._begin_join(visit)
        step = len(self.run.trace.nodes)
        for cls in visit.beyond:
            self._begin_from(self.topology.visits[cls].only, step, ((cls,),), certain=frozenset(), speculates=True)

    def _begin_join(self, visit: NodePlan) -> None:
        self._begin_from(visit.join, len(self.run.trace.nodes), (visit.route.candidates,))

    def _begin_candidates(self, visit: NodePlan) -> None:
        step = len(self.run.trace.nodes)
        if not self._may_visit(step) or self._chosen_at == step:
            return
        self._chosen_at = step
        limits: dict[str, Any] = {"certain": visit.shared, "speculates": visit.speculates}
        for cls in visit.offered:
            if cls is not None:
                candidate = self.topology.visits[cls]
                self._begin(Stage(self.run, step, candidate, (), **limits))
                self._begin_body(step, candidate, ((cls,),), **limits)

    def _begin_from(self, cls: NodeType | None, step: int, before: Before, **limits: Any) -> int:
        """Start what *cls*, coming after *step*, and the nodes certain after it need; return the last one's step."""
        for each in _certain_from(cls, self.topology):
            if not self._may_visit(step + 1):
                break
            step += 1
            visit = self.topology.visits[each]
            self._begin(Stage(self.run, step, visit, before, **limits))
            before = (*before, (each,))
            self._begin_body(step, visit, before, **limits)
        return step

    def _may_visit(self, step: int) -> bool:
        return self.max_steps is None or step < self.max_steps

    def _begin_body(self, step: int, visit: NodePlan, before: Before, **limits: Any) -> None:
        if visit.body_plan is not None:
            self._begin(Stage(self.run, step, visit, before, is_body=True, **limits))

    def _begin(self, stage: Stage) -> None:
        self.stages.append(stage)
        stage.look()

    def arrive(self, step: int, node_type: NodeType) -> None:
        """Take in that *node_type* is visited: it takes over what is its, and candidates that lost are let go of."""
        stages, self.stages = self.stages, []
        for stage in stages:
            if stage.is_needed_at(step, node_type):
                self.stages.append(stage)
            else:
                self._let_go(stage)

    def _let_go(self, stage: Stage) -> None:
        for task in stage.leave():
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self, error: BaseException | None) -> BaseException | None:
        """Cancel what is being made ahead and see it end; return the error to raise: *error*, or a cancellation."""
        for stage in self.stages:
            self._let_go(stage)
        self.stages.clear()
        try:
            await until_done([*self._leaving])
        except asyncio.CancelledError as cancelled:
            return cancelled
        return error


class Stage(Resolution):
    """Makes ahead what the fields, or the body, of a node to come will want.

    Args:
        run: The run that will visit it.
        step: When it will.
        visit: What is known of the node.
        before: For each step until then, beginning with that of the call now made, what classes may enter the trace.
        is_body: Whether it is for the body's parameters.
        certain: What is needed whatever the LM chooses; None is everything.
        speculates: Whether the rest may be started too, as far as it costs no LM call and opens nothing.
    """

    def __init__(
        self,
        run: Run,
        step: int,
        visit: NodePlan,
        before: Before,
        *,
        is_body: bool = False,
        certain: frozenset[Hashable] | None = None,
        speculates: bool = False,
    ) -> None:
        node_type = visit.spec.node
        place = Visit(run, node_type, run.trace_key(step, node_type))
        plan = visit.body_plan if is_body else visit.plan
        assert plan is not None
        super().__init__(place, plan, plan.targets, f"{place.key}/body" if is_body else None)
        self.step = step
        self.is_body = is_body
        self.is_over = False
        self._before = before
        self._first = len(run.trace.nodes)
        self._certain = certain
        self._speculates = speculates
        self._wanting: list[Prefetched] = []
        self._too_early: list[Slot] = []
        self._news: asyncio.Event | None = None

    # --- What it may start ---

    def look(self) -> None:
        """Start what can be started; called in the run's context, as are the others."""
        self._look_around()
        self._advance()

    def look_again(self) -> None:
        """Start what can be started since another node has entered the trace."""
        if self._too_early and not self.is_over:
            waiting, self._too_early = self._too_early, []
            for slot in waiting:
                self._make_ready(slot)
            self._advance()

    def is_needed_at(self, step: int, node_type: NodeType) -> bool:
        """Return whether it is needed still, *node_type* being visited; the visit itself goes on with its fields."""
        self.is_over = self.step == step and not self.is_body
        if self.step == step:
            return self.visit.node_type is node_type
        return self.step > step and node_type in self._before[step - self._first]

    def _make_ready(self, slot: Slot) -> None:
        if slot.is_made and not self._may_start(slot):
            return
        if slot.reads_trace and self._may_change(slot):
            self._too_early.append(slot)
        elif slot.kind != "lm":
            self._ready.append(slot)

    def _may_start(self, slot: Slot) -> bool:
        if not slot.starts_ahead:
            return False
        if self._certain is None or slot.key in self._certain:
            return True
        return self._speculates and slot.how in ("call", "thread")

    def _may_change(self, slot: Slot) -> bool:
        """Return whether a node that enters the trace until then may change what *slot* reads there."""
        pending = self._before[len(self.run.trace.nodes) - self._first :]
        if slot.reads_source and pending:
            return True
        return any(_supplies(cls, self.plan.slots[index]) for index in slot.reads for step in pending for cls in step)

    def _known(self, slot: Slot) -> Any:
        if slot.reads_trace and self._may_change(slot):
            return MISSING
        known = super()._known(slot)
        return MISSING if known is UNDER_WAY else known

    # --- Making it ---

    def _look_around(self) -> None:
        super()._look_around()
        ready, self._ready, self._ready_on_loop = [*self._ready, *self._ready_on_loop], [], []
        for slot in ready:
            self._make_ready(slot)

    def _advance(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, []
            for slot in ready:
                self._begin(slot)

    def _make(self, slot: Slot) -> None:
        scope, key = self._home_of(slot)
        if key in scope.values:
            self._have(slot, scope.values[key])
        elif (made := scope.ahead.get(key)) is not None:
            self._want(made, slot)
        elif key not in scope.under_way and not (self.run.inside and self.run.inside.is_inside_of(scope, key)):
            made = scope.ahead[key] = Prefetched(self, slot, scope, key)
            made.launch()
            self._want(made, slot)

    def _want(self, made: Prefetched, slot: Slot) -> None:
        self._wanting.append(made)
        made.wanted_by[self] = slot
        if made.is_landed:
            self._take_in(made, slot)

    def hear(self, made: Prefetched, slot: Slot) -> None:
        """Take in how something ended; a failure only keeps what is made from it from being started."""
        self._take_in(made, slot)
        if self._ready:
            self.run.context.run(self._advance)

    def _take_in(self, made: Prefetched, slot: Slot) -> None:
        self.tell_news()
        if not self.is_over and not made.has_failed:
            self._have(slot, made.value)

    def _fail(self, slot: Slot, error: BaseException) -> None:
        """Leave it to the visit to fail."""

    def made(self, slot: Slot) -> None:
        """Keep nothing: where it was made is told when it is needed."""

    def may_have_all(self) -> bool:
        """Return whether nothing that it wants must be left to the visit."""
        slots = self.plan.slots
        return all(not each.is_made or self._may_start(each) or self._known(each) is not MISSING for each in slots)

    async def until_made(self) -> None:
        """Wait until all that it wants is there, or something has failed or goes on only when its node is visited."""
        self._news = asyncio.Event()
        while any(not made.is_landed for made in self._wanting):
            if any(made.has_failed or made.waits for made in self._wanting):
                return
            self._news.clear()
            await self._news.wait()

    def tell_news(self) -> None:
        """Have who waits for what it wants look again."""
        if self._news is not None:
            self._news.set()

    def leave(self) -> list[asyncio.Task[Any]]:
        """Let go of everything; return the tasks that nobody else waits for and that must be seen to end."""
        self.is_over = True
        leaving: list[asyncio.Task[Any]] = []
        for made in self._wanting:
            made.wanted_by.pop(self, None)
            if made.is_ahead and not made.wanted_by and (task := made.drop()) is not None:
                leaving.append(task)
        return leaving


def _supplies(cls: NodeType, slot: Slot) -> bool:
    """Return whether *cls* has what *slot* recalls."""
    match = slot.found_in.get(cls)
    if match is None:
        assert slot.recall is not None
        match = slot.found_in[cls] = recalled(slot.recall, slot.wanted, cls)
    return bool(match)
