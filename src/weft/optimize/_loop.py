"""The one event loop in the background, for callers that are not async: DSPy's optimisers are all of this kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..errors import sentence

T = TypeVar("T")


class _Background:
    """An event loop in a daemon thread, begun when first asked for: the connections it keeps serve every caller."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running: asyncio.AbstractEventLoop | None = None

    def is_here(self) -> bool:
        """Return whether this code runs in it."""
        return threading.current_thread() is self._thread

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; after a fork, which takes no threads along, it is another one."""
        with self._lock:
            if self._running is None or self._thread is None or not self._thread.is_alive():
                self._running = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._running.run_forever, name="weft-optimize", daemon=True)
                self._thread.start()
            return self._running


_background = _Background()


def run_in_background(called: str, instead: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what *main* gives, run in the background with the caller's context variables.

    An interrupt of the caller cancels it. Raises RuntimeError in the background loop itself, which would wait for
    itself: it says that *called* must not be called there and what to write *instead*.
    """
    if _background.is_here():
        raise RuntimeError(sentence(called, "it was called inside a run of its own", f"Write: {instead}."))
    future = asyncio.run_coroutine_threadsafe(main(), _background.loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
