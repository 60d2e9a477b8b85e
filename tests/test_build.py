"""The package as others get it: what is in the wheel and the sdist, and that the wheel runs by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PINS = ROOT / "requirements-dev.txt"
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "src", "tests", "examples"]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run *command* where nothing of this checkout is on the path."""
    mine = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {name: value for name, value in os.environ.items() if name not in mine}
    environment |= {"PIP_CONSTRAINT": str(PINS), "PIP_BUILD_CONSTRAINT": str(PINS), "COLUMNS": "100"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def copied(target: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    target.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, target)
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return copied(tmp_path_factory.mktemp("build") / "source")


@pytest.fixture(scope="module")
def built(source) -> Path:
    """Return the folder with the wheel and the sdist; building the wheel from the sdist shows that it is whole."""
    target = source.parent / "dist"

    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, source, cwd=source.parent)

    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def metadata_of(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_the_wheel_holds_weft_and_nothing_else(source, wheel):
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    ours = {str(each.relative_to(source / "src")) for each in (source / "src").rglob("*") if each.is_file()}

    assert set(names) == ours
    assert "weft/py.typed" in names


def test_the_wheel_says_what_it_is_and_needs(wheel):
    metadata = metadata_of(wheel)
    needed = {each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each}
    names = {each.partition(">")[0].partition("[")[0].strip() for each in needed}

    assert names == {"pydantic", "typer", "rich"}
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_sdist_holds_sources_tests_and_licence(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"pyproject.toml", "README.md", "LICENSE", "src/weft/py.typed", "tests/test_build.py"} <= names
    assert [name for name in names if "__pycache__" in name or name.startswith(".venv")] == []


def test_the_wheel_runs_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--retries", "1", "--timeout", "15"]

    installed = run(*pip, wheel, cwd=tmp_path)
    if installed.returncode:
        probe = run(*pip, "--dry-run", "--no-deps", "pydantic", cwd=tmp_path)
        if probe.returncode:
            pytest.skip(f"no package index in reach: {probe.stderr.strip().splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    shown = run(python.parent / "weft", "--help", cwd=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout
    assert shown.stderr == ""
