"""What people see: pictures, results, errors. Text from models and users is shown as it is, never as markup."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..errors import describe, shorten
from ..nodes import Node, injected_fields
from ..render.text import Branch, column_of, lines, row
from ._document import json_of
from ._errors import one_line, several_lines, traceback_of
from ._outcome import Outcome
from ._trace import Recorder, duration

_STYLES = {"plain": "", "bad": "red", "quiet": "dim"}
_SHOWN_INJECTED = 120
_SHOWN_AT_LEAST = 40
_MAX_DEPTH = 12
_NARROWEST_COLUMN = 16

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
Row = tuple[str, str, str]


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_lines(shown: Sequence[str]) -> None:
    """Print each of *shown* as one line."""
    console = _console()
    for line in shown:
        _print_line(console, Text(one_line(line)))


def _print_line(console: Console, line: Text) -> None:
    """Print one line: folded between words to fit a terminal, and never broken elsewhere."""
    console.print(line, soft_wrap=not console.is_terminal)


# --- Pictures


def print_branches(branches: Sequence[Branch]) -> None:
    """Print trees on a terminal, indented lines elsewhere."""
    console = _console()
    if not console.is_terminal:
        print_lines(list(lines(branches)))
        return
    column = column_of(branches)
    for branch in branches:
        console.print(_tree(branch, column))


def _tree(branch: Branch, column: int) -> Tree:
    tree = Tree(_label(branch, column, "bold"), guide_style="dim")
    todo = [(tree, branch)]
    while todo:
        around, inner = todo.pop()
        below = column_of(inner.branches)
        todo.extend((around.add(_label(each, below)), each) for each in inner.branches)
    return tree


def _label(branch: Branch, column: int, style: str = "") -> _Label:
    title, detail = row(branch, column)
    tone = _STYLES[branch.tone]
    return _Label(Text(one_line(title), f"{style} {tone}".strip()), Text(one_line(detail), tone or "dim"))


@dataclass(frozen=True, slots=True)
class _Label:
    """A line in two columns: a long detail goes on below itself, where there is room for a column of it."""

    title: Text
    detail: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        room = options.max_width - self.title.cell_len
        longest = max(map(cell_len, self.detail.plain.split()), default=0)
        if self.detail.cell_len <= room or room < max(longest, _NARROWEST_COLUMN):
            yield Text.assemble(self.title, self.detail)
        else:
            yield _columns(self.title, self.detail)


# --- Results


def print_result(node: Node) -> None:
    """Print a node's fields: those the LM or the caller wrote in full, the others in a line."""
    console = _console()
    console.print(Text(type(node).__name__, "bold"))
    for indent, label, text in _result_rows(node, console.width if console.is_terminal else _SHOWN_INJECTED):
        if console.is_terminal:
            console.print(_hanging(indent + label, text))
        else:
            _print_line(console, Text(f"{indent}{label}{text}"))


def _hanging(label: str, text: str) -> Table:
    """Return a line whose text, where it is too long for the terminal, goes on below itself."""
    return _columns(Text(label, "cyan"), Text(text))


def _columns(label: Text, text: Text) -> Table:
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(label, text)
    return table


def _result_rows(node: Node, width: int) -> Iterator[Row]:
    injected = injected_fields(type(node))
    values: Json = json_of(node)
    if not isinstance(values, dict):
        yield from _rows("", values, "  ")
        return
    for name, value in values.items():
        if name in injected:
            label = f"{one_line(name)}: "
            shown = shorten(json.dumps(value, ensure_ascii=False), max(width - len(label) - 2, _SHOWN_AT_LEAST))
            yield "  ", label, shown
        else:
            yield from _rows(f"{one_line(name)}:", value, "  ")


def _rows(label: str, value: Json, indent: str) -> Iterator[Row]:
    """Yield the lines of a JSON value, nested ones indented."""
    inner = _inside(value) if len(indent) <= 2 * _MAX_DEPTH else []
    if inner:
        yield indent, label, ""
        for key, each in inner:
            yield from _rows(key, each, f"{indent}  ")
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


def print_summary(recorder: Recorder, visited: int) -> None:
    """Print what the run took."""
    usage = recorder.usage
    said = [count(visited, "node"), count(usage.requests, "LM request")]
    if usage.input_tokens or usage.output_tokens:
        said.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    if usage.cost:
        said.append(f"${usage.cost:.4f}")
    print_lines(["", f"Done in {duration(recorder.seconds)}: {', '.join(said)}."])


def count(number: int, noun: str) -> str:
    """Return *number* and *noun* as people say it: ``1 node``, ``2 nodes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# --- Errors and warnings


def complain(said: Sequence[str], error: BaseException | None = None, word: str = "Error") -> None:
    """Print each of *said*, after *word*, as one line on standard error, below the traceback of *error*."""
    console = _console(stderr=True)
    for line in traceback_of(error) if error is not None else ():
        console.print(Text(line), soft_wrap=True)
    start = Text(f"{word}: " if word else "", "bold red" if word == "Error" else "bold yellow")
    for line in said:
        _print_line(console, Text.assemble(start, one_line(line)))


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
