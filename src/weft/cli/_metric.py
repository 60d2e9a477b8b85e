"""What says how good a run was: a function of the user's, as DSPy's metrics are, ``metric(example, prediction)``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..errors import describe, sentence, shorten
from ..graph import GraphResult
from ..nodes import Node
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
        score: Any = getattr(given, "score", given)
        if asyncio.iscoroutine(score):
            score.close()
            raise UsageError(sentence(self.name, "it is async", "Write: def, not async def."))
        if not isinstance(score, Real) or not math.isfinite(score):
            told = shorten(repr(score), _SHOWN)
            what = f"it returned {told} for line {row.line}"
            raise UsageError(sentence(self.name, what, "Return a number, or True or False."))
        return float(score)


def load_metric(named: str, module: str) -> Metric:
    """Return the metric that *named* says, ``mod:fn`` or a function in *module*; raises UsageError."""
    return Metric(named, load_function(named, module, "--metric"))


def _prediction(result: GraphResult[Any]) -> Record:
    """Return what DSPy would predict: the terminal node's fields, the node itself, the trace and the usage."""
    node: Node = result.result
    fields = {name: getattr(node, name) for name in type(node).model_fields}
    return Record({**fields, "result": node, "trace": result.trace, "usage": result.usage})
