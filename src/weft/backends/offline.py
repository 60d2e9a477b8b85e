"""OfflineLM: valid values from the types alone, so that every graph runs without a key or a network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from .._requests import decision
from .._spec import spec_of
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial, Option, Usage
from ..nodes import Node, route_of
from ._samples import sample

logger = logging.getLogger("weft")

NOTICE = "OfflineLM answers: values are made up from the types, and its words mean nothing."


class OfflineLM(BaseLM):
    """An LM that makes valid values from the types, with no key and no network; its words mean nothing.

    What it answers depends on the target and on where it is asked, never on the order of concurrent calls. Of several
    routes it takes the first that reaches an end without coming back, and in a long run the one nearest to an end.

    Example:
        >>> from weft import Graph, Node
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     is_sure: bool
        >>> Graph(start=Question).run(Question(text="Why?"), lm="offline").result.is_sure in (True, False)
        True
    """

    is_stand_in = True
    takes_tools = True

    def __init__(self) -> None:
        self._has_said_so = False

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return a value that fits the request's schema, or the choice of a route that reaches an end."""
        if not self._has_said_so:
            self._has_said_so = True
            logger.warning(NOTICE)
        if request.kind == "choose":
            data = {"choice": _choice(request.options, request.place).name}
        elif request.kind == "decide":
            data = _decision(request)
        else:
            data = sample(request.schema, f"{request.target} at {request.place}")
        return LMResponse(data, Usage(requests=1), "offline")

    def __repr__(self) -> str:
        return "OfflineLM()"


def _decision(request: LMRequest) -> dict[str, Any]:
    """Return the choice with the fields that two calls would give: those of the place where they would be asked for."""
    chosen = _choice(request.options, request.place)
    if chosen.type is None or not (spec := spec_of(chosen.type)).plain:
        return decision(chosen.name)
    place = re.sub(r"\d+:[^/]+/route", f"{_step(request.place) + 1}:{chosen.name}/fill", request.place)
    return decision(chosen.name, sample(spec.schema, f"{chosen.name} at {place}"))


def _choice(options: tuple[Option, ...], place: str) -> Option:
    """Return the option to take: variety first, an end in any case."""
    routing = _routing_name(place)
    steps = {option.name: steps_to_end(option.type, avoiding=routing) for option in options}
    ending = [option for option in options if steps[option.name] is not None]
    ahead = [option for option in ending if option.type is not None]
    if not ending:
        return options[0]
    if ahead and _step(place) < _reachable(option.type for option in ahead):
        return ahead[0]
    return min(ending, key=lambda option: steps[option.name] or 0)


def _step(place: str) -> int:
    numbers = re.findall(r"(\d+):", place)
    return int(numbers[-1]) if numbers else 0


def _routing_name(place: str) -> str:
    names = re.findall(r"\d+:([^/]+)", place)
    return names[-1] if names else ""


def steps_to_end(start: type[Node] | None, *, avoiding: str) -> int | None:
    """Return how many nodes the shortest way to an end has, not passing the routing node again; None without one."""
    if start is None:
        return 0
    level, seen, steps = {start}, {start}, 1
    while level := {each for each in level if each.__name__ != avoiding}:
        if any(route_of(each).may_stop for each in level):
            return steps
        level = {following for each in level for following in each.successors()} - seen
        seen |= level
        steps += 1
    return None


def _reachable(starts: Iterable[type[Node] | None]) -> int:
    found = {start for start in starts if start is not None}
    todo = list(found)
    while todo:
        fresh = todo.pop().successors() - found
        found |= fresh
        todo.extend(fresh)
    return len(found)
