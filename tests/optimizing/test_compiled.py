"""CompiledGraph: the prompts of a graph as DSPy's predictors, run and tuned by DSPy's own means."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Annotated, Any

import dspy
import pytest
from rules import Model
from ticket_graph import GRAPH, ROWS, Billing, Technical, Ticket, model, rule, score

from weft import (
    CompiledGraph,
    Dep,
    DSPyBackend,
    Graph,
    GraphError,
    LMAuthenticationError,
    LMNotConfiguredError,
    MissingExtraError,
    Node,
    NodeConfig,
    OfflineLM,
    compile_graph,
)
from weft.testing import ScriptedLM

ALL = ["Ticket/route", "Ticket/Mood", "Ticket/Billing", "Ticket/Technical"]

# --- What it is


def test_each_prompt_is_a_predictor_that_dspy_finds():
    compiled = compile_graph(GRAPH)

    assert isinstance(compiled, CompiledGraph)
    assert isinstance(compiled, dspy.Module)
    assert sorted(compiled.nodes) == sorted(ALL)
    assert sorted(name for name, _ in compiled.named_predictors()) == sorted(f"nodes['{key}']" for key in ALL)
    assert compiled.map_named_predictors(lambda each: each) is compiled


def test_its_source_can_be_read_as_mipro_and_simba_do():
    assert "class CompiledGraph(dspy.Module)" in inspect.getsource(type(compile_graph(GRAPH)))


def test_two_prompts_of_one_name_are_a_fault():
    def other() -> type[Node]:
        class Reply(Node):
            words: str

        return Reply

    mine, theirs = other(), other()

    class Middle(Node):
        part: mine = Dep()  # type: ignore[valid-type]
        part2: theirs = Dep()  # type: ignore[valid-type]
        words: str

    class Begin(Node):
        async def __call__(self) -> Middle: ...

    with pytest.raises(GraphError) as caught:
        compile_graph(Graph(start=Begin))

    assert str(caught.value) == (
        "Reply: two prompts of this graph are called Begin/Reply. Give one of the classes another name."
    )


def test_an_lm_of_another_kind_is_no_model_for_it():
    with pytest.raises(TypeError, match="is none of DSPy's models"):
        compile_graph(GRAPH, OfflineLM())
    with pytest.raises(TypeError, match="is none of DSPy's models"):
        compile_graph(GRAPH, "offline")


@pytest.mark.parametrize("name", ["openai/gpt-5", "dspy:openai/gpt-5"])
def test_a_model_may_be_named(name):
    assert repr(compile_graph(GRAPH, name).backend) == "DSPyBackend('openai/gpt-5')"


# --- Running


def test_it_gives_a_prediction_with_the_last_nodes_fields():
    compiled = compile_graph(GRAPH, model().lm())

    prediction = compiled(text="easy money")

    assert isinstance(prediction, dspy.Prediction)
    assert prediction.team == "billing"
    assert prediction.orders == ["umbrella"]
    assert [type(node) for node in prediction.trace] == [Ticket, Billing]
    assert prediction.result is prediction.trace[-1]
    assert prediction.usage.requests == 3


def test_the_ambient_model_is_asked_where_none_is_named():
    used = model()

    with dspy.context(lm=used.lm()):
        assert compile_graph(GRAPH)(text="easy money").team == "billing"
    with pytest.raises(LMNotConfiguredError):
        compile_graph(GRAPH)(text="easy money")


def test_the_graphs_own_model_is_asked_before_the_ambient_one():
    own, ambient = model(), model()
    graph = Graph(start=Ticket, lm=DSPyBackend(own.lm()))

    with dspy.context(lm=ambient.lm()):
        compile_graph(graph)(text="easy money")

    assert len(own.seen) == 3
    assert ambient.seen == []


def test_copies_ask_with_their_own_predictors():
    used = model()
    compiled = compile_graph(GRAPH, used.lm())

    copied = compiled.deepcopy()
    for predictor in copied.nodes.values():
        predictor.signature = predictor.signature.with_instructions("Answer CAREFULLY.")

    assert compiled(text="money").team == "nobody"
    assert copied(text="money").team == "billing"
    assert all(mine is not copied.nodes[key] for key, mine in compiled.nodes.items())


async def test_it_runs_in_a_running_event_loop_either_way():
    compiled = compile_graph(GRAPH, model().lm())

    awaited = await compiled.acall(text="easy money")
    called = compiled(text="easy money")
    in_thread = await asyncio.to_thread(compiled, text="easy money")

    assert awaited.team == called.team == in_thread.team == "billing"


def test_calls_that_are_not_async_share_one_thread():
    used = model()
    compiled = compile_graph(GRAPH, used.lm())
    compiled(text="easy money")
    before = set(threading.enumerate())

    for _ in range(3):
        compiled(text="easy money")

    assert used.threads == {"weft-optimize"}
    assert {each.name for each in set(threading.enumerate()) - before if "asyncio" not in each.name} == set()


def test_a_call_inside_its_own_loop_is_told_instead_of_waiting_for_itself():
    def ask_again() -> str:
        return str(compiled(text="easy money").team)

    class Begin(Node):
        team: str = Dep(ask_again)

    compiled = compile_graph(GRAPH, model().lm())
    outer = compile_graph(Graph(start=Begin))

    with pytest.raises(Exception, match=r"await compiled\.acall"):
        outer()


async def test_a_cancelled_run_leaves_no_task_behind():
    begun = asyncio.Event()

    async def wait() -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    class Begin(Node):
        word: str = Dep(wait)

    before = asyncio.all_tasks()
    running = asyncio.ensure_future(compile_graph(Graph(start=Begin)).acall())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert asyncio.all_tasks() == before


def test_run_and_arun_give_the_result_of_the_graph_and_keep_nothing():
    compiled = compile_graph(GRAPH, model().lm())

    with dspy.context(trace=[]):
        result = compiled.run(Ticket(text="easy money"))
        again = asyncio.run(compiled.arun(Ticket(text="easy money"), max_steps=2))
        traced = list(dspy.settings.trace)

    assert result.result.team == again.result.team == "billing"
    assert traced == []


def test_an_override_of_the_lm_replaces_the_model():
    used = model()
    compiled = compile_graph(GRAPH, used.lm())

    with GRAPH.override(lm=OfflineLM()):
        assert isinstance(compiled(text="easy money").result, Node)

    assert used.seen == []


def test_a_nodes_own_model_is_asked_with_the_tuned_prompt_and_another_kind_is_left_alone():
    own, common = model(), model()
    backend = DSPyBackend(own.lm())
    scripted = ScriptedLM({"1:Pinned/other/fill": [{"word": "scripted"}]})

    class Begin(Node):
        async def __call__(self) -> Pinned: ...

    class Other(Node):
        node_config = NodeConfig(lm=scripted)
        word: str

    class Pinned(Node):
        node_config = NodeConfig(lm=backend)
        other: Annotated[Other, Dep()]
        team: str

    compiled = compile_graph(Graph(start=Begin), common.lm())
    compiled.nodes["Begin/Pinned"].signature = compiled.nodes["Begin/Pinned"].signature.with_instructions("CAREFULLY")
    prediction = compiled()

    assert list(compiled.nodes) == ["Begin/Pinned"]
    assert compiled.untuned == ("Other",)
    assert prediction.other.word == "scripted"
    assert [each.instruction for each in own.seen] == ["CAREFULLY"]
    assert common.seen == []


# --- What DSPy is told


def test_only_accepted_answers_are_traced():
    tries: list[str] = []

    def once_wrong(asked: Any) -> Any:
        if asked.wanted == ["team", "steps"]:
            tries.append(asked.question)
            return {"team": "technical", "steps": "none" if len(tries) == 1 else ["restart"]}
        return rule(asked)

    compiled = compile_graph(GRAPH, Model(once_wrong).lm())
    with dspy.context(trace=[]):
        compiled(text="machine")
        trace = list(dspy.settings.trace)

    assert len(tries) == 2
    assert [predictor for predictor, _, _ in trace] == [compiled.nodes[k] for k in ("Ticket/route", "Ticket/Technical")]
    assert trace[1][1] == {"text": "machine"}
    assert trace[1][2]["steps"] == ["restart"]


def test_nothing_is_kept_of_calls_that_nobody_traces():
    compiled = compile_graph(GRAPH, model().lm())
    before = len(dspy.settings.trace)

    compiled(text="easy money")
    with dspy.context(adapter=None):
        compiled(text="easy money")

    assert len(dspy.settings.trace) == before
    assert compiled.history == []


@pytest.mark.parametrize(
    ("text", "wrong", "key"),
    [
        ("machine", "choice", "Ticket/route"),
        ("money", "tone", "Ticket/Mood"),
        ("machine", "team", "Ticket/Technical"),
    ],
)
def test_rejected_answers_are_what_dspy_calls_a_parse_error(text, wrong, key):
    compiled = compile_graph(GRAPH, Model(lambda asked: "?" if wrong in asked.wanted else rule(asked)).lm())

    with pytest.raises(dspy.AdapterParseError) as caught:
        compiled(text=text)

    assert caught.value.signature is compiled.nodes[key].signature
    assert caught.value.parsed_result is None
    assert key.rpartition("/")[2] in str(caught.value) or "Ticket" in str(caught.value)


# --- Optimising

SMALL = {
    "bootstrap": {},
    "mipro": {"num_candidates": 2, "num_trials": 3},
    "gepa": {"max_full_evals": 5},
    "simba": {"num_candidates": 3, "max_steps": 2},
}


@pytest.mark.parametrize("optimizer", SMALL)
def test_each_optimiser_does_better_and_leaves_the_old_one_alone(optimizer):
    compiled = compile_graph(GRAPH, model().lm())

    traced = len(dspy.settings.trace)
    tuned = compiled.optimize(ROWS, optimizer=optimizer, **SMALL[optimizer])

    assert len(dspy.settings.trace) == traced
    assert score(compiled) == 0.5
    assert score(tuned) == 1
    assert all(not each.demos for each in compiled.nodes.values())
    assert type(tuned) is CompiledGraph


def test_optimising_twice_works_and_finds_demos_for_the_first_ones_instructions():
    compiled = compile_graph(GRAPH, model().lm())

    tuned = compiled.optimize(ROWS, optimizer="gepa", **SMALL["gepa"])
    again = tuned.optimize(ROWS).optimize(ROWS)

    assert again.nodes["Ticket/Billing"].demos
    assert again.nodes["Ticket/Billing"].signature.instructions == "Answer CAREFULLY."


async def test_optimising_does_not_hold_the_loop_up():
    compiled = compile_graph(GRAPH, model().lm())
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.ensure_future(beat())
    tuned = await compiled.aoptimize(ROWS, optimizer="bootstrap")
    beating.cancel()

    assert beats > 10
    assert (await tuned.acall(text="money")).team == "billing"


async def test_optimising_works_in_a_running_loop_too():
    tuned = compile_graph(GRAPH, model().lm()).optimize(ROWS)

    assert (await tuned.acall(text="money")).team == "billing"


def test_an_optimiser_of_dspy_uses_its_own_metric():
    compiled = compile_graph(GRAPH, model().lm())
    bootstrap = dspy.BootstrapFewShot(metric=lambda row, got, _=None: row.team == got.team, max_labeled_demos=0)

    tuned = compiled.optimize(ROWS, optimizer=bootstrap)

    assert score(tuned) == 1
    with pytest.raises(ValueError, match="has its own"):
        compiled.optimize(ROWS, lambda row, got: 1, optimizer=bootstrap)


def test_runs_are_told():
    told: list[Any] = []

    compile_graph(GRAPH, model().lm()).optimize(ROWS, on_run=told.append)

    assert len(told) == 4
    assert all(each.usage.requests in (2, 3) for each in told)


def test_when_every_run_fails_its_error_comes_out():
    def refuse(asked: Any) -> Any:
        raise dspy.utils.exceptions.LMAuthError(message="no key")

    with pytest.raises(LMAuthenticationError) as caught:
        compile_graph(GRAPH, Model(refuse).lm()).optimize(ROWS)

    assert "Every one of the 8 runs" in caught.value.__notes__[-1]


def test_what_changed_nothing_is_told(caplog):
    compile_graph(GRAPH, model().lm()).optimize([{"text": "money", "team": "other"}])

    assert "Optimising changed nothing" in caplog.text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not one of 'bootstrap', 'mipro', 'gepa', 'simba'"),
        ({"optimizer": object()}, "has no compile"),
        ({"speed": 3}, "optimize: BootstrapFewShot has no option speed"),
        ({"metric": lambda: 1}, "metric: it does not take an example and a prediction"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_asked(given, told):
    used = model()

    with pytest.raises((TypeError, ValueError), match=told):
        compile_graph(GRAPH, used.lm()).optimize(ROWS, **given)

    assert used.seen == []


def test_a_graph_without_prompts_has_nothing_to_tune():
    class Alone(Node):
        text: str

    with pytest.raises(ValueError, match="there is no prompt to tune"):
        compile_graph(Graph(start=Alone)).optimize([{"text": "a", "b": 1}])


def test_a_missing_package_of_an_optimiser_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "optuna" else name)

    with pytest.raises(MissingExtraError, match="optimizer='mipro': needs the package optuna"):
        compile_graph(GRAPH, model().lm()).optimize(ROWS, optimizer="mipro")


def test_technical_is_reached():
    assert isinstance(compile_graph(GRAPH, model().lm())(text="easy machine").result, Technical)
