"""What can happen in a run: frozen values that tell everything a store, a tracer or a page needs.

Every event carries the id of its run, its key and its parent's key. A key is a place in the graph, the same whatever
ran first: ``2:RecommendOOTD`` is the third node visited, ``2:RecommendOOTD/wardrobe/career`` a dependency of its
field's node, ``…/fill`` and ``…/route`` are LM calls, ``…/fill#2`` a second attempt, ``…/body`` a custom body, and
``…/run`` a graph run inside. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ._event import Event, jsonable
from .lm import LMRequest, Usage

__all__ = [  # noqa: RUF022  the order in which the reference tells them
    "jsonable",
    "Origin",
    "Event",
    "Finished",
    "RunStarted",
    "NodeStarted",
    "DepStarted",
    "DepFinished",
    "DepClosed",
    "RouteChosen",
    "LMCallStarted",
    "LMCallFinished",
    "FieldDelta",
    "ToolStarted",
    "ToolFinished",
    "NodeFinished",
    "RunFinished",
]

Status = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a field's value came from.

    `kind` says how; `key` is the place that made the value, where there is one: the dependency, the LM call, or the
    visited node a Recall read.
    """

    kind: Literal["given", "dep", "provided", "recall", "lm"]
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """What the end of anything says: how it ended, when it began, and the error if it failed."""

    status: Status
    started_at: float
    error: BaseException | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.at - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run begins; `parent_run_id` is the run it is inside, if any."""

    start: Any
    parent_run_id: str | None = None
    max_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(Event):
    """A node is visited: its fields are resolved next."""

    node_type: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DepStarted(Event):
    """A dependency starts, given `inputs`; `attempt` counts its tries from 1."""

    name: str
    attempt: int = 1
    inputs: Mapping[str, Origin] = field(default_factory=dict[str, Origin])


@dataclass(frozen=True, slots=True, kw_only=True)
class DepFinished(Finished):
    """A try of a dependency ended; `value` is what it gave."""

    name: str
    attempt: int = 1
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepClosed(Finished):
    """A resource was torn down; `started_at` is when its closing began."""

    name: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChosen(Event):
    """The next node is known: `chosen` of `offered`, None being a stop; `by` is who chose."""

    offered: tuple[str | None, ...]
    chosen: str | None
    by: Literal["lm", "code", "only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LMCallStarted(Event):
    """An LM is asked to fill `target`, or to choose among `offered`; a second attempt's key ends in ``#2``.

    One that is to ``"decide"`` chooses and fills in one call; the node it writes is then visited without another.

    Before that the call `waited`, in seconds, for a place among those that ``max_concurrency`` allows.
    """

    kind: Literal["fill", "choose", "make", "decide"]
    target: str
    offered: tuple[str | None, ...] = ()
    attempt: int = 1
    waited: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LMCallFinished(Finished):
    """An attempt ended. `reasons` say why an answer was rejected; `request` and `answer` are told where known."""

    kind: Literal["fill", "choose", "make", "decide"]
    target: str
    attempt: int = 1
    reasons: tuple[str, ...] = ()
    request: LMRequest | None = None
    answer: Any = None
    model: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def is_accepted(self) -> bool:
        """Whether the answer was good."""
        return self.status == "done" and not self.reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDelta(Event):
    """What is there so far of the node being filled."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event):
    """The model calls a tool while it fills a node."""

    name: str
    arguments: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Finished):
    """A tool has answered: with `value`, or, where it failed, with what the model is told of it."""

    name: str
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished(Finished):
    """A visit ended; `node` is what stands in the trace, `origins` says where each field's value came from."""

    node_type: str
    step: int
    node: Any = None
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Finished):
    """A run ended; `result` is its GraphResult if it is done."""

    result: Any = None
    usage: Usage = field(default_factory=Usage)
