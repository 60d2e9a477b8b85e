"""The how-tos are true: every Python block of a page runs, in one namespace, and prints what it says.

Each page has a process of its own, in which warnings are errors and the network is closed: what another library leaves
behind in a process, and what it might tell its makers, stays out of the other tests.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import difflib
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from weft.backends.offline import NOTICE

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
LOOPBACK = ("127.0.0.1", "::1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_python_block_runs_and_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # a page may write files
    command = [sys.executable, "-W", "error", __file__, str(page)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    said = done.stderr.replace(f"{NOTICE}\n", "")  # nothing else: no log, no error unheard

    assert (done.returncode, said) == (0, ""), said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_is_left_out(page: Path) -> None:
    text = page.read_text("utf8")

    assert set(re.findall(r"^ *```(\S+)", text, re.MULTILINE)) <= {"python", "sh", "text"}
    assert len(re.findall(r"^```python$", text, re.MULTILINE)) == len(re.findall("```python", text)) > 0


def run_page(page: Path) -> None:
    module = sys.modules["page"] = types.ModuleType("page")  # where classes look for the names around them
    text = page.read_text("utf8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        block, above = found[1], text[: found.start(1)].count("\n")
        expected = [line[3:] for line in block.splitlines() if line.startswith("#> ")]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a notebook
            code = compile("\n" * above + block, str(page), "exec", flags, dont_inherit=True)
            if (awaited := eval(code, vars(module))) is not None:
                asyncio.run(awaited)
        if (lines := printed.getvalue().splitlines()) != expected:
            difference = difflib.unified_diff(expected, lines, "what the page says", "what it prints", lineterm="")
            sys.exit("\n".join([f"{page.name}, line {above + 1}:", *difference]))


def close_the_network(event: str, arguments: tuple[object, ...]) -> None:
    address = arguments[1] if event == "socket.connect" else None
    if isinstance(address, tuple) and address[0] not in LOOPBACK:
        sys.exit(f"A page must not use the network, and this one connects to {address}.")


if __name__ == "__main__":
    sys.addaudithook(close_the_network)
    os.environ.pop("WEFT_LM", None)
    run_page(Path(sys.argv[1]))
