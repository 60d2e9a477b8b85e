"""Fields by dotted name: where Pydantic looks for their values in JSON, and of which type these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, Field
from pydantic.fields import FieldInfo

from .. import _hints
from ..render.outline import type_name


class UnknownFieldError(Exception):
    """Raised when `owner` has no field `name`; `known` are those it has."""

    def __init__(self, owner: str, name: str, known: Sequence[str]) -> None:
        super().__init__(owner, name)
        self.owner = owner
        self.name = name
        self.known = list(known)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a value goes: the keys that lead to it in JSON, its type, and the fields it has itself."""

    keys: tuple[str, ...]
    annotation: Any

    @property
    def type_name(self) -> str:
        """The type as people write it."""
        return type_name(self.annotation)

    @property
    def inner(self) -> list[str]:
        """The names of the fields that the type has, if it is a model."""
        return list(dict.fromkeys(name for member in _hints.members(self.annotation) for name in _names(member)))


def target_of(cls: type[BaseModel], path: Sequence[str]) -> Target:
    """Return where the value of the dotted *path*, seen from *cls*, goes; raises UnknownFieldError."""
    keys: list[str] = []
    annotation: Any = cls
    for name in path:
        key, annotation = _inside(annotation, name)
        keys.append(key)
    return Target(tuple(keys), annotation)


def type_of(field: FieldInfo) -> Any:
    """Return the type of *field* with all that narrows it, and what tells the members of a union apart."""
    annotation = field.rebuild_annotation()
    if field.discriminator is None:
        return annotation
    return Annotated[annotation, Field(discriminator=field.discriminator)]


def _inside(annotation: Any, name: str) -> tuple[str, Any]:
    """Return the JSON key and the type of what *annotation* has under *name*."""
    members = _hints.members(annotation)
    for member in members:
        found = _member_field(member, name)
        if found is not None:
            return found
    known = [each for member in members for each in _names(member)]
    raise UnknownFieldError(type_name(annotation), name, known)


def _member_field(member: Any, name: str) -> tuple[str, Any] | None:
    if _is_model(member):
        return _model_field(member, name)
    if is_dataclass(member):
        return next(((name, Any) for field in fields(member) if field.name == name), None)
    origin = get_origin(member) or member
    if origin is Any or origin is object:
        return name, Any
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return name, [*get_args(member), Any, Any][1]
    return None


def _is_model(member: Any) -> bool:
    return hasattr(member, "__pydantic_fields__")


def _model_field(model: Any, name: str) -> tuple[str, Any] | None:
    """Return a field by its name or one of its aliases."""
    found: Mapping[str, FieldInfo] = model.__pydantic_fields__
    for own, field in found.items():
        keys = _keys(model, own, field)
        if name == own or name in keys:
            return name if name in keys else keys[0], type_of(field)
    config = getattr(model, "model_config", {})
    return (name, Any) if config.get("extra") == "allow" else None


def _keys(model: Any, name: str, field: FieldInfo) -> list[str]:
    """Return the keys under which Pydantic looks for a field's value."""
    config = getattr(model, "model_config", {})
    aliases = _aliases(field.validation_alias or field.alias)
    if not aliases or config.get("validate_by_alias") is False:
        return [name]
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    return [*aliases, name] if by_name else aliases


def _aliases(alias: str | AliasPath | AliasChoices | None) -> list[str]:
    if isinstance(alias, AliasChoices):
        return [key for choice in alias.choices for key in _aliases(choice)]
    if isinstance(alias, AliasPath):
        return [str(alias.path[0])]
    return [alias] if alias else []


def _names(member: Any) -> list[str]:
    if _is_model(member):
        return list(member.__pydantic_fields__)
    return [field.name for field in fields(member)] if is_dataclass(member) else []
