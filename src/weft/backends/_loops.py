"""One value for each event loop, for what cannot be shared between them: connections, locks, semaphores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    """What is closed at the end."""

    async def close(self) -> None:
        """Close it."""
        ...


T = TypeVar("T", bound=Closing)


class PerLoop(Generic[T]):
    """Gives each running event loop a value of its own, opened at its first use and closed when its loop ends.

    A loop ends by ``asyncio.run`` or whoever else calls ``loop.shutdown_asyncgens()``; what belongs to a loop that was
    closed without is let go.
    """

    def __init__(self, open_one: Callable[[], Awaitable[T]]) -> None:
        self._open_one = open_one
        self._kept: dict[asyncio.AbstractEventLoop, _Kept[T]] = {}
        self._lock = threading.Lock()

    async def get(self) -> T:
        """Return the running loop's value."""
        loop = asyncio.get_running_loop()
        # Weak references would not do: a value's connections refer to its loop.
        with self._lock:
            self._kept = {each: kept for each, kept in self._kept.items() if not each.is_closed()}
            kept = self._kept.setdefault(loop, _Kept(self._open_one))
        return await kept.get()

    def __len__(self) -> int:
        return len(self._kept)


class _Kept(Generic[T]):
    """A value that lives in a suspended generator: the loop knows it, and closes it when the loop is shut down."""

    def __init__(self, open_one: Callable[[], Awaitable[T]]) -> None:
        self._open_one = open_one
        self._lock = asyncio.Lock()
        self._life: AsyncGenerator[T] | None = None
        self._value: T

    async def get(self) -> T:
        async with self._lock:
            if self._life is None:
                life = self._live()
                self._value = await anext(life)
                self._life = life
        return self._value

    async def _live(self) -> AsyncGenerator[T]:
        # No generator may be inside this one: a loop that is shut down closes all it knows at once.
        value = await self._open_one()
        try:
            yield value
        finally:
            await value.close()
