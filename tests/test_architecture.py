"""The shape of the package: rooms in an order, small files, nothing swallowed, a light import."""

from __future__ import annotations

import ast
import graphlib
import importlib
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "weft"
FACADE = "__init__"

# A room is a file or a folder of src/weft; it may import the rooms that stand before it.
ROOMS = [
    "errors",
    "_event",
    "_bodies",
    "_hints",
    "lm",
    "_markers",
    "_routes",
    "_injection",
    "nodes",
    "events",
    "_results",
    "_faults",
    "_schemas",
    "_spec",
    "_requests",
    "filling",
    "backends",
    "_survey",
    "_plan",
    "topology",
    "_scope",
    "_run",
    "_ways",
    "_homes",
    "_making",
    "_ahead",
    "_resolution",
    "_prefetch",
    "_telling",
    "resolver",
    "stores",
    "_accounts",
    "_limits",
    "_calls",
    "_verdicts",
    "_deciding",
    "_engine",
    "_graph_run",
    "_batch",
    "_runs",
    "render",
    "_sync",
    "_later",
    "graph",
    "optimize",
    "testing",
    "pytest_plugin",
    "__init__",
    "cli",
    "__main__",
    "viewer",
]

# A back-end turns a request into a response; of graphs it knows nothing.
KNOWN_TO_BACKENDS = {
    "_event",
    "_hints",
    "_requests",
    "_routes",
    "_spec",
    "backends",
    "errors",
    "events",
    "filling",
    "lm",
    "nodes",
}

# What others install: the core has Pydantic only.
CORE_PACKAGES = {"pydantic", "pydantic_core"}
PACKAGES_OF_ROOMS = {"cli": {"typer", "click", "rich"}, "pytest_plugin": {"pytest"}}
ROOMS_OF_EXTRAS = {"backends", "optimize", "viewer"}

MAX_LINES_OF_FILE = 400
MAX_LINES_OF_FUNCTION = 60
MEDIAN_LINES_OF_FUNCTION = 10
MAX_PARAMETERS = 8

VAGUE = re.compile("manager|handler|utils?(?![a-z])|helper", re.IGNORECASE)

FILES = sorted(ROOT.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One module imported by a file: dotted, from the package's root, and where."""

    module: str
    line: int
    is_lazy: bool

    @property
    def package(self) -> str:
        return self.module.split(".", maxsplit=1)[0]


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def module_of(file: Path) -> str:
    parts = ("weft", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(part for part in parts if part != FACADE)


def room_of(module: str) -> str:
    return [*module.split("."), FACADE][1]


MODULES = {module_of(file): file for file in FILES}


def nodes_within(node: ast.AST, *, lazily: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield everything below *node* that runs, and whether only when a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other, lazily
                yield from nodes_within(other, lazily=lazily)
            continue
        yield child, lazily
        yield from nodes_within(child, lazily=lazily or isinstance(child, Function | ast.Lambda))


@cache
def imports_of(file: Path) -> list[Import]:
    return [
        Import(module, node.lineno, is_lazy)
        for node, is_lazy in nodes_within(tree_of(file))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in modules_named(file, node)
    ]


def modules_named(file: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the modules that an import statement loads, those around them left out."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    here = ["weft", *file.relative_to(ROOT).parts]
    base = ".".join([*here[: len(here) - node.level], *(node.module or "").split(".")]).rstrip(".")
    base = base if node.level else node.module or ""
    inner = [f"{base}.{alias.name}" for alias in node.names]
    found = [each if each in MODULES else base for each in inner]
    return list(dict.fromkeys(found))


def functions_of(file: Path) -> list[Function]:
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, Function)]


def lines_of(function: Function) -> int:
    """Return how long *function* is, without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    return length(function) - (length(first) if has_docstring else 0)


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def at(file: Path, node: ast.stmt | ast.expr | ast.excepthandler | ast.alias | Import) -> str:
    line = node.line if isinstance(node, Import) else node.lineno
    return f"{file.relative_to(ROOT.parent)}:{line}"


BACKENDS = [file for file in FILES if room_of(module_of(file)) == "backends"]
each_file = pytest.mark.parametrize("file", FILES, ids=module_of)


# --- The rooms


@each_file
def test_every_file_has_a_room(file):
    room = room_of(module_of(file))

    assert room in ROOMS, f"{room} has no place among the rooms: give it one in ROOMS of {Path(__file__).name}"


@each_file
def test_a_room_imports_only_rooms_above_it(file):
    here = room_of(module_of(file))
    above = {here, *ROOMS[: ROOMS.index(here)]} if here in ROOMS else set(ROOMS)
    below = {
        f"{at(file, each)}: {here} must not import {room_of(each.module)}, which stands below it"
        for each in imports_of(file)
        if each.package == "weft" and room_of(each.module) not in above
    }

    assert below == set()


def test_no_modules_import_each_other_in_a_circle():
    imported = {
        module: {
            loaded
            for each in imports_of(file)
            if each.package == "weft"
            for loaded in with_folders(each.module)
            if not f"{module}.".startswith(f"{loaded}.")
        }
        for module, file in MODULES.items()
    }

    # Raises CycleError, which names the circle.
    assert list(graphlib.TopologicalSorter(imported).static_order())


def with_folders(module: str) -> list[str]:
    """Return *module* and the packages it is inside, which are loaded with it."""
    parts = module.split(".")
    return [".".join(parts[:size]) for size in range(1, len(parts) + 1)]


@pytest.mark.parametrize("file", BACKENDS, ids=module_of)
def test_back_ends_know_nothing_of_graphs(file):
    known = {room_of(each.module) for each in imports_of(file) if each.package == "weft"}

    assert known <= KNOWN_TO_BACKENDS


@each_file
def test_only_the_facade_the_table_of_names_the_pytest_plugin_and_back_ends_import_lazily(file):
    module = module_of(file)
    # pytest loads the plugin in every environment that Weft is in, for whatever tests.
    if module in ("weft", "weft.backends", "weft.pytest_plugin"):
        return
    lazy = [each for each in imports_of(file) if each.is_lazy]
    if room_of(module) == "backends":
        # Of Weft itself a back-end loads late its own side that imports the SDK: that of name is in _name.
        own = f"weft.backends._{module.rsplit('.', 1)[-1]}."
        lazy = [each for each in lazy if each.package in {"weft", *sys.stdlib_module_names}]
        lazy = [each for each in lazy if not each.module.startswith(own)]

    assert [f"{at(file, each)}: {each.module}" for each in lazy] == []


@each_file
def test_modules_are_imported_by_name_only_where_the_name_is_data(file):
    # The façades and the table of LM names load their own, _later what a graph needs when it is made, drawn or run; the
    # command line loads what its user names.
    if (
        module_of(file) in ("weft", "weft._later", "weft.backends", "weft.optimize", "weft.testing")
        or room_of(module_of(file)) == "cli"
    ):
        return
    named = (ast.Name, ast.Attribute)
    calls = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call) and isinstance(node.func, named)]
    dynamic = [call for call in calls if ast.unparse(call.func).endswith(("import_module", "__import__"))]

    assert [at(file, call) for call in dynamic] == []


@each_file
def test_the_core_needs_pydantic_only(file):
    room = room_of(module_of(file))
    known = {"weft", *sys.stdlib_module_names, *CORE_PACKAGES, *PACKAGES_OF_ROOMS.get(room, ())}
    foreign = [each for each in imports_of(file) if each.package not in known]
    if room in ROOMS_OF_EXTRAS:
        return

    assert [f"{at(file, each)}: {each.module}" for each in foreign] == []


def modules_loaded_by(statement: str) -> set[str]:
    """Return the modules that *statement* loads in a fresh interpreter that has what every Pydantic model needs."""
    script = f"""
import sys
import pydantic.fields
before = set(sys.modules)
{statement}
print(*(set(sys.modules) - before))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    return set(done.stdout.split())


MAKES_A_GRAPH = "from weft import Dep, Graph, Node; graph = Graph(start=type('Ask', (Node,), {}))"


def test_importing_weft_loads_pydantic_and_the_standard_library_only():
    loaded = {name.partition(".")[0] for name in modules_loaded_by("import weft; from weft import Dep, Graph, Node")}
    of_pydantic = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}

    assert "weft" in loaded
    assert loaded - {"weft", *of_pydantic, *sys.stdlib_module_names} == set()


def test_the_names_for_a_definition_load_nothing_that_makes_draws_or_runs_a_graph():
    loaded = modules_loaded_by("from weft import Dep, Graph, Node")
    private = {"_accounts", "_bodies", "_event", "_hints", "_injection", "_later", "_markers", "_results", "_routes"}
    needed = private | {"backends", "errors", "graph", "lm", "nodes"}

    assert {name for name in loaded if name.startswith("weft.")} == {f"weft.{name}" for name in needed}
    assert "asyncio" not in loaded


def test_a_graph_that_is_made_or_drawn_loads_nothing_that_runs_it():
    made = modules_loaded_by(MAKES_A_GRAPH)
    drawn = modules_loaded_by(f"{MAKES_A_GRAPH}; graph.to_svg(); graph.to_mermaid()")

    assert "weft.topology" in made
    assert not any(name.startswith("weft.render") for name in made)
    assert {"weft.render.svg", "weft.render.mermaid"} <= drawn
    assert {"asyncio", "weft._engine", "weft._runs", "weft.events"}.isdisjoint(drawn)


def test_what_is_loaded_later_is_what_type_checkers_are_told_and_stands_above():
    later = importlib.import_module("weft._later")
    told = {
        alias.name: f".{node.module}"
        for node in ast.walk(tree_of(MODULES["weft._later"]))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    above = ROOMS[: ROOMS.index("_later")]

    assert told == later._HOME_OF
    assert set(later.__all__) == set(told)
    assert {home.split(".")[1] for home in told.values()} <= set(above)


# --- Sizes


@each_file
def test_a_file_is_short(file):
    lines = len(file.read_text("utf-8").splitlines())

    assert lines <= MAX_LINES_OF_FILE, "split it: it does more than one thing"


@each_file
def test_a_function_is_short(file):
    lengths = {at(file, each): lines_of(each) for each in functions_of(file)}

    assert {where: lines for where, lines in lengths.items() if lines > MAX_LINES_OF_FUNCTION} == {}


def test_half_of_all_functions_have_ten_lines_or_fewer():
    lengths = [lines_of(function) for file in FILES for function in functions_of(file)]

    assert statistics.median(lengths) <= MEDIAN_LINES_OF_FUNCTION


@each_file
def test_a_function_takes_few_parameters_by_position(file):
    counts = {at(file, each): len(each.args.posonlyargs + each.args.args) for each in functions_of(file)}

    assert {where: count for where, count in counts.items() if count > MAX_PARAMETERS} == {}


# --- Habits


@each_file
def test_annotations_are_read_in_one_place(file):
    if module_of(file) == "weft._hints":
        return
    readers = {"get_type_hints", "get_annotations", "__annotations__"}
    users = [
        at(file, node)
        for node in ast.walk(tree_of(file))
        if (isinstance(node, ast.Name) and node.id in readers)
        or (isinstance(node, ast.Attribute) and node.attr in readers)
        or (isinstance(node, ast.alias) and node.name in readers)
    ]

    assert users == [], "ask _hints"


@each_file
def test_nothing_is_swallowed(file):
    handlers = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.ExceptHandler)]
    swallowing = [at(file, each) for each in handlers if catches_everything(each.type) and forgets(each)]
    calls = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)]
    suppressing = [
        at(file, call)
        for call in calls
        if ast.unparse(call.func).endswith("suppress") and any(map(catches_everything, call.args))
    ]

    assert swallowing + suppressing == []


def catches_everything(caught: ast.expr | None) -> bool:
    members = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    names = {ast.unparse(each).split(".")[-1] if each else "BaseException" for each in members}
    return bool(names & {"Exception", "BaseException"})


def forgets(handler: ast.ExceptHandler) -> bool:
    """Return whether *handler* neither raises nor looks at what it caught."""
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    raises = any(isinstance(node, ast.Raise) for node in inside)
    uses = any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)
    return not (raises or uses)


@each_file
def test_a_name_says_what_it_is(file):
    classes = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef)]
    names = {node.name: at(file, node) for node in [*classes, *functions_of(file)]}
    names[module_of(file)] = str(file)

    assert {name: where for name, where in names.items() if VAGUE.search(name)} == {}
