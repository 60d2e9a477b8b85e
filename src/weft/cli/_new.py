"""``weft new NAME``: a small working project, written from the templates in ``project/``."""

from __future__ import annotations

import importlib.machinery
import keyword
import re
import sys
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from .. import __version__
from ..errors import describe, sentence, shorten
from ._errors import UsageError
from ._outcome import DONE, outcome_of
from ._print import complain_of, print_lines

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_LONGEST = 60
# What the project itself needs under these names, and what an installation may hide.
_TAKEN = frozenset(["conftest", "pytest", "test", "tests", "weft"])
# Where each template goes, in the order in which people read them, and what it is.
_FILES = {
    "graph.py": ("{module}.py", "the graph"),
    "test_graph.py": ("tests/test_{module}.py", "its test"),
    "README.md": ("README.md", "the commands"),
    "pyproject.toml": ("pyproject.toml", "what it needs"),
    "gitignore": (".gitignore", "what git leaves out"),
}


def new_project(name: str) -> int:
    """Write the project *name* below the current folder, say what to do next, and return the exit code."""
    try:
        module = _module_of(name)
        _write(name, module)
    except UsageError as error:
        outcome = outcome_of(error)
        complain_of(outcome, with_traceback=False)
        return outcome.code
    _print(name, module)
    return DONE


def _module_of(name: str) -> str:
    """Return the name that the project's module has; raises UsageError for a name that will not do."""
    what = f"'{shorten(name)}' cannot be a project's name"
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        hint = f"Use at most {_LONGEST} letters, digits and hyphens, beginning with a letter: my-agent."
        raise UsageError(sentence("NAME", what, hint))
    module = name.lower().replace("-", "_")
    if keyword.iskeyword(module) or keyword.iskeyword(name):
        raise UsageError(sentence("NAME", f"{what}: Python keeps the word {name!r} for itself", "Choose another."))
    if _is_taken(module):
        raise UsageError(sentence("NAME", f"{what}: a module is called {module!r} already", "Choose another."))
    return module


def _is_taken(module: str) -> bool:
    """Return whether importing *module* would find another than the project's."""
    here = {"", str(Path.cwd())}
    elsewhere = [place for place in sys.path if place not in here]
    known = {*sys.stdlib_module_names, *sys.modules, *_TAKEN}
    return module in known or importlib.machinery.PathFinder.find_spec(module, elsewhere) is not None


def _write(name: str, module: str) -> None:
    """Write the project beside its place and move it there, so that a failure leaves nothing."""
    target = Path(name)
    if target.is_symlink() or target.exists():
        if target.is_symlink() or not target.is_dir():
            raise UsageError(sentence("NAME", f"{name} is there already, and is no folder", "Choose another."))
        if any(target.iterdir()):
            hint = "Choose another, or empty it: nothing is overwritten."
            raise UsageError(sentence("NAME", f"the folder {name} is there already, and is not empty", hint))
    try:
        with tempfile.TemporaryDirectory(prefix=".weft-new-", dir=Path.cwd()) as around:
            made = Path(around) / name
            _fill(made, name, module)
            if target.is_dir():
                target.rmdir()
            made.rename(target)
    except OSError as error:
        why = error.strerror or describe(error)
        raise UsageError(sentence("NAME", f"{name} cannot be written here: {why}")) from error


def _fill(folder: Path, name: str, module: str) -> None:
    words = {"name": name, "module": module, "version": __version__}
    for template, (place, _) in _FILES.items():
        path = folder / place.format(module=module)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _templates().joinpath(f"{template}.tmpl").read_text("utf-8")
        path.write_text(Template(text).substitute(words), "utf-8", newline="\n")


def _templates() -> Traversable:
    return resources.files(__name__.rpartition(".")[0]) / "project"


def _print(name: str, module: str) -> None:
    files = {place.format(module=module): what for place, what in _FILES.values()}
    width = max(map(len, files))
    print_lines([f"{name} is written:", *(f"  {place:<{width}}  {what}" for place, what in files.items())])
    commands = [
        f"cd {name}",
        f"weft run {module}.py --lm offline",
        f"weft graph show {module}.py",
        "python -m pytest",
    ]
    print_lines(["", "Next:", *(f"  {command}" for command in commands)])
