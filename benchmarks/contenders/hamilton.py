"""Hamilton: a module of functions whose parameters name other functions, run by its async driver."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from hamilton import base
from hamilton.async_driver import Builder

from ..work import FanOut, Once, Step, Steps, told

ABSENT = {"blocking": "the async driver calls them on the loop"}


async def dag(steps: Steps) -> Once:
    """A function each, with a parameter for each input."""
    module = ModuleType(f"flow_{id(steps)}")
    sys.modules[module.__name__] = module
    lines: list[str] = []
    for index, step in enumerate(steps):
        vars(module)[f"_{index}"] = step.call
        parameters = ", ".join(f"{each}: object" for each in step.inputs)
        lines.append(f"async def {step.name}({parameters}) -> object:")
        lines.append(f"    return await _{index}({', '.join(step.inputs)})")
    exec("\n".join(lines), vars(module))  # noqa: S102  the functions of a module, written out
    driver = await Builder().with_modules(module).with_adapters(base.DictResult()).build()
    last = steps[-1].name

    async def once() -> Any:
        return told((await driver.execute([last]))[last])

    return once


async def fan_out(shape: FanOut) -> Once:
    """A function for each number, and one that needs them all."""
    steps = [Step(f"value{index}", functools.partial(shape.call, index)) for index in range(shape.count)]
    return await dag([*steps, Step("total", _total, [step.name for step in steps])])


async def _total(*values: int) -> int:
    return sum(values)
