"""What every LM must do among others: calls at once, calls that are cancelled, other event loops and threads."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from ..errors import LMTimeoutError, describe
from ..graph import Graph
from ..lm import LM, call_guard
from ._checks import LMCheck, NotTestedError, apart, at_once, expect, in_time, tasks_left
from ._promises import check_of, expect_type
from ._targets import Answer, parts, question, whole

_PROMPTLY = 3.0  # seconds
_MOMENTS = (0.0, 0.05, 0.7)  # seconds after which a call is cancelled: before, while and after it has begun
_NETWORK = frozenset(["socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.posix_spawn", "os.system"])


async def parallel_calls(lm: LM) -> None:
    """Of fifty calls at once each gets its own answer, and what each used is counted once, as its own."""
    start = whole()
    result = await Graph(start=start).arun(start(), lm=lm)

    for number, part in enumerate(parts()):
        expect_type(getattr(result.result, f"part_{number}"), part)
    by_node = {name: usage.requests for name, usage in result.usage.by_node.items()}
    requests = [by_node.get(part.__name__, 0) for part in parts()]
    expect(min(requests) == max(requests) > 0, "as many requests for each of calls that are alike", requests)
    expect(result.usage.requests == sum(requests), f"{sum(requests)} requests in all", result.usage.requests)


async def cancelled_call(lm: LM) -> None:
    """A call that is cancelled ends at once, with CancelledError, and leaves no task behind."""
    for moment in _MOMENTS:
        await apart(functools.partial(_cancel, lm, moment))


async def _cancel(lm: LM, moment: float) -> None:
    before = asyncio.all_tasks()
    call = asyncio.ensure_future(lm.fill(Answer, {}, "Answer.", question))
    await asyncio.sleep(moment)
    if _has_run_out(call):
        return
    expect(not call.done(), "a call that goes on", call)
    call.cancel()
    await asyncio.wait({call}, timeout=_PROMPTLY)
    expect(call.done(), f"an end within {_PROMPTLY:g} s of being cancelled", "none")
    expect(call.cancelled(), "CancelledError", _outcome(call))
    left = await tasks_left(before)
    expect(not left, "no task left behind", [task.get_coro() for task in left])


def _has_run_out(call: asyncio.Future[Any]) -> bool:
    """Return whether the LM's own limit came first."""
    return call.done() and not call.cancelled() and isinstance(call.exception(), LMTimeoutError)


def _outcome(call: asyncio.Future[Any]) -> str:
    if call.cancelled():
        return "CancelledError"
    error = call.exception()
    return repr(call.result()) if error is None else describe(error)


async def event_loops_in_turn(lm: LM) -> None:
    """An LM works in one event loop after another."""
    for _ in range(3):
        await apart(functools.partial(_ask_some, lm))


async def threads_at_once(lm: LM) -> None:
    """An LM works in the event loops of two threads at once."""
    await at_once(*(apart(functools.partial(_ask_some, lm)) for _ in range(2)))


async def _ask_some(lm: LM) -> None:
    asked = await asyncio.gather(*(lm.fill(Answer, {}, "Answer.", question) for _ in range(3)))
    for node in asked:
        expect_type(node, Answer)


async def stand_in_needs_nothing(lm: LM) -> None:
    """An LM that says that it is a stand-in opens no connection, starts no process, and is let through by tests."""
    if not getattr(lm, "is_stand_in", False):
        raise NotTestedError("it is no stand-in")
    reached: list[str] = []
    _watch_the_network()
    token = _reached.set(reached)
    try:
        with call_guard.closed():
            expect_type(await in_time(lm.fill(Answer, {}, "Answer.", question), _PROMPTLY), Answer)
    finally:
        _reached.reset(token)
    expect(not reached, "no use of the network or of a process", reached)


_reached: ContextVar[list[str] | None] = ContextVar("weft_reached", default=None)


@functools.cache
def _watch_the_network() -> None:
    """Note, for whoever asks in this context, what leaves the process; such a hook cannot be taken back."""

    def note(event: str, _: Any) -> None:
        if event in _NETWORK and (reached := _reached.get()) is not None:
            reached.append(event)

    sys.addaudithook(note)


def together() -> Iterator[LMCheck]:
    """Yield the checks of an LM that is asked at once, cancelled, and used elsewhere."""
    yield from (check_of(function, "ok") for function in (parallel_calls, event_loops_in_turn, threads_at_once))
    yield check_of(cancelled_call, "stalled")
    yield check_of(stand_in_needs_nothing, "ok")
