"""What the signs and lines of a picture mean, below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .fonts import width_of
from .markup import Markup, element, number
from .outline import Chooser, Kind
from .style import SMALL, WORDS_OF_CHOOSERS, WORDS_OF_KINDS, end_mark, line, sign

_ROW = 20.0
_BETWEEN = 20.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A sign or a line, and what it means; its words begin *room* to the right of its own beginning."""

    mark: Markup
    room: float
    words: str

    @property
    def width(self) -> float:
        """How much it takes of a row."""
        return self.room + width_of(self.words, SMALL) + _BETWEEN


def entries_of_kinds(used: Iterable[Kind]) -> list[Entry]:
    """Return what the signs of sources in a picture mean."""
    kinds = set(used)
    return [Entry(sign(kind, 5, 0), 16, words) for kind, words in WORDS_OF_KINDS.items() if kind in kinds]


def entries_of_choosers(used: Iterable[Chooser], *, with_end: bool) -> list[Entry]:
    """Return what the lines in a picture mean, and its end marks."""
    choosers = set(used)
    lines = [Entry(line("M0 0H30", each), 38, words) for each, words in WORDS_OF_CHOOSERS.items() if each in choosers]
    return [*lines, Entry(end_mark(8, 0, 8), 22, "the run ends")] if with_end else lines


def legend(groups: Iterable[Sequence[Entry]], width: float) -> tuple[Markup, float]:
    """Return *groups* below a rule, each in rows of its own, and how high that is."""
    rows = [row for entries in groups for row in _wrapped(entries, width)]
    said = [element("path", d=f"M0 0H{number(width)}", class_="line-rule", fill="none")]
    for index, row in enumerate(rows, 1):
        x = 0.0
        for entry in row:
            words = element("text", entry.words, x=entry.room, y=4, class_="small fill-dim")
            said.append(element("g", entry.mark, words, transform=f"translate({x:.1f} {index * _ROW:g})"))
            x += entry.width
    return Markup("".join(said)), (len(rows) + 0.5) * _ROW if rows else 0.0


def _wrapped(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    """Return *entries* in as many rows as *width* asks for."""
    rows: list[list[Entry]] = []
    for entry in entries:
        if not rows or sum(each.width for each in (*rows[-1], entry)) - _BETWEEN > width:
            rows.append([])
        rows[-1].append(entry)
    return rows
