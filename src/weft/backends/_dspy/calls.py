"""One call of a predictor: a request in, a response out, and what the call used, which is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from ...errors import reasons_of
from ...lm import LMRequest, LMResponse, Rejection, Usage
from .errors import failure, truncated
from .programs import Program, harmless

_ATTEMPTS = "your answers that were rejected, and why; answer again with exactly that put right"
# DSPy's own second try, in another format, would hide what the first one cost and answered.
ADAPTER = dspy.ChatAdapter(use_json_adapter_fallback=False)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer as DSPy traces it: what can become an example of how the predictor is to answer."""

    predictor: dspy.Predict
    inputs: Mapping[str, Any]
    prediction: dspy.Prediction


@dataclass(frozen=True, slots=True)
class PredictedResponse(LMResponse):
    """A response that knows the call of the predictor that it comes from; None if that could not be read."""

    demonstration: Demonstration | None = field(default=None, repr=False)


async def predicted(
    predictor: dspy.Predict, program: Program, request: LMRequest, lm: dspy.LM, adapter: dspy.Adapter, backend: str
) -> PredictedResponse:
    """Return what *predictor* answers to *request*; raises LMError."""
    inputs = program.inputs_of(request)
    signature, told = _with_attempts(predictor.signature, request.rejected)
    own, calls = _with_own_history(lm)
    prediction: dspy.Prediction | None = None
    reasons: tuple[str, ...] = ()
    try:
        with dspy.context(trace=None, adapter=adapter, warn_on_type_mismatch=False, disable_history=False):
            prediction = await predictor.acall(lm=own, signature=signature, **inputs, **told)
    except dspy.AdapterParseError as error:
        reasons = (_reason(error, program),)
    except Exception as error:
        meant = failure(error, backend)
        if meant is error:
            raise
        raise meant from error
    if any(reason == "length" for call in calls for reason in _ends_of(call)):
        raise truncated(backend)
    usage, model = _usage(calls), calls[-1]["model"] if calls else ""
    if prediction is None:
        return PredictedResponse(_text(calls), usage, model, reasons)
    answer = program.answer_in(prediction)
    return PredictedResponse(answer, usage, model, demonstration=Demonstration(predictor, inputs, prediction))


def _with_own_history(lm: dspy.LM) -> tuple[dspy.LM, list[dict[str, Any]]]:
    """Return *lm*, over the same connections, and the list that its calls are written to.

    The history of a shared one mixes the calls of all tasks, and keeps them.
    """
    calls: list[dict[str, Any]] = []
    own = lm.copy()
    own.update_history = calls.append
    return own, calls


def _with_attempts(
    signature: type[dspy.Signature], rejected: Sequence[Rejection]
) -> tuple[type[dspy.Signature], dict[str, Any]]:
    """Return *signature* with what was wrong so far: the prompt must change, or a cache answers the same."""
    if not rejected:
        return signature, {}
    told = [{"answer": harmless(each.answer), "wrong": harmless(list(each.reasons))} for each in rejected]
    return signature.append("previous_attempts", dspy.InputField(desc=_ATTEMPTS), list), {"previous_attempts": told}


def _reason(error: dspy.AdapterParseError, program: Program) -> str:
    """Return in one line what could not be read: a field, or which are not there."""
    parsed = error.parsed_result
    if isinstance(parsed, Mapping):
        missing = [each.name for name, each in program.form.outputs.items() if name not in parsed]
        return f"the answer has no field {', '.join(missing)}"
    return (
        str(error).partition("Error message:")[2].strip().splitlines()[0]
        if "Error message:" in str(error)
        else ("the answer is not in the format that was asked for")
    )


# --- What a call used -------------------------------------------------------------------------------------------------


def _usage(calls: Sequence[Mapping[str, Any]]) -> Usage:
    total = Usage()
    for call in calls:
        total += _usage_of(call)
    return total


def _usage_of(call: Mapping[str, Any]) -> Usage:
    """Return what one call used; an answer from DSPy's cache used nothing, whatever it cost when it was made."""
    if getattr(call["response"], "cache_hit", False):
        return Usage()
    told: Mapping[str, Any] = call["usage"] or {}
    details: Mapping[str, Any] = told.get("prompt_tokens_details") or {}
    return Usage(
        requests=1,
        input_tokens=told.get("prompt_tokens") or told.get("input_tokens") or 0,
        output_tokens=told.get("completion_tokens") or told.get("output_tokens") or 0,
        cost=call["cost"],
        cached_tokens=details.get("cached_tokens") or told.get("cache_read_tokens") or 0,
    )


def _text(calls: Sequence[Mapping[str, Any]]) -> str:
    """Return what the model wrote last."""
    written: Any = calls[-1]["outputs"][0] if calls and calls[-1]["outputs"] else ""
    return str(written.get("text", "") if isinstance(written, dict) else written)


def _ends_of(call: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield how each answer of a call ended, as either of DSPy's engines tells it."""
    response = call["response"]
    for each in response if isinstance(response, list | tuple) else [response]:
        yield getattr(each, "finish_reason", None)
        for choice in getattr(each, "choices", None) or ():
            yield getattr(choice, "finish_reason", None)
