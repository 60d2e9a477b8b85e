"""One call of a predictor: a request in, a response out, and what the call used, which is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from pydantic import ValidationError

from ...errors import reasons_of
from ...lm import LMRequest, LMResponse, Usage
from .._scrubbing import is_object, keys_of_environment
from .errors import failure, refused, truncated
from .programs import Program, harmless

_ATTEMPTS = "your answers that were rejected, and why; answer again with exactly that put right"
# DSPy's own second try, in another format, would hide what the first one cost and answered.
ADAPTER = dspy.ChatAdapter(use_json_adapter_fallback=False)
_UNREAD_FIELD = re.compile(r"Failed to parse field (\w+) ")


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
    predictor: dspy.Predict,
    program: Program,
    request: LMRequest,
    *,
    lm: dspy.BaseLM,
    adapter: dspy.Adapter,
    backend: str,
) -> PredictedResponse:
    """Return what *predictor* answers to *request*; raises LMError."""
    inputs = program.inputs_of(request)
    told = _attempts(request)
    signature = _asked(predictor.signature, program, request, {**inputs, **told})
    own, calls = _with_own_history(lm)
    prediction: dspy.Prediction | None = None
    reasons: tuple[str, ...] = ()
    try:
        with dspy.context(trace=None, adapter=adapter, warn_on_type_mismatch=False, disable_history=False):
            prediction = await predictor.acall(lm=own, signature=signature, **inputs, **told)
    except dspy.AdapterParseError as error:
        reasons = _reasons(error, program)
    except Exception as error:
        meant = failure(error, backend, _secrets_of(lm))
        if meant is error:
            raise
        raise meant from error
    _check_the_end(calls, backend)
    usage, model = _usage(calls, is_cached=bool(getattr(lm, "cache", False))), calls[-1]["model"] if calls else ""
    if prediction is None:
        return PredictedResponse(_text(calls), usage, model, reasons)
    answer = program.answer_in(prediction)
    return PredictedResponse(answer, usage, model, demonstration=Demonstration(predictor, inputs, prediction))


def _with_own_history(lm: dspy.BaseLM) -> tuple[dspy.BaseLM, list[dict[str, Any]]]:
    """Return *lm*, over the same connections, and the list that its calls are written to.

    The history of a shared one mixes the calls of all tasks, and keeps them.
    """
    calls: list[dict[str, Any]] = []
    own = lm.copy()
    own.update_history = calls.append
    return own, calls


def _secrets_of(lm: dspy.BaseLM) -> Iterator[str]:
    """Yield what a provider was sent that nobody else may see."""
    yield from keys_of_environment()
    yield str(lm.kwargs.get("api_key") or "")
    for name in ("headers", "extra_headers"):
        sent: Mapping[str, Any] = lm.kwargs.get(name) or {}
        yield from map(str, sent.values())


# --- What is asked ----------------------------------------------------------------------------------------------------


def _attempts(request: LMRequest) -> dict[str, Any]:
    """Return what was wrong so far, as an input: the prompt must change, or a cache answers the same."""
    told = [{"answer": harmless(each.answer), "wrong": harmless(list(each.reasons))} for each in request.rejected]
    return {"previous_attempts": told} if told else {}


def _asked(
    signature: type[dspy.Signature], program: Program, request: LMRequest, inputs: Mapping[str, Any]
) -> type[dspy.Signature]:
    """Return *signature* as this request has it: an instruction of its own, no input that is not given, attempts."""
    if request.instruction != program.form.instruction:
        signature = signature.with_instructions(request.instruction)
    for name in signature.input_fields.keys() - inputs.keys():
        signature = signature.delete(name)
    if request.rejected:
        signature = signature.append("previous_attempts", dspy.InputField(desc=_ATTEMPTS), list)
    return signature


# --- What came back ---------------------------------------------------------------------------------------------------


def _reasons(error: dspy.AdapterParseError, program: Program) -> tuple[str, ...]:
    """Return what could not be read: a field, and why, or which are not there."""
    outputs, parsed = program.form.outputs, error.parsed_result
    if is_object(parsed):
        return tuple(f"{each.name}: this field is not there" for name, each in outputs.items() if name not in parsed)
    cause, named = error.__context__, _UNREAD_FIELD.search(str(error))
    if not (isinstance(cause, ValidationError) and named and named[1] in outputs):
        return ("the answer is not in the format that was asked for",)
    name = outputs[named[1]].name
    return tuple(f"{name}: {reason.removeprefix('the answer: ')}" for reason in reasons_of(cause))


def _check_the_end(calls: Sequence[Mapping[str, Any]], backend: str) -> None:
    """Raise an LMError if the model declined, or did not come to its end."""
    for reply in (reply for call in calls for reply in _replies(call["response"])):
        reason, refusal = getattr(reply, "finish_reason", None), _refusal_in(reply)
        if refusal or reason == "content_filter":
            raise refused(refusal, backend)
        if reason == "length":
            raise truncated(backend)


def _replies(response: Any) -> Sequence[Any]:
    """Return what has a message and a finish_reason, as either of DSPy's engines tells it."""
    return getattr(response, "choices", None) or [response]


def _refusal_in(reply: Any) -> str:
    message = getattr(reply, "message", None)
    parts: Any = getattr(message, "parts", None) or ()
    texts = [part.text for part in parts if getattr(part, "type", "") == "refusal"]
    return " ".join(texts) or getattr(message, "refusal", None) or ""


def _text(calls: Sequence[Mapping[str, Any]]) -> str:
    """Return what the model wrote last."""
    written: Any = calls[-1]["outputs"][0] if calls and calls[-1]["outputs"] else ""
    return str((written.get("text") if is_object(written) else written) or "")


def _usage(calls: Sequence[Mapping[str, Any]], *, is_cached: bool) -> Usage:
    total = Usage()
    for call in calls:
        total += _usage_of(call, is_cached=is_cached)
    return total


def _usage_of(call: Mapping[str, Any], *, is_cached: bool) -> Usage:
    """Return what one call used; an answer from DSPy's cache used nothing, whatever it cost when it was made."""
    told: Mapping[str, Any] = call["usage"] or {}
    if is_cached and not told:  # this is how DSPy tells of one
        return Usage()
    details: Mapping[str, Any] = told.get("prompt_tokens_details") or {}
    return Usage(
        requests=1,
        input_tokens=told.get("prompt_tokens") or told.get("input_tokens") or 0,
        output_tokens=told.get("completion_tokens") or told.get("output_tokens") or 0,
        cost=call["cost"],
        cached_tokens=details.get("cached_tokens") or told.get("cache_read_tokens") or 0,
    )
