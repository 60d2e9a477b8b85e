"""The seam to language models, as values: the LM protocol, a request, a response, usage, and the call going on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from .errors import sentence

if TYPE_CHECKING:
    from .nodes import Node

N = TypeVar("N", bound="Node")
L = TypeVar("L")

OnPartial = Callable[[Mapping[str, Any]], None]
Routing = Literal["one-call", "two-call"]


@runtime_checkable
class LM(Protocol):
    """Anything with these four methods; the engine calls the first two, custom bodies the last two.

    Implementations raise `ChoiceError` or `FillError` when the model's answers stay unusable, and an `LMError`
    when the model could not be asked. They never guess.
    """

    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        """Return one of *types*, having shown the model *context*'s fields; None where None is offered."""
        ...

    async def fill(
        self, target: type[N], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> N:
        """Return a *target* whose plain fields the model wrote, given *resolved* and *source*'s fields."""
        ...

    async def make(self, node: Node, target: type[N]) -> N:
        """Return a *target* written with *node* as its source; its Dep fields stay unresolved."""
        ...

    async def decide(self, node: Node) -> Node | None:
        """Return one of *node*'s successors, chosen and written by the model; None for a stop."""
        ...


@runtime_checkable
class OneCallLM(LM, Protocol):
    """An LM that can do more: choose the next node and fill it in one call. Each `BaseLM` can.

    Its attribute `routing`, if it has one, says whether it is asked so where neither the node nor the graph says it;
    ``"two-call"`` means that it never is.
    """

    async def choose_and_fill(
        self, types: Sequence[type[Node] | None], context: Node, resolved: Mapping[type[Node], Mapping[str, Any]]
    ) -> Node | None:
        """Return a node of one of *types*, chosen and written by the model; None where it chose to stop.

        *resolved* holds, for each candidate, the values of its Dep and Recall fields.
        """
        ...


def one_call(lm: LM, *said: Routing | None) -> OneCallLM | None:
    """Return *lm* if it is to choose and fill in one call: the first that is *said* counts, then its own `routing`."""
    own: Routing | None = getattr(lm, "routing", None)
    wanted = next((each for each in (*said, own) if each is not None), "two-call")
    is_wanted = wanted == "one-call" and own != "two-call"
    return lm if is_wanted and isinstance(lm, OneCallLM) else None


def check_routing(where: str, routing: object) -> None:
    """Raise ValueError for what is no way to route."""
    if routing not in (None, "one-call", "two-call"):
        raise ValueError(sentence(where, f"routing={routing!r} is neither 'one-call' nor 'two-call'"))


@dataclass(frozen=True, slots=True)
class Usage:
    """What LM calls used: requests to the model, tokens, and cost in US dollars (None if any is unpriced).

    `cached_tokens` are those of `input_tokens` that the provider had kept; `tool_calls` counts calls of tools. Of a
    run, `by_node` and `by_model` say how much of it was used by each, by name.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    cached_tokens: int = 0
    tool_calls: int = 0
    by_node: Mapping[str, Usage] = field(default_factory=dict[str, "Usage"], repr=False, compare=False)
    by_model: Mapping[str, Usage] = field(default_factory=dict[str, "Usage"], repr=False, compare=False)

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    @classmethod
    def of(cls, parts: Mapping[tuple[str, str], Usage], untold: Mapping[str, int]) -> Usage:
        """Return the sum of *parts*, by node and model, and of requests *untold* of what they used, by node."""
        if not parts and not untold:
            return cls()
        by_node = {node: _untold(requests) for node, requests in untold.items()}
        by_model = {"": _untold(sum(untold.values()))} if untold else {}
        for (node, model), usage in parts.items():
            by_node[node] = by_node[node] + usage if node in by_node else usage
            by_model[model] = by_model[model] + usage if model in by_model else usage
        used = [*by_model.values()]
        total = used[0] if len(used) == 1 else sum(used, start=Usage())
        tokens = total.input_tokens, total.output_tokens
        return cls(total.requests, *tokens, total.cost, total.cached_tokens, total.tool_calls, by_node, by_model)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
            self.cached_tokens + other.cached_tokens,
            self.tool_calls + other.tool_calls,
        )


@functools.lru_cache(maxsize=128)
def _untold(requests: int) -> Usage:
    """Return so many requests of which nothing is known: most calls that tell nothing are counted alike."""
    return Usage(requests=requests, cost=None)


ONE_REQUEST = Usage(requests=1)
UNTOLD = Usage(requests=1, cost=None)


@dataclass(frozen=True, slots=True)
class Option:
    """One candidate of a choice, as the model sees it; `type` is for back-ends that need the class."""

    name: str
    instruction: str
    fields: Mapping[str, str]
    type: type[Node] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that was not accepted, and each reason why."""

    answer: Any
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LMRequest:
    """All that a model is shown for one answer; the parts that stay the same from call to call come first.

    `kind` is ``"fill"`` (write the fields of `schema`), ``"choose"`` (answer ``{"choice": name}``) or ``"decide"``
    (choose and fill at once: ``{"decision": {"choice": name, "fields": {…}}}``, as `schema` says in full). `inputs` and
    `source` hold JSON values; to decide, the inputs stand under each candidate's name. `place`, where in the graph the
    answer goes, `node_type`, the class that is filled or routed from, and `source_type`, that of the source, are not
    for the model.
    """

    kind: Literal["fill", "choose", "decide"]
    target: str
    instruction: str
    schema: Mapping[str, Any]
    options: tuple[Option, ...] = ()
    source_name: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rejected: tuple[Rejection, ...] = ()
    tools: tuple[Any, ...] = ()
    place: str = ""
    node_type: type[Node] | None = field(default=None, repr=False)
    source_type: type[Node] | None = field(default=None, repr=False)

    def at(self, place: str) -> LMRequest:
        """Return the request as asked at *place*."""
        return replace(self, place=place)

    def after(self, rejection: Rejection) -> LMRequest:
        """Return the request that tells the model what was wrong with its last answer."""
        return replace(self, rejected=(*self.rejected, rejection))


@dataclass(frozen=True, slots=True)
class LMResponse:
    """A model's answer: `data` is the JSON value it wrote, or the JSON text.

    `reasons` say why a back-end could not read it, `data` being what the model wrote; they go back to the model.
    """

    data: Any
    usage: Usage = field(default_factory=lambda: Usage(requests=1))
    model: str = ""
    reasons: tuple[str, ...] = ()


class LMCall:
    """One call of an LM, seen from inside it: where it is asked, and whom to tell what happens.

    A back-end need not use it. `BaseLM` does, so that each attempt is an event and each token is counted. `usage` is
    what the LM asked has told so far.
    """

    __slots__ = ("_attempts", "_first_key", "_is_announced", "attempt", "key", "usage")

    wants_partials: ClassVar[bool] = False
    """Whether anyone is told of an answer while it is written; otherwise it need not be streamed."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.attempt = 0
        self.usage: Usage | None = None
        self._first_key = key
        self._attempts: dict[str, int] | None = None
        self._is_announced = False

    @property
    def place(self) -> str:
        """The key of the attempt going on, as ``2:Report/fill``, then ``2:Report/fill#2``."""
        return self.key if self.attempt <= 1 else f"{self.key}#{self.attempt}"

    def add(self, usage: Usage, model: str = "") -> None:
        """Count *usage* of *model* as this call's."""
        self.usage = usage if self.usage is None else self.usage + usage

    def begin(self) -> None:
        """Say that the model is asked, for the first time or again; raises BudgetExceededError."""
        if not self._is_announced:
            self.attempt += 1
        self._is_announced = False

    def turn_to(self, part: str) -> None:
        """Say that the call goes on with another question, whose attempts are counted apart."""
        if self.attempt and not self._is_announced:
            self._go_to(f"{self.key}/{part}")

    def _go_to(self, key: str) -> None:
        attempts = self._attempts = self._attempts or {}
        attempts[self.key] = self.attempt
        self.key, self.attempt = key, attempts.get(key, 0)

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Say that the answer is good."""
        self.add(response.usage, response.model)

    def rejected(self, request: LMRequest, response: LMResponse, reasons: tuple[str, ...]) -> None:
        """Say that the answer is not good, and why."""
        self.add(response.usage, response.model)

    def failed(self, error: Exception, model: str = "") -> None:
        """Say that the attempt failed, and that another LM is asked instead; raises BudgetExceededError.

        That LM is asked from the beginning, and need not say so by `begin`.
        """
        # One that never began failed at its first attempt.
        self.attempt = max(self.attempt, 1)
        self._go_to(self._first_key)
        self.attempt += 1
        self._is_announced = True
        self.usage = None

    def partial(self, values: Mapping[str, Any]) -> None:
        """Say what is already there of the answer being written."""

    def tool_started(self, call_id: str, name: str, arguments: Any) -> None:
        """Say that the model calls a tool; *call_id* tells it from other calls."""

    def tool_finished(self, call_id: str, value: Any, *, is_error: bool = False) -> None:
        """Say what a tool gave, or, with *is_error*, what the model is told of its failure."""


current_call: ContextVar[LMCall | None] = ContextVar("weft_lm_call", default=None)


class UnplannedCallError(AssertionError):
    """Raised where a model would be called, and a test has said that none is to be."""


class _CallGuard:
    """Refuses calls of models while a test says so: in every thread and context, so that none slips through.

    `closings` is how many say so now.
    """

    def __init__(self) -> None:
        self.closings = 0

    @contextmanager
    def closed(self) -> Generator[None]:
        """Refuse every LM, while this lasts, that does not say that it is a stand-in."""
        self.closings += 1
        try:
            yield
        finally:
            self.closings -= 1

    def checked(self, lm: L, place: str) -> L:
        """Return *lm*, which is asked for *place*; raises UnplannedCallError."""
        if self.closings and not getattr(lm, "is_stand_in", False):
            what = f"a test that plans every call would have asked {type(lm).__name__}"
            hint = "Run it with a ScriptedLM or OfflineLM, or set is_stand_in = True on an LM class of your own."
            raise UnplannedCallError(sentence(place, what, hint))
        return lm


call_guard = _CallGuard()
