"""What the tests of the command line share: the beginning of their modules, and the command as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"

# What the modules in these tests begin with: an LM that answers at once, and always the same.
HEAD = """
import asyncio
from typing import Annotated, Any
from pydantic import BaseModel, Field
from weft import LM, BaseLM, Dep, Graph, LMResponse, Node, NodeConfig, Recall, Usage

class Fixed(BaseLM):
    async def generate(self, request, on_partial=None):
        if request.kind == "choose":
            data = {"choice": request.options[0].name}
        else:
            data = {name: f"{name}!" for name in request.schema["properties"]}
        return LMResponse(data, Usage(1, 1000, 500, 0.0012), "fixed-1")
"""


def start_process(*arguments: str, **options) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8", **options}
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), **options.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", *arguments], env=environment, **options)
