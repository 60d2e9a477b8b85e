"""The page on notebooks holds in a real one: an IPython kernel runs its blocks as cells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "notebooks.md").read_text("utf8")
CELLS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

# Prints what each cell printed, or the error that it ended with.
RUN = """
import json, sys
import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
json.dump([cell.outputs for cell in notebook.cells], sys.stdout)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict]]:
    """A process of its own: a kernel's client leaves loops, sockets and warnings behind."""
    home = tmp_path_factory.mktemp("jupyter")
    places = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {**os.environ, **dict.fromkeys(places, str(home)), "JUPYTER_PLATFORM_DIRS": "1"}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(
        command, input=json.dumps(CELLS), env=environment, capture_output=True, text=True, check=False, timeout=100
    )

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(CELLS)))
def test_a_cell_prints_what_the_page_says(outputs: list[list[dict]], number: int) -> None:
    expected = "".join(f"{line[3:]}\n" for line in CELLS[number].splitlines() if line.startswith("#> "))
    printed = "".join(each["text"] for each in outputs[number] if each.get("name") == "stdout")
    errors = [each["evalue"] for each in outputs[number] if each["output_type"] == "error"]

    assert (errors, printed) == ([], expected)
