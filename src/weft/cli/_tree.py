"""Trees on a terminal: a sign and a colour on each line, cut to one line each while the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..render.text import Branch, Tone, column_of, row
from ._errors import one_line

# Standard colours that both dark and light backgrounds show; each only repeats what a sign and a word say.
_STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "going": "bold cyan"}
_SIGNS: dict[Tone, str] = {"good": "✓", "bad": "✗", "quiet": "-", "waiting": "·"}
_ASCII_SIGNS: dict[Tone, str] = {"good": "+", "bad": "x", "quiet": "-", "waiting": "."}
_SPINNER, _ASCII_SPINNER, _TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "-\\|/", 10
_INDENT = 4
_SHOWN_TITLE = 8
_SHOWN_DETAIL = 12
_NARROWEST_COLUMN = 16


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

    def line(self, branch: Branch, column: int, depth: int) -> Text | _TwoColumns:
        """Return the line of *branch*, as deep in the tree; detail that has no room is cut while the run goes on."""
        room = self.width - _INDENT * depth - 2
        title, detail = row(branch, column if column <= room // 2 else 0)
        if self.is_live:
            title = self._cut(title, detail, room)
        style = "bold" if depth == 0 else ""
        tone = _STYLES.get(branch.tone, "")
        sign, is_bad = self.signs.get(branch.tone), branch.tone == "bad"
        head = Text.assemble((f"{sign} " if sign else "", tone), (one_line(title), "bold red" if is_bad else style))
        tail = Text(one_line(detail), "red" if is_bad else "")
        if not self.is_live:
            return _TwoColumns(head, tail)
        return Text.assemble(head, tail, no_wrap=True, overflow="ellipsis")

    def _cut(self, title: str, detail: str, room: int) -> str:
        """Return *title*, cut if it leaves no room for the beginning of *detail*, which is the time."""
        most = max(room - min(len(detail), max(room // 2, _SHOWN_DETAIL)), _SHOWN_TITLE)
        return title if len(title) <= most else f"{title[: most - 3]}…  "


@dataclass(frozen=True, slots=True)
class _TwoColumns:
    """A line in two columns: a long detail goes on below itself, where there is room for a column of it."""

    title: Text
    detail: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        room = options.max_width - self.title.cell_len
        longest = max(map(cell_len, self.detail.plain.split()), default=0)
        if self.detail.cell_len <= room or room < max(longest, _NARROWEST_COLUMN):
            yield Text.assemble(self.title, self.detail)
        else:
            yield columns(self.title, self.detail)


def columns(label: Text, text: Text) -> Table:
    """Return a line whose text, where it is too long for the terminal, goes on below itself."""
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(label, text)
    return table
