"""What all events are, apart from their kinds, so that a graph's signatures can name it before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import from_json, to_json

from .errors import name_of, shorten


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have: the run, the place, the place around it, and the time."""

    run_id: str
    key: str
    parent: str | None
    at: float

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values, its kind under ``"event"``."""
        values = {each.name: jsonable(getattr(self, each.name)) for each in fields(self)}
        return {"event": type(self).__name__, **values}


def jsonable(value: Any) -> Any:
    """Return *value* as JSON values, fields by name; what JSON cannot hold becomes its type's name in brackets."""
    if isinstance(value, Iterator):  # to look would be to use it up
        return _placeholder(value)
    try:
        text = to_json(value, fallback=_placeholder, inf_nan_mode="strings", bytes_mode="base64", by_alias=False)
    except ValueError:  # it holds itself, or text that is no Unicode
        return _placeholder(value) if not isinstance(value, str) else ascii(value)
    return from_json(text)


def _placeholder(value: Any) -> str:
    if isinstance(value, type) or callable(value):
        return name_of(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {shorten(value)}"
    return f"<{type(value).__name__}>"
