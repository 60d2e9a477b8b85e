"""What the tests of runs share: an end to waiting, and a look at what else is going on."""

import asyncio


async def finish(awaitable, seconds=5):
    """Return what *awaitable* gives; a hang fails the test."""
    async with asyncio.timeout(seconds):
        return await awaitable


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


async def never():
    await asyncio.Event().wait()
