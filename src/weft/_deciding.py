"""Routing in one call: the LM chooses the next node and fills it at once, where all that it is shown is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from ._calls import ask
from ._homes import Homes
from ._plan import Slot
from ._run import Visit
from ._survey import MISSING, UNDER_WAY
from .errors import LMNotConfiguredError
from .filling import check_choice, holding, offered_names
from .lm import LM, OneCallLM, one_call
from .nodes import Node
from .topology import NodePlan, apart

if TYPE_CHECKING:
    from ._engine import Execution


@dataclass(frozen=True, slots=True)
class Inputs:
    """The values of a node's Dep and Recall fields: as they were `found`, and as the fields' types want them."""

    found: Mapping[str, Any]
    injected: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decided:
    """A node that the LM wrote when it chose it, at `key`; it is visited next."""

    node: Node
    key: str
    inputs: Inputs

    def injected(self, plan: NodePlan, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return *values* as their types want them, and those that the LM was shown as they are.

        Raises ValidationError.
        """
        found = self.inputs.found
        if found.keys() == values.keys() and all(found[name] is value for name, value in values.items()):
            return dict(self.inputs.injected)
        return plan.spec.validate_injected(values)

    def node_with(self, plan: NodePlan, injected: Mapping[str, Any]) -> Node:
        """Return the node, *injected* being in its Dep and Recall fields."""
        return holding(plan.spec, self.node, injected)


class _Look(Homes):
    """Sees what a node's fields would hold if it were visited next; starts nothing."""

    def values_there(self) -> dict[str, Any] | None:
        """Return the wanted values by name if none of them is missing or still to be made."""
        values = {name: self._there(self.plan.slots[index]) for name, index in self.plan.fields.items()}
        return None if any(value is MISSING for value in values.values()) else values

    def _there(self, slot: Slot) -> Any:
        if slot.recall is not None:
            found = self._recall(slot.index)
            return MISSING if found is None else found[1]
        value = self._known(slot)
        if value is MISSING and slot.is_made:
            scope, key = self._home_of(slot)
            made = scope.ahead.get(key)
            if made is not None and made.is_landed and not made.has_failed:
                return made.value
        return MISSING if value is UNDER_WAY else value


def inputs_there(run: Execution, plan: NodePlan) -> Inputs | None:
    """Return the inputs that the node of *plan* would have if it were visited next; None if any is not there yet.

    Nothing is started for it. What cannot be had, or does not fit, is not there either: a visit says why.
    """
    node_type = plan.spec.node
    visit = Visit(run, node_type, run.trace_key(len(run.trace.nodes), node_type))
    found = _Look(visit, plan.plan).values_there()
    if found is None:
        return None
    try:
        return Inputs(found, plan.spec.validate_injected(found))
    except ValidationError:
        return None


def is_for_one_call(run: Execution, plan: NodePlan) -> bool:
    """Return whether *plan*'s LM is to choose and fill in one call, if the candidates' inputs are there."""
    cls, candidates = plan.spec.node, _candidates(run, plan)
    is_worth_it = any(each.spec.plain for each in candidates)
    if not is_worth_it or not _is_wanted(run, cls):
        return False
    return not any(apart(cls, each, is_one_lm=run.lms.forced is not None) for each in candidates)


async def inputs_for_one_call(run: Execution, plan: NodePlan) -> dict[type[Node], Inputs] | None:
    """Return each candidate's inputs if all of them are there; they are waited for where candidates are prefetched."""
    if plan.speculates:
        await run.prefetcher.until_made(plan)
    inputs: dict[type[Node], Inputs] = {}
    for each in _candidates(run, plan):
        there = inputs_there(run, each)
        if there is None:
            return None
        inputs[each.spec.node] = there
    return inputs


def _candidates(run: Execution, plan: NodePlan) -> list[NodePlan]:
    return [run.topology.visits[each] for each in plan.offered if each is not None]


def _is_wanted(run: Execution, cls: type[Node]) -> bool:
    try:
        lm = run.lms.find(cls)
        return lm is not None and one_call(lm, cls.node_config.routing, run.settings.routing) is not None
    except LMNotConfiguredError:
        return False  # the call that chooses raises it, in its place


async def decide(run: Execution, visit: Visit, plan: NodePlan, inputs: Mapping[type[Node], Inputs]) -> Decided | None:
    """Return the node that the LM chose and wrote in one call; None for a stop."""
    node, types = run.trace.nodes[-1], plan.offered
    shown = {each: known.injected for each, known in inputs.items()}

    async def decided_by(lm: LM) -> Node | None:
        decided = await cast("OneCallLM", lm).choose_and_fill(types, node, shown)
        check_choice(None if decided is None else type(decided), types, node)
        return decided

    key = f"{visit.key}/route"
    decided = await ask(run, "decide", key, type(node), decided_by, offered=offered_names(types))
    return None if decided is None else Decided(decided, key, inputs[type(decided)])
