"""`weft eval`: a graph over labelled data, with each LM; the metric is a function as DSPy takes it."""

import json
import os
import signal
import subprocess
import sys

import pexpect
import pytest
from commands import SOURCE, start_process

GRADES = """
import asyncio

class Echo(BaseLM):
    "Answers `ok` to what is even and `no` to what is odd, fails at 4, and says what it costs."
    async def generate(self, request, on_partial=None):
        number = request.source["number"]
        if number == 4:
            raise RuntimeError("four is\\x1b[31m too many")
        return LMResponse({"verdict": "ok" if number % 2 == 0 else "no"}, Usage(1, 100, 10, 0.25), "echo")

class Number(Node):
    number: int
    async def __call__(self) -> "Verdict": ...

class Verdict(Node):
    verdict: str

graph = Graph(start=Number, lm=Echo())

def right(example, prediction, trace=None):
    assert example["wanted"] == example.wanted == example.get("wanted")
    assert prediction.result.verdict == prediction.verdict
    assert [type(node) for node in prediction.trace] == [Number, Verdict]
    return prediction.verdict == example.wanted
"""
ROWS = """
{"number": 2, "wanted": "ok"}
{"number": 3, "wanted": "ok"}

{"number": 4, "wanted": "ok"}
{"number": 5, "wanted": "no"}
"""


@pytest.fixture
def grades(write):
    write("data.jsonl", ROWS.lstrip())
    return write("grades.py", GRADES)


def evaluated(weft, *arguments):
    return weft("eval", "grades.py", "--data", "data.jsonl", "--metric", "grades.py:right", *arguments)


def test_scores_failures_and_cost_stand_in_a_line_and_the_reasons_below(weft, grades):
    done = evaluated(weft)

    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.timeless.splitlines()] == [
        ["LM", "score", "rows", "failures", "cost", "median", "p95"],
        ["the", "graph's", "own", "0.500", "4", "1", "$0.7500", "*", "*"],
        [],
        ["the", "graph's", "own:", "1", "run", "failed"],
        ["line", "4:", "RuntimeError:", "four", "is\\x1b[31m", "too", "many"],
    ]


def test_lms_are_compared_side_by_side(weft, grades):
    done = evaluated(weft, "--lm", "offline", "--lm", "offline")

    lines = done.out.splitlines()
    assert (done.code, len(lines)) == (0, 3)
    assert lines[1].split()[:5] == lines[2].split()[:5] == ["offline", "0.000", "4", "0", "$0.0000"]


def test_the_variable_names_the_lm_where_none_is_given(weft, write, grades, monkeypatch):
    monkeypatch.setenv("WEFT_LM", "offline")
    write("grades.py", GRADES.replace(", lm=Echo()", ""))

    assert "\noffline " in evaluated(weft).out


def test_json_is_one_document_with_the_numbers(weft, grades):
    done = evaluated(weft, "--json")

    told = json.loads(done.out)
    (lm,) = told["lms"]
    assert (done.code, told["status"], lm["lm"]) == (0, "done", "the graph's own")
    assert (lm["score"], lm["rows"], lm["failures"]) == (0.5, 4, 1)
    assert lm["usage"] == {"requests": 4, "input_tokens": 300, "output_tokens": 30, "cost": 0.75}
    assert lm["reasons"] == [{"reason": "RuntimeError: four is\\x1b[31m too many", "lines": [4]}]
    assert 0 < lm["median_seconds"] <= lm["p95_seconds"]


def test_details_are_a_line_for_each_run_in_the_order_of_the_data(weft, grades):
    done = evaluated(weft, "--details", "runs.jsonl")

    runs = [json.loads(line) for line in (grades.parent / "runs.jsonl").read_text().splitlines()]
    assert done.out.endswith("\nEach run is told in runs.jsonl.\n")
    assert [(run["line"], run["score"], run["status"]) for run in runs] == [
        (1, 1.0, "done"),
        (2, 0.0, "done"),
        (4, 0.0, "failed"),
        (5, 1.0, "done"),
    ]
    assert runs[0]["path"] == ["Number", "Verdict"]
    assert runs[0]["result"] == {"verdict": "ok"}
    assert runs[0]["row"] == {"number": 2, "wanted": "ok"}
    assert runs[2]["error"].startswith("RuntimeError: four is")


def test_the_exit_code_is_1_where_every_run_failed(weft, write, grades):
    write("data.jsonl", '{"number": 4, "wanted": "ok"}\n')

    done = evaluated(weft)

    assert (done.code, done.err) == (1, "Error: the graph's own: every run failed.\n")
    assert "$0.0000" in done.out
    assert done.out.splitlines()[1].split()[-2:] == ["-", "-"]


def test_a_run_may_take_so_many_seconds_and_steps(weft, write, grades):
    slow = GRADES.replace('number = request.source["number"]', "await asyncio.Event().wait()")
    write("grades.py", slow)

    done = evaluated(weft, "--timeout", "0.05")

    assert (done.code, done.out.count("RunTimeoutError")) == (1, 1)


@pytest.mark.parametrize(("concurrency", "most"), [("1", 1), ("3", 3)])
def test_so_many_runs_go_on_at_once(weft, write, concurrency, most):
    write(
        "busy.py",
        f"""
        going = most = 0
        gate = asyncio.Barrier({most})
        class Number(Node):
            number: int
            async def __call__(self) -> "Seen":
                global going, most
                going += 1
                most = max(most, going)
                await gate.wait()
                going -= 1
                return Seen(most=most)
        class Seen(Node):
            most: int
        graph = Graph(start=Number)
        def most_of(example, prediction):
            return prediction.most
        """,
        head="import asyncio\nfrom weft import Graph, Node\n",
    )
    write("six.jsonl", '{"number": 1}\n' * 6)

    options = ["--concurrency", concurrency, "--json", "--timeout", "20"]
    done = weft("eval", "busy.py", "--data", "six.jsonl", "--metric", "most_of", *options)

    (lm,) = json.loads(done.out)["lms"]
    assert (lm["score"], lm["failures"]) == (most, 0)


def test_what_runs_print_is_not_shown(weft, write, grades):
    write("grades.py", GRADES.replace('number = request.source["number"]', 'print("noise"); number = 2'))

    done = evaluated(weft)

    assert "noise" not in done.out + done.err


def test_on_a_terminal_too_what_runs_print_is_not_shown(write, grades):
    write("grades.py", GRADES.replace('number = request.source["number"]', 'print("noise"); number = 2'))
    words = ["-m", "weft", "eval", "grades.py", "--data", "data.jsonl", "--metric", "right"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm"}
    terminal = pexpect.spawn(sys.executable, words, cwd=grades.parent, env=environment, encoding="utf-8", timeout=60)

    terminal.expect(pexpect.EOF)

    assert "noise" not in terminal.before
    assert "of 4 rows, Ctrl-C stops" in terminal.before
    assert "score" in terminal.before


def test_an_interrupt_ends_it_with_what_there_is(write, tmp_path):
    write(
        "slow.py",
        """
        class Number(Node):
            number: int
            async def __call__(self) -> None:
                if self.number == 3:
                    print("here", file=sys.stderr, flush=True)
                    await asyncio.Event().wait()
        graph = Graph(start=Number)
        def one(example, prediction):
            return 1
        """,
        head="import asyncio, sys\nfrom weft import Graph, Node\n",
    )
    write("data.jsonl", "".join(f'{{"number": {number}}}\n' for number in (1, 2, 3, 4)))
    options = ["--data", "data.jsonl", "--metric", "one", "--concurrency", "1", "--details", "runs.jsonl"]
    process = start_process("weft", "eval", "slow.py", *options, cwd=tmp_path)
    try:
        assert process.stderr.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()

    assert (process.returncode, err) == (130, "Interrupted.\n")
    assert out.splitlines()[1].split()[:5] == ["the", "graph's", "own", "1.000", "2"]
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2


# --- What the user got wrong -----------------------------------------------------------------------------------------


def test_every_mistake_has_a_line(weft, grades):
    options = ["--data", "none.jsonl", "--metric", "righ", "--lm", "offlin", "--details", "no/runs.jsonl"]
    done = weft("eval", "grades.py", *options)

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "Error: --metric: grades.py has no attribute 'righ'. Did you mean grades.py:right?",
        "Error: --data: none.jsonl cannot be read: No such file or directory. Name a file with a JSON object a line.",
        "Error: --lm: no LM is called 'offlin'. Did you mean 'offline'?",
        "Error: --details: there is no folder no. Make it first.",
    ]


def test_each_wrong_row_has_a_line_up_to_five(weft, write, grades):
    write("data.jsonl", '{"number": "two"}\n[1]\n{\n{"wanted": "ok"}\n{}\n{}\n{}')

    done = evaluated(weft)

    assert done.code == 2
    assert done.err.splitlines()[:4] == [
        "Error: data.jsonl:1: number: Input should be a valid integer, unable to parse string as an integer.",
        "Error: data.jsonl:2: this is no JSON object: '[1]'. Write a JSON object a line.",
        "Error: data.jsonl:3: this is not JSON: '{'. Write a JSON object a line.",
        "Error: data.jsonl:4: number: Field required.",
    ]
    assert done.err.splitlines()[-1] == "Error: data.jsonl: 2 more rows are wrong."


def test_a_file_without_rows_is_told(weft, write, grades):
    write("data.jsonl", "\n\n")

    assert "--data: data.jsonl holds no rows" in evaluated(weft).err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return example.label", "it raised AttributeError: there is no 'label', only number, wanted for line "),
        ("return 'good'", "it returned 'good' for line "),
        ("return None", "it returned None for line "),
        ("return float('nan')", "it returned nan for line "),
    ],
)
def test_a_metric_that_gives_no_number_ends_it(weft, write, grades, body, said):
    write("metric.py", f"def score(example, prediction, trace=None):\n    {body}\n")

    done = weft("eval", "grades.py", "--data", "data.jsonl", "--metric", "metric:score", "--concurrency", "1")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: metric:score: {said}1")


def test_an_async_metric_is_told(weft, write, grades):
    write("metric.py", "async def score(example, prediction): return 1\n")

    done = weft("eval", "grades.py", "--data", "data.jsonl", "--metric", "metric:score")

    assert (done.code, done.err) == (2, "Error: metric:score: it is async. Write: def, not async def.\n")


def test_a_metric_may_give_its_score_with_feedback(weft, write, grades):
    feedback = "from types import SimpleNamespace\n"
    write(
        "metric.py", f"{feedback}def score(example, prediction): return SimpleNamespace(score=0.25, feedback='so so')\n"
    )

    done = weft("eval", "grades.py", "--data", "data.jsonl", "--metric", "metric:score", "--json")

    assert json.loads(done.out)["lms"][0]["score"] == 0.75 * 0.25


def test_without_an_lm_it_says_so_once_and_ends(weft, write, grades):
    write("grades.py", GRADES.replace(", lm=Echo()", ""))

    done = evaluated(weft)

    assert (done.code, done.out) == (2, "")
    assert "--lm offline needs no key" in done.err


def test_a_failure_is_told_in_json_too(weft, write, grades):
    write("grades.py", GRADES.replace(", lm=Echo()", ""))

    done = evaluated(weft, "--json")

    told = json.loads(done.out)
    assert (done.code, told["status"], told["lms"]) == (2, "failed", [])
    assert told["error"]["type"] == "LMNotConfiguredError"


def test_the_metric_may_stand_in_a_file_whose_name_is_another_modules(weft, write):
    write("data.jsonl", ROWS.lstrip())
    write("json.py", GRADES.replace('"ok" if number % 2 == 0 else "no"', '"ok"'))

    done = weft("eval", "json.py", "--data", "data.jsonl", "--metric", "json.py:right", "--json")

    (lm,) = json.loads(done.out)["lms"]
    assert (done.code, lm["score"]) == (0, 0.5)


def test_neither_eval_nor_the_start_of_the_command_line_imports_dspy(grades):
    script = "import sys; from weft.cli import main; code = main(sys.argv[1:]); print(code, 'dspy' in sys.modules)"
    options = ["eval", "grades.py", "--data", "data.jsonl", "--metric", "right"]
    done = subprocess.run(
        [sys.executable, "-c", script, *options],
        cwd=grades.parent,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0 False"
