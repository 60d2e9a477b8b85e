"""A graph as a Mermaid flow chart."""

from __future__ import annotations

import re

from ..nodes import Node
from ..topology import Topology


def mermaid(topology: Topology) -> str:
    """Return *topology* as Mermaid text: ``graph TD``, a line an edge, in the order in which nodes are found."""
    edges = [
        f"    {_label(node)} --> {_label(following)}"
        for node, plan in topology.visits.items()
        for following in plan.route.candidates
    ]
    return "\n".join(["graph TD", *(edges or [f"    {_label(topology.start)}"])])


def _label(node: type[Node]) -> str:
    """Mermaid ids are plain words; a generic node's brackets go into a quoted label."""
    plain = re.sub(r"\W+", "_", node.__name__).strip("_")
    return plain if plain == node.__name__ else f'{plain}["{node.__name__}"]'
