"""Fixtures for tests of optimising: one labelling server for all, and a folder with a graph that asks it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from labelling_stub import TICKETS, LabellingStub

ROOT = Path(__file__).parents[2]
# The triage example, asking the stub: an address is no part of a model's name.
GRAPH = """
import os
import dspy
from triage import Account, Billing, Technical, Ticket, score
from weft import DSPyBackend, Graph

MODEL = DSPyBackend("openai/stub", settings={"api_base": os.environ["STUB_URL"], "api_key": "none"})
graph = Graph(start=Ticket, end=Billing | Technical | Account, lm=MODEL)
"""


@pytest.fixture(scope="session")
def server():
    with LabellingStub().running() as stub:
        yield stub


@pytest.fixture(scope="session", autouse=True)
def environment(server, tmp_path_factory):
    """No key, no cache of an earlier run, no look at the network for prices, and no colours."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WEFT_LM", "OPENAI_BASE_URL", "OPENAI_API_BASE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            patch.delenv(name, raising=False)
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")
        patch.setenv("DSPY_CACHEDIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("STUB_URL", server.url)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "examples")]))
        yield


@pytest.fixture(scope="session")
def rows():
    """The labelled tickets."""
    return [json.loads(line) for line in TICKETS.read_text("utf-8").splitlines()]


@pytest.fixture(scope="session")
def triage():
    """The example's module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        yield __import__("triage")


@pytest.fixture
def project(tmp_path, rows):
    """A folder with the graph, and rows to learn from and to score on."""
    return project_in(tmp_path, rows)


def project_in(tmp_path, rows):
    (tmp_path / "stubbed.py").write_text(GRAPH, "utf-8")
    for name, part in {"train.jsonl": rows[:12], "held.jsonl": rows[12:22]}.items():
        (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in part), "utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def shared_project(tmp_path_factory, rows):
    """The same folder, for tests that do not change it."""
    return project_in(tmp_path_factory.mktemp("project"), rows)
