"""Words as a shell takes them, in command lines to paste."""

from __future__ import annotations

import shlex

from ..errors import printable


def quoted(word: str) -> str:
    """Return *word* quoted where a shell wants that, control characters written out."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def setting(name: str, text: str) -> str:
    """Return the option that gives the field *name* the value *text*."""
    return f"--set {quoted(name)}={quoted(text)}"
