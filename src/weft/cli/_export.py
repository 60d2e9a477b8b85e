"""``weft graph export``: a graph written to a file, in the form that the file's ending says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from ..errors import sentence
from ..render.text import lines, picture
from ._errors import UsageError
from ._graph import loaded
from ._load import AnyGraph
from ._outcome import DONE, Outcome, outcome_of
from ._print import complain_of, count, print_lines

STANDARD_OUTPUT = "-"


class Format(Enum):
    """What a graph can be written as."""

    SVG = "svg"
    MERMAID = "mermaid"
    TEXT = "text"


_ENDINGS: Mapping[str, Format] = {
    ".svg": Format.SVG,
    ".mmd": Format.MERMAID,
    ".mermaid": Format.MERMAID,
    ".txt": Format.TEXT,
}


def text_of(graph: AnyGraph) -> str:
    """Return each node, its fields and their sources, and where it leads, as plain lines."""
    return "\n\n".join("\n".join(lines([node])) for node in picture(graph.topology))


_WRITERS: Mapping[Format, Callable[[AnyGraph], str]] = {
    Format.SVG: AnyGraph.to_svg,
    Format.MERMAID: AnyGraph.to_mermaid,
    Format.TEXT: text_of,
}


def export(module: str, file: str, chosen: Format | None, *, with_traceback: bool) -> int:
    """Write the graph that *module* names to *file*, and return the exit code."""
    try:
        as_format = chosen or _format_of(file)
        graph = loaded(module)
        if not isinstance(graph, Outcome):
            _write(file, f"{_WRITERS[as_format](graph)}\n")
    except UsageError as error:
        graph = outcome_of(error)
    if isinstance(graph, Outcome):
        complain_of(graph, with_traceback=with_traceback)
        return graph.code
    if file != STANDARD_OUTPUT:
        print_lines([f"{count(len(graph.nodes), 'node')} written to {file}."])
    return DONE


def _format_of(file: str) -> Format:
    known = f"{', '.join(_ENDINGS)}"
    if file == STANDARD_OUTPUT:
        formats = ", ".join(each.value for each in Format)
        raise UsageError(sentence("", "standard output has no ending", f"Add --format, one of: {formats}."))
    found = _ENDINGS.get(Path(file).suffix.lower())
    if found is None:
        what = f"the ending {Path(file).suffix} is not known" if Path(file).suffix else "it has no ending"
        raise UsageError(sentence(file, what, f"Use one of {known}, or add --format."))
    return found


def _write(file: str, text: str) -> None:
    """Write UTF-8 with plain line feeds, wherever it goes; raises UsageError if *file* cannot be written."""
    if file == STANDARD_OUTPUT:
        sys.stdout.buffer.write(text.encode())
        return
    try:
        Path(file).write_text(text, "utf-8", newline="\n")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(sentence(file, f"cannot be written: {what}")) from error
