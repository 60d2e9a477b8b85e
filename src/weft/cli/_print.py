"""What people see: pictures, results, errors. Text from models and users is shown as it is, never as markup."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import arrows, describe, printable, shorten
from ..lm import Usage
from ..nodes import Node, injected_fields
from ..render.text import Branch, column_of, lines
from ._branches import duration
from ._document import json_of
from ._errors import one_line, several_lines, traceback_of
from ._outcome import Outcome
from ._trace import Recorder
from ._tree import columns, tree_of

_SHOWN_INJECTED = 120
_SHOWN_AT_LEAST = 40
_MAX_DEPTH = 12

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
Row = tuple[str, str, str]


def console_of(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or error, that takes text as it is."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_lines(shown: Sequence[str]) -> None:
    """Print each of *shown* as one line."""
    console = console_of()
    for line in shown:
        _print_line(console, Text(one_line(line)))


def _print_line(console: Console, line: Text) -> None:
    """Print one line: folded between words to fit a terminal, and never broken elsewhere."""
    console.print(line, soft_wrap=not console.is_terminal)


# --- Pictures


def print_branches(branches: Sequence[Branch]) -> None:
    """Print trees on a terminal, indented lines elsewhere."""
    console = console_of()
    if not console.is_terminal:
        print_lines(list(lines(branches)))
        return
    column = column_of(branches)
    for branch in branches:
        console.print(tree_of(branch, column, console.options))


# --- Results


def print_result(node: Node) -> None:
    """Print a node's fields: those the LM or the caller wrote in full, the others in a line."""
    console = console_of()
    width = console.width if console.is_terminal else _SHOWN_INJECTED
    print_rows(console, type(node).__name__, _result_rows(node, width))


def print_rows(console: Console, title: str, rows: Iterable[Row]) -> None:
    """Print *rows* under *title*; a long text goes on below itself on a terminal."""
    _print_line(console, Text(one_line(title), "bold"))
    for indent, label, text in rows:
        shown = printable(text)
        if console.is_terminal:
            console.print(_hanging(indent + one_line(label), shown))
        else:
            _print_line(console, Text(f"{indent}{one_line(label)}{shown}"))


def _hanging(label: str, text: str) -> Table:
    """Return a line whose text, where it is too long for the terminal, goes on below itself."""
    return columns(Text(label, "cyan"), Text(text))


def _result_rows(node: Node, width: int) -> Iterator[Row]:
    injected = injected_fields(type(node))
    values: Json = json_of(node)
    if not isinstance(values, dict):
        yield from rows_of("", values, "  ")
        return
    for name, value in values.items():
        if name in injected:
            label = f"{one_line(name)}: "
            shown = shorten(json.dumps(value, ensure_ascii=False), max(width - len(label) - 2, _SHOWN_AT_LEAST))
            yield "  ", label, shown
        else:
            yield from rows_of(f"{one_line(name)}:", value, "  ")


def rows_of(label: str, value: Json, indent: str) -> Iterator[Row]:
    """Yield the lines of a JSON value after *label*, nested ones indented."""
    inner = _inside(value) if len(indent) <= 2 * _MAX_DEPTH else []
    if inner:
        yield indent, label, ""
        for key, each in inner:
            yield from rows_of(key, each, f"{indent}  ")
        return
    text = several_lines(value) if isinstance(value, str) else [one_line(json.dumps(value, ensure_ascii=False))]
    if len(text) == 1:
        yield indent, f"{label} ", text[0]
        return
    yield indent, label, ""
    yield from ((f"{indent}  ", "", line) for line in text)


def _inside(value: Json) -> list[tuple[str, Json]]:
    """Return what a JSON object or list holds, each with its label."""
    if isinstance(value, dict):
        return [(f"{one_line(key)}:", each) for key, each in value.items()]
    return [("-", each) for each in value] if isinstance(value, list) else []


def print_summary(recorder: Recorder, outcome: Outcome) -> None:
    """Print the path taken, and what the run took: the work in it, and the time in which that was done."""
    said = [count(len(recorder.path), "node"), *used(recorder.usage)]
    print_lines(["", arrows(recorder.path), f"{_took(recorder, outcome)}: {', '.join(said)}."])


def used(usage: Usage) -> list[str]:
    """Return what LM calls used, in a few words each."""
    said = [count(usage.requests, "LM request")]
    if usage.input_tokens or usage.output_tokens:
        said.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    if usage.cost:
        said.append(f"${usage.cost:.4f}")
    return said


def _took(recorder: Recorder, outcome: Outcome) -> str:
    took, work = duration(recorder.seconds), recorder.work
    if work:
        took = f"{duration(work)} of work in {took}"
    if outcome.status == "done":
        return took if work else f"Done in {took}"
    return f"{outcome.status.capitalize()} after {took}"


def count(number: int, noun: str) -> str:
    """Return *number* and *noun* as people say it: ``1 node``, ``2 nodes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# --- Errors and warnings


def complain(said: Sequence[str], error: BaseException | None = None, word: str = "Error") -> None:
    """Print each of *said*, after *word*, as one line on standard error, below the traceback of *error*."""
    console = console_of(stderr=True)
    start = Text(f"{word}: " if word else "", "bold red" if word == "Error" else "bold magenta")
    with console.capture() as captured:
        for line in traceback_of(error) if error is not None else ():
            console.print(Text(line), soft_wrap=True)
        for line in said:
            _print_line(console, Text.assemble(start, one_line(line)))
    # Written like the prints of any code: above a live tree, if there is one.
    sys.stderr.write(captured.get())


def complain_of(outcome: Outcome, *, with_traceback: bool) -> None:
    """Print the lines of *outcome* on standard error, if it has any."""
    word = "" if outcome.status == "cancelled" else "Error"
    complain(outcome.lines, outcome.error if with_traceback else None, word)


class _Shown(logging.Handler):
    """Shows what Weft logs as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        failure = record.exc_info[1] if record.exc_info else None
        said = f"{record.getMessage()} {describe(failure)}" if failure else record.getMessage()
        complain([said], word="Error" if record.levelno >= logging.ERROR else "Warning")


@contextmanager
def warnings_shown() -> Generator[None]:
    """Show Weft's warnings on standard error while this lasts."""
    logger, shown = logging.getLogger("weft"), _Shown(logging.WARNING)
    logger.addHandler(shown)
    try:
        yield
    finally:
        logger.removeHandler(shown)
