"""Tools of a node: functions, PydanticAI's toolsets and MCP servers, their calls told to the call going on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_ai import exceptions
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset

from ...errors import FillError, describe
from ...lm import LMCall, LMRequest

_NAMES = ("ModelRetry", "ToolRetryError", "ToolFailed", "ToolFailedError", "CallDeferred", "ApprovalRequired")
# With these a tool speaks to the model, or to PydanticAI. Not every version has them all.
_SPOKEN = tuple(getattr(exceptions, name) for name in _NAMES if hasattr(exceptions, name))


def toolsets_of(request: LMRequest, call: LMCall) -> list[AbstractToolset[Any]]:
    """Return the toolsets for *request*'s tools; what they do is told to *call*."""
    toolsets: list[AbstractToolset[Any]] = [each for each in request.tools if isinstance(each, AbstractToolset)]
    functions = [each for each in request.tools if not isinstance(each, AbstractToolset)]
    if functions:
        toolsets.append(FunctionToolset(functions))
    return [ToldToolset(each, call, request) for each in toolsets]


@dataclass
class ToldToolset(WrapperToolset[Any]):
    """Tells each call of a tool, and fails the fill where a tool fails."""

    call: LMCall
    request: LMRequest

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Return what the tool gives; raises FillError if it raises anything that is not for the model."""
        call_id = ctx.tool_call_id or name
        self.call.tool_started(call_id, name, tool_args)
        try:
            value = await super().call_tool(name, tool_args, ctx, tool)
        except BaseException as error:
            self.call.tool_finished(call_id, describe(error), is_error=True)
            if isinstance(error, _SPOKEN) or not isinstance(error, Exception):
                raise
            raise self._failure(name, error) from error
        self.call.tool_finished(call_id, value)
        return value

    def _failure(self, name: str, error: Exception) -> FillError:
        hint = "Raise pydantic_ai.ModelRetry in a tool to let the model know, and try again."
        path = (self.request.target, name)
        return FillError(f"the tool raised {describe(error)}", hint, node_type=self.request.node_type, path=path)
