"""A contender's process, in an environment of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".cache" / "bench"
PATIENCE = 180.0  # seconds for one answer

# Nobody reports home, and nobody traces: neither Weft nor a peer does what was not asked for.
QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "OTEL_SDK_DISABLED": "true",
    "DO_NOT_TRACK": "1",
}
# Compiled modules, as an installed package has them; and no options of the caller's.
LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "WEFT_LM"}


IMPORTS = {
    "plain": "import pydantic.main, asyncio",
    "weft": "from weft import Dep, Graph, Node",
    "pydantic_graph": "from pydantic_graph import GraphBuilder, StepContext",
    "langgraph": "from langgraph.graph import END, START, StateGraph",
    "llamaindex": "from workflows import Context, Workflow, step",
    "hamilton": "from hamilton import async_driver",
}


def python_of(name: str) -> str | None:
    """Return the interpreter of a contender's environment; for Weft and plain this one, where they have none."""
    own = ENVIRONMENTS / ("weft" if name == "plain" else name) / "bin" / "python"
    if own.exists():
        return str(own)
    return sys.executable if name in ("weft", "plain") else None


def environment() -> dict[str, str]:
    """Return the variables that every contender gets."""
    return {name: value for name, value in os.environ.items() if name not in LEFT_OUT} | QUIET


class Process:
    """A contender that answers requests; one that fails or is silent for too long is ended."""

    def __init__(self, name: str, python: str) -> None:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the process
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [python, "-m", "benchmarks.contender", name],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to *request*, and the seconds that it took, or how it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        started = time.perf_counter()
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return {"failed": self._last_words()}
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            return {"failed": f"no answer in {PATIENCE:.0f} s"}
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"failed": self._last_words()}
        return {**answer, "seconds": time.perf_counter() - started}

    def _last_words(self) -> str:
        code = self._process.wait(10)
        self._stderr.seek(0)
        return f"exit code {code}\n{self._stderr.read()[-2000:]}"

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._stderr.close()


def import_seconds(python: str, statement: str) -> float:
    """Return the CPU seconds of *statement* in a fresh interpreter."""
    code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    done = subprocess.run(  # noqa: S603  our own code
        [python, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "benchmarks", env=environment()
    )
    return float(done.stdout)
