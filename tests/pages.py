"""Runs the code of a documentation page as a reader would, and compares what it prints with what the page shows.

The convention, for README.md, CONTRIBUTING.md and docs/**/*.md. A page has a process and a working directory of its
own, with the repository's examples/ in it; warnings are errors, the network is closed but for loopback, and nothing
else may go to standard error. Its blocks run in order:

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
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NOT_RUN = ("make", "git", "cd", ".", "pip", "python -m pip", "python -m venv")
SHOWN_ONLY = {"json", "mermaid", "toml", "ini", "html", "yaml"}
TRUE = "All of the page is true."


class UntrueError(Exception):
    """Raised where a page is not true."""


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
        if token.type == "code_block":
            raise UntrueError(f"line {line}: code by indentation. Fence it, and name its language.")
        if token.type == "fence" and not token.info.startswith("{"):
            found.append(Block(token.info, token.content, line))
    return found


def run_page(path: Path) -> None:
    """Run every block of the page at *path* in this process, which is to end afterwards."""
    sys.addaudithook(_close_the_network)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path.insert(0, str(Path.cwd()))
    blocks = blocks_of(path.read_text("utf8"))
    for block, following in itertools.zip_longest(blocks, blocks[1:]):
        try:
            _run_block(block, following, main)
        except BaseException as error:
            error.add_note(f"{path.name}, line {block.line}")
            raise


def _close_the_network(event: str, arguments: tuple[object, ...]) -> None:
    address = arguments[1] if event == "socket.connect" else None
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        raise UntrueError(f"a page must not use the network, and this one connects to {address}")


def _run_block(block: Block, following: Block | None, main: types.ModuleType) -> None:
    if block.language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            _import_file(block) if block.file else _run_python(block, main)
        shown = "".join(f"{line[3:]}\n" for line in block.text.splitlines() if line.startswith("#> "))
        _compare(printed.getvalue(), shown)
    elif block.language == "sh":
        said = "".join(map(_run_command, block.text.splitlines()))
        if following is not None and following.language == "text":
            _compare(said, following.text)
    elif block.language not in {"text", *SHOWN_ONLY}:
        raise UntrueError(f"a block in {block.language or 'no language'!r}")


def _import_file(block: Block) -> None:
    path = Path(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, "utf8")
    name = ".".join(path.with_suffix("").parts)
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    importlib.import_module(name)


def _run_python(block: Block, main: types.ModuleType) -> None:
    code = compile(block.text, "<stdin>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    awaitable = eval(code, vars(main))
    if awaitable is not None:
        asyncio.run(awaitable)


def _run_command(line: str) -> str:
    command, _, comment = line.partition(" #")
    words = shlex.split(command, comments=True)
    if not words or any(words[: len(each.split())] == each.split() for each in NOT_RUN):
        return ""
    programs = {"weft": [sys.executable, "-m", "weft"], "python": [sys.executable]}
    if words[0] not in programs:
        raise UntrueError(f"{words[0]!r} is neither run nor in NOT_RUN")
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf8",
        timeout=60,
        check=False,
    )
    wanted = re.fullmatch(r"\s*exit code (\d+)\s*", comment)
    if done.returncode != int(wanted[1] if wanted else 0):
        raise UntrueError(f"{line}\nexit code {done.returncode}\n{done.stdout}")
    return done.stdout


def _compare(printed: str, shown: str) -> None:
    is_shown, is_printed = _comparable(shown), _comparable(printed)
    if is_printed != is_shown:
        raise UntrueError("\n".join(difflib.ndiff(is_shown, is_printed)))


def _comparable(text: str) -> list[str]:
    """Return the lines of *text* without what differs from run to run and from machine to machine."""
    text = text.replace(f"{Path.cwd()}{os.sep}", "")
    text = re.sub(r" *\b\d+(\.\d+)? ?(ms|s)\b", " *", text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
    sys.stdout.write(f"{TRUE}\n")  # so that a page which ends the process early does not pass
