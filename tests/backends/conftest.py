import itertools
from dataclasses import dataclass

import pytest
from lm_stub import Received, Stub

_numbers = itertools.count(1)


@dataclass
class StubView:
    """The stub as one test sees it: the requests of others are left out."""

    stub: Stub
    tag: str

    def url(self, scenario: str) -> str:
        return self.stub.url(scenario, self.tag)

    @property
    def received(self) -> list[Received]:
        return [each for each in self.stub.received if each.place.endswith(f"~{self.tag}")]


@pytest.fixture(scope="session")
def running_stub():
    with Stub().running() as stub:
        yield stub


@pytest.fixture
def stub(running_stub):
    running_stub.most_under_way = 0
    return StubView(running_stub, str(next(_numbers)))
