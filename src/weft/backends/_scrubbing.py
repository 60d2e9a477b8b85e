"""What must not be written down: values of secret fields, keys from the environment, and what the user names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from pydantic_core import from_json

Scrub = Callable[[str], str] | Sequence[str | re.Pattern[str]]

MASK = "**********"
SCRUBBED = "[scrubbed]"
_SHORTEST = 8
_KEY_NAME = re.compile(r"(API_?KEY|ACCESS_?KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)


class Scrubber:
    """Takes secrets out of texts: the environment's keys, read anew each time, and what *scrub* says."""

    def __init__(self, scrub: Scrub = ()) -> None:
        if isinstance(scrub, str):
            scrub = (scrub,)
        self._scrub = scrub if callable(scrub) else _replacing(scrub)

    def __call__(self, value: Any) -> Any:
        """Return the JSON *value* without secrets, in texts and in names."""
        return _each_text(value, self._text_scrubber(keys_of_environment()))

    def _text_scrubber(self, keys: Mapping[str, str]) -> Callable[[str], str]:
        def scrub(text: str) -> str:
            for secret, name in keys.items():
                text = text.replace(secret, f"[{name}]")
            return self._scrub(text)

        return scrub


def _replacing(patterns: Sequence[str | re.Pattern[str]]) -> Callable[[str], str]:
    compiled = [re.compile(pattern) for pattern in patterns]

    def scrub(text: str) -> str:
        for pattern in compiled:
            text = pattern.sub(SCRUBBED, text)
        return text

    return scrub


def keys_of_environment() -> dict[str, str]:
    """Return the names of the environment's secrets, by value and by how JSON writes it; the longest first."""
    named = {value: name for name, value in os.environ.items() if _KEY_NAME.search(name) and len(value) >= _SHORTEST}
    written = {
        json.dumps(value, ensure_ascii=is_ascii)[1:-1]: named[value] for value in named for is_ascii in (False, True)
    }
    return dict(sorted({**written, **named}.items(), key=lambda each: (-len(each[0]), each)))


def _each_text(value: Any, scrub: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if is_object(value):
        return {scrub(name): _each_text(each, scrub) for name, each in value.items()}
    return [_each_text(each, scrub) for each in value] if is_list(value) else value


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether *value* is a JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether *value* is a JSON array."""
    return isinstance(value, list)


# --- Secret fields that a model writes


def masked(answer: Any, schema: Mapping[str, Any]) -> Any:
    """Return the JSON *answer*, or JSON text, with a mask for each value that *schema* says is secret."""
    if not has_secrets(schema):
        return answer
    if not isinstance(answer, str):
        return _masked(answer, schema, schema)
    try:
        value = from_json(answer)
    except ValueError:  # nobody knows where in it the secret is
        return MASK
    return json.dumps(_masked(value, schema, schema), ensure_ascii=False)


def secrets_of(answer: Any, schema: Mapping[str, Any]) -> set[str]:
    """Return the texts in *answer* that `masked` takes out."""
    if isinstance(answer, str) and has_secrets(schema):
        try:
            answer = from_json(answer)
        except ValueError:
            return {answer}
    before, after = set(_texts(answer)), set(_texts(masked(answer, schema)))
    return before - after - {""}


def has_secrets(schema: Any) -> bool:
    """Return whether *schema* has a secret field: Pydantic says that it is to be written only."""
    if is_object(schema):
        return schema.get("writeOnly") is True or any(map(has_secrets, schema.values()))
    return is_list(schema) and any(map(has_secrets, schema))


def _texts(value: Any) -> Iterator[str]:
    if is_object(value):
        for each in value.values():
            yield from _texts(each)
    elif is_list(value):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield str(value)


def _masked(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    places = list(_meant(schema, root))
    if value is not None and any(place.get("writeOnly") for place in places):
        return MASK
    if is_object(value):
        shown = value.items()
        return {name: _masked_in(each, [_of_name(place, name) for place in places], root) for name, each in shown}
    if is_list(value):
        return [_masked_in(each, [_of_index(place, at) for place in places], root) for at, each in enumerate(value)]
    return value


def _masked_in(value: Any, schemas: Sequence[Any], root: Mapping[str, Any]) -> Any:
    return _masked(value, {"anyOf": list(schemas)}, root)


def _of_name(schema: Mapping[str, Any], name: str) -> Any:
    return schema.get("properties", {}).get(name, schema.get("additionalProperties"))


def _of_index(schema: Mapping[str, Any], index: int) -> Any:
    first = schema.get("prefixItems", [])
    return first[index] if index < len(first) else schema.get("items")


def _meant(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that *schema* stands for: itself, what it refers to, and each it may be."""
    if not is_object(schema):
        return
    yield schema
    if "$ref" in schema:
        yield from _meant(root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2]), root)
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word, ()):
            yield from _meant(each, root)
