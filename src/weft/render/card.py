"""The box of one node: its name, a row for each value and its source, and who chooses what follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from .fonts import fitted, width_of
from .markup import Markup, element
from .outline import Kind, NodeOutline, Value
from .style import BODY, SMALL, TITLE, sign

_PADDING = 14.0
_ROW = 22.0
_HEAD = 38.0
_INDENT = 16.0
_BETWEEN = 22.0  # the two columns
_SIGN = 14.0
_UNDER = 7.0  # from the middle of a line to what hangs under it
_FRAME = 5.0  # around a node at which the run ends
_MIDDLE = 4.2  # from the middle of a line of text down to its baseline

_NO_FIELDS = "no fields"

_WIDEST_TITLE = 380.0
_WIDEST_VALUE = 300.0
_NARROWEST_TYPE = 90.0
_WIDEST_SOURCE = 260.0


@dataclass(frozen=True, slots=True)
class _Row:
    """A value on its line; what it is made from stands below it, deeper."""

    value: Value
    depth: int
    name: str
    type: str
    source: str

    @property
    def width(self) -> float:
        text = f"{self.name}: {self.type}" if self.type else self.name
        return self.depth * _INDENT + width_of(text, BODY, mono=True)


class Card:
    """A node measured and ready to be drawn; `height` and `width` are known before it has a place."""

    def __init__(self, node: NodeOutline) -> None:
        self.node = node
        self.is_end = node.may_end and not node.following
        self.frame = _FRAME if self.is_end else 0.0
        self.title = fitted(node.name, _WIDEST_TITLE, TITLE, bold=True)
        self.tags = [word for word, holds in (("start", node.is_start), ("end", self.is_end)) if holds]
        self.lm = fitted(f"LM {node.lm}", _WIDEST_TITLE, SMALL) if node.lm else ""
        self.rows = list(_rows(node.values))
        self.parameters = list(_rows(node.parameters, 1))
        self.route = node.said_of_route
        self.column = max((row.width for row in [*self.rows, *self.parameters]), default=0.0) + _BETWEEN
        self.head = _HEAD + (16.0 if self.lm else 0.0)
        self.width = ceil(max(self._head_width(), self._body_width())) + 2 * (_PADDING + self.frame)
        self.height = self.head + self._body_height() + 2 * self.frame

    def _head_width(self) -> float:
        tags = sum(_tag_width(tag) + 8 for tag in self.tags)
        title = width_of(self.title, TITLE, bold=True) + (12 + tags if tags else 0)
        return max(title, _SIGN + width_of(self.lm, SMALL))

    def _body_width(self) -> float:
        sources = [width_of(row.source, BODY) for row in [*self.rows, *self.parameters] if row.source]
        columns = self.column + _SIGN + max(sources) if sources else self.column - _BETWEEN
        return max(columns, _SIGN + width_of(self.route, BODY), 0 if self.rows else width_of(_NO_FIELDS, BODY))

    def _body_height(self) -> float:
        rows = max(len(self.rows), 1) * _ROW + 12
        return rows + ((1 + len(self.parameters)) * _ROW + 10 if self.route else 0)

    # --- Drawing ---

    def draw(self, x: float, y: float) -> Markup:
        """Return the card with its upper left corner at x, y."""
        inner = Markup("".join([*self._box(), *self._heading(), *self._body()]))
        return element("g", element("title", self.node.name), inner, transform=f"translate({x:.1f} {y:.1f})")

    def _box(self) -> Iterator[Markup]:
        outer = {"width": self.width, "height": self.height, "rx": 8}
        yield element("rect", **outer, class_="fill-card line-edge", stroke_width=1.4)
        frame = self.frame
        inside = {"x": frame, "y": frame, "width": self.width - 2 * frame}
        radius, head = 8 - frame / 2, self.head
        across, down = inside["width"] - 2 * radius, head - radius
        path = f"M{frame:g} {frame + head:g}v{-down:g}a{radius:g} {radius:g} 0 0 1 {radius:g} {-radius:g}h{across:g}"
        path += f"a{radius:g} {radius:g} 0 0 1 {radius:g} {radius:g}v{down:g}z"
        yield element("path", d=path, class_="fill-head")
        inner = {**inside, "height": self.height - 2 * frame, "rx": radius}
        yield element("rect", **inner, fill="none", class_="line-edge", stroke_width=1.4)

    def _heading(self) -> Iterator[Markup]:
        x, y = _PADDING + self.frame, self.frame + 20
        yield _text(self.title, x, y, "title fill-ink")
        right = self.width - x
        for tag in reversed(self.tags):
            right -= _tag_width(tag)
            outline = {"width": _tag_width(tag), "height": 18, "rx": 9, "stroke_width": 1.2}
            yield element("rect", x=right, y=y - 9, **outline, class_="fill-card line-edge")
            yield _text(tag, right + 8, y, "small fill-ink")
            right -= 8
        if self.lm:
            yield sign("lm", x + 4, y + 18)
            yield _text(self.lm, x + _SIGN, y + 18, "small fill-dim")

    def _body(self) -> Iterator[Markup]:
        top = self.frame + self.head + 6
        yield from self._lines(self.rows, top)
        if not self.rows:
            yield _text(_NO_FIELDS, _PADDING + self.frame, top + _ROW / 2, "fill-dim")
        if not self.route:
            return
        top += max(len(self.rows), 1) * _ROW + 6
        left, right = self.frame, self.width - self.frame
        yield element("path", d=f"M{left:g} {top:g}H{right:g}", class_="line-rule", fill="none")
        top += 4
        kind: Kind = "lm" if self.node.chooser == "lm" else "dep"
        yield sign(kind, _PADDING + self.frame + 4, top + _ROW / 2)
        yield _text(self.route, _PADDING + self.frame + _SIGN, top + _ROW / 2, "fill-ink")
        yield from self._lines(self.parameters, top + _ROW)

    def _lines(self, rows: Iterable[_Row], top: float) -> Iterator[Markup]:
        hooks: dict[int, float] = {}  # by depth, where the next elbow begins: under the parent or at the last sibling
        y = top + _ROW / 2
        for row in rows:
            yield self._line(row, hooks.get(row.depth, y - _ROW + _UNDER), y)
            hooks[row.depth], hooks[row.depth + 1] = y, y + _UNDER
            y += _ROW

    def _line(self, row: _Row, hook: float, y: float) -> Markup:
        left = _PADDING + self.frame
        x = left + row.depth * _INDENT
        parts = [element("title", _tooltip(row.value))]
        if row.depth:
            elbow = f"M{x - _INDENT + 4:g} {hook:g}V{y:g}h{_INDENT - 8:g}"
            parts.append(element("path", d=elbow, class_="line-edge", fill="none"))
        name = element("tspan", f"{row.name}:" if row.type else row.name, class_="fill-ink")
        spans = [name, Markup(" "), element("tspan", row.type, class_="fill-dim")] if row.type else [name]
        parts.append(element("text", *spans, x=x, y=y + _MIDDLE, class_="code"))
        if row.source:
            parts.append(sign(row.value.kind, left + self.column + 4, y))
            parts.append(_text(row.source, left + self.column + _SIGN, y, "fill-ink"))
        return element("g", *parts)


def _rows(values: Iterable[Value], depth: int = 0) -> Iterator[_Row]:
    for value in values:
        room = _WIDEST_VALUE - depth * _INDENT
        name = fitted(value.name, room - _NARROWEST_TYPE, BODY, mono=True)
        type_room = room - width_of(f"{name}: ", BODY, mono=True)
        yield _Row(value, depth, name, fitted(value.type, type_room, BODY, mono=True), _source(value))
        yield from _rows(value.values, depth + 1)


def _source(value: Value) -> str:
    return fitted(value.source, _WIDEST_SOURCE, BODY)


def _tooltip(value: Value) -> str:
    said = f"{value.title}, {value.source}" if value.source else value.title
    return f"{said}: {value.description}" if value.description else said


def _tag_width(tag: str) -> float:
    return width_of(tag, SMALL) + 16


def _text(text: str, x: float, middle: float, class_: str) -> Markup:
    return element("text", text, x=x, y=middle + _MIDDLE, class_=class_)
