"""How each value that a node needs is reached from it, and so what its place is called."""

from __future__ import annotations

from ._plan import Input, Plan
from ._run import Visit, key_part, shared_key


class Ways:
    """The first way from the visited node to each slot of its plan, kept step by step."""

    def __init__(self, visit: Visit, plan: Plan, key: str | None = None) -> None:
        self.visit = visit
        self.run = visit.run
        self.plan = plan
        self._key = visit.key if key is None else key
        self._step: list[Input | None] = [None] * len(plan.slots)
        self._user: list[int] = [-1] * len(plan.slots)
        self._keys: dict[int, str] = {}

    def way_to(self, index: int) -> list[Input]:
        """Return the inputs that lead from the visited node to a slot."""
        way: list[Input] = []
        while index >= 0 and (step := self._step[index]) is not None:
            way.append(step)
            index = self._user[index]
        return way[::-1]

    def key_of(self, index: int) -> str:
        """Return the place of a slot in the graph: the same, whoever asked for it first."""
        slot = self.plan.slots[index]
        if self.run.inside is not None and self.visit.is_shared(slot):
            return shared_key(self.run.inside, slot)
        return self._own_key(index)

    def _own_key(self, index: int) -> str:
        """Return the visit's key and the names on the way; kept, since every key begins with another's."""
        ahead: list[int] = []
        while index >= 0 and index not in self._keys:
            ahead.append(index)
            index = self._user[index]
        key = self._keys[index] if index >= 0 else self._key
        for each in reversed(ahead):
            step = self._step[each]
            key = self._keys[each] = f"{key}/{key_part(step.need.name)}" if step is not None else key
        return key
