"""MODULE: a module's name, a file's path, an attribute; and what may be wrong with any of them."""

from __future__ import annotations

import pytest

NODE = """
class Only(Node):
    text: str = "x"
"""
GRAPH = f"{NODE}\ngraph = Graph(start=Only)\n"


@pytest.mark.parametrize(
    "module",
    ["pkg.inner.mod", "pkg.inner.mod:graph", "pkg.inner.mod:Only", "pkg/inner/mod.py", "pkg/inner/mod.py:graph"],
)
def test_a_graph_is_found_by_name_and_by_path(weft, write, module):
    write("pkg/inner/mod.py", GRAPH)

    assert weft("run", module).code == 0


def test_an_absolute_path_is_found_from_anywhere(weft, write, monkeypatch, tmp_path_factory):
    path = write("mod.py", GRAPH)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert weft("run", str(path)).code == 0
    assert weft("run", f"{path}:graph").code == 0


def test_an_attribute_may_be_inside_another(weft, write):
    write("mod.py", f"{NODE}\nclass Holder:\n    graph = Graph(start=Only)\n")

    assert weft("run", "mod:Holder.graph").code == 0


def test_a_file_in_a_package_imports_its_neighbours(weft, write):
    write("pkg/__init__.py", "", head="")
    write("pkg/inner/__init__.py", "", head="")
    write("pkg/inner/words.py", "WORD = 'neighbour'\n", head="")
    write("pkg/inner/mod.py", "from .words import WORD\nclass Only(Node):\n    text: str = WORD\n")

    assert "  text: neighbour\n" in weft("run", "pkg/inner/mod.py:Only").out


def test_a_file_imports_what_lies_beside_it(weft, write):
    write("folder/words.py", "WORD = 'beside'\n", head="")
    write("folder/mod.py", "from words import WORD\nclass Only(Node):\n    text: str = WORD\n")

    assert "  text: beside\n" in weft("run", "folder/mod.py:Only").out


@pytest.mark.parametrize("name", ["weft.py", "typing.py", "my-graph.py", "two.dots.py", "__main__.py"])
def test_a_file_may_be_called_like_anything(weft, write, name):
    path = write(f"folder/{name}", "")
    source = path.read_text("utf-8")
    future = "from __future__ import annotations\n"
    types = "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n"
    node = "class Only(Node):\n    point: Point = Point(1)\n    name: str = __name__\n"
    path.write_text(f"{future}{source}{types}{node}", "utf-8")

    done = weft("run", f"folder/{name}:Only")

    assert (done.code, done.err) == (0, "")
    assert "  name: __main__\n" not in done.out


def test_a_module_that_is_run_is_not_main(weft, write):
    write("mod.py", f"{GRAPH}\nif __name__ == '__main__':\n    raise OSError\n")

    assert weft("run", "mod.py").code == 0


# --- Without an attribute


def test_several_graphs_are_listed(weft, write):
    write("mod.py", f"{NODE}\none = Graph(start=Only)\nsame = one\nother = Graph(start=Only)\n")

    done = weft("run", "mod")

    assert (done.code, done.err) == (2, "Error: mod: it has 2 graphs. Name one: mod:one or mod:other.\n")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "class A(Node):\n    async def __call__(self) -> 'B': ...\nclass B(Node): ...\n",
            "it has no Graph. Name the start node: mod:A.",
        ),
        (
            "class Sub(Node): ...\nclass A(Node):\n    sub: Annotated[Sub, Dep()]\n",
            "it has no Graph. Name the start node: mod:A.",
        ),
        ("class A(Node): ...\nclass B(Node): ...\n", "it has no Graph. Name the start node: mod:A or mod:B."),
        (
            "class A(Node):\n    async def __call__(self) -> 'A | None': ...\n",
            "it has no Graph. Name the start node: mod:A.",
        ),
        (
            "class A(Node):\n    async def __call__(self) -> 'Unknown': ...\n",
            "it has no Graph. Name the start node: mod:A.",
        ),
        ("", "it has neither a Graph nor a Node class. Write: graph = Graph(start=YourNode)."),
    ],
)
def test_without_a_graph_the_start_nodes_are_named(weft, write, source, line):
    write("mod.py", source)

    done = weft("run", "mod")

    assert (done.code, done.out, done.err) == (2, "", f"Error: mod: {line}\n")


# --- Modules that cannot be imported


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "import not_installed_anywhere\n",
            (
                "importing it raised ModuleNotFoundError: No module named 'not_installed_anywhere', at {path}:1. "
                "--traceback shows more."
            ),
        ),
        (
            "x = 1\nx.y\n",
            (
                "importing it raised AttributeError: 'int' object has no attribute 'y', at {path}:2. "
                "--traceback shows more."
            ),
        ),
        ("def (:\n", "importing it raised SyntaxError: invalid syntax (mod.py, line 1). --traceback shows more."),
        (
            "raise SystemExit\n",
            "importing it ended the program. Put what runs it under: if __name__ == '__main__':",
        ),
    ],
)
@pytest.mark.parametrize("name", ["mod", "mod.py"])
def test_a_module_that_fails_is_told_in_one_line(weft, write, name, source, line):
    path = write("mod.py", source, head="")

    done = weft("run", name)

    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: {name}: {line.format(path=path)}\n"


def test_a_faulty_graph_gets_a_line_for_each_fault(weft, write):
    write(
        "mod.py",
        """
        class A(Node):
            x: int = Dep(lambda y: 1)
            async def __call__(self): ...

        class B(Node):
            async def __call__(self) -> "Missing": ...
        """,
    )

    done = weft("run", "mod:A")

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        (
            'Error: A.__call__: has no return annotation. Say where it leads: -> "Next", -> "A | B", or -> None for an '
            "end."
        ),
        (
            "Error: <lambda>(y): nothing provides this required parameter. Give it a default, or annotate it: "
            "Annotated[T, Dep(fn)] or Annotated[T, Recall()]."
        ),
    ]


def test_a_graph_that_is_faulty_when_imported_gets_a_line_for_each_fault(weft, write):
    write("mod.py", "class A(Node):\n    async def __call__(self): ...\ngraph = Graph(start=A)\n")

    done = weft("run", "mod")

    assert done.code == 2
    assert done.err == (
        'Error: A.__call__: has no return annotation. Say where it leads: -> "Next", -> "A | B", or -> None for an '
        "end.\n"
    )
