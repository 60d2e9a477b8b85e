"""Why a run cannot go on: the errors that the loop itself raises, put into words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ._resolution import Resolution
from ._run import Visit
from ._spec import NodeSpec
from .errors import DepError, RouteError, RunTimeoutError, StepLimitError, arrows, name_of, what_is
from .filling import offered_names
from .nodes import Node
from .topology import NodePlan


def timed_out(seconds: float, visiting: type[Node], trace: Sequence[Node], cause: BaseException) -> RunTimeoutError:
    """Return the error of a run whose time is over."""
    hint = "run(timeout=) sets the seconds; .trace holds the nodes visited."
    place: dict[str, Any] = {"node_type": visiting, "path": [visiting.__name__], "trace": trace}
    error = RunTimeoutError(f"the run took longer than {seconds} s, and was here", hint, timeout=seconds, **place)
    error.__cause__ = cause
    return error


def too_many_steps(limit: int, node_type: type[Node], trace: Sequence[Node]) -> StepLimitError:
    """Return the error of a run that would visit one node too many."""
    last = [type(node).__name__ for node in trace[-3:]]
    were = "The last were" if len(last) > 1 else "The last was"
    hint = f"{were} {arrows(last)}. Let the loop end, or raise max_steps (None: no limit)."
    nodes = "1 node" if limit == 1 else f"{limit} nodes"
    message = f"the run has visited {nodes}, as many as max_steps allows"
    return StepLimitError(message, hint, limit=limit, node_type=node_type, path=[node_type.__name__], trace=trace)


def misfit(spec: NodeSpec, resolution: Resolution, values: Mapping[str, Any], error: ValidationError) -> DepError:
    """Return the error of a dependency whose value its field does not take."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    step = next((each for each in resolution.wanted if each.need.name == name), resolution.wanted[0])
    value, inside = values.get(name), ".".join(map(str, first["loc"][1:]))
    hint = "The field's type and constraints say what fits."
    return DepError(
        f"gave {what_is(value)}, which does not fit the field: {inside and f'{inside}: '}{first['msg']}",
        "Await it, and return what it gives." if inspect.isawaitable(value) else hint,
        node_type=spec.node,
        field_name=step.need.name,
        path=resolution.plan.path([step]),
        trace=resolution.run.trace.nodes,
    )


def wrong_return(visit: Visit, plan: NodePlan, returned: Any) -> RouteError:
    """Return the error of a body that returned what its annotation does not allow."""
    returns_class = plan.route.returns_class
    names = [f"type[{name}]" if returns_class and name else str(name) for name in offered_names(plan.offered)]
    return RouteError(
        f"returned {what_is(returned)}, and its annotation allows {' | '.join(names)}",
        _how_to_return(returned, plan.offered, returns_class=returns_class),
        node_type=visit.node_type,
        path=[f"{visit.node_type.__name__}.__call__"],
        trace=visit.run.trace.nodes,
        returned=returned,
    )


def _how_to_return(returned: Any, types: Sequence[type[Node] | None], *, returns_class: bool) -> str:
    """Return the cure for a body that returned *returned*."""
    if inspect.isawaitable(returned):
        return "Await it: return await …"
    if returned is None:
        return "Return one of them, or add None to the annotation to end there."
    if returns_class and type(returned) in types:
        return "Return the class itself, or leave type[…] out of the annotation."
    if returned in types:
        return f"Return a node, {name_of(returned)}(…), or annotate type[{name_of(returned)}] for the LM to fill it."
    return f"Return {'a class' if returns_class else 'a node'} that the annotation names, or add this one to it."
