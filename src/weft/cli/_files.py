"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import sentence
from ._errors import UsageError


def checked_place(file: str, option: str) -> Path:
    """Return *file*; raises UsageError if it cannot be written: better before money is spent than after."""
    path = Path(file)
    if path.is_dir():
        raise UsageError(sentence(option, f"{file} is a folder", "Name a file."))
    if not path.parent.is_dir():
        raise UsageError(sentence(option, f"there is no folder {path.parent}", "Make it first."))
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(sentence(option, f"{file} cannot be written: Permission denied"))
    return path


def write_whole(file: str, text: str) -> None:
    """Write *text* to *file*, which is what it was before until all of it is there; raises UsageError."""
    path = Path(file)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(sentence(file, f"cannot be written: {error.strerror}")) from error
