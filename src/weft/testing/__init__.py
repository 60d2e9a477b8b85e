"""For tests: an LM that answers from a script, every way through a graph walked without a model, checks of an LM."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..backends.cassette import CassetteMissError
from ..lm import UnplannedCallError
from ._checks import LMCheck, LMContractError, LMOutcome, LMViolation
from ._exploration import StartNodeError, aexplore, explore
from ._report import Exploration, ExplorationError, ExploredPath
from ._scripted import ScriptedLM, UnconsumedStepsError, UnexpectedCallError
from ._trial import PlannedFailureError

if TYPE_CHECKING:
    from ._contract import check_lm, lm_checks

__all__ = [
    "CassetteMissError",
    "Exploration",
    "ExplorationError",
    "ExploredPath",
    "LMCheck",
    "LMContractError",
    "LMOutcome",
    "LMViolation",
    "PlannedFailureError",
    "ScriptedLM",
    "StartNodeError",
    "UnconsumedStepsError",
    "UnexpectedCallError",
    "UnplannedCallError",
    "aexplore",
    "check_lm",
    "explore",
    "lm_checks",
]

# The checks bring a class for every type of field, which the command line, for one, never needs.
_LATER = ("check_lm", "lm_checks")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module("._contract", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
