"""What a graph needs only when it is made, drawn or run: loaded then, so that to import Weft is quick."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._graph_run import Options
    from ._runs import Runs
    from ._sync import run_in_new_loop
    from .render.mermaid import mermaid
    from .render.svg import svg
    from .topology import discover

__all__ = ["Options", "Runs", "discover", "mermaid", "run_in_new_loop", "svg"]

_HOME_OF = {
    "Options": "._graph_run",
    "Runs": "._runs",
    "discover": ".topology",
    "mermaid": ".render.mermaid",
    "run_in_new_loop": "._sync",
    "svg": ".render.svg",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOME_OF[name], __package__), name)
    globals()[name] = value
    return value
