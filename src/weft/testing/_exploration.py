"""explore: every way through a graph, walked without a model, and what went wrong on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from .._requests import STOP
from .._spec import spec_of
from .._sync import run_in_new_loop
from ..backends._samples import sample
from ..errors import DepError, describe, reasons_of, sentence, what_is
from ..graph import Graph
from ..nodes import Node, is_node
from ._report import Exploration, ExploredPath, Outcome, place_of
from ._search import Search, made_of
from ._trial import AnyGraph, Fills, Seen, Trial, carry_out

S = TypeVar("S", bound=Node)
_MAX_REMARKS = 3


class StartNodeError(ValueError):
    """Raised when no start node is given and none can be made up; `message` says why."""

    def __init__(self, node_type: type[Node], reasons: str) -> None:
        self.node_type = node_type
        self.message = sentence(node_type.__name__, f"no start node can be made up: {reasons}")
        super().__init__(node_type, reasons)

    def __str__(self) -> str:
        return f"{self.message} Pass one: explore(graph, start)."


def explore(
    graph: Graph[S, Any],
    start: S | Sequence[S] | None = None,
    max_paths: int = 200,
    *,
    fills: Fills | None = None,
    max_steps: int | None = 25,
    timeout: float | None = 10,
    max_seconds: float | None = 60,
    on_run: Callable[[Exploration], object] | None = None,
) -> Exploration:
    """Walk every way through *graph* without a model, and return what was found.

    Every option of every choice is taken, loops are left at once and after one and two rounds, each dependency is made
    to fail once, each answer of the LM is rejected, once and every time, and the values that it writes, and that code
    decides by, are varied to their edges. Dependencies are called for real: put fakes in their place with
    `Graph.override` around this call.

    Args:
        graph: The graph.
        start: The start node, or several; without it one is made up from its types, and varied like what the LM writes.
        max_paths: How many runs may be made; those that show most come first.
        fills: Plain fields of a node, by its class, that cannot be made up, since a validator wants something special.
        max_steps: Nodes that a run may visit.
        timeout: Seconds that a run may take.
        max_seconds: Seconds after which no further run is begun.
        on_run: Called after each run with what was found so far.

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
    limits: dict[str, Any] = {"max_steps": max_steps, "timeout": timeout, "max_seconds": max_seconds}
    options: dict[str, Any] = {"fills": fills, "on_run": on_run, **limits}
    return run_in_new_loop("explore()", "await aexplore(...)", lambda: aexplore(graph, start, max_paths, **options))


async def aexplore(
    graph: Graph[S, Any],
    start: S | Sequence[S] | None = None,
    max_paths: int = 200,
    *,
    fills: Fills | None = None,
    max_steps: int | None = 25,
    timeout: float | None = 10,
    max_seconds: float | None = 60,
    on_run: Callable[[Exploration], object] | None = None,
) -> Exploration:
    """Walk every way through *graph*, in a running event loop; arguments and result are those of `explore`."""
    known = fills or {}
    starts = _starts(graph, start)
    _check(known, {"max_paths": max_paths, "timeout": timeout, "max_seconds": max_seconds})
    made_up = None if starts else _made_up(graph, known)
    search = Search(graph, known, made_up)
    found, todo = _Found(graph, search), [Trial(each) for each in starts or [_start(graph, made_up)]]
    ends_at = None if max_seconds is None else time.monotonic() + max_seconds
    while (trial := todo.pop(0) if todo else search.next()) is not None:
        if found.runs >= max_paths or (ends_at is not None and time.monotonic() > ends_at):
            return found.exploration(is_complete=False)
        await asyncio.sleep(0)  # a run may never wait: others have their turn, and the exploration can be cancelled
        found.add(await carry_out(graph, trial, fills=known, max_steps=max_steps, timeout=timeout))
        if on_run is not None:
            on_run(found.exploration(is_complete=False))
    return found.exploration(is_complete=True)


def _starts(graph: AnyGraph, start: Any) -> list[Node]:
    several = isinstance(start, list | tuple)
    starts: list[Any] = [] if start is None else [*start] if several else [start]
    for each in starts:
        if type(each) is not graph.start:
            what = f"the graph starts with {graph.start.__name__}, and this is {what_is(each)}"
            raise TypeError(sentence("explore", what, f"Write: explore(graph, {graph.start.__name__}(...))."))
    return starts


def _check(fills: Fills, limits: Mapping[str, float | None]) -> None:
    """Check what explore is given; raises TypeError and ValueError."""
    for name, limit in limits.items():
        if limit is not None and limit <= 0:
            raise ValueError(sentence("explore", f"{name}={limit} allows no run"))
    for node, values in fills.items():
        key: Any = node
        if not is_node(key):
            raise TypeError(sentence("explore", f"the key {key!r} of fills= is not a Node class"))
        strangers = [name for name in values if name not in spec_of(node).plain]
        if strangers:
            what = f"fills= names {', '.join(strangers)}, which {node.__name__} has not as plain fields"
            raise ValueError(sentence("explore", what, f"It has: {', '.join(spec_of(node).plain)}."))


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

    def __init__(self, graph: AnyGraph, search: Search) -> None:
        self.runs = 0
        self._search = search
        self._nodes, self._edges = _all_of(graph)
        self._paths: list[ExploredPath] = []
        self._remarks: dict[str, None] = {}
        self._ways: set[tuple[str, ...]] = set()
        self._failures: set[tuple[tuple[str, ...], str, str]] = set()

    def add(self, seen: Seen) -> None:
        """Keep what *seen* shows, unless it is known."""
        self.runs += 1
        is_fresh = self._search.learn(seen)
        path = _path(seen)
        if path.outcome == "failed" and path.error is not None:
            # The same failure with other values says nothing more.
            failure = (path.nodes, type(path.error).__name__, place_of(path.error) or str(path.error))
            is_new = failure not in self._failures
            self._failures.add(failure)
        else:
            is_new = is_fresh or bool(seen.trial.rejected or seen.trial.planned) or path.nodes not in self._ways
        if seen.trial.is_supposed and seen.error is not None:
            self._remarks[f"Perhaps because of this: {path.finding}"] = None
        elif is_new and (is_fresh or not seen.trial.is_supposed):
            self._paths.append(path)
            self._ways.add(path.nodes)

    def exploration(self, *, is_complete: bool) -> Exploration:
        """Return what was found so far."""
        return Exploration(
            tuple(self._paths),
            tuple(name for name in self._nodes if name not in self._search.nodes),
            tuple(edge for edge in self._edges if edge not in self._search.edges),
            tuple(self._remarks)[:_MAX_REMARKS],
            self.runs,
            is_complete=is_complete,
        )


def _path(seen: Seen) -> ExploredPath:
    error = seen.error
    outcome: Outcome = "done" if error is None else "planned" if seen.is_planned else "failed"
    if outcome == "planned" and (closing := _failed_closing(seen)) is not None:
        outcome, error = "failed", closing
    trial = seen.trial
    return ExploredPath(
        trial.kind, tuple(seen.nodes), trial.what, trial.subject, outcome, error, trial.start, seen.script
    )


def _failed_closing(seen: Seen) -> DepError | None:
    """Return the first failure of a resource to close, where the run failed for another reason."""
    for name, failure in seen.closing:
        if failure is not seen.trial.planned:
            error = DepError(f"closing it raised {describe(failure)}", "The code after its yield failed.", path=[name])
            error.__cause__ = failure
            return error
    return None
