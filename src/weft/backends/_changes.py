"""What has changed between two questions to an LM, each difference in one readable line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ..errors import printable
from ._scrubbing import is_list, is_object

_SHOWN = 60
_CONTEXT = 15
_ABSENT = object()

Question = Mapping[str, Any]


def changes(old: Question, new: Question) -> list[str]:
    """Return a line for each difference between the questions *old* and *new*."""
    return list(dict.fromkeys(map(printable, _changes(old, new))))


def _changes(old: Question, new: Question) -> Iterator[str]:
    if old["instruction"] != new["instruction"]:
        yield f"instruction changed: {_arrow(old['instruction'], new['instruction'])}"
    yield from _schema_changes(old["schema"], new["schema"])
    yield from _option_changes(_by_name(old["options"]), _by_name(new["options"]))
    if old["source_name"] != new["source_name"]:
        yield f"source was {old['source_name']}, is {new['source_name']}"
    yield from _value_changes(f"{new['source_name']}.", old["source"], new["source"])
    yield from _value_changes("", old["inputs"], new["inputs"])
    yield from _rejection_changes(old["rejected"], new["rejected"])
    if old["tools"] != new["tools"]:
        yield f"tools were {_names(old['tools'])}, are {_names(new['tools'])}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


# --- The fields to be written


def _schema_changes(old: Question, new: Question) -> Iterator[str]:
    yield from _field_changes("", old, new)
    nested = old.get("$defs", {}), new.get("$defs", {})
    for name in sorted({*nested[0], *nested[1]}):
        yield from _field_changes(f"{name}.", nested[0].get(name, {}), nested[1].get(name, {}))


def _field_changes(where: str, old: Question, new: Question) -> Iterator[str]:
    """Yield how one model's schema changed: its fields, then what else there is."""
    fields = old.get("properties", {}), new.get("properties", {})
    for name, before, after in _pairs(*fields):
        if before is _ABSENT or after is _ABSENT:
            yield f"field `{where}{name}` is {'new' if before is _ABSENT else 'gone'}"
        else:
            yield from _detail_changes(f"field `{where}{name}`", before, after)
    both = set(fields[0]) & set(fields[1])
    needed = both & set(old.get("required", ())), both & set(new.get("required", ()))
    for name in sorted(needed[0] ^ needed[1]):
        yield f"field `{where}{name}` {'must' if name in needed[1] else 'need not'} be written"
    told = {"properties", "required", "$defs"}
    rest = [{key: value for key, value in each.items() if key not in told} for each in (old, new)]
    yield from _detail_changes(f"`{where.rstrip('.')}`" if where else "the answer", *rest)


def _detail_changes(what: str, old: Question, new: Question) -> Iterator[str]:
    for key, before, after in _pairs(old, new):
        if before is _ABSENT:
            yield f"{key} of {what} is new: {_shown(after)}"
        elif after is _ABSENT:
            yield f"{key} of {what} is gone: {_shown(before)}"
        else:
            yield f"{key} of {what} changed: {_arrow(before, after)}"


def _by_name(options: Sequence[Question]) -> dict[str, Question]:
    return {option["name"]: option for option in options}


def _option_changes(old: Mapping[str, Question], new: Mapping[str, Question]) -> Iterator[str]:
    for name, before, after in _pairs(old, new):
        if before is _ABSENT or after is _ABSENT:
            yield f"option {name} is {'new' if before is _ABSENT else 'gone'}"
            continue
        if before["instruction"] != after["instruction"]:
            yield f"instruction of option {name} changed: {_arrow(before['instruction'], after['instruction'])}"
        for field, was, now in _pairs(before["fields"], after["fields"]):
            if was is _ABSENT or now is _ABSENT:
                yield f"field `{name}.{field}` is {'new' if was is _ABSENT else 'gone'}"
            else:
                yield f"description of field `{name}.{field}` changed: {_arrow(was, now)}"
    if list(old) != list(new) and sorted(old) == sorted(new):
        yield f"order of the options changed: {_names(list(old))} → {_names(list(new))}"


# --- What the model is shown


def _value_changes(where: str, old: Question, new: Question) -> Iterator[str]:
    for name, before, after in _pairs(old, new):
        for path, was, now in _leaves(f"{where}{name}", before, after):
            if was is _ABSENT:
                yield f"input `{path}` is new: {_shown(now)}"
            elif now is _ABSENT:
                yield f"input `{path}` is gone: {_shown(was)}"
            else:
                was, now = _both_shown(was, now)  # noqa: PLW2901  as they are shown
                yield f"input `{path}` was {was}, is {now}"


def _leaves(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the smallest parts that differ, with the path to each."""
    if is_object(old) and is_object(new):
        for name, before, after in _pairs(old, new):
            yield from _leaves(f"{path}.{name}", before, after)
    elif is_list(old) and is_list(new):
        for index, (before, after) in enumerate(zip_longest(old, new, fillvalue=_ABSENT)):
            yield from _leaves(f"{path}[{index}]", before, after)
    elif old != new:
        yield path, old, new


def _rejection_changes(old: Sequence[Question], new: Sequence[Question]) -> Iterator[str]:
    if len(old) != len(new):
        yield f"answers rejected before were {len(old)}, are {len(new)}"
    for before, after in zip(old, new, strict=False):
        if before["answer"] != after["answer"]:
            yield f"answer rejected before is different: {_arrow(before['answer'], after['answer'])}"
        elif before["reasons"] != after["reasons"]:
            was, now = "; ".join(before["reasons"]), "; ".join(after["reasons"])
            yield f"the reason why an answer was rejected is different: {_arrow(was, now)}"


# --- In one line


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each name with what it stands for in both, where that differs."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if before is _ABSENT or after is _ABSENT or before != after:
            yield name, before, after


def _arrow(old: Any, new: Any) -> str:
    return " → ".join(_both_shown(old, new))


def _both_shown(old: Any, new: Any) -> tuple[str, str]:
    """Return both as text, cut to where they begin to differ."""
    texts = _text(old), _text(new)
    alike = next((index for index, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, alike - _CONTEXT) if max(map(len, texts)) > _SHOWN else 0
    shown = [_cut(text[start:]) for text in texts]
    return (f"…{shown[0]}", f"…{shown[1]}") if start else (shown[0], shown[1])


def _shown(value: Any) -> str:
    return _cut(_text(value))


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
