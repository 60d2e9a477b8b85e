"""``weft optimize``: a graph's prompts tuned to labelled data; what it may take is said before."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from ..errors import LMNotConfiguredError, MissingExtraError, WeftError, sentence, shorten
from ..nodes import Node
from ..optimize import compile_graph
from ._bound import Bound, bound_of, settings_of
from ._document import document_of, only_the_document, write_document
from ._errors import UsageError, without_objects
from ._eval import progress, silence
from ._evaluation import Evaluation, Trial, evaluate
from ._files import checked_place
from ._load import load_graph
from ._metric import Metric, load_metric
from ._outcome import DONE, Outcome, missing_lm, outcome_of
from ._print import complain, complain_of, console_of, count, print_lines, warnings_shown
from ._quoting import quoted
from ._rows import Row, read_rows
from ._scores import cell, cost_text, evaluation_document, plain_table, print_scores, print_table
from ._trace import Recorder
from ._tuned import dspy_name

_SHOWN_INSTRUCTION = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user wants tuned, to what, by what, and how much it may take."""

    module: str
    train: str
    metric: str
    output: str
    optimizer: str = "bootstrap"
    lm: str | None = None
    data: str | None = None
    held_out: float = 0.3
    seed: int = 0
    options: Sequence[str] = ()
    max_calls: int | None = None
    max_cost: float | None = None
    concurrency: int = 4
    as_json: bool = False
    with_traceback: bool = False


@dataclass(slots=True)
class _Work:
    """What is known so far of optimising: what an interrupt leaves is told, too."""

    train: list[Row] = field(default_factory=list[Row])
    held_out: list[Row] = field(default_factory=list[Row])
    bound: Bound | None = None
    before: Evaluation = field(default_factory=lambda: Evaluation("before"))
    after: Evaluation = field(default_factory=lambda: Evaluation("after"))
    prompts: list[_Prompt] = field(default_factory=list["_Prompt"])


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What became of one prompt."""

    name: str
    demos: int
    before: str
    instruction: str


def run(order: Order) -> int:
    """Carry out *order*, print what it gave, and return the exit code."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when DSPy is imported; this command shows its own progress
    work = _Work()
    failed: Outcome | None = None
    with ExitStack() as stack:
        stream = stack.enter_context(only_the_document()) if order.as_json else None
        stack.enter_context(warnings_shown())
        try:
            _optimize(order, work)
        except BaseException as error:  # noqa: BLE001  whatever ended it is told in a line, and is the exit code
            failed = outcome_of(error)
        _tell(order, work, failed, stream)
    if failed is None:
        return DONE
    complain_of(failed, with_traceback=order.with_traceback)
    return failed.code


def _optimize(order: Order, work: _Work) -> None:
    graph = load_graph(order.module)
    metric = load_metric(order.metric, order.module)
    work.train, work.held_out = _split(order, graph.start)
    settings = settings_of(order.optimizer, _options(order.options), len(work.train))
    checked_place(order.output, "--output")
    compiled = _compiled(graph, order.lm)
    sizes = {"rows": len(work.train), "scored": len(work.held_out), "programs": len(compiled.nodes)}
    work.bound = bound_of(order.optimizer, settings, graph.topology, **sizes)
    _say(order, work, work.bound)
    _score(order, compiled, metric, work.held_out, work.before)
    _check_cost(order, work, work.bound)
    tuned = _tuned(order, compiled, metric, work, settings)
    work.prompts = [_prompt(name, compiled.nodes[name], each) for name, each in tuned.nodes.items()]
    _score(order, tuned, metric, work.held_out, work.after)
    tuned.save(order.output)


# --- What is given


def _split(order: Order, start: type[Node]) -> tuple[list[Row], list[Row]]:
    """Return the rows to learn from, and those to score before and after."""
    rows = read_rows(order.train, start, "--train")
    if order.data is not None:
        return rows, read_rows(order.data, start, "--data")
    held_out = round(order.held_out * len(rows))
    if not 0 < held_out < len(rows):
        what = f"{count(len(rows), 'row')} cannot be split by {order.held_out}"
        raise UsageError(sentence("--held-out", what, "Add rows, or give those to score with --data."))
    shuffled = random.Random(order.seed).sample(rows, len(rows))
    return shuffled[held_out:], shuffled[:held_out]


def _options(given: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.isidentifier():
            what = f"{shorten(each)!r} does not say NAME=VALUE"
            raise UsageError(sentence("--option", what, "Write --option max_bootstrapped_demos=2."))
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def _compiled(graph: Any, lm: str | None) -> Any:
    try:
        return compile_graph(graph, dspy_name(lm))
    except MissingExtraError as error:
        raise UsageError(str(error), kind=type(error).__name__) from error
    except TypeError as error:
        what = f"{dspy_name(lm)} is none of DSPy's models"
        raise UsageError(sentence("--lm", what, "Name one as dspy:openai/gpt-5.")) from error
    except LMNotConfiguredError as error:
        raise UsageError(sentence("--lm", without_objects(error))) from error


def _say(order: Order, work: _Work, bound: Bound) -> None:
    """Print what it may take at most; raises UsageError if that is too much."""
    if not order.as_json:
        print_lines([_plan(order, work, bound), ""])
    if order.max_calls is not None and bound.calls > order.max_calls:
        what = f"it may take {bound.calls:,} LM calls"
        raise UsageError(sentence("--max-calls", what, "Nothing was asked. Give fewer rows, or smaller options."))


def _plan(order: Order, work: _Work, bound: Bound) -> str:
    rows = f"{count(len(work.train), 'row')} to learn from, {len(work.held_out):,} held out"
    return f"{rows}. {order.optimizer}: at most {count(bound.runs, 'run')} and {count(bound.calls, 'LM call')}."


def _check_cost(order: Order, work: _Work, bound: Bound) -> None:
    """Raise UsageError if what the first runs cost says that the others cost too much."""
    if order.max_cost is None:
        return
    cost = work.before.usage.cost
    if cost is None:
        hint = "Use --max-calls. Nothing was tuned."
        raise UsageError(sentence("--max-cost", "what this model costs is not known", hint))
    expected = cost / len(work.before.scored) * bound.runs
    if expected > order.max_cost:
        what = f"at what the first runs cost ({cost_text(work.before.usage)}), all of it may come to ${expected:.4f}"
        raise UsageError(sentence("--max-cost", what, "Nothing was tuned."))


# --- The work


def _score(order: Order, compiled: Any, metric: Metric, rows: Sequence[Row], evaluation: Evaluation) -> None:
    try:
        with progress(evaluation, rows) as tell, silence():
            asyncio.run(evaluate(Trial(compiled.arun, metric, order.concurrency), rows, evaluation, tell))
    except WeftError as error:
        unnamed = missing_lm(error)
        if unnamed is None:
            raise
        raise UsageError(sentence("--lm", unnamed.message, "Name a model as dspy:openai/gpt-5.")) from error
    if len(evaluation.failures) == len(rows):
        first = evaluation.failures[0].error
        assert first is not None
        raise first


def _tuned(order: Order, compiled: Any, metric: Metric, work: _Work, settings: Mapping[str, Any]) -> Any:
    """Return the graph tuned; raises UsageError for an option that the optimiser does not have."""
    rows = [dict(row.values) for row in work.train]
    with _runs_counted(order, work) as on_run, silence(), _quiet():
        try:
            return compiled.optimize(rows, metric.function, order.optimizer, seed=order.seed, on_run=on_run, **settings)
        except MissingExtraError as error:
            raise UsageError(str(error), kind=type(error).__name__) from error
        except TypeError as error:
            if "has no option" not in str(error):
                raise
            raise UsageError(sentence("--option", str(error).partition(": ")[2])) from error


@contextmanager
def _runs_counted(order: Order, work: _Work) -> Generator[Callable[[Any], None]]:
    """Yield what hears of each run, and shows on a terminal how many there were."""
    lock = threading.Lock()
    runs = failures = 0
    most = work.bound.runs - 2 * len(work.held_out) if work.bound is not None else 0

    def said() -> str:
        failed = f", {count(failures, 'failure')}" if failures else ""
        return f"{order.optimizer}: {runs:,} of at most {count(most, 'run')}{failed}, Ctrl-C stops"

    with console_of(stderr=True).status(said()) as status:

        def on_run(outcome: Any) -> None:
            nonlocal runs, failures
            with lock:
                runs += 1
                failures += isinstance(outcome, Exception)
                status.update(said())

        yield on_run


@contextmanager
def _quiet() -> Generator[None]:
    """Keep back what DSPy logs while it works: it is about its own steps."""
    loggers = [logging.getLogger(name) for name in ("dspy", "optuna")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _prompt(name: str, before: Any, after: Any) -> _Prompt:
    return _Prompt(name, len(after.demos), before.signature.instructions, after.signature.instructions)


# --- What is told


def _tell(order: Order, work: _Work, failed: Outcome | None, stream: TextIO | None) -> None:
    if stream is not None:
        write_document(stream, _document(order, work, failed))
        return
    scored = [each for each in (work.before, work.after) if each.scored]
    if scored:
        print_scores(scored, "")
    if failed is not None:
        return
    print_lines([""])
    _print_prompts(work.prompts)
    lm = f" --lm {quoted(order.lm)}" if order.lm else ""
    print_lines(
        ["", f"Saved in {order.output}. Run it: weft run {quoted(order.module)}{lm} --prompts {quoted(order.output)}"]
    )
    if work.after.score <= work.before.score:
        complain(["The tuned prompts did no better on the rows held out."], None, "Warning")


def _print_prompts(prompts: Sequence[_Prompt]) -> None:
    table = plain_table("prompt", "demos", "instruction")
    table.columns[2].justify = "left"
    table.columns[2].no_wrap = False
    for each in prompts:
        table.add_row(cell(each.name), cell(str(each.demos)), cell(_change(each)))
    print_table(table)


def _change(prompt: _Prompt) -> str:
    if prompt.before == prompt.instruction:
        return "as it was"
    return f"{shorten(prompt.before, _SHOWN_INSTRUCTION)} → {shorten(prompt.instruction, _SHOWN_INSTRUCTION)}"


def _document(order: Order, work: _Work, failed: Outcome | None) -> dict[str, Any]:
    bound = None if work.bound is None else {"runs": work.bound.runs, "lm_calls": work.bound.calls}
    return {
        "status": "done" if failed is None else failed.status,
        "optimizer": order.optimizer,
        "train_rows": len(work.train),
        "held_out_rows": len(work.held_out),
        "bound": bound,
        "before": evaluation_document(work.before) if work.before.scored else None,
        "after": evaluation_document(work.after) if work.after.scored else None,
        "prompts": [
            {"name": each.name, "demos": each.demos, "before": each.before, "instruction": each.instruction}
            for each in work.prompts
        ],
        "file": order.output if failed is None else None,
        "error": None if failed is None else document_of(failed, Recorder())["error"],
    }
