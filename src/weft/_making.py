"""One value being made: how its function is called, attempt by attempt, who waits for it, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Hashable
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from ._plan import Slot
from ._run import Place, Visit, attempt_at, current_place, parent_of
from ._scope import ContextInThread, ContextOnLoop, Resource, Scope, in_thread, until_done
from .events import DepClosed, DepFinished, DepStarted, Event, Origin, Status
from .nodes import Node

if TYPE_CHECKING:
    from ._resolution import Resolution


logger = logging.getLogger("weft")

_SLOW_SECONDS = 0.1
_SLOW = (
    "%s held the event loop for %.0f ms: nothing else could run. Make it async, or move it to a thread with "
    "Dep(%s, thread=True)."
)


class Making(Place):
    """One value being made for a resolution, and for others that join; it is cancelled when the last one leaves.

    It flies as a task, whose last act is to land: to keep the value, and to tell those that are `waiting`. What comes
    to its end in an eager first step never has a `task`: it need not land, since who started it is there to see.
    """

    task: asyncio.Task[Any] | None = None
    value: Any = None
    error: BaseException | None = None
    attempt = 0
    waiting: tuple[Resolution, ...] = ()
    deadline: asyncio.Timeout
    started_at: float

    def __init__(self, resolution: Resolution, slot: Slot, scope: Scope, kept_as: Hashable) -> None:
        self.resolution = resolution
        self.slot = slot
        self.scope = scope
        self.kept_as = kept_as

    def new_context(self) -> Context:
        """Return a copy of the run's context, which must be the current one, in which this is the current place."""
        current_place.set(self)
        return copy_context()

    @property
    def visit(self) -> Visit:  # type: ignore[override]  # an attribute of the base, looked up here
        """The visit this is a part of."""
        return self.resolution.visit

    @property
    def key(self) -> str:  # type: ignore[override]  # likewise
        """The place in the graph."""
        return self.resolution.key_of(self.slot.index)

    def is_making(self, scope: Scope, kept_as: Hashable) -> bool:
        """Return whether it is the value kept there that is being made here."""
        return self.scope is scope and self.kept_as == kept_as

    def key_of_shared(self, slot: Slot) -> str | None:
        """Return the place that the visited node has for *slot*'s value, if it needs that value too."""
        index = self.resolution.plan.by_key.get(slot.key)
        is_needed = index is not None and bool(self.resolution.way_to(index))
        return self.resolution.key_of(index) if index is not None and is_needed else None

    # --- Flying ---

    async def fly(self, begun: Any = None) -> None:
        """Make the value, and land; *begun* is what a sync function has returned to be awaited."""
        try:
            self.value = await self._begun(begun)
        except GeneratorExit:  # the loop is gone, and with it all who would wait
            raise
        except BaseException as error:
            self.error = error
            self._end_flight()
            if not isinstance(error, Exception):
                raise
        else:
            self._end_flight()

    async def fly_bare(self) -> Any:
        """Do the same for a bare function where nobody listens; return the value if that is in an eager first step."""
        try:
            value = await self.slot.call()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            self._end_flight()
            if not isinstance(error, Exception):
                raise
        else:
            if self.task is None:
                return value
            self.value = value
            self.land()

    def _end_flight(self) -> None:
        if self.resolution.run.is_listening:
            self.report()
        if self.task is not None:
            self.land()

    def land(self) -> None:
        """Keep the value, and tell those that wait for it."""
        self.task = None  # whose context leads back here
        scope, key = self.scope, self.kept_as
        if scope.under_way.get(key) is self:
            del scope.under_way[key]
            if self.error is None:
                scope.values[key] = self.value
        for resolution in self.waiting:
            resolution.landed(self)

    def abandon(self) -> asyncio.Task[Any]:
        """Cancel what nobody waits for any more, and return its task; who asks for the value now starts another."""
        if self.scope.under_way.get(self.kept_as) is self:
            del self.scope.under_way[self.kept_as]
        assert self.task is not None
        self.task.cancel()
        return self.task

    # --- Calling ---

    def _begun(self, begun: Any) -> Awaitable[Any]:
        if self.slot.is_tried:
            return self._tries(begun)
        if begun is None:
            self.start()
            return self._made()
        awaitable: Awaitable[Any] = begun
        return awaitable

    async def _tries(self, begun: Any) -> Any:
        while True:
            if begun is None:
                self.start()
            try:
                return await self._try(begun)
            except Exception as error:
                if not self.retries_after(error):
                    raise
            begun = None

    async def _try(self, begun: Any) -> Any:
        seconds = self.slot.marker.timeout
        self.deadline = deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await (self._made() if begun is None else begun)
        except TimeoutError as error:
            if deadline.expired():
                raise TimeoutError(f"took longer than its timeout of {seconds} s") from error
            raise

    def call(self, context: Context | None = None) -> Any:
        """Call the function with the values of its inputs, in *context*, or in the current one."""
        positional, named = self._arguments()
        if context is None:
            return self.slot.call(*positional, **named)
        return context.run(self.slot.call, *positional, **named)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        values, slot = self.resolution.values, self.slot
        return [values[index] for index in slot.positional], {name: values[index] for name, index in slot.named}

    def _made(self) -> Awaitable[Any]:
        """Return an awaitable of the value; the current context is that of the task."""
        how = self.slot.how
        if how == "call":
            called: Awaitable[Any] = self.call()
            return called
        if how == "thread":
            return self._in_thread()
        return self._opened() if how == "open" else self._filled()

    async def _filled(self) -> Node:
        assert self.slot.node is not None
        injected = self.slot.node.validate_injected(self._arguments()[1])
        return await self.resolution.run.fill(self.slot.node, injected, self.key)

    async def _in_thread(self) -> Any:
        # A copy for each attempt: an abandoned thread may still be inside the last one.
        thread = in_thread(copy_context(), self.call)
        try:
            value = await asyncio.shield(thread)
        except asyncio.CancelledError:
            await self._see_the_end_of(thread)
            raise
        return await value if is_awaitable(value) else value

    async def _see_the_end_of(self, thread: asyncio.Future[Any]) -> None:
        """Wait for a thread, which cannot be stopped and may be using what is closed next, until its own timeout."""
        ends_at = self.deadline.when() if self.slot.is_tried else None
        gives_up = None if ends_at is None else self.resolution.run.loop.call_at(ends_at, thread.cancel)
        try:
            await until_done([thread])
        finally:
            if gives_up is not None:
                gives_up.cancel()

    async def _opened(self) -> Any:
        positional, named = self._arguments()
        function = self.slot.function
        if function is None or function.kind == "async generator":
            manager: Any = asynccontextmanager(self.slot.call)(*positional, **named)
        elif self.slot.marker.thread:
            manager = ContextInThread(contextmanager(self.slot.call)(*positional, **named), copy_context())
        else:
            manager = ContextOnLoop(contextmanager(self.slot.call)(*positional, **named), self.watch)
        closed = self.closed if self.resolution.run.is_listening else None
        return await Resource(self.slot.name, manager, self.scope, copy_context(), closed).open()

    def watch(self, seconds: float) -> None:
        """Report the function, once, if it held the event loop for long."""
        scope = self.resolution.run.scopes[0]
        if seconds > _SLOW_SECONDS and self.slot.key not in scope.slow:
            scope.slow |= {self.slot.key}
            name, milliseconds = self.slot.name, seconds * 1000
            logger.warning(_SLOW, name, milliseconds, name)

    # --- Telling ---

    def start(self) -> None:
        """Begin an attempt."""
        self.attempt += 1
        if self.resolution.run.is_listening:
            self.started_at = time.time()
            self._emit(DepStarted, self.attempt, inputs=self.origins())

    def origins(self) -> dict[str, Origin]:
        """Return where each input came from."""
        return {each.need.name: self.resolution.origin_of(each) for each in self.slot.inputs}

    def retries_after(self, error: Exception) -> bool:
        """Return whether there is another attempt after *error*."""
        if self.attempt > self.slot.marker.retries:
            return False
        self.end("failed", error=error)
        return True

    def end(self, status: Status, **values: Any) -> None:
        """Say how the attempt ended."""
        if self.resolution.run.is_listening:
            if status == "done":
                self.resolution.made(self.slot)
            self._emit(DepFinished, self.attempt, status=status, started_at=self.started_at, **values)

    def closed(self, started_at: float, status: Status, error: BaseException | None) -> None:
        """Say that the resource was torn down."""
        self._emit(DepClosed, self.attempt, status=status, started_at=started_at, error=error)

    def report(self) -> None:
        """Say how the last attempt ended."""
        if self.error is None:
            self.end("done", value=self.value)
        elif isinstance(self.error, asyncio.CancelledError):
            self.end("cancelled")
        else:
            self.end("failed", error=self.error)

    def _emit(self, event_type: type[Event], attempt: int, /, **values: Any) -> None:
        # What runs share is told as the outer one's: it may outlive the run that asked for it first.
        run, key = self.resolution.run.owner_of(self.scope) if self.is_shared else self.resolution.run, self.key
        place = attempt_at(key, attempt)
        run.emit(event_type, place, parent_of(key), name=self.slot.name, attempt=attempt, **values)

    @property
    def is_shared(self) -> bool:
        """Whether the value belongs to a run around the one that asked."""
        return self.resolution.visit.is_shared(self.slot)


def is_awaitable(value: object) -> bool:
    """Return whether *value* is to be awaited; asked of every sync function's value, so by its class alone."""
    return hasattr(type(value), "__await__")
