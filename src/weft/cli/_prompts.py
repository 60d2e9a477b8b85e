"""``weft run --verbose``: what each LM call showed the model, and what it answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .._event import jsonable
from ..errors import describe
from ..events import Event, LMCallFinished
from ..lm import LMRequest, Option
from ._branches import duration
from ._print import Row, console_of, print_rows, rows_of


def print_call(event: Event) -> None:
    """Print an attempt of an LM call when it has ended: its prompt, its answer, and why that was rejected."""
    if not isinstance(event, LMCallFinished):
        return
    console = console_of()
    with console.capture() as captured:
        print_rows(console, f"{_VERBS[event.kind]} {event.target}, {event.key}", _call(event))
        console.print()
    # Written like the prints of any code: above a live tree, if there is one.
    sys.stdout.write(captured.get())


_VERBS = {"fill": "LM fills", "choose": "LM chooses after", "make": "LM makes", "decide": "LM decides after"}


def _call(event: LMCallFinished) -> Iterator[Row]:
    if event.request is None:
        yield "  ", "prompt: ", "this LM does not tell it"
    else:
        yield from _prompt(event.request)
    if event.status == "done":
        yield from rows_of(f"answer{_told_of(event)}:", jsonable(_parsed(event.answer)), "  ")
    for reason in event.reasons:
        yield "  ", "rejected: ", reason
    if event.status != "done":
        yield "  ", f"{event.status} after {duration(max(event.seconds, 0.0))}", _error(event)


def _error(event: LMCallFinished) -> str:
    return f": {describe(event.error)}" if event.error is not None else ""


def _told_of(event: LMCallFinished) -> str:
    usage = event.usage
    tokens = f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens" if usage.input_tokens else ""
    said = [each for each in (event.model, tokens, duration(max(event.seconds, 0.0))) if each]
    return f" ({', '.join(said)})"


def _parsed(answer: Any) -> Any:
    """Return an answer in JSON text as what it says; other text as it is."""
    if not isinstance(answer, str):
        return answer
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _prompt(request: LMRequest) -> Iterator[Row]:
    yield "  ", "instruction: ", request.instruction
    if request.source_name:
        yield from rows_of(f"source {request.source_name}:", dict(request.source), "  ")
    if request.inputs:
        yield from rows_of("inputs:", dict(request.inputs), "  ")
    if request.options:
        types = _types(request)
        yield from rows_of(
            "options:", {each.name: _option(each, types.get(each.name)) for each in request.options}, "  "
        )
    else:
        yield from rows_of("fields:", _fields(request.schema), "  ")
    for number, rejection in enumerate(request.rejected, start=1):
        yield from rows_of(f"rejected answer {number}:", list(rejection.reasons), "  ")


def _types(request: LMRequest) -> dict[str, dict[str, str]]:
    """Return what the model is told of each option's fields, where it is to write them, too."""
    decision = request.schema.get("properties", {}).get("decision", {})
    branches = [branch.get("properties", {}) for branch in decision.get("anyOf", [decision])]
    return {str(each["choice"]["const"]): _fields(each["fields"]) for each in branches if "fields" in each}


def _option(option: Option, types: Mapping[str, str] | None) -> Any:
    told = types or {name: description or "(no description)" for name, description in option.fields.items()}
    return {"instruction": option.instruction, **({"fields": told} if told else {})}


def _fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model is told of each field: its type and its description."""
    required = schema.get("required", ())
    return {
        name: _field(field, is_optional=name not in required) for name, field in schema.get("properties", {}).items()
    }


def _field(field: Mapping[str, Any], *, is_optional: bool) -> str:
    said = [_type(field), "optional" if is_optional else ""]
    shown = ", ".join(each for each in said if each)
    return f"{shown}: {field['description']}" if field.get("description") else shown


def _type(field: Mapping[str, Any]) -> str:
    """Return a JSON schema's type in a few words; what has none is shown as it is."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " | ".join(json.dumps(each, ensure_ascii=False) for each in field["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            return " | ".join(_type(each) for each in field[key])
    if field.get("type") == "array" and "items" in field:
        return f"list of {_type(field['items'])}"
    told = {name: value for name, value in field.items() if name not in {"type", "title", "description"}}
    limits = "".join(f", {name} {json.dumps(value)}" for name, value in told.items() if not isinstance(value, dict))
    return f"{field.get('type', 'anything')}{limits}"
