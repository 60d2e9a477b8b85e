"""What an HTTP status means: one table for every back-end."""

from __future__ import annotations

from http import HTTPStatus

from ..errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMRateLimitError,
    LMRequestError,
    LMTimeoutError,
)

_BY_STATUS: dict[int, tuple[type[LMError], str]] = {
    401: (LMAuthenticationError, "Check the provider's key, and that it belongs to this provider."),
    403: (LMAuthenticationError, "The key is known, and may not use this model."),
    404: (LMRequestError, "Check the model's name."),
    408: (LMTimeoutError, "Try again, or give the call more time."),
    413: (LMRequestError, "Shorten the fields that the model is shown."),
    429: (LMRateLimitError, "Wait and try again, or lower max_concurrency."),
    529: (LMRateLimitError, "The provider has too much load: wait and try again."),
}
_REJECTED = (LMRequestError, "The provider rejects the request as it is: another try would end the same way.")
_BROKEN = (LMConnectionError, "The provider failed: try again.")


def failure_of(status: int, said: str, backend: str, *, retry_after: float | None = None) -> LMError:
    """Return the error for a response of *status* of 400 or more, with what the provider *said*."""
    cls, hint = _BY_STATUS.get(status, _BROKEN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REJECTED)
    message = f"the provider answered {status}: {said}" if said else f"the provider answered {status}"
    if issubclass(cls, LMRateLimitError):
        return cls(message, hint, backend=backend, retry_after=retry_after)
    return cls(message, hint, backend=backend)
