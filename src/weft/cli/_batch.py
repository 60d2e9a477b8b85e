"""``weft batch``: a run for each line of a file, and a line for each run, begun again where it was left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from .. import Budget
from .._results import BatchItem
from ..backends import lm_named
from ..errors import WeftError, sentence
from ..lm import Usage
from ..nodes import Node
from ._document import error_of, json_of, only_the_document
from ._errors import UsageError, without_objects
from ._input import start_of
from ._lines import Line, Output, Record, held, lines_of, not_writable, opened_input
from ._load import AnyGraph, load_graph
from ._outcome import DONE, FAILED, WRONG_USAGE, Outcome, outcome_of
from ._print import complain, complain_of, print_lines, warnings_shown
from ._progress import Tally, progress_shown

_PER_MODEL = ("by_node", "by_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants run, from where to where, and within which limits."""

    module: str
    given: str
    results: str
    lm: str | None = None
    concurrency: int = 100
    timeout: float | None = None
    max_steps: int | None = 25
    budget: Budget | None = None
    prune: bool = False
    is_quiet: bool = False
    with_traceback: bool = False


class _Results(Protocol):
    """Where results go."""

    done: set[str]

    def write(self, record: Record) -> None: ...


class _Stream:
    """Results on standard output: nothing is there before."""

    def __init__(self, stream: TextIO) -> None:
        self.done: set[str] = set()
        self._stream = stream

    def write(self, record: Record) -> None:
        self._stream.write(f"{json.dumps(record)}\n")
        self._stream.flush()


def run(order: Order) -> int:
    """Carry out *order*, tell what came of it, and return the exit code: 1 if a line failed."""
    tally = Tally()
    with ExitStack() as stack:
        stream = stack.enter_context(only_the_document()) if order.results == "-" else None
        stack.enter_context(warnings_shown())
        ended = _ended(order, tally, stream)
        _tell(order, tally, ended)
    return ended.code


def _ended(order: Order, tally: Tally, stream: TextIO | None) -> Outcome:
    try:
        _carry_out(order, tally, stream)
    except BrokenPipeError:
        raise
    except BaseException as error:  # noqa: BLE001  whatever ended it is told in a line, and is the exit code
        return outcome_of(error)
    return Outcome("failed", FAILED) if tally.failed else Outcome("done", DONE)


def _carry_out(order: Order, tally: Tally, stream: TextIO | None) -> None:
    graph = load_graph(order.module)
    try:
        lm = lm_named(order.lm) if order.lm is not None else None
    except WeftError as error:
        raise UsageError(sentence("--lm", without_objects(error))) from error
    with opened_input(order.given) as file:
        numbers = {line.id: line.number for line in lines_of(file)}
        with _opened_results(order, numbers, stream) as results:
            tally.total, tally.before = len(numbers), len(results.done)
            with progress_shown(tally, is_quiet=order.is_quiet), graph.override(lm=lm):
                asyncio.run(_run_all(order, graph, file, results, tally))


@contextmanager
def _opened_results(order: Order, numbers: dict[str, int], stream: TextIO | None) -> Generator[_Results]:
    if stream is not None:
        yield _Stream(stream)
        return
    path = Path(order.results).resolve()
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path))
            output = Output(path, numbers, prune=order.prune)
        except OSError as error:
            raise UsageError(not_writable(Path(order.results), error)) from error
        stack.callback(output.close)
        yield output


async def _run_all(order: Order, graph: AnyGraph, file: BinaryIO, results: _Results, tally: Tally) -> None:
    begun: dict[int, Line] = {}
    limits: dict[str, Any] = {
        "concurrency": order.concurrency,
        "timeout": order.timeout,
        "max_steps": order.max_steps,
        "total_budget": order.budget,
    }
    starts = _starts(graph, file, results, tally, begun)
    async with aclosing(graph.map(starts, ordered=False, on_progress=tally.hear, **limits)) as items:
        async for item in items:
            line, outcome = begun.pop(item.index), _outcome_of(item)
            if item.error is not None and outcome.code == WRONG_USAGE:
                raise item.error  # no LM: so it is with every line
            results.write(_record(line, outcome, item.usage, item))
            tally.add(line.number, outcome)


def _starts(graph: AnyGraph, file: BinaryIO, results: _Results, tally: Tally, begun: dict[int, Line]) -> Iterator[Node]:
    """Yield the start node of each line that is not done; one that says none has failed with that."""
    index = 0
    for line in lines_of(file):
        if line.id in results.done:
            continue
        try:
            start = start_of(graph.start, _text_of(line))
        except UsageError as error:
            outcome = Outcome("failed", FAILED, None, error, error.kind, error.lines)
            results.write(_record(line, outcome, Usage()))
            tally.add(line.number, outcome)
        else:
            begun[index] = line
            index += 1
            yield start


def _text_of(line: Line) -> str:
    try:
        return line.text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(sentence("", "this is not UTF-8 text", "Save the file as UTF-8.")) from error


def _outcome_of(item: BatchItem[Any, Any]) -> Outcome:
    return Outcome("done", DONE, item.result) if item.error is None else outcome_of(item.error)


def _record(line: Line, outcome: Outcome, usage: Usage, item: BatchItem[Any, Any] | None = None) -> Record:
    """Return what is told of a line; it begins with what a torn one is known by."""
    result = outcome.result.result if outcome.result is not None else None
    return {
        "line": line.number,
        "id": line.id,
        "status": outcome.status,
        "result": json_of(result),
        "result_type": None if result is None else type(result).__name__,
        "error": None if outcome.error is None else error_of(outcome),
        "usage": {name: value for name, value in asdict(usage).items() if name not in _PER_MODEL},
        "run_id": None if item is None else item.run_id,
        "seconds": 0.0 if item is None else item.seconds,
    }


def _tell(order: Order, tally: Tally, ended: Outcome) -> None:
    """Print the first failures, why the batch came to no end, and what it came to."""
    for number, outcome in tally.failures:
        for told in outcome.lines:
            error = outcome.error if order.with_traceback else None
            complain([f"line {number}: {told}"], error)
    if (more := tally.failed - len(tally.failures)) > 0:
        complain([f"and {more:,} more failed: see {order.results}."], word="")
    complain_of(ended, with_traceback=order.with_traceback)
    if not tally.total or order.is_quiet:
        return
    summary = tally.summary()
    hint = ["The same command goes on with what is left."] if tally.left and order.results != "-" else []
    if order.results == "-":
        complain([*summary, *hint], word="")
    else:
        print_lines([*summary, *hint])
