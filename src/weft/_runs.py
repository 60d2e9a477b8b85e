"""How a graph starts runs: what stands in for what, which limits hold, and where a run takes place."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Generator,
    Hashable,
    Iterable,
    Mapping,
)
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

from . import _hints
from ._accounts import Budget
from ._batch import Batch, account_of_batch, iterator_of
from ._calls import LMChoice
from ._engine import Settings
from ._graph_run import GraphRun, Options, check_keys, enclosing_place
from ._limits import UNLIMITED, CallLimit
from ._plan import Substitute
from ._prefetch import Prefetch, look_ahead
from ._results import BatchItem, BatchProgress, GraphResult
from ._run import Place
from ._scope import until_done
from .errors import name_of, sentence, what_is, with_article
from .events import Event
from .lm import LM, Routing
from .nodes import Node
from .topology import Topology, discover

S = TypeVar("S", bound=Node)
E = TypeVar("E")
Provided = Mapping[Any, Any]

_KEPT_VARIANTS = 64


class _Override(NamedTuple):
    runs: Runs[Any, Any]
    functions: Mapping[Any, Callable[..., Any]]
    lm: LM | str | None


_overrides: ContextVar[tuple[_Override, ...]] = ContextVar("weft_overrides", default=())


class Runs(Generic[S, E]):
    """The runs of one graph; what its methods do is told at those of `Graph`."""

    def __init__(
        self,
        topology: Topology,
        end: Any,
        around: _hints.Surroundings,
        *,
        lm: LM | str | None,
        max_concurrency: int | None,
        budget: Budget | None,
        prefetch: Prefetch,
        routing: Routing | None,
    ) -> None:
        self._topology = look_ahead(topology, prefetch)
        self._end = end
        self._around = around
        self._lm = lm
        self._max_concurrency = max_concurrency
        self._budget = budget
        self._prefetch: Prefetch = prefetch
        self._routing: Routing | None = routing
        self._variants: dict[frozenset[tuple[Hashable, Substitute]], Topology] = {}
        self._limits: WeakKeyDictionary[asyncio.AbstractEventLoop, CallLimit] = WeakKeyDictionary()

    def run(self, start: S, options: Options) -> Coroutine[Any, Any, GraphResult[E]]:
        """Return a run of the graph from *start*, which gives its result."""
        place = enclosing_place()
        if place is not None and place.is_ahead:
            return self._run_when_needed(place, start, options)
        return self._new_run(options, start).execute(start)

    async def _run_when_needed(self, place: Place, start: S, options: Options) -> GraphResult[E]:
        await place.until_needed()
        result: GraphResult[E] = await self._new_run(options, start).execute(start)
        return result

    async def stream(self, start: S, options: Options) -> AsyncGenerator[Event]:
        """Run the graph and yield what happens; whoever leaves early cancels the run and waits for its end."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        run = asyncio.ensure_future(self.run(start, replace(options, on_event=queue.put_nowait)))
        run.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            run.cancel()
            await until_done([run])
        run.result()

    def map(
        self,
        inputs: Iterable[S] | AsyncIterable[S],
        options: Options,
        *,
        concurrency: int,
        ordered: bool,
        total_budget: Budget | None,
        on_progress: Callable[[BatchProgress], object] | None,
    ) -> AsyncGenerator[BatchItem[S, E]]:
        """Run the graph from each of *inputs* and yield an item for each."""
        account = account_of_batch(concurrency, on_progress, total_budget)
        new_run = functools.partial(self._new_run, replace(options, account=account))
        how: dict[str, Any] = {"concurrency": concurrency, "ordered": ordered, "on_progress": on_progress}
        return Batch(new_run, iterator_of(inputs), account, **how).items()

    @contextmanager
    def override(self, functions: Mapping[Any, Callable[..., Any]], lm: LM | str | None) -> Generator[None]:
        """Let *functions* and *lm* stand in for others; raises GraphError if the graph would be faulty with them."""
        check_keys("override", functions)
        functions = dict(functions)
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

    def _check_start(self, start: Any) -> None:
        wanted = self._topology.start
        name = wanted.__name__
        if type(start) is not wanted and type(start).__name__ == name:
            msg = f"This graph starts with another class called {name}; a notebook's cell run twice makes two. "
            raise TypeError(f"{msg}Make the graph, and the node, again.")
        if type(start) is not wanted:
            msg = f"This graph starts with {with_article(name)}, not {what_is(start)}. Write: graph.run({name}(...))."
            raise TypeError(msg)

    def _new_run(self, options: Options, start: S) -> GraphRun[E]:
        self._check_start(start)
        place = enclosing_place()
        outer = cast("GraphRun[Any] | None", place.visit.run if place else None)
        overriding = [each for each in _overrides.get() if each.runs is self]
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
            limiters=(outer.limiters if outer else UNLIMITED).with_one(self._limit()),
            provided={**(outer.provided if outer else {}), **options.provide},
            listener=options.on_event,
            max_steps=options.max_steps,
            timeout=options.timeout,
            budget=options.budget or self._budget,
            routing=self._routing,
            account=options.account,
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
            variant = discover(self._topology.start, self._end, self._around, substitutes)
            known = self._variants[key] = look_ahead(variant, self._prefetch)
        return known

    def _limit(self) -> CallLimit | None:
        if self._max_concurrency is None:
            return None
        return self._limits.setdefault(asyncio.get_running_loop(), CallLimit(self._max_concurrency))
