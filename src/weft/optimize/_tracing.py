"""What DSPy's optimisers are told of a call, and what they ask of it."""

from __future__ import annotations

from contextvars import Context
from typing import Any

import dspy

from ..backends._dspy.calls import PredictedResponse
from ..lm import LMResponse


def note(response: LMResponse) -> None:
    """Put a good answer into DSPy's trace; a rejected one must not become a demo."""
    trace: list[Any] | None = dspy.settings.trace
    # Outside every dspy.context it is one list for the whole process, which would only keep what nobody looks at.
    if trace is None or trace is Context().run(lambda: dspy.settings.trace):
        return
    if isinstance(response, PredictedResponse) and response.demonstration is not None:
        shown = response.demonstration
        trace.append((shown.predictor, dict(shown.inputs), shown.prediction))


def varied(lm: dspy.BaseLM, ambient: dspy.BaseLM | None) -> dspy.BaseLM:
    """Return *lm* in the variation that an optimiser asks of the *ambient* one, so as not to get the same again."""
    if ambient is None or ambient is lm or "rollout_id" not in ambient.kwargs:
        return lm
    temperature = ambient.kwargs.get("temperature", 1.0)
    return lm.copy(rollout_id=ambient.kwargs["rollout_id"], temperature=temperature)
