"""The pytest plugin: fixtures that are there wherever Weft is installed, tried in a pytest run of their own."""

import re
import subprocess
import sys

import pytest

TESTS = """
import asyncio, sys, threading
import pytest

def test_nothing_of_weft_is_loaded_before_a_fixture_is_used():
    assert "weft.pytest_plugin" in sys.modules
    assert {"weft.graph", "weft.testing"}.isdisjoint(sys.modules)

class LM:
    async def fill(self, target, resolved, instruction, source=None):
        return target(words="from a model")
    choose_type = make = decide = fill

@pytest.fixture
def weft():
    import weft
    return weft

@pytest.fixture
def shop(weft):
    class Question(weft.Node):
        text: str = "?"
        async def __call__(self) -> "Answer": ...
    class Answer(weft.Node):
        words: str
    class Model(weft.BaseLM):
        async def generate(self, request, on_partial=None):
            return weft.LMResponse({"words": "from a model"})
    made = weft.Graph(start=Question)
    class shop:
        answer, question, model, graph = Answer, Question, Model, made
        @staticmethod
        def ask(lm):
            return shop.graph.run(Question(), lm=lm).result.words
    return shop

def test_a_script_answers(shop, scripted_lm):
    assert shop.ask(scripted_lm({shop.answer: {"words": "Yes."}})) == "Yes."

def test_a_step_is_not_used(shop, scripted_lm):
    scripted_lm({shop.answer: {"words": "Yes."}})

def test_that_fails_anyway(shop, scripted_lm):
    scripted_lm({shop.answer: {"words": "Yes."}})
    assert False

def test_made_up(shop, offline_lm):
    assert shop.ask(offline_lm)

@pytest.mark.parametrize("base", [True, False])
def test_a_call_is_refused(shop, no_unplanned_calls, base):
    from weft.testing import UnplannedCallError
    with pytest.raises(UnplannedCallError, match="^Answer: a test that plans every call would have asked"):
        shop.ask(shop.model() if base else LM())

def test_a_call_without_a_graph_is_refused(weft, shop, no_unplanned_calls):
    from weft.testing import UnplannedCallError
    with pytest.raises(UnplannedCallError):
        asyncio.run(weft.resolve_dep(shop.answer, {}, lm=LM()))
    with pytest.raises(UnplannedCallError):
        asyncio.run(shop.model().make(shop.question(), shop.answer))

def test_a_call_in_a_thread_is_refused(shop, no_unplanned_calls):
    raised = []
    def run():
        try:
            shop.ask(LM())
        except AssertionError as error:
            raised.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised

def test_stand_ins_may_answer(shop, no_unplanned_calls, scripted_lm, offline_lm):
    class Mine(shop.model):
        is_stand_in = True
    for lm in (scripted_lm({shop.answer: {"words": "Yes."}}), offline_lm, Mine()):
        assert shop.ask(lm)

def test_calls_are_free_again_afterwards(shop):
    assert shop.ask(shop.model()) == "from a model"

def test_that_forgot_to_plan(shop, no_unplanned_calls):
    shop.ask(shop.model())
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What pytest prints of TESTS, run in a process of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_shop.py").write_text(TESTS, "utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\n", "utf-8"
    )  # the folder may be inside a checkout, whose settings differ
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--tb=short", "test_shop.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_each_fixture_does_what_it_says(printed):
    ended = dict.fromkeys(re.findall(r"^(PASSED|FAILED|ERROR) test_shop.py::(\w+)", printed, re.MULTILINE))

    assert {name for outcome, name in ended if outcome == "FAILED"} == {
        "test_that_fails_anyway",
        "test_that_forgot_to_plan",
    }
    assert {name for outcome, name in ended if outcome == "ERROR"} == {"test_a_step_is_not_used"}
    assert {name for outcome, name in ended if outcome == "PASSED"} == {
        "test_nothing_of_weft_is_loaded_before_a_fixture_is_used",
        "test_a_script_answers",
        "test_a_step_is_not_used",  # it passes; what follows it does not
        "test_made_up",
        "test_a_call_is_refused",
        "test_a_call_without_a_graph_is_refused",
        "test_a_call_in_a_thread_is_refused",
        "test_stand_ins_may_answer",
        "test_calls_are_free_again_afterwards",
    }


def test_the_messages_say_what_to_do(printed):
    assert "UnconsumedStepsError: The script has steps that nobody asked for: Answer." in printed
    assert (
        "UnplannedCallError: Answer: a test that plans every call would have asked Model. Run it with a ScriptedLM or "
        "OfflineLM, or set is_stand_in = True on an LM class of your own."
    ) in printed


# --- The fixture cassette

RECORDED = """
import os
import pytest
import weft

class Question(weft.Node):
    text: str
    async def __call__(self) -> "Answer": ...

class Answer(weft.Node):
    words: str

asked = []

class Model(weft.BaseLM):
    async def generate(self, request, on_partial=None):
        asked.append(request.place)
        return weft.LMResponse({"words": f"answer {len(asked)}"}, weft.Usage(1, 10, 5, 0.25), "model-1")

graph = weft.Graph(start=Question)

def ask(lm, text="Why?"):
    return graph.run(Question(text=text), lm=lm).result.words

class TestShop:
    @pytest.mark.parametrize("text", ["a/b", "a?b", "../" * 60])
    def test_names_of_any_kind(self, cassette, no_unplanned_calls, text):
        assert ask(cassette(Model()), text).startswith("answer")

def test_two_runs(cassette):
    assert ask(cassette(Model())) != ask(cassette(Model()))

def test_that_changes(cassette):
    with open("question.txt") as file:
        ask(cassette(Model() if "MODEL" in os.environ else "nobody:knows"), file.read())
"""


# Each run: whether it records, and what the last test asks. With nothing to record, the model does not exist.
RUNS = """
import os, pathlib, sys
import pytest

for mode, text in [("", "Why?"), ("all", "Why?"), ("", "Why?"), ("", "How?"), ("new", "How?"), ("", "How?")]:
    pathlib.Path("question.txt").write_text(text, "utf-8")
    sys.modules.pop("test_recorded", None)
    os.environ.pop("MODEL", None)
    os.environ.update({"MODEL": "1"} if mode else {})
    pytest.main(["-rA", "-p", "no:cacheprovider", "--tb=short", *([f"--weft-record={mode}"] if mode else [])])
    print("the end of a run", flush=True)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A folder with RECORDED in it, and what pytest prints in each of RUNS, in one process."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "test_recorded.py").write_text(RECORDED, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    done = subprocess.run([sys.executable, "-c", RUNS], cwd=folder, capture_output=True, text=True, check=True)
    return folder, done.stdout.split("the end of a run")[:-1]


def counts(printed):
    return {outcome: int(number) for number, outcome in re.findall(r"(\d+) (passed|failed|error)", printed)}


def test_a_cassette_is_recorded_on_demand_and_replayed_ever_after(recording):
    _, printed = recording

    assert list(map(counts, printed)) == [
        {"failed": 5},
        {"passed": 5},
        {"passed": 5},
        {"passed": 4, "failed": 1},
        {"passed": 5},
        {"passed": 5},
    ]


def test_each_test_has_a_file_of_its_own_beside_it(recording):
    folder, _ = recording
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "cassettes").rglob("*.json"))

    assert len(names) == 5
    assert names[-2:] == [
        "cassettes/test_recorded/test_that_changes.json",
        "cassettes/test_recorded/test_two_runs.json",
    ]
    assert all(
        re.fullmatch(r"cassettes/test_recorded/TestShop.test_names_of_any_kind[\w.-]{1,80}.json", each)
        for each in names[:3]
    )


def test_without_a_recording_it_says_how_to_make_one(recording):
    _, printed = recording

    assert "test_two_runs.json: there is no such file. Record it: pytest --weft-record=new" in printed[0].replace(
        "\\n", ""
    )


def test_a_change_is_told_in_the_report(recording):
    _, printed = recording

    assert "input `Question.text` was 'Why?', is 'How?'" in printed[3]
    assert 'Record it: pytest --weft-record=new "test_recorded.py::test_that_changes".' in printed[3]


def test_what_is_needed_no_more_is_dropped_once_the_test_has_passed(recording):
    folder, _ = recording
    text = (folder / "cassettes/test_recorded/test_that_changes.json").read_text("utf-8")

    assert "How?" in text
    assert "Why?" not in text
