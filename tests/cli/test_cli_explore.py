"""`weft graph explore`: what is shown of every way through a graph."""

import json

FAULTY = """
class Ask(Node):
    question: str
    async def __call__(self) -> "Count": ...

class Count(Node):
    items: int = Field(ge=0)
    async def __call__(self) -> "type[Share] | type[Never]":
        return Share if 12 / self.items >= 0 else Never

class Share(Node):
    text: str

class Never(Node):
    text: str
"""


def test_it_shows_the_ways_and_what_was_made_to_fail(weft, trip):
    done = weft("graph", "explore", "trip")

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "2 ways through the graph\n"
        "  Ask → Plan\n"
        "  Ask → Refusal\n"
        "2 dependencies made to fail\n"
        "  get_place fails    DepError, as it should\n"
        "  get_weather fails  DepError, as it should\n"
        "8 answers rejected\n"
    )
    assert done.out.endswith(" runs: 0 failures, every node and edge reached.\n")


def test_findings_are_told_and_the_exit_code_is_1(weft, write):
    path = write("m.py", FAULTY)

    done = weft("graph", "explore", "m.py:Ask")

    line = 1 + next(n for n, text in enumerate(path.read_text("utf-8").splitlines()) if "12 / self.items" in text)
    assert done.code == 1
    assert (
        "2 findings\n"
        f"  Ask → Count (Count.items = 0): ZeroDivisionError: division by zero, at m.py:{line}\n"
        "  Never: no run reached this node. Give a start node, or fills=, that leads there.\n"
    ) in done.out


def test_json_is_one_document(weft, write):
    write("m.py", FAULTY)

    done = weft("graph", "explore", "m.py:Ask", "--json", "--set", "question=How many?")

    told = json.loads(done.out)
    assert (done.code, told["unreached_nodes"], told["unreached_edges"]) == (1, ["Never"], [["Count", "Never"]])
    assert {path["outcome"] for path in told["paths"]} == {"done", "planned", "failed"}


def test_what_the_graph_prints_and_logs_is_not_shown(weft, write):
    write(
        "m.py",
        """
        import logging

        def get_number() -> int:
            print("called")
            logging.getLogger("weft").error("logged")
            return 1

        class Ask(Node):
            number: int = Dep(get_number)

        graph = Graph(start=Ask)
        """,
    )

    done = weft("graph", "explore", "m")

    assert (done.code, done.err) == (0, "")
    assert "called" not in done.out


def test_the_start_node_can_be_given_and_is_asked_for_where_none_can_be_made_up(weft, write):
    write(
        "m.py",
        """
        from pydantic import field_validator

        class Ask(Node):
            code: str

            @field_validator("code")
            @classmethod
            def known(cls, code):
                if code != "K-17":
                    raise ValueError("not a code")
                return code

        graph = Graph(start=Ask)
        """,
    )

    assert weft("graph", "explore", "m", "--set", "code=K-17").code == 0
    done = weft("graph", "explore", "m")
    assert done.code == 2
    assert done.err == (
        "Error: Ask: no start node can be made up: code: Value error, not a code. "
        "Say it with --set FIELD=VALUE or --input JSON.\n"
    )


def test_few_runs_are_said_to_be_few(weft, trip):
    done = weft("graph", "explore", "trip", "--max-paths", "1")

    assert done.code == 1
    assert done.out.endswith(
        "1 run: 0 failures, 1 node and 1 edge not reached. There is more to try: raise max_paths or max_seconds.\n"
    )


def test_a_graph_that_cannot_be_loaded_is_one_line(weft, write):
    done = weft("graph", "explore", "nowhere.py")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: nowhere.py: there is no such file.")
