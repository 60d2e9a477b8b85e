"""Tells a body that says nothing from one with code, by what it compiles to; source is never read.

A body is empty when its operations are those of ``...``: so are ``pass``, a docstring and a lone ``return None``,
in a REPL, a zip or a frozen application as well.
"""

from __future__ import annotations

import dis
import inspect
from types import CodeType
from typing import Any

# Book-keeping that the compiler adds without the author having written anything.
_SILENT = frozenset(
    ["NOP", "RESUME", "CACHE", "RETURN_GENERATOR", "POP_TOP", "COPY_FREE_VARS", "MAKE_CELL", "NOT_TAKEN"]
)
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _operations(code: CodeType) -> list[tuple[str, Any]]:
    constants = ("LOAD_CONST", "RETURN_CONST")
    return [
        (step.opname, step.argval if step.opname in constants else None)
        for step in dis.get_instructions(code)
        if step.opname not in _SILENT
    ]


def _empty() -> None: ...
async def _empty_async() -> None: ...


_EMPTY = {False: _operations(_empty.__code__), True: _operations(_empty_async.__code__)}


def innermost(function: Any) -> Any:
    """Return the plain function below decorators that say what they wrap, and below a method."""
    unwrapped = inspect.unwrap(function)
    return getattr(unwrapped, "__func__", unwrapped)


def is_empty(function: Any) -> bool | None:
    """Return whether *function*'s body does nothing; None where there is no code object to tell."""
    code = getattr(innermost(function), "__code__", None)
    if not isinstance(code, CodeType) or not code.co_code:
        return None
    if code.co_flags & _GENERATORS:
        return False
    return _operations(code) == _EMPTY[bool(code.co_flags & inspect.CO_COROUTINE)]
