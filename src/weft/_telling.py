"""What is told of a visit, gathered while it goes on; made only where somebody listens."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ._resolution import Resolution
from ._run import Run, Visit
from .events import NodeFinished, NodeStarted, Origin, Status
from .nodes import Node


def status_of(error: BaseException | None) -> Status:
    """Return how what ended with *error* ended."""
    if error is None:
        return "done"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"


class VisitTelling:
    """What is told of one visit, made only where somebody listens."""

    def __init__(self, run: Run, visit: Visit, step: int) -> None:
        self.run, self.visit, self.step = run, visit, step
        self.started = time.time()
        self.node: Node | None = None
        self.origins: dict[str, Origin] = {}
        self.parent = run.key or None
        run.emit(NodeStarted, visit.key, self.parent, node_type=visit.node_type.__name__, step=step)

    def has_resolved(self, resolution: Resolution) -> None:
        """Keep where each Dep and Recall field came from."""
        for step in resolution.wanted:
            self.origins[step.need.name] = resolution.origin_of(step)

    def has_node(self, node: Node, given: Node | None, written_at: str | None) -> None:
        """Keep the node, and where its other fields came from: the call at *written_at*, or its own fill."""
        self.node = node
        written = Origin("given") if given is not None else Origin("lm", written_at or f"{self.visit.key}/fill")
        for name in type(node).__pydantic_fields__:
            if name in node.__dict__:
                self.origins.setdefault(name, written)

    def finish(self, error: BaseException | None) -> None:
        """Tell how the visit ended."""
        how: dict[str, Any] = {"status": status_of(error), "error": error, "started_at": self.started}
        what = {"node_type": self.visit.node_type.__name__, "step": self.step, "node": self.node}
        self.run.emit(NodeFinished, self.visit.key, self.parent, origins=self.origins, **what, **how)
