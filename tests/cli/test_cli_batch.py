"""`weft batch`: a run for each line, a line for each run, and nothing done twice, whatever ended the one before."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest
from commands import start_process

SUMS = """
from pathlib import Path

async def look_up(ask: Annotated["Ask", Recall()]) -> int:
    with Path("calls").open("a") as calls:
        calls.write(f"{ask.number}\\n")
    if ask.number < 0:
        raise ValueError("it is negative")
    while ask.number >= 100 and not Path("open").exists():
        await asyncio.sleep(0.01)
    return ask.number * 10

class Ask(Node):
    number: int
    async def __call__(self) -> "Answer": ...

class Answer(Node):
    tenfold: Annotated[int, Dep(look_up)]
    words: str

graph = Graph(start=Ask, lm=Fixed())
"""


@pytest.fixture
def sums(write):
    """A module whose graph multiplies by ten; numbers from 100 wait for a file called open, negative ones fail."""
    return write("sums.py", SUMS)


@pytest.fixture
def ask():
    """A function that writes the input: numbers as asks, text as it is."""

    def write_lines(*lines: int | str) -> None:
        text = [json.dumps({"number": each}) if isinstance(each, int) else each for each in lines]
        Path("in.jsonl").write_text("".join(f"{each}\n" for each in text), "utf-8")

    return write_lines


def records(name="out.jsonl"):
    return [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]


def results():
    """Return what came of each line: its answer, or what kind of error."""
    return {
        each["line"]: each["result"]["tenfold"] if each["status"] == "done" else each["error"]["type"]
        for each in records()
    }


def calls():
    """Return the numbers that were looked up since this was last asked."""
    if not Path("calls").exists():
        return []
    called = sorted(map(int, Path("calls").read_text("utf-8").split()))
    Path("calls").unlink()
    return called


def wait_for(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def written(count):
    return lambda: Path("out.jsonl").exists() and Path("out.jsonl").read_bytes().count(b"\n") == count


def begun(*numbers):
    return lambda: Path("calls").exists() and set(Path("calls").read_text("utf-8").split()) >= set(map(str, numbers))


def test_each_line_of_the_input_gives_a_line_of_the_output(weft, sums, ask):
    ask(1, 2)

    done = weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--concurrency", "1")

    assert (done.code, done.err) == (0, "")
    assert done.timeless == "2 lines: 2 done.\nIn *: 2 LM requests, 2,000 + 1,000 tokens, $0.0024.\n"
    first, second = records()
    assert (first["line"], second["line"]) == (1, 2)
    assert first["result"] == {"tenfold": 10, "words": "words!"}
    assert (first["status"], first["result_type"], first["error"]) == ("done", "Answer", None)
    usage = {"requests": 1, "input_tokens": 1000, "output_tokens": 500, "cost": 0.0012}
    assert first["usage"] == {**usage, "cached_tokens": 0, "tool_calls": 0}
    assert len(first["run_id"]) == 32
    assert {path.name for path in Path.cwd().iterdir()} >= {"in.jsonl", "out.jsonl"}
    assert not list(Path.cwd().glob("*.lock"))


def test_a_line_that_fails_is_told_and_the_batch_goes_on(weft, sums, ask):
    ask(1, "", "nope", '{"nubmer": 1}', "{}", '{"number": "x"}', "[1]", -1, 2)

    done = weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--concurrency", "1")

    assert done.code == 1
    kinds = dict.fromkeys(range(3, 8), "UsageError")
    assert results() == {1: 10, **kinds, 8: "DepError", 9: 20}
    assert done.err.splitlines() == [
        (
            "Error: line 3: this is not JSON: 'nope' (Expecting value: line 1 column 1 (char 0)). "
            """Write an object with the start node's fields: {"field": "value"}."""
        ),
        "Error: line 4: Ask has no field 'nubmer'. Did you mean 'number'?",
        "Error: line 5: Ask.number: missing.",
        (
            "Error: line 6: Ask.number: Input should be a valid integer, unable to parse string as an integer "
            '(given: "x").'
        ),
        (
            "Error: line 7: the JSON must be an object with the start node's fields, not [1]. "
            """Write an object with the start node's fields: {"field": "value"}."""
        ),
        "and 1 more failed: see out.jsonl.",
    ]
    assert done.out.startswith("8 lines: 2 done, 6 failed.\n")
    failed = next(each for each in records() if each["line"] == 8)
    assert failed["error"]["message"].startswith("Answer.tenfold → look_up: raised ValueError: it is negative.")
    assert (failed["result"], failed["usage"]["requests"]) == (None, 0)


def test_a_line_reads_no_file_and_no_standard_input(weft, sums, ask):
    Path("secret").write_text('{"number": 1}', "utf-8")
    ask("@secret", "-")

    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 1
    assert results() == {1: "UsageError", 2: "UsageError"}


def test_bytes_that_are_no_text_are_the_fault_of_their_line(weft, sums):
    Path("in.jsonl").write_bytes(b'\xef\xbb\xbf{"number": 1}\r\n\xff\xfe\r\n{"number": 2}')

    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 1
    assert results() == {1: 10, 2: "UsageError", 3: 20}


def test_a_second_batch_does_what_is_missing_changed_or_failed(weft, sums, ask):
    ask(1, -2, 3)
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 1
    assert calls() == [-2, 1, 3]

    ask(4, 1, -2, 3)
    again = weft("batch", "sums.py", "in.jsonl", "out.jsonl")
    assert (again.code, calls()) == (1, [-2, 4])
    assert results() == {1: 40, 2: 10, 3: "DepError", 4: 30}
    assert again.out.startswith("4 lines: 2 done before, 1 done, 1 failed.\n")

    ask(4, 1, 3)
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 0
    assert (calls(), results()) == ([], {1: 40, 2: 10, 3: 30})


def test_equal_lines_are_each_done_once(weft, sums, ask):
    ask(1, 1, 1)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl")
    ask(1, 1, 1, 1)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl")

    assert calls() == [1, 1, 1, 1]
    assert results() == {1: 10, 2: 10, 3: 10, 4: 10}


def test_results_of_lines_that_are_gone_are_dropped_only_when_told_so(weft, sums, ask):
    ask(1, 2)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl")
    before = Path("out.jsonl").read_bytes()
    calls()
    ask(1, 5)

    refused = weft("batch", "sums.py", "in.jsonl", "out.jsonl")
    assert refused.code == 2
    assert refused.err == (
        "Error: out.jsonl: 1 result is of a line that is not in the input. "
        "Name another file for the results, or drop what does not belong with --prune.\n"
    )
    assert Path("out.jsonl").read_bytes() == before
    assert [path.name for path in Path.cwd().glob(".out*")] == []

    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--prune").code == 0
    assert (calls(), results()) == ([5], {1: 10, 2: 50})


@pytest.mark.parametrize("foreign", ["notes\n", "notes", '{"number": 1}\n', "[1]\n", "5"])
def test_a_file_of_something_else_is_left_alone(weft, sums, ask, foreign):
    ask(1)
    Path("out.jsonl").write_text(foreign, "utf-8")

    done = weft("batch", "sums.py", "in.jsonl", "out.jsonl")

    assert (done.code, calls()) == (2, [])
    assert done.err == (
        "Error: out.jsonl: line 1 is no line that weft batch has written. "
        "Name another file for the results, or move this one away.\n"
    )
    assert Path("out.jsonl").read_text("utf-8") == foreign


def test_what_a_crash_has_left_of_a_line_is_done_again_and_the_rest_is_kept(weft, sums, ask):
    ask(1, 2, 3)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--concurrency", "1")
    whole = Path("out.jsonl").read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    calls()

    for end in (last + 1, last + 5, last + 40, len(whole) - 2):
        Path("out.jsonl").write_bytes(whole[:end])
        assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 0
        assert (calls(), results()) == ([3], {1: 10, 2: 20, 3: 30})
    Path("out.jsonl").write_bytes(whole[:-1])
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 0
    assert (calls(), Path("out.jsonl").read_bytes()) == ([], whole)


def test_the_output_keeps_its_permissions(weft, sums, ask):
    ask(1, -1)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl")
    Path("out.jsonl").chmod(0o640)
    weft("batch", "sums.py", "in.jsonl", "out.jsonl")

    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o640


def test_a_killed_batch_loses_only_what_is_in_flight(weft, sums, ask):
    ask(1, 2, 100, 101, 3)
    process = start_process("weft", "batch", "sums.py", "in.jsonl", "out.jsonl")
    wait_for(written(3))
    wait_for(begun(100, 101))
    process.kill()
    process.communicate(timeout=60)
    assert results() == {1: 10, 2: 20, 5: 30}
    calls()

    Path("open").touch()
    again = weft("batch", "sums.py", "in.jsonl", "out.jsonl")

    assert (again.code, calls()) == (0, [100, 101])
    assert results() == {1: 10, 2: 20, 3: 1000, 4: 1010, 5: 30}
    assert again.out.startswith("5 lines: 3 done before, 2 done.\n")


def test_an_interrupted_batch_keeps_what_is_done_and_goes_on_later(weft, sums, ask):
    ask(1, 100, 2, -1)
    process = start_process("weft", "batch", "sums.py", "in.jsonl", "out.jsonl", "--concurrency", "10")
    wait_for(written(3))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted."
    assert out.startswith("4 lines: 2 done, 1 failed, 1 left.\n")
    assert out.endswith("The same command goes on with what is left.\n")
    Path("open").touch()
    calls()
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 1
    assert (calls(), results()) == ([-1, 100], {1: 10, 2: 1000, 3: 20, 4: "DepError"})


@pytest.mark.parametrize(
    ("columns", "drawn"),
    [
        (100, r"━{18}╺━{5} 3 of 4 lines, 1 failed, 1 in flight, \$0.00, \*, about \* left"),
        (80, r"━+[╺╸]?━+ 3 of 4 lines, 1 failed, 1 in flight, \$0.00, \*, about \* left"),
        (50, r"3 of 4 lines, 1 failed, 1 in flight, .*…"),
    ],
)
def test_a_terminal_shows_how_far_it_is_and_in_the_end_only_what_came_of_it(terminal, sums, ask, columns, drawn):
    ask(1, 100, -1, 2)
    screen = terminal("batch", "sums.py", "in.jsonl", "out.jsonl", "--concurrency", "3", columns=columns)

    screen.wait(lambda: re.fullmatch(drawn, screen.shown))
    Path("open").touch()

    assert screen.end() == 1
    assert screen.lines[0].startswith("Error: line 3: Answer.tenfold → look_up: raised")
    assert "4 lines: 3 done, 1 failed." in screen.lines
    assert "in flight" not in screen.shown


def test_two_batches_do_not_write_one_file(weft, sums, ask):
    ask(100)
    process = start_process("weft", "batch", "sums.py", "in.jsonl", "out.jsonl")
    wait_for(begun(100))

    second = weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--timeout", "1")
    Path("open").touch()
    out, _ = process.communicate(timeout=60)

    assert second.code == 2
    assert second.err == (
        "Error: out.jsonl: another batch is writing it. Wait for its end, or name another file for the results.\n"
    )
    assert (process.returncode, out[:15]) == (0, "1 line: 1 done.")
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl").code == 0


def test_standard_input_and_output_take_the_place_of_files(weft_process, sums):
    done = weft_process("batch", "sums.py", "-", "-", given='{"number": 1}\n{"number": -1}\n')

    assert done.code == 1
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {each["line"]: each["status"] for each in lines} == {1: "done", 2: "failed"}
    assert "2 lines: 1 done, 1 failed.\n" in done.err


def test_a_reader_that_has_had_enough_ends_the_batch(sums, ask):
    ask(1, 2)
    reading, writing = os.pipe()
    os.close(reading)
    process = start_process("weft", "batch", "sums.py", "in.jsonl", "-", stdout=writing)
    os.close(writing)

    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (1, "")


def test_without_an_lm_nothing_is_written(weft, write, ask):
    write("sums.py", SUMS.replace(", lm=Fixed()", ""))
    ask(1, 2)

    done = weft("batch", "sums.py", "in.jsonl", "out.jsonl")

    assert (done.code, records()) == (2, [])
    assert done.err.startswith("Error: Answer needs an LM, and none is named. Add --lm NAME")


def test_the_lm_named_on_the_command_line_is_used(weft, sums, ask):
    ask(1)

    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--lm", "offline").code == 0
    assert records()[0]["result"]["words"] == "offline text for words"


def test_limits_of_a_run_and_of_the_whole_batch(weft, sums, ask):
    ask(100)
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--timeout", "0.05").code == 1
    assert results() == {1: "RunTimeoutError"}
    assert weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--max-steps", "1").code == 1
    assert results() == {1: "StepLimitError"}

    ask(*range(1, 50))
    spent = weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--max-cost", "0.003", "--concurrency", "1")
    assert spent.code == 1
    assert "the budget is spent: $0.0036 of $0.0030 used" in spent.err
    assert list(results().values())[:3] == [10, 20, 30]
    assert spent.out.splitlines()[-1] == "The same command goes on with what is left."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl", "out.jsonl"], "nowhere.jsonl: it cannot be read: No such file or directory."),
        (["in.jsonl", "no/where.jsonl"], "no/where.jsonl: it cannot be written: No such file or directory."),
        (["in.jsonl", "out.jsonl", "--lm", "nobody"], "--lm: "),
        (["in.jsonl", "out.jsonl", "--concurrency", "0"], "--concurrency"),
        (["in.jsonl"], "Missing argument"),
        (["in.jsonl", "in.jsonl"], "in.jsonl: line 1 is no line that weft batch has written."),
    ],
)
def test_wrong_usage_is_told_in_a_line(weft, sums, ask, arguments, said):
    ask(1)

    done = weft("batch", "sums.py", *arguments)

    assert (done.code, done.out, calls()) == (2, "", [])
    assert said in done.err
    assert done.err.count("\n") == 1


def test_quiet_prints_failures_only(weft, sums, ask):
    ask(1, -1)

    done = weft("batch", "sums.py", "in.jsonl", "out.jsonl", "--quiet")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: line 2: ")
