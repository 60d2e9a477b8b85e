"""What DSPy raises, as errors of ours, by table."""

from __future__ import annotations

from dspy.utils import exceptions

from ...errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRateLimitError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
    shorten,
)
from .._failures import failure_of

# By class, the first that fits; a status comes before all of it. Not every version of DSPy has them all.
_BY_CLASS: tuple[tuple[str, type[LMError], str], ...] = (
    ("LMAuthError", LMAuthenticationError, "Check the provider's key, and that it belongs to this provider."),
    ("LMBillingError", LMAuthenticationError, "The provider wants to be paid first."),
    ("LMNotConfiguredError", LMAuthenticationError, "Set the provider's key, or pass a dspy.LM that has one."),
    ("LMConfigurationError", LMNotConfiguredError, "See dspy.LM for what it takes."),
    ("LMRateLimitError", LMRateLimitError, "Wait and try again, or ask less at once."),
    ("LMTimeoutError", LMTimeoutError, "Try again, or give it more time: dspy.LM(timeout=)."),
    ("LMInvalidRequestError", LMRequestError, "The provider rejects the request as it is."),
    ("LMUnsupportedFeatureError", LMRequestError, "Another model, or another setting of dspy.LM, may do."),
    ("LMTransportError", LMConnectionError, "Check the address and the network, and that the server runs."),
    ("LMServerError", LMConnectionError, "The provider failed: try again."),
    ("LMError", LMResponseError, "Look at what answers there."),
)


def failure(error: Exception, backend: str) -> Exception:
    """Return what *error* means; itself if it is none of DSPy's."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:
        return failure_of(status, shorten(error), backend, retry_after=getattr(error, "retry_after", None))
    for name, cls, hint in _BY_CLASS:
        known = getattr(exceptions, name, None)
        if known is not None and isinstance(error, known):
            return cls(shorten(error), hint, backend=backend)
    return error


def truncated(backend: str) -> LMResponseError:
    """Return the error for an answer that ends too early."""
    hint = "Let it write more: dspy.LM(max_tokens=)."
    return LMResponseError("the answer was cut off at the limit of tokens", hint, backend=backend)
