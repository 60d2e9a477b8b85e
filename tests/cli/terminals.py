"""The command in a terminal emulator: what a person sees of it."""

from __future__ import annotations

import os
import re
import sys
import time

import pexpect
import pyte
from commands import SOURCE


class Terminal:
    """The command in a pseudo-terminal, and what a person sees there."""

    def __init__(self, *arguments: str, columns: int = 80, rows: int = 30, **environment: str) -> None:
        # The size is told twice: a process that begins at once may ask before the pseudo-terminal has it.
        size = {"COLUMNS": str(columns), "LINES": str(rows)}
        variables = {**os.environ, **size, "TERM": "xterm-256color", "PYTHONPATH": str(SOURCE), **environment}
        self.process = pexpect.spawn(
            sys.executable, ["-m", "weft", *arguments], dimensions=(rows, columns), env=variables, encoding="utf-8"
        )
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.transcript = ""

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, as they are."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def shown(self) -> str:
        """The lines on the screen, every time a star and every spinner a tilde."""
        times = re.sub(r"\d+(\.\d+)? (ms|s)\b", "*", "\n".join(self.lines))
        return re.sub("[\u2800-\u28ff]", "~", times)

    def see(self, *lines: str) -> None:
        """Wait until the screen shows *lines*, and nothing else."""
        self.wait(lambda: self.shown == "\n".join(lines))

    def wait(self, is_so) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            is_running = time.monotonic() < deadline and self._read()
            assert is_running or is_so(), f"this stayed on the screen:\n{self.shown}"

    def end(self) -> int:
        """Wait for the command to end and return its exit code."""
        deadline = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < deadline, f"the command goes on, and shows:\n{self.shown}"
        self.process.close()
        return self.process.exitstatus

    def _read(self) -> bool:
        try:
            text = self.process.read_nonblocking(65536, timeout=0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.transcript += text
        self.stream.feed(text)
        return True
