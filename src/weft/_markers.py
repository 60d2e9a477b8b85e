"""What Dep and Recall leave in the metadata of a field or parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

if TYPE_CHECKING:
    from .nodes import Node

Per = Literal["run", "visit"]


class _SourceMarker:
    """What Dep and Recall leave in a field's metadata."""

    __slots__ = ()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        """A dependency may be of a type that JSON does not know: a session, a client."""
        try:
            return cast("dict[str, Any]", handler(schema))
        except PydanticInvalidForJsonSchema:
            return {}


@dataclass(frozen=True, eq=False)
class DepMarker(_SourceMarker):
    """The field or parameter is made by `function`, or by the LM if that is None."""

    function: Callable[..., Any] | None
    per: Per = "run"
    thread: bool = False
    timeout: float | None = None
    retries: int = 0
    prefetch: bool = True

    @property
    def options(self) -> tuple[Any, ...]:
        """Return what must agree wherever one run of the function is shared."""
        return (self.thread, self.timeout, self.retries, self.prefetch)

    def __repr__(self) -> str:
        return f"Dep({getattr(self.function, '__name__', self.function or '')})"


@dataclass(frozen=True, eq=False)
class RecallMarker(_SourceMarker):
    """The field or parameter is looked up in the trace."""

    node: type[Node] | None = None
    field: str | None = None

    def __repr__(self) -> str:
        said = [part for part in (self.node and self.node.__name__, self.field and repr(self.field)) if part]
        return f"Recall({', '.join(said)})"


def marker_in(metadata: tuple[Any, ...] | list[Any]) -> DepMarker | RecallMarker | None:
    """Return the Dep or Recall among an annotation's *metadata*, also inside a Pydantic field."""
    for item in metadata:
        if isinstance(item, DepMarker | RecallMarker):
            return item
        if isinstance(item, FieldInfo) and (inner := marker_in(item.metadata)):
            return inner
    return None
