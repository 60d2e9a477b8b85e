"""One check of an LM: the promise it keeps, how it is carried out in bounded time, and what is told of a broken one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..errors import describe, sentence, shorten
from ..lm import LM

T = TypeVar("T")
MadeLM = LM | None | Awaitable[LM | None] | AbstractAsyncContextManager[LM | None]
MakeLM = Callable[[str], MadeLM]
Promise = Callable[..., Coroutine[Any, Any, None]]

CANARY = "canary-7f3a91c2-not-a-real-key"
SECONDS = 60.0
_GRACE = 1.0  # for what was cancelled to end


class NotTestedError(Exception):
    """Raised by a check that has nothing to look at."""


class BrokenPromiseError(AssertionError):
    """Raised by a check that saw something other than what it `expected`."""

    def __init__(self, expected: str, seen: object) -> None:
        self.expected = expected
        self.seen = shorten(seen)
        super().__init__(sentence("", f"expected {expected}, saw {self.seen}"))


def expect(holds: object, expected: str, seen: object) -> None:
    """Raise BrokenPromiseError unless it *holds*."""
    if not holds:
        raise BrokenPromiseError(expected, seen)


@dataclass(frozen=True, slots=True)
class LMOutcome:
    """What became of a check whose promise is not broken; `why` says why one was skipped."""

    name: str
    status: Literal["passed", "skipped"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class LMViolation:
    """A broken promise: what was expected, what was seen, and the exception that told it."""

    name: str
    promise: str
    expected: str
    seen: str
    error: BaseException = field(repr=False, compare=False)

    def __str__(self) -> str:
        return sentence(self.name, f"{self.promise} Expected {self.expected}, saw {self.seen}")


class LMContractError(AssertionError):
    """Raised when an LM breaks promises; `violations` holds every one of them."""

    def __init__(self, violations: Sequence[LMViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__(self.violations)

    def __str__(self) -> str:
        if len(self.violations) == 1:
            return str(self.violations[0])
        count = f"{len(self.violations)} promises of an LM are broken:"
        return "\n".join([count, *(f"  {violation}" for violation in self.violations)])


@dataclass(frozen=True, slots=True)
class LMCheck:
    """One promise of every LM, and the function that looks whether it is kept in its `scenario`.

    Example:
        >>> import asyncio
        >>> from weft import OfflineLM
        >>> from weft.testing import lm_checks
        >>> check = lm_checks()[0]
        >>> check.name, check.scenario
        ('is_an_lm', 'ok')
        >>> asyncio.run(check(lambda scenario: OfflineLM())).status
        'passed'
    """

    name: str
    scenario: str
    promise: str
    function: Promise = field(repr=False)
    takes_key: bool = field(default=False, repr=False)

    async def __call__(self, make: MakeLM, *, key: str = CANARY, timeout: float = SECONDS) -> LMOutcome:
        """Return the outcome with the LM that *make* makes for the scenario.

        Raises:
            LMContractError: if the promise is broken.
        """
        async with _made(make, self.scenario) as lm:
            if lm is None:
                return LMOutcome(self.name, "skipped", f"it has no scenario {self.scenario!r}")
            return await self._outcome(lm, key, timeout)

    async def _outcome(self, lm: LM, key: str, timeout: float) -> LMOutcome:
        try:
            await in_time(self.function(lm, key) if self.takes_key else self.function(lm), timeout)
        except NotTestedError as reason:
            return LMOutcome(self.name, "skipped", str(reason))
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise self._broken(error) from error
        except Exception as error:
            raise self._broken(error) from error
        return LMOutcome(self.name, "passed")

    def _broken(self, error: BaseException) -> LMContractError:
        expected, seen = "no exception", describe(error)
        if isinstance(error, BrokenPromiseError):
            expected, seen = error.expected, error.seen
        return LMContractError([LMViolation(self.name, self.promise, expected, seen, error)])

    def __str__(self) -> str:
        return self.name


@asynccontextmanager
async def _made(make: MakeLM, scenario: str) -> AsyncGenerator[LM | None]:
    """Give what *make* makes, be it the LM, an awaitable or a context manager of one."""
    made = make(scenario)
    if isinstance(made, AbstractAsyncContextManager) and not isinstance(made, LM):
        async with made as lm:
            yield lm
    elif inspect.isawaitable(made):
        yield await made
    else:
        yield made


# --- Time and event loops -----------------------------------------------------------------------------------------


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return what *work* gives; raises BrokenPromiseError if it takes longer, even if it cannot be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        expect(done, f"an end within {seconds:g} s", "none")
        return task.result()
    finally:
        await put_away({task})


async def put_away(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel *tasks*, and wait a moment for them to end."""
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_GRACE)
    for task in running:
        if task.done() and not task.cancelled():
            task.exception()  # it is known what went wrong: there was no end in time


async def at_once(*works: Coroutine[Any, Any, object]) -> None:
    """Wait for all *works*; the first exception ends the others, and is raised."""
    tasks = {asyncio.ensure_future(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await put_away(tasks)


async def apart(main: Callable[[], Coroutine[Any, Any, T]], seconds: float = SECONDS) -> T:
    """Return what *main* gives in a thread and an event loop of its own, whose every task is the LM's."""
    loop = asyncio.new_event_loop()
    work = loop.create_task(in_time(main(), seconds))
    thread = asyncio.ensure_future(asyncio.to_thread(_run_in, loop, work))
    try:
        return await asyncio.shield(thread)
    finally:
        if not thread.done():
            with suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(work.cancel)
            await asyncio.wait({thread}, timeout=3 * _GRACE)


def _run_in(loop: asyncio.AbstractEventLoop, work: asyncio.Task[T]) -> T:
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            loop.run_until_complete(_close())
        finally:
            loop.close()


async def _close() -> None:
    await put_away(asyncio.all_tasks() - {asyncio.current_task()})
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.sleep(0.01)  # transports that are closed say goodbye in a later turn of the loop


async def tasks_left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Return the tasks of this loop that were not there *before*, after a moment to end."""
    left = asyncio.all_tasks() - before
    if left:
        await asyncio.wait(left, timeout=_GRACE)
    return {task for task in left if not task.done()}
