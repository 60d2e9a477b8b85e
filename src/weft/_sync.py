"""The way from code that is not async into an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_new_loop(called: str, instead: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what *main* gives, run in an event loop of its own.

    Raises RuntimeError, which says that *called* must not be called in a running loop and what to write *instead*.
    """
    if _is_in_a_loop():
        msg = f"{called} was called in a running event loop. Write: {instead}."
        raise RuntimeError(msg)
    return asyncio.run(main())


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
