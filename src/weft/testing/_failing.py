"""What every LM must do when it cannot be asked: the error, its text, and how soon it comes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMRateLimitError,
    LMRefusalError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
)
from ..graph import Graph
from ..lm import LM
from ..nodes import Node
from ._checks import LMCheck, expect, in_time
from ._promises import check_of, error_of, told
from ._targets import Answer, Hurry, Rebuttal, question

_SECONDS = 15.0  # for a call that may take one


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a scenario is to end with; with `may_answer` an answer will do as well."""

    scenario: str
    wanted: tuple[type[LMError], ...]
    when: str
    may_answer: bool = False

    @property
    def names(self) -> str:
        return " or ".join(each.__name__ for each in self.wanted)

    @property
    def promise(self) -> str:
        also = ", unless it gets a whole answer" if self.may_answer else ""
        return f"An LM raises {self.names} {self.when}{also}."


_FAILURES = (
    _Failure("refusal", (LMRefusalError,), "when the model declines to answer"),
    _Failure("truncated", (LMResponseError,), "when the answer is cut off", may_answer=True),
    _Failure("400", (LMRequestError,), "when the provider rejects the request"),
    _Failure("401", (LMAuthenticationError,), "when the key is not accepted"),
    _Failure("403", (LMAuthenticationError,), "when the key may not use the model"),
    _Failure("404", (LMRequestError,), "when there is no such model"),
    _Failure("413", (LMRequestError,), "when the request is too large"),
    _Failure("429", (LMRateLimitError,), "when there are too many requests"),
    _Failure("500", (LMConnectionError,), "when the provider fails"),
    _Failure("529", (LMRateLimitError,), "when the provider has too much load"),
    _Failure("html", (LMResponseError, LMConnectionError), "when a page comes in place of an answer"),
    _Failure("dropped", (LMConnectionError,), "when the connection is lost"),
)


async def _fails(failure: _Failure, lm: LM, key: str) -> None:
    for ask in (_fill, _choose):
        try:
            answer = await ask(lm)
        except Exception as error:  # noqa: BLE001  which it is, is what is looked at
            expect(isinstance(error, failure.wanted), failure.names, repr(error))
            _expect_told_well(error, key)
        else:
            expect(failure.may_answer and _is_whole(answer), failure.names, told(answer))


async def _fill(lm: LM) -> Answer:
    return await lm.fill(Answer, {}, "Answer.", question)


async def _choose(lm: LM) -> type[Node] | None:
    return await lm.choose_type([Answer, Rebuttal], question)


def _is_whole(answer: Answer | type[Node] | None) -> bool:
    if isinstance(answer, Answer):
        return answer.__dict__.keys() == Answer.model_fields.keys()
    return answer in (Answer, Rebuttal)


def _expect_told_well(error: Exception, key: str) -> None:
    """Expect *error* to be of use: one line, its cause, no secret, and whether another try makes sense."""
    text = str(error)
    expect(bool(text) and text.isprintable(), "one printable line", ascii(text))
    expect(error.__context__ is None or error.__cause__ is not None, "the cause, by `from`", repr(error.__context__))
    leaks = [each for each in _chain(error) if key in _all_text(each)]
    expect(not leaks, "no error that holds the key", [type(each).__name__ for each in leaks])
    if isinstance(error, LMError):
        usual = type(error).is_retryable
        expect(error.is_retryable == usual, f"is_retryable={usual}", error.is_retryable)
    if isinstance(error, LMRateLimitError):
        wait = error.retry_after
        expect(wait is None or wait >= 0, "retry_after in seconds, or None", repr(wait))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _all_text(error: BaseException) -> str:
    return " ".join([str(error), repr(error), *getattr(error, "__notes__", ()), str(vars(error))])


async def stalled_call(lm: LM, key: str) -> None:
    """A call whose answer never comes ends with LMTimeoutError, at the LM's own limit or NodeConfig(timeout=)."""
    error = await in_time(error_of(Graph(start=Hurry).arun(Hurry(), lm=lm)), _SECONDS)

    expect(isinstance(error, LMTimeoutError), "an LMTimeoutError", repr(error))
    _expect_told_well(error, key)


async def key_is_not_shown(lm: LM, key: str) -> None:
    """An LM's repr and text do not hold its key."""
    expect(key not in f"{lm!r} {lm}", "no key", "the key")


def failing() -> Iterator[LMCheck]:
    """Yield the checks of an LM that cannot be asked."""
    for failure in _FAILURES:
        name = f"status_{failure.scenario}" if failure.scenario.isdigit() else failure.scenario
        yield LMCheck(name, failure.scenario, failure.promise, functools.partial(_fails, failure), takes_key=True)
    yield check_of(stalled_call, "stalled", takes_key=True)
    yield check_of(key_is_not_shown, "ok", takes_key=True)
