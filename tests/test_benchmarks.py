"""The benchmarks do what they say: every value and every number of calls is checked, and what is wrong is told."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--check", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf8",
        timeout=110,
        check=False,
    )


@pytest.fixture
def copied_suite(tmp_path):
    """Return a copy of the suite, to be broken; it has no environments, so that contenders run in this one."""
    for path in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("benchmarks/contenders/*.py")]:
        copied = tmp_path / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    return tmp_path


def test_weft_and_plain_asyncio_give_the_same_values_with_the_same_calls(copied_suite):
    done = run_suite(copied_suite, "--contenders", "plain,weft")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "plain asyncio: 16 right, 0 wrong, 0 left out" in done.stdout
    assert "Weft: 16 right, 0 wrong, 0 left out" in done.stdout or "not in this version" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("return 1 + sum(", "plain: noop, 10: gave 46, not 45"),
        ("await functions[0](); return sum(", "called 11 functions and 0 models, not 10 and 0"),
        ("raise LookupError('no such work'); sum(", "LookupError: no such work"),
        ("import os; os._exit(3); sum(", "exit code 3"),
    ],
)
def test_a_contender_that_is_wrong_fails_the_run(copied_suite, wrong, told):
    file = copied_suite / "benchmarks/contenders/plain.py"
    before, right, after = file.read_text("utf8").partition("return sum([task")
    assert right
    file.write_text(f"{before}{wrong}[task{after}", "utf8")

    done = run_suite(copied_suite, "--contenders", "plain", "--only", "noop")

    assert done.returncode == 1
    assert told in done.stdout


def test_the_pictures_are_of_the_figures_that_are_kept(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    charts = importlib.import_module("benchmarks.charts")
    found = json.loads((ROOT / "benchmarks/results/baseline.json").read_text("utf8"))

    pictures = charts.drawn(found)

    assert {name: (ROOT / "docs/_static" / name).read_text("utf8") for name in pictures} == pictures
