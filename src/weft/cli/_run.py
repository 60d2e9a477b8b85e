"""``weft run``: from the command line to a finished run and its exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

from ..backends import lm_named
from ..errors import WeftError, sentence
from ..events import Event
from ..lm import LM
from ..nodes import Node
from ._document import document_of, only_the_document, write_document
from ._errors import UsageError, without_objects
from ._form import fill_in, is_at_a_terminal
from ._input import read_start
from ._live import Live, can_be_live, live, paused
from ._load import AnyGraph, load_graph
from ._outcome import DONE, FAILED, Outcome, outcome_of
from ._outlook import Outlook
from ._print import complain_of, print_branches, print_lines, print_result, print_summary, warnings_shown
from ._prompts import print_call
from ._trace import Recorder
from ._tuned import tuned_lm


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants run, and how it is to be shown."""

    module: str
    sets: Sequence[str] = ()
    given: str | None = None
    lm: str | None = None
    prompts: str | None = None
    is_partial: bool = False
    max_steps: int | None = 25
    as_json: bool = False
    is_quiet: bool = False
    is_verbose: bool = False
    with_traceback: bool = False


def run(order: Order) -> int:
    """Carry out *order*, show what came of it, and return the exit code."""
    recorder = Recorder()
    with ExitStack() as stack:
        stream = stack.enter_context(only_the_document()) if order.as_json else None
        stack.enter_context(warnings_shown())
        outcome = _outcome(order, recorder)
        if stream is not None:
            write_document(stream, document_of(outcome, recorder))
        else:
            _print(order, outcome, recorder)
        complain_of(outcome, with_traceback=order.with_traceback)
    return outcome.code


def _outcome(order: Order, recorder: Recorder) -> Outcome:
    try:
        _check_options(order)
        is_live = not (order.as_json or order.is_quiet) and can_be_live()
        # From before the module is loaded, so that what it keeps of the standard streams prints above the tree too.
        with live(recorder) if is_live else nullcontext() as screen:
            return _carried_out(order, recorder, screen)
    except BaseException as error:  # noqa: BLE001  whatever ended it is told in a line, and is the exit code
        return outcome_of(error, recorder.failed_at)


def _carried_out(order: Order, recorder: Recorder, screen: Live | None) -> Outcome:
    graph = load_graph(order.module)
    with paused(screen) if screen is not None else nullcontext():  # while the user is asked for what is missing
        start, lm = _checked(graph, order)
    recorder.outlook = None if screen is None else Outlook(graph.topology)
    listener = _both(recorder, print_call) if order.is_verbose else recorder
    with graph.override(lm=lm):
        result = graph.run(start, max_steps=order.max_steps, on_event=listener)
    return Outcome("done", DONE, result)


def _both(*listeners: Callable[[Event], object]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        for each in listeners:
            each(event)

    return listen


def _check_options(order: Order) -> None:
    given = {"--quiet": order.is_quiet, "--verbose": order.is_verbose, "--json": order.as_json}
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise UsageError(sentence("", f"{' and '.join(chosen)} exclude each other", "Give one of them."))


def _checked(graph: AnyGraph, order: Order) -> tuple[Node, LM | None]:
    """Return the start node and the LM that the user asks for; raises UsageError with every mistake in both."""
    mistakes: list[str] = []
    causes: list[Exception] = []
    start = lm = None
    try:
        lm = _lm(graph, order)
    except UsageError as error:
        mistakes.extend(error.lines)
        causes.append(error)
    except WeftError as error:
        mistakes.append(sentence("--lm", without_objects(error)))
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


def _lm(graph: AnyGraph, order: Order) -> LM | None:
    if order.prompts is not None:
        return tuned_lm(graph, order.prompts, order.lm, is_partial=order.is_partial)
    return lm_named(order.lm) if order.lm is not None else None


def _command(order: Order) -> list[str]:
    """Return the command line that says what *order* does."""
    options = {"--lm": order.lm, "--prompts": order.prompts, "--input": order.given}
    given = [word for option, value in options.items() if value is not None for word in (option, value)]
    return ["weft", "run", order.module, *given, *(word for each in order.sets for word in ("--set", each))]


def _print(order: Order, outcome: Outcome, recorder: Recorder) -> None:
    """Print what took place, the answer, and what it took; of an interrupted run only where somebody is looking."""
    is_shown = outcome.code in (DONE, FAILED) or (recorder.path and can_be_live())
    if is_shown and not order.is_quiet:
        print_branches(recorder.branches())
    if outcome.result is not None:
        print_lines([] if order.is_quiet else [""])
        print_result(outcome.result.result)
    if is_shown and recorder.path and not order.is_quiet:
        print_summary(recorder, outcome)
