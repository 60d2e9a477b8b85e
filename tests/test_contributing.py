"""CONTRIBUTING.md is true: its targets, files and numbers are the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import test_architecture as architecture

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf8")
NAMED = {name for name in re.findall(r"`([\w./-]+)`", TEXT) if re.search(r"/|\.(py|md|txt|toml)$", name)}


def test_its_make_targets_exist():
    targets = re.findall(r"^make ([\w-]+)", TEXT, re.MULTILINE)
    defined = set(re.findall(r"^([\w-]+):.*## ", (ROOT / "Makefile").read_text("utf8"), re.MULTILINE))

    assert targets
    assert set(targets) <= defined


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_file_that_it_names_is_there(name):
    assert (ROOT / name).exists() or (ROOT / "src" / "weft" / name).exists()


def test_its_numbers_are_those_that_the_tests_keep():
    said = re.search(r"at most (\d+) lines, a function (\d+), and half of all functions (\d+) or fewer; (\d+) ", TEXT)

    assert said is not None
    assert tuple(map(int, said.groups())) == (
        architecture.MAX_LINES_OF_FILE,
        architecture.MAX_LINES_OF_FUNCTION,
        architecture.MEDIAN_LINES_OF_FUNCTION,
        architecture.MAX_PARAMETERS,
    )


def test_names_that_say_nothing_are_those_that_the_tests_find():
    listed = re.search(r"No names that say nothing: (.*)\.", TEXT)

    assert listed is not None
    assert all(architecture.VAGUE.search(name) for name in listed[1].split(", "))
