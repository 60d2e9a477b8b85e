"""Colours, lines and type of a picture, each colour for light and for dark, and the signs that stand for sources."""

from __future__ import annotations

from collections.abc import Mapping

from .markup import Markup, element
from .outline import Chooser, Kind

TITLE, BODY, SMALL = 14.0, 12.0, 11.0

SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"

# For light, for dark. Everything is read on page, card or head: all are at least 4.5 : 1 there.
COLOURS: Mapping[str, tuple[str, str]] = {
    "page": ("#f6f8fa", "#0f141a"),
    "card": ("#ffffff", "#1a212b"),
    "head": ("#e9eef4", "#263040"),
    "rule": ("#c9d2dc", "#3a4656"),
    "edge": ("#5a6878", "#93a1b2"),
    "ink": ("#17202c", "#eaf0f7"),
    "dim": ("#4e5b6a", "#b0bccb"),
    "caller": ("#1a56b0", "#82b6ff"),
    "lm": ("#7a35b8", "#cba6ff"),
    "code": ("#0a6a5e", "#57d3c0"),
    "trace": ("#8a4600", "#f2b661"),
}

_SIGN_COLOURS: Mapping[Kind, str] = {"caller": "caller", "lm": "lm", "dep": "code", "node": "lm", "recall": "trace"}
_ROUTE_COLOURS: Mapping[Chooser, str] = {"nobody": "edge", "lm": "lm", "code": "code", "code, then lm": "code"}
_DASHES: Mapping[Chooser, str] = {"nobody": "", "lm": "7 4", "code": "1.5 4", "code, then lm": "9 4 1.5 4"}

WORDS_OF_KINDS: Mapping[Kind, str] = {
    "caller": "from the caller",
    "lm": "from the LM",
    "dep": "Dep: from a function",
    "node": "Dep: a node that the LM fills",
    "recall": "Recall: from the trace",
}
WORDS_OF_CHOOSERS: Mapping[Chooser, str] = {
    "nobody": "the only way",
    "lm": "the LM chooses",
    "code": "code chooses",
    "code, then lm": "code chooses, the LM fills",
}


def sheet(scope: str) -> Markup:
    """Return the style sheet of the picture whose id is *scope*: it reaches nothing else on the page."""
    rules = [
        f"{scope} text{{font:{number_px(BODY)} {SANS}}}",
        f"{scope} .title{{font-weight:700;font-size:{number_px(TITLE)}}}",
        f"{scope} .small{{font-size:{number_px(SMALL)}}}",
        f"{scope} .code{{font-family:{MONO}}}",
        *_colour_rules(scope, 0),
        f"@media (prefers-color-scheme:dark){{{''.join(_colour_rules(scope, 1))}}}",
    ]
    return element("style", Markup("".join(rules)))


def number_px(size: float) -> str:
    """Return *size* as CSS writes it."""
    return f"{size:g}px"


def _colour_rules(scope: str, scheme: int) -> list[str]:
    return [
        rule
        for name, colours in COLOURS.items()
        for rule in (
            f"{scope} .fill-{name}{{fill:{colours[scheme]}}}",
            f"{scope} .line-{name}{{stroke:{colours[scheme]}}}",
        )
    ]


def sign(kind: Kind, x: float, y: float) -> Markup:
    """Return the sign of a source, its middle at x, y: a shape of its own, not a colour only."""
    colour = _SIGN_COLOURS[kind]
    if kind == "caller":
        return element("circle", cx=x, cy=y, r=4, class_=f"fill-{colour}")
    points = {
        "lm": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "node": ((0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)),
        "dep": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "recall": ((4, -4.5), (4, 4.5), (-4.5, 0)),
    }[kind]
    path = "L".join(f"{x + across:g} {y + down:g}" for across, down in points)
    if kind == "node":
        return element("path", d=f"M{path}Z", class_=f"fill-card line-{colour}", stroke_width=1.8)
    return element("path", d=f"M{path}Z", class_=f"fill-{colour}")


def line(path: str, chooser: Chooser) -> Markup:
    """Return *path* drawn as the routes that *chooser* chooses are."""
    dashes = {"stroke_dasharray": _DASHES[chooser]} if _DASHES[chooser] else {}
    cap = "round" if chooser in ("code", "code, then lm") else "butt"
    colour = f"line-{_ROUTE_COLOURS[chooser]}"
    return element("path", d=path, class_=colour, fill="none", stroke_width=1.8, stroke_linecap=cap, **dashes)


def arrow(tip: tuple[float, float], towards: tuple[float, float], chooser: Chooser) -> Markup:
    """Return an arrow's head with its *tip*, which points *towards* a direction of length 1."""
    (x, y), (across, down) = tip, towards
    back, half = 9.0, 4.5
    left = (x - back * across - half * down, y - back * down + half * across)
    right = (x - back * across + half * down, y - back * down - half * across)
    corners = "L".join(f"{px:.1f} {py:.1f}" for px, py in ((x, y), left, right))
    return element("path", d=f"M{corners}Z", class_=f"fill-{_ROUTE_COLOURS[chooser]}")


def dot(middle: tuple[float, float], chooser: Chooser) -> Markup:
    """Return the dot at which a route begins that runs up."""
    return element("circle", cx=middle[0], cy=middle[1], r=3.5, class_=f"fill-{_ROUTE_COLOURS[chooser]}")


def end_mark(x: float, y: float, radius: float) -> Markup:
    """Return the mark at which a run may stop, its middle at x, y."""
    ring = element("circle", cx=x, cy=y, r=radius - 1, class_="fill-card line-edge", stroke_width=1.8)
    return element("g", ring, element("circle", cx=x, cy=y, r=radius * 0.55, class_="fill-edge"))
