"""How many LM calls may be under way at once, and who goes first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._ahead import Prefetched

Queue = deque[asyncio.Future[None]]


class CallLimit:
    """Places for so many calls at once, given out in the order of asking: first to those whose answer is needed."""

    __slots__ = ("_ahead", "_free", "_needed")

    def __init__(self, places: int) -> None:
        self._free = places
        self._needed: Queue = deque()
        self._ahead: Queue = deque()

    async def acquire(self, ahead: Prefetched | None = None) -> None:
        """Wait for a place; what is made *ahead* queues behind all others until it is needed."""
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if ahead is not None and ahead.is_ahead:
            self._ahead.append(place)
            ahead.when_needed(partial(self._needed.append, place))
        else:
            self._needed.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back, to the first that waits for one."""
        for queue in (self._needed, self._ahead):
            while queue:
                # One that has left is done, and so is one that stands in both and had its turn.
                if not (place := queue.popleft()).done():
                    place.set_result(None)
                    return
        self._free += 1


class Limiters:
    """The bounds on LM calls at once that a run must keep to: its graph's, and those of the graphs around it."""

    __slots__ = ("limits",)

    def __init__(self, limits: Sequence[CallLimit] = ()) -> None:
        # One order for all, so that two graphs that run inside each other cannot hold what the other waits for.
        self.limits = sorted(set(limits), key=id)

    def with_one(self, limit: CallLimit | None) -> Limiters:
        """Return these and *limit*."""
        return self if limit is None else Limiters([*self.limits, limit])

    @asynccontextmanager
    async def slot(self, ahead: Prefetched | None = None) -> AsyncGenerator[None]:
        """Wait for a place among the calls, behind those needed now if it is *ahead*, and give it back afterwards."""
        taken: list[CallLimit] = []
        try:
            for limit in self.limits:
                await limit.acquire(ahead)
                taken.append(limit)
            yield
        finally:
            for limit in taken:
                limit.release()


UNLIMITED = Limiters()
