"""Where each value that a node needs is kept, which of them are there already, and where those were made."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any

from ._plan import Input, Plan, Slot
from ._run import Visit
from ._scope import Scope
from ._survey import MISSING, UNDER_WAY
from ._ways import Ways
from .errors import RecallError
from .events import Origin


class Homes(Ways):
    """The scopes and keys of a plan's values, and what the plan recalls, as it was when it was first asked for."""

    def __init__(self, visit: Visit, plan: Plan, key: str | None = None) -> None:
        super().__init__(visit, plan, key)
        self.run.leave_closed_scopes()

    @cached_property
    def _recalled(self) -> dict[int, tuple[int, Any] | None]:
        return {}

    @cached_property
    def _ambiguous(self) -> dict[int, RecallError]:
        return {}

    def _known(self, slot: Slot) -> Any:
        """Return the value that is there for *slot*, UNDER_WAY if somebody is making it, or MISSING."""
        if slot.kind == "provided":
            return self.run.provided[slot.provided_as]
        if not slot.is_made:
            return MISSING
        scope, key = self._home_of(slot)
        if key in scope.under_way:
            return UNDER_WAY
        return scope.values.get(key, MISSING)

    def _home_of(self, slot: Slot) -> tuple[Scope, Hashable]:
        """Return where *slot*'s value is kept, and under what."""
        if slot.is_simple:
            return self.run.scopes[0], slot.key
        return self.visit.scope_of(slot), self._key_in_scope(slot)

    def _key_in_scope(self, slot: Slot) -> Hashable:
        """Return what *slot*'s value is kept under: what read the trace belongs to the entries it read."""
        if not slot.reads_trace:
            return slot.key
        serials = self.run.trace.serials
        read = [found[0] if (found := self._recall(index)) else None for index in slot.reads]
        source = serials[-1] if slot.reads_source and serials else None
        return (slot.key, *(None if position is None else serials[position] for position in read), source)

    def _recall(self, index: int) -> tuple[int, Any] | None:
        if index not in self._recalled:
            try:
                self._recalled[index] = self.run.trace.newest(self.plan.slots[index])
            except RecallError as ambiguous:
                self._recalled[index] = None
                self._ambiguous[index] = ambiguous
        return self._recalled[index]

    def origin_of(self, step: Input) -> Origin:
        """Return how a value was come by, and the key of what made it."""
        slot = self.plan.slots[step.slot]
        if slot.kind == "recall":
            found = self._recall(step.slot)
            position = found[0] if found else 0
            return Origin("recall", self.run.trace_key(position, type(self.run.trace.nodes[position])))
        if slot.kind in ("provided", "lm"):
            return Origin("provided" if slot.kind == "provided" else "given")
        scope, key = self._home_of(slot)
        return Origin("dep", scope.made_at.get(key) or self.key_of(step.slot))

    def made(self, slot: Slot) -> None:
        """Keep where a value was made."""
        scope, key = self._home_of(slot)
        scope.made_at[key] = self.key_of(slot.index)
