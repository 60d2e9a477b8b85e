"""A value made before its node is visited: what is told of it, and how it ended, is held until somebody needs it.

Until then nobody sees it. Who comes to make the same value takes it over, and it is told as if it had begun there.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ._making import Making, is_awaitable
from ._plan import Slot
from ._scope import Scope
from .errors import BudgetExceededError, LMError
from .events import DepFinished, DepStarted, Event
from .nodes import Node

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ._prefetch import Stage
    from ._resolution import Resolution

_landings = itertools.count()


class Prefetched(Making):
    """One value being made, or made, ahead; `wanted_by` are the stages that it is made for."""

    def __init__(self, stage: Stage, slot: Slot, scope: Scope, kept_as: Hashable) -> None:
        super().__init__(stage, slot, scope, kept_as)
        self.started_at = time.time()
        self.is_ahead = True
        self.wanted_by: dict[Stage, Slot] = {}
        self.landing = -1
        self.landed_at: float | None = None
        self._asked_at = ""
        self._held: list[Callable[[], None]] = []
        self._need: asyncio.Future[None] | None = None
        self._on_need: list[Callable[[], None]] = []

    # --- Making it ---

    def launch(self) -> None:
        """Let it fly; nothing is called before the loop's next turn."""
        self.task = asyncio.Task(self.fly(), loop=self.resolution.run.loop, context=self.new_context())

    async def _made(self) -> Any:
        if not self.slot.holds_loop:
            return await super()._made()
        started = time.perf_counter()
        value = self.call()
        self.watch(time.perf_counter() - started)
        return await value if is_awaitable(value) else value

    async def _filled(self) -> Node:
        spec = self.slot.node
        assert spec is not None
        if self.resolution.run.answers_by_place(spec.node):
            await self.until_needed()
        injected = spec.validate_injected(self._arguments()[1])
        self._asked_at = self.key
        return await self.resolution.run.fill(spec, injected, self.key, self)

    async def until_needed(self) -> None:
        """Wait until somebody needs the value; its timeout does not run meanwhile."""
        if not self.is_ahead:
            return
        if self._need is None:
            self._need = self.resolution.run.loop.create_future()
            for stage in self.wanted_by:
                stage.tell_news()
        left = self._stop_the_clock()
        await asyncio.shield(self._need)
        if left is not None:
            self.deadline.reschedule(self.resolution.run.loop.time() + left)

    def _stop_the_clock(self) -> float | None:
        """Return how many seconds were left; None if there is no limit, or none any more."""
        if not self.slot.is_tried or self.deadline.expired() or (ends_at := self.deadline.when()) is None:
            return None
        self.deadline.reschedule(None)
        return ends_at - self.resolution.run.loop.time()

    # --- Being taken over, or not ---

    def land(self) -> None:
        """Take in that it has ended."""
        self.landing, self.landed_at = next(_landings), time.time()
        super().land()
        for stage, slot in list(self.wanted_by.items()):
            stage.hear(self, slot)

    @property
    def is_landed(self) -> bool:
        """Whether it has ended, and all that waited for it knows."""
        return self.landing >= 0

    @property
    def waits(self) -> bool:
        """Whether it goes on only when it is needed."""
        return self._need is not None and not self._need.done()

    @property
    def has_failed(self) -> bool:
        """Whether it has ended without a value."""
        return self.is_landed and self.error is not None

    @property
    def is_void(self) -> bool:
        """Whether its failure says nothing of the value: of a budget it is seen anew what it allows."""
        return self.is_landed and isinstance(self.error, BudgetExceededError)

    def adopt(self, resolution: Resolution, slot: Slot) -> None:
        """Go on as what *resolution* makes, and tell what was held."""
        self.resolution, self.slot, self.is_ahead = resolution, slot, False
        for tell in self._held:
            tell()
        self._held.clear()
        for call in self._on_need:
            call()
        if self._need is not None:
            self._need.set_result(None)

    def drop(self) -> asyncio.Task[Any] | None:
        """Let go of what nobody wants, unless it is a value: its task is returned if that must be seen to end."""
        if self.is_landed and not self.has_failed:
            return None
        if self.scope.ahead.get(self.kept_as) is self:
            del self.scope.ahead[self.kept_as]
        return self.task if self.task is not None and self.task.cancel() else None

    def when_needed(self, call: Callable[[], None]) -> None:
        """Have *call* called as soon as somebody needs the value."""
        self._on_need.append(call)

    def failure(self) -> BaseException:
        """Return what it failed with, as if it had been made where it is needed."""
        error = self.error
        assert error is not None
        if self.slot.holds_loop and isinstance(error.__cause__, StopIteration):
            return error.__cause__  # no coroutine can raise that
        if self._asked_at and self._asked_at != self.key:
            self._move_error(error)
        return error

    def _move_error(self, error: BaseException) -> None:
        if isinstance(error, LMError) and error.key:
            error.key = self._moved(error.key)
        notes = getattr(error, "__notes__", [])
        notes[:] = [note.replace(self._asked_at, self.key) for note in notes]

    # --- Telling ---

    def report(self) -> None:
        """Say how the last attempt ended, if there was one and it is needed."""
        if self.attempt and not self.is_ahead:
            super().report()

    def _emit(self, event_type: type[Event], attempt: int, /, **values: Any) -> None:
        if event_type is DepFinished and self.landed_at is not None:
            values["at"] = self.landed_at
        if self.is_ahead:
            values.setdefault("at", time.time())
            self._held.append(partial(self._tell_late, event_type, attempt, values))
        else:
            super()._emit(event_type, attempt, **values)

    def _tell_late(self, event_type: type[Event], attempt: int, values: dict[str, Any]) -> None:
        if event_type is DepStarted:
            values["inputs"] = self.origins()
        super()._emit(event_type, attempt, **values)

    def emit(self, event_type: type[Event], key: str, parent: str, /, **values: Any) -> None:
        """Tell what happens in the LM call that fills the node, at the place where it is needed."""
        if self.is_ahead:
            self._held.append(partial(self._tell_of_call, event_type, key, parent, {"at": time.time(), **values}))
        else:
            self._tell_of_call(event_type, key, parent, values)

    def _tell_of_call(self, event_type: type[Event], key: str, parent: str, values: dict[str, Any]) -> None:
        if values.get("request") is not None:
            values["request"] = values["request"].at(self._moved(values["request"].place))
        self.resolution.run.emit(event_type, self._moved(key), self._moved(parent), **values)

    def _moved(self, place: str) -> str:
        return self.key + place.removeprefix(self._asked_at)
