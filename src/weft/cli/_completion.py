"""What the shell completes: files and folders, the graphs in a file, the names of LMs. No user code is imported."""

from __future__ import annotations

import ast
import os
import shlex
import warnings
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from ..backends import lm_names

_WANTED, _WORDS, _POSITION = "_WEFT_COMPLETE", "COMP_WORDS", "COMP_CWORD"
# Bash takes the part before a colon for a word of its own, and replaces only what follows.
_AFTER_COLON = "_WEFT_AFTER_COLON"


def join_colons(environment: MutableMapping[str, str]) -> None:
    """Give bash's words around a colon back as one, if it is bash that asks."""
    if environment.get(_WANTED) != "complete_bash":
        return
    words, position = environment.get(_WORDS, "").split("\n"), int(environment.get(_POSITION, "0"))
    before, word = words[:position], "".join(words[position : position + 1])
    if word == ":" or before[-1:] == [":"]:
        name = before[:-1] if word != ":" else before
        joined = "".join([*name[-1:], ":", word.lstrip(":")])
        environment[_WORDS] = "\n".join([*name[:-1], joined])
        environment[_POSITION] = str(len(name) - 1)
        environment[_AFTER_COLON] = "1"


def complete_lm(incomplete: str) -> list[str]:
    """Return the names of LMs that begin so."""
    return [name for name in lm_names() if name.startswith(incomplete)]


def complete_module(incomplete: str) -> list[str]:
    """Return the Python files and folders that begin so; after ``file.py:`` its graphs."""
    name, colon, attribute = incomplete.rpartition(":")
    if not colon:
        return sorted(_paths(incomplete))
    found = [f"{name}:{graph}" for graph in _graphs_in(Path(name)) if graph.startswith(attribute)]
    return [each.rpartition(":")[2] for each in found] if _AFTER_COLON in os.environ else found


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
