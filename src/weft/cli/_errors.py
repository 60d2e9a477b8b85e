"""What the user got wrong, a line for each mistake, and text made safe to show."""

from __future__ import annotations

import traceback
from typing import Any, cast

import typer

from ..backends import HINT
from ..errors import GraphError, WeftError, sentence, shorten

# What Typer raises for a wrong command line. It does not export the name, and older ones take it from Click.
CommandLineError = cast("type[Exception]", typer.BadParameter.__base__)

_LONGEST_LINE = 10_000
_HOW_TO_NAME = (
    "Use 'offline' or a model's name as 'anthropic:claude-sonnet-5-5'; an LM of your own goes into the file: "
    "Graph(..., lm=YourLM())."
)


class UsageError(Exception):
    """Raised for what the user can put right before anything runs: a line each; `kind` names it in JSON."""

    def __init__(self, *lines: str, kind: str = "UsageError") -> None:
        super().__init__(*lines)
        self.lines = lines
        self.kind = kind


def faulty_graph(error: GraphError) -> UsageError:
    """Return the mistakes of a graph's author, a line for each fault."""
    return UsageError(*map(str, error.faults), kind=type(error).__name__)


def without_objects(error: WeftError) -> str:
    """Return *error* as it is told where an LM can be named, and no object be passed."""
    return str(error).replace(HINT, _HOW_TO_NAME)


def wrong_command_line(error: Exception) -> UsageError:
    """Return what Typer found wrong with the command line."""
    found = getattr(error, "format_message", error.__str__)()
    command = getattr(getattr(error, "ctx", None), "command_path", "weft")
    hint = _hint_for(found, getattr(getattr(error, "ctx", None), "command", None))
    return UsageError(sentence("", one_line(found), f"{hint}See: {command} --help"))


def _hint_for(found: str, group: Any) -> str:
    """Return what to write in place of what one tries first, as "weft run trip days=3" and "weft show trip"."""
    if "argument" in found and "=" in found:
        return "Write --set field=value for a field. "
    if "'--output'" in found and found.startswith("Missing"):
        return "Add -o graph.svg. "
    for name, inner in getattr(group, "commands", {}).items():
        close = [each for each in getattr(inner, "commands", ()) if f"No such command {each!r}" in found]
        if close:
            return f"Did you mean: weft {name} {close[0]}? "
    return ""


def one_line(text: str) -> str:
    """Return *text* as one line of printable characters."""
    return shorten(text, _LONGEST_LINE)


def several_lines(text: str) -> list[str]:
    """Return the lines of *text*, control characters escaped: terminal escapes are shown, not obeyed."""
    return [shorten(line, len(line) * 10 + 1) for line in text.expandtabs(4).replace("\r\n", "\n").split("\n")]


def traceback_of(error: BaseException) -> list[str]:
    """Return the lines of *error*'s traceback, and of what caused it."""
    return several_lines("".join(traceback.format_exception(error)).rstrip("\n"))
