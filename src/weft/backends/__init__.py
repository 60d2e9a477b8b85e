"""Language models, one a file, and the names they go by. A back-end knows lm, filling and errors, no graph."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from ..errors import LMNotConfiguredError, sentence, what_is
from ..lm import LM

# Name → module and class. A module is imported when its name is used.
_BY_NAME = {
    "offline": (".offline", "OfflineLM"),
    "claude-cli": (".claude_cli", "ClaudeCLIBackend"),
    "dspy": (".dspy", "DSPyBackend"),
}
# What stands before a colon → module and class, which is given what stands behind it.
_BY_PREFIX = {
    "claude-cli": (".claude_cli", "ClaudeCLIBackend"),
    "dspy": (".dspy", "DSPyBackend"),
}
# Every other provider:model is PydanticAI's, and the class is given all of it.
_OF_PROVIDER = (".pydantic_ai", "PydanticAIBackend")
HINT = "Use 'offline', a model's name as 'anthropic:claude-sonnet-5-5', or an object with the methods of weft.LM."


def lm_named(lm: LM | str) -> LM:
    """Return *lm*, or the LM that the string names; raises LMNotConfiguredError for a name nobody knows.

    Raises TypeError for what is neither.
    """
    return _made(lm) if isinstance(lm, str) else _checked(lm)


def lm_names() -> list[str]:
    """Return the names that lm_named knows, sorted."""
    return sorted(_BY_NAME)


def _checked(lm: Any) -> LM:
    if isinstance(lm, type):
        hint = f"Pass an LM made from it: {lm.__name__}(…)."
        raise TypeError(sentence("lm=", f"this is the class {lm.__name__}", hint))
    if isinstance(lm, LM):
        return lm
    missing = [name for name in ("choose_type", "fill", "make", "decide") if not hasattr(lm, name)]
    hint = "Name one, as 'offline', or inherit from BaseLM, which asks for generate alone."
    raise TypeError(sentence("lm=", f"{what_is(lm)} is no LM: it has no {', '.join(missing)}", hint))


@functools.lru_cache(maxsize=64)
def _made(name: str) -> LM:
    prefix, colon, rest = name.partition(":")
    if name in _BY_NAME:
        return _of_class(_BY_NAME[name])
    if not colon:
        raise _unknown(name)
    return _of_class(_BY_PREFIX[prefix], rest) if prefix in _BY_PREFIX else _of_class(_OF_PROVIDER, name)


def _of_class(home: tuple[str, str], *arguments: str) -> LM:
    module, cls = home
    return _checked(getattr(importlib.import_module(module, __name__), cls)(*arguments))


def _unknown(name: str) -> LMNotConfiguredError:
    import difflib  # wanted for this message only

    close = difflib.get_close_matches(name, _BY_NAME, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else HINT
    return LMNotConfiguredError(f"no LM is called {name!r}", hint, name=name)
