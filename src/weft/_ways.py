"""How each value that a node needs is reached from it, and so what its place is called."""

from __future__ import annotations

from functools import cached_property

from ._plan import Input, Plan
from ._run import Visit, key_part, shared_key
from ._survey import Survey


class Ways:
    """The first way from the visited node to each slot of its plan, step by step, once its `survey` is made."""

    survey: Survey

    def __init__(self, visit: Visit, plan: Plan, key: str | None = None) -> None:
        self.visit = visit
        self.run = visit.run
        self.plan = plan
        self._key = key

    @cached_property
    def _keys(self) -> dict[int, str]:
        return {}

    def way_to(self, index: int) -> list[Input]:
        """Return the inputs that lead from the visited node to a slot."""
        way: list[Input] = []
        while index >= 0 and (step := self.survey.steps[index]) is not None:
            way.append(step)
            index = self.survey.users[index]
        return way[::-1]

    def key_of(self, index: int) -> str:
        """Return the place of a slot in the graph: the same, whoever asked for it first."""
        slot = self.plan.slots[index]
        if self.run.inside is not None and self.visit.is_shared(slot):
            return shared_key(self.run.inside, slot)
        return self._own_key(index)

    @property
    def place(self) -> str:
        """The place of the node, or of its body."""
        return self.visit.key if self._key is None else self._key

    def _own_key(self, index: int) -> str:
        """Return the visit's key and the names on the way; kept, since every key begins with another's."""
        ahead: list[int] = []
        while index >= 0 and index not in self._keys:
            ahead.append(index)
            index = self.survey.users[index]
        key = self._keys[index] if index >= 0 else self.place
        for each in reversed(ahead):
            step = self.survey.steps[each]
            key = self._keys[each] = f"{key}/{key_part(step.need.name)}" if step is not None else key
        return key
