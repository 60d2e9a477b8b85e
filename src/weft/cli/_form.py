"""The form: what the start node needs and nobody has given is asked for in the terminal, field by field."""

from __future__ import annotations

import getpass
import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.text import Text

from ..errors import sentence
from ..nodes import Node
from ._entries import Entry, entry_at, json_example, json_schema, leaves, text_of
from ._errors import UsageError, one_line, several_lines
from ._fields import Target
from ._input import Values, setting_of, value_of
from ._quoting import quoted, setting

_PROMPT = "> "
_NAMED = 4
_YES, _NO = ("y", "yes"), ("", "n", "no")


def is_at_a_terminal() -> bool:
    """Return whether somebody sits there who can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def fill_in(cls: type[Node], values: Values, command: Sequence[str]) -> None:
    """Ask for what *cls* misses among *values*, and put it there, until they make a *cls*.

    Args:
        cls: The start node's class.
        values: What is known so far, as JSON; it is added to.
        command: The command line so far; what would have made the form unnecessary is told at the end.
    """
    missing = [entry_at(cls, error["loc"]) for error in _errors(cls, values) if error["type"] == "missing"]
    if not missing or None in missing:
        return  # what no form can ask for is told by who reads the input
    with suppress(ImportError):
        importlib.import_module("readline")  # input() then lets lines be edited
    form = _Form(cls, values)
    form.begin([entry.name for entry in missing if entry is not None])
    while form.go_on():
        pass
    form.end(command)


def _errors(cls: type[Node], values: Values) -> list[ErrorDetails]:
    try:
        cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _reasons_of_type(target: Target, value: Any) -> list[str]:
    try:
        TypeAdapter(target.annotation).validate_json(json.dumps(value))
    except ValidationError as error:
        return [_reason(each) for each in error.errors(include_url=False)]
    except PydanticUserError:  # no type of its own; the node judges
        return []
    return []


def _reason(error: ErrorDetails, keys: Sequence[Any] = ()) -> str:
    where = ".".join(str(part) for part in error["loc"][len(keys) :])
    return sentence(where, error["msg"].removeprefix("Value error, "))


class _Form:
    """One form being filled in."""

    def __init__(self, cls: type[Node], values: Values) -> None:
        self.cls = cls
        self.values = values
        self.answers: dict[str, str | None] = {}
        self.console = Console(markup=False, highlight=False, emoji=False)

    def begin(self, names: Sequence[str]) -> None:
        needed = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} fields"
        self._say(f"{self.cls.__name__} needs {needed}. Ctrl-C leaves, and nothing runs.")

    def go_on(self) -> bool:
        """Ask for what is missing, or for what is to change; return False when all is well."""
        errors = _errors(self.cls, self.values)
        missing = [each["loc"] for each in errors if each["type"] == "missing"]
        entries = [entry for loc in missing if (entry := entry_at(self.cls, loc)) is not None]
        if entries:
            self._ask(entries[0])
        elif errors:
            self._correct(errors)
        return bool(errors)

    def end(self, command: Sequence[str]) -> None:
        settings = [setting(name, text) for name, text in self.answers.items() if text is not None]
        hidden = [name for name, text in self.answers.items() if text is None]
        self._say("")
        self._say(f"The same without being asked{' for anything but ' + ', '.join(hidden) if hidden else ''}:")
        self.console.print(Text(" ".join([*map(quoted, command), *settings]), "bold"), soft_wrap=True)
        self._say("")

    # --- One field

    def _ask(self, entry: Entry) -> None:
        if entry.model is not None:
            self._ask_for_model(entry)
        elif len(entry.choices) == 1 and not entry.takes_none:
            self._put(entry, entry.choices[0])
        else:
            self._introduce(entry)
            self._put(entry, self._answer(entry))

    def _ask_for_model(self, entry: Entry) -> None:
        """Decide whether there is one; its fields are asked for when they are found missing."""
        if entry.takes_none:
            self._introduce(entry)
            self._say("Fill it in? y or n; Enter for no.", "dim")
            if not self._is_wanted():
                self._put(entry, None)
                return
        self._put(entry, {})

    def _is_wanted(self) -> bool:
        while (text := self._read().strip().lower()) not in (*_YES, *_NO):
            self._refuse("Type y or n.")
        return text in _YES

    def _introduce(self, entry: Entry) -> None:
        told = [] if entry.choices else [", ".join([entry.type_name, *entry.constraints])]
        self._say("")
        self.console.print(Text("  ").join([Text(one_line(entry.name), "bold cyan"), *map(_dim, told)]))
        for line in several_lines(entry.description.strip()) if entry.description else ():
            self._say(line)
        for number, choice in enumerate(entry.choices, 1):
            self.console.print(
                Text.assemble((f"  {number} " if _are_numbered(entry) else "  ", "cyan"), text_of(choice))
            )
        hints = _hints_for(entry)
        if hints:
            self._say(" ".join(hints), "dim")

    def _answer(self, entry: Entry) -> Any:
        """Ask until the answer is one that the field takes."""
        while True:
            if entry.item is not None:
                value = self._items(entry, entry.item)
            else:
                text = self._read(entry)
                if not text and not entry.takes_none:
                    self._refuse("Nothing was given." + _how_to_be_empty(entry))
                    continue
                value = _read_as(entry, text)
            reasons = self._reasons(entry, value)
            if not reasons:
                return value
            self._refuse(*reasons)

    def _items(self, entry: Entry, item: Target) -> list[Any] | None:
        items: list[Any] = []
        most = entry.schema.get("maxItems")
        while len(items) != most:
            text = self._read(entry)
            if not text:
                break
            value = value_of(item, text)
            reasons = _reasons_of_type(item, value)
            if reasons:
                self._refuse(*reasons)
            else:
                items.append(value)
        return None if not items and entry.takes_none else items

    def _reasons(self, entry: Entry, value: Any) -> list[str]:
        """Return why the field does not take *value*: what its type says, then what the node's validators say."""
        reasons = _reasons_of_type(entry.target, value)
        if reasons:
            return reasons
        before = json.loads(json.dumps(self.values))
        _put(before, entry.keys, value)
        size = len(entry.keys)
        found = [each for each in _errors(self.cls, before) if each["loc"][:size] == entry.keys]
        return [_reason(each, entry.keys) for each in found if each["type"] != "missing"]

    def _put(self, entry: Entry, value: Any) -> None:
        _put(self.values, entry.keys, value)
        is_whole = value is None or not any(each.field.is_required() for each in entry.inner)
        if entry.model is None or is_whole:
            self.answers[entry.name] = None if entry.is_secret else setting_of(entry.target, value)

    # --- All of them

    def _correct(self, errors: Sequence[ErrorDetails]) -> None:
        """Tell what is wrong with the whole, and ask for the field that is to change."""
        self._say("")
        lines = [f"{self.cls.__name__}: {_reason(each)}" for each in errors]
        self._refuse(*lines)
        known = list(leaves(self.cls, self.values))
        if not known:
            raise UsageError(*lines)
        for number, (entry, value) in enumerate(known, 1):
            shown = "(not shown)" if entry.is_secret else one_line(setting_of(entry.target, value))
            self.console.print(Text.assemble((f"  {number:>2} ", "cyan"), f"{entry.name} = {shown}"))
        self._say("Which is to change? Type its number or its name.", "dim")
        by_answer = {entry.name: entry for entry, _ in known} | {str(n): entry for n, (entry, _) in enumerate(known, 1)}
        while (text := self._read().strip()) not in by_answer:
            self._refuse("Type a number or a name from the list.")
        entry = by_answer[text]
        self._introduce(entry)
        self._put(entry, self._answer(entry))

    # --- The terminal

    def _say(self, line: str, style: str = "") -> None:
        self.console.print(Text(one_line(line), style))

    def _refuse(self, *lines: str) -> None:
        for line in lines:
            self._say(line, "red")

    def _read(self, entry: Entry | None = None) -> str:
        try:
            return getpass.getpass(_PROMPT) if entry is not None and entry.is_secret else input(_PROMPT)
        except EOFError as error:
            self._say("")
            raise KeyboardInterrupt from error
        except KeyboardInterrupt:
            self._say("")
            raise


def _dim(text: str) -> Text:
    return Text(one_line(text), "dim")


def _put(values: Values, keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values[key]
    values[keys[-1]] = value


def _are_numbered(entry: Entry) -> bool:
    """Return whether choices can be typed by number: not where a number is itself a choice."""
    return not any(text_of(each).lstrip("-").isdigit() for each in entry.choices)


def _read_as(entry: Entry, text: str) -> Any:
    """Return what *text* says: a choice by its number or its text, or the value that ``--set`` would read."""
    if not text and entry.takes_none:
        return None
    by_text = {text_of(each): each for each in entry.choices}
    word = text.strip()
    if word in by_text:
        return by_text[word]
    if entry.choices and word.isdecimal() and _are_numbered(entry) and 1 <= int(word) <= len(entry.choices):
        return entry.choices[int(word) - 1]
    return value_of(entry.target, text)


def _hints_for(entry: Entry) -> list[str]:
    hints: list[str] = []
    if entry.model is not None:
        return hints
    if entry.item is not None:
        example = json_example(json_schema(entry.item.annotation))
        hints.append(f"One a line{example and ', as JSON: ' + example}; an empty line ends.")
    elif not entry.choices:
        example = json_example(entry.schema)
        hints.extend([f"As JSON: {example}"] if example else [])
    if entry.takes_none:
        hints.append("Enter for none.")
    return [*hints, *(["It is not shown."] if entry.is_secret else [])]


def _how_to_be_empty(entry: Entry) -> str:
    takes_it = not _reasons_of_type(entry.target, "")
    return f" (--set {entry.name}= gives the empty text.)" if takes_it else ""
