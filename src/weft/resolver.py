"""Resolving by hand: a node's fields, or one dependency, without running a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Literal

from . import _hints
from ._markers import DepMarker, RecallMarker, marker_in
from ._plan import DepKey, Plan, PlanBuilder, Substitute
from ._resolution import Resolution
from ._run import Run, Trace, Visit
from ._scope import Scope
from ._spec import Need, NodeSpec, Reader
from .backends import lm_named
from .errors import DepError, Fault, GraphError, LMNotConfiguredError, name_of
from .filling import build_without_lm, fill_with
from .lm import LM, call_guard
from .nodes import Node, is_node

if TYPE_CHECKING:
    from ._ahead import Prefetched


async def resolve_fields(
    node_cls: type[Node],
    trace: Sequence[Node],
    dep_cache: MutableMapping[Any, Any],
    lm: LM | str | None = None,
) -> dict[str, Any]:
    """Return the values of *node_cls*'s Dep and Recall fields, by name, without running a graph.

    Args:
        node_cls: The node whose fields are wanted.
        trace: The nodes visited before, newest last; Recall reads it.
        dep_cache: Finished values by function or node class. Those there are used, new ones are added, except
            values that read the trace or belong to one visit.
        lm: What fills nodes among the dependencies, if there are any.

    Raises:
        GraphError: if a dependency is defined wrongly, or is a generator resource, which needs a run.
        RecallError: if nothing in the trace matches, or two fields of one node do.
        Exception: what a dependency raised, as it was raised.

    Example:
        >>> import asyncio
        >>> from weft import Dep, Node, resolve_fields
        >>> def get_city() -> str:
        ...     return "Oslo"
        >>> class Forecast(Node):
        ...     city: str = Dep(get_city)
        >>> cache = {}
        >>> asyncio.run(resolve_fields(Forecast, [], cache))
        {'city': 'Oslo'}
        >>> cache == {get_city: 'Oslo'}
        True
    """
    reader = Reader(_hints.surroundings(1))
    spec = reader.node(node_cls)
    if spec is None:
        raise GraphError(reader.faults)
    values = await _resolve_by_hand(reader, node_cls, spec.needs, trace=trace, cache=dep_cache, lm=lm)
    return spec.validate_injected(values)


async def resolve_dep(
    fn: Any, cache: MutableMapping[Any, Any], trace: Sequence[Node] | None = None, lm: LM | str | None = None
) -> Any:
    """Return the value of one dependency, its own dependencies first; arguments and errors as in `resolve_fields`.

    Example:
        >>> import asyncio
        >>> from typing import Annotated
        >>> from weft import Dep, resolve_dep
        >>> async def get_city() -> str:
        ...     return "Oslo"
        >>> async def get_weather(city: Annotated[str, Dep(get_city)]) -> str:
        ...     return f"rain in {city}"
        >>> asyncio.run(resolve_dep(get_weather, {}))
        'rain in Oslo'
    """
    marker = DepMarker(None) if is_node(fn) else DepMarker(fn)
    need = Need("value", fn if is_node(fn) else Any, marker)
    reader = Reader(_hints.surroundings(1))
    values = await _resolve_by_hand(reader, None, [need], trace=trace or [], cache=cache, lm=lm)
    return values["value"]


async def _resolve_by_hand(
    reader: Reader,
    node_cls: type[Node] | None,
    needs: Sequence[Need],
    *,
    trace: Sequence[Node],
    cache: MutableMapping[Any, Any],
    lm: LM | str | None,
) -> dict[str, Any]:
    known: dict[DepKey, Substitute] = {key: Substitute(0) for key in cache}
    plan = PlanBuilder(reader, known).build(name_of(node_cls) if node_cls else "", needs, node_cls)
    faults = [*reader.faults, *_resource_faults(plan)]
    if faults:
        raise GraphError(faults)
    run = _ByHand(trace, lm, cache)
    visit = Visit(run, node_cls or Node, plan.owner)
    try:
        return await Resolution(visit, plan, plan.targets).carry_out()
    except DepError as error:
        raised = error.__cause__
    finally:
        run.leave()
        cache.update({key: value for key, value in run.scopes[0].values.items() if key in plan.by_key})
    assert raised is not None
    raise raised


def _resource_faults(plan: Plan) -> list[Fault]:
    resources = [slot for slot in plan.slots if slot.function and "generator" in slot.function.kind]
    hint = "Run the graph, or pass its value in the cache."
    return [
        Fault(None, slot.name, "is a generator resource, which needs a run to close it", hint) for slot in resources
    ]


class _ByHand(Run):
    """The least that a resolution needs: a scope, a trace, and perhaps an LM."""

    def __init__(self, trace: Sequence[Node], lm: LM | str | None, provided: Mapping[Any, Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.scopes = [Scope()]
        self.trace = Trace()
        self.provided = dict(provided)
        self._lm = lm
        for serial, node in enumerate(trace):
            self.trace.append(node, serial)

    async def fill(
        self, spec: NodeSpec, injected: Mapping[str, Any], key: str, ahead: Prefetched | None = None
    ) -> Node:
        if not spec.plain:
            return build_without_lm(spec, injected)
        return await fill_with(spec, injected, self.trace.last, self._needed_lm())

    def lm_for(self, key: str) -> LM:
        return self._needed_lm()

    def _needed_lm(self) -> LM:
        if self._lm is None:
            hint = "Pass lm= an LM or its name."
            raise LMNotConfiguredError("a dependency is filled by an LM, and none is given", hint)
        return call_guard.checked(lm_named(self._lm), "resolve_fields")


def classify_fields(node_cls: type[Node]) -> dict[str, Literal["plain", "dep", "recall"]]:
    """Return where the value of each field of *node_cls* comes from; raises GraphError for a name not found.

    Example:
        >>> from weft import Dep, Node, classify_fields
        >>> class Forecast(Node):
        ...     city: str = Dep(lambda: "Oslo")
        ...     text: str
        >>> classify_fields(Forecast)
        {'city': 'dep', 'text': 'plain'}
    """
    reader = Reader(_hints.surroundings(1))
    if reader.node(node_cls) is None:
        raise GraphError(reader.faults)
    markers = {name: marker_in(field.metadata) for name, field in node_cls.model_fields.items()}
    kinds: dict[type, Literal["plain", "dep", "recall"]] = {DepMarker: "dep", RecallMarker: "recall"}
    return {name: kinds.get(type(marker), "plain") for name, marker in markers.items()}
