"""What DSPy's optimisers are told of a call, and what they ask of it."""

from __future__ import annotations

from typing import Any

import dspy

from ..backends._dspy.calls import PredictedResponse
from ..lm import LMResponse


def note(response: LMResponse) -> None:
    """Put a good answer into DSPy's trace; a rejected one must not become a demo."""
    trace: list[Any] | None = dspy.settings.trace
    if isinstance(response, PredictedResponse) and response.demonstration is not None and trace is not None:
        shown = response.demonstration
        trace.append((shown.predictor, dict(shown.inputs), shown.prediction))


def varied(lm: dspy.LM, ambient: dspy.LM | None) -> dspy.LM:
    """Return *lm* in the variation that an optimiser asks of the *ambient* one, so as not to get the same again."""
    if ambient is None or ambient is lm or "rollout_id" not in ambient.kwargs:
        return lm
    temperature = ambient.kwargs.get("temperature", 1.0)
    return lm.copy(rollout_id=ambient.kwargs["rollout_id"], temperature=temperature)
