"""A process of the Claude CLI: its environment, what goes in, what comes out, and its end, which is never left open."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import LMNotConfiguredError

GRACE = 2.0
LONGEST_LINE = 64 * 2**20
# The environment is the user's own shell: what the CLI needs of it to run, to reach the API, and to log in.
_INHERITED = re.compile(
    r"HOME|USER|LOGNAME|PATH|SHELL|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|(HTTPS?|NO|ALL)_PROXY|SSL_CERT_(FILE|DIR)"
    r"|NODE_EXTRA_CA_CERTS|ANTHROPIC_\w+|CLAUDE_CONFIG_DIR|CLAUDE_CODE_OAUTH_TOKEN"
    r"|CLAUDE_CODE_(USE|SKIP)_(BEDROCK|VERTEX|FOUNDRY)(_AUTH)?|AWS_\w+|GOOGLE_\w+|CLOUD_ML_REGION|VERTEX_\w+|AZURE_\w+"
    r"|SYSTEMROOT|COMSPEC|PATHEXT|USERPROFILE|HOMEDRIVE|HOMEPATH|APPDATA|LOCALAPPDATA|PROGRAMDATA|PROGRAMFILES",
    re.IGNORECASE,
)
_DEFAULTS = {"CLAUDE_CODE_MAX_RETRIES": "2", "MAX_STRUCTURED_OUTPUT_RETRIES": "2"}
# "@path" in the data must not read that file. Versions before 2.1.248 know no other protection.
_ALWAYS = {
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASSWORD|HEADERS|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 8
_SECRET = re.compile(r"sk-ant-[\w-]+")


class LineTooLongError(Exception):
    """Raised for a line of output that does not end within `LONGEST_LINE` bytes."""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what the CLI sees of the environment, *own* put over it, and what protects the user over both."""
    inherited = {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}
    return {**inherited, **_DEFAULTS, **own, **_ALWAYS}


def without_secrets(text: str, variables: Mapping[str, str]) -> str:
    """Return *text* with every key that the CLI was given, or that looks like one, left out."""
    for name, value in variables.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return _SECRET.sub("***", text)


@asynccontextmanager
async def process(argv: Sequence[str], variables: Mapping[str, str], folder: Path) -> AsyncGenerator[Process]:
    """Give a process in *folder*, which has ended when the block has, however it ends."""
    started = await _started(argv, variables, folder)
    try:
        yield started
        await _ended(started)  # by itself, with all that it still writes down
    finally:
        await _stop(started)


async def _started(argv: Sequence[str], variables: Mapping[str, str], folder: Path) -> Process:
    """Return a process in a session of its own: Ctrl-C would make it end with success, and without an answer."""
    ends: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "limit": LONGEST_LINE}
    try:
        return await asyncio.create_subprocess_exec(*argv, env=variables, cwd=folder, start_new_session=True, **ends)
    except OSError as error:
        hint = "Check that it runs in a terminal."
        raise LMNotConfiguredError(f"{argv[0]} cannot be started: {error}", hint, name="claude-cli") from error


async def _ended(started: Process) -> None:
    """Wait for *started* to end, two seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await started.wait()


async def _stop(started: Process) -> None:
    """Ask *started* to end, and make it end after two seconds, or when the wait itself is cancelled.

    The CLI ends what it has started when it is asked to. When it is killed, that would live on.
    """
    if started.returncode is not None:
        return
    with suppress(ProcessLookupError):
        started.terminate()
    try:
        await _ended(started)
    finally:
        if started.returncode is None:
            _kill(started)
            await started.wait()


def _kill(started: Process) -> None:
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            started.kill()
        else:
            os.killpg(started.pid, signal.SIGKILL)


async def say(started: Process, text: bytes) -> None:
    """Write *text* as all that *started* is told; one that has ended already says why on its own."""
    assert started.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        started.stdin.write(text)
        await started.stdin.drain()
        started.stdin.close()


async def lines(started: Process) -> AsyncGenerator[bytes]:
    """Yield what *started* writes; raises LineTooLongError."""
    assert started.stdout is not None
    try:
        while line := await started.stdout.readline():
            yield line
    except ValueError as error:
        raise LineTooLongError from error


async def complaint(started: Process) -> str:
    """Return the end of what *started*, which ends by itself, has written about a failure."""
    assert started.stderr is not None
    said = await started.stderr.read()
    await started.wait()
    return said[-2000:].decode(errors="replace").strip()


async def output_of(argv: Sequence[str], variables: Mapping[str, str], folder: Path) -> str:
    """Return what the command writes when it is told nothing."""
    async with process(argv, variables, folder) as started:
        await say(started, b"")
        assert started.stdout is not None
        return (await started.stdout.readline()).decode(errors="replace").strip()
