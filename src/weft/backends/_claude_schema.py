"""A JSON schema as every version of the Claude CLI accepts it.

The CLI checks schemas and answers with Ajv in strict mode, draft 7. A keyword that Ajv does not know makes newer
versions fail, and older ones drop the whole schema without a word. So what is not surely known is left out, and what
Python and JavaScript may read differently is said in words: Pydantic checks the answer in any case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_KEPT = {
    *("$ref", "type", "enum", "const", "title", "description", "default", "required", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
}
_NAMED_PARTS = ("properties", "$defs")
_LISTED_PARTS = ("anyOf", "oneOf", "allOf")
_SINGLE_PARTS = ("items", "additionalProperties", "propertyNames", "not")
# A multiple of 0.01 is one in binary fractions by luck only.
_IN_WORDS = ("format", "pattern", "multipleOf", "contentEncoding", "contentMediaType")
VALUE = "value"


def acceptable(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return *schema* in the CLI's terms, an object at its root, and whether the value is wrapped for that."""
    root = dict(schema)
    definitions = root.pop("$defs", {})
    # An API takes a reference at the root for no object.
    while (name := str(root.get("$ref", "")).removeprefix("#/$defs/")) in definitions:
        root = {**definitions[name], **{key: value for key, value in root.items() if key != "$ref"}}
    is_wrapped = root.get("type") != "object"
    if is_wrapped:
        root = {"type": "object", "properties": {VALUE: root}, "required": [VALUE], "additionalProperties": False}
    return _cleaned({**root, "$defs": definitions} if definitions else root), is_wrapped


def _cleaned(part: Any) -> Any:
    if isinstance(part, bool):
        return part
    schema: Mapping[str, Any] = part
    cleaned = {key: value for key, value in schema.items() if key in _KEPT}
    for key in _NAMED_PARTS:
        if key in schema:
            cleaned[key] = {name: _cleaned(each) for name, each in schema[key].items()}
    for key in _LISTED_PARTS:
        if key in schema:
            cleaned[key] = [_cleaned(each) for each in schema[key]]
    for key in _SINGLE_PARTS:
        if key in schema:
            cleaned[key] = _cleaned(schema[key])
    return cleaned | _tuple(schema) | _names_by_pattern(schema) | _words(schema)


def _tuple(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tuple as a list of that length whose items fit one of its places."""
    places = [_cleaned(each) for each in schema.get("prefixItems", ())]
    return {"items": {"anyOf": places}, "minItems": len(places), "maxItems": len(places)} if places else {}


def _names_by_pattern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object whose names match a pattern as one of any names."""
    values = [_cleaned(each) for each in schema.get("patternProperties", {}).values()]
    if not values:
        return {}
    return {"additionalProperties": values[0] if len(values) == 1 else {"anyOf": values}}


def _words(schema: Mapping[str, Any]) -> dict[str, str]:
    said = [f"{key}: {_word(schema[key])}" for key in _IN_WORDS if key in schema]
    if places := [_cleaned(each) for each in schema.get("prefixItems", ())]:
        said.append(f"in this order: {json.dumps(places)}")
    said += [f"names match: {pattern}" for pattern in schema.get("patternProperties", ())]
    if not said:
        return {}
    return {"description": f"{schema.get('description', '')} ({'; '.join(said)})".strip()}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
