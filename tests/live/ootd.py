"""Runs the outfit example with every real model that can be asked here, and says which could not.

Run: make e2e. It uses the network and spends money: a few cents.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "ootd.py"
SECONDS = 300
# The variable that says that a model can be asked, and the model's name.
MODELS = [
    ("ANTHROPIC_API_KEY", "anthropic:claude-haiku-4-5"),
    ("OPENAI_API_KEY", "openai:gpt-5-mini"),
    ("OPENAI_API_KEY", "openai-chat:gpt-5-mini"),
]


def runs_with(name: str) -> bool:
    """Return whether the example runs with the model, and show how it went."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, EXAMPLE],
        env={**os.environ, "WEFT_LM": name},
        timeout=SECONDS,
        capture_output=True,
        encoding="utf8",
        check=False,
    )
    is_good = done.returncode == 0
    last = (done.stdout if is_good else done.stderr).strip().splitlines()[-1:]
    print(f"{'ok    ' if is_good else 'FAILED'} {name} ({time.monotonic() - began:.1f} s): {' '.join(last)}")
    return is_good


def main() -> int:
    """Run the example with each model; return 1 if one failed."""
    ready = [name for variable, name in MODELS if os.environ.get(variable)]
    results = [runs_with(name) for name in ready]
    for variable, name in MODELS:
        if name not in ready:
            print(f"skipped {name}: {variable} is not set")
    print(f"{sum(results)} of {len(results)} ran, {len(MODELS) - len(ready)} skipped.")
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
