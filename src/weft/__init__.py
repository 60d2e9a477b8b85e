"""Weft runs typed agent graphs: a node is a Pydantic model, an edge is a return annotation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    BudgetExceededError,
    ChoiceError,
    DepError,
    Fault,
    FillError,
    GraphError,
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRateLimitError,
    LMRefusalError,
    LMResponseError,
    LMTimeoutError,
    MissingExtraError,
    RecallError,
    RouteError,
    RunError,
    RunTimeoutError,
    StepLimitError,
    UnresolvedFieldError,
    WeftError,
)
from .filling import BaseLM
from .graph import Graph, GraphResult
from .lm import LM, LMRequest, LMResponse, Usage
from .nodes import Dep, Node, NodeConfig, Recall
from .resolver import classify_fields, resolve_dep, resolve_fields

if TYPE_CHECKING:
    from .backends.offline import OfflineLM

__version__ = "0.1.0"

__all__ = [
    "LM",
    "BaseLM",
    "BudgetExceededError",
    "ChoiceError",
    "Dep",
    "DepError",
    "Fault",
    "FillError",
    "Graph",
    "GraphError",
    "GraphResult",
    "LMAuthenticationError",
    "LMConnectionError",
    "LMError",
    "LMNotConfiguredError",
    "LMRateLimitError",
    "LMRefusalError",
    "LMRequest",
    "LMResponse",
    "LMResponseError",
    "LMTimeoutError",
    "MissingExtraError",
    "Node",
    "NodeConfig",
    "OfflineLM",
    "Recall",
    "RecallError",
    "RouteError",
    "RunError",
    "RunTimeoutError",
    "StepLimitError",
    "UnresolvedFieldError",
    "Usage",
    "WeftError",
    "classify_fields",
    "resolve_dep",
    "resolve_fields",
]

# Back-ends load when they are used, so that importing weft loads Pydantic and the standard library only.
_LATER = {"OfflineLM": ".backends.offline"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
