"""One run of an exploration: what it is to try, the LM that answers accordingly, and what was seen of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .._requests import STOP
from ..backends._samples import sample
from ..backends.offline import steps_to_end
from ..errors import ChoiceError, FillError
from ..events import DepClosed, DepStarted, Event, NodeStarted, RouteChosen, RunStarted
from ..filling import BaseLM
from ..graph import Graph
from ..lm import LMRequest, LMResponse, OnPartial, Option, Usage
from ..nodes import Node
from ._variants import wrong_answers

AnyGraph = Graph[Any, Any]
Rejected = Literal["once", "always"]
Kind = Literal["way", "failing dependency", "rejected answer"]
Fills = Mapping[type[Node], Mapping[str, Any]]


class PlannedFailureError(Exception):
    """Raised in the place of a dependency, to see what becomes of a run in which it fails."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one run is to try; whatever it does not name is as usual.

    `choices` are by place, as are the answers to be `rejected`; `answers` are by place, or by the name of the node that
    is always answered so; `stand_ins` are by function. `what` tells all of it in a few words, `subject` what is made to
    fail. `is_supposed` says that a dependency's value was made up, which may be wrong in itself.
    """

    start: Node
    what: str = ""
    subject: str = ""
    choices: Mapping[str, str] = field(default_factory=dict[str, str])
    answers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rejected: Mapping[str, Rejected] = field(default_factory=dict[str, Rejected])
    stand_ins: Mapping[Callable[..., Any], Callable[..., Any]] = field(
        default_factory=dict[Callable[..., Any], Callable[..., Any]]
    )
    planned: PlannedFailureError | None = None
    is_supposed: bool = False

    @property
    def kind(self) -> Kind:
        """What is tried above all."""
        if self.planned is not None:
            return "failing dependency"
        return "rejected answer" if self.rejected else "way"

    def but(self, what: str, **changes: Any) -> Trial:
        """Return this trial, which went well as it is, with *changes*, told as *what*, too."""
        what = f"{self.what}, {what}" if self.what else what
        return replace(self, **{"what": what, "is_supposed": False, **changes})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to the LM, without its attempt, and the data answered at first."""

    place: str
    request: LMRequest
    data: Any


@dataclass(frozen=True, slots=True)
class Turn:
    """A place where a run can go different ways: what was offered, and what was chosen."""

    place: str
    node: str
    offered: tuple[str, ...]
    chosen: str
    by: str


class ExploringLM(BaseLM):
    """Answers as a trial says, and otherwise with made-up values and the nearest end."""

    is_stand_in = True
    takes_tools = True
    routing = "two-call"

    def __init__(self, trial: Trial, fills: Fills) -> None:
        self.trial = trial
        self.fills = fills
        self.asked: dict[str, Asked] = {}
        self.script: dict[str, dict[str, Any]] = {"fill": {}, "choose": {}}

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return what the trial says, or a value that fits."""
        data = self._wrong(request)
        if data is None:
            data = {"choice": self._choice(request)} if request.kind == "choose" else self._values(request)
        self.asked.setdefault(_base(request), Asked(_base(request), request, data))
        self.script[request.kind][request.place] = data["choice"] if request.kind == "choose" else data
        return LMResponse(data, Usage(requests=1), "exploring")

    def _wrong(self, request: LMRequest) -> Any:
        how, attempt = self.trial.rejected.get(_base(request)), len(request.rejected)
        if how is None or (how == "once" and attempt):
            return None
        if request.kind == "choose":
            return {"choice": "none of these"}
        return next(itertools.islice(wrong_answers(request.schema), attempt, None))

    def _choice(self, request: LMRequest) -> str:
        chosen = self.trial.choices.get(_base(request))
        return chosen if chosen is not None else nearest_end(request).name

    def _values(self, request: LMRequest) -> Any:
        given = self.trial.answers.get(_base(request), self.trial.answers.get(request.target))
        planned = 1 if self.trial.rejected.get(_base(request)) == "once" else 0
        if given is not None and len(request.rejected) == planned:
            return given
        made_up = sample(request.schema, f"{request.target} at {request.place}")
        own = self.fills.get(request.node_type) if request.node_type else None
        return {**made_up, **own} if own else made_up


def _base(request: LMRequest) -> str:
    return request.place.partition("#")[0]


def nearest_end(request: LMRequest) -> Option:
    """Return the option that leads to an end with the fewest nodes."""

    def steps(option: Option) -> float:
        found = steps_to_end(option.type, avoiding=request.target)
        return float("inf") if found is None else found

    return min(request.options, key=steps)


@dataclass(slots=True)
class Seen:
    """What was seen of a run: the nodes it visited, the turns it took, what it called, and how it ended."""

    trial: Trial
    run_id: str = ""
    nodes: list[str] = field(default_factory=list[str])
    turns: list[Turn] = field(default_factory=list[Turn])
    called: list[str] = field(default_factory=list[str])
    closing: list[tuple[str, BaseException]] = field(default_factory=list[tuple[str, BaseException]])
    error: BaseException | None = None
    asked: Mapping[str, Asked] = field(default_factory=dict[str, Asked])
    script: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RunStarted(parent_run_id=None):
                self.run_id = event.run_id
            case NodeStarted() if event.run_id == self.run_id:
                self.nodes.append(event.node_type)
            case RouteChosen():
                self._turn(event)
            case DepStarted():
                self.called.append(event.name)
            case DepClosed() if event.error is not None:
                self.closing.append((event.name, event.error))
            case _:
                pass

    def _turn(self, event: RouteChosen) -> None:
        place = (event.parent or "").rpartition("/")[2]
        offered = tuple(name or STOP for name in event.offered)
        if event.run_id == self.run_id:
            self.turns.append(Turn(event.key, place.partition(":")[2], offered, event.chosen or STOP, event.by))

    @property
    def is_planned(self) -> bool:
        """Whether the run failed because it was made to, and said so."""
        if self.trial.is_supposed:
            return True
        return any(each is self.trial.planned or self._ran_out_of_answers(each) for each in causes(self.error))

    def _ran_out_of_answers(self, error: BaseException) -> bool:
        if not isinstance(error, FillError | ChoiceError):
            return False
        hows = set(self.trial.rejected.values())
        return "always" in hows or ("once" in hows and len(error.attempts) == 1)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and what caused it, the origin last."""
    while error is not None:
        yield error
        error = error.__cause__


async def carry_out(
    graph: AnyGraph, trial: Trial, *, fills: Fills, max_steps: int | None, timeout: float | None
) -> Seen:
    """Run *graph* as *trial* says and return what was seen."""
    lm, seen = ExploringLM(trial, fills), Seen(trial)
    try:
        with graph.override(trial.stand_ins, lm=lm):
            await graph.arun(trial.start, max_steps=max_steps, timeout=timeout, on_event=seen)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # how a run fails is what is looked for, be it by sys.exit() or a stray cancellation
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        seen.error = error
    seen.asked, seen.script = lm.asked, lm.script
    return seen
