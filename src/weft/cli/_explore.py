"""``weft graph explore``: every way through a graph, walked without a model."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

from rich.status import Status

from ..errors import sentence
from ..testing import Exploration, StartNodeError, explore
from ._document import document_of, only_the_document, write_document
from ._errors import UsageError
from ._input import read_start
from ._load import load_graph
from ._outcome import DONE, FAILED, Outcome, outcome_of
from ._print import complain, complain_of, console_of, count, print_branches, print_lines
from ._trace import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants explored, and how it is to be shown."""

    module: str
    sets: list[str]
    given: str | None = None
    max_paths: int = 200
    max_steps: int = 25
    timeout: float = 10.0
    max_seconds: float = 60.0
    as_json: bool = False
    with_traceback: bool = False


class _Found:
    """What was found so far, shown as a number while it goes on: all there is, if the user stops waiting."""

    def __init__(self, status: Status) -> None:
        self.exploration: Exploration | None = None
        self._status = status

    def __call__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        self._status.update(f"{count(exploration.runs, 'run')} made, Ctrl-C stops")


def run(order: Order) -> int:
    """Carry out *order*, print what was found, and return the exit code: 1 if anything was."""
    with only_the_document() if order.as_json else nullcontext() as stream:
        with console_of(stderr=True).status("Exploring") as status:
            found = _Found(status)
            failed = _explore(order, found)
        _tell(found.exploration, failed, stream, with_traceback=order.with_traceback)
    if failed is not None:
        return failed.code
    return FAILED if found.exploration is None or found.exploration.findings() else DONE


def _explore(order: Order, found: _Found) -> Outcome | None:
    """Explore as *found* listens, and return why that came to no end, if so."""
    limits: dict[str, Any] = {
        "max_steps": order.max_steps,
        "timeout": order.timeout,
        "max_seconds": order.max_seconds,
    }
    try:
        graph = load_graph(order.module)
        start = read_start(graph.start, order.given, order.sets) if order.sets or order.given is not None else None
        with _silence():
            found.exploration = explore(graph, start, order.max_paths, on_run=found, **limits)
    except StartNodeError as error:
        return outcome_of(UsageError(sentence("", error.message, "Say it with --set FIELD=VALUE or --input JSON.")))
    except (UsageError, KeyboardInterrupt) as error:
        return outcome_of(error)
    return None


def _tell(
    exploration: Exploration | None, failed: Outcome | None, stream: TextIO | None, *, with_traceback: bool
) -> None:
    if stream is not None and failed is not None:
        write_document(stream, document_of(failed, Recorder()))
    elif stream is not None and exploration is not None:
        write_document(stream, exploration.to_json())
    elif exploration is not None:
        for path in exploration.failures if with_traceback else ():
            complain([path.finding], path.error)
        print_branches(exploration.picture())
        print_lines(["", exploration.summary])
    if failed is not None:
        complain_of(failed, with_traceback=with_traceback)


@contextmanager
def _silence() -> Generator[None]:
    """Keep back what a hundred runs print and log: what is wrong with them is in the table."""
    logger = logging.getLogger("weft")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
