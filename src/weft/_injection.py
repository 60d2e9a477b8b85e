"""How the values of Dep and Recall fields get into a node while its other fields are validated."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic_core import core_schema


class _Unresolved:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<unresolved>"


UNRESOLVED = _Unresolved()
_Injection = tuple[type | None, Mapping[str, Any]]
_NONE: _Injection = (None, {})
_injection: ContextVar[_Injection] = ContextVar("weft_injection", default=_NONE)


@contextmanager
def injecting(cls: type, values: Mapping[str, Any]) -> Generator[None]:
    """Let the next *cls* be validated with *values* in its Dep and Recall fields, taken as they are."""
    token = _injection.set((cls, values))
    try:
        yield
    finally:
        _injection.reset(token)


class _TakeInjection:
    """Validates a node's fields with what is injected into this node, and into none of the nodes inside it.

    Each Dep and Recall field has a variable, which holds what the field is when nothing is given for it: to read that
    costs a missing field no call of Python code.
    """

    def __init__(self, cls: type, names: Iterable[str]) -> None:
        self.cls = cls
        self.fields: dict[str, ContextVar[Any]] = {name: ContextVar(name, default=UNRESOLVED) for name in names}
        self._is_taken: ContextVar[bool] = ContextVar("weft_injection_taken", default=False)

    def __call__(self, value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
        target, values = _injection.get()
        if target is None and not self._is_taken.get():
            return _drop_unresolved(validate(value))
        mine: Mapping[str, Any] = values if target is self.cls else {}
        held: list[tuple[ContextVar[Any], Any]] = [(_injection, _NONE), (self._is_taken, True)]
        held += [(variable, mine.get(name, UNRESOLVED)) for name, variable in self.fields.items()]
        tokens = [variable.set(content) for variable, content in held]
        try:
            return _drop_unresolved(validate(value))
        finally:
            for token in tokens:
                token.var.reset(token)


def _drop_unresolved(validated: tuple[dict[str, Any], Any, set[str]]) -> tuple[dict[str, Any], Any, set[str]]:
    values, _, given = validated
    if values.keys() <= given:
        return validated
    for name in [name for name, value in values.items() if value is UNRESOLVED]:
        del values[name]
    return validated


def let_fields_be_missing(cls: type, schema: Any, injected: set[str]) -> None:
    """Change a node's model schema in place so that its Dep and Recall fields may be missing."""
    holder = schema
    while holder["type"] != "model":
        holder = holder["schema"]
    inner = holder["schema"]
    if isinstance(inner.get("function", {}).get("function"), _TakeInjection):
        return
    take = _TakeInjection(cls, injected)
    holder["schema"] = core_schema.no_info_wrap_validator_function(take, inner)
    while inner["type"] != "model-fields":
        inner = inner["schema"]
    for name in injected & set(inner["fields"]):
        field, factory = inner["fields"][name], take.fields[name].get
        field["schema"] = core_schema.with_default_schema(
            field["schema"], default_factory=factory, validate_default=False
        )
