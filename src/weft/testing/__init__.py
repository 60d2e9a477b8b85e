"""For tests of graphs: an LM that answers from a script, and every way through a graph walked without a model."""

from ..backends.cassette import CassetteMissError
from ..lm import UnplannedCallError
from ._exploration import Exploration, ExplorationError, ExploredPath, StartNodeError, aexplore, explore
from ._scripted import ScriptedLM, UnconsumedStepsError, UnexpectedCallError
from ._trial import PlannedFailureError

__all__ = [
    "CassetteMissError",
    "Exploration",
    "ExplorationError",
    "ExploredPath",
    "PlannedFailureError",
    "ScriptedLM",
    "StartNodeError",
    "UnconsumedStepsError",
    "UnexpectedCallError",
    "UnplannedCallError",
    "aexplore",
    "explore",
]
