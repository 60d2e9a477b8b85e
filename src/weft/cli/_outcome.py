"""How ``weft run`` ended: the exit code, the result or the error, and the lines that tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._calls import VARIABLE
from ..errors import DepError, LMNotConfiguredError, WeftError, describe, sentence
from ..events import Status
from ..graph import GraphResult
from ._errors import UsageError, without_objects

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_NO_LM = f"Add --lm NAME (--lm offline needs no key), or set {VARIABLE}."
_MORE = "--traceback shows where."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: `result` if it is done, otherwise `error`, its name in JSON and its lines."""

    status: Status
    code: int
    result: GraphResult[Any] | None = None
    error: BaseException | None = None
    kind: str = ""
    lines: Sequence[str] = ()


def outcome_of(error: BaseException, where: str = "") -> Outcome:
    """Return how *error* ends the command; *where* is the node that was being visited."""
    if isinstance(error, UsageError):
        return Outcome("failed", WRONG_USAGE, None, error, error.kind, error.lines)
    if isinstance(error, KeyboardInterrupt):
        return Outcome("cancelled", INTERRUPTED, None, error, type(error).__name__, ["Interrupted."])
    if isinstance(error, asyncio.CancelledError):
        return Outcome("cancelled", FAILED, None, error, type(error).__name__, ["The run was cancelled."])
    without_lm = missing_lm(error)
    if without_lm is not None:
        line = _missing_lm_line(without_lm)
        return Outcome("failed", WRONG_USAGE, None, error, type(without_lm).__name__, [line])
    return Outcome("failed", FAILED, None, error, type(error).__name__, [_failure_line(error, where)])


def missing_lm(error: BaseException) -> LMNotConfiguredError | None:
    """Return the error that says that no LM is named, or an unknown one, also from inside a dependency."""
    while isinstance(error, DepError) and error.__cause__ is not None:
        error = error.__cause__
    return error if isinstance(error, LMNotConfiguredError) else None


def _missing_lm_line(error: LMNotConfiguredError) -> str:
    is_unnamed = VARIABLE in error.hint
    return sentence("", error.message, _NO_LM) if is_unnamed else without_objects(error)


def _failure_line(error: BaseException, where: str) -> str:
    if isinstance(error, WeftError):
        return str(error)
    return sentence(where, f"raised {describe(error)}", _MORE)
