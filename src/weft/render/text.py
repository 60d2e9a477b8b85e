"""A graph as lines of text: its nodes in order, each with its fields, their sources, and where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import name_of, shorten
from ..topology import Topology
from .outline import NodeOutline, Value, outline

_MAX_COLUMN = 44
_MAX_DEPTH = 12
_SHOWN_DESCRIPTION = 100


Tone = Literal["plain", "good", "bad", "quiet", "going", "waiting"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of a picture, in two columns, and the lines that hang under it."""

    title: str
    detail: str = ""
    tone: Tone = "plain"
    branches: tuple[Branch, ...] = ()


def column_of(branches: Iterable[Branch]) -> int:
    """Return where the second column of lines that stand under each other begins; very long titles reach into it."""
    widths = [len(branch.title) for branch in branches if branch.detail]
    return max((width for width in widths if width <= _MAX_COLUMN), default=0)


def row(branch: Branch, column: int) -> tuple[str, str]:
    """Return the line of *branch* as its title, padded to *column*, and its detail."""
    return (f"{branch.title:<{column}}  ", branch.detail) if branch.detail else (branch.title, "")


def lines(branches: Sequence[Branch], indent: str = "") -> Iterator[str]:
    """Yield *branches* as plain lines, what hangs under a line being indented."""
    column = column_of(branches)
    for branch in branches:
        yield indent + "".join(row(branch, column))
        yield from lines(branch.branches, f"{indent}  ")


def picture(topology: Topology) -> tuple[Branch, ...]:
    """Return *topology* as a branch for each node, in the order in which they are found from the start."""
    return tuple(_node(each) for each in outline(topology, _MAX_DEPTH))


def _node(node: NodeOutline) -> Branch:
    said = [*(["start"] if node.is_start else []), *([f"LM {node.lm}"] if node.lm else [])]
    return Branch(node.name, ", ".join(said), branches=(*map(_value, node.values), _route(node)))


def _value(value: Value) -> Branch:
    said = f"{value.source}: {shorten(value.description, _SHOWN_DESCRIPTION)}" if value.description else value.source
    return Branch(value.title, said, branches=tuple(map(_value, value.values)))


def _route(node: NodeOutline) -> Branch:
    ends = ["end"] if node.may_end else []
    title = f"→ {' | '.join([*map(name_of, node.following), *ends])}"
    return Branch(title, node.said_of_route, branches=tuple(map(_value, node.parameters)))
