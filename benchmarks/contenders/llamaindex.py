"""LlamaIndex Workflows: steps that take events and give events; an event for each number of a fan-out."""

from typing import Any

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from ..work import FanOut, Once, Step, Steps, block, told


def dag(steps: Steps) -> Once:
    """A step each, which takes an event of each input, and gives one of its own."""
    names: dict[str, Any] = {"step": step, "StartEvent": StartEvent, "StopEvent": StopEvent, "Any": Any}
    names |= {f"{each.name.title()}Done": _event(each.name) for each in steps}
    names |= {f"call_{each.name}": each.call for each in steps}
    exec("\n".join(_method(each, is_last=each is steps[-1]) for each in steps), names)  # noqa: S102  a class's methods
    flow = type("Flow", (Workflow,), {each.name: names[each.name] for each in steps})(timeout=None)

    async def once() -> Any:
        return told(await flow.run())

    return once


def _event(name: str) -> type[Event]:
    return type(f"{name.title()}Done", (Event,), {"__module__": __name__, "__annotations__": {"value": Any}})


def _method(each: Step, *, is_last: bool) -> str:
    """Return a step as it would be written in a class."""
    events = ", ".join(f"{name}: {name.title()}Done" for name in each.inputs) or "start: StartEvent"
    kind, field = ("StopEvent", "result") if is_last else (f"{each.name.title()}Done", "value")
    values = ", ".join(f"{name}.value" for name in each.inputs)
    return f"""
async def {each.name}(self, {events}) -> {kind}:
    return {kind}({field}=await call_{each.name}({values}))
{each.name}.__qualname__ = "Flow.{each.name}"
{each.name} = step({each.name})
"""


class Number(Event):
    index: int


class Done(Event):
    value: int


class Counted(Workflow):
    """A step that sends an event for each number, and one that collects what comes of them; between is the work."""

    count: int

    @step
    async def begin(self, ctx: Context, start: StartEvent) -> Number | None:
        for index in range(self.count):
            ctx.send_event(Number(index=index))

    @step
    async def end(self, ctx: Context, done: Done) -> StopEvent | None:
        all_done = ctx.collect_events(done, [Done] * self.count)
        return None if all_done is None else StopEvent(result=sum(each.value for each in all_done))


def fan_out(shape: FanOut) -> Once:
    """One step with as many workers as there are numbers."""

    class Flow(Counted):
        count = shape.count

        @step(num_workers=shape.count)
        async def work(self, number: Number) -> Done:
            return Done(value=await shape.call(number.index))

    return _running(Flow(timeout=None))


def blocking(size: int) -> Once:
    """A step that is not async: it runs in the loop's threads."""

    class Flow(Counted):
        count = size

        @step(num_workers=size)
        def work(self, number: Number) -> Done:
            return Done(value=block(number.index))

    return _running(Flow(timeout=None))


def _running(flow: Workflow) -> Once:
    async def once() -> int:
        return await flow.run()

    return once
