"""``weft run``: from the command line to a finished run and its exit code."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from ..backends import lm_named
from ..errors import WeftError, sentence
from ..lm import LM
from ..nodes import Node
from ._document import document_of, only_the_document, write_document
from ._errors import UsageError
from ._form import fill_in, is_at_a_terminal
from ._input import read_start
from ._load import AnyGraph, load_graph
from ._outcome import DONE, FAILED, Outcome, outcome_of
from ._print import complain_of, print_branches, print_lines, print_result, print_summary, warnings_shown
from ._trace import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants run, and how it is to be shown."""

    module: str
    sets: Sequence[str] = ()
    given: str | None = None
    lm: str | None = None
    max_steps: int | None = 25
    as_json: bool = False
    with_traceback: bool = False


def run(order: Order) -> int:
    """Carry out *order*, show what came of it, and return the exit code."""
    recorder = Recorder()
    with only_the_document() if order.as_json else nullcontext() as stream, warnings_shown():
        outcome = _outcome(order, recorder)
        if stream is not None:
            write_document(stream, document_of(outcome, recorder))
        else:
            _print(outcome, recorder)
        complain_of(outcome, with_traceback=order.with_traceback)
    return outcome.code


def _outcome(order: Order, recorder: Recorder) -> Outcome:
    try:
        graph = load_graph(order.module)
        start, lm = _checked(graph, order)
        with graph.override(lm=lm):
            result = graph.run(start, max_steps=order.max_steps, on_event=recorder)
    except BaseException as error:  # noqa: BLE001  whatever ended it is told in a line, and is the exit code
        return outcome_of(error, recorder.failed_at)
    return Outcome("done", DONE, result)


def _checked(graph: AnyGraph, order: Order) -> tuple[Node, LM | None]:
    """Return the start node and the LM that the user asks for; raises UsageError with every mistake in both."""
    mistakes: list[str] = []
    causes: list[Exception] = []
    start = lm = None
    try:
        lm = lm_named(order.lm) if order.lm is not None else None
    except WeftError as error:
        mistakes.append(sentence("--lm", str(error)))
        causes.append(error)
    try:
        may_ask = not causes and not order.as_json and order.given != "-" and is_at_a_terminal()
        ask = functools.partial(fill_in, command=_command(order)) if may_ask else None
        start = read_start(graph.start, order.given, order.sets, ask)
    except UsageError as error:
        mistakes.extend(error.lines)
        causes.append(error)
    if start is None or causes:
        raise UsageError(*mistakes) from causes[0]
    return start, lm


def _command(order: Order) -> list[str]:
    """Return the command line that says what *order* does."""
    options = {"--lm": order.lm, "--input": order.given}
    given = [word for option, value in options.items() if value is not None for word in (option, value)]
    return ["weft", "run", order.module, *given, *(word for each in order.sets for word in ("--set", each))]


def _print(outcome: Outcome, recorder: Recorder) -> None:
    if outcome.code in (DONE, FAILED):
        print_branches(recorder.branches())
    if outcome.result is not None:
        print_lines([""])
        print_result(outcome.result.result)
        print_summary(recorder, len(outcome.result.trace))
