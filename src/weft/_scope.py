"""Values while a run goes on: the finished ones, those being made, and the resources to be closed.

A scope belongs to a run or to one visit of a node. A value is found there under its dependency's key, or, if it read
the trace, under that key and the serial numbers of what it read.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import RunError
from .events import Status

if TYPE_CHECKING:
    from ._ahead import Prefetched
    from ._making import Making

_THREADS = 64
_NONE: frozenset[Hashable] = frozenset()
Closed = Callable[[float, Status, BaseException | None], None]


class Scope:
    """The values of one run, or of one visit: finished, being made, and open resources in the order of set-up.

    `made_at` holds the place of each value, kept only while somebody listens; `ahead` what was begun early; `slow` what
    was found to hold the event loop.
    """

    __slots__ = ("ahead", "is_closed", "made_at", "resources", "slow", "under_way", "values")

    def __init__(self) -> None:
        self.values: dict[Hashable, Any] = {}
        self.under_way: dict[Hashable, Making] = {}
        self.ahead: dict[Hashable, Prefetched] = {}
        self.made_at: dict[Hashable, str] = {}
        self.resources: list[Resource] = []
        self.slow = _NONE
        self.is_closed = False

    async def close(self, error: BaseException | None) -> list[tuple[str, BaseException]]:
        """Close every resource in reverse order, throwing *error* in; return what went wrong in closing, by name.

        A cancellation meanwhile does not stop it, and is raised when all are closed.
        """
        self.is_closed = True
        failures: list[tuple[str, BaseException]] = []
        interrupted: asyncio.CancelledError | None = None
        while self.resources:
            resource = self.resources.pop()
            try:
                await resource.close(error)
            except asyncio.CancelledError as cancelled:
                interrupted = cancelled
            if resource.failure is not None and resource.failure is not error:
                failures.append((resource.name, resource.failure))
        if interrupted is None:
            return failures
        for name, failure in failures:
            interrupted.add_note(f"Closing {name} raised {type(failure).__name__}: {failure}")
        raise interrupted


class Resource:
    """A context manager held open by a task of its own, so that it is set up and torn down in one task and context."""

    def __init__(
        self,
        name: str,
        manager: AbstractAsyncContextManager[Any],
        scope: Scope,
        context: Context,
        closed: Closed | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self._closed = closed
        self._manager = manager
        self._scope = scope
        self._opened: asyncio.Future[Any] = loop.create_future()
        self._released: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._hold(), context=context)
        self._task.add_done_callback(self._ended)

    async def _hold(self) -> None:
        async with self._manager as value:
            if self._scope.is_closed:
                raise RunError(f"{self.name} was opened when its run was over")
            self._scope.resources.append(self)
            if not self._opened.done():
                self._opened.set_result(value)
            await self._released

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._opened.done():
            return
        if task.cancelled():
            self._opened.cancel()
        elif (error := task.exception()) is not None:
            self._opened.set_exception(error)
            self._opened.exception()  # also seen when nobody waits for it any more

    async def open(self) -> Any:
        """Return what the resource yields; a caller that is cancelled meanwhile takes it down again."""
        try:
            return await asyncio.shield(self._opened)
        except asyncio.CancelledError:
            self._task.cancel()
            await until_done([self._task])
            raise

    @property
    def failure(self) -> BaseException | None:
        """What it ended with, if it failed."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def close(self, error: BaseException | None) -> None:
        """Tear down, throwing *error* in at the yield; a cancellation meanwhile is raised when that is done."""
        if not self._released.done():
            if error is None:
                self._released.set_result(None)
            else:
                self._released.set_exception(error)
                self._released.exception()  # the task may have ended before
        started_at = time.time()
        try:
            await until_done([self._task])
        finally:
            failure = None if self.failure is error else self.failure
            if self._closed is not None:
                self._closed(started_at, "failed" if failure else "done", failure)


class ContextOnLoop:
    """A sync context manager as an async one, its two halves called on the event loop and their time told."""

    def __init__(self, manager: AbstractContextManager[Any], watch: Callable[[float], None]) -> None:
        self._manager = manager
        self._watch = watch

    async def __aenter__(self) -> Any:
        started = time.perf_counter()
        value = self._manager.__enter__()
        self._watch(time.perf_counter() - started)
        return value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        started = time.perf_counter()
        suppressed = self._manager.__exit__(kind, error, traceback)
        self._watch(time.perf_counter() - started)
        return suppressed


class ContextInThread:
    """A sync context manager as an async one, its two halves called in a worker thread and in one context."""

    def __init__(self, manager: AbstractContextManager[Any], context: Context) -> None:
        self._manager = manager
        self._context = context

    async def __aenter__(self) -> Any:
        opening = in_thread(self._context, self._manager.__enter__)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError as error:
            # A thread cannot be stopped: wait until it is open, then take it down.
            await until_done([opening])
            if not opening.cancelled() and opening.exception() is None:
                await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, *details: object) -> bool | None:
        return bool(await in_thread(self._context, self._manager.__exit__, *details))


def in_thread(context: Context, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """Return what *function* will return, called in *context* by one of Weft's own worker threads."""
    return asyncio.get_running_loop().run_in_executor(
        _worker_threads(), functools.partial(context.run, function, *arguments)
    )


@functools.cache
def _worker_threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="weft-dep")


async def until_done(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until all *tasks* have ended, also when cancelled meanwhile; the cancellation is raised afterwards."""
    interrupted: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
