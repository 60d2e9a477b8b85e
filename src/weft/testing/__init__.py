"""For tests: an LM that answers from a script, every way through a graph walked without a model, checks of an LM."""

from ..lm import UnplannedCallError
from ._checks import LMCheck, LMContractError, LMOutcome, LMViolation
from ._contract import check_lm, lm_checks
from ._exploration import Exploration, ExplorationError, ExploredPath, StartNodeError, aexplore, explore
from ._scripted import ScriptedLM, UnconsumedStepsError, UnexpectedCallError
from ._trial import PlannedFailureError

__all__ = [
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
