"""What is already there of an answer: the JSON of a tool call, or text, read while it arrives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Mapping
from typing import Any, cast

from pydantic_ai.messages import (
    AgentStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.tools import RunContext
from pydantic_core import from_json

from ...lm import OnPartial

ANSWER = "final_result"
# A text is read as a whole each time it has grown by this share, so that a long one costs its length some twenty times.
_READ_AGAIN = 0.05


class PartialReader:
    """Tells *on_partial* the fields that are there, as PydanticAI's events of a run bring them."""

    def __init__(self, on_partial: OnPartial) -> None:
        self._on_partial = on_partial
        self._told: Mapping[str, Any] = {}

    async def __call__(self, context: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Read the *events* of one response."""
        texts: dict[int, _Growing] = {}
        async for event in events:
            if isinstance(event, PartStartEvent) and _is_answer(event):
                texts[event.index] = _Growing()
            if isinstance(event, PartStartEvent | PartDeltaEvent) and event.index in texts:
                text = texts[event.index]
                if text.takes(_text_in(event)):
                    self._tell(text.value())

    def _tell(self, values: Any) -> None:
        if isinstance(values, dict) and values and values != self._told:
            self._told = cast("dict[str, Any]", values)
            self._on_partial(self._told)


class _Growing:
    """A text that grows, read as JSON as far as it goes."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = self._next = 0

    def takes(self, part: str) -> bool:
        """Take *part*, and return whether it is time to read again."""
        self._parts.append(part)
        self._length += len(part)
        return bool(part) and self._length >= self._next

    def value(self) -> Any:
        """Return the JSON value so far; None if it is none."""
        self._next = self._length + int(self._length * _READ_AGAIN)
        self._parts = ["".join(self._parts)]
        try:
            return from_json(self._parts[0], allow_partial="trailing-strings")
        except ValueError:
            return None


def _is_answer(event: PartStartEvent) -> bool:
    part = event.part
    return isinstance(part, TextPart) or (isinstance(part, ToolCallPart) and part.tool_name.startswith(ANSWER))


def _text_in(event: PartStartEvent | PartDeltaEvent) -> str:
    match event:
        case PartStartEvent(part=ToolCallPart(args=args)):
            return args if isinstance(args, str) else json.dumps(args) if args else ""
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return text
        case _:
            return ""
