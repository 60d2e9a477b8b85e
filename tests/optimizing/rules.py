"""A model that answers by rule, behind DSPy's real LM class: an engine, as DSPy calls what talks to a provider."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy
from dspy import lm15

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Asked:
    """One prompt as it reached the wire: what is wanted, what is shown last, and the demos between."""

    system: str
    messages: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """The names of the output fields."""
        part = self.system.split("Your output fields are:")[1].split("All interactions")[0]
        return re.findall(r"^\d+\. `(\w+)`", part, re.MULTILINE)

    @property
    def demos(self) -> int:
        return (len(self.messages) - 1) // 2

    @property
    def question(self) -> str:
        return self.messages[-1]

    @property
    def instruction(self) -> str:
        return self.system.partition("your objective is:")[2].strip()


def _text(message: Any) -> str:
    return "".join(getattr(part, "text", "") for part in message.parts)


class Model:
    """Answers prompts by *rule*, which is given what is asked and returns the fields; what was asked is in `seen`."""

    def __init__(self, rule: Callable[[Asked], dict[str, Any] | str]) -> None:
        self.rule = rule
        self.seen: list[Asked] = []
        self.threads: set[str] = set()

    def lm(self, **settings: Any) -> dspy.LM:
        return dspy.LM(f"stub/{next(_numbers)}", engine=self, async_engine=_Async(self), cache=False, **settings)

    def complete(self, request: Any) -> Any:
        asked = Asked(str(request.system or ""), tuple(map(_text, request.messages)))
        self.seen.append(asked)
        self.threads.add(threading.current_thread().name)
        answer = self.rule(asked)
        if isinstance(answer, dict):
            fields = [f"[[ ## {name} ## ]]\n{_written(value)}" for name, value in answer.items()]
            answer = "\n\n".join([*fields, "[[ ## completed ## ]]"])
        usage = lm15.Usage(input_tokens=10, output_tokens=5, total_tokens=15)
        message = lm15.Message.assistant(answer)
        return lm15.Response(id="1", model="stub", message=message, finish_reason="stop", usage=usage)


class _Async:
    def __init__(self, model: Model) -> None:
        self.model = model

    async def complete(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return self.model.complete(request)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
