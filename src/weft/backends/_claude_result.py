"""What a process of the Claude CLI told, event by event, and what it comes to: an answer or an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json

from ..errors import (
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMRefusalError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
)
from ..lm import LMResponse, OnPartial, Usage
from ._claude_schema import VALUE
from ._failures import failure_of

BACKEND = "claude-cli"
LOGIN = "Run `claude` and type /login, or set ANTHROPIC_API_KEY, which comes before a login."
_TOOL = "StructuredOutput"
_UNREAD = "__unparsedToolInput"
_NO_MODEL = "<synthetic>"


class Answering:
    """One answer on its way: fed with the CLI's events, it tells what is there so far, and in the end the answer."""

    def __init__(self, on_partial: OnPartial | None = None, *, is_wrapped: bool = False) -> None:
        self.result: dict[str, Any] | None = None
        self._on_partial = on_partial
        self._is_wrapped = is_wrapped
        self._written = ""
        self._shown = 0
        self._tried: Any = None
        self._model = ""
        self._messages: set[str] = set()

    def feed(self, line: bytes) -> None:
        """Take in one line of output; what is no event, or one of an unknown type, says nothing."""
        try:
            event = _dict(from_json(line))
        except ValueError:
            return
        kind = event.get("type")
        if kind == "result":
            self.result = event
        elif kind == "assistant":
            self._take_message(_dict(event.get("message")))
        elif kind == "stream_event" and self._on_partial is not None:
            self._take_delta(_dict(event.get("event")), self._on_partial)

    def _take_message(self, message: Mapping[str, Any]) -> None:
        model = message.get("model")
        if not isinstance(model, str) or model == _NO_MODEL:
            return
        self._model = model
        self._messages.add(str(message.get("id")))
        for block in map(_dict, _list(message.get("content"))):
            if block.get("name") == _TOOL:
                self._tried = block.get("input")

    def _take_delta(self, event: Mapping[str, Any], on_partial: OnPartial) -> None:
        if event.get("type") == "content_block_start":
            self._written, self._shown = "", 0
        fragment = _dict(event.get("delta")).get("partial_json")
        if not isinstance(fragment, str):
            return
        self._written += fragment
        # Reading a long text again at every word would take the square of its length.
        if len(self._written) < self._shown * 1.05:
            return
        self._shown = len(self._written)
        try:
            value = self._unwrapped(from_json(self._written, allow_partial="trailing-strings"))
        except ValueError:
            return
        if isinstance(value, dict) and value:
            on_partial(_dict(value))

    def _unwrapped(self, value: Any) -> Any:
        return _dict(value).get(VALUE) if self._is_wrapped else value

    def response(self) -> LMResponse:
        """Return the answer, which its reader checks; raises LMError where there is none that could be put right."""
        result = self.result or {}
        if result.get("stop_reason") == "refusal":
            raise LMRefusalError(f"the model declined: {_said(result)}", backend=BACKEND)
        if not result.get("is_error") and result.get("subtype") == "success":
            return self._answer(result)
        if result.get("subtype") == "error_max_structured_output_retries":
            return self._rejected_answer(result)
        raise _failure(result)

    def _answer(self, result: Mapping[str, Any]) -> LMResponse:
        if "structured_output" in result:
            data = self._unwrapped(result["structured_output"])
        elif result.get("modelUsage"):
            data = str(result.get("result") or "")  # prose: the model is told that it is no JSON
        else:
            what = f"the CLI answered by itself, and asked no model: {_said(result)}"
            raise LMResponseError(what, "Please report it: data must never be run as a command.", backend=BACKEND)
        return LMResponse(data, self._usage(result), self._model)

    def _rejected_answer(self, result: Mapping[str, Any]) -> LMResponse:
        """Return what the CLI found not to fit: the model is told why, in Pydantic's words."""
        if result.get("stop_reason") == "max_tokens":
            hint = "Ask for less, or give more: ClaudeCLIBackend(env={'CLAUDE_CODE_MAX_OUTPUT_TOKENS': …})."
            raise LMResponseError("the answer was cut off at the most tokens allowed", hint, backend=BACKEND)
        tried = self._tried
        if _UNREAD in _dict(tried):
            tried = str(_dict(tried[_UNREAD]).get("raw"))
        if tried is None:
            raise LMResponseError(f"no answer fits the schema: {_said(result)}", backend=BACKEND)
        return LMResponse(self._unwrapped(tried), self._usage(result), self._model)

    def _usage(self, result: Mapping[str, Any]) -> Usage:
        models = result.get("modelUsage")
        cached = _total(models, "cacheReadInputTokens")
        cost = result.get("total_cost_usd")
        return Usage(
            requests=max(len(self._messages), 1),
            input_tokens=_total(models, "inputTokens") + _total(models, "cacheCreationInputTokens") + cached,
            output_tokens=_total(models, "outputTokens"),
            cost=float(cost) if isinstance(cost, int | float) else None,
            cached_tokens=cached,
        )


def _failure(result: Mapping[str, Any]) -> LMError:
    status, said = result.get("api_error_status"), _said(result)
    if result.get("terminal_reason") == "prompt_too_long":
        return LMRequestError(said, "Shorten the fields that the model is shown.", backend=BACKEND)
    if isinstance(status, int):
        failure = failure_of(status, said, BACKEND)
        if status == 401:  # noqa: PLR2004  what HTTP calls Unauthorized
            failure.hint = LOGIN
        return failure
    if re.search(r"not logged in|/login|api key", said, re.IGNORECASE):
        return LMAuthenticationError(said, LOGIN, backend=BACKEND)
    if re.search(r"timed out", said, re.IGNORECASE):
        return LMTimeoutError(said, "Try again.", backend=BACKEND)
    if result.get("terminal_reason") == "api_error" or result.get("subtype") == "success":
        return LMConnectionError(said, "Try again, and check the network and ANTHROPIC_BASE_URL.", backend=BACKEND)
    return LMResponseError(f"the CLI gave up with {result.get('subtype')}: {said}", backend=BACKEND)


def _said(result: Mapping[str, Any]) -> str:
    said = "; ".join(map(str, _list(result.get("errors")))) or str(result.get("result") or "")
    said = re.sub(r"^API Error: (\d{3} )?", "", said.strip())
    return " ".join(said.split())[:500] or "it did not say why"


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    is_list = issubclass(type(value), list)  # isinstance would make it a list of what pyright does not know
    return value if is_list else []


def _total(models: Any, name: str) -> int:
    counts = [_dict(each).get(name) for each in _dict(models).values()]
    return sum(count for count in counts if isinstance(count, int))
