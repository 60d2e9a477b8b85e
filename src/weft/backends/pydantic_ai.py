"""PydanticAIBackend: every model that PydanticAI speaks to, by its API or on a local server."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from ..errors import LMNotConfiguredError, LMTimeoutError, MissingExtraError, name_of
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial, Routing, check_routing
from ._loops import PerLoop

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from ._pydantic_ai.models import OpenModel
    from ._pydantic_ai.runs import Asker

OutputMode = Literal["auto", "tool", "native", "prompted"]

_NAME = re.compile(r"(?P<provider>[^:@\s]+):(?P<model>\S+?)(?:@(?P<url>https?://\S+))?")


class PydanticAIBackend(BaseLM):
    """An LM that asks a model through PydanticAI, which the extra ``weft[pydantic-ai]`` installs.

    Models are asked over connections of the running event loop, so one back-end serves many loops and threads. The
    provider's SDK sends a request again that failed on the way (twice; ``settings={"max_retries": n}``), and nothing
    else does: `retries` is about answers that were rejected.

    Args:
        model: A PydanticAI name, ``"anthropic:claude-sonnet-5-5"``, or one with the address of a server,
            ``"openai-chat:qwen3@http://localhost:8000/v1"``; a PydanticAI model, which is then used in every loop;
            or a function that makes one for each loop.
        base_url: The address of the server, if the name has none.
        output_mode: How the model is held to the schema: by a ``"tool"`` call, by the provider's ``"native"``
            structured output, or ``"prompted"``, by words alone. ``"auto"`` is native on servers of one's own, and
            elsewhere what PydanticAI does for the model, but a tool where the schema is recursive or has a part
            of any type.
        retries: How often a rejected answer goes back to the model with the reasons.
        timeout: The seconds that one answer may take in all: its requests, those sent again, and tools.
        request_timeout: The seconds that one request may take.
        max_concurrency: How many answers an event loop waits for at once; None is no limit.
        settings: PydanticAI's model settings, as ``{"temperature": 0, "max_tokens": 4096}``.
        routing: ``"one-call"`` to choose and fill in one call where a graph leaves it open, ``"two-call"`` to never do.

    Example:
        >>> from weft import PydanticAIBackend
        >>> PydanticAIBackend("anthropic:claude-sonnet-5-5", settings={"max_tokens": 4096}, timeout=60)
        PydanticAIBackend('anthropic:claude-sonnet-5-5')
    """

    takes_tools: ClassVar[bool] = True

    def __init__(
        self,
        model: str | Model[Any] | Callable[[], Model[Any]],
        *,
        base_url: str | None = None,
        output_mode: OutputMode = "auto",
        retries: int = 2,
        timeout: float | None = None,
        request_timeout: float | None = None,
        max_concurrency: int | None = 16,
        settings: Mapping[str, Any] | None = None,
        routing: Routing | None = None,
    ) -> None:
        if output_mode not in get_args(OutputMode):
            msg = f"PydanticAIBackend: output_mode={output_mode!r} is none of {', '.join(get_args(OutputMode))}."
            raise ValueError(msg)
        if max_concurrency is not None and max_concurrency < 1:
            msg = f"PydanticAIBackend: max_concurrency={max_concurrency} must be 1 or more, or None."
            raise ValueError(msg)
        check_routing("PydanticAIBackend", routing)
        self.retries = retries
        self.routing = routing
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self._asked = _asked(model, base_url)
        self._output_mode: OutputMode = output_mode
        limits = {} if request_timeout is None else {"request_timeout": request_timeout}
        self._settings: dict[str, Any] = {**limits, **(settings or {})}
        self._lines = PerLoop(self._opened)

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return the model's answer; it is streamed if *on_partial* is given."""
        line = await self._lines.get()
        deadline = asyncio.timeout(self.timeout)
        async with line.places:
            try:
                async with deadline:
                    return await line.asker.ask(request, on_partial)
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                hint = "PydanticAIBackend(timeout=) sets the seconds."
                raise LMTimeoutError(f"no answer within {self.timeout} s", hint, backend=repr(self)) from error

    async def _opened(self) -> _Line:
        """Open connections for the running loop."""
        if importlib.util.find_spec("pydantic_ai") is None:
            raise MissingExtraError("pydantic-ai", "pydantic-ai-slim", repr(self))
        from ._pydantic_ai.models import OpenModel
        from ._pydantic_ai.runs import Asker

        model = await OpenModel.of(self._asked, repr(self))
        asker = Asker(model, self._output_mode, self._settings, self.retries)
        limit = self.max_concurrency
        return _Line(model, asker, nullcontext() if limit is None else asyncio.Semaphore(limit))

    def __repr__(self) -> str:
        return f"PydanticAIBackend({self._asked})"


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that is asked: by its provider, name and address, or itself, or by what makes it."""

    provider: str = ""
    name: str = ""
    url: str | None = None
    given: Model[Any] | None = None
    make: Callable[[], Model[Any]] | None = None

    def __str__(self) -> str:
        if self.given is not None:
            return self.given.model_name
        if self.make is not None:
            return name_of(self.make)
        # An address may hold a password.
        where = "" if self.url is None else f"@{re.sub(r'(?<=//)[^/]*@', '', self.url)}"
        return repr(f"{self.provider}:{self.name}{where}")


@dataclass(frozen=True, slots=True)
class _Line:
    """What an event loop has of its own: connections to the model, and places for calls."""

    model: OpenModel
    asker: Asker
    places: asyncio.Semaphore | nullcontext[None]

    async def close(self) -> None:
        """Close the connections."""
        await self.model.close()


def _asked(model: str | Model[Any] | Callable[[], Model[Any]], base_url: str | None) -> Asked:
    if not isinstance(model, str):
        if base_url is not None:
            msg = "PydanticAIBackend: base_url= goes with the name of a model; a PydanticAI model has its own."
            raise ValueError(msg)
        return Asked(make=model) if callable(model) else Asked(given=model)
    found = _NAME.fullmatch(model)
    if found is None:
        hint = "Write provider:model, as 'anthropic:claude-sonnet-5-5' or 'ollama:qwen3'."
        raise LMNotConfiguredError(f"{model.partition('@')[0]!r} names no model", hint, name=model)
    return Asked(found["provider"], found["model"], base_url or found["url"])
