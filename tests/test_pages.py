"""Every page of the documentation is true: `pages.py` says what is run and what is compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks_of, run_page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_and_prints_what_the_page_shows(page, tmp_path):
    run_page(page, tmp_path)


def run_text(text: str, folder: Path) -> None:
    """Run *text* as a page; it stands where pages stand."""
    page = folder / "page.md"
    page.write_text(text, "utf8")
    work = folder / "work"
    work.mkdir()
    run_page(page, work)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```",  # printed and not shown
        "```python\n#> 1\n```",  # shown and not printed
        "```python\nprint(1)\n#> 2\n```",
        "- in a list:\n\n  ~~~python\n  print(1)\n  ~~~",
        "```py\nprint(1)\n```",
        "```Python\nprint(1)\n```",
        "```python title='x'\nprint(1)\n```",
        "```\nprint(1)\n```",
        "text\n\n    print(1)\n",
        "```python\n# broken.py\nprint(1)\n```",
        "```sh\npython -c 'print(1)'\n```\n```text\n2\n```",
        "```sh\npython -c 'exit(1)'\n```",
        "```sh\nrm -rf nothing\n```",
    ],
)
def test_a_page_that_is_not_true_is_told(text, tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ROOT", tmp_path)

    with pytest.raises(AssertionError):
        run_text(text, tmp_path)


def test_files_names_and_commands_go_on_from_block_to_block(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ROOT", tmp_path)
    text = """
```python
# greet.py
def greet(name: str) -> str:
    return f"Hello, {name}"
```
```python
import asyncio
from greet import greet

await asyncio.sleep(0)
name = "Ada"
```
```python
print(greet(name), "12 ms")
#> Hello, Ada     7 ms
```
```sh
python -c "from greet import greet; print(greet('Bob')); exit(3)"  # exit code 3
```
```text
Hello, Bob
```
"""

    run_text(text, tmp_path)


def test_a_page_leaves_nothing_behind(tmp_path, monkeypatch):
    import os
    import sys

    monkeypatch.setattr("pages.ROOT", tmp_path)
    before = (dict(sys.modules), list(sys.path), dict(os.environ), Path.cwd())

    run_text('```python\n# leftover_module.py\nimport os\nos.environ["X_LEFT"] = "1"\n```', tmp_path)

    assert (dict(sys.modules), list(sys.path), dict(os.environ), Path.cwd()) == before


def test_the_readme_and_the_tutorial_are_among_the_pages():
    names = {str(page.relative_to(ROOT)) for page in PAGES}

    assert {"README.md", "docs/tutorial.md"} <= names
    assert all(blocks_of((ROOT / name).read_text("utf8")) for name in ("README.md", "docs/tutorial.md"))
