"""pydantic-graph: steps and joins of a GraphBuilder, and a map over a list for a fan-out."""

from __future__ import annotations

from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_dict_update, reduce_sum

from ..work import FanOut, Once, Steps, told

ABSENT = {"blocking": "a step is async; threads are the user's own"}


def dag(steps: Steps) -> Once:
    """A step each, which gives its value under its name; a join where it needs several."""
    g = GraphBuilder(input_type=type(None), output_type=dict)
    made = {step.name: _step(g, step) for step in steps}
    for step in steps:
        if not step.inputs:
            g.add(g.edge_from(g.start_node).to(made[step.name]))
        elif len(step.inputs) == 1:
            g.add(g.edge_from(made[step.inputs[0]]).to(made[step.name]))
        else:
            join = g.join(reduce_dict_update, initial_factory=dict, node_id=f"join_{step.name}")
            g.add(g.edge_from(*[made[each] for each in step.inputs]).to(join), g.edge_from(join).to(made[step.name]))
    last = steps[-1].name
    g.add(g.edge_from(made[last]).to(g.end_node))
    graph = g.build()

    async def once() -> Any:
        return told((await graph.run())[last])

    return once


def _step(g: Any, step: Any) -> Any:
    async def carry_out(ctx: StepContext) -> dict[str, Any]:
        return {step.name: await step.call(*[ctx.inputs[each] for each in step.inputs])}

    return g.step(carry_out, node_id=step.name)


def fan_out(shape: FanOut) -> Once:
    """One step, mapped over the numbers."""
    g = GraphBuilder(input_type=list, output_type=int)

    async def carry_out(ctx: StepContext) -> int:
        return await shape.call(ctx.inputs)

    work = g.step(carry_out, node_id="work")
    join = g.join(reduce_sum, initial=0)
    g.add(g.edge_from(g.start_node).map().to(work), g.edge_from(work).to(join), g.edge_from(join).to(g.end_node))
    graph = g.build()
    numbers = list(range(shape.count))

    async def once() -> int:
        return await graph.run(inputs=numbers)

    return once
