"""Which schemas a provider's own structured output takes: every part has a type, and none holds itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

_TYPED = ("type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum")


def suits_native_output(schema: Mapping[str, Any]) -> bool:
    """Return whether *schema* has no part that may be anything or a list of values, and none that holds itself.

    Such are refused by Anthropic's SDK before a request is sent; a tool's parameters may be like that.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    return all(_is_typed(part) for part in _parts(schema)) and not any(
        name in _named_below(name, definitions) for name in definitions
    )


def _is_schema(part: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(part, dict)


def _is_typed(part: object) -> bool:
    if not _is_schema(part) or not any(key in part for key in _TYPED):
        return False
    return not any(isinstance(value, list | dict) for value in [*part.get("enum", ()), part.get("const")])


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield every schema inside *schema*."""
    inside = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inside += [part for key in ("anyOf", "oneOf", "allOf", "prefixItems") for part in schema.get(key, ())]
    if schema.get("type") == "array":
        inside.append(schema.get("items", {"type": "null"} if "prefixItems" in schema else {}))
    if isinstance(schema.get("additionalProperties"), dict):
        inside.append(schema["additionalProperties"])
    for part in inside:
        yield part
        if _is_schema(part):
            yield from _parts(part)


def _named_below(name: str, definitions: Mapping[str, Any]) -> set[str]:
    """Return the definitions that *name* leads to."""
    found, todo = set[str](), [name]
    while todo:
        part = definitions.get(todo.pop(), {})
        references = {str(each["$ref"]).rpartition("/")[2] for each in [part, *_parts(part)] if "$ref" in each}
        todo.extend(references - found)
        found |= references
    return found
