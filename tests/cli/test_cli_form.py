"""`weft run` in a terminal asks for the fields that are missing: a form, filled in by a typist."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pexpect
import pytest
from commands import SOURCE

TRIP = """
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Literal
from pydantic import SecretStr, field_validator, model_validator

class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"

class Address(BaseModel):
    street: str = Field(max_length=30)
    code: int = Field(alias="zipCode", ge=1000, le=9999)
    note: str = ""

class Ended(Node):
    async def __call__(self) -> None:
        Path("it-ran").touch()

class Start(Node):
    async def __call__(self) -> "type[Ended]":
        return Ended

class Words(Start):
    title: str = Field(description="[red]What[/red] it is \\x1b[31mcalled", max_length=20)
    nights: int = Field(ge=1)
    maximum: int = 5

    @field_validator("title")
    @classmethod
    def capitals(cls, title: str) -> str:
        if not title[:1].isupper():
            raise ValueError("it begins with a capital")
        return title

class Choices(Start):
    mood: Literal["calm", "wild"]
    speed: Speed
    insured: bool
    stars: Literal[3, 4, 5]
    kind: Literal["only"]

class Models(Start):
    home: Address
    other: Address | None
    third: Address | None

class Lists(Start):
    tags: list[Annotated[str, Field(max_length=5)]] = Field(min_length=2, max_length=3)
    numbers: set[int]
    table: dict[str, int]

class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int

class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: int

class Pets(Start):
    pet: Cat | Dog = Field(discriminator="kind")

class Secret(Start):
    token: SecretStr = Field(min_length=4)

class Dates(Start):
    first: date
    last: date

    @model_validator(mode="after")
    def check(self):
        if self.last < self.first:
            raise ValueError("the last day must not be before the first")
        return self
"""


class Typist:
    """Somebody at a terminal, who waits for each prompt before typing."""

    # A dumb terminal gets text without escapes; Rich takes its size from the environment only.

    def __init__(self, *arguments: str, columns: int = 80) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "dumb", "LINES": "60", "COLUMNS": str(columns)}
        self.child = pexpect.spawn(
            arguments[0], list(arguments[1:]), env=environment, encoding="utf-8", timeout=30, dimensions=(60, columns)
        )
        self.child.delaybeforesend = None
        self.seen = ""

    def answers(self, *lines: str) -> str:
        """Type each line at a prompt, and return what is seen before the next prompt."""
        for line in lines:
            self.child.sendline(line)
            self.reads()
        return self.seen

    def reads(self) -> str:
        """Wait for a prompt, and return what is seen before it."""
        self.child.expect(r"\r?\n> ")
        self.seen = self.plain(self.child.before)
        return self.seen

    def leaves(self) -> int:
        """Wait for the end, and return the exit code."""
        self.child.expect(pexpect.EOF)
        self.seen = self.plain(self.child.before)
        self.child.close()
        assert self.child.exitstatus is not None
        return self.child.exitstatus

    def plain(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "")


@pytest.fixture
def at_a_terminal(write):
    write("m.py", TRIP)
    started: list[Typist] = []

    def start(*arguments: str, columns: int = 80) -> Typist:
        started.append(Typist(sys.executable, "-m", "weft", *arguments, columns=columns))
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


def test_a_union_told_apart_by_a_tag_is_judged_as_the_member_that_is_named(at_a_terminal):
    typist = at_a_terminal("run", "m:Pets")
    typist.reads()
    assert 'As JSON: {"kind": "' in typist.seen

    refused = typist.answers('{"kind":"dog"}')

    assert "tricks: Field required" in refused
    assert "lives" not in refused
    typist.child.sendline('{"kind":"dog","tricks":3}')
    assert typist.leaves() == 0


def has_run() -> bool:
    return Path("it-ran").exists()


def test_each_missing_field_is_asked_for_until_its_answer_will_do(at_a_terminal):
    typist = at_a_terminal("run", "m:Words")

    begun = typist.reads()
    too_small = typist.answers("Fjords", "0")
    no_number = typist.answers("three")
    typist.child.sendline("3")
    code = typist.leaves()

    assert begun == (
        "Words needs title, nights. Ctrl-C leaves, and nothing runs.\n"
        "\n"
        "title  str, at most 20 characters\n"
        r"[red]What[/red] it is \x1b[31mcalled"
    )
    assert too_small == "0\nInput should be greater than or equal to 1."
    assert "unable to parse" in no_number
    assert code == 0
    assert "maximum" not in begun + too_small + no_number
    assert has_run()


def test_the_field_s_own_validator_is_heard_at_once_and_nothing_is_no_answer(at_a_terminal):
    typist = at_a_terminal("run", "m:Words", "--set", "nights=2")
    typist.reads()

    assert typist.answers("fjords") == "fjords\nit begins with a capital."
    assert typist.answers("") == "\nNothing was given. (--set title= gives the empty text.)"


def test_the_command_line_that_is_told_gives_the_same_without_asking(at_a_terminal, weft):
    typist = at_a_terminal("run", "m:Words", "--set", "maximum=7")
    typist.reads()
    typist.answers("It's [b]\\d $HOME")
    typist.child.sendline("3")
    code = typist.leaves()
    told = re.search(r"^The same without being asked:\n((?:.+\n)+)", typist.seen, re.MULTILINE)
    assert told is not None
    arguments = shlex.split(told[1].replace("\n", ""))

    done = weft(*arguments[1:])

    assert code == 0
    assert arguments[:5] == ["weft", "run", "m:Words", "--set", "maximum=7"]
    assert done.code == 0
    assert arguments[-3:] == ["title=It's [b]\\d $HOME", "--set", "nights=3"]


def test_choices_are_typed_by_number_or_by_value(at_a_terminal):
    typist = at_a_terminal("run", "m:Choices")

    mood = typist.reads()
    wrong = typist.answers("3")
    typist.answers("2", "fast", "yes")
    stars = typist.seen
    outside = typist.answers("1")
    typist.child.sendline("4")
    code = typist.leaves()

    assert mood.endswith("\nmood\n  1 calm\n  2 wild")
    assert wrong == "3\nInput should be 'calm' or 'wild'."
    assert stars.endswith("stars\n  3\n  4\n  5")  # numbers are values here, so they count nothing
    assert "Input should be 3, 4 or 5" in outside
    assert code == 0
    assert "--set mood=wild --set speed=fast --set insured=yes --set stars=4 --set kind=only" in typist.seen.replace(
        "\n", ""
    )


def test_models_are_filled_field_by_field_and_those_that_may_be_left_out_only_if_wanted(at_a_terminal):
    typist = at_a_terminal("run", "m:Models")

    typist.reads()
    street = typist.seen
    typist.answers("Main St 1", "12")
    refused = typist.seen
    offered = typist.answers("1234")
    inner = typist.answers("perhaps", "y")
    typist.answers("Side St 2", "5678")
    typist.child.sendline("")
    code = typist.leaves()

    assert street.endswith("\nhome.street  str, at most 30 characters")
    assert refused == "12\nInput should be greater than or equal to 1000."
    assert offered.endswith("\nother  Address | None\nFill it in? y or n; Enter for no.")
    assert inner.endswith("\nother.street  str, at most 30 characters")
    assert code == 0
    assert (
        "--set home.street='Main St 1' --set home.code=1234 --set other.street='Side St 2' --set other.code=5678"
        " --set third=null" in typist.seen.replace("\n", "")
    )
    assert "home.note" not in typist.seen


def test_lists_take_an_item_a_line_and_end_when_full_or_at_an_empty_line(at_a_terminal):
    typist = at_a_terminal("run", "m:Lists")

    begun = typist.reads()
    too_long = typist.answers("toolong")
    too_few = typist.answers("a", "")
    numbers = typist.answers("a", "b", "c")
    no_number = typist.answers("x")
    table = typist.answers("2", "1", "")
    typist.child.sendline('{"a": 1}')
    code = typist.leaves()

    assert begun.endswith(
        "tags  list[str], at least 2 items, at most 3 items, each at most 5 characters\nOne a line; an empty line ends."
    )
    assert too_long == "toolong\nString should have at most 5 characters."
    assert "at least 2 items" in too_few
    assert numbers.endswith("numbers  set[int], all different\nOne a line; an empty line ends.")
    assert "valid integer" in no_number
    assert re.search(r'\ntable  dict\[str, int\]\nAs JSON: {"1": \d+}$', table)
    assert code == 0
    assert """--set tags='["a", "b", "c"]' --set numbers='[2, 1]' --set table='{"a": 1}'""" in typist.seen.replace(
        "\n", ""
    )


def test_a_secret_is_neither_shown_nor_told(at_a_terminal):
    typist = at_a_terminal("run", "m:Secret")

    begun = typist.reads()
    refused = typist.answers("abc")
    typist.child.sendline("s3cret-word")
    code = typist.leaves()

    assert begun.endswith("It is not shown.")
    assert "abc" not in refused
    assert "at least 4" in refused
    assert code == 0
    assert "The same without being asked for anything but token:\nweft run m:Secret\n" in typist.seen
    assert "s3cret" not in typist.seen


def test_what_does_not_fit_together_is_corrected_by_name_or_number(at_a_terminal):
    typist = at_a_terminal("run", "m:Dates", "--set", "first=2025-05-10")

    typist.reads()
    wrong = typist.answers("2025-05-01")
    typist.answers("nothing", "1", "2025-05-02")
    again = typist.seen
    typist.answers("last")
    typist.child.sendline("2025-05-03")
    code = typist.leaves()

    assert wrong == (
        "2025-05-01\n"
        "\n"
        "Dates: the last day must not be before the first.\n"
        "   1 first = 2025-05-10\n"
        "   2 last = 2025-05-01\n"
        "Which is to change? Type its number or its name."
    )
    assert "   1 first = 2025-05-02\n" in again
    assert code == 0
    assert (
        "weft run m:Dates --set first=2025-05-10 --set last=2025-05-03 --set first=2025-05-02"
        in typist.seen.replace("\n", "")
    )
    assert has_run()


@pytest.mark.parametrize("leave", ["sendintr", "sendeof"])
def test_leaving_the_form_runs_nothing(at_a_terminal, leave):
    typist = at_a_terminal("run", "m:Words")
    typist.reads()

    getattr(typist.child, leave)()
    code = typist.leaves()

    assert code == 130
    assert "Interrupted.\n" in typist.seen
    assert not has_run()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["m:Words", "--json"], "Words.title: missing. Add --set title=VALUE (str)."),
        (["m:Words", "--set", "nights=0"], "Words.nights: Input should be greater than or equal to 1 (given: 0)."),
        (["m:Words", "--lm", "nobody"], "--lm: no LM is called 'nobody'."),
    ],
)
def test_nobody_is_asked_where_that_cannot_help(at_a_terminal, arguments, told):
    typist = at_a_terminal("run", *arguments, columns=200)

    assert typist.leaves() == 2
    assert told in typist.seen
    assert "Ctrl-C leaves" not in typist.seen
    assert not has_run()


@pytest.mark.parametrize(("given", "code"), [('{"title": "Fjords", "nights": 2}', 0), ('{"title": "Fjords"}', 2)])
def test_input_from_a_pipe_is_read_and_nobody_is_asked(at_a_terminal, given, code):
    weft = f"{shlex.quote(sys.executable)} -m weft run m:Words --input -"
    typist = Typist("/bin/sh", "-c", f"echo {shlex.quote(given)} | {weft}")

    assert typist.leaves() == code
    assert ("Words.nights: missing. Add --set nights=VALUE (int)." in typist.seen) == (code == 2)
    assert has_run() == (code == 0)


def test_on_a_narrow_terminal_nothing_is_lost(at_a_terminal):
    typist = at_a_terminal("run", "m:Lists", columns=30)

    begun = typist.reads()

    assert all(len(line) <= 30 for line in begun.split("\n"))
    assert "at least 2 items, at most 3 items, each at most 5 characters" in " ".join(begun.split())
