"""`weft optimize` and `--prompts`: what is said before, what stops it, and what is wrong with a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from labelling_stub import KEYWORD

from weft import compile_graph
from weft.cli import main
from weft.cli._bound import bound_of, calls_per_run, settings_of

OPTIMIZE = ["optimize", "stubbed.py", "--train", "train.jsonl", "--metric", "score", "-o", "prompts.json"]


@pytest.fixture
def weft(project, monkeypatch, capsys):
    """The command, in this process and the project's folder."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    monkeypatch.syspath_prepend(os.environ["PYTHONPATH"].split(os.pathsep)[1])

    def command(*arguments):
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield command
    for name in ("stubbed", "triage"):
        sys.modules.pop(name, None)


@pytest.fixture
def prompts(triage, project):
    """A file of prompts, of which one is tuned."""
    compiled = compile_graph(triage.graph)
    compiled.nodes["Ticket/Mood"].signature = compiled.nodes["Ticket/Mood"].signature.with_instructions(KEYWORD)
    compiled.save(project / "prompts.json")
    return project / "prompts.json"


def changed(prompts, **programs):
    """Take programs out of the file, or change their contract."""
    told = json.loads(prompts.read_text("utf-8"))
    for name, contract in programs.items():
        key = f"Ticket/{name}"
        if contract is None:
            del told["programs"][key]
        else:
            told["programs"][key]["contract"] = contract
    prompts.write_text(json.dumps(told), "utf-8")


# --- What it may take


def test_it_says_what_it_takes_at_most_and_the_scores_and_what_changed(weft, server):
    asked = len(server.prompts)

    code, out, err = weft(*OPTIMIZE, "--held-out", "0.25", "--option", "max_bootstrapped_demos=1")

    assert code == 0
    assert "Error" not in err
    lines = out.splitlines()
    assert lines[0] == "9 rows to learn from, 3 held out. bootstrap: at most 15 runs and 75 LM calls."
    assert len(server.prompts) - asked <= 75
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["before", lines[3].split()[1], "3", "0"],
        ["after", "1.000", "3", "0"],
    ]
    assert ["Ticket/Mood", "1", "as", "it", "was"] in [line.split() for line in lines]
    assert lines[-1] == "Saved in prompts.json. Run it: weft run stubbed.py --prompts prompts.json"


def test_more_calls_than_may_be_made_are_not_begun(weft, server, project):
    asked = len(server.prompts)

    code, _, err = weft(*OPTIMIZE, "--max-calls", "10")

    assert (code, len(server.prompts)) == (2, asked)
    assert err == (
        "Error: --max-calls: it may take 80 LM calls. Nothing was asked. Give fewer rows, or smaller options.\n"
    )
    assert not (project / "prompts.json").exists()


def test_a_limit_in_dollars_wants_a_model_with_a_price(weft, project):
    code, _, err = weft(*OPTIMIZE, "--max-cost", "1")

    assert (code, (project / "prompts.json").exists()) == (2, False)
    assert "--max-cost: what this model costs is not known. Use --max-calls." in err


def test_a_run_has_so_many_calls_on_its_longest_way(triage):
    # Urgency, Mood, Triage, the choice, the answer.
    assert calls_per_run(triage.graph.topology) == 5


def test_a_loop_has_as_many_calls_as_a_run_has_steps(monkeypatch, triage):
    drafting = __import__("draft_review")

    assert calls_per_run(drafting.graph.topology, max_steps=10) == 10


@pytest.mark.parametrize(
    ("optimizer", "options", "runs"),
    [
        ("bootstrap", {}, 10),
        ("bootstrap", {"max_rounds": 3}, 30),
        ("mipro", {"num_candidates": 3, "num_trials": 2}, 1 * 2 + 8 + 2 * 8),
        ("gepa", {"max_metric_calls": 40}, 40 + 2 * 3 + 2 * 10),
        ("simba", {"bsize": 4, "num_candidates": 2, "max_steps": 3}, 3 * (4 * 2 + 4 * 3) + 3 * 10),
    ],
)
def test_the_bound_follows_from_the_options(triage, optimizer, options, runs):
    settings = settings_of(optimizer, options, 10)

    bound = bound_of(optimizer, settings, triage.graph.topology, rows=10, scored=5, programs=7)

    assert bound.runs == runs + 2 * 5
    assert bound.calls == bound.runs * 5 + bound.asked


# --- What is wrong


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--option", "demos"], "--option: 'demos' does not say NAME=VALUE."),
        (["--option", "nothing=1"], "--option: BootstrapFewShot has no option nothing."),
        (["--option", "auto=light", "--optimizer", "mipro"], "--option: auto leaves open what it takes."),
        (["--option", "max_rounds=many"], "--option: max_rounds must be a number from 1."),
        (["--option", "bsize=13", "--optimizer", "simba"], "--option: bsize=13 is more than the 8 rows there are."),
        (["--held-out", "0"], "--held-out: 12 rows cannot be split by 0.0."),
        (["--lm", "offline"], "--lm: offline is none of DSPy's models. Name one as dspy:openai/gpt-5."),
        (["-o", "no/prompts.json"], "--output: there is no folder no. Make it first."),
        (["--data", "none.jsonl"], "--data: none.jsonl cannot be read: No such file or directory."),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_saved(weft, project, options, said):
    code, _, err = weft(*OPTIMIZE, *options)

    assert (code, (project / "prompts.json").exists()) == (2, False)
    assert f"Error: {said}" in err


def test_without_a_model_it_says_how_to_name_one(weft, project):
    (project / "stubbed.py").write_text("from triage import graph, score\n", "utf-8")

    code, _, err = weft(*OPTIMIZE)

    assert (code, err) == (2, "Error: --lm: no model is named. Name a model as dspy:openai/gpt-5.\n")


def test_an_interrupt_leaves_the_file_as_it_was(project, server):
    (project / "prompts.json").write_text("what was there", "utf-8")
    slow = """
import sys, time
fast, seen = score, []
def score(*given):
    seen.append(given)
    if len(seen) > 6:
        print("here", file=sys.__stderr__, flush=True)
        time.sleep(0.5)
    return fast(*given)
"""
    slow = (project / "stubbed.py").read_text("utf-8") + slow
    (project / "stubbed.py").write_text(slow, "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", *OPTIMIZE],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while process.stderr.readline().strip() != "here":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert (process.returncode, err.splitlines()[-1]) == (130, "Interrupted.")
    assert "\nbefore " in out
    assert (project / "prompts.json").read_text("utf-8") == "what was there"
    assert [each.name for each in project.iterdir() if each.name.startswith(".prompts")] == []


# --- --prompts


def run(weft, *options):
    return weft(
        "run", "stubbed.py", "--set", "subject=Help", "--set", "body=Locked out", "--prompts", "prompts.json", *options
    )


def test_a_run_asks_the_tuned_prompts(weft, prompts, server):
    asked = len(server.prompts)

    code, out, _ = run(weft, "--quiet")

    told = [list(prompt.fields) for prompt in server.prompts[asked:] if KEYWORD in prompt.system]
    assert (code, told) == (0, [["tone"]])
    assert out.startswith("Billing\n")


def test_prompts_that_do_not_fit_are_named_unless_they_may_be_partial(weft, prompts):
    changed(prompts, Mood="other", Urgency=None)

    code, out, err = run(weft)

    assert (code, out) == (2, "")
    assert err == (
        "Error: --prompts prompts.json: Ticket/Urgency: it is not in the file.\n"
        "Error: --prompts prompts.json: Ticket/Mood: its fields have changed since it was tuned. Optimise again, or "
        "add --partial to ask these as they were never tuned.\n"
    )

    code, out, err = run(weft, "--partial", "--quiet")

    assert (code, out.splitlines()[0]) == (0, "Billing")
    assert err.splitlines() == [
        "Warning: Ticket/Urgency: asked as it was never tuned: it is not in the file.",
        "Warning: Ticket/Mood: asked as it was never tuned: its fields have changed since it was tuned.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "--prompts: prompts.json: there is no such file."),
        ("[]", "--prompts: prompts.json: this is no file of tuned programs."),
        ("{", "--prompts: prompts.json: this is no JSON:"),
    ],
)
def test_a_file_that_is_none_is_told(weft, project, text, said):
    if text is not None:
        (project / "prompts.json").write_text(text, "utf-8")

    code, _, err = run(weft)

    assert (code, err[: len(said) + 7]) == (2, f"Error: {said}")


def test_an_lm_that_is_none_of_dspys_is_told(weft, prompts):
    code, _, err = run(weft, "--lm", "offline")

    assert code == 2
    assert err.startswith("Error: --lm: offline is none of DSPy's models. Tuned prompts are asked through DSPy")


def test_eval_names_the_file_beside_the_lm(weft, prompts):
    code, out, _ = weft("eval", "stubbed.py", "--data", "held.jsonl", "--metric", "score", "--prompts", "prompts.json")

    assert code == 0
    assert out.splitlines()[1].startswith("the graph's own with prompts.json ")


def test_without_dspy_the_extra_is_named(project):
    (project / "plain.py").write_text("from triage import graph, score\n", "utf-8")
    script = (
        "import importlib.util as u, sys; found = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'dspy' else found(name, *rest); "
        "from weft.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [word.replace("stubbed.py", "plain.py") for word in OPTIMIZE]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=project, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "weft[dspy]" in done.stderr
