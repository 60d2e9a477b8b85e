"""Fixtures for tests of the command line: small modules in a folder of their own, and the command itself."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from commands import HEAD, start_process
from terminals import Terminal

from weft.cli import main

TRIP = """
async def get_place() -> str:
    return "Oslo"

async def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    return f"rain in {place}"

class Ask(Node):
    question: str
    days: int = 3

    async def __call__(self) -> "Plan | Refusal": ...

class Tone(Node):
    ask: Annotated[Ask, Recall()]
    sky: Annotated[str, Dep(get_weather)]
    mood: str

class Plan(Node):
    weather: Annotated[str, Dep(get_weather)]
    tone: Annotated[Tone, Dep()]
    text: str = Field(description="the plan")

class Refusal(Node):
    reason: str

graph = Graph(start=Ask, lm=Fixed())
"""


@dataclass(frozen=True)
class Done:
    """What a command came to; durations are replaced by a star, since they differ from run to run."""

    code: int
    out: str
    err: str

    @property
    def timeless(self) -> str:
        return re.sub(r"\d+(\.\d+)? (ms|s)\b", "*", self.out)


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    """Colours, widths and LMs named in the developer's own environment change nothing."""
    for name in ("WEFT_LM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a file to the current folder, a module with HEAD first; what it loads is forgotten."""

    def write_file(name: str, text: str, *, head: str = HEAD) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(text)
        path.write_text(f"{head}{text}" if name.endswith(".py") else text, "utf-8")
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield write_file
    for name in [name for name in set(sys.modules) - before if is_inside(tmp_path, sys.modules[name])]:
        del sys.modules[name]


def is_inside(folder: Path, module: ModuleType) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(str(place).startswith(str(folder)) for place in places)


@pytest.fixture
def weft(write, capsys):
    """The command, in this process."""

    def command(*arguments: str) -> Done:
        code = main(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return command


@pytest.fixture
def trip(write):
    """A module with a route, a chain of dependencies, a sub-node and a Recall."""
    return write("trip.py", TRIP)


@pytest.fixture
def weft_process(write):
    """The command, as a process of its own."""

    def command(*arguments: str, module: str = "weft", given: str | None = None, **options) -> Done:
        stdin = subprocess.PIPE if given is not None else subprocess.DEVNULL
        process = start_process(module, *arguments, stdin=stdin, **options)
        out, err = process.communicate(given, timeout=60)
        return Done(process.returncode, out or "", err or "")

    return command


@pytest.fixture
def terminal(write):
    """The command on a terminal; what a test leaves running is ended."""
    opened = []

    def start(*arguments: str, **options) -> Terminal:
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.process.close(force=True)
