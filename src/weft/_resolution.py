"""Carries out a plan: every value as soon as its own inputs are there, each at most once, nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._homes import Homes
from ._making import Making, is_awaitable
from ._plan import Input, Plan, Slot
from ._run import Visit, current_place
from ._scope import until_done
from ._survey import MISSING, Survey
from .errors import DepError, RecallError, RunError, describe

if TYPE_CHECKING:
    from ._ahead import Prefetched

STARTS_EAGERLY = sys.version_info >= (3, 12)
start_task: Callable[..., asyncio.Task[Any]] = asyncio.Task
if sys.version_info >= (3, 12):  # a task's first step, and perhaps its last, is done when it is made
    start_task = functools.partial(asyncio.Task, eager_start=True)


class Resolution(Homes):
    """Makes the values that one node's fields, or one body's parameters, want."""

    _adopted: Sequence[tuple[Prefetched, Slot]] = ()
    _failure: tuple[Slot, BaseException] | None = None
    _finished: asyncio.Future[None] | None = None
    _waiting: tuple[Resolution, ...] = ()
    _ready: list[Slot]
    _ready_on_loop: list[Slot]

    def __init__(self, visit: Visit, plan: Plan, wanted: Sequence[Input], key: str | None = None) -> None:
        super().__init__(visit, plan, key)
        self.wanted = wanted
        self._held: dict[Making, Slot] = {}

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
            self._waiting = ()  # it leads back here
            if self._held or self._adopted:
                await self._leave()
        if self._failure is not None:
            raise self._error(*self._failure)
        fields = self.plan.fields
        if self.wanted is not self.plan.targets:
            fields = {each.need.name: each.slot for each in self.wanted}
        values = self.values
        return {name: values[index] for name, index in fields.items()}

    def _start(self) -> None:
        """Start, inside the run's context: everything is made in copies of it."""
        self._look_around()
        self._waiting = (self,)
        self._advance()

    # --- What is needed, and what of it is there ---

    def _look_around(self) -> None:
        """Find what is needed and not there yet: the plan has it at hand if nothing of it is."""
        survey = self.plan.survey
        if survey is None or self.wanted is not self.plan.targets or not self._is_untouched():
            survey = Survey(self.plan.slots, self.wanted, self._known)
        self.survey = survey
        self.values = survey.values.copy()
        self._left = survey.left
        self._next_on_loop = 0
        self._ready = survey.ready  # taken over whole
        if survey.is_flat:  # nothing else will become ready
            self._missing, self._ready_on_loop = survey.missing, survey.ready_on_loop
        else:
            self._missing, self._ready_on_loop = survey.missing.copy(), survey.ready_on_loop.copy()

    def _is_untouched(self) -> bool:
        """Return whether nothing of the plan was made, or begun, before."""
        scope = self.run.scopes[0]
        return not scope.under_way and not scope.ahead and scope.values.keys().isdisjoint(self.plan.by_key.keys())

    # --- Making values ---

    def _make_ready(self, slot: Slot) -> None:
        (self._ready_on_loop if slot.holds_loop else self._ready).append(slot)

    def _advance(self) -> None:
        """Start whatever can start: first what only needs starting, then, one by one, what holds the loop."""
        while self._failure is None:
            if self._ready:
                ready, self._ready = self._ready, []
                self._begin_all(ready)
            elif self._next_on_loop == len(self._ready_on_loop):
                if not self._adopted:
                    return
                self._take_next()
            elif self._held and not STARTS_EAGERLY:
                self.run.loop.call_soon(self._advance_on_loop, context=self.run.context)
                return
            else:
                self._begin_on_loop()

    def _advance_on_loop(self) -> None:
        """Run one function that holds the loop, the tasks started before having had their first step."""
        is_waiting = self._finished is not None and not self._finished.done()
        if is_waiting and self._failure is None and self._next_on_loop < len(self._ready_on_loop):
            self._begin_on_loop()
            self._advance()
            if not self._left or self._failure is not None:
                self._tell_it_is_over()

    def _begin_on_loop(self) -> None:
        slot = self._ready_on_loop[self._next_on_loop]
        self._next_on_loop += 1
        self._make(slot)

    def _begin_all(self, slots: Sequence[Slot]) -> None:
        loop, scope, made = self.run.loop, self.run.scopes[0], self.values
        values, under_way, ahead = scope.values, scope.under_way, scope.ahead
        is_quiet = not (self.run.is_listening or self.run.inside is not None)
        for slot in slots:
            key = slot.key
            if is_quiet and slot.is_bare and not ahead and key not in values and key not in under_way:
                # What _make and _launch would do, where thousands of functions may stand in a row.
                making = Making(self, slot, scope, key)
                current_place.set(making)
                task = start_task(making.fly_bare(), loop=loop)
                if not task.done():
                    under_way[key], self._held[making] = making, slot
                    making.task, making.waiting = task, self._waiting
                elif making.error is None:
                    values[key] = made[slot.index] = task.result()
                    self._left -= 1
                    if slot.users:
                        self._tell(slot.users)
                else:
                    self._fail(slot, making.error)
            else:
                self._begin(slot)
            if self._failure is not None:
                return

    def _begin(self, slot: Slot) -> None:
        if slot.is_made:
            self._make(slot)
        else:
            self._find(slot)

    def _find(self, slot: Slot) -> None:
        """Take what need not be made."""
        if slot.recall is not None:
            self._look_up(slot)
        elif slot.kind == "provided":
            self._have(slot, self.run.provided[slot.provided_as])
        else:
            is_the_bodys_own = self.survey.users[slot.index] < 0
            self._have(slot, self.run.lm_for(self.place if is_the_bodys_own else self.key_of(slot.index)))

    def _look_up(self, slot: Slot) -> None:
        found = self._recall(slot.index)
        if found is None:
            self._fail(slot, self._ambiguous.get(slot.index) or self.run.trace.without(slot))
        else:
            self._have(slot, found[1])

    def _make(self, slot: Slot) -> None:
        """Take the value over, wait for it, or start making it."""
        scope, key = (self.run.scopes[0], slot.key) if slot.is_simple else self._home_of(slot)
        if key in scope.values:
            self._have(slot, scope.values[key])
        elif key in scope.under_way:
            self._join(slot, scope.under_way[key])
        elif scope.ahead and (made := scope.ahead.pop(key, None)) is not None and not made.is_void:
            self._adopt(slot, made)
        elif self.run.inside is not None and self.run.inside.is_inside_of(scope, key):
            self._fail(slot, self._waits_for_itself(slot))
        elif slot.holds_loop:
            self._call(Making(self, slot, scope, key))
        else:
            self._launch(Making(self, slot, scope, key))

    def _call(self, making: Making) -> None:
        """Call a sync function here and now; what it returns to be awaited is left to a task."""
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
                self._fail(making.slot, error)
                return
            making.watch(time.perf_counter() - started)
        if is_awaitable(value):
            self._launch(making, value)
            return
        making.scope.values[making.kept_as] = value
        making.end("done", value=value)
        self._have(making.slot, value)

    def _launch(self, making: Making, begun: Any = None) -> None:
        """Let it fly as a task; from Python 3.12 its first step, and perhaps its last, is done then."""
        inside = self.run.inside
        if inside is not None:
            inside.wait_for(making)
        current_place.set(making)  # in the run's context, of which the task takes a copy
        task = start_task(making.fly(begun), loop=self.run.loop)
        if inside is not None:
            inside.stop_waiting_for(making)
        if not task.done():
            making.task = task
            making.scope.under_way[making.kept_as] = making
            making.waiting = self._waiting
            self._wait_for(making.slot, making)
        elif making.error is None:
            making.scope.values[making.kept_as] = making.value
            self._have(making.slot, making.value)
        else:
            self._fail(making.slot, making.error)

    # --- What was made ahead ---

    def _adopt(self, slot: Slot, made: Prefetched) -> None:
        """Take over what was begun before it was needed; what has ended is taken as if it ended here, in that order."""
        made.adopt(self, slot)
        if not made.is_landed:
            made.scope.under_way[made.kept_as] = made
            made.waiting += self._waiting
            self._wait_for(slot, made)
        elif slot.holds_loop:
            self._take_made(slot, made)
        else:
            self._adopted = sorted([*self._adopted, (made, slot)], key=lambda each: each[0].landing)

    def _take_next(self) -> None:
        (made, slot), *self._adopted = self._adopted
        self._take_made(slot, made)

    def _take_made(self, slot: Slot, made: Prefetched) -> None:
        made.report()
        if made.error is not None:
            self._fail(slot, made.failure())
        else:
            made.scope.values[made.kept_as] = made.value
            self._have(slot, made.value)

    # --- Waiting ---

    def _join(self, slot: Slot, making: Making) -> None:
        """Wait for what another resolution has begun, unless that waits for us."""
        if self.run.inside is not None and making.is_waiting_for(self.run.inside):
            self._fail(slot, self._waits_for_itself(slot))
        else:
            making.waiting += self._waiting
            self._wait_for(slot, making)

    def _wait_for(self, slot: Slot, making: Making) -> None:
        if self.run.inside is not None:
            self.run.inside.wait_for(making)
        self._held[making] = slot

    def _waits_for_itself(self, slot: Slot) -> RunError:
        hint = "The graph run inside a dependency must not need that dependency."
        return RunError(f"{slot.name} waits for itself through a subgraph", hint)

    def landed(self, making: Making) -> None:
        """Take over what has landed, and start what waited for it."""
        slot = self._held.pop(making)
        if self.run.inside is not None:
            self.run.inside.stop_waiting_for(making)
        try:
            if making.error is not None:
                self._fail(slot, making.error)
            else:
                self.values[slot.index] = making.value
                self._left -= 1
                if slot.users:
                    self._tell(slot.users)
                    if self._ready or self._next_on_loop < len(self._ready_on_loop):
                        self.run.context.run(self._advance)
        except BaseException as error:
            self._fail(slot, error)  # whatever it is, it must end the run, not hang it
            self._tell_it_is_over()
            raise
        if not self._left or self._failure is not None:
            self._tell_it_is_over()

    def _have(self, slot: Slot, value: Any) -> None:
        self.values[slot.index] = value
        self._left -= 1
        if slot.users:
            self._tell(slot.users)

    def _tell(self, users: Sequence[int]) -> None:
        for user in users:
            if self._missing[user]:
                self._missing[user] -= 1
                if not self._missing[user]:
                    self._make_ready(self.plan.slots[user])

    def _fail(self, slot: Slot, error: BaseException) -> None:
        if self._failure is None:
            self._failure = (slot, error)

    def _tell_it_is_over(self) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    async def _leave(self) -> None:
        """Stop waiting: cancel what nobody else waits for, and see it end."""
        alone: list[asyncio.Task[Any]] = []
        for made, _ in self._adopted:
            made.end("cancelled")
        self._adopted = ()
        for making in self._held:
            making.waiting = tuple(each for each in making.waiting if each is not self)
            if self.run.inside is not None:
                self.run.inside.stop_waiting_for(making)
            if not making.waiting:
                alone.append(making.abandon())
        self._held.clear()
        await until_done(alone)

    def _error(self, slot: Slot, error: BaseException) -> BaseException:
        if self.run.is_out_of_budget(error):
            return error  # no fault of the dependency's: the run itself is over
        way = self.way_to(slot.index)
        place: dict[str, Any] = {
            "node_type": self.visit.node_type,
            "field_name": way[0].need.name if way else None,
            "path": self.plan.path(way),
            "trace": self.run.trace.nodes,
        }
        if slot.kind == "recall" and isinstance(error, RecallError):
            return RecallError(error.message, error.hint, wanted=error.wanted, **place)
        failed = DepError(f"raised {describe(error)}", slot.defined_at, **place)
        failed.__cause__ = error
        return failed
