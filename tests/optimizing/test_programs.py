"""The programs of a graph are found from its types: whatever a run asks of an LM is among them."""

from __future__ import annotations

import contextlib
import random
from typing import Annotated, Any

import pytest
from rules import Model
from ticket_graph import GRAPH, Ticket, rule

from weft import LM, Dep, DSPyBackend, Graph, LMRequest, LMResponse, Node, OfflineLM, StepLimitError, compile_graph


class Recorder(OfflineLM):
    """Answers by chance, and keeps what it was asked."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.asked: list[LMRequest] = []

    async def generate(self, request: LMRequest, on_partial: Any = None) -> LMResponse:
        self.asked.append(request)
        if request.kind == "choose":
            return LMResponse({"choice": self.chance.choice(request.options).name})
        return await super().generate(request, on_partial)


def words() -> str:
    return "some"


def node_classes(chance: random.Random) -> type[Node]:
    """Return the start of a graph made by chance: routes, loops, bodies of code, nodes that are dependencies."""
    names = [f"N{number}" for number in range(chance.randint(2, 5))]
    made: dict[str, Any] = {"Dep": Dep, "Annotated": Annotated, "LM": LM, "words": words, "Node": Node}
    leaves = [f"Leaf{number}" for number in range(3)]
    lines = [
        "class Leaf0(Node):\n    tone: str",
        "class Leaf1(Node):\n    inner: Annotated[Leaf0, Dep()]\n    tone: str",
        "class Leaf2(Node):\n    given: str = Dep(words)\n    inner: Leaf1 = Dep()",
    ]
    for name in names:
        fields = [
            f"    part{k}: Annotated[{leaf}, Dep()]"
            for k, leaf in enumerate(chance.sample(leaves, chance.randint(0, 2)))
        ]
        # The caller gives the start node's fields; a default makes that simple, and an LM may leave it out.
        fields += ["    text: str = 'x'"] if chance.random() < 0.8 else []
        targets = chance.sample(names, chance.randint(1, min(3, len(names))))
        lines.append(f"class {name}(Node):\n" + "\n".join([*fields, *body(chance, targets)]))
    exec("\n".join(lines), made)
    return made["N0"]


def body(chance: random.Random, targets: list[str]) -> list[str]:
    union, first = " | ".join(targets), targets[0]
    kinds = {
        "lm": [f"    async def __call__(self) -> '{union} | None': ..."],
        "one": [f"    async def __call__(self) -> '{first} | None': ..."],
        "class": [
            f"    async def __call__(self) -> 'type[{first}] | None':",
            f"        return {first} if CHANCE.random() < 0.7 else None",
        ],
        "decide": [
            f"    async def __call__(self, lm: LM, part: Annotated[Leaf1, Dep()]) -> '{union} | None':",
            "        return await lm.decide(self)",
        ],
        "make": [
            f"    async def __call__(self, lm: LM) -> '{first} | None':",
            f"        return await lm.make(self, {first}) if CHANCE.random() < 0.7 else None",
        ],
        "code": [
            f"    async def __call__(self) -> '{first} | None':",
            f"        return {first}(text='y') if CHANCE.random() < 0.7 else None",
        ],
    }
    return kinds[chance.choice([*kinds])]


@pytest.mark.parametrize("seed", range(60))
async def test_every_request_of_a_run_is_that_of_a_program(seed, monkeypatch):
    chance = random.Random(seed)
    monkeypatch.setattr("builtins.CHANCE", chance, raising=False)
    graph = Graph(start=node_classes(chance))
    compiled = compile_graph(graph)
    recorder = Recorder(chance)

    for _ in range(8):
        with contextlib.suppress(StepLimitError):
            await graph.arun(graph.start(), lm=recorder, max_steps=8)

    assert [each.place for each in recorder.asked if compiled.program_of(each) is None] == []


def test_programs_are_named_by_where_a_run_comes_from():
    class Draft(Node):
        tone: str

    class Note(Node):
        tone: str

    class Final(Node):
        draft: Annotated[Draft, Dep()]
        words: str

    class Review(Node):
        draft: Annotated[Draft, Dep()]
        score: int

        async def __call__(self, lm: LM, note: Annotated[Note, Dep()]) -> Review | Final:
            return await lm.make(self, Final)

    class Begin(Node):
        draft: Annotated[Draft, Dep()]

        async def __call__(self) -> Review | Final: ...

    found = compile_graph(Graph(start=Begin)).nodes

    assert sorted(found) == [
        "Begin/Draft",
        "Begin/Final",
        "Begin/Review",
        "Begin/route",
        "Review/Draft",
        "Review/Final",
        "Review/Note",
        "Review/Review",
        "Review/route",
    ]


async def test_a_request_at_the_wire_is_that_of_the_same_program():
    asked: list[str] = []

    class Backend(DSPyBackend):
        def _program(self, request: LMRequest) -> Any:
            program = super()._program(request)
            known = compiled.program_of(request)
            assert known is not None
            assert (known.key, known.contract) == (program.key, program.contract)
            asked.append(program.key)
            return program

    compiled = compile_graph(GRAPH)
    await GRAPH.arun(Ticket(text="easy money"), lm=Backend(Model(rule).lm()))

    assert sorted(asked) == ["Ticket/Billing", "Ticket/Mood", "Ticket/route"]
