"""Every page of the documentation is true: `pages.py` says what is run and what is compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from pages import PAGES, ROOT, TRUE, UntrueError, blocks_of

from weft.backends.offline import NOTICE

# What a command's output may depend on: the terminal, and a plug-in that wants to be told its own default.
SETTINGS = {
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": "-o asyncio_default_fixture_loop_scope=function -p no:cacheprovider",
}


def check_page(path: Path, folder: Path) -> None:
    """Run the page at *path* in *folder*, in a process of its own; raises UntrueError."""
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = {name: value for name, value in os.environ.items() if name != "WEFT_LM"}
    done = subprocess.run(
        [sys.executable, "-W", "error", pages.__file__, path],
        cwd=folder,
        env={**environment, **SETTINGS},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf8",
        timeout=120,
        check=False,
    )
    said = done.stderr.replace(f"{NOTICE}\n", "")
    if said or done.returncode or done.stdout != f"{TRUE}\n":
        raise UntrueError(said or f"{path.name}: the page ended early, with {done.returncode}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_and_prints_what_the_page_shows(page, tmp_path):
    check_page(page, tmp_path)


def test_the_readme_and_the_tutorial_are_among_the_pages():
    names = {str(page.relative_to(ROOT)) for page in PAGES}

    assert {"README.md", "docs/tutorial.md"} <= names
    assert all(blocks_of((ROOT / name).read_text("utf8")) for name in ("README.md", "docs/tutorial.md"))


# --- The executor itself


def check_text(text: str, folder: Path) -> None:
    """Run *text* as a page."""
    page = folder / "page.md"
    page.write_text(text, "utf8")
    work = folder / "work"
    work.mkdir()
    check_page(page, work)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```python\nprint(1)\n```", r"\+ 1"),
        ("```python\n#> 1\n```", "- 1"),
        ("```python\nprint(1)\n#> 2\n```", "- 2"),
        ("- in a list:\n\n  ~~~python\n  print(1)\n  ~~~", r"\+ 1"),
        ("```python\nraise LookupError\n```", "LookupError"),
        ("```python\nimport sys\nprint(1, file=sys.stderr)\n```", "1"),
        ("```python\nimport warnings\nwarnings.warn('old')\n```", "old"),
        ("```python\nimport socket\nsocket.create_connection(('192.0.2.1', 80), 1)\n```", "network"),
        ("```python\nexit(0)\n```\n\n```python\n#> 1\n```", "ended early"),
        ("```python\nimport os\nos._exit(0)\n```", "ended early"),
        ("```python\n# broken.py\nprint(1)\n```", r"\+ 1"),
        ("```py\nprint(1)\n```", "a block in 'py'"),
        ("```Python\nprint(1)\n```", "a block in 'Python'"),
        ("```python title='x'\nprint(1)\n```", "a block in"),
        ("```\nprint(1)\n```", "no language"),
        ("text\n\n    print(1)\n", "by indentation"),
        ("```sh\npython -c 'print(1)'\n```\n```text\n2\n```", "- 2"),
        ("```sh\npython -c 'exit(1)'\n```", "exit code 1"),
        ("```sh\nrm -rf nothing\n```", "'rm' is neither run"),
    ],
)
def test_a_page_that_is_not_true_is_told(text, why, tmp_path):
    with pytest.raises(UntrueError, match=why):
        check_text(text, tmp_path)


def test_files_names_and_commands_go_on_from_block_to_block(tmp_path):
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
name: str = "Ada"
```
```python
print(greet(name), "12 ms", __annotations__["name"])
#> Hello, Ada     7 ms <class 'str'>
```
```sh
python -c "from greet import greet; print(greet('Bob')); exit(3)"  # exit code 3
```
```text
Hello, Bob
```
"""

    check_text(text, tmp_path)
