"""`weft run --verbose` and `--quiet`: more than the tree, and less."""

from __future__ import annotations

import json

import pytest

RETRIED = """
class Wrong(BaseLM):
    async def generate(self, request, on_partial=None):
        if request.kind == "choose":
            return LMResponse('{"choice": "Plan"}', model="wrong")
        data = {"days": 2, "mood": "calm", "tags": ["\\x1b[31m"]} if request.rejected else {"days": "two"}
        return LMResponse(data, Usage(1, 1000, 500), "wrong")

class Ask(Node):
    question: str

    async def __call__(self) -> "Plan | Refusal": ...

class Plan(Node):
    sky: Annotated[str, Dep(lambda: "rain")]
    days: int = Field(ge=1, description="how long")
    mood: Literal["calm", "rushed"]
    tags: list[str] = []

class Refusal(Node):
    reason: str = Field(description="why not")

graph = Graph(start=Ask, lm=Wrong())
"""


@pytest.fixture
def retried(write):
    return write("m.py", f"from typing import Literal\n{RETRIED}")


def test_verbose_shows_each_prompt_and_answer_and_why_it_was_rejected(weft, retried):
    done = weft("run", "m", "--set", "question=Where to?", "--verbose")

    calls, _, rest = done.timeless.partition("\n\nAsk   *\n")
    assert done.code == 0
    assert rest.startswith("  LM chooses Plan  *, wrong\n")
    assert calls.split("\n\n") == [
        (
            "LM chooses after Ask, 0:Ask/route\n"
            "  instruction: Choose what comes next.\n"
            "  source Ask:\n"
            "    question: Where to?\n"
            "  options:\n"
            "    Plan:\n"
            "      instruction: Plan\n"
            "      fields:\n"
            "        days: how long\n"
            "        mood: (no description)\n"
            "        tags: (no description)\n"
            "    Refusal:\n"
            "      instruction: Refusal\n"
            "      fields:\n"
            "        reason: why not\n"
            "  answer (wrong, *):\n"
            "    choice: Plan"
        ),
        (
            "LM fills Plan, 1:Plan/fill\n"
            "  instruction: Plan\n"
            "  source Ask:\n"
            "    question: Where to?\n"
            "  inputs:\n"
            "    sky: rain\n"
            "  fields:\n"
            "    days: integer, minimum 1: how long\n"
            '    mood: "calm" | "rushed"\n'
            "    tags: list of string, optional\n"
            "  answer (wrong, 1,000 + 500 tokens, *):\n"
            "    days: two\n"
            "  rejected: days: Input should be a valid integer, unable to parse string as an integer\n"
            "  rejected: mood: Field required"
        ),
        (
            "LM fills Plan, 1:Plan/fill#2\n"
            "  instruction: Plan\n"
            "  source Ask:\n"
            "    question: Where to?\n"
            "  inputs:\n"
            "    sky: rain\n"
            "  fields:\n"
            "    days: integer, minimum 1: how long\n"
            '    mood: "calm" | "rushed"\n'
            "    tags: list of string, optional\n"
            "  rejected answer 1:\n"
            "    - days: Input should be a valid integer, unable to parse string as an integer\n"
            "    - mood: Field required\n"
            "  answer (wrong, 1,000 + 500 tokens, *):\n"
            "    days: 2\n"
            "    mood: calm\n"
            "    tags:\n"
            "      - \\x1b[31m"
        ),
    ]


def test_verbose_says_how_a_call_failed_and_that_an_lm_tells_no_prompt(weft, write):
    write(
        "m.py",
        """
        class Foreign:
            async def choose_type(self, types, context): ...
            async def fill(self, target, resolved, instruction, source=None):
                raise ConnectionError("no net \\x1b[31m")
            async def make(self, node, target): ...
            async def decide(self, node): ...

        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            text: str

        graph = Graph(start=Ask, lm=Foreign())
        """,
    )

    done = weft("run", "m", "-v")

    assert done.code == 1
    assert done.timeless.startswith(
        "LM fills Answer, 1:Answer/fill\n"
        "  prompt: this LM does not tell it\n"
        "  failed after *: ConnectionError: no net \\x1b[31m\n"
        "\n"
        "Ask     *\n"
    )


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_prints_the_answer_alone(weft, trip, option):
    done = weft("run", "trip", "--set", "question=Where to?", option)

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Plan\n"
        '  weather: "rain in Oslo"\n'
        '  tone: {"ask": {"question": "Where to?", "days": 3}, "sky": "rain in Oslo", "mood": "mood!"}\n'
        "  text: text!\n"
    )


def test_quiet_still_tells_errors(weft, write):
    write("m.py", "class Ask(Node):\n    async def __call__(self) -> None:\n        raise ValueError('no')\n")

    done = weft("run", "m:Ask", "--quiet")

    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: Ask: raised ValueError: no. --traceback shows where.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-q", "-v"], "--quiet and --verbose exclude each other."),
        (["--verbose", "--json"], "--verbose and --json exclude each other."),
        (["--json", "-q", "-v"], "--quiet and --verbose and --json exclude each other."),
    ],
)
def test_only_one_of_quiet_verbose_and_json_is_possible(weft, trip, options, said):
    done = weft("run", "trip", "--set", "question=x", *options)

    assert (done.code, done.err) == (2, f"Error: {said} Give one of them.\n")
    if "--json" in options:
        assert json.loads(done.out)["error"]["type"] == "UsageError"


def test_verbose_shows_what_is_to_be_written_with_the_choice(weft, write):
    write(
        "m.py",
        """
        class Ask(Node):
            sky: Annotated[str, Dep(lambda: "rain")]
            async def __call__(self) -> "Plan | Refusal | None": ...

        class Plan(Node):
            asked: Annotated[Ask, Recall()]
            days: int = Field(ge=1, description="how long")

        class Refusal(Node):
            reason: str = Field(description="why not")

        graph = Graph(start=Ask, lm="offline", routing="one-call")
        """,
    )
    done = weft("run", "m", "--verbose")

    call = done.timeless.partition("\n\n")[0]
    assert done.code == 0
    assert "LM decides after Ask, 0:Ask/route\n" in call
    assert "    Plan:\n      asked:\n        sky: rain\n" in call
    assert "        days: integer, minimum 1: how long\n" in call
    assert "        reason: string: why not\n" in call
    assert "    None:\n      instruction: Stop here" in call
    assert "  answer (offline, *):\n    decision:\n      choice: Plan\n" in call
