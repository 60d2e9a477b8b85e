"""How good an answer is: the fields that an example expects, compared, and metrics in the form that optimisers call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard, cast

import dspy

from .._event import jsonable
from ..errors import sentence, shorten, what_is
from ..nodes import Node
from ._examples import EXPECTED, RESULT, inputs_of

Metric = Callable[..., Any]
# GEPA's, with the trace, and without.
_ARITIES = (5, 3, 2)
_MISSING = object()


def node_transition_metric(example: Any, prediction: Any, trace: Any = None) -> float | bool:
    """Return the share of the expected fields that *prediction* has right; see the façade."""
    share = share_right(labels_of(example), answer_of(prediction))
    return share if trace is None else share == 1


def labels_of(example: Any) -> dict[str, Any]:
    """Return what *example* expects: its labels, or, of a dict, all it holds."""
    shown = inputs_of(example) if isinstance(example, dspy.Example) else {}
    labels = {name: value for name, value in example.items() if name not in (shown or {})}
    expected = labels.pop(EXPECTED, None)
    if isinstance(expected, Mapping):
        return {**labels, **cast("Mapping[str, Any]", expected)}
    return labels if expected is None else {**labels, EXPECTED: expected}


def answer_of(prediction: Any) -> dict[str, Any]:
    """Return the fields of a prediction, those of its node foremost, and what class it is of."""
    if prediction is None:
        return {}
    if isinstance(prediction, Node):
        return {RESULT: type(prediction).__name__, **vars(prediction)}
    fields = dict(prediction.items())
    node = fields.pop(RESULT, None)
    return (
        {**fields, **answer_of(node)}
        if isinstance(node, Node)
        else {**fields, **({} if node is None else {RESULT: node})}
    )


def share_right(labels: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Return how many of *labels* are right in *answer*; none, if it is of another class or they are empty."""
    wanted = labels.get(RESULT, _MISSING)
    if wanted is not _MISSING and not _is_same(_class_name(wanted), answer.get(RESULT)):
        return 0.0
    contents = [value for value in labels.values() if not _is_empty(jsonable(value))]
    if not contents:
        return 0.0
    right = sum(_is_right(name, value, answer) for name, value in labels.items())
    return right / len(labels)


def _is_right(name: str, expected: Any, answer: Mapping[str, Any]) -> bool:
    if name == RESULT:
        return True
    return name in answer and _is_same(jsonable(expected), jsonable(answer[name]))


def _class_name(wanted: Any) -> Any:
    return (
        wanted.__name__ if isinstance(wanted, type) else type(wanted).__name__ if isinstance(wanted, Node) else wanted
    )


def _is_empty(value: Any) -> bool:
    return value is None or (
        isinstance(value, str | list | dict) and not (value.strip() if isinstance(value, str) else value)
    )


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_same(expected: Any, given: Any) -> bool:
    """Return whether two JSON values mean the same: text by its words, numbers by their size."""
    if isinstance(expected, str) and isinstance(given, str):
        return _words(expected) == _words(given)
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if _is_list(expected) and _is_list(given):
        return len(expected) == len(given) and all(map(_is_same, expected, given))
    if _is_object(expected) and _is_object(given):
        return expected.keys() == given.keys() and all(_is_same(expected[key], given[key]) for key in expected)
    return bool(expected == given)


def _words(text: str) -> list[str]:
    return text.casefold().strip().rstrip(".!").split() or text.split()


# --- As optimisers call them -----------------------------------------------------------------------------------------


class Judge:
    """A metric as DSPy's optimisers want it: a number, or, while demos are gathered, whether it is as good as can be.

    With a *threshold*, the optimiser itself compares the number.
    """

    def __init__(self, metric: Metric, *, has_threshold: bool = False) -> None:
        self.metric = metric
        self.arity = _arity(metric)
        self.is_critic = self.arity == max(_ARITIES)
        self.has_threshold = has_threshold

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float | bool:
        """Return how good *prediction* is."""
        if prediction is None:
            return 0.0
        score, _ = self.judged(example, prediction, trace)
        return score if trace is None or self.has_threshold else score >= 1

    def judged(self, example: Any, prediction: Any, *further: Any) -> tuple[float, str | None]:
        """Return the score, and what the metric says of it."""
        further = (*further, None, None, None)[: self.arity - 2]
        return _score(self.metric, self.metric(example, prediction, *further))


class Critic(Judge):
    """A metric as GEPA wants it: with words on why, where it is asked about one predictor."""

    def __call__(
        self, example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
    ) -> Any:
        """Return how good *prediction* is, and, for a predictor, what is wrong."""
        # While GEPA compares scores there is a trace too: only a metric made for GEPA is told of it.
        further = (trace, pred_name, pred_trace) if self.is_critic else ()
        score, said = self.judged(example, prediction, *further)
        if pred_name is None:
            return score
        return dspy.Prediction(score=score, feedback=said or _feedback(example, prediction, score))


def _arity(metric: Metric) -> int:
    """Return how many arguments *metric* is given: 5 as GEPA's, 3 with the trace, or 2; raises TypeError."""
    signature = inspect.signature(metric)
    for count in _ARITIES:
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    raise TypeError(
        sentence("metric", "it does not take an example and a prediction", "Write: def metric(example, prediction).")
    )


def _score(metric: Metric, value: Any) -> tuple[float, str | None]:
    if isinstance(value, bool | int | float):
        return float(value), None
    score: Any = getattr(value, "score", None)
    if not isinstance(score, bool | int | float):
        hint = "Return a number, a bool, or dspy.Prediction(score=, feedback=)."
        name = getattr(metric, "__name__", "metric")
        raise TypeError(sentence(f"{name}(...)", f"it returned {what_is(value)}", hint))
    said: Any = getattr(value, "feedback", None)
    return float(score), None if said is None else str(said)


def _feedback(example: Any, prediction: Any, score: float) -> str:
    labels = labels_of(example)
    answer = answer_of(prediction)
    wrong = [
        f"{name}: expected {shorten(jsonable(value))}, was {shorten(jsonable(answer.get(name)))}"
        for name, value in labels.items()
        if not (_is_same(_class_name(value), answer.get(name)) if name == RESULT else _is_right(name, value, answer))
    ]
    return f"The run's score is {score:g}. {'; '.join(wrong) or 'Everything expected is there'}."


def checked(examples: Sequence[Any], metric: Metric | None) -> Metric:
    """Return *metric*, or the comparison of labels, which every example must then have; raises ValueError."""
    if metric is not None:
        return metric
    for number, example in enumerate(examples, 1):
        if all(_is_empty(jsonable(value)) for value in labels_of(example).values()):
            hint = "Give what the last node's fields are to be, or a metric."
            raise ValueError(sentence(f"row {number}", "it does not say what is expected", hint))
    return node_transition_metric
