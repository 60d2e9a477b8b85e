"""What an HTTP status means, one table for every back-end, and no key in what is said of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, cast

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
_SHORTEST_SECRET = 8
_REMOVED = "[key]"


def failure_of(status: int, said: str, backend: str, *, retry_after: float | None = None) -> LMError:
    """Return the error for a response of *status* of 400 or more, with what the provider *said*."""
    cls, hint = _BY_STATUS.get(status, _BROKEN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REJECTED)
    message = f"the provider answered {status}: {said}" if said else f"the provider answered {status}"
    if issubclass(cls, LMRateLimitError):
        return cls(message, hint, backend=backend, retry_after=retry_after)
    return cls(message, hint, backend=backend)


def redact(error: BaseException, secrets: Iterable[str]) -> None:
    """Take keys out of what *error* and those behind it say: a server may repeat the key that it was sent."""
    known = [each for each in secrets if len(each) >= _SHORTEST_SECRET]
    for each in chain(error):
        if any(secret in str(each) for secret in known):
            _rewrite(each, re.compile("|".join(map(re.escape, known))))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and every one behind it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _rewrite(error: BaseException, secret: re.Pattern[str]) -> None:
    error.args = tuple(_without(secret, each) for each in error.args)
    for name, value in list(vars(error).items()):
        if isinstance(value, str | dict | list | tuple):
            setattr(error, name, _without(secret, value))


def _without(secret: re.Pattern[str], value: Any) -> Any:
    if isinstance(value, str):
        return secret.sub(_REMOVED, value)
    if isinstance(value, dict):
        return {key: _without(secret, inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_without(secret, inner) for inner in cast("Sequence[Any]", value)]
    return value
