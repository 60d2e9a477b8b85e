"""The loop: visit a node, resolve and fill it, find what follows, until a run stops. It does no I/O of its own."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from ._accounts import Account, Budget
from ._ahead import Prefetched
from ._calls import InjectedLM, LMChoice, ask
from ._deciding import Decided, decide, inputs_for_one_call, is_for_one_call
from ._limits import Limiters
from ._plan import Input
from ._prefetch import Prefetcher
from ._resolution import Resolution
from ._run import BodyPlace, Place, Run, Trace, Visit, current_place
from ._scope import Scope
from ._spec import NodeSpec
from ._telling import VisitTelling, status_of
from ._verdicts import misfit, timed_out, too_many_steps, wrong_return
from .errors import (
    BudgetExceededError,
    DepError,
    describe,
)
from .events import Event, RouteChosen, RunFinished, RunStarted
from .filling import check_choice, fill_with, fill_without_lm, offered_names
from .lm import LM, Routing, Usage
from .nodes import Node
from .topology import NodePlan, Topology

logger = logging.getLogger("weft")

T = TypeVar("T")
Listener = Callable[[Event], object]


class Settings(NamedTuple):
    """What a run is started with, besides its graph and its start node; the account is that of a batch."""

    lms: LMChoice
    limiters: Limiters
    provided: Mapping[Any, Any]
    listener: Listener | None
    max_steps: int | None
    timeout: float | None
    budget: Budget | None
    routing: Routing | None
    account: Account | None


class Execution(Run):
    """One run of a graph, inside another one's dependency or body if *place* says so."""

    is_open = True
    _decided: Decided | None = None
    _prefetcher: Prefetcher | None = None
    _walking: asyncio.Timeout | None = None
    _broken: BaseException | None = None

    def __init__(self, topology: Topology, settings: Settings, place: Place | None = None) -> None:
        outer = place.visit.run if place is not None else None
        assert outer is None or isinstance(outer, Execution)
        self.topology = topology
        self.settings = settings
        self.outer = outer
        self.id = os.urandom(16).hex()
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.lms = settings.lms
        self.limiters = settings.limiters
        self.trace = Trace()
        self._calls: dict[str, int] = {}
        self._visiting: type[Node] = topology.start
        self.account: Account = Account(settings.budget, settings.account or (outer.account if outer else None))
        self.provided = settings.provided
        self.scopes: Sequence[Scope] = [*(outer.scopes if outer else ()), Scope()]
        self.serials: Iterator[int] = outer.serials if outer else itertools.count()
        self.inside = place.dependency if place is not None else None
        self.key = place.next_run_key() if place is not None else ""
        self.parent_key = place.key if place is not None else None
        own = (settings.listener,) if settings.listener else ()
        self.listeners: tuple[Listener, ...] = (*(outer.listeners if outer else ()), *own)
        self.is_listening = bool(self.listeners)

    # --- What resolutions and calls need ---

    def emit(
        self, event_type: type[Event], key: str, parent: str | None, /, *, at: float | None = None, **values: Any
    ) -> None:
        event = event_type(run_id=self.id, key=key, parent=parent, at=time.time() if at is None else at, **values)
        try:
            for listener in self.listeners:
                listener(event)
        except Exception as error:  # noqa: BLE001  a listener's fault ends the run, in order, from within its task
            self._break(error)

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = error
            if self._walking is not None:
                self._walking.reschedule(self.loop.time())

    @property
    def outermost(self) -> Execution:
        """The run that is inside no other."""
        run = self
        while run.outer is not None:
            run = run.outer
        return run

    @property
    def prefetcher(self) -> Prefetcher:
        """What is made ahead, made itself when first asked for."""
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self, self.topology, self.settings.max_steps)
        return self._prefetcher

    @property
    def usage(self) -> Usage:
        """What LM calls have used so far."""
        return self.account.usage

    def leave(self) -> None:
        super().leave()
        self._prefetcher = None

    def is_out_of_budget(self, error: BaseException) -> bool:
        return isinstance(error, BudgetExceededError) and error.account in self.account.chain

    def owner_of(self, scope: Scope) -> Run:
        run = self
        while run.scopes[-1] is not scope and run.outer is not None:
            run = run.outer
        return run

    def next_call_key(self, key: str, kind: str) -> str:
        """Return the place of the next call of an LM given to the code at *key*: ``…/fill``, then ``…/fill2``."""
        place = f"{key}/{kind}"
        self._calls[place] = count = self._calls.get(place, 0) + 1
        return place if count == 1 else f"{place}{count}"

    def lm_for(self, key: str) -> LM:
        return InjectedLM(self, key)

    def fill(
        self, spec: NodeSpec, injected: Mapping[str, Any], key: str, ahead: Prefetched | None = None
    ) -> Awaitable[Node]:
        if not spec.plain:
            return fill_without_lm(spec, injected)
        answer = functools.partial(fill_with, spec, injected, self.trace.last)
        return ask(self, "fill", f"{key}/fill", spec.node, answer, ahead=ahead)

    def answers_by_place(self, node_type: type[Node]) -> bool:
        return getattr(self.lms.find(node_type), "is_stand_in", False)

    async def _meanwhile(self, begin: Callable[[Prefetcher, NodePlan], None], plan: NodePlan, call: Awaitable[T]) -> T:
        """Return what an LM call gives; *begin* is called once it is issued, unless it is over by then."""
        begins = self.loop.call_soon(lambda: begin(self.prefetcher, plan), context=self.context)
        try:
            return await call
        finally:
            begins.cancel()

    # --- The run ---

    async def execute(self, start: Node) -> Any:
        """Visit nodes from *start* until the run stops, and return its result; what was visited is in the trace."""
        error: BaseException | None = None
        started = time.time()
        self._tell_start(start)
        deadline = asyncio.timeout(self.settings.timeout) if self.settings.timeout or self.is_listening else None
        try:
            await (self._walk(start) if deadline is None else self._walk_until(deadline, start))
        except TimeoutError as timeout:
            error = self._broken or timeout
            if self._broken is None and deadline is not None and deadline.expired():
                error = timed_out(self.settings.timeout or 0, self._visiting, self.trace.nodes, timeout)
        except BaseException as failure:  # noqa: BLE001  raised below, when the resources are closed
            error = failure
            if isinstance(failure, BudgetExceededError) and self.is_out_of_budget(failure):
                failure.trace = list(self.trace.nodes)
        if self._prefetcher is not None:
            error = await self._prefetcher.close(error)
        error = await self._close(self.scopes[-1], error) or self._broken
        self.is_open = False
        self.leave()
        self._tell_end(error, started)
        error = error or self._broken
        if error is not None:
            raise error
        return self.result()

    async def _walk_until(self, deadline: asyncio.Timeout, start: Node) -> None:
        """Walk; a listener that raises meanwhile brings the deadline forward to now."""
        async with deadline:
            self._walking = deadline
            try:
                await self._walk(start)
            finally:
                self._walking = None

    async def _walk(self, start: Node) -> None:
        node_type: type[Node] | None = type(start)
        given: Node | None = start
        step = 0
        while node_type is not None and self._broken is None:
            self._check_steps(step, node_type)
            node_type, given = await self._visit(step, node_type, given)
            step += 1
        if self._broken is not None:
            raise self._broken

    def _check_steps(self, step: int, node_type: type[Node]) -> None:
        limit = self.settings.max_steps
        if limit is not None and step >= limit:
            raise too_many_steps(limit, node_type, self.trace.nodes)

    async def _visit(
        self, step: int, node_type: type[Node], given: Node | None
    ) -> tuple[type[Node] | None, Node | None]:
        """Visit one node; return the next node's class, or None for the end, and the node itself if code made it."""
        plan = self.topology.visits[node_type]
        self._visiting = node_type
        if self._prefetcher is not None:
            self._prefetcher.arrive(step, node_type)
        visit = Visit(self, node_type, self.trace_key(step, node_type))
        telling = VisitTelling(self, visit, step) if self.is_listening else None
        error: BaseException | None = None
        following: tuple[type[Node] | None, Node | None] = (None, None)
        try:
            await self._enter(visit, plan, given, telling)
            following = (plan.only, None) if plan.is_settled and telling is None else await self._follow(visit, plan)
        except BaseException as failure:  # noqa: BLE001  raised below, when the visit's resources are closed
            error = failure
        if visit.has_resources:
            error = await self._close(visit.scope, error)
        if telling is not None:
            telling.finish(error)
        if error is not None:
            raise error
        return following

    async def _close(self, scope: Scope, error: BaseException | None) -> BaseException | None:
        """Close *scope*'s resources and return the error to raise: *error*, or else what went wrong in closing."""
        try:
            failures = await scope.close(error)
        except asyncio.CancelledError as cancelled:
            return cancelled
        for name, failure in failures:
            if error is None:
                hint = "The code after its yield failed."
                error = DepError(f"closing it raised {describe(failure)}", hint, path=[name], trace=self.trace.nodes)
                error.__cause__ = failure
            else:
                error.add_note(f"Closing {name} raised {describe(failure)}.")
                logger.error("Closing %s raised, while another error was on its way.", name, exc_info=failure)
        return error

    # --- One node ---

    async def _enter(self, visit: Visit, plan: NodePlan, given: Node | None, telling: VisitTelling | None) -> None:
        """Put the resolved and filled node into the trace."""
        is_start = not self.trace.nodes
        serial = next(self.serials)
        decided, self._decided = self._decided, None
        if is_start and given is not None:
            # So that a Dep function of the start node can Recall the caller's plain fields.
            self.trace.append(given, serial)
        injected: Mapping[str, Any] = {}
        if plan.plan.targets:
            resolution = Resolution(visit, plan.plan, _wanted_by(plan, given))
            values = await resolution.carry_out()
            if telling is not None:
                telling.has_resolved(resolution)
            injected = _validated(plan, resolution, values, decided)
        if decided is not None:
            node = decided.node_with(plan, injected)
        elif given is None:
            filling = self.fill(plan.spec, injected, visit.key)
            if plan.fills_ahead:
                filling = self._meanwhile(Prefetcher.while_filling, plan, filling)
            node = await filling
        else:
            node = plan.spec.with_injected(given, injected) if injected else given
        if is_start:
            self.trace.nodes[0] = node
        else:
            self.trace.append(node, serial)
        if telling is not None:
            telling.has_node(node, given, None if decided is None else decided.key)

    # --- What follows ---

    async def _follow(self, visit: Visit, plan: NodePlan) -> tuple[type[Node] | None, Node | None]:
        if plan.route.by == "code":
            return await self._run_body(visit, plan)
        if not plan.route.candidates:
            return None, None
        is_open = len(plan.offered) > 1
        chosen = await self._choose(visit, plan) if is_open else plan.offered[0]
        if self.is_listening:
            self._tell_route(visit, plan.offered, chosen, "lm" if is_open else "only")
        return chosen, None

    async def _choose(self, visit: Visit, plan: NodePlan) -> type[Node] | None:
        inputs = await inputs_for_one_call(self, plan) if is_for_one_call(self, plan) else None
        if inputs is not None:
            deciding = decide(self, visit, plan, inputs)
            if plan.join or plan.beyond:
                deciding = self._meanwhile(Prefetcher.while_deciding, plan, deciding)
            self._decided = await deciding
            return None if self._decided is None else type(self._decided.node)
        node, types = self.trace.nodes[-1], plan.offered
        key, offered = f"{visit.key}/route", offered_names(types)

        async def choose(lm: LM) -> type[Node] | None:
            return check_choice(await lm.choose_type(types, node), types, node)

        choosing = ask(self, "choose", key, type(node), choose, offered=offered)
        if plan.shared or plan.speculates or plan.join:
            return await self._meanwhile(Prefetcher.while_choosing, plan, choosing)
        return await choosing

    async def _run_body(self, visit: Visit, plan: NodePlan) -> tuple[type[Node] | None, Node | None]:
        node = self.trace.nodes[-1]
        arguments = await self._arguments(visit, plan)
        token = current_place.set(BodyPlace(visit))
        try:
            returned = await node(**arguments)
        except Exception as error:
            error.add_note(f"Raised by {type(node).__name__}.__call__, at {visit.key}/body.")
            raise
        finally:
            current_place.reset(token)
        return self._check_returned(visit, plan, returned)

    async def _arguments(self, visit: Visit, plan: NodePlan) -> dict[str, Any]:
        if plan.body_plan is None or not plan.body_plan.targets:
            return {}
        return await Resolution(visit, plan.body_plan, plan.body_plan.targets, f"{visit.key}/body").carry_out()

    def _check_returned(self, visit: Visit, plan: NodePlan, returned: Any) -> tuple[type[Node] | None, Node | None]:
        route = plan.route
        chosen: Any = returned if route.returns_class or returned is None else returned.__class__
        if not any(chosen is each for each in plan.offered):
            raise wrong_return(visit, plan, returned)
        if self.is_listening:
            self._tell_route(visit, plan.offered, chosen, "code")
        return chosen, None if route.returns_class else returned

    # --- Telling ---

    def _tell_route(self, visit: Visit, types: Sequence[type[Node] | None], chosen: type[Node] | None, by: str) -> None:
        names, name = offered_names(types), chosen.__name__ if chosen else None
        self.emit(RouteChosen, f"{visit.key}/route", visit.key, offered=names, chosen=name, by=by)

    def _tell_start(self, start: Node) -> None:
        if self.is_listening:
            outer, limit = self.outer.id if self.outer else None, self.settings.max_steps
            self.emit(RunStarted, self.key, self.parent_key, start=start, parent_run_id=outer, max_steps=limit)

    def _tell_end(self, error: BaseException | None, started: float) -> None:
        if self.is_listening:
            status = status_of(error)
            result = self.result() if error is None else None
            how: dict[str, Any] = {"status": status, "error": error, "started_at": started}
            self.emit(RunFinished, self.key, self.parent_key, result=result, usage=self.usage, **how)

    def result(self) -> Any:
        """Return what the run gives; the graph says in which form."""
        return None


def _wanted_by(plan: NodePlan, given: Node | None) -> Sequence[Input]:
    """Return what the fields want that *given*, the node as far as it is there, has no value for."""
    wanted = plan.plan.targets
    if given is None or plan.plan.fields.keys().isdisjoint(given.__dict__):
        return wanted
    return [each for each in wanted if each.need.name not in given.__dict__]


def _validated(
    plan: NodePlan, resolution: Resolution, values: Mapping[str, Any], decided: Decided | None
) -> dict[str, Any]:
    """Return *values* as the fields' types want them."""
    try:
        return plan.spec.validate_injected(values) if decided is None else decided.injected(plan, values)
    except ValidationError as error:
        raise misfit(plan.spec, resolution, values, error) from error
