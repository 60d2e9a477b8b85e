"""Many runs of one graph: begun as there is room for them, handed over in order or as they end."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from ._accounts import Account, Budget
from ._engine import Execution
from ._graph_run import GraphRun, check_listener, enclosing_place
from ._results import BatchItem, BatchProgress, GraphResult
from ._scope import until_done
from .errors import BudgetExceededError, DepError, LMNotConfiguredError, sentence, what_is
from .nodes import Node

S = TypeVar("S", bound=Node)
E = TypeVar("E")

# So many times `concurrency` are begun and not handed over: enough that a slow first one does not hold up the others.
_BEGUN = 2
_AT_ONCE = 100


class Batch(Generic[S, E]):
    """The runs of one `Graph.map`.

    A feeder takes an input whenever there is room for a run. What has ended is kept by its position, the place in
    which it is handed over. What ends the whole batch is raised when everything begun has been handed over.
    """

    def __init__(
        self,
        start_run: Callable[[S], GraphRun[E]],
        inputs: AsyncIterator[S],
        account: Account,
        *,
        concurrency: int,
        ordered: bool,
        on_progress: Callable[[BatchProgress], object] | None,
    ) -> None:
        self._start_run = start_run
        self._inputs = inputs
        self._account = account
        self._concurrency = concurrency
        self._is_ordered = ordered
        self._on_progress = on_progress
        self._context = copy_context()
        self._running: set[asyncio.Task[None]] = set()
        self._ended: dict[int, BatchItem[S, E]] = {}
        self._begun = self._taken = self._done = self._failed = 0
        self._has_room, self._has_news = asyncio.Event(), asyncio.Event()
        self._fault: BaseException | None = None
        self._is_over = self._is_left = False

    async def items(self) -> AsyncGenerator[BatchItem[S, E]]:
        """Yield each item; whoever leaves early cancels the runs in flight and waits for their end."""
        self._feeding = asyncio.get_running_loop().create_task(self._feed(), context=self._context)
        self._feeding.add_done_callback(lambda _: self._has_news.set())
        try:
            while not (self._feeding.done() and self._taken == self._begun):
                item = self._ended.pop(self._taken, None)
                if item is None:
                    self._has_news.clear()
                    await self._has_news.wait()
                    continue
                self._taken += 1
                self._has_room.set()
                yield item
        finally:
            await self._close()
        if self._fault is not None:
            raise self._fault
        self._feeding.result()

    async def _close(self) -> None:
        self._is_over = self._is_left = True
        for task in (self._feeding, *self._running):
            task.cancel()
        await until_done([self._feeding, *self._running])

    # --- What is begun

    async def _feed(self) -> None:
        try:
            while await self._room():
                start = await anext(self._inputs)
                if not self._is_over:
                    self._begin(start)
                if not self._begun % _AT_ONCE:
                    await asyncio.sleep(0)  # inputs that are there already do not hold the loop
        except StopAsyncIteration:
            return
        except Exception as error:  # noqa: BLE001  raised to the consumer, after what was begun
            self._end_with(error)

    async def _room(self) -> bool:
        """Wait until another run may be begun; return whether one is to be."""
        while not self._is_over and (
            len(self._running) >= self._concurrency or self._begun - self._taken >= _BEGUN * self._concurrency
        ):
            self._has_room.clear()
            await self._has_room.wait()
        return not self._is_over

    def _begin(self, start: S) -> None:
        index = self._begun
        try:
            run = self._start_run(start)
        except Exception as error:
            error.add_note(f"This is input {index} of graph.map.")
            raise
        self._begun += 1
        task = asyncio.get_running_loop().create_task(run.execute(start))
        self._running.add(task)
        ended = functools.partial(self._run_ended, index, start, run, time.perf_counter())
        task.add_done_callback(ended, context=self._context)
        self._tell()

    # --- What has ended

    def _run_ended(self, index: int, start: S, run: GraphRun[E], began: float, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = _error_of(task)
        if self._is_left:
            return
        self._has_room.set()
        result: GraphResult[E] | None = task.result() if error is None else None
        usage = run.usage if result is None else result.usage
        item = BatchItem(index, start, result, error, usage, run.id, time.perf_counter() - began)
        self._ended[index if self._is_ordered else self._done + self._failed] = item
        self._done += error is None
        self._failed += error is not None
        self._has_news.set()
        if error is not None and self._concerns_all(error):
            self._end_with(error)
        self._tell()

    def _concerns_all(self, error: BaseException) -> bool:
        """Return whether *error* says what every other run would meet too: no LM, or the whole batch's budget spent."""
        if isinstance(error, BudgetExceededError):
            return error.account in self._account.chain
        while isinstance(error, DepError) and error.__cause__ is not None:
            error = error.__cause__
        return isinstance(error, LMNotConfiguredError)

    def _end_with(self, error: BaseException) -> None:
        """Begin nothing more; *error* is raised when everything begun has been handed over."""
        self._fault = self._fault or error
        self._is_over = True
        self._feeding.cancel()

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        progress = BatchProgress(self._done, self._failed, len(self._running), self._account.usage)
        try:
            self._on_progress(progress)
        except Exception as error:  # noqa: BLE001  a listener's fault ends the batch, in order
            self._end_with(error)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as cancelled:
        return cancelled


def account_of_batch(concurrency: int, on_progress: object, total_budget: Budget | None) -> Account:
    """Return what all runs of a batch use together, having checked how it is to be run.

    Raises TypeError and ValueError.
    """
    if concurrency < 1:
        msg = f"concurrency={concurrency}: at least one run must be allowed."
        raise ValueError(msg)
    check_listener("on_progress", on_progress, "Pass a function that takes a BatchProgress.")
    return Account(total_budget, _account_around())


def _account_around() -> Account | None:
    place = enclosing_place()
    run = place.visit.run if place is not None else None
    return run.account if isinstance(run, Execution) else None


def iterator_of(inputs: Iterable[S] | AsyncIterable[S]) -> AsyncIterator[S]:
    """Return what gives *inputs* one by one; raises TypeError."""
    given: object = inputs
    if isinstance(inputs, AsyncIterable):
        return aiter(inputs)
    if isinstance(given, Iterable) and not isinstance(given, Node):  # a model gives its fields, one by one
        return _OneByOne(inputs)
    what = f"inputs is {what_is(inputs)}, and no iterable of start nodes"
    raise TypeError(sentence("map", what, "Write: graph.map([…]), with a list or a generator."))


class _OneByOne(Generic[S]):
    """An iterable as an async iterator; unlike an async generator it need not be closed."""

    def __init__(self, inputs: Iterable[S]) -> None:
        self._iterator = iter(inputs)

    def __aiter__(self) -> _OneByOne[S]:
        return self

    async def __anext__(self) -> S:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None
