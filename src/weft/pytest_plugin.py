"""Fixtures for tests of graphs, in reach of every pytest run where Weft is installed.

Such a run may have nothing to do with Weft: what the fixtures need is imported when one of them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .backends.offline import OfflineLM
    from .testing import ScriptedLM


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
