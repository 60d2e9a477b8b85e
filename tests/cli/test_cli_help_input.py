"""`weft run MODULE --help-input`: the start node's fields, and command lines to paste."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TRIP = """
from enum import Enum
from decimal import Decimal
from typing import Literal
from pathlib import Path
from pydantic import SecretStr, model_validator

class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"

class Address(BaseModel):
    street: str = Field(max_length=30)
    code: int = Field(alias="zipCode", gt=999)
    note: str = ""

class Trip(Node):
    title: str = Field(description="[red]What[/red] it is \\x1b[31mcalled", min_length=1)
    mood: Literal["calm", "wild"] | None
    speed: Speed = Speed.FAST
    price: Decimal = Field(gt=0, description="Per person")
    tags: list[Annotated[str, Field(max_length=5)]] = Field(max_length=1)
    home: Address
    token: SecretStr = SecretStr("hidden")
    several: list[int] = Field(default_factory=list)
    weather: str = Dep(lambda: "rain")

    async def __call__(self) -> None:
        Path("it-ran").touch()
"""


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes Rich take standard output for a terminal without colours."""

    def of_width(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")

    return of_width


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n"))


def test_each_field_is_told_with_its_type_default_limits_and_description(weft, write):
    write("m.py", TRIP)

    done = weft("run", "m:Trip", "--help-input")
    told, _, examples = done.out.partition("\n\nFor example")

    assert (done.code, done.err) == (0, "")
    assert told == (
        "Trip: the fields that a run starts with.\n"
        "\n"
        "  title          str                 required              at least 1 character."
        r" [red]What[/red] it is \x1b[31mcalled"
        "\n"
        "  mood           calm | wild | None  required\n"
        '  speed          slow | fast         default "fast"\n'
        "  price          Decimal             required              > 0. Per person\n"
        "  tags           list[str]           required              at most 1 item, each at most 5 characters\n"
        "  home           Address             required\n"
        "    home.street  str                 required              at most 30 characters\n"
        "    home.code    int                 required              > 999\n"
        '    home.note    str                 default ""\n'
        '  token          SecretStr           default "**********"\n'
        "  several        list[int]           default []"
    )
    assert examples
    assert not Path("it-ran").exists()


def test_the_examples_can_be_pasted(weft, write):
    write("m.py", TRIP)
    examples = [line.strip() for line in weft("run", "m:Trip", "--help-input").out.split("\n") if "weft run" in line]

    codes = [weft(*shlex.split(line)[1:]).code for line in examples[:2]]
    piped = examples[2].replace("weft run", f"{shlex.quote(sys.executable)} -m weft run")
    done = subprocess.run(["/bin/sh", "-c", piped], capture_output=True, check=False)

    assert [line.split("'")[0] for line in examples] == [
        "weft run m:Trip --set title=",
        "weft run m:Trip --input ",
        "echo ",
    ]
    assert "--set home.code=" in examples[0]
    assert '"zipCode": ' in examples[1]
    assert codes == [0, 0]
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_narrow_terminal_gets_one_field_below_the_other(weft, write, terminal):
    write("m.py", TRIP)
    terminal(40)

    told, _, _ = plain(weft("run", "m:Trip", "--help-input").out).partition("\n\nFor example")

    assert (
        "  price: Decimal, required\n"
        "    > 0. Per person\n"
        "  tags: list[str], required\n"
        "    at most 1 item, each at most 5\n"
        "    characters\n"
        "  home: Address, required\n"
        "    home.street: str, required\n"
        "      at most 30 characters\n"
    ) in told
    assert max(map(len, told.split("\n"))) <= 40


def test_a_wide_terminal_gets_a_table_whose_last_column_is_folded(weft, write, terminal):
    write("m.py", f"class Ask(Node):\n    text: str = Field(description='{'word ' * 20}end')\n    number: int = 3\n")
    terminal(80)

    told, _, _ = plain(weft("run", "m:Ask", "--help-input").out).partition("\n\nFor example")
    lines = told.split("\n")[2:]

    assert lines[0].startswith("  text    str  required   word word word")
    assert lines[1].startswith("                          word")
    assert lines[-1] == "  number  int  default 3"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("", "Ask has no fields to fill: weft run m:Ask"),
        ("x: int = 3", "  weft run m:Ask --set x="),
        ("x: Any = None", "  x  Any  default null"),
        ("x: 'list[Ask] | None' = None", "  x  list[Ask] | None  default null"),
        (
            "model_config = {'arbitrary_types_allowed': True}\n    x: asyncio.Event",
            "Give each field that is required: weft run m:Ask --set FIELD=VALUE",
        ),
        (
            "x: int\n    @model_validator(mode='after')\n    def never(self): raise ValueError('no')",
            "Give each field that is required: weft run m:Ask --set FIELD=VALUE",
        ),
    ],
)
def test_whatever_the_fields_are_something_true_is_told(weft, write, fields, told):
    write("m.py", f"from pydantic import model_validator\nclass Ask(Node):\n    {fields or 'pass'}\n")

    done = weft("run", "m:Ask", "--help-input")

    assert (done.code, done.err) == (0, "")
    assert told in done.out


def test_a_module_that_is_not_there_is_told_as_ever(weft):
    done = weft("run", "nope.py", "--help-input")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: nope.py: there is no such file.")
