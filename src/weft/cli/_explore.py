"""``weft graph explore``: every way through a graph, walked without a model."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass

from ..errors import sentence
from ..testing import Exploration, StartNodeError, explore
from ._document import only_the_document, write_document
from ._errors import UsageError
from ._input import read_start
from ._load import load_graph
from ._outcome import DONE, FAILED, Outcome, outcome_of
from ._print import complain_of, print_branches, print_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants explored, and how it is to be shown."""

    module: str
    sets: list[str]
    given: str | None = None
    max_paths: int = 200
    max_steps: int = 25
    timeout: float = 10.0
    as_json: bool = False
    with_traceback: bool = False


def run(order: Order) -> int:
    """Carry out *order*, print what was found, and return the exit code: 1 if anything was."""
    with only_the_document() if order.as_json else nullcontext() as stream:
        found = _found(order)
        if isinstance(found, Outcome):
            complain_of(found, with_traceback=order.with_traceback)
            return found.code
        if stream is not None:
            write_document(stream, found.to_json())
        else:
            print_branches(found.picture())
            print_lines(["", found.summary])
    return FAILED if found.findings() else DONE


def _found(order: Order) -> Exploration | Outcome:
    try:
        graph = load_graph(order.module)
        start = read_start(graph.start, order.given, order.sets) if order.sets or order.given is not None else None
        with _silence():
            return explore(graph, start, order.max_paths, max_steps=order.max_steps, timeout=order.timeout)
    except StartNodeError as error:
        return outcome_of(UsageError(sentence("", error.message, "Say it with --set FIELD=VALUE or --input JSON.")))
    except (UsageError, KeyboardInterrupt) as error:
        return outcome_of(error)


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
