"""The parts of a run as branches of a tree: titles, timings, what hangs where, what is left out for want of room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..events import Status
from ..render.text import Branch, Tone

Kind = Literal["node", "dep", "lm", "run"]
SHOWN_ERROR = 80
_MAX_DEPTH = 30
_ROUNDED_FROM = 0.01
_TONES: Mapping[Status | None, Tone] = {"done": "good", "failed": "bad", "cancelled": "quiet", None: "quiet"}


@dataclass(slots=True)
class Part:
    """Something in a run that takes time: a visit, a dependency, an LM call, or a graph run inside.

    It has not begun where `began` is None, and then `waits_for` says why. `writing` is what an LM has written so far.
    `is_code` marks a visit whose custom body said what follows; `rejection` says why an answer was not accepted.
    """

    key: str
    name: str
    kind: Kind
    attempt: int = 1
    began: float | None = None
    waited: float = 0.0
    waits_for: Sequence[str] = ()
    status: Status | None = None
    seconds: float = 0.0
    is_code: bool = False
    rejection: str = ""
    remarks: list[str] = field(default_factory=list[str])
    writing: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def place(self) -> str:
        """The key without the number of the attempt."""
        return place_of(self.key)


def place_of(key: str) -> str:
    """Return *key* without the number of the attempt."""
    place, mark, number = key.rpartition("#")
    return place if mark and "/" not in number else key


@dataclass(frozen=True, slots=True)
class _Hanging:
    """Parts by the key of what they hang under, seen while the run goes on where `now` says when."""

    below: Mapping[str, Sequence[tuple[str, Part]]]
    now: float | None

    def under(self, around: str, depth: int = 0) -> Iterator[Branch]:
        if depth > _MAX_DEPTH and around in self.below:
            yield Branch("…")
            return
        for place, part in self.below.get(around, ()):
            written = (Branch(f"{name}: {text}") for name, text in part.writing.items())
            inner = (*self.under(part.key, depth + 1), *written)
            yield Branch(_title(place, part), _detail(part, self.now), _tone(part, self.now), inner)


def branches_of(
    parts: Mapping[str, Part], now: float | None = None, order: Mapping[str, int] | None = None
) -> list[Branch]:
    """Return *parts* as they hang, in the order in which they began, or in *order*, by key.

    Args:
        parts: What is shown, by key.
        now: The time, if the run is still going on: what has begun and not ended is going on too.
        order: The positions of keys among those beside them; other keys come last.
    """
    below: dict[str, list[tuple[str, Part]]] = {}
    for part in parts.values():
        around = _around(part.key, parts)
        below.setdefault(around, []).append((part.key[len(around) :].lstrip("/"), part))
    if order:
        for beside in below.values():
            beside.sort(key=lambda each: order.get(each[1].place, len(order)))
    return list(_Hanging(below, now).under(""))


def folded(parts: Mapping[str, Part]) -> list[Branch]:
    """Return the first of *parts*, a visit, without what took place in it."""
    first = next(iter(parts.values()))
    return branches_of({first.key: first})


def _around(key: str, parts: Mapping[str, Part]) -> str:
    """Return the key of the nearest part around *key*: a dependency that never began is left out."""
    while key:
        key = key.rpartition("/")[0]
        if key in parts:
            return key
    return ""


# --- One line


def _title(place: str, part: Part) -> str:
    where = place.partition("#")[0]
    return f"{where}: {part.name}" if part.kind == "dep" and "shared/" not in where else part.name


def choice_title(offered: Sequence[str | None], *, fills: bool = False) -> str:
    """Return what is said of a choice that is not made yet, in a call that also fills what it chooses or does not."""
    return f"LM chooses{' and fills one' if fills else ''} among {' | '.join(name or 'end' for name in offered)}"


def _tone(part: Part, now: float | None) -> Tone:
    if part.rejection:
        return "bad"
    if now is None or part.status is not None:
        return _TONES[part.status]
    return "waiting" if part.began is None else "going"


def _detail(part: Part, now: float | None) -> str:
    attempt = f"attempt {part.attempt}" if part.attempt > 1 else ""
    queued = f"waited {duration(part.waited)}" if part.waited >= _ROUNDED_FROM else ""
    said = [_timing(part, now), attempt, queued, *part.remarks]
    # The end of a line may have no room while the run goes on; afterwards all of it has.
    said.insert(len(said) if now is None else 0, part.rejection)
    return ", ".join(each for each in said if each)


def _timing(part: Part, now: float | None) -> str:
    took = duration(part.seconds)
    how = {"done": took, "failed": f"failed after {took}", "cancelled": f"cancelled after {took}"}
    if part.status is not None:
        return how[part.status]
    if now is None:
        return "not finished"
    if part.began is None:
        return f"waits for {', '.join(part.waits_for) or 'its turn'}"
    return _in_tenths(max(now - part.began, 0.0))


def duration(seconds: float) -> str:
    """Return *seconds* as people say it."""
    if seconds < _ROUNDED_FROM:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return _in_minutes(seconds) or f"{seconds:.2f} s"


def _in_tenths(seconds: float) -> str:
    """Return the time something has been going on for: it is read while it grows."""
    return _in_minutes(seconds) or f"{seconds:.1f} s"


def _in_minutes(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else ""


# --- What there is room for


def size_of(branch: Branch) -> int:
    """Return how many lines *branch* takes."""
    return 1 + sum(map(size_of, branch.branches))


def pruned(branch: Branch, rows: int) -> Branch:
    """Return *branch* in at most *rows* lines; the last one counts what is left out.

    What is finished folds first, then goes; what waits goes next, and what is going on or failed last.
    """
    whole = size_of(branch)
    if whole <= rows:
        return branch
    for prune in (_with_done_folded, _without_done, _without_waiting):
        branch = prune(branch)
        if size_of(branch) < rows:
            return _with_count(branch, whole)
    return _with_count(_cropped(branch, max(rows - 1, 1)), whole)


def _with_count(branch: Branch, whole: int) -> Branch:
    left_out = Branch(f"… {whole - size_of(branch):,} more")
    return replace(branch, branches=(*branch.branches, left_out))


def _is_of(branch: Branch, *tones: Tone) -> bool:
    """Return whether it, and all that hangs under it, is of *tones*."""
    return branch.tone in tones and all(_is_of(each, *tones) for each in branch.branches)


def _with_done_folded(branch: Branch) -> Branch:
    inner = [
        replace(each, branches=()) if _is_of(each, "good") else _with_done_folded(each) for each in branch.branches
    ]
    return replace(branch, branches=tuple(inner))


def _without_done(branch: Branch) -> Branch:
    return _without(branch, "good")


def _without_waiting(branch: Branch) -> Branch:
    return _without(branch, "good", "waiting", "plain")


def _without(branch: Branch, *tones: Tone) -> Branch:
    kept = [_without(each, *tones) for each in branch.branches if not _is_of(each, *tones)]
    return replace(branch, branches=tuple(kept))


def _cropped(branch: Branch, rows: int) -> Branch:
    """Return the first *rows* lines of *branch*."""
    kept: list[Branch] = []
    rows -= 1
    for each in branch.branches:
        if rows <= 0:
            break
        kept.append(_cropped(each, rows))
        rows -= size_of(kept[-1])
    return replace(branch, branches=tuple(kept))
