"""Runs the code of a documentation page as a reader would, and compares what it prints with what the page shows.

The convention, for README.md, CONTRIBUTING.md and docs/**/*.md. A page has a working directory of its own, with the
repository's examples/ in it, and its blocks run in order:

- ```python runs in one namespace per page, in which a top-level ``await`` is allowed. What the block prints is what
  its lines ``#> `` say. None can be left out.
- ```python whose first line is ``# name.py`` is that file: it is written, in place of an older one, and imported.
  Later blocks import from it, later commands use it.
- ```sh holds commands, one a line. Those that begin with ``weft`` or ``python`` run and exit with 0, or with what the
  comment behind them says: ``# exit code 2``. What installs or builds (`NOT_RUN`) does not run here.
- ```text right after ```sh is what these commands print. Elsewhere it is a picture.

Durations (``12 ms``) may differ, and the blanks before them. The working directory is left out of paths.
Other languages are for looking at; a fence without one, or code by indentation, is a fault of the page.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import difflib
import importlib
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NOT_RUN = ("make", "git", "cd", ".", "pip", "python -m pip", "python -m venv")
SHOWN_ONLY = {"json", "mermaid", "toml", "ini", "html", "yaml"}

# What a command's output may depend on: the terminal, and a plug-in that wants to be told its own default.
SETTINGS = {
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": "-o asyncio_default_fixture_loop_scope=function -p no:cacheprovider",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the page's line that it begins at."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file that the block is, or nothing."""
        named = re.match(r"# ([\w./-]+\.py)\n", self.text)
        return named[1] if named else ""


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page, its directives left out."""
    found = []
    for token in MarkdownIt().parse(text):
        line = token.map[0] + 1 if token.map else 0
        assert token.type != "code_block", f"line {line}: code by indentation. Fence it, and name its language."
        if token.type == "fence" and not token.info.startswith("{"):
            found.append(Block(token.info, token.content, line))
    return found


def run_page(path: Path, folder: Path) -> None:
    """Run every block of the page at *path* in *folder*; raises AssertionError where the page is not true."""
    (folder / "examples").symlink_to(ROOT / "examples")
    blocks = blocks_of(path.read_text("utf8"))
    with _working_in(folder) as main:
        for block, following in itertools.zip_longest(blocks, blocks[1:]):
            try:
                _run_block(block, following, main, folder)
            except BaseException as error:
                error.add_note(f"{path.relative_to(ROOT)}, line {block.line}")
                raise


def _run_block(block: Block, following: Block | None, main: types.ModuleType, folder: Path) -> None:
    if block.language == "python":
        printed = _run_file(block, folder) if block.file else _run_python(block, main)
        shown = "".join(f"{line[3:]}\n" for line in block.text.splitlines() if line.startswith("#> "))
        _compare(printed, shown, folder)
    elif block.language == "sh":
        printed = "".join(map(_run_command, block.text.splitlines()))
        if following is not None and following.language == "text":
            _compare(printed, following.text, folder)
    else:
        assert block.language in {"text", *SHOWN_ONLY}, f"a block in {block.language or 'no language'!r}"


def _run_file(block: Block, folder: Path) -> str:
    (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
    (folder / block.file).write_text(block.text, "utf8")
    name = block.file.removesuffix(".py").replace("/", ".")
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        importlib.import_module(name)
    return printed.getvalue()


def _run_python(block: Block, main: types.ModuleType) -> str:
    code = compile(block.text, "<stdin>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = types.FunctionType(code, vars(main))()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    return printed.getvalue()


def _run_command(line: str) -> str:
    command, _, comment = line.partition(" #")
    words = shlex.split(command, comments=True)
    if not words or any(words[: len(each.split())] == each.split() for each in NOT_RUN):
        return ""
    programs = {"weft": [sys.executable, "-m", "weft"], "python": [sys.executable]}
    assert words[0] in programs, f"{words[0]!r} is neither run nor in NOT_RUN"

    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        env={**os.environ, **SETTINGS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf8",
        timeout=60,
        check=False,
    )

    wanted = re.fullmatch(r"\s*exit code (\d+)\s*", comment)
    assert done.returncode == int(wanted[1] if wanted else 0), f"{line}\n{done.stdout}"
    return done.stdout


def _compare(printed: str, shown: str, folder: Path) -> None:
    is_shown, is_printed = _comparable(shown, folder), _comparable(printed, folder)
    assert is_printed == is_shown, "\n".join(difflib.ndiff(is_shown, is_printed))


def _comparable(text: str, folder: Path) -> list[str]:
    """Return the lines of *text* without what differs from run to run and from machine to machine."""
    text = text.replace(f"{folder}{os.sep}", "")
    text = re.sub(r" *\b\d+(\.\d+)? ?(ms|s)\b", " *", text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[types.ModuleType]:
    """Be a fresh program in *folder*: a main module of its own, modules and settings as before afterwards."""
    before, main = dict(sys.modules), types.ModuleType("__main__")
    path, variables = list(sys.path), dict(os.environ)
    sys.modules["__main__"] = main
    sys.path.insert(0, str(folder))
    os.environ.pop("WEFT_LM", None)
    try:
        with contextlib.chdir(folder):
            yield main
    finally:
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:] = path
        sys.modules["__main__"] = before["__main__"]
        for name in [name for name, module in sys.modules.items() if _is_below(folder, module)]:
            del sys.modules[name]


def _is_below(folder: Path, module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)
