"""The README is true: its Python runs and prints what it says, its commands work."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


def test_every_python_block_runs_and_prints_what_it_says() -> None:
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(PYTHON):
        expected = "".join(f"{line[3:]}\n" for line in block.splitlines() if line.startswith("#> "))
        printed = io.StringIO()

        with contextlib.redirect_stdout(printed):
            exec(compile(block, f"README block {number}", "exec"), namespace)

        assert printed.getvalue() == expected


def test_the_first_example_has_twenty_lines_of_code_or_so() -> None:
    code = [line for line in PYTHON[0].splitlines() if line.strip() and not line.startswith("#>")]

    assert len(code) <= 20


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("weft")])
def test_every_weft_command_works(command: str) -> None:
    arguments = shlex.split(command)[1:]

    command_line = [sys.executable, "-m", "weft", *arguments]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_set_up_is_two_commands() -> None:
    assert [line for line in COMMANDS if line.startswith("make")] == ["make demo", "make test"]
