"""`weft run` on a terminal: the tree that grows while the run goes on, looked at through a terminal emulator.

The steps of the runs are held open by files that a test makes when it has seen what it waits for.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import HEAD, start_process

HELD = (
    HEAD
    + """
from pathlib import Path

async def held(name):
    while not Path(name).exists():
        await asyncio.sleep(0.01)

class Held(BaseLM):
    async def generate(self, request, on_partial=None):
        if on_partial is not None:
            on_partial({name: f"{name} so far" for name in request.schema["properties"]})
        await held(request.place.replace("/", ".").replace(":", "-"))
        if request.kind == "choose":
            return LMResponse({"choice": request.options[0].name}, model="held")
        return LMResponse({name: f"{name}!" for name in request.schema["properties"]}, model="held")
"""
)

PLAN = """
async def get_place() -> str:
    await held("place")
    return "Oslo"

async def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    await held("weather")
    return f"rain in {place}"

tries = []

async def get_news() -> str:
    tries.append(1)
    await held(f"news{len(tries)}")
    if len(tries) == 1:
        raise OSError("no net")
    return "none"

class Ask(Node):
    async def __call__(self) -> "Plan | Refusal": ...

class Plan(Node):
    weather: Annotated[str, Dep(get_weather)]
    news: Annotated[str, Dep(get_news, retries=1)]
    text: str

class Refusal(Node):
    reason: str

graph = Graph(start=Ask, lm=Held())
"""


def go_on(*names: str) -> None:
    """Let the steps held by *names* go on."""
    for name in names:
        Path(name).touch()


PLANNING = (
    "✓ Ask   *",
    "└── ✓ LM chooses Plan  *, held",
    "~ Plan  *",
    "├── · weather: get_weather  waits for place",
    "│   └── ~ place: get_place  *",
    "├── ~ news: get_news        *",
    "└── · LM fills Plan         waits for weather, news",
)


def test_the_tree_shows_what_goes_on_what_waits_and_what_is_tried_again(terminal, write):
    write("m.py", PLAN, head=HELD)
    screen = terminal("run", "m")

    screen.see(
        "~ Ask  *",
        "└── ~ LM chooses among Plan | Refusal  *",
        "    └── choice: choice so far",
    )
    go_on("0-Ask.route")
    screen.see(*PLANNING)
    go_on("news1", "place")
    screen.see(
        "✓ Ask   *",
        "└── ✓ LM chooses Plan  *, held",
        "~ Plan  *",
        "├── ~ weather: get_weather  *",
        "│   └── ✓ place: get_place  *",
        "├── ✗ news: get_news        failed after *, OSError: no net",
        "├── ~ news: get_news        *, attempt 2",
        "└── · LM fills Plan         waits for weather, news",
    )
    go_on("weather", "news2")
    screen.see(
        "✓ Ask   *",
        "└── ✓ LM chooses Plan  *, held",
        "~ Plan  *",
        "├── ✓ weather: get_weather  *",
        "│   └── ✓ place: get_place  *",
        "├── ✗ news: get_news        failed after *, OSError: no net",
        "├── ✓ news: get_news        *, attempt 2",
        "└── ~ LM fills Plan         *",
        "    └── text: text so far",
    )
    go_on("1-Plan.fill")

    assert screen.end() == 0
    assert sorted(screen.shown.split("\n")[3:7]) == [
        "│   └── ✓ place: get_place  *",
        "├── ✓ news: get_news        *, attempt 2",
        "├── ✓ weather: get_weather  *",
        "├── ✗ news: get_news        failed after *, OSError: no net",
    ]
    assert screen.shown.split("\n")[7:] == [
        "└── ✓ LM fills Plan         *, held",
        "Plan",
        '  weather: "rain in Oslo"',
        '  news: "none"',
        "  text: text!",
        "Ask → Plan",
        "* of work in *: 2 nodes, 2 LM requests.",
    ]


def test_a_failure_is_shown_in_place_and_what_it_cancels_too(terminal, write):
    write(
        "m.py",
        """
        async def wait() -> int:
            await held("never")

        async def fail() -> int:
            await held("fail")
            raise OSError("no net")

        def after(one: Annotated[int, Dep(wait)]) -> int: ...

        class Ask(Node):
            left: Annotated[int, Dep(after)]
            right: Annotated[int, Dep(fail)]
        """,
        head=HELD,
    )
    screen = terminal("run", "m:Ask")

    screen.see("~ Ask  *", "├── · left: after  waits for one", "│   └── ~ one: wait  *", "└── ~ right: fail  *")
    go_on("fail")

    assert screen.end() == 1
    assert screen.shown.split("\n")[:5] == [
        "✗ Ask  failed after *",
        "├── - left/one: wait  cancelled after *",
        "└── ✗ right: fail     failed after *, OSError: no net",
        "Ask",
        "Failed after * of work in *: 1 node, 0 LM requests.",
    ]
    assert screen.lines[5].startswith("Error: Ask.right → fail: raised OSError: no net.")


def test_an_interrupted_run_leaves_the_tree_with_what_was_cancelled(terminal, write):
    write("m.py", PLAN, head=HELD)
    screen = terminal("run", "m")
    go_on("0-Ask.route")
    screen.see(*PLANNING)

    screen.process.sendintr()

    assert screen.end() == 130
    assert screen.shown.split("\n") == [
        "✓ Ask   *",
        "└── ✓ LM chooses Plan  *, held",
        "- Plan  cancelled after *",
        "├── - weather/place: get_place  cancelled after *",
        "└── - news: get_news            cancelled after *",
        "Ask → Plan",
        "Cancelled after * of work in *: 2 nodes, 1 LM request.",
        "Interrupted.",
    ]


def test_a_call_that_waits_for_its_place_is_shown_as_waiting(terminal, write):
    write(
        "m.py",
        """
        class Left(Node):
            text: str

        class Right(Node):
            text: str

        class Both(Node):
            left: Annotated[Left, Dep()]
            right: Annotated[Right, Dep()]

        graph = Graph(start=Both, lm=Held(), max_concurrency=1)
        """,
        head=HELD,
    )
    screen = terminal("run", "m")

    screen.see(
        "~ Both  *",
        "├── ~ left: Left    *",
        "│   └── ~ LM fills Left  *",
        "│       └── text: text so far",
        "└── ~ right: Right  *",
        "    └── · LM fills Right  waits for its turn",
    )
    go_on("0-Both.left.fill", "0-Both.right.fill")

    assert screen.end() == 0
    assert re.search(r"LM fills Right  \* *, waited \*, held", screen.shown)


def test_a_rejected_answer_says_so_in_place(terminal, write):
    write(
        "m.py",
        """
        class Wrong(BaseLM):
            async def generate(self, request, on_partial=None):
                if request.rejected:
                    await held("second")
                return LMResponse({"number": 5 if request.rejected else "five"}, model="wrong")

        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            number: int

        graph = Graph(start=Ask, lm=Wrong())
        """,
        head=HELD,
    )
    screen = terminal("run", "m")

    screen.see(
        "✓ Ask     *",
        "~ Answer  *",
        "├── ✗ LM fills Answer  rejected: number: Input should be a valid integer, unabl…",
        "└── ~ LM fills Answer  *, attempt 2",
    )
    go_on("second")

    assert screen.end() == 0


def test_a_graph_run_inside_and_what_it_shares_are_shown_where_they_are(terminal, write):
    write(
        "m.py",
        """
        async def open_library() -> str:
            await held("library")
            return "books"

        class Start(Node):
            async def __call__(self) -> "Inner": ...

        class Inner(Node):
            books: Annotated[str, Dep(open_library)]
            text: str

        inner = Graph(start=Start)

        async def ask() -> str:
            return (await inner.arun(Start())).result.text

        class Outer(Node):
            said: Annotated[str, Dep(ask)]
            books: Annotated[str, Dep(open_library)]

        graph = Graph(start=Outer, lm=Held())
        """,
        head=HELD,
    )
    screen = terminal("run", "m:graph")
    inside = ("~ Outer  *", "├── ~ said: ask            *", "│   └── ~ graph from Start  *", "│       ├── ✓ Start  *")

    screen.see(*inside, "│       └── ~ Inner  *", "└── ~ books: open_library  *")
    go_on("library")
    screen.see(
        *inside,
        "│       └── ~ Inner  *",
        "│           └── ~ LM fills Inner  *",
        "│               └── text: text so far",
        "└── ✓ books: open_library  *",
    )
    go_on("0-Outer.said.run.1-Inner.fill")

    assert screen.end() == 0


# --- What is printed meanwhile


def test_what_is_printed_and_logged_meanwhile_stands_above_the_tree_unharmed(terminal, write):
    write(
        "m.py",
        """
        import logging
        import sys
        import warnings

        logging.basicConfig(level=logging.INFO, format="%(message)s")

        async def say() -> int:
            print("printed", end=" ")
            print("in pieces, [red]not markup[/red]")
            print("an error line", file=sys.stderr)
            logging.getLogger("mine").info("logged by the user's own")
            logging.getLogger("weft").warning("weft warns of \\x1b[31m")
            await held("say")
            print("printed later")
            return 1

        class Ask(Node):
            x: Annotated[int, Dep(say)]
        """,
        head=HELD,
    )
    screen = terminal("run", "m:Ask")
    said = (
        "printed in pieces, [red]not markup[/red]",
        "an error line",
        "logged by the user's own",
        "Warning: weft warns of \\x1b[31m",
        "weft warns of",  # by the user's own handler, which does what it likes
    )

    screen.see(*said, "~ Ask  *", "└── ~ x: say  *")
    go_on("say")

    assert screen.end() == 0
    assert screen.shown.split("\n")[len(said) :] == [
        "printed later",
        "✓ Ask  *",
        "└── ✓ x: say  *",
        "Ask",
        "  x: 1",
        "Ask",
        "* of work in *: 1 node, 0 LM requests.",
    ]


def test_the_clock_runs_while_a_function_holds_the_event_loop(terminal, write):
    write(
        "m.py",
        """
        import time

        def block() -> int:
            while not Path("block").exists():
                time.sleep(0.01)
            return 1

        class Ask(Node):
            x: Annotated[int, Dep(block)]
        """,
        head=HELD,
    )
    screen = terminal("run", "m:Ask")
    seen = set()

    def has_seen_two_times() -> bool:
        seen.update(re.findall(r"x: block  (\d\.\d s)", "\n".join(screen.lines)))
        return len(seen) > 1

    screen.wait(has_seen_two_times)
    go_on("block")

    assert screen.end() == 0
    assert "└── ✓ x: block  " in screen.shown


def test_escapes_in_values_are_shown_and_not_obeyed_while_they_are_written(terminal, write):
    write(
        "m.py",
        """
        class Hostile(BaseLM):
            async def generate(self, request, on_partial=None):
                on_partial({"text": "\\x1b[31mred\\x1b[2J\\x07 [bold]\\n", "more\\x1b[0m": ["\\x1b]0;title\\x07"]})
                await held("answer")
                return LMResponse({"text": "\\x1b[31mred\\x1b[2J"}, model="\\x1b[32m")

        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            text: str

        graph = Graph(start=Ask, lm=Hostile())
        """,
        head=HELD,
    )
    screen = terminal("run", "m", NO_COLOR="1")

    screen.see(
        "✓ Ask     *",
        "~ Answer  *",
        "└── ~ LM fills Answer  *",
        r"    ├── text: \x1b[31mred\x1b[2J\x07 [bold]\n",
        r'    └── more\x1b[0m: ["\u001b]0;title\u0007"]',
    )
    go_on("answer")

    assert screen.end() == 0
    assert r"LM fills Answer  *, \x1b[32m" in screen.shown
    assert r"  text: \x1b[31mred\x1b[2J" in screen.lines
    assert not any(obeyed in screen.transcript for obeyed in ("\x1b[31m", "\x1b[32m", "\x1b[2J", "\x07"))


# --- Sizes


def test_a_narrow_terminal_has_each_part_on_one_line(terminal, write):
    write("m.py", PLAN, head=HELD)
    go_on("0-Ask.route")
    screen = terminal("run", "m", columns=40)

    screen.see(
        "✓ Ask   *",
        "└── ✓ LM chooses Plan  *, held",
        "~ Plan  *",
        "├── · weather: get_wea…  waits for place",
        "│   └── ~ place: get_place  *",
        "├── ~ news: get_news  *",
        "└── · LM fills Plan  waits for weather,…",
    )


def test_a_short_terminal_folds_what_is_finished_and_counts_what_has_no_room(terminal, write):
    write(
        "m.py",
        """
        async def one() -> int:
            return 1

        async def wait(one: Annotated[int, Dep(one)]) -> int:
            await held("wait")
            return 1

        async def after(x: Annotated[int, Dep(wait)]) -> int:
            return 2

        class Loop(Node):
            count: int = 0
            a: Annotated[int, Dep(one)]

            async def __call__(self) -> "Loop | Last":
                return Loop(count=self.count + 1) if self.count < 8 else Last()

        class Last(Node):
            a: Annotated[int, Dep(one, per="visit")]
            b: Annotated[int, Dep(lambda: 2)]
            c: Annotated[int, Dep(wait, per="visit")]
            d: Annotated[int, Dep(after)]
            e: Annotated[int, Dep(lambda: 3)]
        """,
        head=HELD,
    )
    screen = terminal("run", "m:Loop", rows=8)

    screen.see(
        "… 8 more before",
        "✓ Loop  *",
        "~ Last  *",
        "├── ~ c: wait   *",
        "├── · d: after  waits for x",
        "│   └── ~ x: wait  *",
        "└── … 3 more",
    )
    go_on("wait")

    assert screen.end() == 0


# --- Where nothing is drawn again


def test_no_colour_is_used_where_none_is_wanted(terminal, write):
    write("m.py", PLAN, head=HELD)
    go_on("0-Ask.route", "place", "weather", "news1", "news2", "1-Plan.fill")
    plain, coloured = terminal("run", "m", NO_COLOR="1"), terminal("run", "m")

    assert (plain.end(), coloured.end()) == (0, 0)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain.transcript)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", coloured.transcript)
    assert "✗ news: get_news        failed after *, OSError: no net" in plain.shown


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_nothing_moves_where_standard_output_is_no_terminal(write, environment):
    write("m.py", PLAN, head=HELD)
    go_on("0-Ask.route", "place", "weather", "news1", "news2", "1-Plan.fill")
    process = start_process("weft", "run", "m", env=environment)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert ("\x1b[" in out) == bool(environment)
    assert re.sub(r"\x1b\[[0-9;]*m", "", out).count("LM fills Plan") == 1
    assert not re.search(r"\x1b\[\??[0-9;]*[^0-9;m]|\r", out)


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_nothing_is_drawn_where_only_the_answer_is_wanted(terminal, write, option):
    write("m.py", PLAN, head=HELD)
    go_on("0-Ask.route", "place", "weather", "news1", "news2", "1-Plan.fill")
    screen = terminal("run", "m", option, rows=80)

    assert screen.end() == 0
    assert not re.search(r"\x1b\[\??[0-9;]*[^0-9;m]", screen.transcript)
    assert screen.lines[0] == ("Plan" if option == "--quiet" else "{")
