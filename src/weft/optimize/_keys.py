"""What programs go by."""

from __future__ import annotations

import re


def key_of(name: str) -> str:
    """Return the key of the program of this *name*: without quotes, which DSPy puts around it."""
    return re.sub(r"['\"\\]", "", name)
