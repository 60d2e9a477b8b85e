"""The form that DSPy's ChatAdapter asks for: which fields, and an answer in it."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from weft.backends._samples import sample

_FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]\n\{\w+\}(?: +# note: the value you produce (.*))?")
_OUTPUT = re.compile(r"^\d+\. `(\w+)` .*((?:\nConstraints: .*)?)", re.MULTILINE)
_LIMITS = {
    "greater than": "exclusiveMinimum",
    "greater than or equal to": "minimum",
    "less than": "exclusiveMaximum",
    "less than or equal to": "maximum",
    "a multiple of the given number": "multipleOf",
    "minimum length": "minLength",
    "maximum length": "maxLength",
}
_NUMBERS = {"must be True or False": "boolean", "must be a single int value": "integer"}
_NUMBERS["must be a single float value"] = "number"


def fields_in(body: Any) -> dict[str, Any] | None:
    """Return the schema of each output field that a request's system prompt asks for; None for another form."""
    system = "\n".join(str(each["content"]) for each in body.get("messages", ()) if each["role"] == "system")
    if "[[ ## completed ## ]]" not in system:
        return None
    outputs = dict(_OUTPUT.findall(system.partition("Your output fields are:")[2]))
    form = system.partition("All interactions will be structured")[2]
    notes = dict(_FIELD.findall(form))
    return {name: {**_schema(notes[name]), **_limits(told)} for name, told in outputs.items()}


def _limits(told: str) -> dict[str, Any]:
    parts = re.findall(r"([a-z ]+): (-?[\d.]+(?:e[+-]?\d+)?)", told)
    return {_LIMITS[word.strip()]: json.loads(number) for word, number in parts}


def _schema(note: str) -> dict[str, Any]:
    start, _, rest = note.partition(": ")
    if start == "must adhere to the JSON schema":
        return json.loads(rest)
    if start.startswith("must exactly match"):
        return {"enum": rest.split("; ")}
    return {"type": _NUMBERS.get(note, "string")}


def answer_in_form(fields: dict[str, Any], answers: Any) -> str:
    """Return an answer that has *fields*: one of *answers* that has the same, or made from the schemas."""
    named = [{field_name(name): value for name, value in each.items()} for each in answers]
    values = next((each for each in named if _fits(each, fields)), None) or _made(fields)
    return in_form({name: values[name] for name in fields})


def _fits(values: dict[str, Any], fields: dict[str, Any]) -> bool:
    return values.keys() == fields.keys() and all(is_valid(values[name], schema) for name, schema in fields.items())


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    value = str(value) if "enum" in schema else value
    return "$dynamicRef" in json.dumps(schema) or Draft202012Validator(schema).is_valid(value)


def _made(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: sample(schema, "stub") for name, schema in fields.items()}


def field_name(name: str) -> str:
    return re.sub(r"\W", "_", name)


def in_form(values: dict[str, Any]) -> str:
    """Return *values* as a model writes them in DSPy's form."""
    written = [f"[[ ## {name} ## ]]\n{written_of(value)}" for name, value in values.items()]
    return "\n\n".join([*written, "[[ ## completed ## ]]"])


def written_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else str(value)
