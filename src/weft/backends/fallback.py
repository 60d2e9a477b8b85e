"""FallbackLM: another model answers where one cannot be asked for the moment."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ..errors import LMError, describe, name_of
from ..lm import LM, OneCallLM, Routing, current_call
from ..nodes import Node
from . import lm_named

N = TypeVar("N", bound=Node)
T = TypeVar("T")


class FallbackLM:
    """An LM that asks the next one where the one before has too much load, no time or no connection.

    It moves on for an `LMError` that is retryable, and for nothing else: a wrong key, a bad request, a refusal or an
    answer that stays unusable is raised as it is. Each LM is asked from the beginning, with retries of its own, after
    those that its provider's client makes. A failed try counts as a request, and is an attempt of its own in the
    events. ``NodeConfig(timeout=)`` bounds the whole call. Where all fail, the last error is raised, with a note of
    the others.

    Args:
        first: An LM, or the name of one.
        second: Who is asked if the first fails.
        more: Who is asked after that, in this order.

    Example:
        >>> from weft import FallbackLM, Graph, LMRateLimitError, Node
        >>> from weft.testing import ScriptedLM
        >>> class Question(Node):
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> busy = ScriptedLM({Answer: LMRateLimitError("too many requests")})
        >>> Graph(start=Question).run(Question(), lm=FallbackLM(busy, ScriptedLM({Answer: {"words": "Yes."}}))).result
        Answer(words='Yes.')
    """

    def __init__(self, first: LM | str, second: LM | str, *more: LM | str) -> None:
        # A name is looked up when it is needed: an LM that is replaced in a test need not even exist there.
        self._given = tuple(each if isinstance(each, str) else lm_named(each) for each in (first, second, *more))

    @functools.cached_property
    def lms(self) -> tuple[LM, ...]:
        """Those that are asked, in their order; raises LMNotConfiguredError if one has an unknown name."""
        return tuple(map(lm_named, self._given))

    @property
    def is_stand_in(self) -> bool:
        """Whether none of them asks a model."""
        return all(getattr(lm, "is_stand_in", False) for lm in self.lms)

    @property
    def takes_tools(self) -> bool:
        """Whether each of them lets the model call tools."""
        return all(getattr(lm, "takes_tools", False) for lm in self.lms)

    @property
    def routing(self) -> Routing | None:
        """How the first of them routes, but by two calls where not each can do it in one."""
        can = all(isinstance(lm, OneCallLM) and getattr(lm, "routing", None) != "two-call" for lm in self.lms)
        return getattr(self.lms[0], "routing", None) if can else "two-call"

    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        """Return one of *types*; raises the last LM's error."""
        return await self._first_answer(lambda lm: lm.choose_type(types, context))

    async def fill(
        self, target: type[N], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> N:
        """Return a filled *target*; raises the last LM's error."""
        return await self._first_answer(lambda lm: lm.fill(target, resolved, instruction, source))

    async def choose_and_fill(
        self, types: Sequence[type[Node] | None], context: Node, resolved: Mapping[type[Node], Mapping[str, Any]]
    ) -> Node | None:
        """Return a node of one of *types*, chosen and written in one call; raises the last LM's error."""
        return await self._first_answer(lambda lm: cast("OneCallLM", lm).choose_and_fill(types, context, resolved))

    async def make(self, node: Node, target: type[N]) -> N:
        """Return a *target* written with *node* as its source; raises the last LM's error."""
        return await self._first_answer(lambda lm: lm.make(node, target))

    async def decide(self, node: Node) -> Node | None:
        """Return one of *node*'s successors, chosen and written by one LM; raises the last LM's error."""
        return await self._first_answer(lambda lm: lm.decide(node))

    async def _first_answer(self, ask: Callable[[LM], Awaitable[T]]) -> T:
        *others, last = self.lms
        failures: list[str] = []
        for lm, given in zip(others, self._given, strict=False):
            try:
                return await ask(lm)
            except LMError as error:
                if not error.is_retryable:
                    _tell(error, failures)
                    raise
                name = given if isinstance(given, str) else name_of(type(given))
                failures.append(f"{name}: {describe(error)}")
                if (call := current_call.get()) is not None:
                    call.failed(error, name)
        try:
            return await ask(last)
        except LMError as error:
            _tell(error, failures)
            raise

    def __repr__(self) -> str:
        return f"FallbackLM({', '.join(map(repr, self._given))})"


def _tell(error: LMError, failures: Sequence[str]) -> None:
    """Note on *error* who was asked before."""
    note = f"Asked before, in vain: {'; '.join(failures)}"
    if failures and note not in getattr(error, "__notes__", ()):
        error.add_note(note)
