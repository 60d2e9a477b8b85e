"""A graph as a Mermaid flow chart."""

from __future__ import annotations

import re

from ..nodes import Node
from ..topology import NodePlan, Topology


def mermaid(topology: Topology) -> str:
    """Return *topology* as Mermaid text: ``graph TD``, a line an edge, in the order in which nodes are found.

    Below the edges stands how they are drawn: those that the LM chooses are dashed, those that code chooses dotted.
    """
    edges = [(node, following) for node, plan in topology.visits.items() for following in plan.route.candidates]
    drawn = [f"    {_label(node)} --> {_label(following)}" for node, following in edges]
    styles = [_style(topology.visits[node]) for node, _ in edges]
    dashes = [
        f"    linkStyle {','.join(str(index) for index, each in enumerate(styles) if each == style)} {style}"
        for style in dict.fromkeys(styles)
        if style
    ]
    return "\n".join(["graph TD", *(drawn or [f"    {_label(topology.start)}"]), *dashes])


def _style(visit: NodePlan) -> str:
    if visit.is_settled:
        return ""
    return f"stroke-dasharray:{'2 3' if visit.route.by == 'code' else '7 4'}"


def _label(node: type[Node]) -> str:
    """Mermaid ids are plain words; a generic node's brackets go into a quoted label."""
    plain = re.sub(r"\W+", "_", node.__name__).strip("_")
    return plain if plain == node.__name__ else f'{plain}["{node.__name__}"]'
