"""Every mistake in tests/mistakes/*.md is told as it stands there, word for word.

A section holds a mistake as code, and then what a person is told: the end of the traceback, and what was logged
or warned of. Each page begins with the names that its mistakes use. When a message changes on purpose,
``python tests/test_mistakes.py`` writes what is told anew; read the difference.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import re
import sys
import traceback
import types
import warnings
from pathlib import Path

import pytest

from weft.backends.offline import NOTICE

PAGES = sorted((Path(__file__).parent / "mistakes").glob("*.md"))
SECTION = re.compile(r"^## (.+?)\n.*?```python\n(.*?)```\n\n```text\n(.*?)```", re.MULTILINE | re.DOTALL)
MISTAKES = [
    pytest.param(page, code, told, id=f"{page.stem}: {title}")
    for page in PAGES
    for title, code, told in SECTION.findall(page.read_text("utf-8"))
]


@pytest.mark.parametrize(("page", "code", "told"), MISTAKES)
def test_a_mistake_is_told_in_these_words(page, code, told, monkeypatch):
    monkeypatch.delenv("WEFT_LM", raising=False)

    assert told_of(page, code) == told


def test_the_pages_hold_every_mistake_once():
    titles = [line for page in PAGES for line in page.read_text("utf-8").splitlines() if line.startswith("## ")]

    assert len(titles) == len(set(titles)) == len(MISTAKES) >= 60


def told_of(page: Path, code: str) -> str:
    """Run *code* after what *page* begins with, as a module, and return what a person is told."""
    names, _, _ = page.read_text("utf-8").partition("\n## ")
    module = types.ModuleType("mistake")
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    sys.modules["mistake"] = module
    logging.getLogger("weft").addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            raised = _run([*re.findall(r"```python\n(.*?)```", names, re.DOTALL), code], vars(module))
            vars(module).clear()
            gc.collect()  # so that a coroutine that nobody awaited is warned of here
    finally:
        logging.getLogger("weft").removeHandler(handler)
        del sys.modules["mistake"]
    told = [raised, logged.getvalue().replace(f"{NOTICE}\n", "")]
    told += [f"{each.category.__name__}: {each.message}\n" for each in warned if each.category is RuntimeWarning]
    # How long something took differs, and in which file of weft.testing an error is written tells nobody anything.
    return re.sub(r"weft\.testing\.\w+\.", "weft.testing.", re.sub(r"\d+ ms", "… ms", "".join(told)))


def _run(blocks: list[str], names: dict[str, object]) -> str:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            for block in blocks:
                exec(compile(block, "mistake.py", "exec", dont_inherit=True), names)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what a person sees
        return printed.getvalue() + "".join(traceback.format_exception_only(error))
    return printed.getvalue()


def _rewrite(page: Path) -> None:
    def with_told(section: re.Match[str]) -> str:
        return section[0].removesuffix(f"{section[3]}```") + told_of(page, section[2]) + "```"

    page.write_text(SECTION.sub(with_told, page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    for each in PAGES:
        _rewrite(each)
