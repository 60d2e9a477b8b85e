"""Every exception that Weft raises on purpose; each carries data and one line of text: where: what. Hint.

WeftError
├── GraphError                   the graph is wrong; nothing has run
├── UnresolvedFieldError         a Dep or Recall field was read before it had a value
├── RunError                     a run could not go on
│   ├── DepError                 a dependency failed; its exception is the cause
│   ├── RecallError              the trace holds nothing of the wanted type
│   ├── ChoiceError              the LM did not choose one of those offered
│   ├── FillError                what was to fill a node was rejected
│   ├── RouteError               a custom body returned what its annotation does not allow
│   ├── StepLimitError           the run visited as many nodes as it may
│   ├── BudgetExceededError      the run's budget is spent
│   └── RunTimeoutError          the run took longer than its timeout
├── LMError                      a back-end could not answer
│   ├── LMAuthenticationError    the key is missing or wrong
│   ├── LMRateLimitError         too many requests or too much load; retryable
│   ├── LMTimeoutError           no answer in time; retryable
│   ├── LMConnectionError        the back-end was not reached, or failed; retryable
│   ├── LMRequestError           the request is rejected as it is
│   ├── LMRefusalError           the model declined to answer
│   ├── LMResponseError          the answer could not be read
│   └── LMNotConfiguredError     no LM was named, or an unknown one
│       └── StaleProgramError    a prompt that was tuned does not fit the graph, or was never tuned
├── CassetteError                a file of recorded answers cannot be used
├── ProgramFileError             a file of tuned prompts cannot be used
└── MissingExtraError            an optional package is not installed

Cancellation is never wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_SHOWN = 200
_SHOWN_STEPS = 12


def printable(text: str) -> str:
    """Return *text* with control characters, line breaks and terminal escapes written out, not obeyed."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  whatever it is, an error message must come out
        return f"<{type(value).__name__} whose text raises {type(error).__name__}>"


def shorten(value: object, limit: int = _SHOWN) -> str:
    """Return *value* as one printable line of at most *limit* characters; control characters are escaped."""
    text = printable(_text_of(value))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def describe(error: BaseException) -> str:
    """Return an exception's class and text in one line."""
    said: object = error
    if isinstance(error, ValidationError):
        said = "; ".join(f"{error.title}.{reason}" for reason in reasons_of(error))
    text = shorten(said)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def reasons_of(error: ValidationError) -> tuple[str, ...]:
    """Return what *error* says is wrong, one line for each place."""
    return tuple(
        f"{'.'.join(map(str, each['loc'])) or 'the answer'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )


def sentence(where: str, what: str, hint: str = "") -> str:
    """Return the one line that every error shows, ``where: what. Hint.``, from its parts."""
    line = f"{where}: {what}" if where else what
    line = line if line.endswith((".", "?", "!")) else f"{line}."
    return printable(f"{line} {hint}".rstrip())


def arrows(path: Sequence[str]) -> str:
    """Return *path* joined by arrows, the middle of a very long one left out."""
    if len(path) <= _SHOWN_STEPS:
        return " → ".join(path)
    half = _SHOWN_STEPS // 2
    left_out = f"… {len(path) - 2 * half:,} more …"
    return " → ".join([*path[:half], left_out, *path[-half:]])


def name_of(thing: object) -> str:
    """Return what people call *thing*: a class's or a function's name, without its module."""
    inner = getattr(thing, "func", None)
    if inner is not None and not hasattr(thing, "__name__"):
        return name_of(inner)
    return str(getattr(thing, "__name__", None) or f"{type(thing).__name__}(…)")


def what_is(value: object) -> str:
    """Return what people call *value* by its kind: ``None``, ``a str``, ``an Answer``, ``the class Answer``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {name_of(value)}"
    return with_article(name_of(type(value)))


def with_article(name: str) -> str:
    """Return *name* after ``a`` or ``an``, as it is spoken."""
    is_spelt_out = name[:2].isupper()
    return f"{'an' if name[:1] in ('AEFHILMNORSX' if is_spelt_out else 'aeiouAEIOU') else 'a'} {name}"


class WeftError(Exception):
    """The base of every error Weft raises."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a graph's definition."""

    node_type: type | None
    field_name: str | None
    message: str
    hint: str = ""

    @property
    def where(self) -> str:
        """``Node.field``, as far as it is known."""
        node = name_of(self.node_type) if self.node_type else ""
        return ".".join(part for part in (node, self.field_name) if part)

    def __str__(self) -> str:
        return sentence(self.where, self.message, self.hint)


class GraphError(WeftError):
    """Raised when a graph is defined wrongly; `faults` lists everything found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return str(self.faults[0])
        return "\n".join([f"{len(self.faults)} faults in this graph:", *(f"  {fault}" for fault in self.faults)])


class UnresolvedFieldError(WeftError, AttributeError):
    """Raised when a Dep or Recall field is read before it has a value."""

    def __init__(self, node_type: type, field_name: str) -> None:
        self.node_type = node_type
        self.field_name = field_name
        super().__init__(node_type, field_name)
        self.name = field_name

    def __str__(self) -> str:
        where = f"{name_of(self.node_type)}.{self.field_name}"
        return sentence(where, "is not resolved yet", "A run resolves it; outside a run, pass it to the constructor.")


class RunError(WeftError):
    """Raised when a run cannot go on; `trace` holds the nodes visited so far."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        node_type: type | None = None,
        field_name: str | None = None,
        path: Sequence[str] = (),
        trace: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node_type = node_type
        self.field_name = field_name
        self.path = tuple(path)
        self.trace: list[Any] = list(trace)

    def __str__(self) -> str:
        node = name_of(self.node_type) if self.node_type else ""
        where = arrows(self.path) or ".".join(part for part in (node, self.field_name) if part)
        return sentence(where, self.message, self.hint)


class DepError(RunError):
    """Raised when a dependency fails; the exception it raised is the cause, `path` leads to it."""


class RecallError(RunError):
    """Raised when the trace holds nothing that a Recall wants; `wanted` is the type."""

    def __init__(self, message: str, hint: str = "", *, wanted: Any = None, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.wanted = wanted


class ChoiceError(RunError):
    """Raised when an LM does not choose one of those offered; `offered` and `answered` hold both."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        offered: Sequence[str] = (),
        answered: Any = None,
        attempts: Sequence[Any] = (),
        **place: Any,
    ) -> None:
        super().__init__(message, hint, **place)
        self.offered = tuple(offered)
        self.answered = answered
        self.attempts = tuple(attempts)


class FillError(RunError):
    """Raised when what was to fill a node was rejected; `attempts` holds each answer of the LM and the reasons."""

    def __init__(self, message: str, hint: str = "", *, attempts: Sequence[Any] = (), **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.attempts = tuple(attempts)


class RouteError(RunError):
    """Raised when a custom ``__call__`` returns something its return annotation does not name."""

    def __init__(self, message: str, hint: str = "", *, returned: Any = None, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.returned = returned


class StepLimitError(RunError):
    """Raised when a run would visit more than `limit` nodes."""

    def __init__(self, message: str, hint: str = "", *, limit: int = 0, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.limit = limit


class BudgetExceededError(RunError):
    """Raised before the next LM call once a run's `budget` is spent; `usage` is what was used."""

    def __init__(
        self, message: str, hint: str = "", *, budget: Any = None, usage: Any = None, account: Any = None, **place: Any
    ) -> None:
        super().__init__(message, hint, **place)
        self.budget = budget
        self.usage = usage
        self.account = account


class RunTimeoutError(RunError, TimeoutError):
    """Raised when a run takes longer than its `timeout`, in seconds."""

    def __init__(self, message: str, hint: str = "", *, timeout: float = 0, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.timeout = timeout


class LMError(WeftError):
    """Raised when a back-end could not answer; `is_retryable` says whether another try could."""

    is_retryable = False

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        backend: str = "",
        node_type: type | None = None,
        key: str = "",
        trace: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.backend = backend
        self.node_type = node_type
        self.key = key
        self.trace: list[Any] = list(trace)

    def __str__(self) -> str:
        return sentence(self.key or self.backend, self.message, self.hint)


class LMAuthenticationError(LMError):
    """Raised when a back-end's key is missing or not accepted."""


class LMRateLimitError(LMError):
    """Raised when a back-end turns the call away for load; `retry_after` is in seconds, if it said so."""

    is_retryable = True

    def __init__(self, message: str, hint: str = "", *, retry_after: float | None = None, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.retry_after = retry_after


class LMTimeoutError(LMError):
    """Raised when a back-end does not answer in time."""

    is_retryable = True


class LMConnectionError(LMError):
    """Raised when a back-end cannot be reached, or fails."""

    is_retryable = True


class LMRequestError(LMError):
    """Raised when a back-end rejects a request as it is: too long, malformed, or for a model that it does not have."""


class LMRefusalError(LMError):
    """Raised when the model declines to answer."""


class LMResponseError(LMError):
    """Raised when a back-end's answer cannot be read."""


class LMNotConfiguredError(LMError, ValueError):
    """Raised when an LM is needed and none is named (`name` is None), the name is unknown, or its program missing."""

    def __init__(self, message: str, hint: str = "", *, name: str | None = None, **place: Any) -> None:
        super().__init__(message, hint, **place)
        self.name = name


class StaleProgramError(LMNotConfiguredError):
    """Raised when prompts of a graph are not among the tuned ones, or have changed; `problems` says why, by program."""

    def __init__(
        self, message: str, hint: str = "", *, problems: Mapping[str, str] | None = None, **place: Any
    ) -> None:
        super().__init__(message, hint, **place)
        self.problems = dict(problems or {})


class _OfFile(ValueError):  # noqa: N818  a part of errors, raised by none
    """What is wrong with the file at `path`."""

    def __init__(self, path: str, message: str, hint: str = "") -> None:
        self.path = path
        self.message = message
        self.hint = hint
        super().__init__(path, message, hint)

    def __str__(self) -> str:
        return sentence(self.path, self.message, self.hint)


class CassetteError(WeftError, _OfFile):
    """Raised when the file of recorded answers at `path` is not there, or is not one that this Weft reads."""


class ProgramFileError(WeftError, _OfFile):
    """Raised when the file of tuned prompts at `path` is not there, or is not one that this Weft reads."""


class MissingExtraError(WeftError, ImportError):
    """Raised when a feature needs a package that an extra of Weft installs."""

    def __init__(self, extra: str, package: str, needed_for: str) -> None:
        self.extra = extra
        self.package = package
        self.needed_for = needed_for
        super().__init__(extra, package, needed_for)

    def __str__(self) -> str:
        what = f"needs the package {self.package}, which is not installed"
        return sentence(self.needed_for, what, f"Install it with: pip install 'weft[{self.extra}]'")
