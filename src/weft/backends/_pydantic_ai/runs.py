"""Runs of PydanticAI's agent: a request in, a response out, whatever came between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai import Agent, NativeOutput, PromptedOutput, StructuredDict, ToolOutput, capture_run_messages
from pydantic_ai.agent import AgentRetries
from pydantic_ai.exceptions import ContentFilterError, IncompleteToolCall, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage, UsageLimits

from ...errors import RunError
from ...lm import LMCall, LMRequest, LMResponse, OnPartial, Option, Usage, current_call
from .._prompt import instructions, question
from .errors import failure, refused, truncated
from .models import OpenModel, SchemaModel, caching, can_stream, is_of_ones_own
from .partials import ANSWER, PartialReader
from .schemas import suits_native_output
from .tools import toolsets_of

if TYPE_CHECKING:
    from ..pydantic_ai import OutputMode

# What PydanticAI checks is that there is a JSON object; the schema goes past it to the model, the answer to BaseLM.
_ANY_OBJECT = StructuredDict({"type": "object"}, name="answer")
_MODES: dict[OutputMode, Any] = {
    "auto": _ANY_OBJECT,
    "tool": ToolOutput(_ANY_OBJECT, name=ANSWER),
    "native": NativeOutput(_ANY_OBJECT, name="answer"),
    "prompted": PromptedOutput(_ANY_OBJECT, name="answer"),
}
_NO_LIMITS = UsageLimits(request_limit=None)


class Asker:
    """Asks one model: one agent for each output mode, everything else being given with the run."""

    def __init__(self, model: OpenModel, mode: OutputMode, settings: Mapping[str, Any], retries: int) -> None:
        self._model = model.model
        self._backend = model.backend
        headers: Mapping[str, str] = settings.get("extra_headers") or {}
        self._secrets = [*model.secrets(), *headers.values()]
        self._can_stream = can_stream(self._model)
        self._settings = cast("ModelSettings", {**caching(self._model), **settings})
        self._mode: OutputMode = "native" if mode == "auto" and is_of_ones_own(model.asked) else mode
        self._retries = retries
        self._agents: dict[OutputMode, Agent[None, Any]] = {}

    async def ask(self, request: LMRequest, on_partial: OnPartial | None) -> LMResponse:
        """Return the model's answer, good or not; raises LMError, and FillError where a tool failed."""
        streams = on_partial is not None and self._can_stream and request.kind != "choose"
        call = current_call.get() or LMCall()
        usage = RunUsage()
        with capture_run_messages() as messages:
            try:
                result = await self._agent(request).run(
                    question(request),
                    model=SchemaModel(self._model, _schema(request)),
                    instructions=instructions(request),
                    model_settings=self._settings,
                    toolsets=toolsets_of(request, call) if request.tools else None,
                    event_stream_handler=PartialReader(on_partial) if streams and on_partial else None,
                    usage=usage,
                    usage_limits=_NO_LIMITS,
                )
            except UnexpectedModelBehavior as error:
                data = self._answer_in(messages, error)
            except RunError:
                raise
            except Exception as error:
                raise failure(error, self._backend, self._secrets) from error
            else:
                data = result.output
        return LMResponse(data, _usage(usage), _model_name(messages) or self._model.model_name)

    def _agent(self, request: LMRequest) -> Agent[None, Any]:
        """Return the agent for the way in which the model is held to the schema."""
        mode = self._mode
        if mode == "auto" and request.kind != "choose" and not suits_native_output(request.schema):
            mode = "tool"
        if mode not in self._agents:
            # A rejected answer is BaseLM's to feed back; a tool's own retries are between the tool and the model.
            retries: AgentRetries = {"output": 0, "tools": self._retries}
            self._agents[mode] = Agent(output_type=_MODES[mode], retries=retries, name="weft")
        return self._agents[mode]

    def _answer_in(self, messages: Sequence[ModelMessage], error: UnexpectedModelBehavior) -> Any:
        """Return what the model wrote, which PydanticAI does not accept; raises LMError if that is no answer."""
        response = _last_response(messages)
        reason = response.finish_reason if response else None
        if isinstance(error, ContentFilterError) or reason == "content_filter":
            raise refused(_text_in(response), self._backend) from error
        if reason == "length" or isinstance(error, IncompleteToolCall):
            raise truncated(self._backend) from error
        # A stream of something else than events has neither a part nor an end.
        if response is None or not (response.parts or reason):
            raise failure(error, self._backend, self._secrets) from error
        calls = _calls_in(response)
        if any(call.tool_name != ANSWER for call in calls):
            raise failure(error, self._backend, self._secrets) from error
        return next((call.args for call in calls), None) or _text_in(response)


def _schema(request: LMRequest) -> Mapping[str, Any]:
    """Return the schema of the answer; each option of a choice says what it is."""
    if request.kind != "choose":
        return request.schema
    described = [{"const": each.name, "description": _description(each)} for each in request.options]
    choice = {"type": "string", "anyOf": described}
    return {"type": "object", "properties": {"choice": choice}, "required": ["choice"]}


def _description(option: Option) -> str:
    said = option.instruction if option.instruction.endswith(".") else f"{option.instruction}."
    return f"{said} It has: {', '.join(option.fields)}" if option.fields else said


def _last_response(messages: Sequence[ModelMessage]) -> ModelResponse | None:
    """Return the response to the last request; None if there was none."""
    last = messages[-1] if messages else None
    return last if isinstance(last, ModelResponse) else None


def _calls_in(response: ModelResponse) -> list[ToolCallPart]:
    return [part for part in response.parts if isinstance(part, ToolCallPart)]


def _text_in(response: ModelResponse | None) -> str:
    parts = response.parts if response else ()
    return "".join(part.content for part in parts if isinstance(part, TextPart))


def _model_name(messages: Sequence[ModelMessage]) -> str:
    names = [each.model_name for each in messages if isinstance(each, ModelResponse) and each.model_name]
    return names[-1] if names else ""


def _usage(used: RunUsage) -> Usage:
    cost = getattr(used, "cost", None)
    return Usage(
        requests=used.requests,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost=None if cost is None else float(cost),
        cached_tokens=used.cache_read_tokens,
        tool_calls=used.tool_calls,
    )
