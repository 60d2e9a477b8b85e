"""Puts the stand-in for the command `claude` where a test wants it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent


def install_fake(folder: Path) -> Path:
    """Return the program, written into *folder* beside the answers that it replays."""
    program = folder / "claude"
    code = (HERE / "fake_claude.py").read_text("utf8")
    program.write_text(f"#!{sys.executable} -IS\n{code}", "utf8")
    program.chmod(0o755)
    (folder / "recorded").symlink_to(HERE.parent / "data" / "claude")
    return program
