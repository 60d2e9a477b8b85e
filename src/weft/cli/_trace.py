"""A run as it is heard: what takes place where, how long it takes, and how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from .._event import jsonable
from ..errors import describe, shorten
from ..events import (
    DepClosed,
    DepFinished,
    DepStarted,
    Event,
    FieldDelta,
    Finished,
    LMCallFinished,
    LMCallStarted,
    NodeFinished,
    NodeStarted,
    RouteChosen,
    RunFinished,
    RunStarted,
)
from ..lm import Usage
from ..render.text import Branch
from ._branches import SHOWN_ERROR, Kind, Part, branches_of, choice_title, duration, folded, pruned, size_of
from ._outlook import Outlook
from ._work import work_of

_ROUNDED_FROM = 0.01
_SHOWN_WRITING = 60
_VERBS = {"fill": "fills", "make": "makes", "decide": "decides after"}


class Recorder:
    """Listens to a run and keeps what is shown of it; any thread may look while it goes on.

    With an `outlook` it also shows what a visit is still going to do.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.seconds = 0.0
        self.usage = Usage()
        self.visits: list[NodeFinished] = []
        self.outlook: Outlook | None = None
        self._parts: dict[str, dict[str, Part]] = {}  # by the visit of the outermost run, then by key
        self._orders: dict[str, Mapping[str, int]] = {}  # the positions that rows keep, by the visit they are of
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        with self._lock:
            self._take_in(event)
            if self.outlook is not None:
                self.outlook.hear(event)
                if isinstance(event, NodeStarted) and event.parent is None:
                    self._orders[event.key] = self.outlook.order

    def _take_in(self, event: Event) -> None:
        match event:
            case RunStarted() if event.key:
                self._begin(event, f"graph from {type(event.start).__name__}", "run")
            case RunStarted():
                self.run_id = event.run_id
            case NodeStarted():
                self._begin(event, event.node_type, "node")
            case DepStarted():
                self._begin(event, event.name, "dep", attempt=event.attempt)
            case LMCallStarted():
                self._begin(event, _question(event), "lm", attempt=event.attempt, waited=event.waited)
            case FieldDelta():
                self._write(event)
            case RouteChosen():
                self._route(event)
            case DepClosed():
                self._close(event)
            case _:
                self._end(event)

    def _visit_of(self, key: str) -> dict[str, Part]:
        return self._parts.setdefault(key.partition("/")[0], {})

    def _begin(self, event: Event, name: str, kind: Kind, **values: Any) -> None:
        self._visit_of(event.key)[event.key] = Part(event.key, name, kind, began=event.at, **values)

    def _write(self, event: FieldDelta) -> None:
        part = self._visit_of(event.key).get(event.key)
        if part is not None:
            part.writing = {name: _excerpt(value) for name, value in event.values.items()}

    def _end(self, event: Event) -> None:
        if not isinstance(event, Finished):
            return
        if isinstance(event, NodeFinished) and event.parent is None:
            self.visits.append(event)
        if isinstance(event, RunFinished) and not event.key:
            self.seconds, self.usage = max(event.seconds, 0.0), event.usage
        part = self._visit_of(event.key).get(event.key) if event.key else None
        if part is None:
            return
        part.status, part.seconds = event.status, max(event.seconds, 0.0)
        part.rejection = _rejection(event) if isinstance(event, LMCallFinished) else ""
        part.remarks.extend(_remarks(event))
        part.writing = {}

    def _close(self, event: DepClosed) -> None:
        part = self._visit_of(event.key).get(event.key)
        if part is None:
            return
        if event.error is not None:
            part.remarks.append(f"closing it raised {shorten(describe(event.error), SHOWN_ERROR)}")
        elif event.seconds >= _ROUNDED_FROM:
            part.remarks.append(f"closed in {duration(event.seconds)}")

    def _route(self, event: RouteChosen) -> None:
        parts = self._visit_of(event.key)
        visit = parts.get(event.parent or "")
        if event.by == "code" and visit is not None:
            visit.is_code = True
        calls = [part for part in parts.values() if part.key.partition("#")[0] == event.key]
        if event.by == "lm" and calls:
            verb = "chooses and fills" if event.chosen and calls[-1].name.startswith("LM chooses and") else "chooses"
            calls[-1].name = f"LM {verb} {event.chosen or 'to end'}"

    # --- What is shown ---

    @property
    def failed_at(self) -> str:
        """The node that was visited when the run failed."""
        failed = [visit.node_type for visit in self.visits if visit.status == "failed"]
        return failed[-1] if failed else ""

    @property
    def path(self) -> list[str]:
        """The names of the nodes visited, in order, the one at which it failed included."""
        return [visit.node_type for visit in self.visits]

    @property
    def work(self) -> float:
        """The seconds of work that the run consisted of: see `work_of`."""
        return sum(work_of(parts.values()) for parts in self._parts.values())

    def branches(self) -> tuple[Branch, ...]:
        """Return a branch for each visited node, with what took place in it."""
        with self._lock:
            return tuple(branch for key in self._parts for branch in self._branches_of(key))

    def _branches_of(self, key: str) -> list[Branch]:
        return branches_of(self._parts[key], order=self._orders.get(key))

    def newest(self, rows: int, now: float) -> tuple[Branch, ...]:
        """Return the run as it stands at *now*, in at most as many *rows*.

        The visit that is going on comes first. Finished ones fold to one line where they are too many, the oldest
        first, and what still does not fit is counted.
        """
        with self._lock:
            older = list(self._parts)
            if not older:
                return ()
            current = self._current(older.pop(), now)
            found = [pruned(current, max(rows - bool(older), 1))]
            room = rows - size_of(found[0])
            while older and room > (len(older) > 1):
                key = older.pop()
                parts = self._parts[key]
                fits = len(parts) <= room - len(older)
                found += self._branches_of(key) if fits else folded(parts)
                room -= len(parts) if fits else 1
        if older and room:
            found.append(Branch(f"… {len(older):,} more before"))
        return tuple(found[::-1])

    def _current(self, key: str, now: float) -> Branch:
        parts = self._parts[key]
        waiting = self.outlook.waiting(parts) if self.outlook is not None else {}
        return branches_of({**parts, **waiting}, now, self._orders.get(key))[0]


def _question(event: LMCallStarted) -> str:
    if event.offered:
        return choice_title(event.offered, fills=event.kind == "decide")
    return f"LM {_VERBS[event.kind]} {event.target}"


def _remarks(event: Finished) -> list[str]:
    remarks: list[str] = []
    if isinstance(event, LMCallFinished):
        tokens = event.usage.input_tokens + event.usage.output_tokens
        remarks = [event.model, f"{tokens:,} tokens" if tokens else ""]
    if isinstance(event, LMCallFinished | DepFinished) and event.error is not None:
        remarks.append(shorten(describe(event.error), SHOWN_ERROR))
    return [remark for remark in remarks if remark]


def _rejection(event: LMCallFinished) -> str:
    return f"rejected: {shorten('; '.join(event.reasons), SHOWN_ERROR)}" if event.reasons else ""


def _excerpt(value: Any) -> str:
    """Return the end of *value*, where it grows while it is written, as one line."""
    text = value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)
    shown = shorten(text[-_SHOWN_WRITING:], _SHOWN_WRITING * 10)
    return shown if len(text) <= _SHOWN_WRITING else f"…{shown}"
