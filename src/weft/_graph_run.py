"""A run as a graph starts it: its options, what stands in for what, where it takes place, and what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from ._accounts import Account, Budget
from ._engine import Execution, Settings
from ._plan import Substitute
from ._results import GraphResult
from ._run import Place, current_place
from ._spec import kind_of
from .backends import lm_named
from .errors import Fault, GraphError, name_of, sentence, shorten, what_is
from .events import Event
from .lm import LM
from .topology import Topology

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller says of a run; `account` is what its use is a part of, where that is not the run around it."""

    lm: LM | str | None
    provide: Mapping[Any, Any]
    timeout: float | None
    max_steps: int | None
    budget: Budget | None
    on_event: Callable[[Event], object] | None = None
    account: Account | None = None

    def __post_init__(self) -> None:
        if self.lm is not None:
            lm_named(self.lm)
        check_keys("provide", self.provide)
        check_listener("on_event", self.on_event, "Pass a function that takes an event.")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(sentence("run", f"timeout={self.timeout} leaves no time", "Give seconds, more than 0."))
        if self.max_steps is not None and self.max_steps < 1:
            msg = f"max_steps={self.max_steps}: a run visits at least its start node."
            raise ValueError(msg)


class GraphRun(Execution, Generic[E]):
    """A run that knows what stands in for what, and gives a GraphResult."""

    def __init__(
        self,
        topology: Topology,
        settings: Settings,
        place: Place | None,
        substitutes: Mapping[Hashable, Substitute],
    ) -> None:
        super().__init__(topology, settings, place)
        self.substitutes = substitutes
        self._check_tools()

    def _check_tools(self) -> None:
        """Raise GraphError if a node has tools that its LM cannot let a model call."""
        lms = [(each, self.lms.find(each)) for each in self.topology.with_tools]
        hint = "Use an LM that can, as PydanticAIBackend does, or leave NodeConfig(tools=) out."
        faults = [
            Fault(node, None, f"it has tools, and {name_of(type(lm))} cannot let a model call them", hint)
            for node, lm in lms
            if lm is not None and not getattr(lm, "takes_tools", False)
        ]
        if faults:
            raise GraphError(faults)

    def result(self) -> GraphResult[E]:
        """Return what the run gives."""
        return GraphResult(list(self.trace.nodes), cast("E", self.trace.nodes[-1]), self.usage, self.id)


def check_keys(where: str, given: Any) -> None:
    """Check that what stands for dependencies is told by function or node class; raises TypeError."""
    keys: Any = given
    if not isinstance(given, Mapping):
        hint = "Write: {get_weather: …}."
        raise TypeError(sentence(where, f"this is {what_is(given)}, not a mapping", hint))
    for key in keys:
        if not callable(key):
            hint = "Write it without quotes." if isinstance(key, str) else "Name what the Dep names."
            raise TypeError(sentence(where, f"the key {shorten(repr(key))} is not a function or a Node class", hint))


def check_listener(name: str, listener: Any, hint: str) -> None:
    """Check that *listener*, given as the argument *name*, can be called from the event loop; raises TypeError."""
    if listener is None:
        return
    if not callable(listener):
        raise TypeError(sentence(name, f"{what_is(listener)} is not callable", hint))
    if kind_of(listener) != "sync":
        msg = f"{name} is called on the event loop and must not be async. Use graph.stream() to await."
        raise TypeError(msg)


def enclosing_place() -> Place | None:
    """Return the place this code runs in, if that is inside a run of the same event loop that is still going on."""
    place = current_place.get()
    if place is None:
        return None
    run = place.visit.run
    if not isinstance(run, Execution) or run.loop is not asyncio.get_running_loop():
        return None
    # A value that runs share may outlive the run that started it.
    return place if run.outermost.is_open else None
