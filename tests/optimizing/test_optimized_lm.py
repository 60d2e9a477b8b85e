"""OptimizedLM: tuned prompts in a graph's own runs, and what is said where there is none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from rules import Model
from ticket_graph import GRAPH, ROWS, Billing, Ticket, model, rule

from weft import (
    LM,
    BaseLM,
    Dep,
    DepError,
    DSPyBackend,
    Graph,
    Node,
    NodeConfig,
    OptimizedLM,
    StaleProgramError,
    compile_graph,
    create_optimized_lm,
)
from weft.events import LMCallFinished


@pytest.fixture
def prompts(tmp_path):
    compiled = compile_graph(GRAPH, model().lm())
    predictor = compiled.nodes["Ticket/Billing"]
    predictor.signature = predictor.signature.with_instructions("Answer as Billing does.")
    compiled.optimize(ROWS).save(tmp_path / "prompts.json")
    return tmp_path / "prompts.json"


async def test_demos_and_instructions_reach_the_wire(prompts):
    used = model()

    lm = create_optimized_lm(GRAPH, prompts, lm=used.lm())
    result = await GRAPH.arun(Ticket(text="money"), lm=lm)

    assert isinstance(lm, OptimizedLM | BaseLM)
    assert isinstance(lm, LM)
    assert result.result.team == "billing"
    assert result.usage.requests == 3
    by_field = {asked.wanted[0]: asked for asked in used.seen}
    assert by_field["team"].instruction == "Answer as Billing does."
    assert by_field["team"].demos == 2
    assert "easy money 1" in by_field["team"].messages[0]
    assert "umbrella" in by_field["team"].messages[0]
    assert "billing" in by_field["team"].messages[1]
    assert by_field["choice"].demos == 4


def test_the_tuned_graph_keeps_its_answers_in_a_fresh_process(prompts):
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from ticket_graph import GRAPH, ROWS, Ticket, model
from weft import create_optimized_lm
lm = create_optimized_lm(GRAPH, {str(prompts)!r}, lm=model().lm())
print(*(GRAPH.run(Ticket(text=row["text"]), lm=lm).result.team == row["team"] for row in ROWS))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True"] * len(ROWS)


async def test_parallel_runs_each_count_their_own(prompts):
    lm = create_optimized_lm(GRAPH, prompts, lm=model().lm())

    results = await asyncio.gather(*(GRAPH.arun(Ticket(text=f"money {n}"), lm=lm) for n in range(20)))

    assert {result.usage.requests for result in results} == {3}
    assert {result.usage.input_tokens for result in results} == {30}


def test_a_rejected_answer_goes_back_with_the_demos_still_there(prompts):
    def once_wrong(asked):
        is_second = "previous_attempts" in asked.system
        return (
            {"team": "technical", "steps": ["restart"] if is_second else "x"}
            if "steps" in asked.wanted
            else rule(asked)
        )

    used = Model(once_wrong)
    events = []
    lm = create_optimized_lm(GRAPH, prompts, lm=used.lm())
    GRAPH.run(Ticket(text="machine"), lm=lm, on_event=events.append)

    finished = [each for each in events if isinstance(each, LMCallFinished) and each.kind == "fill"]
    assert [bool(each.reasons) for each in finished] == [True, False]
    assert used.seen[-1].demos == 2


def test_it_may_be_made_of_a_compiled_graph_without_a_file():
    tuned = compile_graph(GRAPH, model().lm()).optimize(ROWS)

    assert GRAPH.run(Ticket(text="money"), lm=OptimizedLM(tuned)).result.team == "billing"
    assert repr(OptimizedLM(tuned)).startswith("OptimizedLM(Graph(Ticket, 3 nodes), DSPyBackend(")


# --- What there is no prompt for


class Extra(Node):
    word: str


class Begin(Node):
    text: str

    async def __call__(self, lm: LM) -> Billing:
        extra = await lm.make(self, Extra)
        return Billing(team=extra.word)


def test_a_prompt_that_the_graph_does_not_ask_for_raises_at_the_call(tmp_path):
    graph = Graph(start=Begin)
    used = Model(lambda asked: dict.fromkeys(asked.wanted, "word"))
    compile_graph(graph).save(tmp_path / "prompts.json")

    lm = create_optimized_lm(graph, tmp_path / "prompts.json", lm=used.lm())
    with pytest.raises(StaleProgramError) as caught:
        graph.run(Begin(text="x"), lm=lm)
    partly = create_optimized_lm(graph, tmp_path / "prompts.json", lm=used.lm(), partial=True)

    assert str(caught.value) == (
        "0:Begin/body/make: Begin/Extra was never tuned: the graph itself does not ask for it. "
        "Say partial=True to ask it as it is."
    )
    assert caught.value.problems == {"Begin/Extra": "not among the graph's programs"}
    assert graph.run(Begin(text="x"), lm=partly).result.team == "word"


def test_another_class_of_the_same_name_is_not_asked_with_the_tuned_prompt(prompts):
    class Ticket(Node):  # the same name, other fields
        words: str

        async def __call__(self) -> Billing: ...

    lm = create_optimized_lm(GRAPH, prompts, lm=model().lm())

    with pytest.raises(DepError, match="Ticket/Mood was never tuned") as caught:
        Graph(start=Ticket).run(Ticket(words="money"), lm=lm)

    assert isinstance(caught.value.__cause__, StaleProgramError)


# --- Nodes with an LM of their own


class Fixed(BaseLM):
    async def generate(self, request, on_partial=None):
        from weft import LMResponse

        return LMResponse({"word": "fixed"})


def pinned_graph(backend: DSPyBackend) -> Graph:
    class Aside(Node):
        node_config = NodeConfig(lm=Fixed())
        word: str

    class Answer(Node):
        node_config = NodeConfig(lm=backend)
        aside: Annotated[Aside, Dep()]
        team: str

    class Ask(Node):
        text: str

        async def __call__(self) -> Answer: ...

    return Graph(start=Ask)


def test_a_nodes_own_model_is_asked_with_the_tuned_prompt(tmp_path):
    own, common = model(), model()
    graph = pinned_graph(DSPyBackend(own.lm()))
    compiled = compile_graph(graph, common.lm())
    answer = compiled.nodes["Ask/Answer"]
    answer.signature = answer.signature.with_instructions("Answer CAREFULLY.")
    compiled.save(tmp_path / "prompts.json")

    lm = create_optimized_lm(graph, tmp_path / "prompts.json", lm=common.lm())
    result = graph.run(graph.start(text="money"), lm=lm)

    assert [asked.instruction for asked in own.seen] == ["Answer CAREFULLY."]
    assert common.seen == []
    assert result.result.aside.word == "fixed"


def test_as_an_override_it_replaces_every_lm(tmp_path):
    own = model()
    common = Model(lambda asked: dict.fromkeys(asked.wanted, "common"))
    graph = pinned_graph(DSPyBackend(own.lm()))
    compile_graph(graph, common.lm()).save(tmp_path / "prompts.json")

    with graph.override(lm=create_optimized_lm(graph, tmp_path / "prompts.json", lm=common.lm())):
        result = graph.run(graph.start(text="money"))

    assert (result.result.team, result.result.aside.word) == ("common", "common")
    assert own.seen == []
