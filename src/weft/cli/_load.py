"""From what the user calls MODULE to a graph: ``pkg.mod``, ``pkg.mod:attribute``, or a file's path."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, cast

from ..errors import GraphError, describe, sentence
from ..graph import Graph
from ..nodes import Node, is_node
from ._errors import UsageError, faulty_graph

AnyGraph = Graph[Any, Any]
_PATHS = sysconfig.get_paths()
# Where code stands that the user did not write: Python's own, what is installed, and this package.
_NOT_THE_USERS = [_PATHS["stdlib"], _PATHS["purelib"], _PATHS["platlib"], str(Path(__file__).parents[1])]


def load_graph(named: str) -> AnyGraph:
    """Return the graph that *named* says; raises UsageError."""
    name, attribute = _split(named)
    try:
        module = _module(name)
        return _named_graph(module, name, attribute) if attribute else _only_graph(module, name)
    except GraphError as error:
        raise faulty_graph(error) from error


def load_function(named: str, beside: str, option: str) -> Callable[..., Any]:
    """Return the function that *named*, given for *option*, says: ``mod:fn``, or one in the module of *beside*.

    Raises UsageError.
    """
    name, attribute = _split(named) if ":" in named else (_split(beside)[0], named)
    if not attribute:
        raise UsageError(sentence(option, f"{named} names no function", "Write module:function."))
    module = _module(name)
    try:
        value: Any = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        known = [key for key, each in vars(module).items() if callable(each) and not key.startswith("_")]
        close = difflib.get_close_matches(attribute, known, n=1)
        hint = f"Did you mean {name}:{close[0]}?" if close else "Write module:function."
        raise UsageError(sentence(option, f"{name} has no attribute {attribute!r}", hint)) from error
    if not callable(value):
        what = f"{name}:{attribute} is {_kind(value)}, and cannot be called"
        raise UsageError(sentence(option, what, "Name a function."))
    return cast("Callable[..., Any]", value)


def _split(named: str) -> tuple[str, str]:
    """Return the module and the attribute; a Windows drive's colon separates nothing."""
    name, colon, attribute = named.rpartition(":")
    if not colon or "/" in attribute or "\\" in attribute:
        return named, ""
    if not attribute:
        raise UsageError(sentence("", f"nothing follows the colon of {named}", f"Write {name}:graph, or {name} alone."))
    return name, attribute


# --- Modules


def _module(name: str) -> ModuleType:
    make_importable(Path.cwd())
    importlib.invalidate_caches()
    try:
        return _file(name) if _is_path(name) else _by_name(name)
    except (GraphError, UsageError):
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(_import_failure(name, error)) from error


def make_importable(folder: Path) -> None:
    """Put *folder* where Python looks for modules first."""
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _is_path(name: str) -> bool:
    return name.endswith(".py") or any(mark in name for mark in ("/", "\\", os.sep))


def _by_name(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(sentence(name, "neither a module's name nor a file's path", _nearby(name)))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(sentence("", f"no module is called {error.name!r}", _nearby(name))) from error
        raise


def _nearby(name: str) -> str:
    files = {path.stem: path.name for path in sorted(Path.cwd().glob("*.py"))}
    module, _, attribute = name.rpartition(".")
    if module in files:
        is_ending = difflib.get_close_matches(attribute, ["py"])
        return f"Did you mean {files[module] if is_ending else f'{module}:{attribute}'}?"
    close = difflib.get_close_matches(name, files, n=1)
    if close:
        return f"Did you mean {files[close[0]]}?"
    return "Name one that can be imported from here, or a file: path/to/file.py."


def _file(name: str) -> ModuleType:
    """Import a file under the name it has as a module, or a safe one where that name is another module's."""
    path = Path(name).resolve()
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "there is no such file"
        raise UsageError(sentence(name, what, "Give the path of a Python file: path/to/file.py."))
    root, parts = _package_of(path)
    make_importable(root)
    if _is_name_of(path, parts):
        return importlib.import_module(".".join(parts))
    return _under_safe_name(path, name)


def _package_of(path: Path) -> tuple[Path, list[str]]:
    """Return the folder that *path* is imported from, and its name there, the packages around it included."""
    parts, folder = [] if path.name == "__init__.py" else [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, parts


def _is_name_of(path: Path, parts: list[str]) -> bool:
    """Return whether importing the module called *parts* gives the file *path*, and no other."""
    dotted = ".".join(parts)
    if dotted.count(".") >= len(parts):
        return False
    known = sys.modules.get(dotted)
    if known is not None:
        return bool(known.__spec__ and known.__file__) and Path(known.__file__ or "").resolve() == path
    found = importlib.util.find_spec(dotted)
    return found is not None and found.origin is not None and Path(found.origin).resolve() == path


def _under_safe_name(path: Path, name: str) -> ModuleType:
    safe = re.sub(r"\W", "_", f"weft_file_{path.stem}")
    known = sys.modules.get(safe)
    if known is not None and known.__file__ == str(path):
        return known
    found = importlib.util.spec_from_file_location(safe, path)
    if found is None or found.loader is None:
        raise UsageError(sentence(name, "not a Python file", "Its name must end in .py."))
    module = importlib.util.module_from_spec(found)
    sys.modules[safe] = module  # where dataclasses and Pydantic look names up
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[safe]
        raise
    return module


def _import_failure(name: str, error: BaseException) -> str:
    if isinstance(error, SystemExit):
        hint = "Put what runs it under: if __name__ == '__main__':"
        return sentence(name, "importing it ended the program", hint)
    return sentence(name, f"importing it raised {describe(error)}{_place_of(error)}", "--traceback shows more.")


def _place_of(error: BaseException) -> str:
    """Return the line of the user's code that raised; a SyntaxError names it itself."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_machinery(each.filename)]
    return f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", *_NOT_THE_USERS))


# --- What is in them


def _only_graph(module: ModuleType, name: str) -> AnyGraph:
    graphs = _graphs(vars(module))
    if len(graphs) == 1:
        return next(iter(graphs.values()))
    if graphs:
        what = f"it has {len(graphs)} graphs"
        raise UsageError(sentence(name, what, f"Name one: {_either(name, graphs)}."))
    raise UsageError(_no_graph(module, name))


def _no_graph(module: ModuleType, name: str) -> str:
    nodes = {key: each for key, each in vars(module).items() if is_node(each) and each.__module__ == module.__name__}
    if not nodes:
        return sentence(name, "it has neither a Graph nor a Node class", "Write: graph = Graph(start=YourNode).")
    inner = {each for node in nodes.values() for each in _leads_to(node)}
    starts = [key for key, each in nodes.items() if each not in inner] or list(nodes)
    return sentence(name, "it has no Graph", f"Name the start node: {_either(name, starts)}.")


def _leads_to(node: type[Node]) -> set[Any]:
    """Return the nodes that follow *node* or that its fields hold; none where its names cannot be found."""
    held = {field.annotation for field in node.__pydantic_fields__.values() if is_node(field.annotation)}
    try:
        return held | node.successors()
    except GraphError:
        return held


def _graphs(names: Mapping[str, Any]) -> dict[str, AnyGraph]:
    """Return the graphs among *names*, each once."""
    found: dict[int, tuple[str, AnyGraph]] = {}
    for name, value in names.items():
        if _is_graph(value):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def _is_graph(value: object) -> TypeGuard[AnyGraph]:
    return isinstance(value, Graph)


def _either(name: str, attributes: Iterable[str]) -> str:
    return " or ".join(f"{name}:{attribute}" for attribute in attributes)


def _named_graph(module: ModuleType, name: str, attribute: str) -> AnyGraph:
    try:
        value: Any = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        what = f"it has no attribute {attribute!r}"
        raise UsageError(sentence(name, what, _others(module, name, attribute))) from error
    if _is_graph(value):
        return value
    if is_node(value):
        return Graph(start=value)
    what = f"this is {_kind(value)}, neither a Graph nor a Node class"
    raise UsageError(sentence(f"{name}:{attribute}", what, _others(module, name, attribute)))


def _others(module: ModuleType, name: str, attribute: str) -> str:
    usable = [key for key, value in vars(module).items() if _is_graph(value) or is_node(value)]
    close = difflib.get_close_matches(attribute, usable, n=1)
    if close:
        return f"Did you mean {name}:{close[0]}?"
    return f"Name one of these: {', '.join(usable)}." if usable else "It has no Graph and no Node class."


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind}"
