"""Asyncio by hand, as an expert writes it for each work; tasks start eagerly where Python can (from 3.12)."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import work
from ..work import Once, Steps

EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def chain(size: int) -> Once:
    async def once() -> str:
        for _ in range(size):
            filled = await work.fill()
        return filled.text

    return once


def noop(size: int) -> Once:
    functions = [functools.partial(work.noop, index) for index in range(size)]
    return functools.partial(_sum_of, functions)


def wide(size: int) -> Once:
    return functools.partial(_sum_of, [functools.partial(work.nap, index) for index in range(size)])


async def _sum_of(functions: list[Callable[[], Coroutine[Any, Any, int]]]) -> int:
    loop = asyncio.get_running_loop()
    tasks = [asyncio.Task(function(), loop=loop, **EAGER) for function in functions]
    return sum([task.result() if task.done() else await task for task in tasks])


def runs(_: int) -> Once:
    async def once() -> int:
        for index in range(5):
            values = await asyncio.gather(*[work.look_up(each) for each in range(5)])
            node = await work.visit(index == 0, *values)
        return work.told(node)

    return once


def idle(_: int) -> Once:
    async def once() -> str:
        return (await work.gate.fill()).text

    return once


def blocking(size: int) -> Once:
    pool = ThreadPoolExecutor(work.THREADS)

    async def once() -> int:
        loop = asyncio.get_running_loop()
        return sum(await asyncio.gather(*[loop.run_in_executor(pool, work.block, each) for each in range(size)]))

    return once


def dag(steps: Steps) -> Once:
    """A task for each step, which waits for the tasks of its inputs."""

    async def once() -> Any:
        tasks: dict[str, asyncio.Task[Any]] = {}

        async def carry_out(step: work.Step) -> Any:
            return await step.call(*[await tasks[each] for each in step.inputs])

        async with asyncio.TaskGroup() as group:
            for step in steps:
                tasks[step.name] = group.create_task(carry_out(step))
        return tasks[steps[-1].name].result()

    return once
