"""Labelled data: a file with a JSON object a line, which holds the start node's fields and whatever a metric reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ..errors import describe, reasons_of, sentence, shorten
from ..nodes import Node
from ._errors import UsageError
from ._fields import UnknownFieldError, target_of

_TOLD = 5
_SHOWN = 60


class Record(Mapping[str, Any]):
    """Values by name, as items and as attributes: what DSPy's metrics expect, without DSPy."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_values" or name not in self._values:
            raise AttributeError(f"there is no {name!r}, only {', '.join(self.__dict__.get('_values', ()))}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values!r})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the data: all its values, the start node they make, and the names of those that it takes."""

    line: int
    values: Mapping[str, Any]
    start: Node
    inputs: tuple[str, ...]


def read_rows(file: str, start: type[Node], option: str) -> list[Row]:
    """Return the rows of *file*; raises UsageError with a line for each that is wrong."""
    rows: list[Row] = []
    mistakes: list[str] = []
    for number, text in enumerate(_text_of(file, option).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            rows.append(_row(start, number, text))
        except _WrongRowError as error:
            mistakes.append(sentence(f"{file}:{number}", *error.args))
    if mistakes:
        more = [f"{file}: {len(mistakes) - _TOLD} more rows are wrong."] if len(mistakes) > _TOLD else []
        raise UsageError(*mistakes[:_TOLD], *more)
    if not rows:
        raise UsageError(sentence(option, f"{file} holds no rows", "Write a JSON object a line."))
    return rows


class _WrongRowError(Exception):
    """Raised with what is wrong with a row, and a hint."""


def _text_of(file: str, option: str) -> str:
    try:
        return Path(file).read_bytes().decode("utf-8-sig")
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or describe(error)}"
        raise UsageError(sentence(option, what, "Name a file with a JSON object a line.")) from error
    except ValueError as error:
        raise UsageError(sentence(option, f"{file} is not UTF-8 text", "Save it as UTF-8.")) from error


def _row(start: type[Node], number: int, text: str) -> Row:
    values = _values(text)
    inputs = {name: keys for name in values if (keys := _keys(start, name))}
    given = {keys[0]: values[name] for name, keys in inputs.items()}
    try:
        node = start.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise _WrongRowError("; ".join(reasons_of(error))) from error
    except Exception as error:
        raise _WrongRowError(f"making {start.__name__} raised {describe(error)}") from error
    return Row(number, values, node, tuple(inputs))


def _values(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _WrongRowError(f"this is not JSON: {shorten(text, _SHOWN)!r}", "Write a JSON object a line.") from error
    if not isinstance(value, dict):
        raise _WrongRowError(f"this is no JSON object: {shorten(text, _SHOWN)!r}", "Write a JSON object a line.")
    return cast("dict[str, Any]", value)


def _keys(start: type[Node], name: str) -> tuple[str, ...]:
    """Return where Pydantic looks for the start node's field *name*; nothing if it is no field but a label."""
    try:
        return target_of(start, [name]).keys
    except UnknownFieldError:
        return ()
