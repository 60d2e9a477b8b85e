"""What says how good a run was: a function of the user's, as DSPy's metrics are, ``metric(example, prediction)``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import describe, sentence, shorten, what_is
from ..graph import GraphResult
from ._errors import UsageError
from ._load import load_function
from ._rows import Record, Row

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Metric:
    """The function, and the name by which the user calls it."""

    name: str
    function: Callable[..., Any]

    def score(self, row: Row, result: GraphResult[Any]) -> float:
        """Return the number that the function gives for *row*; raises UsageError if it gives none."""
        try:
            given = self.function(Record(row.values), _prediction(result))
        except Exception as error:
            what = f"it raised {describe(error)} for line {row.line}"
            raise UsageError(sentence(self.name, what, "--traceback shows where.")) from error
        score = getattr(given, "score", given)
        if inspect.iscoroutine(score):
            score.close()
        try:
            number = float(score)
        except (TypeError, ValueError) as error:
            raise UsageError(self._no_number(row, score)) from error
        if not math.isfinite(number):
            raise UsageError(self._no_number(row, score))
        return number

    def _no_number(self, row: Row, given: Any) -> str:
        if inspect.iscoroutine(given):
            return sentence(self.name, "it is async", "Write: def, not async def.")
        told = what_is(given) if given is None or callable(given) else shorten(repr(given), _SHOWN)
        what = f"it returned {told} for line {row.line}"
        return sentence(self.name, what, "Return a number, or True or False.")


def load_metric(named: str, module: str) -> Metric:
    """Return the metric that *named* says, ``mod:fn`` or a function in *module*; raises UsageError."""
    return Metric(named, load_function(named, module, "--metric"))


def _prediction(result: GraphResult[Any]) -> Record:
    """Return what DSPy would predict: the terminal node's fields, the node itself, and the nodes before it."""
    node = result.result
    fields = {name: getattr(node, name) for name in type(node).model_fields}
    return Record({**fields, "result": node, "trace": list(result.trace)})
