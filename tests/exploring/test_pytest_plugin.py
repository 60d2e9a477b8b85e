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
