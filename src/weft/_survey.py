"""What of a plan is needed: the first way to each value, what each one still lacks, and what can begin at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._plan import Input, Slot

MISSING: Any = object()
UNDER_WAY: Any = object()


def _unknown(_: Slot) -> Any:
    return MISSING


class Survey:
    """What some values are made from, found in the order of declaration; never changed once it is made.

    By the index of a slot, `steps` holds the input that leads to it first, None where it is not needed, `users` what
    that is an input of, -1 being the node, `values` what is there already, and `missing` how many inputs it waits for.
    `ready` can begin at once; what of it holds the event loop is apart, and where it is flat nothing else has inputs.
    `left` says how many values are to be had.

    Args:
        slots: The plan's values.
        wanted: What the node's fields, or a body's parameters, want.
        known: Returns a slot's value, or MISSING, or UNDER_WAY where somebody else is making it: that is joined at
            once, before it can fail, and its inputs are not looked at.
    """

    __slots__ = ("is_flat", "left", "missing", "ready", "ready_on_loop", "steps", "users", "values")

    def __init__(self, slots: Sequence[Slot], wanted: Sequence[Input], known: Callable[[Slot], Any] = _unknown) -> None:
        self.steps: list[Input | None] = [None] * len(slots)
        self.users = [-1] * len(slots)
        self.values: list[Any] = [MISSING] * len(slots)
        self.missing = [0] * len(slots)
        self.left = 0
        self.ready: list[Slot] = []
        self.ready_on_loop: list[Slot] = []
        waiting: list[Slot] = []
        for target in wanted:
            todo = [(-1, target)]
            while todo:
                user, step = todo.pop()
                slot = slots[step.slot]
                if self.steps[step.slot] is None:
                    self.steps[step.slot], self.users[step.slot] = step, user
                    if self._is_made_from_inputs(slot, known(slot)):
                        waiting.append(slot)
                        todo.extend((slot.index, each) for each in reversed(slot.inputs))
        self.is_flat = not waiting
        self._count_missing(waiting)

    def _is_made_from_inputs(self, slot: Slot, value: Any) -> bool:
        """Take in what is known of a slot; return whether its inputs are needed."""
        if value is MISSING or value is UNDER_WAY:
            self.left += 1
            if value is MISSING and slot.inputs:
                return True
            (self.ready_on_loop if slot.holds_loop and value is MISSING else self.ready).append(slot)
        else:
            self.values[slot.index] = value
        return False

    def _count_missing(self, waiting: Sequence[Slot]) -> None:
        for slot in waiting:
            missing = sum(self.values[each.slot] is MISSING for each in slot.inputs)
            self.missing[slot.index] = missing
            if not missing:
                (self.ready_on_loop if slot.holds_loop else self.ready).append(slot)
