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


@pytest.mark.parametrize(
    ("took", "seconds"),
    [
        ([(100, 2.0)], 20.0),
        ([(10, 1.0), (100, 2.0)], 20.0),  # less than in proportion: what is done once weighs at small sizes
        ([(10, 9.0), (50, 1.0), (100, 4.0)], 400.0),
    ],
)
def test_what_a_bigger_size_would_take_is_foretold_from_the_smaller_ones(monkeypatch, took, seconds):
    monkeypatch.syspath_prepend(ROOT)
    run = importlib.import_module("benchmarks.run")

    assert run.foretold(took, 1_000) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("making", "working", "told"),
    [
        (8.0, 2.0, ""),
        (2.0, 8.0, "would take 80 s or more"),
        (20.0, 2.0, "would take 200 s or more to be made ready"),
    ],
)
def test_a_size_is_left_out_for_what_it_would_take_and_the_reason_is_told(monkeypatch, making, working, told):
    monkeypatch.syspath_prepend(ROOT)
    run = importlib.import_module("benchmarks.run")

    assert run.too_long([run.Took(10_000, making, working)], 100_000) == told
