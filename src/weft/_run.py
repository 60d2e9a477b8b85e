"""What a run is while it goes on: the trace, visits of nodes, and the places where the user's code is running."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Hashable, Mapping, Sequence
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from ._plan import Slot
from ._scope import Scope
from ._spec import NodeSpec, recalled, wanted_by
from .errors import RecallError, arrows
from .events import Event
from .lm import LM
from .nodes import Node

if TYPE_CHECKING:
    from ._ahead import Prefetched


class Trace:
    """The nodes visited so far, newest last, each with a serial number that no other entry of the run has."""

    __slots__ = ("nodes", "serials")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.serials: list[int] = []

    @property
    def last(self) -> Node | None:
        """The newest entry, if there is one: the source of what is filled next."""
        return self.nodes[-1] if self.nodes else None

    def append(self, node: Node, serial: int) -> None:
        """Add *node* as the newest entry."""
        self.nodes.append(node)
        self.serials.append(serial)

    def newest(self, slot: Slot) -> tuple[int, Any] | None:
        """Return the position of the newest entry that *slot* recalls and the value, or None."""
        assert slot.recall is not None
        for position in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[position]
            match = slot.found_in.get(type(node))
            if match is None:
                match = slot.found_in[type(node)] = recalled(slot.recall, slot.wanted, type(node))
            if len(match) > 1:
                both, hint = " and ".join(map(str, match)), f"Say which: Recall({type(node).__name__}, 'field')."
                raise RecallError(f"{type(node).__name__} has two that match: {both}", hint, wanted=slot.wanted)
            for name in match:
                if name is None:
                    return position, node
                if name in node.__dict__:
                    return position, node.__dict__[name]
        return None

    def without(self, slot: Slot) -> RecallError:
        """Return the error that nothing here is what *slot* recalls."""
        assert slot.recall is not None
        visited = arrows([type(node).__name__ for node in self.nodes])
        hint = f"Visited: {visited}. Let every path here pass a node that has it." if visited else "The trace is empty."
        message = f"no node visited before has {wanted_by(slot.recall, slot.wanted)}"
        return RecallError(message, hint, wanted=slot.wanted)


class Run(ABC):
    """What a resolution knows of the run it is part of.

    `scopes` begins with the outermost run's and ends with its own; `inside` is the dependency that it runs in.
    """

    loop: asyncio.AbstractEventLoop
    context: Context
    scopes: Sequence[Scope]
    trace: Trace
    inside: Place | None = None
    key: str = ""
    is_listening: bool = False
    provided: Mapping[Any, Any]

    def trace_key(self, step: int, node_type: type[Node]) -> str:
        """Return the key of the visit that is, or will be, at *step* in the trace."""
        place = f"{step}:{node_type.__name__}"
        return f"{self.key}/{place}" if self.key else place

    def owner_of(self, scope: Scope) -> Run:
        """Return the run that *scope* belongs to: this one, or one around it."""
        return self

    def leave(self) -> None:
        """Let go of the place where a value was made last: it leads back here, and no collector should have to see."""
        self.context.run(current_place.set, None)

    def is_out_of_budget(self, error: BaseException) -> bool:
        """Return whether *error* says that this run's budget, or that of one around it, is spent."""
        return False

    def leave_closed_scopes(self) -> None:
        """Keep in its own scope what would belong to a run around this one that is over already."""
        if len(self.scopes) > 1 and any(scope.is_closed for scope in self.scopes):
            own = self.scopes[-1]
            self.scopes = [own if scope.is_closed else scope for scope in self.scopes]

    @abstractmethod
    def fill(
        self, spec: NodeSpec, injected: Mapping[str, Any], key: str, ahead: Prefetched | None = None
    ) -> Awaitable[Node]:
        """Return a node whose plain fields the LM wrote; *ahead* is what is made of it before it is needed."""

    def answers_by_place(self, node_type: type[Node]) -> bool:
        """Return whether what the LM writes into *node_type* depends on where it is asked."""
        return False

    @abstractmethod
    def lm_for(self, key: str) -> LM:
        """Return the LM that the function or body at *key* is given."""

    def emit(self, event_type: type[Event], key: str, parent: str | None, /, **values: Any) -> None:  # noqa: B027
        """Tell the listeners; called only while there are any."""


class Visit:
    """One visit of a node: its key, and the values that live no longer than it."""

    __slots__ = ("_scope", "key", "node_type", "run")

    def __init__(self, run: Run, node_type: type[Node], key: str) -> None:
        self.run = run
        self.node_type = node_type
        self.key = key
        self._scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """The per-visit values, made when first asked for."""
        if self._scope is None:
            self._scope = Scope()
        return self._scope

    def scope_of(self, slot: Slot) -> Scope:
        """Return where *slot*'s value is kept: with the visit, with the run whose trace it read, or further out."""
        if slot.per_visit:
            return self.scope
        return self.run.scopes[-1 if slot.reads_trace else slot.layer]

    def is_shared(self, slot: Slot) -> bool:
        """Return whether *slot*'s value belongs to a run around this one."""
        return not (slot.per_visit or slot.reads_trace or slot.layer == len(self.run.scopes) - 1)

    @property
    def has_resources(self) -> bool:
        """Whether anything must be closed when the visit ends."""
        return self._scope is not None and bool(self._scope.resources)


class Place:
    """Where code of the user's is running: a dependency, or a body. Graphs run inside it find it in `current_place`.

    `waits_for` holds what those runs wait for at the moment; it and `runs` are None until the first one starts.
    """

    runs: int | None = None
    waits_for: list[Place] | None = None
    visit: Visit
    key: str
    is_ahead: bool = False

    async def until_needed(self) -> None:
        """Wait until what is made here is needed: it is, unless it is made ahead."""

    @property
    def dependency(self) -> Place | None:
        """The dependency that waits for what runs here, if any does."""
        return self

    def key_of_shared(self, slot: Slot) -> str | None:
        """Return the place that the visited node has for *slot*'s value, if it needs that value too."""
        return None

    def is_making(self, scope: Scope, kept_as: Hashable) -> bool:
        """Return whether it is the value kept there that is being made here."""
        return False

    def is_inside_of(self, scope: Scope, kept_as: Hashable) -> bool:
        """Return whether the value kept there is being made here, or around here."""
        place: Place | None = self
        while place is not None and not place.is_making(scope, kept_as):
            place = place.visit.run.inside
        return place is not None

    def next_run_key(self) -> str:
        """Return the key of the next run inside this place."""
        self.runs = (self.runs or 0) + 1
        return f"{self.key}/run" if self.runs == 1 else f"{self.key}/run#{self.runs}"

    def is_waiting_for(self, other: Place) -> bool:
        """Return whether this place can go on only when *other* does."""
        todo: list[Place] = [self]
        seen: set[Place] = set()
        while todo:
            place = todo.pop()
            if place is other:
                return True
            if place not in seen:
                seen.add(place)
                todo.extend(place.waits_for or ())
        return False

    def wait_for(self, other: Place) -> None:
        """Keep that a run inside this place waits for *other*."""
        if self.waits_for is None:
            self.waits_for = []
        self.waits_for.append(other)

    def stop_waiting_for(self, other: Place) -> None:
        """Take back one `wait_for`."""
        if self.waits_for is not None:
            self.waits_for.remove(other)


class BodyPlace(Place):
    """The place of a custom body."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.key = f"{visit.key}/body"

    @property
    def dependency(self) -> Place | None:
        """The dependency that the whole run is inside of, if any."""
        return self.visit.run.inside


current_place: ContextVar[Place | None] = ContextVar("weft_place", default=None)


def parent_of(key: str) -> str:
    """Return the key of the place around a place."""
    return key.rpartition("/")[0]


def attempt_at(key: str, attempt: int) -> str:
    """Return the key of an attempt: the first has the place's own."""
    return key if attempt <= 1 else f"{key}#{attempt}"


_CALLS = frozenset(["fill", "route", "body", "run", "shared"])


def key_part(name: str) -> str:
    """A field may be called like a call of the engine's; its place must not be."""
    return f"{name}()" if name in _CALLS else name


def shared_key(outer: Place, slot: Slot) -> str:
    """Return the place of a value that a subgraph shares with the run around it, whichever asks first."""
    enclosing: list[Place] = []
    place: Place | None = outer
    while place is not None:
        enclosing.append(place)
        place = place.visit.run.inside
    known = next((key for place in reversed(enclosing) if (key := place.key_of_shared(slot))), None)
    if known is not None:
        return known
    made_by: Any = slot.function.function if slot.function is not None else slot.node and slot.node.node
    name = f"{getattr(made_by, '__module__', '')}.{getattr(made_by, '__qualname__', slot.name)}"
    return f"{enclosing[-1].visit.key}/shared/{name}"
