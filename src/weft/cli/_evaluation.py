"""A graph run over labelled data with one LM: a score for each row, and what comes of them all."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import MissingExtraError
from ..events import Event, RunFinished
from ..graph import GraphResult
from ..lm import Usage
from ._metric import Metric
from ._outcome import missing_lm
from ._rows import Row


@dataclass(frozen=True, slots=True)
class Scored:
    """The run of one row: its score, which is 0 if the run failed, and what it took."""

    row: Row
    score: float
    seconds: float
    usage: Usage
    result: GraphResult[Any] | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How each row is run, by what a graph's `arun` is, and scored."""

    arun: Callable[..., Awaitable[GraphResult[Any]]]
    metric: Metric
    concurrency: int = 4
    max_steps: int = 25
    timeout: float | None = None


@dataclass(slots=True)
class Evaluation:
    """What came of the rows run so far with the LM called *name*."""

    name: str
    scored: list[Scored] = field(default_factory=list[Scored])

    @property
    def score(self) -> float:
        """The mean score of all rows, those with a failed run included."""
        return statistics.fmean(each.score for each in self.scored) if self.scored else 0.0

    @property
    def failures(self) -> list[Scored]:
        """The rows whose runs failed, by line."""
        return sorted((each for each in self.scored if each.error is not None), key=lambda each: each.row.line)

    @property
    def usage(self) -> Usage:
        """What all the runs used."""
        return sum((each.usage for each in self.scored), Usage())

    @property
    def median(self) -> float | None:
        """The seconds that half of the runs took at most; None if none is done."""
        return statistics.median(self._seconds) if self._seconds else None

    @property
    def p95(self) -> float | None:
        """The seconds that 95 in 100 runs took at most; None if none is done."""
        seconds = self._seconds
        return seconds[math.ceil(0.95 * len(seconds)) - 1] if seconds else None

    @property
    def _seconds(self) -> list[float]:
        return sorted(each.seconds for each in self.scored if each.error is None)


async def evaluate(trial: Trial, rows: Sequence[Row], evaluation: Evaluation, on_row: Callable[[], object]) -> None:
    """Run every row, and add what comes of it to *evaluation*.

    Raises UsageError if the metric cannot score a row, and what says that no row can be run.
    """
    todo = iter(rows)
    workers = [asyncio.ensure_future(_work(trial, todo, evaluation, on_row)) for _ in range(trial.concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(trial: Trial, todo: Iterator[Row], evaluation: Evaluation, on_row: Callable[[], object]) -> None:
    for row in todo:
        evaluation.scored.append(await _run(trial, row))
        on_row()


async def _run(trial: Trial, row: Row) -> Scored:
    ended: list[RunFinished] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunFinished) and not event.key:
            ended.append(event)

    began = time.perf_counter()
    options: dict[str, Any] = {"max_steps": trial.max_steps, "timeout": trial.timeout, "on_event": listen}
    try:
        result = await trial.arun(row.start, **options)
    except Exception as error:
        if missing_lm(error) is not None or isinstance(error, MissingExtraError):
            raise
        return Scored(row, 0.0, time.perf_counter() - began, _usage(ended), error=error)
    seconds = time.perf_counter() - began
    return Scored(row, trial.metric.score(row, result), seconds, _usage(ended), result)


def _usage(ended: Sequence[RunFinished]) -> Usage:
    return sum((each.usage for each in ended), Usage())
