"""What an exploration found: the ways taken, what failed, what was not reached, as text and as data."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .._event import jsonable
from .._requests import STOP
from ..errors import WeftError, arrows, describe, sentence
from ..nodes import Node
from ..render.text import Branch, lines
from ._scripted import ScriptedLM
from ._trial import Kind, causes

Outcome = Literal["done", "planned", "failed"]
_GROUPS: Mapping[Kind, tuple[str, str]] = {
    "way": ("way through the graph", "ways through the graph"),
    "failing dependency": ("dependency made to fail", "dependencies made to fail"),
    "rejected answer": ("answer rejected", "answers rejected"),
}
_OURS = str(Path(__file__).parents[1])


class ExplorationError(AssertionError):
    """Raised by `Exploration.check` when a path failed or a part of the graph was not reached."""

    def __init__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        super().__init__("\n".join(exploration.findings()))


def place_of(error: BaseException) -> str:
    """Return the file and line of the user's code that raised what *error* began with; nothing if there is none."""
    *_, origin = causes(error)
    frames = [each for each in traceback.extract_tb(origin.__traceback__) if not each.filename.startswith(_OURS)]
    if isinstance(origin, WeftError) or not frames:
        return ""
    path = Path(frames[-1].filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{frames[-1].lineno}"


@dataclass(frozen=True, slots=True)
class ExploredPath:
    """One way through the graph: the nodes visited, what was tried, and how it ended.

    `kind` says what was tried above all, `subject` of what, and `tried` all that differs from the nearest end and from
    made-up values. `outcome` is ``"planned"`` where the run failed because it was made to, and said so, and
    ``"failed"`` where nothing but the graph explains it; `error` is what it raised.
    """

    kind: Kind
    nodes: tuple[str, ...]
    tried: str
    subject: str
    outcome: Outcome
    error: BaseException | None = None
    start: Node | None = field(default=None, repr=False)
    script: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]], repr=False)

    def scripted_lm(self) -> ScriptedLM:
        """Return an LM that answers as on this path, to go it again from `start` in a test or a debugger.

        A dependency that was made to fail, or whose value was made up, is to be overridden besides.
        """
        return ScriptedLM(self.script.get("fill"), routes=self.script.get("choose"))

    def to_json(self) -> dict[str, Any]:
        """Return the path as JSON values."""
        error = self.error
        told = None if error is None else {"type": type(error).__name__, "message": str(error), "at": place_of(error)}
        return {
            "kind": self.kind,
            "nodes": list(self.nodes),
            "tried": self.tried,
            "outcome": self.outcome,
            "error": told,
            "start": jsonable(self.start),
            "script": jsonable(self.script),
        }

    @property
    def finding(self) -> str:
        """What failed where, in one line."""
        if self.error is None:
            return ""
        tried = f" ({self.tried})" if self.tried else ""
        place = place_of(self.error)
        return f"{arrows(self.nodes)}{tried}: {describe(self.error)}{f', at {place}' if place else ''}"

    def branch(self, ways: set[tuple[str, ...]]) -> Branch:
        """Return the path as a line of a picture; *ways* are those that the picture tells anyway."""
        if self.kind == "way":
            return Branch(arrows(self.nodes), self.tried)
        ended = "the run ended well" if self.nodes in ways else f"the run ended well: {arrows(self.nodes)}"
        if self.error is not None:
            ended = f"{type(self.error).__name__}, as it should"
        besides = self.tried.removesuffix(self.subject).removesuffix(", ")
        return Branch(self.subject, f"{ended}, with {besides}" if besides else ended)


@dataclass(frozen=True, slots=True)
class Exploration:
    """What `explore` found: the paths taken, and the nodes and edges that no path reached.

    An edge leads from a node's name to another's, or to ``"None"`` for a stop. `remarks` tell what may be why something
    was not reached. `runs` counts the runs made: those that took a known path with other values are not listed.
    `is_complete` says whether all was tried that there was.
    """

    paths: tuple[ExploredPath, ...]
    unreached_nodes: tuple[str, ...]
    unreached_edges: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    runs: int
    is_complete: bool

    @property
    def failures(self) -> tuple[ExploredPath, ...]:
        """The paths that failed without having been made to."""
        return tuple(path for path in self.paths if path.outcome == "failed")

    def findings(self) -> list[str]:
        """Return a line for each failure, and for each node and edge that was not reached."""
        unreached = list(self._unreached())
        return [*(path.finding for path in self.failures), *unreached, *(self.remarks if unreached else ())]

    def _unreached(self) -> Iterator[str]:
        hint = "Give a start node, or fills=, that leads there." if self.is_complete else ""
        for name in self.unreached_nodes:
            yield sentence(name, "no run reached this node", hint)
        for node, following in self.unreached_edges:
            if following not in self.unreached_nodes:
                end = "an end" if following == STOP else following
                yield sentence(node, f"no run went from here to {end}", hint)

    def check(self) -> None:
        """Raise ExplorationError if anything failed or was not reached."""
        if self.findings():
            raise ExplorationError(self)

    def to_json(self) -> dict[str, Any]:
        """Return what was found as JSON values."""
        return {
            "paths": [path.to_json() for path in self.paths],
            "unreached_nodes": list(self.unreached_nodes),
            "unreached_edges": [list(edge) for edge in self.unreached_edges],
            "remarks": list(self.remarks),
            "runs": self.runs,
            "is_complete": self.is_complete,
        }

    def picture(self) -> tuple[Branch, ...]:
        """Return the table as a branch for each kind of path, and one for what was found."""
        well = [path for path in self.paths if path.outcome != "failed"]
        ways = {path.nodes for path in well if path.kind == "way"}
        groups = [_group(kind, [path for path in well if path.kind == kind], ways) for kind in _GROUPS]
        findings = tuple(Branch(line, tone="bad") for line in self.findings())
        count = _count(len(findings), ("finding", "findings"))
        found = [Branch(count, tone="bad", branches=findings)] if findings else []
        return (*(group for group in groups if group.branches), *found)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        nodes = _count(len(self.unreached_nodes), ("node", "nodes"))
        edges = _count(len(self.unreached_edges), ("edge", "edges"))
        reached = "every node and edge reached"
        if self.unreached_nodes or self.unreached_edges:
            reached = f"{nodes} and {edges} not reached"
        cut = "" if self.is_complete else " There is more to try: raise max_paths or max_seconds."
        failed = _count(len(self.failures), ("failure", "failures"))
        return f"{_count(self.runs, ('run', 'runs'))}: {failed}, {reached}.{cut}"

    def __str__(self) -> str:
        return "\n".join([*lines(self.picture()), self.summary])


def _group(kind: Kind, paths: Sequence[ExploredPath], ways: set[tuple[str, ...]]) -> Branch:
    return Branch(_count(len(paths), _GROUPS[kind]), branches=tuple(path.branch(ways) for path in paths))


def _count(number: int, nouns: tuple[str, str]) -> str:
    return f"{number:,} {nouns[0] if number == 1 else nouns[1]}"
