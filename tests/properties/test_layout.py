"""What holds for every layout: layers go down, boxes stand apart, edges run between them, and all is inside."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from weft.render.layout import Box, Layout, place

SIZES = st.tuples(st.integers(20, 600), st.integers(20, 400))


@st.composite
def graphs(draw):
    sizes = draw(st.lists(SIZES, min_size=1, max_size=14))
    positions = st.integers(0, len(sizes) - 1)
    edges = draw(st.lists(st.tuples(positions, positions), max_size=30))
    return sizes, edges


@given(graphs())
def test_an_edge_runs_to_a_lower_layer_or_up_to_close_a_cycle(graph):
    sizes, edges = graph
    boxes = place(sizes, edges).boxes
    upward = [(start, end) for start, end in edges if boxes[start].layer >= boxes[end].layer]

    for start, end in upward:
        assert start == end or boxes[start].layer > boxes[end].layer
        assert leads_to(end, start, edges)


def leads_to(start: int, end: int, edges: list[tuple[int, int]]) -> bool:
    found, todo = {start}, [start]
    for each in todo:
        fresh = {follower for leader, follower in edges if leader == each} - found
        found |= fresh
        todo.extend(fresh)
    return end in found


@given(graphs())
def test_boxes_never_overlap(graph):
    boxes = place(*graph).boxes

    for one, other in combinations(boxes, 2):
        assert not overlap(one, other)


def overlap(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return across > 1e-6 and down > 1e-6


@given(graphs())
def test_edges_never_run_through_a_box(graph):
    layout = place(*graph)

    for route in layout.routes:
        for (x, y), (next_x, next_y) in pairwise(route):
            # A bend stays between the levels of its ends: the space that it may take.
            space = Box(min(x, next_x), min(y, next_y), abs(x - next_x), abs(y - next_y), 0)
            assert not any(reaches_into(space, box) for box in layout.boxes)


def reaches_into(space: Box, box: Box) -> bool:
    left, right = box.x + 1e-6, box.x + box.width - 1e-6
    top, bottom = box.y + 1e-6, box.y + box.height - 1e-6
    return space.x < right and space.x + space.width > left and space.y < bottom and space.y + space.height > top


@given(graphs())
def test_everything_is_inside(graph):
    layout = place(*graph)
    points = [point for route in layout.routes for point in route]
    points += [(box.x, box.y) for box in layout.boxes]
    points += [(box.x + box.width, box.y + box.height) for box in layout.boxes]

    assert all(-1e-6 <= x <= layout.width + 1e-6 for x, _ in points)
    assert all(-1e-6 <= y <= layout.height + 1e-6 for _, y in points)


@given(graphs())
def test_routes_begin_and_end_at_their_boxes(graph):
    sizes, edges = graph
    layout = place(sizes, edges)

    for (start, end), route in zip(edges, layout.routes, strict=True):
        assert touches(route[0], layout.boxes[start])
        assert touches(route[-1], layout.boxes[end])


def touches(point: tuple[float, float], box: Box) -> bool:
    x, y = point
    is_across = box.x - 1e-6 <= x <= box.x + box.width + 1e-6
    is_on_a_side = min(abs(y - box.y), abs(y - box.y - box.height), abs(x - box.x - box.width)) < 1e-6
    return is_across and is_on_a_side


@given(graphs())
def test_the_same_graph_is_laid_out_the_same(graph):
    assert place(*graph) == place(*graph)


def test_nothing_takes_no_room():
    assert place([], []) == Layout((), (), 0.0, 0.0)


def test_a_chain_is_one_straight_line():
    layout = place([(100, 40), (300, 40), (60, 40)], [(0, 1), (1, 2)])

    assert len({round(x, 6) for route in layout.routes for x, _ in route}) == 1
    assert [box.layer for box in layout.boxes] == [0, 1, 2]


def test_edges_that_need_not_cross_do_not():
    edges = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (2, 5), (3, 6), (4, 5)]
    boxes = place([(80, 40)] * 7, edges).boxes
    pairs = list(combinations([(boxes[start].x, boxes[end].x) for start, end in edges[4:]], 2))

    assert all((start - other) * (end - other_end) >= 0 for (start, end), (other, other_end) in pairs)


def test_a_very_wide_layer_is_folded():
    layout = place([(50, 40), *[(400, 40)] * 12], [(0, leaf) for leaf in range(1, 13)])

    assert len({box.layer for box in layout.boxes}) > 3
    assert layout.width < 2500


def test_what_follows_a_box_that_was_folded_stands_below_it():
    sizes = [(50, 40), *[(400, 40)] * 8, (50, 40), (50, 40)]
    boxes = place(sizes, [*((0, leaf) for leaf in range(1, 10)), (8, 10), (9, 10)]).boxes

    assert boxes[9].layer < boxes[8].layer < boxes[10].layer
