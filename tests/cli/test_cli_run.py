"""`weft run`: what is shown of a run that went well, and of one that did not."""

from __future__ import annotations

import re

import pytest

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def terminal(monkeypatch):
    """Rich takes standard output for a terminal of 60 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_run_shows_what_took_place_and_the_result(weft, trip):
    done = weft("run", "trip", "--set", "question=Where to?")

    assert (done.code, done.err) == (0, "")
    assert done.timeless == (
        "Ask   *\n"
        "  LM chooses Plan  *, fixed-1, 1,500 tokens\n"
        "Plan  *\n"
        "  weather: get_weather  *\n"
        "    place: get_place  *\n"
        "  tone: Tone            *\n"
        "    LM fills Tone  *, fixed-1, 1,500 tokens\n"
        "  LM fills Plan         *, fixed-1, 1,500 tokens\n"
        "\n"
        "Plan\n"
        '  weather: "rain in Oslo"\n'
        '  tone: {"ask": {"question": "Where to?", "days": 3}, "sky": "rain in Oslo", "mood": "mood!"}\n'
        "  text: text!\n"
        "\n"
        "Ask → Plan\n"
        "* of work in *: 2 nodes, 3 LM requests, 3,000 + 1,500 tokens, $0.0036.\n"
    )


def test_a_terminal_gets_a_tree(weft, trip, terminal):
    done = weft("run", "trip", "--set", "question=Where to?")

    assert "\x1b[" in done.out
    assert ESCAPES.sub("", re.sub(r"\d+\.\d ms", "*", done.out)).startswith(
        "✓ Ask   *\n"
        "└── ✓ LM chooses Plan  *, fixed-1, 1,500 tokens\n"
        "✓ Plan  *\n"
        "├── ✓ weather: get_weather  *\n"
        "│   └── ✓ place: get_place  *\n"
        "├── ✓ tone: Tone            *\n"
        "│   └── ✓ LM fills Tone  *, fixed-1, 1,500 tokens\n"
        "└── ✓ LM fills Plan         *, fixed-1, 1,500 tokens\n"
    )


def test_long_text_is_folded_below_itself_on_a_terminal_and_not_at_all_elsewhere(weft, write, monkeypatch, terminal):
    write("m.py", "class Note(Node):\n    text: str\n")
    text = "word " * 15 + "end"

    shown = weft("run", "m:Note", "--set", f"text={text}")
    monkeypatch.delenv("FORCE_COLOR")
    piped = weft("run", "m:Note", "--set", f"text={text}")

    assert f"\n  text: {'word ' * 10}".rstrip() in ESCAPES.sub("", shown.out)
    assert "\n        word word" in ESCAPES.sub("", shown.out)
    assert f"\n  text: {text}\n" in piped.out


def test_a_result_is_shown_in_full_whatever_it_holds(weft, write):
    write(
        "m.py",
        """
        class Inner(BaseModel):
            name: str
            sizes: list[int]

        class All(Node):
            text: str
            several: str
            inner: list[Inner]
            table: dict[str, float]
            empty: list[str]
            maybe: bool | None

        start = '{"text": "x", "several": "a\\\\nb", "inner": [{"name": "n", "sizes": [1, 2]}], "table": {"k": 0.5},'
        """,
    )
    given = (
        '{"text": "one", "several": "first\\nsecond", "inner": [{"name": "n", "sizes": [1, 2]}],'
        ' "table": {"k": 0.5}, "empty": [], "maybe": null}'
    )

    done = weft("run", "m:All", "--input", given)

    assert done.timeless == (
        "All  *\n"
        "\n"
        "All\n"
        "  text: one\n"
        "  several:\n"
        "    first\n"
        "    second\n"
        "  inner:\n"
        "    -\n"
        "      name: n\n"
        "      sizes:\n"
        "        - 1\n"
        "        - 2\n"
        "  table:\n"
        "    k: 0.5\n"
        "  empty: []\n"
        "  maybe: null\n"
        "\n"
        "All\n"
        "Done in *: 1 node, 0 LM requests.\n"
    )


def test_text_is_never_markup_and_escapes_are_shown_not_obeyed(weft, write, terminal):
    write("m.py", "class Note(Node):\n    text: str\n    lines: str\n")
    hostile = "[red]no[/red] :smile: \x1b[31mred\x07\u202e"

    done = weft("run", "m:Note", "--set", f"text={hostile}", "--set", f"lines=a\n{hostile}\r\nb\tc\rd")

    shown = r"[red]no[/red] :smile: \x1b[31mred\x07\u202e"
    assert f"  text: {shown}\n" in ESCAPES.sub("", done.out)
    assert f"    a\n    {shown}\n    b   c\\rd\n" in re.sub(r" +\n", "\n", ESCAPES.sub("", done.out))
    assert "\x1b[31m" not in done.out


def test_a_failed_dependency_is_told_in_a_line_below_the_trace_so_far(weft, write):
    path = write(
        "m.py",
        """
        async def slow() -> int:
            await asyncio.sleep(60)

        async def fetch(key: Annotated[int, Dep(lambda: 1)]) -> int:
            raise KeyError("secret \\x1b[31m")

        class Ask(Node):
            async def __call__(self) -> "Report": ...

        class Report(Node):
            slow: Annotated[int, Dep(slow)]
            number: Annotated[int, Dep(fetch)]

        graph = Graph(start=Ask)
        """,
    )
    line = path.read_text("utf-8").split("\n").index("async def fetch(key: Annotated[int, Dep(lambda: 1)]) -> int:") + 1

    done = weft("run", "m")

    assert done.code == 1
    assert done.timeless == (
        "Ask     *\n"
        "Report  failed after *\n"
        "  slow: slow     cancelled after *\n"
        "  number: fetch  failed after *, KeyError: 'secret \\x1b[31m'\n"
        "    key: <lambda>  *\n"
        "\n"
        "Ask → Report\n"
        "Failed after * of work in *: 2 nodes, 0 LM requests.\n"
    )
    assert done.err == (
        f"Error: Report.number → fetch: raised KeyError: 'secret \\x1b[31m'. It is defined at {path}:{line}.\n"
    )


def test_a_dependency_that_never_began_leaves_its_inputs_under_the_node(weft, write):
    write(
        "m.py",
        """
        def first() -> int:
            raise OSError

        def second(one: Annotated[int, Dep(first)]) -> int: ...

        class Report(Node):
            number: Annotated[int, Dep(second)]
        """,
    )

    done = weft("run", "m:Report")

    assert done.timeless.startswith("Report  failed after *\n  number/one: first  failed after *, OSError\n\n")


def test_code_of_the_user_that_raises_is_a_failed_run(weft, write):
    write(
        "m.py",
        """
        class Ask(Node):
            async def __call__(self) -> None:
                raise ValueError("it\\ndid not work")
        """,
    )

    done = weft("run", "m:Ask")

    assert (done.code, done.timeless) == (1, "Ask  failed after *\n\nAsk\nFailed after *: 1 node, 0 LM requests.\n")
    assert done.err == "Error: Ask: raised ValueError: it\\ndid not work. --traceback shows where.\n"


def test_code_of_the_user_that_ends_the_program_is_a_failed_run(weft, write):
    write("m.py", "class Ask(Node):\n    async def __call__(self) -> None:\n        raise SystemExit(0)\n")

    done = weft("run", "m:Ask")

    assert (done.code, done.err) == (1, "Error: Ask: raised SystemExit: 0. --traceback shows where.\n")


def test_a_run_that_cancels_itself_was_cancelled(weft, write):
    write(
        "m.py",
        """
        class Ask(Node):
            async def __call__(self) -> None:
                asyncio.current_task().cancel()
                await asyncio.sleep(60)
        """,
    )

    done = weft("run", "m:Ask")

    assert (done.code, done.err) == (1, "The run was cancelled.\n")
    assert done.timeless == "Ask  cancelled after *\n\nAsk\nCancelled after *: 1 node, 0 LM requests.\n"


def test_the_traceback_is_shown_when_asked_for(weft, write):
    write("m.py", "class Ask(Node):\n    async def __call__(self) -> None:\n        raise ValueError('\\x1b[31m')\n")

    done = weft("run", "m:Ask", "--traceback")

    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "raise ValueError('\\x1b[31m')" in done.err
    assert "\x1b" not in done.err
    assert done.err.endswith("\nError: Ask: raised ValueError: \\x1b[31m. --traceback shows where.\n")


def test_attempts_and_rejected_answers_are_shown(weft, write):
    write(
        "m.py",
        """
        class Wrong(BaseLM):
            async def generate(self, request, on_partial=None):
                return LMResponse({"number": 5 if request.rejected else "five"}, model="wrong")

        tries = []

        def shaky() -> int:
            tries.append(1)
            if len(tries) < 2:
                raise OSError("no net")
            return 1

        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            shaky: Annotated[int, Dep(shaky, retries=1)]
            number: int

        graph = Graph(start=Ask, lm=Wrong())
        """,
    )

    done = weft("run", "m")

    assert done.code == 0
    assert (
        "Answer  *\n"
        "  shaky: shaky     failed after *, OSError: no net\n"
        "  shaky: shaky     *, attempt 2\n"
        "  LM fills Answer  *, wrong, rejected: number: Input should be a valid integer, unable to parse string as an "
        "integer\n"
        "  LM fills Answer  *, attempt 2, wrong\n"
    ) in done.timeless


def test_a_graph_run_inside_a_dependency_shows_up_inside_it(weft, write):
    write(
        "m.py",
        """
        class Inner(Node):
            text: str

        class Start(Node):
            async def __call__(self) -> Inner: ...

        inner = Graph(start=Start)

        async def ask() -> str:
            return (await inner.arun(Start())).result.text

        class Outer(Node):
            said: Annotated[str, Dep(ask)]

        graph = Graph(start=Outer, lm=Fixed())
        """,
    )

    done = weft("run", "m:graph")

    assert done.timeless.startswith(
        "Outer  *\n"
        "  said: ask  *\n"
        "    graph from Start  *\n"
        "      Start  *\n"
        "      Inner  *\n"
        "        LM fills Inner  *, fixed-1, 1,500 tokens\n"
    )


def test_closing_a_resource_is_shown_where_it_took_time(weft, write):
    write(
        "m.py",
        """
        from collections.abc import AsyncIterator

        async def opened() -> AsyncIterator[int]:
            yield 1
            await asyncio.sleep(0.02)

        class Ask(Node):
            x: Annotated[int, Dep(opened)]
        """,
    )

    assert "  x: opened  *, closed in *\n" in weft("run", "m:Ask").timeless


def test_a_choice_to_stop_is_shown(weft, write):
    write(
        "m.py",
        """
        class Stop(BaseLM):
            async def generate(self, request, on_partial=None):
                return LMResponse({"choice": "None"})

        class Ask(Node):
            async def __call__(self) -> "Ask | None": ...

        graph = Graph(start=Ask, lm=Stop())
        """,
    )

    assert weft("run", "m").timeless.startswith("Ask  *\n  LM chooses to end  *\n")


def test_lm_replaces_every_other_pinned_ones_too(weft, write):
    write(
        "m.py",
        """
        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            node_config = NodeConfig(lm=Fixed())
            is_sure: bool

        graph = Graph(start=Ask, lm=Fixed())
        """,
    )

    done = weft("run", "m", "--lm", "offline")

    assert done.code == 0
    assert "LM fills Answer  *, offline\n" in done.timeless


def test_max_steps_bounds_the_run(weft, write):
    write(
        "m.py",
        """
        class Ask(Node):
            async def __call__(self) -> "Ask | None":
                return Ask()

        graph = Graph(start=Ask)
        """,
    )

    done = weft("run", "m", "--max-steps", "2")

    assert done.code == 1
    assert done.timeless == "Ask  *\nAsk  *\n\nAsk → Ask\nFailed after * of work in *: 2 nodes, 0 LM requests.\n"
    assert done.err == (
        "Error: Ask: the run has visited 2 nodes, as many as max_steps allows. The last were Ask → Ask. Let the loop "
        "end, or raise max_steps (None: no limit).\n"
    )


def test_what_weft_logs_is_one_line_on_standard_error(weft, write):
    write(
        "m.py",
        """
        from collections.abc import Iterator

        def opened() -> Iterator[int]:
            try:
                yield 1
            finally:
                raise OSError("cannot close")

        def failing(one: Annotated[int, Dep(opened)]) -> int:
            raise ValueError("first")

        class Ask(Node):
            x: Annotated[int, Dep(failing)]
        """,
    )

    done = weft("run", "m:Ask")

    assert done.timeless == (
        "Ask  failed after *\n"
        "  x: failing  failed after *, ValueError: first\n"
        "    one: opened  *, closing it raised OSError: cannot close\n"
        "\n"
        "Ask\n"
        "Failed after * of work in *: 1 node, 0 LM requests.\n"
    )
    assert done.err.split("\n")[0] == (
        "Error: Closing opened raised, while another error was on its way. OSError: cannot close"
    )
    assert len(done.err.split("\n")) == 3
