"""What optimising may take at most, known before a token is spent: runs of the graph, and calls of LMs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._plan import Plan
from ..errors import sentence
from ..nodes import Node, is_node
from ..topology import NodePlan, Topology
from ._errors import UsageError

Options = Mapping[str, Any]

# What mipro evaluates trials on, if its options do not say otherwise.
_MINIBATCH, _FULL_EVAL_STEPS, _SUMMARIES = 35, 5, 12
_MINIBATCH_OF_GEPA = 3
_NUMBERS = (
    "max_rounds num_candidates num_trials minibatch_size minibatch_full_eval_steps max_metric_calls bsize max_steps "
    "reflection_minibatch_size"
)


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that optimising takes, rejected answers apart: `asked` are the optimiser's own calls of the LM."""

    runs: int
    calls_per_run: int
    asked: int = 0

    @property
    def calls(self) -> int:
        """The calls of LMs, those of code that calls one by itself left out."""
        return self.runs * self.calls_per_run + self.asked


def settings_of(optimizer: str, given: Options, rows: int) -> dict[str, Any]:
    """Return the options that *optimizer* gets for so many rows: those *given*, and the others that bound its work.

    Raises UsageError.
    """
    for name in ("auto", "max_full_evals"):
        if name in given:
            hint = f"Give its numbers: {', '.join(_DEFAULTS[optimizer](rows)) or 'it has none'}."
            raise UsageError(sentence("--option", f"{name} leaves open what it takes", hint))
    settings = {**_DEFAULTS[optimizer](rows), **given}
    for name in _NUMBERS.split():
        if name in settings and (not isinstance(settings[name], int) or settings[name] < 1):
            raise UsageError(sentence("--option", f"{name} must be a number from 1", f"Write --option {name}=4."))
    if settings.get("bsize", 0) > rows:
        raise UsageError(sentence("--option", f"bsize={settings['bsize']} is more than the {rows} rows there are"))
    return settings


def bound_of(optimizer: str, settings: Options, topology: Topology, *, rows: int, scored: int, programs: int) -> Bound:
    """Return the most that it takes to tune so many programs to so many rows, and to score others before and after."""
    runs, asked = _RUNS[optimizer](settings, rows, programs)
    return Bound(runs + 2 * scored, calls_per_run(topology), asked)


_DEFAULTS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "bootstrap": lambda _: {"max_rounds": 1},
    "mipro": lambda rows: {"num_candidates": 5, "num_trials": 15, "minibatch": _of_mipro(rows)[1] > _MINIBATCH},
    "gepa": lambda rows: {"max_metric_calls": 10 * rows},
    "simba": lambda rows: {"bsize": min(32, rows), "num_candidates": 4, "max_steps": 4},
}


def _of_bootstrap(settings: Options, rows: int, _programs: int) -> tuple[int, int]:
    return settings["max_rounds"] * rows, 0


def _of_mipro(rows: int) -> tuple[int, int]:
    """Return how many rows demos come from, and how many candidates are compared on."""
    compared = max(1, int(0.8 * rows))
    return rows - compared, compared


def _runs_of_mipro(settings: Options, rows: int, programs: int) -> tuple[int, int]:
    learnt, compared = _of_mipro(rows)
    candidates, trials = settings["num_candidates"], settings["num_trials"]
    runs = max(candidates - 2, 1) * learnt + compared
    if settings["minibatch"]:
        steps = settings.get("minibatch_full_eval_steps", _FULL_EVAL_STEPS)
        full = trials // steps + 2
        runs += trials * settings.get("minibatch_size", _MINIBATCH) + full * compared
    else:
        runs += trials * compared
    return runs, _SUMMARIES + (candidates + 1) * programs


def _runs_of_gepa(settings: Options, rows: int, _programs: int) -> tuple[int, int]:
    """It looks at its budget between rounds only, each of which may try a candidate on a few rows, and then on all."""
    few = settings.get("reflection_minibatch_size", _MINIBATCH_OF_GEPA)
    runs = settings["max_metric_calls"] + 2 * few + 2 * rows
    return runs, math.ceil(runs / few)


def _runs_of_simba(settings: Options, rows: int, _programs: int) -> tuple[int, int]:
    size, candidates, steps = settings["bsize"], settings["num_candidates"], settings["max_steps"]
    tried = size * candidates + size * (candidates + 1)
    return steps * tried + (candidates + 1) * rows, steps * size


_RUNS: Mapping[str, Callable[[Options, int, int], tuple[int, int]]] = {
    "bootstrap": _of_bootstrap,
    "mipro": _runs_of_mipro,
    "gepa": _runs_of_gepa,
    "simba": _runs_of_simba,
}


# --- A run


def calls_per_run(topology: Topology, max_steps: int = 25) -> int:
    """Return how many answers LMs give in a run at most: on the longest way through, or in a loop to the last step."""
    most = {cls: _at(visit) for cls, visit in topology.visits.items()}
    known: dict[type[Node], int] = {}

    def longest(cls: type[Node], around: frozenset[type[Node]]) -> int | None:
        """Return the calls from *cls* on; None if a loop begins there."""
        if cls in around:
            return None
        if cls not in known:
            following = [longest(each, around | {cls}) for each in sorted_edges(topology, cls)]
            if None in following:
                return None
            known[cls] = most[cls] + max((each for each in following if each is not None), default=0)
        return known[cls]

    found = longest(topology.start, frozenset())
    return max_steps * max(most.values()) if found is None else found


def sorted_edges(topology: Topology, cls: type[Node]) -> list[type[Node]]:
    """Return the classes that may follow *cls*."""
    return [each for each in topology.visits[cls].route.candidates if is_node(each)]


def _at(visit: NodePlan) -> int:
    """Return the calls that a visit makes: sub-nodes, and where an LM routes, the choice and what is chosen."""
    chooses = visit.route.by == "lm" and len(visit.offered) > 1
    fills = visit.route.by == "lm" or visit.route.returns_class
    is_last = not any(map(is_node, visit.route.candidates))
    return _sub_nodes(visit.plan) + _sub_nodes(visit.body_plan) + int(chooses) + int(fills and not is_last)


def _sub_nodes(plan: Plan | None) -> int:
    return sum(slot.node is not None for slot in plan.slots) if plan is not None else 0
