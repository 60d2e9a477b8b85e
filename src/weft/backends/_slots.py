"""How many calls may go on at once, for each event loop: a semaphore must not be shared between loops."""

from __future__ import annotations

import asyncio
from threading import Lock


class Slots:
    """Gives each running event loop a semaphore of *count*; those of closed loops are let go."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._semaphores: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
        self._lock = Lock()

    def __call__(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._semaphores = {each: kept for each, kept in self._semaphores.items() if not each.is_closed()}
            return self._semaphores.setdefault(loop, asyncio.Semaphore(self._count))

    def __len__(self) -> int:
        return len(self._semaphores)
