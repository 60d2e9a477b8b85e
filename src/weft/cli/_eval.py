"""``weft eval``: a graph run over labelled data with one LM after another, and their scores side by side."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .._calls import VARIABLE
from ..backends import lm_named
from ..errors import WeftError, sentence
from ..lm import LM
from ._document import document_of, only_the_document, write_document
from ._errors import UsageError, without_objects
from ._evaluation import Evaluation, Trial, evaluate
from ._files import checked_place, write_whole
from ._load import AnyGraph, load_graph
from ._metric import Metric, load_metric
from ._outcome import DONE, FAILED, Outcome, outcome_of
from ._print import complain, complain_of, console_of, count, print_lines, warnings_shown
from ._rows import Row, read_rows
from ._scores import details, evaluation_document, print_scores
from ._trace import Recorder
from ._tuned import tuned_lm

Named = tuple[str, LM | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants evaluated, and how it is to be shown."""

    module: str
    data: str
    metric: str
    lms: Sequence[str] = ()
    prompts: str | None = None
    is_partial: bool = False
    details: str | None = None
    concurrency: int = 4
    max_steps: int = 25
    timeout: float | None = None
    as_json: bool = False
    with_traceback: bool = False


def run(order: Order) -> int:
    """Carry out *order*, print the scores, and return the exit code: 1 if no run at all was done with an LM."""
    evaluations: list[Evaluation] = []
    failed: Outcome | None = None
    with ExitStack() as stack:
        stream = stack.enter_context(only_the_document()) if order.as_json else None
        stack.enter_context(warnings_shown())
        try:
            _evaluate(order, evaluations)
        except BaseException as error:  # noqa: BLE001  whatever ended it is told in a line, and is the exit code
            failed = outcome_of(error)
        evaluations = [each for each in evaluations if each.scored]
        failed = _keep(order, evaluations) or failed
        _tell(order, evaluations, failed, stream)
    if failed is not None:
        complain_of(failed, with_traceback=order.with_traceback)
        return failed.code
    return _code(evaluations)


def _evaluate(order: Order, evaluations: list[Evaluation]) -> None:
    graph = load_graph(order.module)
    metric, rows, lms = _checked(order, graph)
    trial = Trial(graph.arun, metric, order.concurrency, order.max_steps, order.timeout)

    async def each_in_turn() -> None:
        for name, lm in lms:
            evaluation = Evaluation(name)
            evaluations.append(evaluation)
            with progress(evaluation, rows) as tell, silence(), graph.override(lm=lm):
                await evaluate(trial, rows, evaluation, tell)

    asyncio.run(each_in_turn())


def _checked(order: Order, graph: AnyGraph) -> tuple[Metric, list[Row], list[Named]]:
    """Return what scores, what is run, and with which LMs; raises UsageError with every mistake in them."""
    mistakes: list[str] = []
    causes: list[Exception] = []
    found: list[Any] = []
    finds: list[Callable[[], Any]] = [
        lambda: load_metric(order.metric, order.module),
        lambda: read_rows(order.data, graph.start, "--data"),
        lambda: _lms(order, graph),
        lambda: checked_place(order.details, "--details") if order.details else None,
    ]
    for find in finds:
        try:
            found.append(find())
        except UsageError as error:
            mistakes.extend(error.lines)
            causes.append(error)
    if causes:
        raise UsageError(*mistakes) from causes[0]
    metric, rows, lms, _ = found
    return metric, rows, lms


def _lms(order: Order, graph: AnyGraph) -> list[Named]:
    """Return the LMs by name; None is the one that the graph would ask by itself."""
    own = os.environ.get(VARIABLE) or "the graph's own"
    if order.prompts is None:
        return [(name, named_lm(name)) for name in order.lms] or [(own, None)]
    asked: Sequence[str | None] = order.lms or [None]
    return [
        (f"{name or own} with {order.prompts}", tuned_lm(graph, order.prompts, name, is_partial=order.is_partial))
        for name in asked
    ]


def named_lm(name: str) -> LM:
    """Return the LM that ``--lm`` names; raises UsageError."""
    try:
        return lm_named(name)
    except WeftError as error:
        raise UsageError(sentence("--lm", without_objects(error))) from error


@contextmanager
def progress(evaluation: Evaluation, rows: Sequence[Row]) -> Generator[Any]:
    """Yield a function that shows on a terminal how many rows are done."""
    console = console_of(stderr=True)

    def said() -> str:
        failures = f", {count(len(evaluation.failures), 'failure')}" if evaluation.failures else ""
        return f"{evaluation.name}: {len(evaluation.scored)} of {count(len(rows), 'row')}{failures}, Ctrl-C stops"

    with console.status(said()) as status:
        yield lambda: status.update(said())


@contextmanager
def silence() -> Generator[None]:
    """Keep back what a hundred runs print; inside of what shows progress, which would print it above itself."""
    with redirect_stdout(io.StringIO()):
        yield


def _keep(order: Order, evaluations: Sequence[Evaluation]) -> Outcome | None:
    """Write the details, if they are wanted and there are any; return what went wrong."""
    if order.details is None or not evaluations:
        return None
    try:
        write_whole(order.details, "".join(f"{line}\n" for line in details(evaluations)))
    except UsageError as error:
        return outcome_of(error)
    return None


def _tell(order: Order, evaluations: Sequence[Evaluation], failed: Outcome | None, stream: TextIO | None) -> None:
    if stream is not None:
        error = {} if failed is None else {"error": document_of(failed, Recorder())["error"]}
        status = "done" if failed is None else failed.status
        write_document(stream, {"status": status, "lms": [*map(evaluation_document, evaluations)], **error})
    elif evaluations:
        print_scores(evaluations)
        if order.details is not None:
            print_lines(["", f"Each run is told in {Path(order.details)}."])


def _code(evaluations: Sequence[Evaluation]) -> int:
    lost = [each.name for each in evaluations if len(each.failures) == len(each.scored)]
    complain([sentence(name, "every run failed") for name in lost])
    return FAILED if lost else DONE
