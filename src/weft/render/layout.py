"""Where the boxes of a graph stand and how its edges run: layers from top to bottom, edges only in the space between.

The method is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures"
(IEEE Transactions on Systems, Man, and Cybernetics 11, 1981): break cycles, give each box a layer, order the layers by
barycentres, then find coordinates. An edge that spans layers gets a track, a box of no width, in each between. The
coordinates of a layer are those nearest to where its edges pull, under its order: isotonic regression by pooling
adjacent violators (Barlow and others, "Statistical Inference under Order Restrictions", 1972).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

Point = tuple[float, float]
Edge = tuple[int, int]

_GAP = 36.0  # between boxes
_TRACK_GAP = 22.0  # between a track and what is beside it
_STUB = 14.0  # an edge is straight where it leaves or enters a box: room for its arrow
_RISE = 30.0  # between layers, for the bends of edges, and more where they have far to go
_STEEPEST = 6.0
_MAX_RISE = 110.0
_PORTS = 26.0  # between edges on one side of a box
_LOOP = 30.0  # beside a box that leads to itself
_LOOP_HEIGHT = 40.0
_LOOP_STUB = 8.0

_HARDLY = 4.0  # a lean that looks like a mistake

_WIDEST_LAYER = 1500.0
_ORDERINGS = 24
_PLACINGS = 60


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box stands: its upper left corner, its size, and its layer, the topmost being 0."""

    x: float
    y: float
    width: float
    height: float
    layer: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and routes in the order in which boxes and edges were given, in an area that begins at 0, 0.

    A route is straight from its first point to the second, bends to the third, is straight to the fourth, and so on.
    """

    boxes: tuple[Box, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


@dataclass(eq=False, slots=True)
class _Item:
    """A box, or a track, on its way to its place: `x` is its middle, `order` its position in its layer."""

    width: float
    height: float = 0.0
    is_track: bool = False
    has_loop: bool = False
    layer: int = 0
    order: int = 0
    x: float = 0.0
    above: list[_Link] = field(default_factory=list["_Link"])
    below: list[_Link] = field(default_factory=list["_Link"])

    @property
    def reach(self) -> float:
        """How far it, and the loop beside it, extend from its middle."""
        return self.width / 2 + _LOOP * self.has_loop


@dataclass(eq=False, slots=True)
class _Link:
    """A piece of an edge, from one layer to the next; the ports are offsets from the middles of its ends."""

    upper: _Item
    lower: _Item
    upper_port: float = 0.0
    lower_port: float = 0.0

    @property
    def weight(self) -> int:
        """How strongly it wants to be upright: a bend in a long edge is worse than one in a short."""
        return (1, 2, 8)[self.upper.is_track + self.lower.is_track]


Layers = list[list[_Item]]


def place(sizes: Sequence[tuple[float, float]], edges: Sequence[Edge]) -> Layout:
    """Return where boxes of *sizes* stand, and how *edges*, pairs of their positions, run.

    Every edge runs down, except for those that close a cycle, which run up.
    """
    back = _back_edges(len(sizes), edges)
    downward = [(edge[1], edge[0]) if index in back else edge for index, edge in enumerate(edges)]
    loops = {start for start, end in edges if start == end}
    items = [_Item(*size, has_loop=index in loops) for index, size in enumerate(sizes)]
    layers = _layered(items, downward)
    chains = [_chain(items[upper], items[lower], layers) for upper, lower in downward]
    _order(layers)
    _set_ports(layers)
    _set_middles(layers, chains)
    width = _move_to_zero(layers)
    tops, height = _tops(layers)
    boxes = [Box(item.x - item.width / 2, tops[item.layer], item.width, item.height, item.layer) for item in items]
    bands = [(top - _STUB, top + _height(layer) + _STUB) for top, layer in zip(tops, layers, strict=True)]
    routes = [
        _along(chain, boxes[upper], boxes[lower], bands) for (upper, lower), chain in zip(downward, chains, strict=True)
    ]
    routes = [route[::-1] if index in back else route for index, route in enumerate(routes)]
    return Layout(tuple(boxes), tuple(routes), width, height)


def _back_edges(count: int, edges: Sequence[Edge]) -> set[int]:
    """Return which of *edges* close a cycle, on a search from the first box; without them there is none."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for index, (start, end) in enumerate(edges):
        if start != end:
            leaving[start].append(index)
    found, is_open, is_known = set[int](), [False] * count, [False] * count
    for root in range(count):
        stack = [] if is_known[root] else [(root, iter(leaving[root]))]
        while stack:
            current, pending = stack[-1]
            is_open[current] = is_known[current] = True
            index = next(pending, -1)
            if index < 0:
                is_open[current] = False
                stack.pop()
            elif is_open[edges[index][1]]:
                found.add(index)
            elif not is_known[edges[index][1]]:
                stack.append((edges[index][1], iter(leaving[edges[index][1]])))
    return found


def _layered(items: Sequence[_Item], edges: Sequence[Edge]) -> Layers:
    """Put each item into the first layer below all that lead to it that has room."""
    followers: list[list[int]] = [[] for _ in items]
    waiting = [0] * len(items)
    for upper, lower in edges:
        if upper != lower:
            followers[upper].append(lower)
            waiting[lower] += 1
    layers: Layers = []
    widths: list[float] = []
    ready = [index for index in range(len(items)) if not waiting[index]]
    for index in ready:
        item, room = items[index], 2 * items[index].reach + _GAP
        while item.layer < len(layers) and widths[item.layer] + room > _WIDEST_LAYER:
            item.layer += 1
        if item.layer == len(layers):
            layers.append([])
            widths.append(0.0)
        layers[item.layer].append(item)
        widths[item.layer] += room
        for lower in followers[index]:
            items[lower].layer = max(items[lower].layer, item.layer + 1)
            waiting[lower] -= 1
            if not waiting[lower]:
                ready.append(lower)
    return layers


def _chain(upper: _Item, lower: _Item, layers: Layers) -> list[_Link]:
    """Link two items by a track in each layer between them."""
    tracks = [_Item(0.0, is_track=True, layer=layer) for layer in range(upper.layer + 1, lower.layer)]
    for track in tracks:
        layers[track.layer].append(track)
    chain = [_Link(*ends) for ends in pairwise([upper, *tracks, lower])] if upper is not lower else []
    for link in chain:
        link.upper.below.append(link)
        link.lower.above.append(link)
    return chain


# --- The order in a layer


def _order(layers: Layers) -> None:
    """Order each layer so that few edges cross: sweeps by barycentre, of which the best is kept."""
    for layer in layers:
        boxes, tracks = [item for item in layer if not item.is_track], [item for item in layer if item.is_track]
        half = len(boxes) // 2
        layer[:] = [*boxes[:half], *tracks, *boxes[half:]]
    _number(layers)
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_ORDERINGS):
        if not fewest:
            break
        is_upward = sweep % 2 == 0
        for layer in reversed(layers) if is_upward else layers:
            _sort(layer, is_upward=is_upward)
            _number([layer])
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best
    _number(layers)


def _number(layers: Layers) -> None:
    for layer in layers:
        for order, item in enumerate(layer):
            item.order = order


def _sort(layer: list[_Item], *, is_upward: bool) -> None:
    """Sort a layer by the mean order of what is linked below, or above; what has no such links stays where it is."""
    means: dict[_Item, float] = {}
    for item in layer:
        others = [link.lower.order for link in item.below] if is_upward else [link.upper.order for link in item.above]
        if others:
            means[item] = sum(others) / len(others)
    ordered = iter(sorted(means, key=means.__getitem__))
    layer[:] = [next(ordered) if item in means else item for item in layer]


def _crossings(layers: Layers) -> int:
    """Return how many pairs of links cross."""
    crossings = 0
    for layer in layers:
        passed: list[int] = []
        for _, lower in sorted((link.upper.order, link.lower.order) for item in layer for link in item.below):
            crossings += len(passed) - bisect_right(passed, lower)
            insort(passed, lower)
    return crossings


# --- Coordinates


def _set_ports(layers: Layers) -> None:
    """Spread the ends of edges over each side of a box, in the order of their other ends."""
    for item in (item for layer in layers for item in layer if not item.is_track):
        for rank, link in _spread(item, sorted(item.below, key=lambda link: link.lower.order)):
            link.upper_port = rank
        for rank, link in _spread(item, sorted(item.above, key=lambda link: link.upper.order)):
            link.lower_port = rank


def _spread(item: _Item, links: Sequence[_Link]) -> list[tuple[float, _Link]]:
    apart = min(_PORTS, item.width / (len(links) + 1))
    return [((rank - (len(links) - 1) / 2) * apart, link) for rank, link in enumerate(links)]


def _set_middles(layers: Layers, chains: Sequence[Sequence[_Link]]) -> None:
    """Move every item towards what it is linked to, first all by what is above, then by what is below, then by both."""
    for layer in layers:
        _settle(layer, [(item.x, 1.0) for item in layer])
    for sweep in range(_PLACINGS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _settle(layer, [_pull(item, with_above=sweep != 1, with_below=sweep != 0) for item in layer])
    for chain in chains:
        _straighten([link.lower for link in chain[:-1]], layers)
    for chain in chains:
        for link in chain:
            _straighten_port(link)


def _straighten(tracks: Sequence[_Item], layers: Layers) -> None:
    """Move tracks that lie one below the other into line, as many together as the room beside them allows.

    Least squares alone share a long edge's way aside among all its pieces: a lean in each, in place of one bend.
    """
    line: list[_Item] = []
    least, most = -inf, inf
    for track in tracks:
        low, high = _room(track, layers[track.layer])
        if max(least, low) > min(most, high):
            _align(line, least, most)
            line, least, most = [], -inf, inf
        line.append(track)
        least, most = max(least, low), min(most, high)
    _align(line, least, most)


def _align(line: Sequence[_Item], least: float, most: float) -> None:
    middle = sorted(track.x for track in line)[len(line) // 2] if line else 0.0
    for track in line:
        track.x = min(max(middle, least), most)


def _room(track: _Item, layer: Sequence[_Item]) -> tuple[float, float]:
    """Return how far to the left and to the right *track* can go."""
    left = layer[track.order - 1] if track.order else None
    right = layer[track.order + 1] if track.order + 1 < len(layer) else None
    return (
        left.x + left.reach + _TRACK_GAP if left else -inf,
        right.x - right.reach - _TRACK_GAP if right else inf,
    )


def _straighten_port(link: _Link) -> None:
    """Move a port a little where that makes the link upright."""
    aside = link.upper.x + link.upper_port - link.lower.x - link.lower_port
    if abs(aside) > _HARDLY:
        return
    if not link.lower.is_track:
        link.lower_port += aside
    elif not link.upper.is_track:
        link.upper_port -= aside


def _pull(item: _Item, *, with_above: bool, with_below: bool) -> tuple[float, float]:
    """Return where *item*'s links want it, and how strongly."""
    wanted = [(link.upper.x + link.upper_port - link.lower_port, link.weight) for link in item.above if with_above]
    wanted += [(link.lower.x + link.lower_port - link.upper_port, link.weight) for link in item.below if with_below]
    weight = sum(each for _, each in wanted)
    return (sum(x * each for x, each in wanted) / weight, weight) if wanted else (item.x, 0.01)


def _settle(layer: Sequence[_Item], pulls: Sequence[tuple[float, float]]) -> None:
    """Put items where they are pulled to, or as near to it as the room for those beside them allows."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        gap = _TRACK_GAP if left.is_track or right.is_track else _GAP
        offsets.append(offsets[-1] + left.reach + gap + right.reach)
    blocks: list[tuple[float, float, int]] = []  # the mean, the weight and the number of items that stand together
    for (wanted, weight), offset in zip(pulls, offsets, strict=True):
        block = (wanted - offset, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            mean, other, count = blocks.pop()
            both = other + block[1]
            block = ((mean * other + block[0] * block[1]) / both, both, count + block[2])
        blocks.append(block)
    starts = [mean for mean, _, count in blocks for _ in range(count)]
    for item, start, offset in zip(layer, starts, offsets, strict=True):
        item.x = start + offset


# --- The drawing


def _move_to_zero(layers: Layers) -> float:
    """Move everything so that the leftmost begins at 0, and return how wide it all is."""
    items = [item for layer in layers for item in layer]
    left = min((item.x - item.reach for item in items), default=0.0)
    for item in items:
        item.x -= left
    return max((item.x + item.reach for item in items), default=0.0)


def _height(layer: Sequence[_Item]) -> float:
    return max(item.height for item in layer)


def _tops(layers: Layers) -> tuple[list[float], float]:
    """Return where each layer begins, and how high they all are."""
    tops, bottom = list[float](), 0.0
    for layer in layers:
        tops.append(bottom)
        links = [link for item in layer for link in item.below]
        farthest = max((abs(link.upper.x - link.lower.x) for link in links), default=0.0)
        rise = min(_RISE + farthest / _STEEPEST, _MAX_RISE)
        bottom += _height(layer) + 2 * _STUB + rise
    return tops, tops[-1] + _height(layers[-1]) if layers else 0.0


def _along(chain: Sequence[_Link], upper: Box, lower: Box, bands: Sequence[tuple[float, float]]) -> tuple[Point, ...]:
    """Return the route of a chain of links from one box down to another, or around the one."""
    if not chain:
        return _loop(upper)
    bends: list[Point] = []
    for link in chain:
        bends.append((link.upper.x + link.upper_port, bands[link.upper.layer][1]))
        bends.append((link.lower.x + link.lower_port, bands[link.lower.layer][0]))
    return ((bends[0][0], upper.y + upper.height), *bends, (bends[-1][0], lower.y))


def _loop(box: Box) -> tuple[Point, ...]:
    right, middle = box.x + box.width, box.y + box.height / 2
    half = min(_LOOP_HEIGHT, box.height * 0.8) / 2
    below, above = middle + half, middle - half
    return ((right, below), (right + _LOOP_STUB, below), (right + _LOOP_STUB, above), (right, above))
