# What Weft uses of DSPy, which has no types that a strict checker could follow; all else is Any.

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

__version__: str

class Signature:
    instructions: str
    fields: dict[str, Any]
    input_fields: dict[str, Any]
    output_fields: dict[str, Any]
    def __new__(
        cls, signature: Mapping[str, tuple[Any, Any]], instructions: str = ..., *, signature_name: str = ...
    ) -> Any: ...
    @classmethod
    def append(cls, name: str, field: Any, type_: Any = ...) -> type[Signature]: ...
    @classmethod
    def delete(cls, name: str) -> type[Signature]: ...
    @classmethod
    def with_instructions(cls, instructions: str) -> type[Signature]: ...

def InputField(**settings: Any) -> Any: ...
def OutputField(**settings: Any) -> Any: ...

class Prediction:
    def __getitem__(self, key: str) -> Any: ...
    def __delitem__(self, key: str) -> None: ...

class Module:
    async def acall(self, **inputs: Any) -> Any: ...

class Predict(Module):
    signature: type[Signature]
    demos: list[Any]
    def __init__(self, signature: type[Signature], **config: Any) -> None: ...

class BaseLM:
    model: str
    kwargs: dict[str, Any]
    history: list[dict[str, Any]]
    update_history: Any
    def copy(self, **settings: Any) -> BaseLM: ...

class LM(BaseLM):
    def __init__(self, model: str, **settings: Any) -> None: ...

class Adapter: ...

class ChatAdapter(Adapter):
    def __init__(self, *, use_json_adapter_fallback: bool = ...) -> None: ...

class DSPyError(Exception): ...

class AdapterParseError(DSPyError):
    lm_response: str
    parsed_result: Any

settings: Any

def context(**settings: Any) -> AbstractContextManager[None]: ...
def __getattr__(name: str) -> Any: ...
