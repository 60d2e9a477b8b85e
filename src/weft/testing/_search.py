"""Which runs an exploration makes: each run suggests others, and those that show most come first.

The search is one over choices, as a model checker's: a run is told where to turn, takes the nearest end after that,
and every turn it took by itself is then taken another way. Values, failures and rejections are tried one at a time.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from .._plan import Slot
from .._routes import body_of
from .._spec import spec_of
from ..backends._samples import sample
from ..errors import shorten
from ..nodes import Node
from ._trial import AnyGraph, Asked, Fills, PlannedFailureError, Rejected, Seen, Trial, Turn
from ._variants import Constants, combinations, constants_of, methods_named_in, variants

# What is tried first: ways never gone, then code's choices, failures, rejections, other values, ways joined otherwise.
NEW_WAY, CODE, FAILURE, REJECTION, VALUE, JOINED = range(6)

_TIMES_AROUND = 2  # how often one way is chosen again in a run: a loop is left at once, after one round, and after two
_VALUES_FOR_CODE = 120
_VALUES_FOR_A_NODE = 8
_SHOWN_ANSWER = 80
_VISITS_VARIED = 3  # of a node whose code chooses: state may differ from visit to visit

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that might be made, the ways it may be the first to go, and how many new runs there had been before."""

    rank: int
    trial: Trial
    ways: frozenset[Edge] = frozenset()
    born: int = 0


@dataclass(slots=True)
class Search:
    """What was reached so far, and what might be tried next; `made_up` is the start node's data, if it was made up."""

    graph: AnyGraph
    fills: Fills = field(default_factory=dict[type[Node], Mapping[str, Any]])
    made_up: Mapping[str, Any] | None = None
    edges: set[Edge] = field(default_factory=set[Edge])
    nodes: set[str] = field(default_factory=set[str])
    _queue: list[Candidate] = field(default_factory=list[Candidate])
    _choices: set[Edge] = field(default_factory=set[Edge])
    _suggested: set[Hashable] = field(default_factory=set[Hashable])
    _turned: Counter[str] = field(default_factory=Counter[str])
    _fresh: int = 0
    _functions: dict[str, list[Slot]] = field(default_factory=dict[str, list[Slot]])

    def __post_init__(self) -> None:
        visits = self.graph.topology.visits.values()
        plans = [plan for visit in visits for plan in (visit.plan, visit.body_plan) if plan is not None]
        slots = {slot.marker.function: slot for plan in plans for slot in plan.slots if slot.kind == "function"}
        for slot in slots.values():
            self._functions.setdefault(slot.name, []).append(slot)

    # --- What is next ---

    def next(self) -> Trial | None:
        """Return the trial that shows most, or None when all was tried."""
        self._queue = [each for each in self._queue if each.rank != CODE or not each.ways <= self.edges]
        if not self._queue:
            return None
        best = min(range(len(self._queue)), key=lambda index: (*self._order(self._queue[index]), index))
        return self._queue.pop(best).trial

    def _order(self, candidate: Candidate) -> tuple[int, int]:
        if candidate.rank == JOINED and not candidate.ways <= self._choices:
            return NEW_WAY, 0
        # The newest way that code has gone comes first: what got past one condition goes on to the next.
        return candidate.rank, -candidate.born if candidate.rank == CODE else 0

    def _suggest(self, rank: int, goal: Hashable, trial: Trial, *ways: Edge) -> None:
        if goal not in self._suggested:
            self._suggested.add(goal)
            self._queue.append(Candidate(rank, trial, frozenset(ways), self._fresh))

    # --- What a run suggests ---

    def learn(self, seen: Seen) -> bool:
        """Take in a run, suggest others, and return whether it went where none had been."""
        edges = {(turn.node, turn.chosen) for turn in seen.turns}
        is_fresh = not (edges <= self.edges and self.nodes.issuperset(seen.nodes))
        self._fresh += is_fresh
        self.nodes.update(seen.nodes)
        self.edges.update(edges)
        self._choices.update((each.request.target, each.data["choice"]) for each in _choices(seen))
        trial = seen.trial
        if not (trial.rejected or trial.planned or (trial.is_supposed and seen.error)):
            self._turn_otherwise(seen)
            self._turn_code(seen, is_fresh=is_fresh)
            self._let_dependencies_fail(seen)
            self._reject_answers(seen)
            if is_fresh:
                self._vary_values(seen)
                self._answer_alike(seen)
        return is_fresh

    def _turn_otherwise(self, seen: Seen) -> None:
        """Suggest every other option at each choice that the trial left open."""
        before: dict[str, str] = {}
        times: Counter[Edge] = Counter()
        for asked in _choices(seen):
            chosen = asked.data["choice"]
            for option in asked.request.options if asked.place not in seen.trial.choices else ():
                edge = (asked.request.target, option.name)
                if option.name != chosen and times[edge] < _TIMES_AROUND:
                    choices = {**seen.trial.choices, **before, asked.place: option.name}
                    goal = ("choices", frozenset(choices.items()), seen.trial.what)
                    self._suggest(JOINED, goal, replace(seen.trial, choices=choices), edge)
            before[asked.place] = chosen
            times[asked.request.target, chosen] += 1

    def _turn_code(self, seen: Seen, *, is_fresh: bool) -> None:
        """Suggest other values, so that a body with code takes the ways that no run has taken."""
        for turn in seen.turns:
            cls = next(each for each in self.graph.nodes if each.__name__ == turn.node)
            missing = [(turn.node, name) for name in turn.offered if (turn.node, name) not in self.edges]
            enough = _VISITS_VARIED if is_fresh else 1
            if turn.by == "lm" or not missing or self._turned[turn.node] >= enough:
                continue
            self._turned[turn.node] += 1
            for trial in itertools.islice(self._other_values(seen, turn, cls), _VALUES_FOR_CODE):
                self._suggest(CODE, ("code", turn.place, trial.what), trial, *missing)

    def _other_values(self, seen: Seen, turn: Turn, cls: type[Node]) -> Iterator[Trial]:
        """Yield trials in which what *cls*'s body may look at is different."""
        body, here = body_of(cls), turn.place.rpartition("/")[0]
        constants = constants_of(body, *methods_named_in(body, cls))
        known = [each for each in _fills(seen) if _step(each.place) <= _step(here)]
        own = [each for each in known if each.place.startswith(f"{here}/")]
        ways = [
            *(self._varied(seen.trial, each, constants) for each in own),
            self._starts(seen.trial, constants),
            *(_made_up(seen.trial, slot, constants) for slot in self._slots(seen)),
            *(self._varied(seen.trial, each, constants) for each in reversed(known) if each not in own),
        ]
        return (trial for turns in itertools.zip_longest(*ways) for trial in turns if trial is not None)

    def _starts(self, trial: Trial, constants: Constants) -> Iterator[Trial]:
        """Yield trials with another start node, if it was made up."""
        if self.made_up is None:
            return
        cls = self.graph.start
        schema = _without(spec_of(cls).schema, self.fills.get(cls))
        for variant in combinations(schema, self.made_up, constants, cls.__name__):
            try:
                start = made_of(cls, variant.value)
            except ValidationError:
                continue
            yield trial.but(f"{cls.__name__}.{variant.what}", start=start)

    def _slots(self, seen: Seen) -> Iterator[Slot]:
        for name in dict.fromkeys(seen.called):
            yield from self._functions.get(name, ())

    def _let_dependencies_fail(self, seen: Seen) -> None:
        for slot in self._slots(seen):
            function: Any = slot.marker.function
            subject = f"{self._name(slot)} fails"
            planned = PlannedFailureError(f"{slot.name} was made to fail")
            fails = {**seen.trial.stand_ins, function: _raising(planned)}
            trial = seen.trial.but(subject, subject=subject, stand_ins=fails, planned=planned)
            self._suggest(FAILURE, ("fails", function), trial)

    def _name(self, slot: Slot) -> str:
        """Return what a dependency is called, with its place if others are called the same."""
        code = getattr(slot.marker.function, "__code__", None)
        if len(self._functions[slot.name]) == 1 or code is None:
            return slot.name
        return f"{slot.name} at {Path(code.co_filename).name}:{code.co_firstlineno}"

    def _reject_answers(self, seen: Seen) -> None:
        for asked in seen.asked.values():
            request = asked.request
            answer = f"choice after {request.target}" if request.kind == "choose" else request.target
            ways: dict[Rejected, str] = {"once": "rejected, then repaired", "always": "rejected every time"}
            for how, said in ways.items():
                subject = f"{answer} {said}"
                trial = seen.trial.but(subject, subject=subject, rejected={asked.place: how})
                if how == "once":  # what is repaired is the answer of the run before, so that nothing else differs
                    trial = replace(trial, answers={**trial.answers, asked.place: asked.data})
                self._suggest(REJECTION, (how, request.kind, request.target), trial)

    def _vary_values(self, seen: Seen) -> None:
        """Suggest the edges of what the LM, or the caller, may have written."""
        ways = [self._varied(seen.trial, each, Constants()) for each in _fills(seen)]
        for way in [*ways, self._starts(seen.trial, Constants())]:
            for trial in itertools.islice(way, _VALUES_FOR_A_NODE):
                self._suggest(VALUE, ("value", trial.what.removeprefix(f"{seen.trial.what}, ")), trial)

    def _answer_alike(self, seen: Seen) -> None:
        """Suggest that a node on a loop that code ends is answered alike at every visit: does the loop end then?"""
        for asked in _fills(seen):
            name = asked.request.target
            visit = next((visit for cls, visit in self.graph.topology.visits.items() if cls.__name__ == name), None)
            if visit is None or visit.route.by != "code" or not self._comes_back(visit.spec.node):
                continue
            body = body_of(visit.spec.node)
            constants = constants_of(body, *methods_named_in(body, visit.spec.node))
            varied = variants(self._open(asked), asked.data, constants)
            values = [asked.data, *(each.value for each in itertools.islice(varied, _VALUES_FOR_A_NODE))]
            for value in values:
                what = f"{name} answered {shorten(value, _SHOWN_ANSWER)} at every visit"
                trial = seen.trial.but(what, answers={**seen.trial.answers, name: value})
                self._suggest(VALUE, ("alike", what), trial)

    def _comes_back(self, cls: type[Node]) -> bool:
        found, todo = set[type[Node]](), [cls]
        while todo:
            fresh = self.graph.edges[todo.pop()] - found
            found |= fresh
            todo.extend(fresh)
        return cls in found

    # --- Other answers ---

    def _open(self, asked: Asked) -> Mapping[str, Any]:
        """Return the schema of what may be varied: not what the caller of explore has said."""
        node_type = asked.request.node_type
        return _without(asked.request.schema, self.fills.get(node_type) if node_type else None)

    def _varied(self, trial: Trial, asked: Asked, constants: Constants) -> Iterator[Trial]:
        """Yield trials with another answer to one question."""
        for variant in combinations(self._open(asked), asked.data, constants, asked.place):
            yield _answering(trial, asked, variant.what, variant.value)


# --- Trials


def _choices(seen: Seen) -> list[Asked]:
    return [each for each in seen.asked.values() if each.request.kind == "choose"]


def _fills(seen: Seen) -> list[Asked]:
    return [each for each in seen.asked.values() if each.request.kind == "fill" and each.request.schema]


def _step(place: str) -> int:
    """Return which visit of the outermost run *place* is in."""
    number = place.partition(":")[0]
    return int(number) if number.isdigit() else 0


def made_of(cls: type[Node], data: Any) -> Node:
    """Return a *cls* made of JSON values; raises ValidationError."""
    return cls.model_validate_json(to_json(data))


def _without(schema: Mapping[str, Any], fixed: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the schema of an object that has no fields called as those *fixed*."""
    if not fixed:
        return schema
    properties = {name: each for name, each in schema["properties"].items() if name not in fixed}
    return {**schema, "properties": properties, "required": [*properties]}


def _answering(trial: Trial, asked: Asked, what: str, answer: Any) -> Trial:
    return trial.but(f"{asked.request.target}.{what}", answers={**trial.answers, asked.place: answer})


def _made_up(trial: Trial, slot: Slot, constants: Constants) -> Iterator[Trial]:
    """Yield trials in which the function gives another value of its type."""
    function: Any = slot.marker.function
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(slot.function.returns if slot.function else None)
        schema = adapter.json_schema()
        now = sample(schema, slot.name)
    except (PydanticUserError, ValueError):  # no value of such a type can be made up
        return
    for variant in variants(schema, now, constants):
        try:
            value = adapter.validate_json(to_json(variant.value))
        except ValidationError:
            continue
        gives = {**trial.stand_ins, function: _giving(value)}
        yield trial.but(f"{slot.name} gives {variant.what}", stand_ins=gives, is_supposed=True)


def _raising(error: Exception) -> Callable[[], Any]:
    def fails() -> Any:
        raise error

    return fails


def _giving(value: Any) -> Callable[[], Any]:
    return lambda: value
