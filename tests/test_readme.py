"""The README is short and shows the way in; that its code is true, `test_pages.py` tells."""

from __future__ import annotations

from pages import ROOT, blocks_of

BLOCKS = blocks_of((ROOT / "README.md").read_text("utf8"))


def test_the_first_example_has_twenty_lines_of_code_or_so() -> None:
    first = next(block.text for block in BLOCKS if block.language == "python")
    code = [line for line in first.splitlines() if line.strip() and not line.startswith("#>")]

    assert len(code) <= 20


def test_the_set_up_is_two_commands() -> None:
    commands = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
    make = [line.partition("#")[0].strip() for line in commands if line.startswith("make")]

    assert make == ["make demo", "make test"]
