"""A graph as an SVG picture that needs nothing else: no script, no font, no link, good on light and on dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..errors import name_of
from ..topology import Topology
from .card import Card
from .layout import Point, place
from .legend import Entry, entries_of_choosers, entries_of_kinds, legend
from .markup import Markup, element, number
from .outline import Chooser, NodeOutline, Value, outline
from .style import WORDS_OF_CHOOSERS, arrow, dot, end_mark, line, sheet

_MAX_DEPTH = 4
_MARGIN = 24.0
_ENTRY = 34.0  # above the start node
_END = 26.0  # the mark at which a run may stop
_HEAD = 7.0  # of an arrow, where its shaft ends
_NARROWEST = 420.0


def svg(topology: Topology) -> str:
    """Return *topology* as an SVG document: nodes from top to bottom, their values, and the routes between them."""
    nodes = outline(topology, _MAX_DEPTH)
    title, description = f"Graph of {nodes[0].name}", _description(nodes)
    inner, width, height = _Picture(nodes).draw()
    # The same picture has the same id, wherever it is made; two that differ can stand on one page.
    name = f"weft-{sha256(f'{title}{description}{inner}'.encode()).hexdigest()[:10]}"
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        sheet(f"#{name}"),
        inner,
        xmlns="http://www.w3.org/2000/svg",
        id=name,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
    )


@dataclass(frozen=True, slots=True)
class _Route:
    """An edge to draw: from a node to another, or to an end mark, by position."""

    start: int
    end: int
    chooser: Chooser
    title: str


class _Picture:
    def __init__(self, nodes: Sequence[NodeOutline]) -> None:
        self.nodes = nodes
        self.cards = [Card(node) for node in nodes]
        self.routes = list(_routes(nodes))
        self.ends = sum(route.end >= len(nodes) for route in self.routes)
        sizes = [*((card.width, card.height) for card in self.cards), *([(_END, _END)] * self.ends)]
        self.layout = place(sizes, [(route.start, route.end) for route in self.routes])

    def draw(self) -> tuple[Markup, float, float]:
        """Return the picture, its width and its height."""
        width = max(self.layout.width, _NARROWEST)
        left, top = _MARGIN + (width - self.layout.width) / 2, _MARGIN + _ENTRY
        below = top + self.layout.height + _MARGIN
        explained, height = legend(self._entries(), width)
        graph = Markup("".join([*self._entry(), *self._boxes(), *self._edges()]))
        parts = [
            element("rect", width="100%", height="100%", class_="fill-page"),
            element("g", graph, transform=f"translate({number(left)} {number(top)})"),
            element("g", explained, transform=f"translate({number(_MARGIN)} {number(below)})"),
        ]
        return Markup("".join(parts)), width + 2 * _MARGIN, below + height + _MARGIN

    def _entry(self) -> Iterator[Markup]:
        """Yield the dot from which a run comes to its start node."""
        start = self.layout.boxes[0]
        middle = start.x + start.width / 2
        yield element("circle", cx=middle, cy=6 - _ENTRY, r=6, class_="fill-edge")
        yield line(f"M{number(middle)} {number(6 - _ENTRY)}V{number(-_HEAD)}", "nobody")
        yield arrow((middle, 0), (0, 1), "nobody")

    def _boxes(self) -> Iterator[Markup]:
        for card, box in zip(self.cards, self.layout.boxes, strict=False):
            yield card.draw(box.x, box.y)
        for box in self.layout.boxes[len(self.cards) :]:
            yield element("g", element("title", "end"), end_mark(box.x + _END / 2, box.y + _END / 2, _END / 2))

    def _edges(self) -> Iterator[Markup]:
        for route, points in zip(self.routes, self.layout.routes, strict=True):
            towards, shaft = _tip(points)
            drawn = [line(_path((*points[:-1], shaft)), route.chooser), arrow(points[-1], towards, route.chooser)]
            if points[1][1] < points[0][1]:  # it runs up: a dot tells its beginning from an arrow that is missing
                drawn.append(dot(points[0], route.chooser))
            yield element("g", element("title", route.title), *drawn)

    def _entries(self) -> Iterator[list[Entry]]:
        values = (value for node in self.nodes for value in _all_values((*node.values, *node.parameters)))
        yield entries_of_kinds(value.kind for value in values if value.source)
        yield entries_of_choosers((route.chooser for route in self.routes), with_end=self.ends > 0)


def _routes(nodes: Sequence[NodeOutline]) -> Iterator[_Route]:
    """Yield an edge for each way out of a node; each node at which a run may stop has an end mark of its own."""
    positions = {each.node: index for index, each in enumerate(nodes)}
    end = len(nodes)
    for index, node in enumerate(nodes):
        words = WORDS_OF_CHOOSERS[node.chooser]
        for following in dict.fromkeys(node.following):
            title = f"{node.name} → {name_of(following)}: {words}"
            yield _Route(index, positions[following], node.chooser, title)
        if node.following and node.may_end:
            yield _Route(index, end, node.chooser, f"{node.name} → end: {words}")
            end += 1


def _all_values(values: Sequence[Value]) -> Iterator[Value]:
    for value in values:
        yield value
        yield from _all_values(value.values)


def _description(nodes: Sequence[NodeOutline]) -> str:
    """Return what leads where, in sentences."""
    said = [f"It starts at {nodes[0].name}."]
    for node in nodes:
        names = [*map(name_of, node.following), *(["the end"] if node.may_end else [])]
        route = f", {node.said_of_route}" if node.said_of_route else ""
        said.append(f"{node.name} leads to {' or '.join(names)}{route}.")
    return " ".join(said)


# --- Lines


def _path(points: Sequence[Point]) -> str:
    """Return a route as SVG writes it: its bends leave and enter in the direction of the straight parts."""
    said = [f"M{_at(points[0])}"]
    for before, leave, enter, after in zip(points[::2], points[1::2], points[2::2], points[3::2], strict=False):
        distance = max(abs(enter[0] - leave[0]) if before[1] == leave[1] else 0, abs(enter[1] - leave[1])) / 2
        bend = f"{_at(_ahead(before, leave, distance))} {_at(_ahead(after, enter, distance))} {_at(enter)}"
        said.append(f"L{_at(leave)}C{bend}")
    return "".join([*said, f"L{_at(points[-1])}"])


def _ahead(start: Point, end: Point, distance: float) -> Point:
    """Return the point *distance* beyond *end*, seen from *start*."""
    across, down = _direction(start, end)
    return (end[0] + across * distance, end[1] + down * distance)


def _direction(start: Point, end: Point) -> Point:
    """Return the direction from *start* to *end*, which are on a level or one above the other."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = abs(across) + abs(down)
    return (across / length, down / length)


def _tip(points: Sequence[Point]) -> tuple[Point, Point]:
    """Return where an arrow at the end of a route points, and where its shaft ends."""
    towards = _direction(points[-2], points[-1])
    x, y = points[-1]
    return towards, (x - _HEAD * towards[0], y - _HEAD * towards[1])


def _at(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"
