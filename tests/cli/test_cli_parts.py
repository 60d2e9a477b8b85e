"""The parts of a run: how much work they are, and what is left of their tree where there is little room."""

from __future__ import annotations

import pytest

from weft.cli._branches import Part, branches_of, pruned, size_of
from weft.cli._work import work_of
from weft.render.text import Branch, lines


def part(key: str, kind: str, began: float, ended: float, **values) -> Part:
    return Part(key, "name", kind, began=began, status="done", seconds=ended - began, **values)


# --- Work


def test_parts_beside_each_other_both_count():
    parts = [
        part("0:A", "node", 0, 3),
        part("0:A/x", "dep", 0, 2),
        part("0:A/y", "dep", 0, 2),
        part("0:A/fill", "lm", 2, 3),
    ]

    assert work_of(parts) == 5


def test_a_dependency_and_what_it_is_made_from_count_one_after_the_other():
    parts = [part("0:A/x", "dep", 2, 5), part("0:A/x/y", "dep", 0, 2)]

    assert work_of(parts) == 5


def test_a_dependency_that_only_waits_for_an_inner_run_counts_what_the_run_did():
    parts = [
        part("0:A/x", "dep", 0, 4),
        part("0:A/x/run", "run", 0, 4),
        part("0:A/x/run/0:B", "node", 0, 4),
        part("0:A/x/run/0:B/y", "dep", 0, 4),
        part("0:A/x/run/0:B/z", "dep", 0, 3),
    ]

    assert work_of(parts) == 7


def test_a_dependency_counts_what_it_does_before_between_and_after_inner_runs():
    parts = [
        part("0:A/x", "dep", 0, 10),
        part("0:A/x/run", "run", 1, 4),
        part("0:A/x/run#2", "run", 2, 5),
        part("0:A/x/run#3", "run", 7, 9),
    ]

    assert work_of(parts) == 1 + 2 + 1


def test_each_attempt_counts_without_what_went_on_inside_it():
    parts = [
        part("0:A/x", "dep", 0, 2),
        part("0:A/x/run", "run", 1, 2),
        part("0:A/x#2", "dep", 2, 4, attempt=2),
        part("0:A/x/run#2", "run", 2, 3),
    ]

    assert work_of(parts) == 2


def test_a_sub_node_and_its_wait_for_a_place_add_nothing_to_the_call():
    parts = [part("0:A/x", "dep", 0, 5), part("0:A/x/fill", "lm", 3, 5, waited=3)]

    assert work_of(parts) == 2


@pytest.mark.parametrize(("is_code", "work"), [(True, 5), (False, 3)])
def test_a_visit_counts_where_its_body_is_code(is_code, work):
    parts = [part("0:A", "node", 0, 5, is_code=is_code), part("0:A/x", "dep", 0, 1), part("0:A/body/fill", "lm", 2, 4)]

    assert work_of(parts) == work


def test_values_that_runs_share_count_once_where_they_are():
    parts = [
        part("0:A/shared", "dep", 0, 3),
        part("0:A/x", "dep", 0, 4),
        part("0:A/x/run", "run", 0, 4),
        part("0:A/x/run/0:B", "node", 0, 4),
        part("0:A/x/run/0:B/fill", "lm", 3, 4),
    ]

    assert work_of(parts) == 4


# --- Room


def tree() -> Branch:
    return Branch(
        "visit",
        tone="going",
        branches=(
            Branch("done", tone="good", branches=(Branch("inside", tone="good"),)),
            Branch("done too", tone="good"),
            Branch("going", tone="going", branches=(Branch("written"), Branch("failed", tone="bad"))),
            Branch("waits", tone="waiting"),
            Branch("waits too", tone="waiting"),
        ),
    )


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        (
            9,
            [
                "visit",
                "  done",
                "    inside",
                "  done too",
                "  going",
                "    written",
                "    failed",
                "  waits",
                "  waits too",
            ],
        ),
        (8, ["visit", "  going", "    written", "    failed", "  waits", "  waits too", "  … 3 more"]),
        (7, ["visit", "  going", "    written", "    failed", "  waits", "  waits too", "  … 3 more"]),
        (6, ["visit", "  going", "    failed", "  … 6 more"]),
        (4, ["visit", "  going", "    failed", "  … 6 more"]),
        (3, ["visit", "  going", "  … 7 more"]),
        (2, ["visit", "  … 8 more"]),
    ],
)
def test_what_is_going_on_stays_and_the_rest_is_counted(rows, shown):
    branch = pruned(tree(), rows)

    assert list(lines([branch])) == shown
    assert size_of(branch) <= rows


def test_finished_parts_fold_before_they_go():
    done = Branch("done", tone="good", branches=(Branch("a", tone="good"), Branch("b", tone="good")))

    shown = pruned(Branch("visit", tone="going", branches=(done, Branch("going", tone="going"))), 4)

    assert list(lines([shown])) == ["visit", "  done", "  going", "  … 2 more"]


def test_parts_keep_the_order_they_are_given_whenever_they_begin():
    parts = {
        each.key: each for each in [part("0:A", "node", 0, 1), part("0:A/b", "dep", 0, 1), part("0:A/a", "dep", 0, 1)]
    }

    [branch] = branches_of(parts, 1, {"0:A/a": 0, "0:A/b": 1})

    assert [each.title for each in branch.branches] == ["a: name", "b: name"]
