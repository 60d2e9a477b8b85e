"""A graph of nodes, checked when it is made, to be looked at and run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Collection, Generator, Hashable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from . import _hints
from ._accounts import Budget
from ._calls import Limiters, LMChoice
from ._engine import Settings
from ._graph_run import GraphResult, GraphRun, Options, check_keys, enclosing_place
from ._plan import Substitute
from ._run import Place
from ._scope import until_done
from ._spec import kind_of
from ._sync import run_in_new_loop
from .backends import lm_named
from .errors import name_of, sentence, what_is, with_article
from .events import Event
from .lm import LM
from .nodes import Node
from .render.mermaid import mermaid
from .render.svg import svg
from .topology import Topology, discover

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["Graph", "GraphResult"]

S = TypeVar("S", bound=Node)
E = TypeVar("E")
S0 = TypeVar("S0", bound=Node)
E0 = TypeVar("E0")
Provided = Mapping[Callable[..., Any] | type[Node], Any]


@dataclass(frozen=True, slots=True)
class _Override:
    graph: Graph[Any, Any]
    functions: Mapping[Hashable, Callable[..., Any]]
    lm: LM | str | None


_overrides: ContextVar[tuple[_Override, ...]] = ContextVar("weft_overrides", default=())


class Graph(Generic[S, E]):
    """A typed agent graph, found from its start node by return annotations and checked as a whole.

    Args:
        start: The first node's class; its plain fields come from the caller.
        end: The class, or union of classes, that a run may stop at. It types the result and must cover them all.
        lm: The LM of nodes that name none, unless a run names another.
        max_concurrency: How many LM calls this graph may have under way at once, in all its runs together.
        budget: The most that the LM calls of each run may use, unless the run names another budget.

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
    ) -> None: ...
    def __init__(
        self,
        start: Any,
        end: Any = None,
        *,
        lm: LM | str | None = None,
        max_concurrency: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        if max_concurrency is not None and max_concurrency < 1:
            msg = f"max_concurrency={max_concurrency}: at least one LM call must be allowed."
            raise ValueError(msg)
        if lm is not None and not isinstance(lm, str):
            lm_named(lm)
        self._around = _hints.surroundings(1)
        self._end = end
        self._lm = lm
        self._max_concurrency = max_concurrency
        self._budget = budget
        self._topology = discover(start, end, self._around)
        self._variants: dict[frozenset[tuple[Hashable, Substitute]], Topology] = {}
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

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
        return mermaid(self._topology)

    def to_svg(self) -> str:
        """Return the graph as an SVG picture: fields, their sources, and who chooses what follows.

        It holds all it needs, and follows the reader's choice of light or dark.
        """
        return svg(self._topology)

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
        return run_in_new_loop("Graph.run()", "await graph.arun(...)", run)

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
        self._check_arguments(start, on_event)
        place = enclosing_place()
        execution = self._execution(
            place, Options(lm, {} if provide is None else provide, timeout, max_steps, budget, on_event)
        )
        await execution.execute(start)
        return execution.result()

    async def stream(
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
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        limits: dict[str, Any] = {"timeout": timeout, "max_steps": max_steps, "budget": budget}
        run = asyncio.ensure_future(self.arun(start, lm=lm, provide=provide, on_event=queue.put_nowait, **limits))
        run.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            run.cancel()
            await until_done([run])
        run.result()

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
        check_keys("override", functions or {})
        functions = dict(functions or {})
        for function, stand_in in functions.items():
            if not callable(stand_in):
                what = f"what stands in for {name_of(function)} is {what_is(stand_in)}, which is not callable"
                raise TypeError(sentence("override", what, "For a value, use run(provide=...)."))
        self._variant({key: Substitute(0, function) for key, function in functions.items()})
        token = _overrides.set((*_overrides.get(), _Override(self, functions, lm)))
        try:
            yield
        finally:
            _overrides.reset(token)

    # --- Making a run ---

    def _check_arguments(self, start: Any, on_event: Any) -> None:
        name = self.start.__name__
        if type(start) is not self.start and type(start).__name__ == name:
            msg = f"This graph starts with another class called {name}; a notebook's cell run twice makes two. "
            raise TypeError(f"{msg}Make the graph, and the node, again.")
        if type(start) is not self.start:
            msg = f"This graph starts with {with_article(name)}, not {what_is(start)}. Write: graph.run({name}(...))."
            raise TypeError(msg)
        if on_event is not None and not callable(on_event):
            hint = "Pass a function that takes an event."
            raise TypeError(sentence("on_event", f"{what_is(on_event)} is not callable", hint))
        if on_event is not None and kind_of(on_event) != "sync":
            msg = "on_event is called on the event loop and must not be async. Use graph.stream() to await."
            raise TypeError(msg)

    def _execution(self, place: Place | None, options: Options) -> GraphRun[E]:
        outer = cast("GraphRun[Any] | None", place.visit.run if place else None)
        overriding = [each for each in _overrides.get() if each.graph is self]
        substitutes = dict(outer.substitutes) if outer else {}
        layer = len(outer.scopes) if outer else 0
        for each in overriding:
            substitutes.update({key: Substitute(layer, function) for key, function in each.functions.items()})
        substitutes.update({key: Substitute(layer) for key in options.provide})
        settings = Settings(
            lms=LMChoice(
                next((each.lm for each in reversed(overriding) if each.lm is not None), None),
                options.lm,
                self._lm,
                outer.lms if outer else None,
            ),
            limiters=(outer.limiters if outer else Limiters()).with_one(self._semaphore()),
            provided={**(outer.provided if outer else {}), **options.provide},
            listener=options.on_event,
            max_steps=options.max_steps,
            timeout=options.timeout,
            budget=options.budget or self._budget,
        )
        topology = self._variant(substitutes)
        return GraphRun(topology, settings, place, substitutes)

    def _variant(self, substitutes: Mapping[Hashable, Substitute]) -> Topology:
        """Return the graph with stand-ins for dependencies; raises GraphError if they do not fit."""
        if not substitutes:
            return self._topology
        key = frozenset(substitutes.items())
        known = self._variants.get(key)
        if known is None:
            if len(self._variants) >= _KEPT_VARIANTS:
                self._variants.clear()
            known = self._variants[key] = discover(self.start, self._end, self._around, substitutes)
        return known

    def _semaphore(self) -> asyncio.Semaphore | None:
        if self._max_concurrency is None:
            return None
        return self._semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._max_concurrency))


_KEPT_VARIANTS = 64
