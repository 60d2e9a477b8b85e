"""Writes the command line's reference from the Typer app itself, where a page says ``<!-- commands -->``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from typer import Context
from typer.main import get_command

from weft.cli import app as command_line

PLACE = "<!-- commands -->"


def described(command: Any, name: str) -> Iterator[str]:
    """Yield the Markdown that describes *command* and the commands below it."""
    if getattr(command, "commands", None):
        for part, below in command.commands.items():
            yield from described(below, f"{name} {part}")
        return
    context = Context(command)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    yield f"## {name}"
    yield f"```text\n{' '.join([name, *map(_metavar, arguments), '[OPTIONS]'])}\n```"
    yield _marked(command.help)
    for each in arguments:
        yield f"`{_metavar(each)}`\n: {_help(each)}"
    for each in options:
        yield f"`{', '.join([*each.opts, *each.secondary_opts])}{_value(each, context)}`\n: {_help(each)}"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("{}[]")


def _value(option: Any, context: Context) -> str:
    return "" if option.is_flag else f" {option.metavar or option.display_type(context).strip('<>')}"


def _help(parameter: Any) -> str:
    default = parameter.default
    shown = "" if default is None or isinstance(default, bool) or callable(default) else f" Default: {default}."
    needed = " Required." if parameter.required and parameter.param_type_name == "option" else ""
    return _marked(f"{parameter.help or ''}{shown}{needed}".strip())


def _marked(text: str) -> str:
    """Mark options as code: two hyphens are no dash."""
    return re.sub(r"(--[\w-]+)", r"`\1`", text)


def _write_commands(_app: Sphinx, _docname: str, source: list[str]) -> None:
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, "\n\n".join(described(get_command(command_line), "weft")))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it with Sphinx."""
    app.connect("source-read", _write_commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
