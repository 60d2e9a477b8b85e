"""A graph of nodes, checked when it is made, to be looked at and run."""

from __future__ import annotations

import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from . import _hints, _later
from ._accounts import Budget
from ._event import Event
from ._results import BatchItem, BatchProgress, GraphResult
from .backends import lm_named
from .errors import sentence
from .lm import LM, Routing, check_routing
from .nodes import Node

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from ._prefetch import Prefetch
    from ._runs import Runs
    from .topology import Topology

__all__ = ["Graph", "GraphResult"]

S = TypeVar("S", bound=Node)
E = TypeVar("E")
S0 = TypeVar("S0", bound=Node)
E0 = TypeVar("E0")
Provided = Mapping[Callable[..., Any] | type[Node], Any]


class Graph(Generic[S, E]):
    """A typed agent graph, found from its start node by return annotations and checked as a whole.

    Args:
        start: The first node's class; its plain fields come from the caller.
        end: The class, or union of classes, that a run may stop at. It types the result and must cover them all.
        lm: The LM of nodes that name none, unless a run names another.
        max_concurrency: How many LM calls this graph may have under way at once, in all its runs together.
        budget: The most that the LM calls of each run may use, unless the run names another budget.
        prefetch: Which dependencies may begin while the LM fills or chooses: ``"certain"``, those of nodes that come
            next in any case; ``"candidates"``, also those of each candidate of a choice; ``"off"``, none.
        routing: How nodes that do not say it route, where an LM chooses: by ``"two-call"``, or by ``"one-call"``.

    Raises:
        GraphError: with every fault found in the definition.

    Example:
        >>> from weft import Graph, Node
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> graph = Graph(start=Question, end=Answer, lm="offline")
        >>> result = graph.run(Question(text="Why?"))
        >>> [type(node).__name__ for node in result.trace]
        ['Question', 'Answer']
    """

    @overload
    def __init__(
        self: Graph[S0, Node],
        start: type[S0],
        *,
        lm: LM | str | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        prefetch: Prefetch = "certain",
        routing: Routing | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Graph[S0, E0],
        start: type[S0],
        end: TypeForm[E0],
        *,
        lm: LM | str | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        prefetch: Prefetch = "certain",
        routing: Routing | None = None,
    ) -> None: ...
    def __init__(
        self,
        start: Any,
        end: Any = None,
        *,
        lm: LM | str | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
        prefetch: Prefetch = "certain",
        routing: Routing | None = None,
    ) -> None:
        if max_concurrency is not None and max_concurrency < 1:
            msg = f"max_concurrency={max_concurrency}: at least one LM call must be allowed."
            raise ValueError(msg)
        if prefetch not in ("certain", "candidates", "off"):
            raise ValueError(sentence("Graph", f"prefetch={prefetch!r} is not 'certain', 'candidates' or 'off'"))
        if lm is not None and not isinstance(lm, str):
            lm_named(lm)
        check_routing("Graph", routing)
        around = _hints.surroundings(1)
        topology = self._topology = _later.discover(start, end, around)
        self._lm = lm
        self._make_runs: Callable[[], Runs[S, E]] = lambda: _later.Runs(
            topology,
            end,
            around,
            lm=lm,
            max_concurrency=max_concurrency,
            budget=budget,
            prefetch=prefetch,
            routing=routing,
        )

    # --- What it is ---

    @property
    def start(self) -> type[S]:
        """The first node's class."""
        return cast("type[S]", self._topology.start)

    @property
    def nodes(self) -> set[type[Node]]:
        """Every node class that a run may visit."""
        return self._topology.nodes

    @property
    def edges(self) -> dict[type[Node], set[type[Node]]]:
        """The classes that may follow each class."""
        return self._topology.edges

    @property
    def terminal_nodes(self) -> set[type[Node]]:
        """The classes that a run may stop at."""
        return self._topology.terminal_nodes

    @property
    def lm(self) -> LM | str | None:
        """The LM of nodes that name none, as it was given."""
        return self._lm

    @property
    def topology(self) -> Topology:
        """All that was found and checked, for drawing and for tools."""
        return self._topology

    def validate(self) -> list[str]:
        """Return what is only suspicious, one line each; what is wrong has raised already."""
        return list(self._topology.suspicions)

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flow chart."""
        return _later.mermaid(self._topology)

    def to_svg(self) -> str:
        """Return the graph as an SVG picture: fields, their sources, and who chooses what follows.

        It holds all it needs, and follows the reader's choice of light or dark.
        """
        return _later.svg(self._topology)

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return what notebooks show: the picture, and a line where there are none."""
        made = {"image/svg+xml": self.to_svg, "text/plain": self.__repr__}
        wanted = made.keys() & set(made if include is None else include) - set(exclude or ())
        return {kind: made[kind]() for kind in made if kind in wanted}

    def __repr__(self) -> str:
        return f"Graph({self.start.__name__}, {len(self.nodes)} nodes)"

    # --- Running ---

    @property
    def _runs(self) -> Runs[S, E]:
        """What starts its runs, made for the first of them: one, also where two threads begin at once."""
        known: Runs[S, E] | None = self.__dict__.get("_made_runs")
        return known or cast("Runs[S, E]", self.__dict__.setdefault("_made_runs", self._make_runs()))

    def run(
        self,
        start: S,
        *,
        lm: LM | str | None = None,
        provide: Provided | None = None,
        timeout: float | None = None,
        max_steps: int | None = 25,
        budget: Budget | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> GraphResult[E]:
        """Run the graph from *start* and return its result; for code that is not async.

        Arguments and errors are those of `arun`.

        Raises:
            RuntimeError: in a running event loop.
        """
        options: dict[str, Any] = {
            "timeout": timeout,
            "max_steps": max_steps,
            "budget": budget,
            "on_event": on_event,
        }
        run = functools.partial(self.arun, start, lm=lm, provide=provide, **options)
        return _later.run_in_new_loop("Graph.run()", "await graph.arun(...)", run)

    async def arun(
        self,
        start: S,
        *,
        lm: LM | str | None = None,
        provide: Provided | None = None,
        timeout: float | None = None,
        max_steps: int | None = 25,
        budget: Budget | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> GraphResult[E]:
        """Run the graph from *start* and return its result.

        Inside a dependency or a custom body of another run, it is a part of that run: values, LM, limits,
        cancellation and events are shared.

        Args:
            start: The start node; it is not changed.
            lm: The LM of nodes that name none.
            provide: Values for dependencies, by function: they are not called.
            timeout: Seconds the run may take; closing resources comes on top.
            max_steps: Nodes it may visit, the start included; None is no limit.
            budget: The most that its LM calls may use.
            on_event: Called with each event, on the event loop. What it raises ends the run.

        Raises:
            DepError: if a dependency fails; the original is the cause.
            RunError: if the run cannot go on for another reason; its subclasses say which.
            LMError: if a model cannot be asked.
            Exception: what a custom ``__call__`` raised, as it was raised.
        """
        options = _later.Options(lm, {} if provide is None else provide, timeout, max_steps, budget, on_event)
        return await self._runs.run(start, options)

    def stream(
        self,
        start: S,
        *,
        lm: LM | str | None = None,
        provide: Provided | None = None,
        timeout: float | None = None,
        max_steps: int | None = 25,
        budget: Budget | None = None,
    ) -> AsyncIterator[Event]:
        """Run the graph and yield what happens, as it happens; leaving the loop early cancels the run.

        The last event is `RunFinished`; if the run failed, its error is raised after it.
        """
        options = _later.Options(lm, {} if provide is None else provide, timeout, max_steps, budget)
        return self._runs.stream(start, options)

    def map(
        self,
        inputs: Iterable[S] | AsyncIterable[S],
        *,
        concurrency: int = 100,
        ordered: bool = True,
        lm: LM | str | None = None,
        provide: Provided | None = None,
        timeout: float | None = None,
        max_steps: int | None = 25,
        budget: Budget | None = None,
        total_budget: Budget | None = None,
        on_event: Callable[[Event], object] | None = None,
        on_progress: Callable[[BatchProgress], object] | None = None,
    ) -> AsyncGenerator[BatchItem[S, E]]:
        """Run the graph from each of *inputs*, many at a time, and yield an item for each: its result or its error.

        An input is taken only when there is room for its run, so *inputs* may be endless. Whoever takes the items
        slowly slows the batch down: at most twice *concurrency* runs are begun whose items are not taken yet. Leaving
        the loop early cancels the runs in flight; `contextlib.aclosing` around it also waits for their end. Called
        inside another run, the runs are a part of that run, as those of `arun` are.

        Args:
            inputs: The start nodes, from an iterable or an async one.
            concurrency: How many runs may be in flight at once.
            ordered: Yield the items in the order of *inputs*; otherwise as the runs end.
            lm: The LM of nodes that name none.
            provide: Values for dependencies, by function, for every run.
            timeout: Seconds each run may take.
            max_steps: Nodes each run may visit; None is no limit.
            budget: The most that the LM calls of each run may use.
            total_budget: The most that the LM calls of all runs together may use.
            on_event: Called with each event of every run; `run_id` says which.
            on_progress: Called on the event loop whenever a run begins or ends. What it raises ends the batch.

        Raises:
            LMNotConfiguredError: if an LM is needed and none is named; like all that ends a batch, it is raised after
                the items of every run that was begun.
            BudgetExceededError: if *total_budget* is spent.
            TypeError: if an input is no start node of this graph.
            Exception: what *inputs* or *on_progress* raised.
        """
        options = _later.Options(lm, {} if provide is None else provide, timeout, max_steps, budget, on_event)
        how: dict[str, Any] = {"concurrency": concurrency, "ordered": ordered, "on_progress": on_progress}
        return self._runs.map(inputs, options, total_budget=total_budget, **how)

    @contextmanager
    def override(
        self, functions: Mapping[Any, Callable[..., Any]] | None = None, /, *, lm: LM | str | None = None
    ) -> Generator[None]:
        """Let other functions, or another LM, stand in for those of this graph and of the graphs run inside it.

        It holds in this context only: other tasks and threads do not see it. *lm* replaces every LM, pinned ones too.

        Raises:
            GraphError: if the graph would be faulty with them.

        Example:
            >>> from weft import Dep, Graph, Node
            >>> def get_city() -> str:
            ...     return "Oslo"
            >>> class Forecast(Node):
            ...     city: str = Dep(get_city)
            >>> graph = Graph(start=Forecast)
            >>> with graph.override({get_city: lambda: "Rome"}):
            ...     graph.run(Forecast()).result.city
            'Rome'
        """
        with self._runs.override({} if functions is None else functions, lm):
            yield
