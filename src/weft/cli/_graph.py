"""``weft graph show|mermaid|check``: a graph looked at, not run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout

import typer

from ..errors import GraphError
from ..render.text import picture
from ._errors import UsageError
from ._load import AnyGraph, load_graph
from ._outcome import DONE, Outcome, outcome_of
from ._print import complain, complain_of, count, print_branches, print_lines


def look(module: str, print_it: Callable[[AnyGraph], None], *, with_traceback: bool) -> int:
    """Print what *print_it* prints of the graph that *module* names, and return the exit code."""
    outcome = loaded(module)
    if isinstance(outcome, Outcome):
        complain_of(outcome, with_traceback=with_traceback)
        return outcome.code
    print_it(outcome)
    return DONE


def check(module: str, *, with_traceback: bool) -> int:
    """Print the faults of the graph that *module* names, or what is suspicious, and return the exit code."""
    outcome = loaded(module)
    if isinstance(outcome, Outcome):
        return _print_faults(outcome, with_traceback=with_traceback)
    print_lines([f"Suspicious: {line}" for line in outcome.validate()])
    print_lines([f"{count(len(outcome.nodes), 'node')} checked, no faults."])
    return DONE


def print_picture(graph: AnyGraph) -> None:
    """Print each node, its fields and their sources, and where it leads."""
    for position, node in enumerate(picture(graph.topology)):
        if position:
            print_lines([""])
        print_branches([node])


def print_mermaid(graph: AnyGraph) -> None:
    """Print the graph as Mermaid text."""
    typer.echo(graph.to_mermaid())


def loaded(module: str) -> AnyGraph | Outcome:
    """Return the graph that *module* names, or how the command ends where there is none."""
    try:
        with redirect_stdout(sys.stderr):  # what the user's module prints is no part of the picture
            return load_graph(module)
    except (UsageError, KeyboardInterrupt) as error:
        return outcome_of(error)


def _print_faults(outcome: Outcome, *, with_traceback: bool) -> int:
    """Print a faulty graph's faults as what was asked for, and anything else as an error."""
    if outcome.error is None or not isinstance(outcome.error.__cause__, GraphError):
        complain_of(outcome, with_traceback=with_traceback)
        return outcome.code
    complain([], outcome.error if with_traceback else None)
    print_lines([*outcome.lines, f"{count(len(outcome.lines), 'fault')}."])
    return outcome.code
