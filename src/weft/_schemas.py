"""JSON schemas as a model may see them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class ModelFacingSchema(GenerateJsonSchema):
    """JSON schemas as a model may see them: docstrings are for people, automatic titles say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _without_docstring(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _without_docstring(super().dataclass_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _without_docstring(super().typed_dict_schema(schema), schema.get("cls"))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        self.enum_docstrings.add(inspect.cleandoc(schema["cls"].__doc__ or ""))
        return super().enum_schema(schema)

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        # Pydantic puts an enum's docstring back after enum_schema.
        self.enum_docstrings: set[str] = set()
        return cast("JsonSchemaValue", self._without_enum_docstrings(super().generate(schema, mode)))

    def _without_enum_docstrings(self, part: Any) -> Any:
        if not isinstance(part, dict):
            items = cast("list[Any]", part)
            return [self._without_enum_docstrings(each) for each in items] if isinstance(part, list) else part
        values = cast("dict[str, Any]", part)
        is_docstring = "enum" in values and values.get("description") in self.enum_docstrings
        kept = {key: value for key, value in values.items() if not (is_docstring and key == "description")}
        return {key: self._without_enum_docstrings(value) for key, value in kept.items()}


def _without_docstring(schema: JsonSchemaValue, cls: type | None) -> JsonSchemaValue:
    docstring = cls.__doc__ if cls else None
    if docstring and schema.get("description") == inspect.cleandoc(docstring):
        return {key: value for key, value in schema.items() if key != "description"}
    return schema


def schemas_of(parts: Mapping[str, CoreSchema]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON schemas of *parts* by name, and the definitions that they share, no two of one name."""
    fields = {name: core_schema.model_field(part) for name, part in parts.items()}
    whole = ModelFacingSchema().generate(core_schema.model_fields_schema(fields))
    return whole.get("properties", {}), whole.get("$defs", {})


def used_of(definitions: Iterable[Any], schema: CoreSchema) -> list[CoreSchema]:
    """Return those of *definitions* that *schema* refers to, itself or by way of others."""
    unused = {each["ref"]: each for each in definitions}
    used: list[CoreSchema] = []
    todo: list[Any] = [schema] if unused else []
    seen: set[int] = set()
    while todo:
        part = todo.pop()
        if id(part) in seen:  # a default may hold itself
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            values = cast("dict[str, Any]", part)
            if values.get("type") == "definition-ref" and values["schema_ref"] in unused:
                used.append(unused.pop(values["schema_ref"]))
                todo.append(used[-1])
            todo.extend(values.values())
        elif isinstance(part, list | tuple):
            todo.extend(cast("Sequence[Any]", part))
    return used
