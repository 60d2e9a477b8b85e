"""From an untuned graph to a tuned one that runs elsewhere: all four optimisers, in Python and on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import dspy
import pytest
from labelling_stub import KEYWORD

from weft import OptimizedLM, compile_graph, create_optimized_lm

# The smallest settings that find something.
SETTINGS = {
    "bootstrap": {"max_bootstrapped_demos": 2},
    "mipro": {"num_candidates": 3, "num_trials": 2, "max_bootstrapped_demos": 1},
    "gepa": {"max_metric_calls": 60},
    "simba": {"bsize": 6, "num_candidates": 2, "max_steps": 2},
}
each_optimizer = pytest.mark.parametrize("optimizer", SETTINGS)

SCORES = """
import asyncio, json, sys
from stubbed import Ticket, graph, score
from weft import OptimizedLM, create_optimized_lm
from weft.cli._rows import Record

async def main(rows, path):
    lm = create_optimized_lm(graph, path)
    runs = await asyncio.gather(*(graph.arun(Ticket.model_validate(row), lm=lm) for row in rows))
    scores = [score(Record(row), Record({"result": run.result, "triage": run.result.triage}))
              for row, run in zip(rows, runs, strict=True)]
    return sum(scores) / len(scores)

with open("held.jsonl", encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
print(json.dumps({name: asyncio.run(main(rows, f"{name}.json")) for name in sys.argv[1:]}))
"""


def model(server):
    return dspy.LM("openai/stub", api_base=server.url, api_key="none", cache=False)


async def mean_score(triage, compiled, rows):
    runs = await asyncio.gather(*(compiled.arun(triage.Ticket.model_validate(row)) for row in rows))
    return sum(
        triage.score(dspy.Example(**row), dspy.Prediction(result=run.result, triage=run.result.triage))
        for row, run in zip(rows, runs, strict=True)
    ) / len(rows)


def in_a_fresh_process(folder, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(folder, *arguments):
    return json.loads(in_a_fresh_process(folder, "-m", "weft", *arguments, "--metric", "score", "--json"))


@pytest.fixture(scope="module")
def scores(server, environment, triage, shared_project, rows):
    """By optimiser: the scores on the held-out rows, untuned, tuned, and of the saved prompts in another process."""
    compiled, held_out = compile_graph(triage.graph, model(server)), rows[12:22]
    untuned = asyncio.run(mean_score(triage, compiled, held_out))
    found = {}
    for optimizer, settings in SETTINGS.items():
        tuned = compiled.optimize(rows[:12], triage.score, optimizer, **settings)
        tuned.save(shared_project / f"{optimizer}.json")
        found[optimizer] = asyncio.run(mean_score(triage, tuned, held_out))
    (shared_project / "scores.py").write_text(SCORES, "utf-8")
    kept = json.loads(in_a_fresh_process(shared_project, "scores.py", *SETTINGS))
    return {optimizer: (untuned, score, kept[optimizer]) for optimizer, score in found.items()}


@each_optimizer
def test_an_optimiser_lifts_the_score_and_a_fresh_process_keeps_it(optimizer, scores):
    untuned, score, kept = scores[optimizer]

    assert untuned < 0.5
    assert score >= untuned + 0.2
    assert kept == pytest.approx(score)


async def test_an_optimiser_works_in_a_running_event_loop(server, triage, rows):
    compiled = compile_graph(triage.graph, model(server))

    tuned = await compiled.aoptimize(rows[:4], triage.score, "bootstrap", max_bootstrapped_demos=1)

    assert len(tuned.nodes["Ticket/Mood"].demos) == 1


async def test_what_was_tuned_is_on_the_wire_when_the_graph_itself_runs(server, triage, project, rows):
    compiled = compile_graph(triage.graph, model(server))
    compiled.nodes["Ticket/Mood"].signature = compiled.nodes["Ticket/Mood"].signature.with_instructions(KEYWORD)
    compiled.save(project / "prompts.json")
    lm = create_optimized_lm(triage.graph, project / "prompts.json", lm=model(server))
    before = len(server.prompts)

    result = await triage.graph.arun(triage.Ticket.model_validate(rows[5]), lm=lm)

    told = [prompt for prompt in server.prompts[before:] if KEYWORD in prompt.system]
    assert isinstance(lm, OptimizedLM)
    assert [list(prompt.fields) for prompt in told] == [["tone"]]
    assert (result.result.triage.mood.tone, result.result.triage.urgency.level) == ("angry", "low")


@each_optimizer
def test_the_command_line_lifts_the_score_and_eval_finds_the_same(optimizer, server, project):
    options = [word for name, value in SETTINGS[optimizer].items() for word in ("--option", f"{name}={value}")]
    asked = len(server.prompts)

    told = command(
        project, "optimize", "stubbed.py", "--train", "train.jsonl", "--data", "held.jsonl", "-o", "prompts.json",
        "--optimizer", optimizer, *options,
    )  # fmt: skip
    asked = len(server.prompts) - asked
    evaluated = command(project, "eval", "stubbed.py", "--data", "held.jsonl", "--prompts", "prompts.json")

    assert told["before"]["score"] < 0.5
    assert told["after"]["score"] >= told["before"]["score"] + 0.2
    assert asked <= told["bound"]["lm_calls"]
    assert evaluated["lms"][0]["score"] == pytest.approx(told["after"]["score"])
    changed = [each for each in told["prompts"] if each["demos"] or each["instruction"] != each["before"]]
    assert changed
