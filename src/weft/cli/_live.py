"""A run on the terminal while it goes on: a tree that grows, with what is printed meanwhile above it."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from ..render.text import column_of
from ._print import console_of
from ._trace import Recorder
from ._tree import tree_of

__all__ = ["Live", "LiveTree", "can_be_live", "live", "paused"]

_PER_SECOND = 10


class LiveTree:
    """What *recorder* has heard so far, drawn anew each time it is asked for, never taller than the screen."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a tree for each visited node."""
        now = time.time()
        branches = self.recorder.newest(max(console.size.height - 1, 1), now)
        column = column_of(branches)
        for branch in branches:
            yield tree_of(branch, column, options, now=now)


def can_be_live() -> bool:
    """Return whether standard output is a terminal on which lines can be drawn again."""
    return sys.stdout.isatty() and console_of().is_interactive


@contextmanager
def live(recorder: Recorder) -> Generator[Live]:
    """Show *recorder* while this lasts; what is printed meanwhile appears above, and the tree is gone afterwards.

    A thread draws, so that a function that holds the event loop does not stop the clock.
    """
    tree, errors_too = LiveTree(recorder), sys.stderr.isatty()
    how: dict[str, Any] = {"transient": True, "refresh_per_second": _PER_SECOND, "redirect_stderr": errors_too}
    with Live(tree, console=console_of(), **how) as screen:
        yield screen


@contextmanager
def paused(screen: Live) -> Generator[None]:
    """Leave the terminal to others while this lasts."""
    screen.stop()
    try:
        yield
    finally:
        screen.start()
