"""The figures as pictures: SVG that needs nothing else, and follows the reader's choice of light or dark.

Run: python -m benchmarks.charts  (draws baseline.json again, as a whole run does)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .processes import ROOT
from .report import NAMES

SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
# For light, for dark: page, ink, dim text, rules, Weft, plain asyncio, others.
COLOURS = {
    "page": ("#ffffff", "#0f141a"),
    "ink": ("#17202c", "#eaf0f7"),
    "dim": ("#4e5b6a", "#b0bccb"),
    "rule": ("#dde3ea", "#2b3644"),
    "weft": ("#7a35b8", "#cba6ff"),
    "plain": ("#0a6a5e", "#57d3c0"),
    "other": ("#8492a3", "#7d8b9c"),
}
WIDTH, MARGIN, GAP = 840.0, 20.0, 36.0
PANEL = (WIDTH - 2 * MARGIN - GAP) / 2
LABELS, NUMBERS = 150.0, 64.0  # room left of the axis, and right of it
ROW, HEAD, FOOT = 22.0, 46.0, 34.0
TITLE = 44.0


@dataclass(frozen=True)
class Row:
    """One figure: whose, how much, and the words for it."""

    label: str
    value: float
    words: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """Figures to compare, on a logarithmic axis or as bars from nothing."""

    title: str
    note: str
    rows: Sequence[Row]
    is_log: bool

    @property
    def height(self) -> float:
        """How much room it takes."""
        return HEAD + ROW * len(self.rows) + FOOT


# --- What is shown --------------------------------------------------------------------------------------------------


def drawn(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the pictures of a whole run's figures, by the names of their files."""
    cost = [
        _panel(found, "chain", "A node that an LM fills", "µs of CPU, in a chain of 100"),
        _panel(found, "noop", "A dependency that does nothing", "µs of CPU, one of 10,000"),
        _panel(found, "runs", "Runs at once, 1,000 of them", "runs a second; further right is faster"),
        _panel(found, "idle", "A run that waits for its model", "KiB of memory"),
    ]
    time = [_over_critical_path(found), _outfits(found)]
    return {
        "cost.svg": _picture("What the engine costs", "logarithmic axes; further left is less", cost),
        "makespan.svg": _picture("How long a run takes", "shorter is better", time),
    }


def _panel(found: Mapping[str, Any], name: str, title: str, note: str) -> Panel:
    rows = [Row(NAMES[each], value, _words(value), _colour(each)) for each, value in _medians(found, name).items()]
    return Panel(title, note, sorted(rows, key=lambda row: row.value, reverse=name == "runs"), is_log=True)


def _over_critical_path(found: Mapping[str, Any]) -> Panel:
    path = _shown(found, "ragged")["critical_path"]
    rows = [
        Row(NAMES[each], value / path, f"{value / path:.2f}", _colour(each))
        for each, value in _medians(found, "ragged").items()
    ]
    rows.sort(key=lambda row: row.value)
    return Panel("A ragged graph of 49 steps", "makespan over its critical path", rows, is_log=False)


def _outfits(found: Mapping[str, Any]) -> Panel:
    """Weft's modes beside the peers, which have but one."""
    modes = {"off": "Weft, prefetch off", "certain": "Weft, certain", "candidates": "Weft, candidates"}
    modes |= {"one-call": "Weft, one-call routing", "both": "Weft, candidates, one-call"}
    rows: list[Row] = []
    for each, value in _medians(found, "outfit, off").items():
        if each != "weft":
            rows.append(Row(NAMES[each], value / 1e3, f"{value / 1e3:.2f} s", _colour(each)))
    for mode, label in modes.items():
        value = _medians(found, f"outfit, {mode}").get("weft")
        if value is not None:
            rows.append(Row(label, value / 1e3, f"{value / 1e3:.2f} s", "weft"))
    rows.sort(key=lambda row: row.value)
    return Panel("The outfit of the day", "seconds, of which 400 ms for each call of the model", rows, is_log=False)


def _shown(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    workload = found["workloads"][name]
    shown: Mapping[str, Any] = workload["sizes"][str(workload["shown"])]
    return shown


def _medians(found: Mapping[str, Any], name: str) -> dict[str, float]:
    contenders = _shown(found, name)["contenders"]
    return {each: entry["median"] for each, entry in contenders.items() if "median" in entry}


def _words(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _colour(contender: str) -> str:
    return contender if contender in ("weft", "plain") else "other"


# --- Drawing --------------------------------------------------------------------------------------------------------


def _picture(title: str, note: str, panels: Sequence[Panel]) -> str:
    parts = [_text(MARGIN, MARGIN + 12, title, "title"), _text(WIDTH - MARGIN, MARGIN + 12, note, "dim end")]
    top = MARGIN + TITLE
    for left, right in zip(panels[::2], panels[1::2], strict=True):
        parts += [*_drawn_panel(left, MARGIN, top), *_drawn_panel(right, MARGIN + PANEL + GAP, top)]
        top += max(left.height, right.height)
    described = "; ".join(f"{panel.title}: {_described(panel)}" for panel in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH:g}" height="{top:g}" '
        f'viewBox="0 0 {WIDTH:g} {top:g}">\n<title>{escape(title)}</title>\n<desc>{escape(described)}</desc>\n'
        f'<style>{_sheet()}</style>\n<rect width="100%" height="100%" rx="6" class="page"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _described(panel: Panel) -> str:
    return ", ".join(f"{row.label} {row.words}" for row in panel.rows)


def _sheet() -> str:
    def rules(scheme: int) -> str:
        fills = [f".{name}{{fill:{colours[scheme]}}}" for name, colours in COLOURS.items()]
        return "".join([f"text{{fill:{COLOURS['ink'][scheme]}}}", *fills, f"line{{stroke:{COLOURS['rule'][scheme]}}}"])

    fonts = f"text{{font:12px {SANS}}}.title{{font-size:17px;font-weight:700}}.head{{font-weight:700;font-size:13px}}"
    dark = f"@media(prefers-color-scheme:dark){{{rules(1)}}}"
    return f"{fonts}.end{{text-anchor:end}}.mid{{text-anchor:middle}}.own{{font-weight:700}}{rules(0)}{dark}"


def _drawn_panel(panel: Panel, left: float, top: float) -> Iterator[str]:
    axis, end = left + LABELS, left + PANEL - NUMBERS
    yield _text(left, top, panel.title, "head")
    yield _text(left, top + 16, panel.note, "dim")
    first, bottom = top + HEAD, top + HEAD + ROW * len(panel.rows)
    at = _scale(panel, axis, end)
    for value in _grid(panel):
        x = at(value)
        yield f'<line x1="{x:.1f}" y1="{first - 14:.1f}" x2="{x:.1f}" y2="{bottom - 12:.1f}"/>'
        yield _text(x, bottom + 2, f"{value:,g}", "dim mid")
    for index, row in enumerate(panel.rows):
        yield from _drawn_row(panel, row, at(row.value), axis, first + ROW * index)


def _drawn_row(panel: Panel, row: Row, x: float, axis: float, y: float) -> Iterator[str]:
    own = " own" if row.colour == "weft" else ""
    yield _text(axis - 10, y, row.label, f"end{own}")
    if panel.is_log:
        yield f'<circle cx="{x:.1f}" cy="{y - 4:.1f}" r="5.5" class="{row.colour}"/>'
    else:
        yield f'<rect x="{axis:.1f}" y="{y - 11:.1f}" width="{x - axis:.1f}" height="14" rx="2" class="{row.colour}"/>'
    yield _text(x + 10, y, row.words, own.strip())


def _scale(panel: Panel, axis: float, end: float) -> Any:
    values = [row.value for row in panel.rows]
    if not panel.is_log:
        return lambda value: axis + (end - axis) * value / max(values)
    least, most = math.log10(_grid(panel)[0]), math.log10(_grid(panel)[-1])
    return lambda value: axis + (end - axis) * (math.log10(value) - least) / (most - least)


def _grid(panel: Panel) -> list[float]:
    """Return where lines stand: at powers of ten around the figures, or at whole numbers from nothing."""
    values = [row.value for row in panel.rows]
    if not panel.is_log:
        return list(range(math.floor(max(values)) + 1))
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(least, max(most, least + 1) + 1)]


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(words)}</text>'


def main() -> None:
    """Draw the charts of the figures that are kept."""
    found = json.loads((ROOT / "benchmarks" / "results" / "baseline.json").read_text("utf8"))
    for name, picture in drawn(found).items():
        (ROOT / "docs" / "_static" / name).write_text(picture, "utf8")


if __name__ == "__main__":
    main()
