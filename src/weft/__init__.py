"""Weft runs typed agent graphs: a node is a Pydantic model, an edge is a return annotation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._accounts import Budget
    from ._results import BatchItem, BatchProgress, GraphResult
    from .backends.cassette import RecordingLM, ReplayLM
    from .backends.claude_cli import ClaudeCLIBackend
    from .backends.dspy import DSPyBackend, node_to_signature
    from .backends.fallback import FallbackLM
    from .backends.offline import OfflineLM
    from .backends.pydantic_ai import PydanticAIBackend
    from .errors import (
        BudgetExceededError,
        CassetteError,
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
        LMRequestError,
        LMResponseError,
        LMTimeoutError,
        MissingExtraError,
        ProgramFileError,
        RecallError,
        RouteError,
        RunError,
        RunTimeoutError,
        StaleProgramError,
        StepLimitError,
        UnresolvedFieldError,
        WeftError,
    )
    from .filling import BaseLM
    from .graph import Graph
    from .lm import LM, LMRequest, LMResponse, Usage
    from .nodes import Dep, Node, NodeConfig, Recall
    from .optimize import (
        CompiledGraph,
        OptimizedLM,
        compile_graph,
        create_optimized_lm,
        load_optimized,
        node_transition_metric,
        optimize_node,
        save_optimized,
        trace_to_examples,
    )
    from .resolver import classify_fields, resolve_dep, resolve_fields

__version__ = "0.1.0"

__all__ = [
    "LM",
    "BaseLM",
    "BatchItem",
    "BatchProgress",
    "Budget",
    "BudgetExceededError",
    "CassetteError",
    "ChoiceError",
    "ClaudeCLIBackend",
    "CompiledGraph",
    "DSPyBackend",
    "Dep",
    "DepError",
    "FallbackLM",
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
    "LMRequestError",
    "LMResponse",
    "LMResponseError",
    "LMTimeoutError",
    "MissingExtraError",
    "Node",
    "NodeConfig",
    "OfflineLM",
    "OptimizedLM",
    "ProgramFileError",
    "PydanticAIBackend",
    "Recall",
    "RecallError",
    "RecordingLM",
    "ReplayLM",
    "RouteError",
    "RunError",
    "RunTimeoutError",
    "StaleProgramError",
    "StepLimitError",
    "UnresolvedFieldError",
    "Usage",
    "WeftError",
    "classify_fields",
    "compile_graph",
    "create_optimized_lm",
    "load_optimized",
    "node_to_signature",
    "node_transition_metric",
    "optimize_node",
    "resolve_dep",
    "resolve_fields",
    "save_optimized",
    "trace_to_examples",
]

# Where each name lives. A module is imported when one of its names is first asked for, so that `import weft` costs
# next to nothing and a back-end's SDK is loaded only by who uses it.
_HOMES = {
    "._accounts": ["Budget"],
    "._results": ["BatchItem", "BatchProgress", "GraphResult"],
    ".backends.cassette": ["RecordingLM", "ReplayLM"],
    ".backends.dspy": ["DSPyBackend", "node_to_signature"],
    ".backends.fallback": ["FallbackLM"],
    ".backends.claude_cli": ["ClaudeCLIBackend"],
    ".backends.offline": ["OfflineLM"],
    ".backends.pydantic_ai": ["PydanticAIBackend"],
    ".errors": [name for name in __all__ if name.endswith("Error")] + ["Fault"],
    ".filling": ["BaseLM"],
    ".graph": ["Graph"],
    ".lm": ["LM", "LMRequest", "LMResponse", "Usage"],
    ".nodes": ["Dep", "Node", "NodeConfig", "Recall"],
    ".optimize": [
        "CompiledGraph",
        "OptimizedLM",
        "compile_graph",
        "create_optimized_lm",
        "load_optimized",
        "node_transition_metric",
        "optimize_node",
        "save_optimized",
        "trace_to_examples",
    ],
    ".resolver": ["classify_fields", "resolve_dep", "resolve_fields"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOME_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
