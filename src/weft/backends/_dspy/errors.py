"""What DSPy raises, as errors of ours, by table; keys are left out of every text."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import dspy

from ...errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRateLimitError,
    LMRefusalError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
    shorten,
)
from .._failures import chain, failure_of, redact

_MORE_TIME = "Try again, or give it more time: dspy.LM(timeout=)."

# By class, the first that fits; a status comes before all of it. Not every version of DSPy has them all.
_BY_CLASS: tuple[tuple[str, type[LMError], str], ...] = (
    ("LMAuthError", LMAuthenticationError, "Check the provider's key, and that it belongs to this provider."),
    ("LMBillingError", LMAuthenticationError, "The provider wants to be paid first."),
    ("LMNotConfiguredError", LMAuthenticationError, "Set the provider's key, or pass a dspy.LM that has one."),
    ("LMConfigurationError", LMNotConfiguredError, "See dspy.LM for what it takes."),
    ("LMRateLimitError", LMRateLimitError, "Wait and try again, or ask less at once."),
    ("LMTimeoutError", LMTimeoutError, _MORE_TIME),
    ("LMInvalidRequestError", LMRequestError, "The provider rejects the request as it is."),
    ("LMUnsupportedFeatureError", LMRequestError, "Another model, or another setting of dspy.LM, may do."),
    ("LMTransportError", LMConnectionError, "Check the address and the network, and that the server runs."),
    ("LMServerError", LMConnectionError, "The provider failed: try again."),
    ("LMError", LMResponseError, "Look at what answers there."),
)


def failure(error: Exception, backend: str, secrets: Iterable[str] = ()) -> Exception:
    """Return what *error* means; itself if it is none of DSPy's."""
    redact(error, secrets)
    if _is_timeout(error):
        return LMTimeoutError(_said(error), _MORE_TIME, backend=backend)
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST:
        return failure_of(status, _said(error), backend, retry_after=getattr(error, "retry_after", None))
    for name, cls, hint in _BY_CLASS:
        known = getattr(dspy, name, None)
        if known is not None and isinstance(error, known):
            return cls(_said(error), hint, backend=backend)
    return error


def _is_timeout(error: Exception) -> bool:
    """Return whether the time ran out on the way, which DSPy calls a failure of the transport."""
    return isinstance(error, dspy.DSPyError) and any(type(each).__name__.endswith("Timeout") for each in chain(error))


def _said(error: Exception) -> str:
    """Return the first line of what the provider said, without advice on DSPy's settings."""
    text = str(getattr(error, "message", "") or error).strip()
    return shorten(text.partition("\n")[0].removesuffix(f" ({getattr(error, 'status', None)})"))


def truncated(backend: str) -> LMResponseError:
    """Return the error for an answer that ends too early."""
    hint = "Let it write more: dspy.LM(max_tokens=)."
    return LMResponseError("the answer was cut off at the limit of tokens", hint, backend=backend)


def refused(said: str, backend: str) -> LMRefusalError:
    """Return the error for a model that declines, with the words in which it did."""
    what = f"the model declined: {shorten(said)}" if said else "the model declined to answer"
    return LMRefusalError(what, "Another model may answer, or other words.", backend=backend)
