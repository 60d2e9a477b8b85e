"""Where a node's return annotation leads, and who chooses."""

from __future__ import annotations

import functools
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

    @property
    def offered(self) -> tuple[Any, ...]:
        """What a choice is made among: the candidates, and None where the run may stop."""
        return (*self.candidates, *((None,) if self.may_stop else ()))


def _names_around(cls: type[Node]) -> dict[str, Any]:
    """Return the local names where *cls* and its bases were made, and their own."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__weft_surroundings__" in vars(base):
            found.update(base.__weft_surroundings__.local_names())  # type: ignore[attr-defined]
            found[base.__name__] = base
            found.update({each.__name__: each for each in vars(base).get("__type_params__", ())})
    return found


_ROUTING: Mapping[bool | None, Literal["lm", "code"] | None] = {True: "lm", False: "code", None: None}


def read_route(cls: type[Node], around: _hints.Surroundings = _hints.NOWHERE) -> Route:
    """Return where *cls* may lead, by the names in its reach and those *around*; raises UnknownNameError."""
    body = body_of(cls)
    if body is None:
        return Route("end", may_stop=True)
    by = _ROUTING[cls.__weft_body_is_empty__] or cls.node_config.routes
    hints = _hints.read_callable(method_of(body))
    if hints.returns is _hints.MISSING:
        return Route(by, is_annotated=False)
    closer = {**_names_around(cls), **hints.closure}
    own = cls.__weft_surroundings__.module
    names = around.reach_of(cls, own if own is hints.module else {**own, **hints.module}, closer)
    values = _hints.type_arguments(cls)
    open_members = _hints.members(_hints.evaluate(hints.returns, names))
    closed = [_hints.evaluate(_hints.substitute(each, values), names) for each in open_members]
    members = [member for each in closed for member in _hints.members(each)]
    steps = [each for each in members if each is not type(None)]
    wrapped = [each for each in steps if get_origin(each) is type]
    classes = [member for each in wrapped for member in _hints.members(get_args(each)[0])]
    returns_class = bool(wrapped) and len(wrapped) == len(steps)
    return Route(by, tuple(classes if returns_class else steps), len(steps) < len(members), returns_class)


def filled_apart(cls: type[Node], candidate: type[Node]) -> str:
    """Return what *candidate* says of its filling that no call that routes from *cls* can keep to, or nothing."""
    own, routing = candidate.node_config, cls.node_config
    if own.tools:
        return "has tools"
    for name in ("timeout", "retries"):
        if getattr(own, name) not in (None, getattr(routing, name)):
            return f"has another {name}"
    return ""


def unknown_name(cls: type[Node] | None, where: str | None, error: _hints.UnknownNameError) -> Fault:
    """Return the fault of an annotation that cannot be read, or whose names cannot be found."""
    if not error.name:
        how = 'Write it as Python does: "A", "A | B" or "A | None".'
        return Fault(cls, where, f"the annotation {error.annotation!r} cannot be read: {error.reason}", how)
    guess = f"Did you mean {error.close!r}? " if error.close else ""
    hint = "Define or import it before the Graph is made; names are looked up there and where the class is made."
    inside = "" if str(error.annotation).strip("'\"") == error.name else f" in the annotation {error.annotation!r}"
    return Fault(cls, where, f"the name {error.name!r}{inside} cannot be found", guess + hint)


def method_of(body: Any) -> Any:
    """Return what a ``__call__`` really calls: the function of a ``partialmethod``, else itself."""
    return body.func if isinstance(body, functools.partialmethod) else body


def prefilled(body: Any) -> tuple[int, set[str]]:
    """Return how many positional arguments a ``partialmethod`` gives, and the names of the others."""
    if not isinstance(body, functools.partialmethod):
        return 0, set()
    return len(body.args), set(body.keywords)


def takes_self(body: Any) -> bool:
    """Return whether the node is *body*'s first argument: an object that is no function is not bound to it."""
    return inspect.isfunction(method_of(body))


def is_coroutine_body(body: Any) -> bool:
    """Return whether calling *body* gives a coroutine, decorators looked through."""
    method = method_of(body)
    called = method if inspect.isroutine(method) else type(method).__call__
    return any(inspect.iscoroutinefunction(each) for each in (innermost(method), method, called))
