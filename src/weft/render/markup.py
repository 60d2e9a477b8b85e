"""XML written by nesting calls: text is escaped because nothing else can happen to it."""

from __future__ import annotations

from ..errors import printable

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Markup(str):
    """Text that is XML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """Return an element; an underscore in an attribute's name is a hyphen, but for one at its end.

    Children that are not markup are text: they are escaped, and characters that XML forbids are written out.

    Example:
        >>> from weft.render.markup import element
        >>> element("text", "a < b", x=1.25, class_="name")
        '<text x="1.2" class="name">a &lt; b</text>'
    """
    said = "".join(f' {_attribute(name)}="{_value(value)}"' for name, value in attributes.items())
    inner = "".join(child if isinstance(child, Markup) else escaped(child) for child in children)
    return Markup(f"<{tag}{said}>{inner}</{tag}>" if inner else f"<{tag}{said}/>")


def escaped(text: str) -> str:
    """Return *text* as XML, fit for an attribute as well."""
    return printable(text).translate(_ESCAPES)


def number(value: float) -> str:
    """Return *value* to a tenth, without a zero at its end."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 100_000 else f"{value:.0f}"  # noqa: PLR2004  where :g turns to 1e+05


def _attribute(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else number(value)
