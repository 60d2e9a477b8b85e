"""DSPy's optimisers, with settings that suit graphs, and what becomes of their work."""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from ..errors import MissingExtraError, sentence
from ._metrics import Critic, Judge, Metric, checked
from ._programs import ProgramPredictor

logger = logging.getLogger("weft")

# What an optimiser needs besides DSPy.
_NEEDS = {"mipro": ("optuna", "numpy"), "gepa": ("gepa",), "simba": ("numpy",)}
_MIN_BATCH = 50


@dataclass(frozen=True)
class Tuning:
    """What is to be tuned to what, and how."""

    optimizer: Any
    metric: Metric | None
    trainset: Sequence[dspy.Example]
    valset: Sequence[dspy.Example] | None
    seed: int
    options: Mapping[str, Any]


class VisitedRoundRobin:
    """Turns GEPA's attention to one prompt after the other, of those that the runs it looks at have used.

    It is made for graphs, where a run does not pass by every node.
    """

    def __init__(self) -> None:
        self.turn = -1

    def __call__(
        self, state: Any, trajectories: Sequence[Any], scores: Any, index: int, candidate: Mapping[str, str]
    ) -> list[str]:
        """Return the name of the predictor to improve next."""
        used = {
            f"nodes['{name}']"
            for each in trajectories
            for step in each["trace"]
            if (name := getattr(step[0], "name", None)) is not None
        }
        names = [name for name in candidate if name in used] or list(candidate)
        self.turn += 1
        return [names[self.turn % len(names)]]


def tune(
    student: Any, tuning: Tuning, model: dspy.LM, outcomes: Sequence[Exception | None]
) -> dict[str, ProgramPredictor]:
    """Return the predictors of *student*, tuned; *model* is what optimisers ask for themselves.

    *outcomes* grows by the error, or None, of each run; where every run failed, the last error is raised.
    """
    with dspy.context(lm=model):
        optimizer, given = _prepared(student, tuning, model)
        try:
            tuned = optimizer.compile(student, trainset=list(tuning.trainset), **given)
        except Exception as error:
            _raise_if_all_failed(outcomes, error)
            raise
    _raise_if_all_failed(outcomes, None)
    nodes: dict[str, ProgramPredictor] = tuned.nodes
    if not any(changes(student.nodes[key], each) for key, each in nodes.items()):
        logger.warning("Optimising changed nothing: no prompt that was tried did better, or no run was good enough.")
    return nodes


def changes(before: ProgramPredictor, after: ProgramPredictor) -> bool:
    """Return whether *after* asks in another way than *before*."""
    return before.signature.instructions != after.signature.instructions or list(before.demos) != list(after.demos)


def _raise_if_all_failed(outcomes: Sequence[Exception | None], error: Exception | None) -> None:
    if outcomes and None not in outcomes:
        last = outcomes[-1]
        assert last is not None
        last.add_note(f"Every one of the {len(outcomes)} runs that an optimiser made failed; this is how the last did.")
        raise last from error


# --- Each with its settings ------------------------------------------------------------------------------------------


def _prepared(student: Any, tuning: Tuning, model: dspy.LM) -> tuple[Any, dict[str, Any]]:
    """Return the optimiser, and what its ``compile`` is given besides the trainset."""
    if not isinstance(tuning.optimizer, str):
        return _own(tuning)
    if tuning.optimizer not in _SETTINGS:
        names = ", ".join(map(repr, _SETTINGS))
        msg = f"{tuning.optimizer!r} is not one of {names}"
        raise ValueError(sentence("optimizer", msg, "Name one, or pass an optimiser of DSPy."))
    _require(tuning.optimizer)
    cls, settings = _SETTINGS[tuning.optimizer]
    return _made(cls, {**settings(tuning, model), **tuning.options}, tuning)


def _own(tuning: Tuning) -> tuple[Any, dict[str, Any]]:
    """Return an optimiser that the caller has made, whose metric is its own."""
    if not callable(getattr(tuning.optimizer, "compile", None)):
        raise TypeError(sentence("optimizer", f"{tuning.optimizer!r} has no compile()", "Pass an optimiser of DSPy."))
    if tuning.metric is not None:
        raise ValueError(sentence("metric", "an optimiser that is passed has its own", "Give it the metric."))
    given = dict(tuning.options)
    if tuning.valset is not None and _takes(tuning.optimizer.compile, "valset"):
        given["valset"] = list(tuning.valset)
    return tuning.optimizer, given


def _made(cls: Callable[..., Any], settings: dict[str, Any], tuning: Tuning) -> tuple[Any, dict[str, Any]]:
    """Return an optimiser of *cls*; settings that are none of its own go to its ``compile``."""
    own = inspect.signature(cls).parameters
    of_compile = inspect.signature(getattr(cls, "compile")).parameters  # noqa: B009  cls is typed as what is called
    unknown = [name for name in settings if name not in own and name not in of_compile]
    if unknown:
        raise TypeError(sentence("optimize", f"{getattr(cls, '__name__', cls)} has no option {', '.join(unknown)}"))
    given = {name: value for name, value in settings.items() if name not in own}
    if tuning.valset is not None and "valset" in of_compile:
        given["valset"] = list(tuning.valset)
    return cls(**{name: value for name, value in settings.items() if name in own}), given


def _takes(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def _require(name: str) -> None:
    for package in _NEEDS.get(name, ()):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("dspy", package, f"optimizer={name!r}")


def _judge(tuning: Tuning) -> Judge:
    metric = checked([*tuning.trainset, *(tuning.valset or ())], tuning.metric)
    return Judge(metric, has_threshold=tuning.options.get("metric_threshold") is not None)


def _patience(tuning: Tuning) -> int:
    """Return more errors than there can be: a prompt that fails is to lose, not to end everything."""
    return 1000 * (len(tuning.trainset) + len(tuning.valset or ()))


def _for_bootstrap(tuning: Tuning, model: dspy.LM) -> dict[str, Any]:
    # Labels are those of a whole run: as a demo of one prompt they mean nothing.
    return {"metric": _judge(tuning), "max_labeled_demos": 0, "max_errors": _patience(tuning)}


def _for_mipro(tuning: Tuning, model: dspy.LM) -> dict[str, Any]:
    size = len(tuning.valset) if tuning.valset is not None else max(1, int(0.8 * len(tuning.trainset)))
    budget: dict[str, Any] = {"auto": tuning.options.get("auto")}
    if budget["auto"] is None:
        budget |= {"num_candidates": 5, "num_trials": 15, "minibatch": size > _MIN_BATCH}
    return {
        **_for_bootstrap(tuning, model),
        **budget,
        "prompt_model": model,
        "task_model": model,
        "seed": tuning.seed,
        # It would be shown the code of this library, not of the graph.
        "program_aware_proposer": False,
    }


def _for_gepa(tuning: Tuning, model: dspy.LM) -> dict[str, Any]:
    budget = {"auto", "max_full_evals", "max_metric_calls"} & tuning.options.keys()
    return {
        "metric": Critic(_judge(tuning).metric),
        **({} if budget else {"max_full_evals": 10}),
        "reflection_lm": model,
        "component_selector": VisitedRoundRobin(),
        "seed": tuning.seed,
    }


def _for_simba(tuning: Tuning, model: dspy.LM) -> dict[str, Any]:
    return {
        "metric": _judge(tuning),
        "bsize": min(32, len(tuning.trainset)),
        "num_candidates": 4,
        "max_steps": 4,
        "prompt_model": model,
        "seed": tuning.seed,
    }


_SETTINGS: dict[str, tuple[Callable[..., Any], Callable[[Tuning, dspy.LM], dict[str, Any]]]] = {
    "bootstrap": (dspy.BootstrapFewShot, _for_bootstrap),
    "mipro": (dspy.MIPROv2, _for_mipro),
    "gepa": (dspy.GEPA, _for_gepa),
    "simba": (dspy.SIMBA, _for_simba),
}
