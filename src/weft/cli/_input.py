"""The start node, from ``--input`` and ``--set``: what is unknown, missing or mistyped gets a line each."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from .. import _hints
from ..errors import describe, sentence, shorten
from ..nodes import Node
from ..render.outline import type_name
from ._entries import entry_at, json_example
from ._errors import UsageError
from ._fields import Target, UnknownFieldError, target_of
from ._quoting import setting

S = TypeVar("S", bound=Node)
_HOW = """Write --input '{"field": "value"}', --input @file.json, or --input - for standard input."""
_SHOWN = 60
_WRITTEN_AS_JSON = ("list_type", "tuple_type", "set_type", "frozen_set_type", "dict_type")


Values = dict[str, Any]


def read_start(
    cls: type[S],
    given: str | None,
    sets: Sequence[str],
    ask: Callable[[type[S], Values], None] | None = None,
) -> S:
    """Return the start node that the user describes; raises UsageError with a line for each mistake.

    Args:
        cls: The start node's class.
        given: What follows ``--input``: JSON, ``@file`` or ``-``.
        sets: What follows each ``--set``; these come last and win.
        ask: Called if nothing is wrong but that fields are missing, to add them to the values.
    """
    values = _json_object(_text_of(given), "--input", _HOW) if given is not None else {}
    mistakes = list(_take_known(cls, values, "--input"))
    try:
        for each in sets:
            mistakes.extend(_put(cls, values, each))
        if ask is not None and not mistakes and _lacks_fields_only(cls, values):
            ask(cls, values)
        start = cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UsageError(*mistakes, *_invalid(cls, error)) from error
    except Exception as error:
        raise UsageError(*mistakes, _not_made(cls, error)) from error
    if mistakes:
        raise UsageError(*mistakes)
    return start


def start_of(cls: type[S], text: str) -> S:
    """Return the start node that a line of JSON describes; raises UsageError with a line for each mistake."""
    values = _json_object(text, "", """Write an object with the start node's fields: {"field": "value"}.""")
    mistakes = list(_take_known(cls, values, ""))
    if mistakes:
        raise UsageError(*mistakes)
    try:
        return cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UsageError(*_invalid(cls, error, is_json=True)) from error
    except Exception as error:
        raise UsageError(_not_made(cls, error)) from error


def _not_made(cls: type[Node], error: Exception) -> str:
    return sentence(cls.__name__, f"making it raised {describe(error)}", "--traceback shows where.")


def _lacks_fields_only(cls: type[Node], values: Values) -> bool:
    try:
        cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        return all(each["type"] == "missing" for each in error.errors(include_url=False))
    return False


# --- --input


def _json_object(text: str, where: str, how: str) -> Values:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"this is not JSON: {shorten(text, _SHOWN)!r} ({shorten(error)})" if text.strip() else "there is nothing"
        raise UsageError(sentence(where, what, how)) from error
    if not isinstance(value, dict):
        what = f"the JSON must be an object with the start node's fields, not {shorten(json.dumps(value), _SHOWN)}"
        raise UsageError(sentence(where, what, how))
    return cast("Values", value)


def _text_of(given: str) -> str:
    if given != "-" and not given.startswith("@"):
        return given
    try:
        content = sys.stdin.buffer.read() if given == "-" else Path(given[1:]).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        what = f"{given} cannot be read: {error.strerror or describe(error)}"
        raise UsageError(sentence("--input", what, "Name a file with JSON after the @.")) from error
    except UnicodeDecodeError as error:
        raise UsageError(sentence("--input", f"{given} is not UTF-8 text", "Save it as UTF-8.")) from error


def _take_known(cls: type[Node], values: Values, where: str) -> Iterator[str]:
    """Move what stands under a field's name to where Pydantic looks for it; yield a line for each unknown key."""
    for key in list(values):
        try:
            target = target_of(cls, [key])
        except UnknownFieldError as error:
            del values[key]
            yield _unknown(where, error)
        else:
            values[target.keys[0]] = values.pop(key)


# --- --set


def _put(cls: type[Node], values: Values, setting: str) -> Iterator[str]:
    """Put the value of *setting* in its place among *values*; yield a line if that cannot be."""
    name, equals, text = setting.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not equals or not all(path):
        yield sentence("--set", f"{shorten(setting, _SHOWN)!r} does not say field=value", "Write --set field=value.")
        return
    try:
        target = target_of(cls, path)
    except UnknownFieldError as error:
        yield _unknown(f"--set {shorten(name.strip(), _SHOWN)}", error)
        return
    inner = values
    for key in target.keys[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[target.keys[-1]] = value_of(target, text)


def _unknown(where: str, error: UnknownFieldError) -> str:
    close = difflib.get_close_matches(error.name, error.known, n=1)
    has = f"It has: {', '.join(error.known)}." if error.known else "It has no fields."
    hint = f"Did you mean {close[0]!r}?" if close else has
    return sentence(where, f"{error.owner} has no field {shorten(error.name, _SHOWN)!r}", hint)


def value_of(target: Target, text: str) -> Any:
    """Return *text* as it is, or the JSON value it spells where the field wants that."""
    is_json, value = _as_json(text)
    if not is_json:
        return text
    if isinstance(value, str) and _takes(target, text, strict=True):
        return text
    if isinstance(value, float) and Decimal in _hints.members(target.annotation):
        return text  # a float would lose digits
    # First what the field's type takes without conversion, then what it takes at all.
    for candidate, strict in ((value, True), (text, False), (value, False)):
        if _takes(target, candidate, strict=strict):
            return candidate
    return text if str in _hints.members(target.annotation) else value


def setting_of(target: Target, value: Any) -> str:
    """Return *value* as it is written after ``--set NAME=``."""
    if isinstance(value, str) and value_of(target, value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _as_json(text: str) -> tuple[bool, Any]:
    try:
        return True, json.loads(text)
    except (ValueError, RecursionError):
        return False, None


def _takes(target: Target, value: Any, *, strict: bool) -> bool:
    try:
        TypeAdapter(target.annotation).validate_json(json.dumps(value), strict=strict)
    except (ValidationError, PydanticUserError):
        return False
    return True


# --- What Pydantic says


def _invalid(cls: type[Node], error: ValidationError, *, is_json: bool = False) -> Iterator[str]:
    for each in error.errors(include_url=False):
        path, place = _placed(cls, [str(part) for part in each["loc"]])
        where = ".".join([cls.__name__, *place])
        if each["type"] == "missing":
            yield sentence(where, "missing", "" if is_json else _how_to_set(cls, path))
        else:
            given = f" (given: {shorten(_shown(each['input']), _SHOWN)})" if path else ""
            yield sentence(where, each["msg"] + given, "" if is_json else _as_json_hint(cls, path, each["type"]))


def _placed(cls: type[Node], loc: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the path as `--set` takes it, and as it is told: with a union's member, without its tag."""
    path: list[str] = []
    place: list[str] = []
    annotation: Any = cls
    for part in loc:
        members = _hints.members(annotation)
        try:
            annotation = target_of(cls, [*path, part]).annotation
        except UnknownFieldError:
            if len(members) > 1:
                place.extend([part] if part in map(type_name, members) else [])
                continue
            annotation = None
        path.append(part)
        place.append(part)
    return path, place


def _as_json_hint(cls: type[Node], path: Sequence[str], kind: str) -> str:
    """Return how a list or a mapping is written, where something else was given for it."""
    entry = entry_at(cls, path) if kind in _WRITTEN_AS_JSON else None
    example = json_example(entry.schema) if entry is not None else ""
    return f"Write it as JSON: {setting(entry.name, example)}." if entry is not None and example else ""


def _how_to_set(cls: type[Node], path: Sequence[str]) -> str:
    name = ".".join(path)
    try:
        target = target_of(cls, path)
    except UnknownFieldError:
        return "Give it with --input."
    if target.inner:
        return f"Add --set {name}.FIELD=VALUE for each of its fields ({', '.join(target.inner)}), or --input JSON."
    entry = entry_at(cls, path)
    return f"Add --set {name}=VALUE ({target.type_name if entry is None else entry.type_name})."


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)
