"""The command as a process: its standard streams, signals and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import start_process

FULL = Path("/dev/full")

WAITING = """
import sys

async def wait() -> int:
    print("waiting", file=sys.stderr, flush=True)
    await asyncio.sleep(60)

class First(Node):
    async def __call__(self) -> "Ask": ...

class Ask(Node):
    x: Annotated[int, Dep(wait)]

graph = Graph(start=First)
"""


def test_the_package_and_the_command_line_both_run_as_modules(weft_process, trip):
    package = weft_process("--version")
    command = weft_process("run", "trip.py", "--input", "-", module="weft.cli", given='{"question": "é", "days": 1}')

    assert (package.code, package.err) == (0, "")
    assert package.out.startswith("weft 0.")
    assert (command.code, command.err) == (0, "")
    assert '"é"' in command.out


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_run_says_so_in_one_line(write, as_json):
    write("m.py", WAITING)
    process = start_process("weft", "run", "m", *(["--json"] if as_json else []))
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (130, "Interrupted.\n")
    if as_json:
        document = json.loads(out)
        assert document["status"] == "cancelled"
        assert [visit["status"] for visit in document["trace"]] == ["done", "cancelled"]
        assert document["error"]["type"] == "KeyboardInterrupt"
    else:
        assert out == ""


def test_nothing_but_the_document_reaches_standard_output(weft_process, write):
    write(
        "m.py",
        """
        import atexit
        import os
        import threading
        import time

        atexit.register(print, "at exit")

        def late() -> None:
            time.sleep(0.1)
            print("late")

        class Ask(Node):
            async def __call__(self) -> None:
                os.write(1, b"raw\\n")
                os.system("echo child")
                threading.Thread(target=late).start()
        """,
    )

    done = weft_process("run", "m:Ask", "--json")

    assert done.code == 0
    assert json.loads(done.out)["status"] == "done"
    assert set(done.err.split()) == {"raw", "child", "late", "at", "exit"}


def test_the_offline_lm_says_loudly_that_its_words_mean_nothing(weft_process, trip):
    done = weft_process("run", "trip.py", "--set", "question=x", "--lm", "offline")

    assert done.code == 0
    assert done.err == ("Warning: OfflineLM answers: values are made up from the types, and its words mean nothing.\n")


def test_an_encoding_that_cannot_hold_the_text_does_not_end_the_command(weft_process, trip):
    done = weft_process("graph", "show", "trip.py", env={"PYTHONIOENCODING": "ascii"})

    assert (done.code, done.err) == (0, "")
    assert "\\u2192 Plan | Refusal" in done.out


def test_a_reader_that_has_had_enough_is_no_error(trip):
    reading, writing = os.pipe()
    os.close(reading)
    process = start_process("weft", "graph", "show", "trip.py", stdout=writing)
    os.close(writing)

    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (1, "")


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
def test_output_that_cannot_be_written_is_told_in_one_line(trip):
    with FULL.open("w") as full:
        process = start_process("weft", "graph", "mermaid", "trip.py", stdout=full)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (1, "Error: the output cannot be written: No space left on device.\n")


def test_standard_output_may_be_closed(trip):
    command = f'"{sys.executable}" -m weft graph show trip.py >&-'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)

    assert (done.returncode, done.stderr) == (0, "")
