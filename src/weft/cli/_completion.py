"""What the shell completes: files and folders, the graphs in a file, the names of LMs. No user code is imported."""

from __future__ import annotations

import ast
import shlex
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..backends import lm_names


def after_colon(environment: Mapping[str, str]) -> list[str] | None:
    """Return the graphs that bash may complete after ``file.py:``; None if it asks for anything else.

    To bash the colon ends a word: it sends the file, the colon and what follows apart, and replaces what follows.
    """
    if environment.get("_WEFT_COMPLETE") != "complete_bash":
        return None
    words, position = environment.get("COMP_WORDS", "").split("\n"), int(environment.get("COMP_CWORD", "0"))
    before, word = words[:position], "".join(words[position : position + 1])
    *_, name, colon = ["", "", *before, *([":"] if word == ":" else [])]
    if colon != ":" or not name.endswith(".py"):
        return None
    return [graph for graph in _graphs_in(Path(name)) if graph.startswith(word.lstrip(":"))]


def complete_lm(incomplete: str) -> list[str]:
    """Return the names of LMs that begin so."""
    return [name for name in lm_names() if name.startswith(incomplete)]


def complete_module(incomplete: str) -> list[str]:
    """Return the Python files and folders that begin so; after ``file.py:`` its graphs."""
    name, colon, attribute = incomplete.rpartition(":")
    if not colon:
        return sorted(_paths(incomplete))
    return [f"{name}:{graph}" for graph in _graphs_in(Path(name)) if graph.startswith(attribute)]


def _paths(incomplete: str) -> list[str]:
    """Return what begins so; a folder that stands alone is opened, as no shell goes on after a finished word."""
    folder, slash, start = incomplete.rpartition("/")
    found = [f"{folder}{slash}{name}" for name in _names_in(Path(f"{folder}{slash}" or ".")) if name.startswith(start)]
    return _paths(found[0]) if len(found) == 1 and found[0].endswith("/") else found


def _names_in(folder: Path) -> Iterator[str]:
    try:
        inside = list(folder.iterdir())
    except OSError:  # not there, or not for us: then nothing is offered
        return
    for each in inside:
        if each.name.startswith((".", "__")) or shlex.quote(each.name) != each.name:
            continue  # a name that wants quoting is left to the shell
        if each.is_dir():
            yield f"{each.name}/"
        elif each.suffix == ".py":
            yield each.name


def _graphs_in(file: Path) -> list[str]:
    """Return the names that the file gives to graphs, read from its text."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):  # no text of a program
        return []
    return [name for statement in tree.body for name in _graph_names(statement)]


def _graph_names(statement: ast.stmt) -> list[str]:
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Call):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    is_graph = ast.unparse(statement.value.func).split("[")[0].split(".")[-1] == "Graph"
    return [target.id for target in targets if is_graph and isinstance(target, ast.Name)]
