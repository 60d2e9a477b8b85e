"""Carries out a plan: every value as soon as its own inputs are there, each at most once, nothing left behind."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from ._making import Making, is_awaitable
from ._plan import Input, Plan, Slot
from ._run import Visit
from ._scope import STARTS_EAGERLY, Flight, start_flight, until_done
from ._ways import Ways
from .errors import DepError, RecallError, RunError, describe
from .events import Origin

if TYPE_CHECKING:
    from ._ahead import Prefetched

MISSING = object()


class Resolution(Ways):
    """Makes the values that one node's fields, or one body's parameters, want."""

    _adopted: Sequence[tuple[int, int, Prefetched]] = ()

    def __init__(self, visit: Visit, plan: Plan, wanted: Sequence[Input], key: str | None = None) -> None:
        super().__init__(visit, plan, key)
        self.wanted = wanted
        self.run.leave_closed_scopes()
        self._outermost = self.run.scopes[0].values
        count = len(plan.slots)
        self.values: list[Any] = [MISSING] * count
        self._missing: list[int] = [0] * count
        self._left = 0
        self._ready: deque[Slot] = deque()
        self._ready_on_loop: deque[Slot] = deque()
        self._held: dict[Flight, int] = {}
        self._recalled: dict[int, tuple[int, Any] | None] = {}
        self._ambiguous: dict[int, RecallError] = {}
        self._failure: tuple[int, BaseException] | None = None
        self._finished: asyncio.Future[None] | None = None

    async def carry_out(self) -> dict[str, Any]:
        """Return the wanted values by name.

        Raises DepError or RecallError for the first failure, once everything else has been cancelled and has ended.
        """
        try:
            self.run.context.run(self._start)
            if self._left and self._failure is None:
                self._finished = self.run.loop.create_future()
                await self._finished
        finally:
            if self._held or self._adopted:
                await self._leave()
        if self._failure is not None:
            raise self._error(*self._failure)
        return {each.need.name: self.values[each.slot] for each in self.wanted}

    def _start(self) -> None:
        """Start, inside the run's context: everything is made in copies of it."""
        self._survey()
        self._advance()

    # --- What is needed, and what of it is there ---

    def _survey(self) -> None:
        """Find every slot that is needed and not there yet, the first way to each in the order of declaration."""
        waiting: list[int] = []
        for target in self.wanted:
            below = self._look_at(-1, target, waiting)
            while below:
                user, step = below.pop()
                below.extend(self._look_at(user, step, waiting))
        self._count_missing(waiting)

    def _look_at(self, user: int, step: Input, waiting: list[int]) -> list[tuple[int, Input]]:
        """Note how a slot is reached and what it lacks; return what it is made from, if that must be looked at too."""
        index = step.slot
        if self._step[index] is not None:
            return []
        self._step[index], self._user[index] = step, user
        slot = self.plan.slots[index]
        known = self._outermost.get(slot.key, MISSING) if slot.is_simple else self._known(slot)
        if known is not MISSING:
            self.values[index] = known
            return []
        self._left += 1
        if not slot.inputs:
            self._make_ready(slot)
            return []
        if self._is_in_flight(slot):  # joined at once, before it can fail: its inputs are not looked at
            self._ready.append(slot)
            return []
        waiting.append(index)
        return [(index, each) for each in reversed(slot.inputs)]

    def _count_missing(self, waiting: list[int]) -> None:
        for index in waiting:
            slot = self.plan.slots[index]
            missing = sum(self.values[each.slot] is MISSING for each in slot.inputs)
            self._missing[index] = missing
            if not missing:
                self._make_ready(slot)

    def _known(self, slot: Slot) -> Any:
        if slot.kind == "provided":
            return self.run.provided[slot.provided_as]
        if slot.kind in ("recall", "lm"):
            return MISSING
        return self.visit.scope_of(slot).values.get(self._key_in_scope(slot), MISSING)

    def _is_in_flight(self, slot: Slot) -> bool:
        flights = self.visit.scope_of(slot).flights
        return bool(flights) and self._key_in_scope(slot) in flights

    def _key_in_scope(self, slot: Slot) -> Hashable:
        """Return what *slot*'s value is kept under: what read the trace belongs to the entries it read."""
        if not slot.reads_trace:
            return slot.key
        serials = self.run.trace.serials
        read = [found[0] if (found := self._recall(index)) else None for index in slot.reads]
        source = serials[-1] if slot.reads_source and serials else None
        return (slot.key, *(None if position is None else serials[position] for position in read), source)

    def _recall(self, index: int) -> tuple[int, Any] | None:
        if index not in self._recalled:
            try:
                self._recalled[index] = self.run.trace.newest(self.plan.slots[index])
            except RecallError as ambiguous:
                self._recalled[index] = None
                self._ambiguous[index] = ambiguous
        return self._recalled[index]

    # --- Making values ---

    def _make_ready(self, slot: Slot) -> None:
        (self._ready_on_loop if slot.holds_loop else self._ready).append(slot)

    def _advance(self) -> None:
        """Start whatever can start: first what only needs starting, then what holds the loop."""
        ready, on_loop = self._ready, self._ready_on_loop
        while self._failure is None:
            if ready:
                slot = ready.popleft()
            elif not on_loop:
                if not self._adopted:
                    return
                self._take_next()
                continue
            elif self._held and not STARTS_EAGERLY:
                self.run.loop.call_soon(self._advance_on_loop, context=self.run.context)
                return
            else:
                slot = on_loop.popleft()
            self._begin(slot)

    def _advance_on_loop(self) -> None:
        """Run one function that holds the loop, the flights started before having had their first step."""
        if self._ready_on_loop and self._failure is None and self._finished and not self._finished.done():
            self._begin(self._ready_on_loop.popleft())
            self._advance()
            if not self._left or self._failure is not None:
                self._tell_it_is_over()

    def _begin(self, slot: Slot) -> None:
        if slot.is_made:
            self._make(slot)
        elif slot.recall is not None:
            self._look_up(slot)
        else:
            is_the_bodys_own = self._user[slot.index] < 0
            self._have(slot.index, self.run.lm_for(self._key if is_the_bodys_own else self.key_of(slot.index)))

    def _look_up(self, slot: Slot) -> None:
        found = self._recall(slot.index)
        if found is None:
            absent = self.run.trace.without(slot)
            self._fail(slot.index, self._ambiguous.get(slot.index, absent))
        else:
            self._have(slot.index, found[1])

    def _make(self, slot: Slot) -> None:
        """Take the value over, wait for it, or start making it."""
        index = slot.index
        scope = self.run.scopes[0] if slot.is_simple else self.visit.scope_of(slot)
        key = self._key_in_scope(slot) if slot.reads_trace else slot.key
        if key in scope.values:
            self._have(index, scope.values[key])
        elif (flight := scope.flights.get(key)) is not None:
            self._join(index, flight)
        elif scope.ahead and (made := scope.ahead.pop(key, None)) is not None and not made.is_void:
            self._adopt(slot, made)
        elif self.run.inside is not None and self.run.inside.is_inside_of(scope, key):
            self._fail(index, self._waits_for_itself(slot))
        elif slot.holds_loop:
            self._call(Making(self, slot, scope, key))
        else:
            self._launch(Making(self, slot, scope, key))

    def _call(self, making: Making) -> None:
        """Call a sync function here and now; what it returns to be awaited becomes a flight."""
        context = making.new_context()
        value: Any = MISSING
        while value is MISSING:
            started = time.perf_counter()
            making.start()
            try:
                value = making.call(context)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001  the user's function may raise anything
                if isinstance(error, Exception) and making.retries_after(error):
                    continue
                making.end("failed", error=error)
                self._fail(making.slot.index, error)
                return
            making.watch(time.perf_counter() - started)
        if is_awaitable(value):
            self._launch(making, value)
            return
        making.scope.values[making.kept_as] = value
        making.end("done", value=value)
        self._have(making.slot.index, value)

    def _launch(self, making: Making, begun: Any = None) -> None:
        run, scope, key, index = self.run, making.scope, making.kept_as, making.slot.index
        context = making.new_context()
        if run.inside is not None:
            run.inside.wait_for(making)
        flight = start_flight(making.coroutine(context, begun), run.loop, context)
        if run.inside is not None:
            run.inside.stop_waiting_for(making)
        if not flight.done():
            flight.place, flight.report = making, making.report if run.is_listening else None
            scope.keep_in_flight(flight, key, self)
            self._wait_for(index, flight)
            return
        if run.is_listening:
            making.report(flight)
        try:
            value = scope.values[key] = flight.result()
        except BaseException as error:  # noqa: BLE001  it is the failure of this resolution
            self._fail(index, error)
            return
        self._have(index, value)

    # --- What was made ahead ---

    def _adopt(self, slot: Slot, made: Prefetched) -> None:
        """Take over what was begun before it was needed; what has ended is taken as if it ended here, in that order."""
        made.adopt(self, slot)
        if not made.is_landed:
            made.scope.flights[made.kept_as] = made.flight
            made.flight.waiting.append(self)
            self._wait_for(slot.index, made.flight)
        elif slot.holds_loop:
            self._take_made(slot.index, made)
        else:
            self._adopted = sorted([*self._adopted, (made.landing, slot.index, made)])

    def _take_next(self) -> None:
        (_, index, made), *self._adopted = self._adopted
        self._take_made(index, made)

    def _take_made(self, index: int, made: Prefetched) -> None:
        made.report(made.flight)
        if made.has_failed:
            self._fail(index, made.failure())
        else:
            value = made.scope.values[made.kept_as] = made.flight.result()
            self._have(index, value)

    # --- Waiting ---

    def _join(self, index: int, flight: Flight) -> None:
        """Wait for a flight that another resolution has started, unless it waits for us."""
        if self.run.inside is not None and flight.place.is_waiting_for(self.run.inside):
            self._fail(index, self._waits_for_itself(self.plan.slots[index]))
        else:
            flight.waiting.append(self)
            self._wait_for(index, flight)

    def _wait_for(self, index: int, flight: Flight) -> None:
        if self.run.inside is not None:
            self.run.inside.wait_for(flight.place)
        self._held[flight] = index

    def _waits_for_itself(self, slot: Slot) -> RunError:
        hint = "The graph run inside a dependency must not need that dependency."
        return RunError(f"{slot.name} waits for itself through a subgraph", hint)

    def landed(self, flight: Flight) -> None:
        """Take over what a flight brought, and start what waited for it; called in the run's context."""
        index = self._held.pop(flight)
        if self.run.inside is not None:
            self.run.inside.stop_waiting_for(flight.place)
        try:
            self._take(index, flight)
            if self._ready or self._ready_on_loop:
                self._advance()
        except BaseException as error:
            self._fail(index, error)  # whatever it is, it must end the run, not hang it
            self._tell_it_is_over()
            raise
        if not self._left or self._failure is not None:
            self._tell_it_is_over()

    def _take(self, index: int, flight: Flight) -> None:
        """Take over the value, or the failure, of a flight that has landed."""
        try:
            value = flight.result()
        except BaseException as error:  # noqa: BLE001  it is the failure of this resolution
            self._fail(index, error)
            return
        self._have(index, value)

    def _have(self, index: int, value: Any) -> None:
        self.values[index] = value
        self._left -= 1
        missing = self._missing
        for user in self.plan.slots[index].users:
            if missing[user]:
                missing[user] -= 1
                if not missing[user]:
                    self._make_ready(self.plan.slots[user])

    def _fail(self, index: int, error: BaseException) -> None:
        if self._failure is None:
            self._failure = (index, error)

    def _tell_it_is_over(self) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    async def _leave(self) -> None:
        """Stop waiting: cancel the flights that nobody else waits for, and see them end."""
        alone: list[Flight] = []
        for _, _, made in self._adopted:
            made.end("cancelled")
        self._adopted = ()
        for flight in self._held:
            flight.waiting.remove(self)
            if self.run.inside is not None:
                self.run.inside.stop_waiting_for(flight.place)
            if not flight.waiting:
                flight.scope.abandon(flight)
                alone.append(flight)
        self._held.clear()
        await until_done(alone)

    # --- Saying whence ---

    def origin_of(self, step: Input) -> Origin:
        """Return how a value was come by, and the key of what made it."""
        slot = self.plan.slots[step.slot]
        if slot.kind == "recall":
            found = self._recall(step.slot)
            position = found[0] if found else 0
            return Origin("recall", self.run.trace_key(position, type(self.run.trace.nodes[position])))
        if slot.kind in ("provided", "lm"):
            return Origin("provided" if slot.kind == "provided" else "given")
        made_at = self.visit.scope_of(slot).made_at
        return Origin("dep", made_at.get(self._key_in_scope(slot)) or self.key_of(step.slot))

    def made(self, index: int) -> None:
        """Keep where a value was made."""
        slot = self.plan.slots[index]
        self.visit.scope_of(slot).made_at[self._key_in_scope(slot)] = self.key_of(index)

    def _error(self, index: int, error: BaseException) -> BaseException:
        if self.run.is_out_of_budget(error):
            return error  # no fault of the dependency's: the run itself is over
        way = self.way_to(index)
        place: dict[str, Any] = {
            "node_type": self.visit.node_type,
            "field_name": way[0].need.name if way else None,
            "path": self.plan.path(way),
            "trace": self.run.trace.nodes,
        }
        if self.plan.slots[index].kind == "recall" and isinstance(error, RecallError):
            return RecallError(error.message, error.hint, wanted=error.wanted, **place)
        failed = DepError(f"raised {describe(error)}", self.plan.slots[index].defined_at, **place)
        failed.__cause__ = error
        return failed
