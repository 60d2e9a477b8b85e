"""One contender, in a process and an environment of its own: reads requests, does the work, answers; JSON lines.

Run: python -m benchmarks.contender NAME  (run.py does it)
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import inspect
import json
import logging
import os
import sys
import time
import traceback
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

from .work import AbsentError, BrokenError, FanOut, Once, counts, gate, sibling
from .workloads import BY_NAME, PEERS, Workload

MINIMUM = 0.05  # CPU seconds that a measurement lasts at least, so that the clock's grain does not matter


# --- Making the work ready ------------------------------------------------------------------------------------------


async def prepared(module: ModuleType, workload: Workload, size: int) -> Once:
    """Return what does the work once: written by hand for it, or made from its shape."""
    name = workload.name.partition(",")[0]
    if name in getattr(module, "ABSENT", {}):
        raise AbsentError(module.ABSENT[name])
    if not workload.is_for_peers and module.__name__.rpartition(".")[2] in PEERS:
        raise AbsentError("it has no such mode")
    made = _made(module, workload, name, size)
    made = await made if inspect.isawaitable(made) else made
    return functools.partial(_at_once, made, size, workload.name) if workload.runs_at_once else made


def _made(module: ModuleType, workload: Workload, name: str, size: int) -> Any:
    by_hand = getattr(module, name, None)
    if by_hand is not None:
        return by_hand(size, workload.mode) if workload.mode else by_hand(size)
    shape = workload.shape(size) if workload.shape else None
    if shape is None:
        raise AbsentError("not written")
    return module.fan_out(shape) if isinstance(shape, FanOut) else module.dag(shape)


async def _at_once(once: Once, size: int, name: str) -> Any:
    values = await asyncio.gather(*[once() for _ in range(size)])
    return values if name == "idle" else sum(values)


# --- Measuring ------------------------------------------------------------------------------------------------------


async def cpu(once: Once) -> tuple[float, Any]:
    """Return the CPU seconds of one time, of as many as take long enough to tell."""
    times, started = 0, time.process_time()
    while True:
        counts.reset()
        value = await once()
        times += 1
        taken = time.process_time() - started
        if taken >= MINIMUM:
            return taken / times, value


async def wall(once: Once) -> tuple[float, Any]:
    """Return the seconds from start to end."""
    started = time.perf_counter()
    value = await once()
    return time.perf_counter() - started, value


async def failing(once: Once) -> tuple[float, Any]:
    """Return the seconds until the failure was raised, and what had become of its sibling by then."""
    started = time.perf_counter()
    try:
        await once()
    except Exception as error:
        taken, state = time.perf_counter() - started, sibling.state
        if not _tells_of_it(error):
            raise
    else:
        raise AssertionError("the failure was lost")
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return taken, state


def _tells_of_it(error: BaseException | None) -> bool:
    if error is None or isinstance(error, BrokenError):
        return error is not None
    inner = (*getattr(error, "exceptions", ()), error.__cause__, error.__context__)
    return any(map(_tells_of_it, inner))


async def memory(once: Once, size: int) -> tuple[float, Any, float | None]:
    """Return the bytes that *size* waiting runs have allocated, and by how much the process grew for others."""
    resident, _ = await _while_waiting(once, size, _resident)
    tracemalloc.start()
    traced, value = await _while_waiting(once, size, lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return traced, value, resident / size if resident else None


async def _while_waiting(once: Once, size: int, look: Any) -> tuple[float, Any]:
    counts.reset()
    gate.close()
    gc.collect()
    before = look()
    runs = asyncio.ensure_future(once())
    while counts.lm < size and not runs.done():  # noqa: ASYNC110  each library waits in its own way
        await asyncio.sleep(0.01)
    gc.collect()
    bytes_used = look() - before
    gate.open()
    return bytes_used, await runs


def _resident() -> int:
    """Return the bytes of memory that this process holds, or 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def measured(once: Once, workload: Workload, size: int) -> dict[str, Any]:
    """Return the figure, and what the work gave and called."""
    counts.reset()
    gc.collect()  # everybody begins with nothing to collect, and the collector is on, as in life
    resident = None
    if workload.measure == "memory":
        figure, value, resident = await memory(once, size)
    else:
        clock = {"cpu": cpu, "failing": failing}.get(workload.measure, wall)
        figure, value = await clock(once)
    if workload.measure == "rate":
        figure = size / figure
    return {"figure": figure, "value": value, "calls": [counts.functions, counts.lm], "resident": resident}


# --- Answering ------------------------------------------------------------------------------------------------------


class Contender:
    """Keeps what is ready for one workload and size, from request to request."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.ready: tuple[str, int, Once] | None = None

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to *request*; the first for a workload and size also makes it ready, and warm.

        It tells the seconds that making ready took, and those of the work.
        """
        workload, size = BY_NAME[request["workload"]], request["size"]
        gate.open()
        started = made = time.perf_counter()
        if self.ready is None or self.ready[:2] != (workload.name, size):
            self.ready = None
            gc.collect()
            self.ready = (workload.name, size, await prepared(self.module, workload, size))
            made = time.perf_counter()
            if workload.measure in ("cpu", "wall"):
                await self.ready[2]()
        found = await measured(self.ready[2], workload, size)
        return {**found, "making": made - started, "working": time.perf_counter() - made}


def main(name: str) -> None:
    """Answer requests until there are no more."""
    # What contenders print, or log of the failure that they are asked for, is not an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    logging.disable(logging.CRITICAL)
    contender = Contender(importlib.import_module(f"benchmarks.contenders.{name}"))
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            try:
                answer = runner.run(contender.answer(json.loads(line)))
            except AbsentError as absent:
                answer = {"absent": str(absent)}
            except Exception:  # noqa: BLE001  it is told, and the run that asked fails
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
