"""What PydanticAI raises, as errors of ours, by table; keys are left out of every text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, cast

from pydantic_ai import exceptions
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import known_model_names

from ...errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRefusalError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
    MissingExtraError,
    shorten,
)
from .._failures import failure_of, redact

_ANOTHER = "The provider may use another format, or the address may be of something else: look at what answers there."
_MODE = "Another output_mode= may take this schema."
_LONGER = "Let it write more: settings={'max_tokens': …}."

# By class, the first that fits; a status comes before all of it. Not every version of PydanticAI has them all.
_BY_CLASS: tuple[tuple[str, type[LMError], str], ...] = (
    ("ModelTimeoutError", LMTimeoutError, "Try again, or give it more time: request_timeout=."),
    ("ModelRequestTimeout", LMTimeoutError, "PydanticAIBackend(request_timeout=) sets the seconds."),
    ("ModelConnectionError", LMConnectionError, "Check the address and the network, and that the server runs."),
    ("ContentFilterError", LMRefusalError, "Another model may answer, or other words."),
    ("UnexpectedModelBehavior", LMResponseError, _ANOTHER),
    ("ModelRequestRejectedError", LMRequestError, _MODE),
    ("ModelAPIError", LMResponseError, _ANOTHER),
    ("UserError", LMRequestError, "PydanticAI does not send such a request."),
    ("ValueError", LMRequestError, _MODE),
)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_INSTALL = re.compile(r"""pip install ["'][^"']+["']""")


def failure(error: Exception, backend: str, secrets: Iterable[str] = ()) -> Exception:
    """Return what *error* means; itself if it is none of PydanticAI's."""
    redact(error, secrets)
    if isinstance(error, ExceptionGroup):  # every model of a FallbackModel failed
        return failure(cast("ExceptionGroup[Exception]", error).exceptions[-1], backend)
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return failure_of(status, _said(error), backend, retry_after=getattr(error, "retry_after", None))
    for name, cls, hint in _BY_CLASS:
        known = getattr(exceptions, name, None) or {"ValueError": ValueError}.get(name)
        if known is not None and isinstance(error, known):
            return cls(shorten(error), hint, backend=backend)
    return error


def refused(said: str, backend: str) -> LMRefusalError:
    """Return the error for a model that declines, with the words in which it did."""
    what = f"the model declined: {shorten(said)}" if said else "the model declined to answer"
    return LMRefusalError(what, "Another model may answer, or other words.", backend=backend)


def truncated(backend: str) -> LMResponseError:
    """Return the error for an answer that ends too early."""
    return LMResponseError("the answer was cut off at the limit of tokens", _LONGER, backend=backend)


def not_made(error: Exception, provider: str, backend: str) -> Exception:
    """Return what it means that a model cannot be made: an unknown provider, no key, no package."""
    if isinstance(error, ImportError):
        return _missing(error, provider, backend)
    if not isinstance(error, UserError | ValueError):
        return error
    if str(error).startswith("Unknown model"):
        return unknown_provider(provider, backend)
    variable = _VARIABLE.search(str(error))
    if variable is not None and "KEY" in variable[0]:
        what = f"there is no key for {provider}"
        return LMAuthenticationError(what, f"Set the variable {variable[0]}.", backend=backend)
    said = str(error).partition(" or pass it")[0]
    return LMNotConfiguredError(f"{provider} cannot be asked: {shorten(said)}", backend=backend)


def unknown_provider(provider: str, backend: str) -> LMNotConfiguredError:
    """Return the error for a provider that PydanticAI does not know, with a guess at what was meant."""
    close = difflib.get_close_matches(provider, _known_providers(), n=1)
    hint = f"Did you mean '{close[0]}:…'?" if close else "PydanticAI's documentation lists them."
    return LMNotConfiguredError(f"no provider is called {provider!r}", hint, backend=backend, name=provider)


def _known_providers() -> set[str]:
    return {"ollama", "openai-chat", "claude-cli"} | {each.partition(":")[0] for each in known_model_names()}


def _missing(error: ImportError, provider: str, backend: str) -> Exception:
    """Return how to install what *provider* needs: what the extra brings, or what PydanticAI says."""
    package = getattr(error.__cause__, "name", None) or ""
    if package in ("openai", "anthropic"):
        return MissingExtraError("pydantic-ai", package, backend)
    command = _INSTALL.search(str(error))
    hint = f"Install it with: {command[0]}" if command else shorten(error)
    return LMNotConfiguredError(f"{provider} needs a package that is not installed", hint, backend=backend)


def _said(error: Exception) -> str:
    """Return the provider's own words, where they are found."""
    said: Any = getattr(error, "body", None)
    for name in ("error", "message"):
        said = cast("dict[str, Any]", said).get(name, said) if isinstance(said, dict) else said
    return shorten(said if isinstance(said, str) else error)
