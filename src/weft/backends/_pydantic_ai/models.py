"""Models: by name, by address, or as they are given; and one that asks for the fields of a node."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, infer_model
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from .errors import not_made

if TYPE_CHECKING:
    from ..pydantic_ai import Asked

KEY_VARIABLE = "WEFT_LM_KEY"
NO_KEY = "no-key"
_OLLAMA = "http://localhost:11434/v1"
_OF_ONES_OWN = frozenset(["ollama", "vllm"])


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model with its connections, and for whom it is asked."""

    model: Model
    asked: Asked
    backend: str

    @classmethod
    async def of(cls, asked: Asked, backend: str) -> OpenModel:
        """Open the model that is *asked*; raises LMError or MissingExtraError if there is none such."""
        if asked.given is not None:
            return cls(asked.given, asked, backend)
        return cls(await _made(asked, backend).__aenter__(), asked, backend)

    async def close(self) -> None:
        """Close the connections, if they are ours."""
        if self.asked.given is None:
            await self.model.__aexit__(None, None, None)

    def secrets(self) -> Iterator[str]:
        """Yield the keys that may be known to the model, so that they can be left out of what is said."""
        yield from (value for name, value in os.environ.items() if name.endswith(("_KEY", "_TOKEN", "_SECRET")))
        client: Any = getattr(self.model.provider, "client", None)
        known = [getattr(client, name, None) for name in ("api_key", "auth_token")]
        yield from (each for each in known if isinstance(each, str))


def _made(asked: Asked, backend: str) -> Model:
    if asked.make is not None:
        return asked.make()
    url = asked.url
    if asked.provider == "ollama":
        url = url or os.environ.get("OLLAMA_BASE_URL") or _OLLAMA
    try:
        if url is None:
            return infer_model(f"{asked.provider}:{asked.name}")
        return infer_model(f"{asked.provider}:{asked.name}", lambda provider: _provider_at(url, provider))
    # What is missing is told in three ways: UserError of PydanticAI, ImportError of an SDK, and an SDK's own error.
    except Exception as error:
        raise not_made(error, asked.provider, backend) from error


def _provider_at(url: str, provider: str) -> Provider[Any]:
    """Return *provider* at *url*; the key of the provider's own service does not go there."""
    key = os.environ.get(KEY_VARIABLE) or NO_KEY
    cls: Any = infer_provider_class(provider)
    try:
        return cls(base_url=url, api_key=key)  # type: ignore[no-any-return]
    except TypeError as error:
        msg = f"the provider {provider!r} has no other address than its own"
        raise UserError(msg) from error


def is_of_ones_own(asked: Asked) -> bool:
    """Return whether the model runs on a server that speaks as OpenAI does, and is most often a local one."""
    return asked.provider in _OF_ONES_OWN or (asked.url is not None and asked.provider.startswith("openai"))


def caching(model: Model) -> Mapping[str, Any]:
    """Return the settings that let the provider keep the parts of a request that stay the same."""
    if model.system != "anthropic":  # others keep a prefix unasked, or cannot be told to
        return {}
    return {"anthropic_cache_instructions": True, "anthropic_cache_tool_definitions": True}


def can_stream(model: Model) -> bool:
    """Return whether *model* can tell its answer piece by piece."""
    inner = model
    while isinstance(inner, WrapperModel):
        inner = inner.wrapped
    if isinstance(inner, FunctionModel):
        return inner.stream_function is not None
    return type(inner).request_stream is not Model.request_stream


class SchemaModel(WrapperModel):
    """Asks another model for an object of a schema that is known as JSON only, recursive ones included."""

    def __init__(self, wrapped: Model, schema: Mapping[str, Any]) -> None:
        super().__init__(wrapped)
        self._schema = dict(schema)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the model's response."""
        return await self.wrapped.request(messages, model_settings, self._with_schema(model_request_parameters))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open the stream of the model's response."""
        wanted = self._with_schema(model_request_parameters)
        async with self.wrapped.request_stream(messages, model_settings, wanted, run_context) as response:
            yield response

    def _with_schema(self, parameters: ModelRequestParameters) -> ModelRequestParameters:
        tools = [replace(each, parameters_json_schema=self._schema) for each in parameters.output_tools]
        wanted = parameters.output_object and replace(parameters.output_object, json_schema=self._schema)
        return replace(parameters, output_tools=tools, output_object=wanted)
