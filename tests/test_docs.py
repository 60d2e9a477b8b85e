"""The documentation builds without a warning, needs nothing from elsewhere, and names everything that is public."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import weft
from weft import events, testing

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "-d", folder / "doctrees"]

    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder / "html"],
        capture_output=True,
        encoding="utf8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    return folder / "html"


def described(built: Path) -> set[str]:
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    return {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}


def public_in(module) -> set[str]:
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    things = {name: getattr(module, name) for name in names}
    return {
        f"{module.__name__}.{name}"
        for name, thing in things.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith(module.__name__)
    }


def test_the_reference_has_every_public_name(built):
    public = {f"weft.{name}" for name in weft.__all__} | public_in(testing) | public_in(events)

    assert public - described(built) == set()


def test_the_reference_has_every_command_and_option(built):
    page = (built / "reference" / "command-line.html").read_text("utf8")

    assert {"weft run", "weft batch", "weft graph show", "weft graph check"} <= set(re.findall(r"<h2>([\w ]+)<", page))
    text = re.sub(r"<[^>]+>", "", page)
    assert "--max-steps N" in text
    assert "bound method" not in text


def test_a_reader_fetches_nothing_from_elsewhere(built):
    pages = [path.read_text("utf8") for path in built.rglob("*.html")]
    styles = [path.read_text("utf8") for path in built.rglob("*.css")]
    fetched = [re.findall(r"<(?:script|img|iframe)[^>]*src=\"(?:https?:)?//[^\"]*", page) for page in pages]
    linked = [re.findall(r"<link[^>]*href=\"(?:https?:)?//[^\"]*", page) for page in pages]
    imported = [re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", style) for style in styles]

    assert [found for found in (*fetched, *linked, *imported) if found] == []
    assert len(pages) > 20
