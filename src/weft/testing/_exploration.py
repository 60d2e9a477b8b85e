"""explore: every way through a graph, walked without a model, and what went wrong on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from .._spec import spec_of
from .._sync import run_in_new_loop
from ..backends._samples import sample
from ..errors import DepError, arrows, describe, reasons_of, sentence
from ..filling import STOP
from ..graph import Graph
from ..nodes import Node
from ..render.text import Branch, lines
from ._scripted import ScriptedLM
from ._search import Search, made_of
from ._trial import AnyGraph, Fills, Kind, Seen, Trial, carry_out

S = TypeVar("S", bound=Node)
Outcome = Literal["done", "planned", "failed"]
_GROUPS: Mapping[Kind, str] = {
    "way": "way through the graph",
    "failing dependency": "dependency made to fail",
    "rejected answer": "answer rejected",
}


class ExplorationError(AssertionError):
    """Raised by `Exploration.check` when a path failed or a part of the graph was not reached."""

    def __init__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        super().__init__("\n".join(exploration.findings()))


class StartNodeError(ValueError):
    """Raised when no start node is given and none can be made up; `message` says why."""

    def __init__(self, node_type: type[Node], reasons: str) -> None:
        self.node_type = node_type
        self.message = sentence(node_type.__name__, f"no start node can be made up: {reasons}")
        super().__init__(node_type, reasons)

    def __str__(self) -> str:
        return f"{self.message} Pass one: explore(graph, start)."


@dataclass(frozen=True, slots=True)
class ExploredPath:
    """One way through the graph: the nodes visited, what was tried, and how it ended.

    `kind` says what was tried above all, and `tried` what else than the nearest end and made-up values. `outcome` is
    ``"planned"`` where the run failed because it was made to, and said so, and ``"failed"`` where nothing but the graph
    explains it; `error` is what it raised.
    """

    kind: Kind
    nodes: tuple[str, ...]
    tried: str
    outcome: Outcome
    error: BaseException | None = None
    start: Node | None = field(default=None, repr=False)
    script: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]], repr=False)

    def scripted_lm(self) -> ScriptedLM:
        """Return an LM that answers as on this path, to go it again from `start` in a test or a debugger."""
        return ScriptedLM(self.script.get("fill"), routes=self.script.get("choose"))

    def to_json(self) -> dict[str, Any]:
        """Return the path as JSON values."""
        error = None if self.error is None else {"type": type(self.error).__name__, "message": str(self.error)}
        told = {"kind": self.kind, "nodes": list(self.nodes), "tried": self.tried, "outcome": self.outcome}
        return {**told, "error": error}

    @property
    def finding(self) -> str:
        """What failed where, in one line."""
        tried = f" ({self.tried})" if self.tried else ""
        return f"{arrows(self.nodes)}{tried}: {describe(self.error)}" if self.error is not None else ""

    def branch(self) -> Branch:
        """Return the path as a line of a picture."""
        if self.kind == "way":
            return Branch(arrows(self.nodes), self.tried)
        ended = f"{type(self.error).__name__}, as it should" if self.error is not None else "the run ended well"
        return Branch(self.tried, ended)


@dataclass(frozen=True, slots=True)
class Exploration:
    """What `explore` found: the paths taken, and the nodes and edges that no path reached.

    An edge leads from a node's name to another's, or to ``"None"`` for a stop. `runs` counts the runs made: those that
    took a known path with other values are not listed. `is_complete` says whether all was tried that there was.
    """

    paths: tuple[ExploredPath, ...]
    unreached_nodes: tuple[str, ...]
    unreached_edges: tuple[tuple[str, str], ...]
    runs: int
    is_complete: bool

    @property
    def failures(self) -> tuple[ExploredPath, ...]:
        """The paths that failed without having been made to."""
        return tuple(path for path in self.paths if path.outcome == "failed")

    def findings(self) -> list[str]:
        """Return a line for each failure, and for each node and edge that was not reached."""
        return [*(path.finding for path in self.failures), *self._unreached()]

    def _unreached(self) -> Iterator[str]:
        for name in self.unreached_nodes:
            yield sentence(name, "no run reached this node")
        for node, following in self.unreached_edges:
            if following not in self.unreached_nodes:
                yield sentence(node, f"no run went from here to {'an end' if following == STOP else following}")

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
            "runs": self.runs,
            "is_complete": self.is_complete,
        }

    def picture(self) -> tuple[Branch, ...]:
        """Return the table as a branch for each kind of path, and one for what was found."""
        well = [path for path in self.paths if path.outcome != "failed"]
        groups = [_group(noun, [path for path in well if path.kind == kind]) for kind, noun in _GROUPS.items()]
        findings = tuple(Branch(line, tone="bad") for line in self.findings())
        found = [Branch(_count(len(findings), "finding"), tone="bad", branches=findings)] if findings else []
        return (*(group for group in groups if group.branches), *found)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        nodes, edges = len(self.unreached_nodes), len(self.unreached_edges)
        reached = f"{_count(nodes, 'node')} and {_count(edges, 'edge')} not reached"
        reached = reached if nodes or edges else "every node and edge reached"
        cut = "" if self.is_complete else " There is more to try: raise max_paths."
        return f"{_count(self.runs, 'run')}: {_count(len(self.failures), 'failure')}, {reached}.{cut}"

    def __str__(self) -> str:
        return "\n".join([*lines(self.picture()), self.summary])


def _group(noun: str, paths: Sequence[ExploredPath]) -> Branch:
    return Branch(_count(len(paths), noun), branches=tuple(path.branch() for path in paths))


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    first, space, rest = noun.partition(" ")
    plural = f"{first[:-1]}ies" if first.endswith("y") and not first.endswith("ay") else f"{first}s"
    return f"{number:,} {plural}{space}{rest}"


def explore(
    graph: Graph[S, Any],
    start: S | None = None,
    max_paths: int = 200,
    *,
    fills: Fills | None = None,
    max_steps: int | None = 25,
    timeout: float | None = 10,
) -> Exploration:
    """Walk every way through *graph* without a model, and return what was found.

    Every option of every choice is taken, loops are left at once and after one and two rounds, each dependency is made
    to fail once, each answer of the LM is rejected, once and every time, and the values that it writes, and that code
    decides by, are varied to their edges. Dependencies are called for real: put fakes in their place with
    `Graph.override` around this call.

    Args:
        graph: The graph.
        start: The start node; without it one is made up from its types, and varied like what the LM writes.
        max_paths: How many runs may be made; those that show most come first.
        fills: Plain fields of a node, by its class, that cannot be made up, since a validator wants something special.
        max_steps: Nodes that a run may visit.
        timeout: Seconds that a run may take.

    Raises:
        RuntimeError: in a running event loop, where `aexplore` is awaited instead.
        StartNodeError: if no start node is given and none can be made up.

    Example:
        >>> from weft import Graph, Node
        >>> from weft.testing import explore
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer | Refusal": ...
        >>> class Answer(Node):
        ...     is_sure: bool
        >>> class Refusal(Node):
        ...     reason: str
        >>> found = explore(Graph(start=Question), Question(text="Why?"))
        >>> found.failures, found.unreached_edges, found.is_complete
        ((), (), True)
        >>> sorted({path.nodes for path in found.paths if path.outcome == "done"})
        [('Question', 'Answer'), ('Question', 'Refusal')]
    """
    options: dict[str, Any] = {"fills": fills, "max_steps": max_steps, "timeout": timeout}
    return run_in_new_loop("explore()", "await aexplore(...)", lambda: aexplore(graph, start, max_paths, **options))


async def aexplore(
    graph: Graph[S, Any],
    start: S | None = None,
    max_paths: int = 200,
    *,
    fills: Fills | None = None,
    max_steps: int | None = 25,
    timeout: float | None = 10,
) -> Exploration:
    """Walk every way through *graph*, in a running event loop; arguments and result are those of `explore`."""
    if max_paths < 1:
        msg = f"max_paths={max_paths}: at least one run must be allowed."
        raise ValueError(msg)
    made_up = None if start is not None else _made_up(graph, fills or {})
    first = Trial(start if start is not None else _start(graph, made_up))
    search, found, runs = Search(graph, fills or {}, made_up), _Found(), 0
    trial: Trial | None = first
    while trial is not None and runs < max_paths:
        seen = await carry_out(graph, trial, fills=fills or {}, max_steps=max_steps, timeout=timeout)
        runs += 1
        found.add(seen, is_fresh=search.learn(seen))
        trial = search.next()
    nodes, edges = _all_of(graph)
    return Exploration(
        tuple(found.paths),
        tuple(name for name in nodes if name not in search.nodes),
        tuple(edge for edge in edges if edge not in search.edges),
        runs,
        is_complete=trial is None,
    )


def _made_up(graph: AnyGraph, fills: Fills) -> Mapping[str, Any]:
    return {**sample(spec_of(graph.start).schema, graph.start.__name__), **fills.get(graph.start, {})}


def _start(graph: AnyGraph, made_up: Any) -> Node:
    try:
        return made_of(graph.start, made_up)
    except ValidationError as error:
        raise StartNodeError(graph.start, "; ".join(reasons_of(error))) from error


def _all_of(graph: AnyGraph) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the names of *graph*'s nodes and edges, in the order in which they are found from the start."""
    visits = graph.topology.visits
    edges = [
        (cls.__name__, STOP if following is None else following.__name__)
        for cls, visit in visits.items()
        for following in visit.offered
        if visit.route.candidates
    ]
    return [cls.__name__ for cls in visits], edges


class _Found:
    """The paths worth telling: each way once, and whatever failed or was made to fail."""

    def __init__(self) -> None:
        self.paths: list[ExploredPath] = []
        self._ways: set[tuple[str, ...]] = set()
        self._failures: set[tuple[tuple[str, ...], str]] = set()

    def add(self, seen: Seen, *, is_fresh: bool) -> None:
        """Keep what *seen* shows, unless it is known."""
        path = _path(seen)
        if path.outcome == "failed":
            # The same failure with other values says nothing more.
            failure = (path.nodes, type(path.error).__name__)
            is_new = failure not in self._failures
            self._failures.add(failure)
        else:
            is_new = is_fresh or bool(seen.trial.rejected or seen.trial.planned) or path.nodes not in self._ways
        if is_new and not (seen.trial.is_supposed and not is_fresh):
            self.paths.append(path)
        self._ways.add(path.nodes)


def _path(seen: Seen) -> ExploredPath:
    error = seen.error
    outcome: Outcome = "done" if error is None else "planned" if seen.is_planned else "failed"
    if outcome == "planned" and (closing := _failed_closing(seen)) is not None:
        outcome, error = "failed", closing
    trial = seen.trial
    return ExploredPath(trial.kind, tuple(seen.nodes), trial.what, outcome, error, trial.start, seen.script)


def _failed_closing(seen: Seen) -> DepError | None:
    """Return the first failure of a resource to close, where the run failed for another reason."""
    for name, failure in seen.closing:
        if failure is not seen.trial.planned:
            error = DepError(f"closing it raised {describe(failure)}", "The code after its yield failed.", path=[name])
            error.__cause__ = failure
            return error
    return None
