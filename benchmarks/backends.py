"""What a back-end costs beside the SDK it stands on: CPU seconds per call, medians of several rounds, as ratios.

Run: python benchmarks/backends.py  (or: make bench)
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, Field
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from rich.console import Console
from rich.table import Table

from weft import Node, PydanticAIBackend
from weft.backends._prompt import instructions, question
from weft.filling import fill_request, spec_of

ROUNDS = 15
CALLS = 20
GOAL = 1.15


class Question(Node):
    text: str


class Answer(Node):
    words: str = Field(description="in a sentence")
    count: int
    tags: list[str]


class PlainAnswer(BaseModel):
    words: str = Field(description="in a sentence")
    count: int
    tags: list[str]


async def at_once(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer with no delay: what is left is the libraries."""
    answer = '{"words": "because", "count": 3, "tags": ["a", "b"]}'
    return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])


async def medians(ours: Callable[[], Awaitable[Any]], plain: Callable[[], Awaitable[Any]]) -> list[float]:
    async def once(work: Callable[[], Awaitable[Any]]) -> float:
        started = time.process_time()
        for _ in range(CALLS):
            await work()
        return (time.process_time() - started) / CALLS

    await ours()
    await plain()
    return [
        statistics.median(each)
        for each in zip(*[(await once(ours), await once(plain)) for _ in range(ROUNDS)], strict=True)
    ]


async def measured() -> list[tuple[str, float, float]]:
    """Return the seconds of a call: ours, and of agent.run with the same prompt, model and fields."""
    model = FunctionModel(at_once)
    backend = PydanticAIBackend(model)
    source = Question(text="Why?")
    request = fill_request(spec_of(Answer), {}, "Answer", source)
    agent = Agent(model, output_type=PlainAnswer, instructions=instructions(request))
    prompt = question(request)
    bare = Agent(model)
    told = instructions(request)
    fill = lambda: backend.fill(Answer, {}, "Answer", source)  # noqa: E731
    made_once = await medians(fill, lambda: agent.run(prompt))
    per_run = await medians(fill, lambda: bare.run(prompt, output_type=PlainAnswer, instructions=told))
    return [("an agent made for the type", *made_once), ("an agent given the type per run", *per_run)]


def main() -> int:
    table = Table(
        title=f"PydanticAIBackend.fill beside agent.run, Python {sys.version.split()[0]}, medians of {ROUNDS}"
    )
    for heading in ("agent.run of", "Weft", "plain", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading == "agent.run of" else "right")
    rows = asyncio.run(measured())
    for name, ours, plain in rows:
        table.add_row(name, f"{ours * 1e3:.2f} ms", f"{plain * 1e3:.2f} ms", f"{ours / plain:.2f}", f"≤ {GOAL}")
    Console(width=110).print(table)
    return int(any(ours / plain > GOAL for _, ours, plain in rows))


if __name__ == "__main__":
    sys.exit(main())
