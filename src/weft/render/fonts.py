"""How wide text is, near enough: where a picture is made no font is at hand, and whoever looks at it has another.

The widths are those of DejaVu Sans, the widest of the fonts that systems have by themselves: others leave room over.
"""

from __future__ import annotations

from unicodedata import east_asian_width

# Of an em, by character; what is not here is as wide as most letters.
_WIDTHS = {
    **dict.fromkeys("ijlI|'", 0.30),
    **dict.fromkeys(' .,:;!()[]{}/\\-ftr"`', 0.40),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ&", 0.76),
    **dict.fromkeys("mwMW%@…—→", 1.0),
    **dict.fromkeys("+<>=~^#_", 0.84),
}
_MOST = 0.635
_MONOSPACED = 0.605
_WIDE = 1.25  # East Asian characters and pictograms, which come from other fonts
_BOLD = 1.13


def width_of(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Return how wide *text* is at most, at *size*."""
    em = sum(_WIDE if east_asian_width(each) in "WF" else _em(each, mono=mono) for each in text)
    return em * size * (_BOLD if bold and not mono else 1)


def _em(character: str, *, mono: bool) -> float:
    if mono:
        return _MONOSPACED if character.isascii() else 1.0
    return _WIDTHS.get(character, _MOST if character.isascii() else 1.0)


def fitted(text: str, room: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """Return *text*, or as much of it as *room* holds, and an ellipsis."""
    if width_of(text, size, bold=bold, mono=mono) <= room:
        return text
    kept = text
    while kept and width_of(f"{kept}…", size, bold=bold, mono=mono) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
