"""``weft run --json``: the one JSON document, and the way to keep everything else off standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import Any, TextIO

from .._event import jsonable
from ..errors import RunError, name_of
from ..events import NodeFinished
from ._errors import one_line
from ._outcome import Outcome
from ._trace import Recorder

_STDOUT, _STDERR = 1, 2


@contextmanager
def only_the_document() -> Generator[TextIO]:
    """Yield the stream for the document; whatever else is written to standard output goes to standard error.

    Where this is the process's own standard output, that holds for child processes too, and until the process
    ends: threads and exit functions may still print.
    """
    if _is_the_process_own(sys.stdout):
        sys.stdout.flush()
        with os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8") as stream:
            os.dup2(_STDERR, _STDOUT)
            yield stream
    else:
        kept = sys.stdout
        with redirect_stdout(sys.stderr):
            yield kept


def _is_the_process_own(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STDOUT
    except (OSError, ValueError):  # a stand-in that is no file
        return False


def write_document(stream: TextIO, document: dict[str, Any]) -> None:
    """Write *document* as plain ASCII, which no terminal obeys and every encoding holds."""
    stream.write(f"{json.dumps(document, indent=2)}\n")
    stream.flush()


def json_of(value: Any) -> Any:
    """Return *value* as JSON values; what cannot be one becomes its type's name in angle brackets."""
    try:
        text = json.dumps(jsonable(value))
    except (ValueError, RecursionError):  # a circle, or a serializer of the user's that raises
        return f"<{type(value).__name__}>"
    return json.loads(text, parse_constant=str)  # JSON has no NaN


def document_of(outcome: Outcome, recorder: Recorder) -> dict[str, Any]:
    """Return what is told of a run."""
    result = outcome.result.result if outcome.result is not None else None
    return {
        "status": outcome.status,
        "result": json_of(result),
        "result_type": None if result is None else type(result).__name__,
        "trace": [_entry(visit) for visit in recorder.visits],
        "usage": asdict(recorder.usage),
        "run_id": recorder.run_id,
        "seconds": recorder.seconds,
        "error": None if outcome.error is None else error_of(outcome),
    }


def _entry(visit: NodeFinished) -> dict[str, Any]:
    return {
        "node": visit.node_type,
        "key": visit.key,
        "status": visit.status,
        "seconds": max(visit.seconds, 0.0),
        "fields": json_of(visit.node),
    }


def error_of(outcome: Outcome) -> dict[str, Any]:
    """Return what is told of the error."""
    error = outcome.error
    node_type = getattr(error, "node_type", None)
    return {
        "type": outcome.kind,
        "message": "\n".join(map(one_line, outcome.lines)),
        "path": list(error.path) if isinstance(error, RunError) else [],
        "node_type": name_of(node_type) if isinstance(node_type, type) else None,
        "field_name": getattr(error, "field_name", None),
    }
