"""``weft run MODULE --help-input``: what the start node wants, and command lines that give it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.errors import PydanticUserError
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._spec import spec_of
from ..backends._samples import sample
from ..errors import MissingExtraError
from ..nodes import Node
from ._entries import Entry, entries, leaves
from ._errors import one_line
from ._graph import look
from ._input import setting_of
from ._print import Json
from ._quoting import quoted, setting

_MAX_DEPTH = 4
_ABOUT_AT_LEAST = 24
_SEEDS = 20


class Row(NamedTuple):
    """What is told of a field."""

    name: str
    type: str
    default: str
    about: str


def show(module: str, *, with_traceback: bool) -> int:
    """Show what the graph that *module* names starts with, and return the exit code."""
    return look(module, lambda graph: print_input_help(graph.start, module), with_traceback=with_traceback)


def print_input_help(start: type[Node], module: str) -> None:
    """Print *start*'s plain fields as a table, then command lines to paste."""
    console = Console(markup=False, highlight=False, emoji=False)
    found = [Row(*map(one_line, row)) for row in _rows(entries(start))]
    if not found:
        _print(console, f"{start.__name__} has no fields to fill: weft run {quoted(module)}")
        return
    console.print(Text.assemble((start.__name__, "bold"), ": the fields that a run starts with."))
    console.print()
    _print_rows(console, found)
    console.print()
    commands = list(_commands(start, module))
    if commands:
        console.print(Text("For example, with values made up from the types:"))
        console.print()
    for line in commands or [f"Give each field that is required: weft run {quoted(module)} --set FIELD=VALUE"]:
        _print(console, line)


def _print(console: Console, line: str) -> None:
    console.print(Text(one_line(line)), soft_wrap=True)  # unbroken, so that it can be pasted


# --- The fields


def _rows(found: Sequence[Entry], depth: int = 0) -> Iterator[Row]:
    for entry in found:
        default = f"default {entry.default}" if entry.default else "required"
        about = ". ".join(part for part in (", ".join(entry.constraints), entry.description.strip()) if part)
        yield Row("  " * depth + entry.name, entry.type_name, default, about)
        if depth < _MAX_DEPTH:
            yield from _rows(entry.inner, depth + 1)


def _print_rows(console: Console, rows: Sequence[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    narrow = sum(widths[:3]) + 8 + min(widths[3], _ABOUT_AT_LEAST) > console.width
    if not console.is_terminal:
        for row in rows:
            cells = [f"{cell:<{width}}" for cell, width in zip(row[:3], widths, strict=False)]
            _print(console, f"  {'  '.join([*cells, row.about])}".rstrip())
    elif narrow:
        for row in rows:
            _print_stacked(console, row)
    else:
        console.print(Padding(_table(rows), (0, 0, 0, 2)))


def _table(rows: Sequence[Row]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(Text(row.name, "cyan"), Text(row.type), _default(row), Text(row.about, "dim"))
    return table


def _default(row: Row) -> Text:
    return Text(row.default, "bold" if row.default == "required" else "")


def _print_stacked(console: Console, row: Row) -> None:
    """Print a field on a narrow terminal: below its name what else is told of it."""
    indent = len(row.name) - len(row.name.lstrip()) + 2
    said = Text.assemble((row.name.strip(), "cyan"), ": ", row.type, ", ", _default(row))
    console.print(Padding(said, (0, 0, 0, indent)))
    if row.about:
        console.print(Padding(Text(row.about, "dim"), (0, 0, 0, indent + 2)))


# --- The command lines


def _commands(start: type[Node], module: str) -> Iterator[str]:
    """Yield command lines that give valid values; none if none come up."""
    values = _example(start)
    if values is None:
        return
    command = f"weft run {quoted(module)}"
    given = quoted(json.dumps(values, ensure_ascii=False))
    settings = [setting(entry.name, setting_of(entry.target, value)) for entry, value in leaves(start, values)]
    yield f"  {' '.join([command, *settings])}"
    yield f"  {command} --input {given}"
    yield f"  echo {given} | {command} --input -"


def _example(start: type[Node]) -> dict[str, Any] | None:
    """Return values that *start* takes: those that are required, or else the first field's; None if none come up."""
    try:
        schema = spec_of(start).schema
    except PydanticUserError:
        return None
    wanted = schema.get("required") or list(schema["properties"])[:1]
    cut = {**schema, "properties": {name: schema["properties"][name] for name in wanted}, "required": wanted}
    return next((values for values in _samples(_undescribed(cut)) if _is_taken(start, values)), None)


def _samples(schema: Any) -> Iterator[dict[str, Any]]:
    for seed in range(_SEEDS):
        try:
            values = sample(schema, str(seed))
        except (ValueError, MissingExtraError):  # nothing fits, or a pattern needs a package that is not there
            return
        # Shorter and plainer texts, where they are as good.
        yield json.loads(json.dumps(values).replace("offline text for ", "some "))
        yield values


def _undescribed(schema: Json) -> Json:
    """Return *schema* without descriptions, which would become part of the texts."""
    if isinstance(schema, list):
        return [_undescribed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # What is no text is a field that is called so.
    return {key: _undescribed(each) for key, each in schema.items() if key != "description" or isinstance(each, dict)}


def _is_taken(start: type[Node], values: dict[str, Any]) -> bool:
    try:
        start.model_validate_json(json.dumps(values))
    except ValidationError:
        return False
    return True
