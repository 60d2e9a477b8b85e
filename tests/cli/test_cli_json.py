"""`weft run --json`: one document on standard output, whatever happens, and nothing else there."""

from __future__ import annotations

import json

import pytest


def documented(done):
    """Return the document, which must be all that was printed."""
    return json.loads(done.out)


def usage(calls):
    """Return what so many calls of the fixed LM use, as JSON."""
    counts = {"requests": calls, "input_tokens": 1000 * calls, "output_tokens": 500 * calls, "cached_tokens": 0}
    return {**counts, "tool_calls": 0, "cost": 0.0012 * calls, "by_node": {}, "by_model": {}}


def test_a_run_is_one_document(weft, trip):
    done = weft("run", "trip", "--set", "question=Wö?", "--json")
    document = documented(done)
    fields = {
        "weather": "rain in Oslo",
        "tone": {"ask": {"question": "Wö?", "days": 3}, "sky": "rain in Oslo", "mood": "mood!"},
        "text": "text!",
    }

    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert document.pop("seconds") > sum(visit.pop("seconds") for visit in document["trace"]) >= 0
    assert len(document.pop("run_id")) == 32
    assert document == {
        "status": "done",
        "result": fields,
        "result_type": "Plan",
        "trace": [
            {"node": "Ask", "key": "0:Ask", "status": "done", "fields": {"question": "Wö?", "days": 3}},
            {"node": "Plan", "key": "1:Plan", "status": "done", "fields": fields},
        ],
        "usage": usage(3)
        | {
            "by_node": {"Ask": usage(1), "Tone": usage(1), "Plan": usage(1)},
            "by_model": {"fixed-1": usage(3) | {"cost": pytest.approx(0.0036)}},
            "cost": pytest.approx(0.0036),
        },
        "error": None,
    }


def test_a_failed_run_is_a_document_with_the_error_and_the_trace_so_far(weft, write):
    write(
        "m.py",
        """
        def get() -> int:
            raise KeyError("no")

        class Ask(Node):
            async def __call__(self) -> "Answer": ...

        class Answer(Node):
            x: Annotated[int, Dep(get)]

        graph = Graph(start=Ask)
        """,
    )

    done = weft("run", "m", "--json")
    document = documented(done)

    assert (done.code, document["status"], document["result"], document["result_type"]) == (1, "failed", None, None)
    assert [(visit["node"], visit["status"], visit["fields"]) for visit in document["trace"]] == [
        ("Ask", "done", {}),
        ("Answer", "failed", None),
    ]
    assert document["error"] == {
        "type": "DepError",
        "message": done.err.removeprefix("Error: ").rstrip("\n"),
        "path": ["Answer.x", "get"],
        "node_type": "Answer",
        "field_name": "x",
    }


def test_wrong_usage_is_a_document_too(weft, trip, write):
    write("faulty.py", "class A(Node):\n    async def __call__(self): ...\n")

    for arguments, kind, message in [
        (["trip"], "UsageError", "Ask.question: missing. Add --set question=VALUE (str)."),
        (["trip", "--foo"], "UsageError", "No such option: --foo. See: weft run --help"),
        (["trip", "--set", "question=x", "--lm", "ofline"], "UsageError", "--lm: no LM is called 'ofline'."),
        (["faulty:A"], "GraphError", "A.__call__: has no return annotation."),
        (["trip:Plan", "--set", "text=x"], "GraphError", "Tone.ask: no node that can come before"),
    ]:
        done = weft("run", *arguments, "--json")
        document = documented(done)

        assert (done.code, document["status"], document["trace"], document["run_id"]) == (2, "failed", [], None)
        assert document["error"]["type"] == kind
        assert document["error"]["message"].startswith(message)
        assert done.err.startswith(f"Error: {message}")


def test_no_lm_is_named_in_the_document(weft, write):
    write(
        "m.py",
        """
        class Tone(Node):
            mood: str

        class Ask(Node):
            tone: Annotated[Tone, Dep()]
        """,
    )

    done = weft("run", "m:Ask", "--json")

    assert done.code == 2
    assert documented(done)["error"]["type"] == "LMNotConfiguredError"


def test_what_the_users_code_prints_goes_to_standard_error(weft, write):
    write(
        "m.py",
        """
        print("imported")

        class Ask(Node):
            async def __call__(self) -> None:
                print("running")
        """,
    )

    done = weft("run", "m:Ask", "--json")

    assert documented(done)["status"] == "done"
    assert done.err == "imported\nrunning\n"


def test_values_that_json_does_not_know_are_named(weft, write):
    write(
        "m.py",
        """
        class Session: ...

        def connect() -> Session:
            return Session()

        class Ask(Node):
            session: Annotated[Session, Dep(connect)]
            ratio: float = float("nan")
        """,
    )

    done = weft("run", "m:Ask", "--json")

    assert documented(done)["result"]["session"] == "<Session>"
    assert "NaN" not in done.out.replace('"NaN"', "")
