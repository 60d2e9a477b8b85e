"""docs/errors.md has a section for every error, in the order of the tree, and its examples print what it says."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

from weft import errors, testing

PAGE = (Path(__file__).parents[1] / "docs" / "errors.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ERRORS = [name for name, thing in vars(errors).items() if isinstance(thing, type) and name.endswith("Error")]
OF_WEFT = [name for name in ERRORS if getattr(errors, name).__module__ == errors.__name__]
IN_TESTS = "In tests: "


def test_every_class_has_a_section_and_every_section_a_class():
    of_tests = [title.removeprefix(IN_TESTS) for title in SECTIONS if title.startswith(IN_TESTS)]
    others = [title for title in SECTIONS if not title.startswith(IN_TESTS)]

    assert others == [*OF_WEFT, "On the command line: exit codes"]
    assert {"UnexpectedCallError", "UnconsumedStepsError"} <= set(of_tests) <= set(dir(testing))


def test_the_tree_is_that_of_the_module():
    _, tree = (errors.__doc__ or "").split("\n\nWeftError\n")

    assert f"```text\nWeftError\n{tree.partition(chr(10) * 2)[0]}\n```" in PAGE


def test_every_section_tells_cause_example_and_cure():
    told = {title: text for title, text in SECTIONS.items() if "command line" not in title}

    assert [title for title, text in told.items() if "**Cause.**" not in text or "**Cure.**" not in text] == []
    assert [title for title, text in told.items() if "#> " not in text] == []


@pytest.mark.parametrize("name", OF_WEFT)
def test_every_attribute_that_an_error_sets_is_named(name):
    set_here = re.findall(r"self\.(\w+)(?:: .+?)? = ", inspect.getsource(getattr(errors, name)))

    assert [each for each in set_here if f"`{each}`" not in SECTIONS[name]] == []


def test_the_examples_print_what_the_page_says(monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_LM", "")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "errors_page"}

    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, "<stdin>", "exec", dont_inherit=True), names)

        assert printed.getvalue() == "".join(f"{line[3:]}\n" for line in block.splitlines() if line.startswith("#> "))
