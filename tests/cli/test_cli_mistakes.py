"""Every mistake in using `weft run` gets one clear line on standard error, and the exit code 2."""

from __future__ import annotations

import pytest

HOW = """Write --input '{"field": "value"}', --input @file.json, or --input - for standard input."""

FIELDS = """
from datetime import date
from decimal import Decimal
from typing import Literal

class Inner(BaseModel):
    n: int
    name: str = ""
    more: dict[str, float] = {}

class Ask(Node):
    text: str
    number: int = 0
    inner: Inner | None = None
    both: int | str = 0
    perhaps: str | None = "d"
    names: list[str] = []
    day: date | None = None
    amount: Decimal = Decimal(0)
    yes: bool = False
    which: Literal["1", "2"] = "1"
    anything: Any = None
    other: str = Field("", alias="otherName")
"""


@pytest.fixture
def fields(write):
    return write("m.py", FIELDS)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nope"], "no module is called 'nope'. Name one that can be imported from here, or a file: path/to/file.py."),
        (["trap"], "no module is called 'trap'. Did you mean trip.py?"),
        (["trip.pyy"], "no module is called 'trip.pyy'. Did you mean trip.py?"),
        (["trip.x"], "no module is called 'trip.x'. Did you mean trip:x?"),
        (["nope.py"], "nope.py: there is no such file. Give the path of a Python file: path/to/file.py."),
        (["./"], "./: this is a folder. Give the path of a Python file: path/to/file.py."),
        (["./text.txt"], "./text.txt: not a Python file. Its name must end in .py."),
        (
            ["my graph"],
            (
                "my graph: neither a module's name nor a file's path. Name one that can be imported from here, or a "
                "file: path/to/file.py."
            ),
        ),
        (["trip:"], "nothing follows the colon of trip:. Write trip:graph, or trip alone."),
        (["trip:grahp"], "trip: it has no attribute 'grahp'. Did you mean trip:graph?"),
        (
            ["trip.py:zzz"],
            "trip.py: it has no attribute 'zzz'. Name one of these: Ask, Tone, Plan, Refusal, graph.",
        ),
        (
            ["trip:get_place"],
            (
                "trip:get_place: this is a function, neither a Graph nor a Node class. Name one of these: Ask, Tone, "
                "Plan, Refusal, graph."
            ),
        ),
        (["trip:Fixed"], None),
        (["trip"], "Ask.question: missing. Add --set question=VALUE (str)."),
        (
            ["trip", "--set", "question=x", "--set", "days"],
            "--set: 'days' does not say field=value. Write --set field=value.",
        ),
        (
            ["trip", "--set", "question=x", "--set", "=5"],
            "--set: '=5' does not say field=value. Write --set field=value.",
        ),
        (
            ["trip", "--set", "question=x", "--set", "dais=3"],
            "--set dais: Ask has no field 'dais'. Did you mean 'days'?",
        ),
        (["trip", "--set", "question=x", "--set", "q.y=3"], "--set q.y: Ask has no field 'q'. It has: question, days."),
        (
            ["trip", "--set", "question=x", "--set", "days.y=3"],
            "--set days.y: int has no field 'y'. It has no fields.",
        ),
        (
            ["trip", "--set", "question=x", "--set", "days=soon"],
            'Ask.days: Input should be a valid integer, unable to parse string as an integer (given: "soon").',
        ),
        (
            ["trip", "--input", '{"question": "x", "dais": 3}'],
            "--input: Ask has no field 'dais'. Did you mean 'days'?",
        ),
        (
            ["trip", "--input", "[1]"],
            f"--input: the JSON must be an object with the start node's fields, not [1]. {HOW}",
        ),
        (
            ["trip", "--input", "null"],
            f"--input: the JSON must be an object with the start node's fields, not null. {HOW}",
        ),
        (
            ["trip", "--input", "{'question': 1}"],
            (
                "--input: this is not JSON: \"{'question': 1}\" (Expecting property name enclosed in double quotes: "
                f"line 1 column 2 (char 1)). {HOW}"
            ),
        ),
        (["trip", "--input", ""], f"--input: there is nothing. {HOW}"),
        (
            ["trip", "--input", "@nope.json"],
            "--input: @nope.json cannot be read: No such file or directory. Name a file with JSON after the @.",
        ),
        (["trip", "--input", "@."], "--input: @. cannot be read: Is a directory. Name a file with JSON after the @."),
        (["trip", "--input", "@latin.json"], "--input: @latin.json is not UTF-8 text. Save it as UTF-8."),
        (["trip", "--set", "question=\udcff"], None),
        (["trip", "--max-steps", "0"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(weft, trip, write, arguments, line):
    write("text.txt", "words")
    (trip.parent / "latin.json").write_bytes(b'{"question": "\xe9"}')

    done = weft("run", *arguments)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    if line is not None:
        assert done.err == f"Error: {line}\n"


def test_several_mistakes_get_a_line_each(weft, trip):
    done = weft("run", "trip", "--set", "days=soon", "--set", "x=1", "--input", '{"y": 2}', "--lm", "ofline")

    assert (done.code, done.out) == (2, "")
    assert [line.split(". ")[0] for line in done.err.splitlines()] == [
        "Error: --lm: no LM is called 'ofline'",
        "Error: --input: Ask has no field 'y'",
        "Error: --set x: Ask has no field 'x'",
        "Error: Ask.question: missing",
        'Error: Ask.days: Input should be a valid integer, unable to parse string as an integer (given: "soon").',
    ]


def test_an_unknown_lm_is_found_before_anything_runs(weft, trip):
    done = weft("run", "trip", "--set", "question=x", "--lm", "ofline")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: --lm: no LM is called 'ofline'. Did you mean 'offline'?")
    assert done.err.count("\n") == 1


def test_an_unknown_lm_is_answered_with_what_can_be_done_there(weft, trip):
    done = weft("run", "trip", "--set", "question=x", "--lm", "zzz")

    assert done.err == (
        "Error: --lm: no LM is called 'zzz'. Use 'offline' or a model's name as 'anthropic:claude-sonnet-5-5'; an LM "
        "of your own goes into the file: Graph(..., lm=YourLM()).\n"
    )


NO_LM = """
    class Tone(Node):
        mood: str

    class Ask(Node):
        async def __call__(self) -> "Answer": ...

    class Answer(Node):
        tone: Annotated[Tone, Dep()]

    class Words(Node):
        text: str

    class Question(Node):
        async def __call__(self) -> Words: ...
"""


@pytest.mark.parametrize(("start", "node"), [("Ask", "Tone"), ("Question", "Words")])
def test_no_lm_at_all_is_wrong_usage_and_not_a_failed_run(weft, write, start, node):
    write("m.py", NO_LM)

    done = weft("run", f"m:{start}")

    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"Error: {node} needs an LM, and none is named. Add --lm NAME (--lm offline needs no key), or set WEFT_LM.\n"
    )


def test_no_lm_at_all_is_no_mistake_where_none_is_asked(weft, write):
    write("m.py", NO_LM)

    assert weft("run", "m:Words", "--set", "text=x").code == 0


def test_a_mistake_in_the_environment_is_wrong_usage_too(weft, trip, monkeypatch, write):
    write("m.py", NO_LM)
    monkeypatch.setenv("WEFT_LM", "ofline")

    done = weft("run", "m:Question")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: 1:Words/fill: no LM is called 'ofline'. Did you mean 'offline'?")


def test_a_wrong_command_line_is_told_in_one_line(weft):
    assert weft("run").err == "Error: Missing argument 'MODULE'. See: weft run --help\n"
    assert weft("runn").err == "Error: No such command 'runn'. Did you mean 'run'? See: weft --help\n"
    assert weft("explore", "trip.py").err == (
        "Error: No such command 'explore'. Did you mean: weft graph explore? See: weft --help\n"
    )
    assert weft("graph", "export", "trip.py").err == (
        "Error: Missing option '--output' / '-o'. Add -o graph.svg. See: weft graph export --help\n"
    )
    assert weft("graph").err == "Error: Missing command. See: weft graph --help\n"
    assert weft("run", "m", "--foo").err == "Error: No such option: --foo. See: weft run --help\n"
    assert weft("run", "m", "--max-steps", "many").code == 2
    assert weft("run", "m", "days=3").err == (
        "Error: Got unexpected extra argument(s) (days=3). Write --set field=value for a field. See: weft run --help\n"
    )


def test_no_arguments_show_the_help(weft):
    done = weft()

    assert (done.code, done.err) == (2, "")
    assert "Usage: weft" in done.out


def test_the_version_is_shown(weft):
    done = weft("--version")

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("weft 0.")


# --- Values


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("text", "5", '"5"'),
        ("text", "null", '"null"'),
        ("text", '"quoted"', '"\\"quoted\\""'),
        ("text", '{"a": 1}', '"{\\"a\\": 1}"'),
        ("text", "a=b", '"a=b"'),
        ("text", "", '""'),
        ("number", "5", "5"),
        ("number", "5.0", "5"),
        ("both", "5", "5"),
        ("both", "five", '"five"'),
        ("perhaps", "null", "null"),
        ("perhaps", "5", '"5"'),
        ("names", '["a", "b"]', '["a", "b"]'),
        ("day", "2025-10-14", '"2025-10-14"'),
        ("day", '"2025-10-14"', '"2025-10-14"'),
        ("day", "null", "null"),
        ("amount", "0.12345678901234567890123", '"0.12345678901234567890123"'),
        ("yes", "true", "true"),
        ("yes", "no", "false"),
        ("which", "2", '"2"'),
        ("anything", "[1]", "[1]"),
        ("anything", "word", '"word"'),
        ("inner.n", "7", '{"n": 7, "name": "", "more": {}}'),
        ("inner", '{"n": 7, "name": "x"}', '{"n": 7, "name": "x", "more": {}}'),
        ("anything.deep.er", "1", '{"deep": {"er": 1}}'),
    ],
)
def test_a_value_is_json_where_the_field_wants_it_and_text_elsewhere(weft, write, name, text, shown):
    field = name.partition(".")[0]
    tail = f"""
    class Shown(Node):
        asked: Annotated[Ask, Recall()]

    class Start(Ask):
        async def __call__(self) -> None:
            print(self.model_dump_json(include={{"{field}"}}))
    """
    write("m.py", FIELDS + "\n".join(line[4:] for line in tail.split("\n")))
    rest = [] if field == "text" else ["--set", "text=x"]

    done = weft("run", "m:Start", *rest, "--set", f"{name}={text}")

    assert done.err == ""
    value = done.out.split("\n")[0].partition(":")[2].removesuffix("}")
    assert value.replace(" ", "") == shown.replace(" ", "")


def test_dotted_names_reach_into_models_and_set_wins_over_input(weft, fields):
    given = '{"text": "from input", "number": 1, "inner": {"n": 1, "name": "kept"}}'

    done = weft(
        "run", "m:Ask", "--input", given, "--set", "number=2", "--set", "inner.n=5", "--set", "inner.more.x=0.5"
    )

    assert (done.code, done.err) == (0, "")
    assert (
        "  text: from input\n  number: 2\n  inner:\n    n: 5\n    name: kept\n    more:\n      x: 0.5\n"
    ) in done.out


def test_mistakes_inside_a_model_are_placed(weft, fields):
    done = weft("run", "m:Ask", "--set", "inner.nam=x")

    assert done.err.splitlines() == [
        "Error: --set inner.nam: Inner | None has no field 'nam'. Did you mean 'name'?",
        "Error: Ask.text: missing. Add --set text=VALUE (str).",
    ]


def test_a_text_that_looks_like_a_number_is_judged_as_text(weft, write):
    write("m.py", "class Ask(Node):\n    code: str = Field(max_length=1)\n")

    assert weft("run", "m:Ask", "--set", "code=12").err == (
        'Error: Ask.code: String should have at most 1 character (given: "12").\n'
    )


PETS = """
from typing import Literal

class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int

class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: int

class Ask(Node):
    pet: Cat | Dog = Field(discriminator="kind")
"""


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            [],
            (
                "Ask.pet: missing. "
                "Add --set pet.FIELD=VALUE for each of its fields (kind, lives, tricks), or --input JSON."
            ),
        ),
        (["pet.kind=dog"], "Ask.pet.tricks: missing. Add --set pet.tricks=VALUE (int)."),
        (['pet={"kind": "dog"}'], "Ask.pet.tricks: missing. Add --set pet.tricks=VALUE (int)."),
    ],
)
def test_what_a_union_told_apart_by_a_tag_misses_is_named_as_set_takes_it(weft, write, settings, line):
    write("m.py", PETS)

    assert weft("run", "m:Ask", *(word for each in settings for word in ("--set", each))).err == f"Error: {line}\n"


def test_hints_show_the_choices_and_how_a_list_is_written(weft, write):
    write(
        "m.py",
        """
        from typing import Literal

        class Ask(Node):
            level: Literal["low", "high"]
            sizes: list[bool]
        """,
    )

    missing, wrong = weft("run", "m:Ask", "--set", "sizes=1").err.splitlines()
    assert missing == "Error: Ask.level: missing. Add --set level=VALUE (low | high)."
    assert wrong.startswith(
        "Error: Ask.sizes: Input should be a valid array (given: 1). Write it as JSON: --set sizes="
    )


def test_a_missing_model_says_how_to_give_its_fields(weft, write):
    write("m.py", "class User(BaseModel):\n    name: str\n    age: int\nclass Ask(Node):\n    user: User\n")

    assert weft("run", "m:Ask").err == (
        "Error: Ask.user: missing. Add --set user.FIELD=VALUE for each of its fields (name, age), or --input JSON.\n"
    )
    assert weft("run", "m:Ask", "--set", "user.name=Ada").err == (
        "Error: Ask.user.age: missing. Add --set user.age=VALUE (int).\n"
    )


def test_a_field_answers_to_its_name_and_to_its_alias(weft, fields):
    by_name = weft("run", "m:Ask", "--set", "text=x", "--set", "other=y")
    by_alias = weft("run", "m:Ask", "--input", '{"text": "x", "otherName": "y"}')

    assert by_name.code == by_alias.code == 0
    assert by_name.out.split("\n")[-4] == by_alias.out.split("\n")[-4]


def test_a_node_that_takes_anything_has_no_unknown_fields(weft, write):
    write("m.py", "class Ask(Node):\n    model_config = {'extra': 'allow'}\n")

    assert weft("run", "m:Ask", "--set", "what=ever", "--input", '{"else": 1}').code == 0


def test_a_value_for_a_dependency_wins_and_it_does_not_run(weft, write):
    write("m.py", "def get() -> int:\n    raise OSError\nclass Ask(Node):\n    x: Annotated[int, Dep(get)]\n")

    assert weft("run", "m:Ask", "--set", "x=5").code == 0


def test_a_module_that_runs_its_graph_wrongly_is_told_by_the_line_in_it(weft, write):
    path = write("m.py", "class Ask(Node):\n    text: str\nGraph(start=Ask).run(Ask())\n", head="from weft import *\n")
    said = f"importing it raised ValidationError: Ask.text: Field required, at {path}:4"

    assert weft("run", "m").err == f"Error: m: {said}. --traceback shows more.\n"


def test_a_validator_of_the_users_that_breaks_is_told_in_one_line(weft, write):
    write(
        "m.py",
        """
        from pydantic import field_validator

        class Ask(Node):
            x: int

            @field_validator("x")
            @classmethod
            def broken(cls, value):
                return {}[value]
        """,
    )

    done = weft("run", "m:Ask", "--set", "x=5")

    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: Ask: making it raised KeyError: 5. --traceback shows where.\n"


def test_a_file_may_begin_with_a_byte_order_mark(weft, trip):
    (trip.parent / "in.json").write_bytes(b'\xef\xbb\xbf{"question": "x"}')

    assert weft("run", "trip", "--input", "@in.json").code == 0


def test_the_traceback_of_a_mistake_is_shown_when_asked_for(weft, trip):
    done = weft("run", "trip", "--input", "{", "--traceback")

    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "JSONDecodeError" in done.err
    assert done.err.splitlines()[-1].startswith("Error: --input: this is not JSON")
