"""ClaudeCLIBackend: Claude through the command `claude`, with the login that its user has."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

from ..errors import (
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
    shorten,
)
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial, Routing, check_routing
from ._claude_process import (
    LONGEST_LINE,
    LineTooLongError,
    complaint,
    environment,
    lines,
    output_of,
    process,
    say,
    without_secrets,
)
from ._claude_result import BACKEND, Answering
from ._claude_schema import acceptable
from ._prompt import instructions, question
from ._slots import Slots

OLDEST = (2, 1, 197)
_LARGEST_SCHEMA = 120 * 1024  # Linux takes no argument of 128 KiB, nor do the others
_INSTALL = "Install Claude Code, run `claude` once and log in; or name another LM."
_UPDATE = "Run: claude update"
_HOW_TO_ANSWER = "Give the answer through the tool for structured output, and write nothing else."
# The CLI takes a message that begins with "/" for a command of its own.
_FIRST_LINE = "What you are given:"
# No tool, MCP server, hook or setting of the user takes part, and no session is kept.
_FLAGS = (
    *("-p", "--verbose", "--input-format=stream-json", "--output-format=stream-json"),
    *("--no-session-persistence", "--strict-mcp-config", "--tools", "", "--setting-sources", ""),
)


class ClaudeCLIBackend(BaseLM):
    """Claude through the command `claude` of Claude Code, with its user's own login or key.

    Each call is one process, which has ended when the call has. It reads no file, runs no command and knows none of
    the user's settings, hooks, MCP servers or sessions. Also named ``"claude-cli"`` and ``"claude-cli:MODEL"``.

    Args:
        model: A model's name, as ``"sonnet"``; without one the CLI's own default.
        executable: The command, or the path to it.
        timeout: The seconds that a call may take, its retries included.
        max_concurrency: How many processes may run at once, in one event loop.
        env: More environment variables for the CLI.
        bare: Whether the CLI adds nothing to the prompt. It then knows only ANTHROPIC_API_KEY, and no login.
        routing: ``"one-call"`` to choose and fill in one call where a graph leaves it open, ``"two-call"`` to never do.

    Example:
        >>> from weft import ClaudeCLIBackend
        >>> ClaudeCLIBackend("sonnet", timeout=60)
        ClaudeCLIBackend('sonnet', timeout=60)
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        executable: str = "claude",
        timeout: float = 300.0,
        max_concurrency: int = 4,
        env: Mapping[str, str] | None = None,
        bare: bool = False,
        routing: Routing | None = None,
    ) -> None:
        if model is not None and not re.fullmatch(r"[^\s\0-][^\s\0]*", model):
            raise ValueError(f"{shorten(repr(model))} is no model's name")
        if timeout <= 0 or max_concurrency < 1:
            raise ValueError("timeout must be more than 0 and max_concurrency at least 1")
        check_routing("ClaudeCLIBackend", routing)
        self.model = model
        self.routing = routing
        self.executable = executable
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self.bare = bare
        self._env = dict(env or {})
        self._slots = Slots(max_concurrency)
        self._is_checked = False

    def __repr__(self) -> str:
        options = [f"timeout={self.timeout}"]
        options += [f"executable={self.executable!r}"] if self.executable != "claude" else []
        options += ["bare=True"] if self.bare else []
        return f"ClaudeCLIBackend({', '.join([*([repr(self.model)] if self.model else []), *options])})"

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return what one process of the CLI answers; raises LMError."""
        variables = environment(self._env)
        try:
            async with self._slots():
                return await self._in_time(request, variables, on_partial)
        except LMError as error:
            error.message = without_secrets(error.message, variables)
            error.args = (error.message,)
            raise

    async def _in_time(
        self, request: LMRequest, variables: Mapping[str, str], on_partial: OnPartial | None
    ) -> LMResponse:
        clock = asyncio.timeout(self.timeout)
        try:
            async with clock:
                with tempfile.TemporaryDirectory(prefix="weft-", ignore_cleanup_errors=True) as folder:
                    return await self._asked(request, variables, Path(folder), on_partial)
        except TimeoutError as error:
            if not clock.expired():
                raise
            hint = "ClaudeCLIBackend(timeout=) sets the seconds."
            raise LMTimeoutError(f"no answer within {self.timeout} s", hint, backend=BACKEND) from error

    async def _asked(
        self, request: LMRequest, variables: Mapping[str, str], folder: Path, on_partial: OnPartial | None
    ) -> LMResponse:
        program = await self._program(variables, folder)
        schema, is_wrapped = acceptable(request.schema)
        # In a file: what stands among the arguments is short, and every user of the machine can read it.
        prompt, work = folder / "instructions.txt", folder / "work"
        prompt.write_text(f"{instructions(request)}\n{_HOW_TO_ANSWER}\n", "utf8", "backslashreplace")
        work.mkdir()
        argv = [program, *self._flags(on_partial), "--system-prompt-file", str(prompt)]
        argv += ["--json-schema", _schema_text(schema, request.target)]
        answering = Answering(on_partial, is_wrapped=is_wrapped)
        async with process(argv, variables, work) as started:
            await say(started, _message(question(request)))
            await _listen(started, answering)
        return answering.response()

    def _flags(self, on_partial: OnPartial | None) -> list[str]:
        flags = list(_FLAGS)
        flags += [f"--model={self.model}"] if self.model else []
        flags += ["--include-partial-messages"] if on_partial is not None else []
        return [*flags, "--bare"] if self.bare else flags

    async def _program(self, variables: Mapping[str, str], folder: Path) -> str:
        """Return the path of the CLI, which is there and not too old; raises LMNotConfiguredError."""
        program = shutil.which(self.executable, path=variables.get("PATH"))
        if program is None:
            what = f"the command {self.executable!r} is not installed, or not on PATH"
            raise LMNotConfiguredError(what, _INSTALL, backend=BACKEND, name=BACKEND)
        if not self._is_checked:
            _check_version(program, await output_of([program, "--version"], variables, folder))
            self._is_checked = True
        return program


def _check_version(program: str, said: str) -> None:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        what = f"{program} --version says {shorten(repr(said), 80)}, which is no version of Claude Code"
        raise LMNotConfiguredError(what, _INSTALL, backend=BACKEND, name=BACKEND)
    if tuple(map(int, found.groups())) < OLDEST:
        what = f"{program} is version {found[0]}, and {'.'.join(map(str, OLDEST))} is the oldest that Weft works with"
        raise LMNotConfiguredError(what, _UPDATE, backend=BACKEND, name=BACKEND)


def _schema_text(schema: Mapping[str, object], target: str) -> str:
    text = json.dumps(schema, separators=(",", ":"))
    if len(text) > _LARGEST_SCHEMA:
        what = f"the schema of {target} has {len(text) // 1024} KiB; the CLI takes {_LARGEST_SCHEMA // 1024} at most"
        raise LMRequestError(what, "Give the node fewer fields or shorter descriptions.", backend=BACKEND)
    return text


def _message(text: str) -> bytes:
    """Return *text* as the one line that the CLI is told; *client_composed* says to take it as it is."""
    content = f"{_FIRST_LINE}\n\n{text}"
    message = {"type": "user", "message": {"role": "user", "content": content}, "client_composed": True}
    message |= {"parent_tool_use_id": None, "session_id": "default"}
    return json.dumps(message).encode() + b"\n"


async def _listen(started: Process, answering: Answering) -> None:
    """Hand on what *started* writes, until the result is there; raises LMError if it ends without one."""
    try:
        async with aclosing(lines(started)) as told:
            async for line in told:
                answering.feed(line)
                if answering.result is not None:
                    return
    except LineTooLongError as error:
        what = f"the CLI wrote a line of more than {LONGEST_LINE // 2**20} MiB"
        raise LMResponseError(what, "Ask for a shorter answer.", backend=BACKEND) from error
    raise _no_result(await complaint(started), started.returncode or 0)


def _no_result(said: str, code: int) -> LMError:
    said = shorten(" ".join(said.split()), 500) or "nothing"
    if 0 < code < 128:  # noqa: PLR2004  above are signals
        what = f"the CLI ended with code {code} and said: {said}"
        return LMRequestError(what, f"If it does not know a flag: {_UPDATE}", backend=BACKEND)
    what = f"the CLI ended with code {code} before it had answered, and said: {said}"
    return LMConnectionError(what, "Try again.", backend=BACKEND)
