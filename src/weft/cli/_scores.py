"""Evaluations as people and programs read them: a table side by side, the failures, JSON, and a line for each run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import describe, shorten
from ..lm import Usage
from ._branches import duration
from ._document import json_of
from ._errors import one_line
from ._evaluation import Evaluation, Scored
from ._print import console_of, count

_SHOWN_REASONS = 3
_SHOWN_LINES = 8
_LONGEST_REASON = 160
_WIDE = 10_000
_COLUMNS = ("score", "rows", "failures", "cost", "median", "p95")


def print_scores(evaluations: Sequence[Evaluation], title: str = "LM") -> None:
    """Print a line for each of *evaluations*, which stand under *title*, and below them why runs failed."""
    table = plain_table(title, *_COLUMNS)
    for each in evaluations:
        table.add_row(*map(cell, _cells(each)))
    print_table(table)
    print_reasons(evaluations)


def plain_table(first: str, *others: str) -> Table:
    """Return a table without lines, the columns behind the first being numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        # Durations differ from run to run: a column of them is no narrower than the most frequent.
        table.add_column(name, justify="right", no_wrap=True, min_width=7 if name in ("median", "p95") else None)
    return table


def print_table(table: Table) -> None:
    """Print *table*, folded to a terminal's width, and as wide as it is elsewhere."""
    console = console_of()
    if not console.is_terminal:
        console.width = _WIDE
    with console.capture() as captured:
        console.print(table)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _cells(each: Evaluation) -> Iterator[str]:
    yield each.name
    yield score_text(each.score)
    yield f"{len(each.scored):,}"
    yield f"{len(each.failures):,}"
    yield cost_text(each.usage)
    yield "-" if each.median is None else duration(each.median)
    yield "-" if each.p95 is None else duration(each.p95)


def cell(text: str) -> Text:
    """Return *text* as a table takes it: one line, never markup."""
    return Text(one_line(text))


def score_text(score: float) -> str:
    """Return a mean score as it is shown."""
    return f"{score:.3f}"


def cost_text(usage: Usage) -> str:
    """Return what calls cost; of a model without a price, that it is not known."""
    return "unknown" if usage.cost is None else f"${usage.cost:.4f}"


# --- Failures


def print_reasons(evaluations: Sequence[Evaluation]) -> None:
    """Print why runs failed: each reason once, with the lines of the data."""
    console = console_of()
    for evaluation in evaluations:
        failures = evaluation.failures
        if not failures:
            continue
        console.print()
        console.print(cell(f"{evaluation.name}: {count(len(failures), 'run')} failed"), soft_wrap=True)
        reasons = list(_reasons(failures))
        for reason, lines in reasons[:_SHOWN_REASONS]:
            said = f"  {_lines(lines)}: {shorten(reason, _LONGEST_REASON)}"
            console.print(cell(said), soft_wrap=not console.is_terminal)
        if len(reasons) > _SHOWN_REASONS:
            console.print(cell(f"  and {count(len(reasons) - _SHOWN_REASONS, 'other reason')}"))


def _reasons(failures: Sequence[Scored]) -> Iterator[tuple[str, list[int]]]:
    """Yield each reason with the lines of its rows, the most frequent first."""
    lines: dict[str, list[int]] = {}
    for each in failures:
        lines.setdefault(reason_of(each), []).append(each.row.line)
    yield from sorted(lines.items(), key=lambda found: -len(found[1]))


def reason_of(scored: Scored) -> str:
    """Return why the run failed; nothing if it did not."""
    return "" if scored.error is None else describe(scored.error)


def _lines(lines: Sequence[int]) -> str:
    more = ", …" if len(lines) > _SHOWN_LINES else ""
    return f"line{'' if len(lines) == 1 else 's'} {', '.join(map(str, lines[:_SHOWN_LINES]))}{more}"


# --- For programs


def evaluation_document(each: Evaluation) -> dict[str, Any]:
    """Return what is told of an evaluation in JSON."""
    return {
        "lm": each.name,
        "score": each.score,
        "rows": len(each.scored),
        "failures": len(each.failures),
        "reasons": [{"reason": reason, "lines": lines} for reason, lines in _reasons(each.failures)],
        "usage": _used(each.usage),
        "median_seconds": each.median,
        "p95_seconds": each.p95,
    }


def _used(usage: Usage) -> dict[str, Any]:
    told = asdict(usage)
    return {name: told[name] for name in ("requests", "input_tokens", "output_tokens", "cost")}


def details(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Yield a line of JSON for each run, by LM and line of the data."""
    for evaluation in evaluations:
        for each in sorted(evaluation.scored, key=lambda scored: scored.row.line):
            yield json.dumps(_detail(evaluation, each))


def _detail(evaluation: Evaluation, each: Scored) -> dict[str, Any]:
    trace = [] if each.result is None else each.result.trace
    return {
        "lm": evaluation.name,
        "line": each.row.line,
        "score": each.score,
        "status": "done" if each.error is None else "failed",
        "error": reason_of(each) or None,
        "seconds": each.seconds,
        "usage": _used(each.usage),
        "row": dict(each.row.values),
        "path": [type(node).__name__ for node in trace],
        "result": json_of(trace[-1]) if trace else None,
    }
