"""mypy and pyright see in user code what they should: the suites in tests/typing, each checked by one process."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "typing"
PASSING = sorted(SUITES.glob("must_pass/*.py"))
FAILING = sorted(SUITES.glob("must_fail/*.py"))
COMMANDS = {
    "mypy": ["mypy", "--config-file", SUITES / "mypy.ini", "--output", "json", *PASSING, *FAILING],
    "pyright": ["pyright", "--project", SUITES, "--pythonpath", sys.executable, "--outputjson"],
}
# `# E: reason` marks a line that both report, `# E[pyright]: reason` one that only pyright does.
MARK = re.compile(r"# E(?:\[(mypy|pyright)\])?: ")

Errors = dict[Path, dict[int, str]]


def errors_due(file: Path, checker: str) -> set[int]:
    lines = enumerate(file.read_text("utf-8").splitlines(), start=1)
    return {number for number, line in lines if (mark := MARK.search(line)) and mark[1] in (None, checker)}


def errors_of_mypy(output: str) -> Errors:
    found: Errors = defaultdict(dict)
    for each in map(json.loads, output.splitlines()):
        if each["severity"] == "error":
            found[Path(each["file"]).resolve()].setdefault(each["line"], each["message"])
    return found


def errors_of_pyright(output: str) -> Errors:
    found: Errors = defaultdict(dict)
    for each in json.loads(output)["generalDiagnostics"]:
        if each["severity"] == "error":
            line = each["range"]["start"]["line"] + 1
            found[Path(each["file"]).resolve()].setdefault(line, each["message"])
    return found


READERS = {"mypy": errors_of_mypy, "pyright": errors_of_pyright}


@pytest.fixture(scope="module")
def reported() -> dict[str, Errors]:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    processes = {
        checker: subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for checker, command in COMMANDS.items()
    }
    found = {}
    for checker, process in processes.items():
        output, complaints = process.communicate()
        assert process.returncode == 1, f"{checker} did not do its work:\n{output}{complaints}"
        found[checker] = READERS[checker](output)
    return found


@pytest.mark.parametrize("file", [*PASSING, *FAILING], ids=lambda file: file.stem)
@pytest.mark.parametrize("checker", COMMANDS)
def test_a_checker_reports_the_marked_lines_and_no_other(checker, file, reported):
    found = reported[checker].get(file, {})
    due = errors_due(file, checker)

    assert {line: message for line, message in found.items() if line not in due} == {}
    assert due - found.keys() == set(), f"{checker} finds nothing wrong with these lines"


@pytest.mark.parametrize("checker", COMMANDS)
def test_nothing_is_reported_outside_the_suites(checker, reported):
    assert reported[checker].keys() <= {*PASSING, *FAILING}


def test_only_what_must_fail_is_marked():
    assert [file for file in PASSING if MARK.search(file.read_text("utf-8"))] == []
    assert [file for file in FAILING if not MARK.search(file.read_text("utf-8"))] == []


@pytest.mark.parametrize("file", PASSING, ids=lambda file: file.stem)
def test_what_passes_the_checkers_is_accepted_at_run_time(file):
    runpy.run_path(str(file))
