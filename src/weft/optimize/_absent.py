"""What stands for the classes of this room that are DSPy's own where DSPy is not installed."""

from __future__ import annotations

from typing import Any, NoReturn

from ..backends.dspy import require_dspy
from ..errors import MissingExtraError


class CompiledGraph:
    """A graph as a DSPy module, which needs DSPy: the extra ``weft[dspy]`` installs it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        require_dspy("CompiledGraph")

    @classmethod
    def load(cls, *_: Any, **__: Any) -> NoReturn:
        """Raise MissingExtraError."""
        raise MissingExtraError("dspy", "dspy", "CompiledGraph.load")
