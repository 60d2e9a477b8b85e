"""What a run has found, as tables and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .goals import GOALS
from .processes import ROOT
from .results import Results
from .workloads import WORKLOADS, Workload

NAMES = {
    "plain": "plain asyncio",
    "weft": "Weft",
    "pydantic_graph": "pydantic-graph",
    "langgraph": "LangGraph",
    "llamaindex": "LlamaIndex Workflows",
    "hamilton": "Hamilton",
}
NOTHING, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
PACKAGES = {
    "weft": ["pydantic"],
    "pydantic_graph": ["pydantic-graph"],
    "langgraph": ["langgraph"],
    "llamaindex": ["llama-index-workflows"],
    "hamilton": ["apache-hamilton"],
}


# --- Tables ---------------------------------------------------------------------------------------------------------


def show(console: Console, results: Results, contenders: Sequence[str]) -> None:
    """Print the figures, each with its ratio to plain asyncio, and which goals are reached."""
    console.print(_figures(results, contenders))
    _show_left_out(console, results, contenders)
    console.print(_goals(results))


def _figures(results: Results, contenders: Sequence[str]) -> Table:
    table = Table(title=f"{_python()}: medians, and the ratio to plain asyncio", title_justify="left")
    table.add_column("work", min_width=40)
    for name in contenders:
        table.add_column(NAMES[name], justify="right")
    for workload in WORKLOADS:
        if results.sizes(workload.name):
            title = f"{_title(results, workload)}, {workload.unit}"
            table.add_row(title, *(_cell(results, workload, each) for each in contenders))
            if any(results.over_critical_path(workload.name, each) for each in contenders):
                over = (results.over_critical_path(workload.name, each) for each in contenders)
                table.add_row(
                    "  over the critical path", *(NOTHING if each is None else f"{each:.3f}" for each in over)
                )
    growth = [results.growth("noop", each) for each in contenders]
    if any(growth):
        table.add_row("growth with the number of dependencies, exponent", *map(_growth_cell, growth))
    return table


def _title(results: Results, workload: Workload) -> str:
    size = results.main_size(workload.name)
    return workload.title if size == workload.sizes[0] else f"{workload.title} (here of {size:,})"


def _cell(results: Results, workload: Workload, contender: str) -> Text:
    entry, figure = results.entry(workload.name, contender), results.figure(workload.name, contender)
    if entry is not None and entry.failed:
        return Text("failed", "bold red")
    if figure is None:
        return Text(NOTHING)
    ratio = results.ratio(workload.name, contender)
    text = Text(_number(figure))
    if contender != "plain" and ratio is not None:
        text.append(f" {TIMES}{_number(ratio)}", "bold" if contender == "weft" else "")
    if entry is not None and workload.measure == "failing":
        text.append(f"\n{entry.value}", "dim")
    return text


def _growth_cell(found: tuple[float, int, int] | None) -> str:
    return NOTHING if found is None else f"{found[0]:.2f}\n{found[1]:,} to {found[2]:,}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _show_left_out(console: Console, results: Results, contenders: Sequence[str]) -> None:
    """Print why there is no figure, where there is none."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (workload, size), entries in results.entries.items():
        for name, entry in entries.items():
            if entry.absent:
                reasons.setdefault((name, entry.absent), []).append(f"{workload} ({size:,})" if size > 1 else workload)
    for name in contenders:
        for (contender, reason), works in reasons.items():
            if contender == name:
                console.print(f"{NAMES[name]}, {'; '.join(works)}: {reason}.", style="dim", markup=False)


def _goals(results: Results) -> Table:
    table = Table(title="Goals", title_justify="left")
    for heading in ("goal", "bound", "found", ""):
        table.add_column(heading, justify="left" if heading in ("goal", "") else "right")
    for goal in GOALS:
        found = goal.found(results)
        said = Text("not measured", "dim") if found is None else _verdict(is_reached=goal.is_reached(found))
        table.add_row(goal.text, goal.bounded, NOTHING if found is None else f"{found:.3g}", said)
    return table


def _verdict(*, is_reached: bool) -> Text:
    return Text("reached", "green") if is_reached else Text("not reached", "bold red")


def show_checked(console: Console, results: Results, contenders: Sequence[str]) -> None:
    """Print how many workloads each contender did right, and which it left out."""
    for name in contenders:
        entries = [each[name] for each in results.entries.values()]
        right = sum(bool(each.figures) and not each.failed for each in entries)
        failed = sum(bool(each.failed) for each in entries)
        console.print(f"{NAMES[name]}: {right} right, {failed} wrong, {len(entries) - right - failed} left out")
    _show_left_out(console, results, contenders)


# --- JSON -----------------------------------------------------------------------------------------------------------


def as_json(results: Results) -> Mapping[str, Any]:
    """Return all that was found, with what it was found on."""
    goals = [(goal, goal.found(results)) for goal in GOALS]
    growth = {name: found for name in NAMES if (found := results.growth("noop", name)) is not None}
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "versions": versions(),
        "goals": [
            {
                "goal": goal.text,
                "bound": goal.bounded,
                "found": None if found is None else round(found, 4),
                "reached": None if found is None else goal.is_reached(found),
            }
            for goal, found in goals
        ],
        "growth": {
            name: {"exponent": round(exponent, 3), "from": least, "to": most}
            for name, (exponent, least, most) in growth.items()
        },
        "workloads": results.as_json(),
    }


def versions() -> dict[str, str]:
    """Return the versions that the environments are made of, as their files pin them."""
    found: dict[str, str] = {}
    for environment, packages in PACKAGES.items():
        lines = (ROOT / "benchmarks" / "pins" / f"{environment}.txt").read_text("utf8").splitlines()
        pins = dict(line.partition("==")[::2] for line in lines)
        found |= {package: pins[package] for package in packages}
    return found


def _python() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} processors"
