"""What people see: pictures, results, errors. Text from models and users is shown as it is, never as markup."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..errors import arrows, printable, shorten
from ..nodes import Node, injected_fields
from ..render.text import Branch, Tone, column_of, lines, row
from ._branches import duration
from ._document import json_of
from ._errors import describe, one_line, several_lines, traceback_of
from ._outcome import Outcome
from ._trace import Recorder

# Standard colours that both dark and light backgrounds show; each only repeats what a sign and a word say.
_STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "going": "bold cyan"}
_SIGNS: dict[Tone, str] = {"good": "✓", "bad": "✗", "quiet": "-", "waiting": "·"}
_ASCII_SIGNS: dict[Tone, str] = {"good": "+", "bad": "x", "quiet": "-", "waiting": "."}
_SPINNER, _ASCII_SPINNER, _TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "-\\|/", 10
_SHOWN_INJECTED = 120
_SHOWN_AT_LEAST = 40
_MAX_DEPTH = 12
_INDENT = 4
_SHOWN_TITLE = 8
_SHOWN_DETAIL = 12

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


def tree_of(branch: Branch, column: int, options: ConsoleOptions, *, now: float | None = None) -> Tree:
    """Return *branch* with a sign on each line; at *now*, while the run goes on, each is one line and some turn."""
    draw = _Lines(options, now)
    tree = Tree(draw.line(branch, column, 0), guide_style="dim")
    todo = [(tree, branch, 1)]
    while todo:
        around, inner, depth = todo.pop()
        below = column_of(inner.branches)
        todo.extend((around.add(draw.line(each, below, depth)), each, depth + 1) for each in inner.branches)
    return tree


class _Lines:
    """Draws the lines of a tree for one width and one moment."""

    def __init__(self, options: ConsoleOptions, now: float | None) -> None:
        spinner = _ASCII_SPINNER if options.ascii_only else _SPINNER
        signs = _ASCII_SIGNS if options.ascii_only else _SIGNS
        self.signs: dict[Tone, str] = {**signs, "going": spinner[int((now or 0) * _TURNS) % len(spinner)]}
        self.width = options.max_width
        self.is_live = now is not None

    def line(self, branch: Branch, column: int, depth: int) -> Text:
        """Return the line of *branch*, as deep in the tree; detail that has no room is cut while the run goes on."""
        room = self.width - _INDENT * depth - 2
        title, detail = row(branch, column if column <= room // 2 else 0)
        if self.is_live:
            title = self._cut(title, detail, room)
        style = "bold" if depth == 0 else ""
        tone = _STYLES.get(branch.tone, "")
        sign = self.signs.get(branch.tone)
        return Text.assemble(
            (f"{sign} " if sign else "", tone),
            (one_line(title), "bold red" if branch.tone == "bad" else style),
            (one_line(detail), "red" if branch.tone == "bad" else ""),
            no_wrap=self.is_live,
            overflow="ellipsis" if self.is_live else "fold",
        )

    def _cut(self, title: str, detail: str, room: int) -> str:
        """Return *title*, cut if it leaves no room for the beginning of *detail*, which is the time."""
        most = max(room - min(len(detail), max(room // 2, _SHOWN_DETAIL)), _SHOWN_TITLE)
        return title if len(title) <= most else f"{title[: most - 3]}…  "


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
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(label, "cyan"), Text(text))
    return table


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
    usage = recorder.usage
    said = [count(len(recorder.path), "node"), count(usage.requests, "LM request")]
    if usage.input_tokens or usage.output_tokens:
        said.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    if usage.cost:
        said.append(f"${usage.cost:.4f}")
    print_lines(["", arrows(recorder.path), f"{_took(recorder, outcome)}: {', '.join(said)}."])


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
