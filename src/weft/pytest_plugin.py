"""Fixtures for tests of graphs, in reach of every pytest run where Weft is installed.

Such a run may have nothing to do with Weft: what the fixtures need is imported when one of them is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .backends.cassette import RecordingLM, ReplayLM
    from .backends.offline import OfflineLM
    from .lm import LM
    from .testing import ScriptedLM

_LONGEST_NAME = 80


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says when the fixture `cassette` records."""
    parser.getgroup("weft").addoption(
        "--weft-record",
        choices=["none", "new", "all"],
        default="none",
        help="whether the fixture 'cassette' asks real models: never (none, the default), for what is not recorded "
        "(new), or for everything (all)",
    )


@pytest.fixture
def scripted_lm(request: pytest.FixtureRequest) -> Iterator[Callable[..., ScriptedLM]]:
    """A function that makes ScriptedLMs: ``scripted_lm({Answer: {"text": "Yes."}}, routes={Question: Answer})``.

    When the test has passed, every step of their scripts must have been used.
    """
    from .testing import ScriptedLM

    made: list[ScriptedLM] = []
    failed_before = request.session.testsfailed

    def make(fills: Any = None, *, routes: Any = None) -> ScriptedLM:
        made.append(ScriptedLM(fills, routes=routes))
        return made[-1]

    yield make
    if request.session.testsfailed == failed_before:
        for lm in made:
            lm.check()


@pytest.fixture
def offline_lm() -> OfflineLM:
    """An LM that makes valid values from the types; its words mean nothing."""
    from .backends.offline import OfflineLM

    return OfflineLM()


@pytest.fixture
def no_unplanned_calls() -> Iterator[None]:
    """Any call of an LM that is neither scripted, offline nor declared a stand-in is an error while the test runs."""
    from .lm import call_guard

    with call_guard.closed():
        yield


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Callable[..., RecordingLM | ReplayLM]]:
    """A function that makes the LM of this test: ``graph.run(start, lm=cassette("anthropic:claude-sonnet-5-5"))``.

    It answers from the file of the test, ``cassettes/<test file>/<test name>.json`` beside it, and the LM that is named
    is not even looked up. With ``--weft-record=all`` that LM is asked, and the file written anew; with
    ``--weft-record=new`` it is asked for what is not recorded, and what the test needs no more is dropped.
    """
    from .backends._recordings import Cassette
    from .backends.cassette import RecordingLM, ReplayLM

    mode, path = request.config.getoption("--weft-record"), _file_of(request.node)
    tape: Cassette | None = None
    recording: list[RecordingLM] = []
    failed_before = request.session.testsfailed

    def make(lm: LM | str, *, scrub: Any = ()) -> RecordingLM | ReplayLM:
        nonlocal tape
        if tape is None:
            tape = Cassette(path, scrub, f'Record it: pytest --weft-record=new "{request.node.nodeid}".')
            if mode == "none":
                tape.load()
        if mode == "none":
            return ReplayLM(tape)
        recording.append(RecordingLM(lm, tape, only_new=mode == "new"))
        # Whoever asks for a recording has planned the calls.
        vars(recording[-1]).update(is_stand_in=True)
        return recording[-1]

    yield make
    if request.session.testsfailed == failed_before:
        for lm in recording:
            lm.prune()


def _file_of(test: pytest.Item) -> Path:
    """Return the cassette of *test*, whatever its parameters are called."""
    name = test.nodeid.partition("::")[2].replace("::", ".")
    safe = re.sub(r"[^\w.=-]+", "-", name)
    if safe != name or len(safe) > _LONGEST_NAME:
        safe = f"{safe[:_LONGEST_NAME].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return test.path.parent / "cassettes" / test.path.stem / f"{safe}.json"
