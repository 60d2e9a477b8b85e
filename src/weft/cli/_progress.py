"""How far a batch is: counted as it goes on, drawn as one line on a terminal, and told at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .._results import BatchProgress
from ..lm import Usage
from ._branches import duration
from ._outcome import Outcome
from ._print import console_of, count, used

_PER_SECOND = 5
_BAR = 24
_SHORTEST_BAR = 8
_SHOWN_FAILURES = 5
_MINUTE = 60


class Tally:
    """What has come of the lines of the input so far."""

    def __init__(self) -> None:
        self.total = 0
        self.before = 0
        self.failures: list[tuple[int, Outcome]] = []
        self.done = self.failed = self.in_flight = 0
        self.usage = Usage()
        self._since = time.monotonic()

    def hear(self, progress: BatchProgress) -> None:
        """Take in how far the runs are."""
        self.in_flight, self.usage = progress.in_flight, progress.usage

    def add(self, number: int, outcome: Outcome) -> None:
        """Count a line that is written; of failures the first are kept."""
        if outcome.status == "done":
            self.done += 1
            return
        self.failed += 1
        if len(self.failures) < _SHOWN_FAILURES:
            self.failures.append((number, outcome))

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._since

    @property
    def left(self) -> int:
        """How many lines have no result, and no failure, yet."""
        return self.total - self.before - self.done - self.failed

    def summary(self) -> list[str]:
        """Return what it came to, in two lines."""
        parts = {"done before": self.before, "done": self.done, "failed": self.failed, "left": self.left}
        said = ", ".join(f"{number:,} {name}" for name, number in parts.items() if number) or "nothing to do"
        return [f"{count(self.total, 'line')}: {said}.", f"In {duration(self.seconds)}: {', '.join(used(self.usage))}."]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the line that is drawn while it goes on; the bar has the room that the words leave."""
        words = self._words()
        room = min(_BAR, options.max_width - words.cell_len - 1)
        row = Table.grid(padding=(0, 1))
        if room >= _SHORTEST_BAR:
            row.add_row(ProgressBar(max(self.total, 1), self.total - self.left, room), words)
        else:
            row.add_row(words)
        yield row

    def _words(self) -> Text:
        ended = self.total - self.left
        said = [Text(f"{ended:,} of {count(self.total, 'line')}")]
        said += [Text(f"{self.failed:,} failed", "bold red")] if self.failed else []
        said += [Text(f"{self.in_flight:,} in flight")]
        said += [Text(f"${self.usage.cost:.2f}")] if self.usage.cost else []
        said += [Text(duration(self.seconds))]
        if (fresh := ended - self.before) and self.left:
            said.append(Text(f"about {_about(self.seconds / fresh * self.left)} left"))
        return Text(", ", no_wrap=True, overflow="ellipsis").join(said)


def _about(seconds: float) -> str:
    return duration(seconds) if seconds >= _MINUTE else f"{max(round(seconds), 1)} s"


@contextmanager
def progress_shown(tally: Tally, *, is_quiet: bool) -> Generator[None]:
    """Draw *tally* on standard error while this lasts, if that is a terminal; it is gone afterwards."""
    console = console_of(stderr=True)
    if is_quiet or not console.is_interactive or not sys.stderr.isatty():
        yield
        return
    how: dict[str, Any] = {"transient": True, "refresh_per_second": _PER_SECOND, "redirect_stdout": sys.stdout.isatty()}
    with Live(tally, console=console, **how):
        yield
