"""Where a node's return annotation leads, and who chooses."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from . import _hints
from ._bodies import innermost
from .errors import Fault

if TYPE_CHECKING:
    from .nodes import Node


def body_of(cls: type) -> Any:
    """Return the ``__call__`` that *cls* defines or inherits, or None."""
    return next((vars(base)["__call__"] for base in cls.__mro__ if "__call__" in vars(base)), None)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a run may go from a node, as its ``__call__`` says.

    `by` is who chooses: ``"lm"``, ``"code"``, ``"end"`` where there is no ``__call__``, or None if it cannot be told.
    With `returns_class` the code returns a class, and the LM fills it. `candidates` may hold what is no node.
    """

    by: Literal["lm", "code", "end"] | None
    candidates: tuple[Any, ...] = ()
    may_stop: bool = False
    returns_class: bool = False
    is_annotated: bool = True


def names_around(cls: type[Node]) -> dict[str, Any]:
    """Return the names in reach where *cls* and its bases were made, and their own."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__weft_surroundings__" in vars(base):
            found.update(base.__weft_surroundings__.names())  # type: ignore[attr-defined]
            found[base.__name__] = base
    return found


_ROUTING: Mapping[bool | None, Literal["lm", "code"] | None] = {True: "lm", False: "code", None: None}


def read_route(cls: type[Node], extra: Mapping[str, Any] | None = None) -> Route:
    """Return where *cls* may lead; *extra* names are looked at last. Raises UnknownNameError."""
    body = body_of(cls)
    if body is None:
        return Route("end", may_stop=True)
    by = cls.node_config.routes or _ROUTING[cls.__weft_body_is_empty__]
    hints = _hints.read_callable(body)
    if hints.returns is _hints.MISSING:
        return Route(by, is_annotated=False)
    annotation = _hints.evaluate(hints.returns, {**(extra or {}), **names_around(cls), **hints.names})
    values = _hints.type_arguments(cls)
    members = _hints.members(_hints.substitute(annotation, values))
    members = tuple(_hints.evaluate(each, {**(extra or {}), **names_around(cls)}) for each in members)
    steps = [each for each in members if each is not type(None)]
    wrapped = [each for each in steps if get_origin(each) is type]
    classes = [member for each in wrapped for member in _hints.members(get_args(each)[0])]
    returns_class = bool(wrapped) and len(wrapped) == len(steps)
    return Route(by, tuple(classes if returns_class else steps), len(steps) < len(members), returns_class)


def unknown_name(cls: type[Node] | None, where: str | None, error: _hints.UnknownNameError) -> Fault:
    """Return the fault of an annotation whose names cannot be found."""
    hint = "Define or import it before the Graph is made; names are looked up there and where the class is made."
    return Fault(cls, where, f"the name {error.name!r} in the annotation {error.annotation!r} cannot be found", hint)


def is_coroutine_body(body: Any) -> bool:
    """Return whether calling *body* gives a coroutine, decorators looked through."""
    return inspect.iscoroutinefunction(innermost(body)) or inspect.iscoroutinefunction(body)
