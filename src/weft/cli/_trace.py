"""A run as it was heard: what took place where, how long it took, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import describe, shorten
from ..events import (
    DepClosed,
    DepFinished,
    DepStarted,
    Event,
    Finished,
    LMCallFinished,
    LMCallStarted,
    NodeFinished,
    NodeStarted,
    RouteChosen,
    RunFinished,
    RunStarted,
    Status,
)
from ..lm import Usage
from ..render.text import Branch

_MAX_DEPTH = 30
_SHOWN_ERROR = 80
_ROUNDED_FROM = 0.01
_VERBS = {"fill": "fills", "make": "makes", "decide": "decides after"}


@dataclass(slots=True)
class Part:
    """Something in a run that took time: a visit, a dependency, an LM call, or a graph run inside."""

    key: str
    name: str
    kind: Literal["node", "dep", "lm", "run"]
    attempt: int = 1
    status: Status | None = None
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list[str])


class Recorder:
    """Listens to a run and keeps what is shown of it."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.seconds = 0.0
        self.usage = Usage()
        self.visits: list[NodeFinished] = []
        self._parts: dict[str, Part] = {}

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RunStarted(key=""):
                self.run_id = event.run_id
            case RunStarted():
                self._begin(event, f"graph from {type(event.start).__name__}", "run")
            case NodeStarted():
                self._begin(event, event.node_type, "node")
            case DepStarted():
                self._begin(event, event.name, "dep", event.attempt)
            case LMCallStarted():
                self._begin(event, _question(event), "lm", event.attempt)
            case RouteChosen(by="lm"):
                self._name_choice(event)
            case RunFinished(key=""):
                self.seconds, self.usage = max(event.seconds, 0.0), event.usage
            case DepClosed():
                self._close(event)
            case Finished():
                self._end(event)
            case _:
                pass

    def _begin(self, event: Event, name: str, kind: Literal["node", "dep", "lm", "run"], attempt: int = 1) -> None:
        self._parts[event.key] = Part(event.key, name, kind, attempt)

    def _end(self, event: Finished) -> None:
        if isinstance(event, NodeFinished) and event.parent is None:
            self.visits.append(event)
        part = self._parts.get(event.key)
        if part is None:
            return
        part.status, part.seconds = event.status, max(event.seconds, 0.0)
        part.remarks.extend(_remarks(event))

    def _close(self, event: DepClosed) -> None:
        part = self._parts.get(event.key)
        if part is None:
            return
        if event.error is not None:
            part.remarks.append(f"closing it raised {shorten(describe(event.error), _SHOWN_ERROR)}")
        elif event.seconds >= _ROUNDED_FROM:
            part.remarks.append(f"closed in {duration(event.seconds)}")

    def _name_choice(self, event: RouteChosen) -> None:
        calls = [part for part in self._parts.values() if part.key.partition("#")[0] == event.key]
        if calls:
            calls[-1].name = f"LM chooses {event.chosen or 'to end'}"

    @property
    def failed_at(self) -> str:
        """The node that was visited when the run failed."""
        failed = [visit.node_type for visit in self.visits if visit.status == "failed"]
        return failed[-1] if failed else ""

    def branches(self) -> tuple[Branch, ...]:
        """Return a branch for each visited node, with what took place in it."""
        below: dict[str, list[tuple[str, Part]]] = {}
        for part in self._parts.values():
            around = self._around(part.key)
            place = part.key[len(around) :].lstrip("/")
            below.setdefault(around, []).append((place, part))
        return _branches(below, "", 0)

    def _around(self, key: str) -> str:
        """Return the key of the nearest part around *key*: a dependency that never began is left out."""
        while key:
            key = key.rpartition("/")[0]
            if key in self._parts:
                return key
        return ""


def _branches(below: dict[str, list[tuple[str, Part]]], around: str, depth: int) -> tuple[Branch, ...]:
    if depth > _MAX_DEPTH and around in below:
        return (Branch("…"),)
    return tuple(
        Branch(_title(place, part), _detail(part), _tone(part), _branches(below, part.key, depth + 1))
        for place, part in below.get(around, ())
    )


def _title(place: str, part: Part) -> str:
    where = place.partition("#")[0]
    return f"{where}: {part.name}" if part.kind == "dep" and "shared/" not in where else part.name


def _detail(part: Part) -> str:
    took = duration(part.seconds)
    how = {"done": took, "failed": f"failed after {took}", "cancelled": f"cancelled after {took}", None: "not finished"}
    attempt = [f"attempt {part.attempt}"] if part.attempt > 1 else []
    return ", ".join([how[part.status], *attempt, *part.remarks])


def _tone(part: Part) -> Literal["plain", "bad", "quiet"]:
    tones: dict[Status | None, Literal["plain", "bad", "quiet"]] = {"done": "plain", "failed": "bad"}
    return tones.get(part.status, "quiet")


def _question(event: LMCallStarted) -> str:
    if event.kind == "choose":
        return f"LM chooses among {' | '.join(name or 'end' for name in event.offered)}"
    return f"LM {_VERBS[event.kind]} {event.target}"


def _remarks(event: Finished) -> list[str]:
    remarks: list[str] = []
    if isinstance(event, LMCallFinished):
        tokens = event.usage.input_tokens + event.usage.output_tokens
        remarks = [event.model, f"{tokens:,} tokens" if tokens else "", _rejection(event)]
    if isinstance(event, LMCallFinished | DepFinished) and event.error is not None:
        remarks.append(shorten(describe(event.error), _SHOWN_ERROR))
    return [remark for remark in remarks if remark]


def _rejection(event: LMCallFinished) -> str:
    return f"rejected: {shorten('; '.join(event.reasons), _SHOWN_ERROR)}" if event.reasons else ""


def duration(seconds: float) -> str:
    """Return *seconds* as people say it."""
    if seconds < _ROUNDED_FROM:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{seconds:.2f} s"
