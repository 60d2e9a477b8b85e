"""The seam to language models, as values: the LM protocol, a request, a response, usage, and the call going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from .nodes import Node

N = TypeVar("N", bound="Node")

OnPartial = Callable[[Mapping[str, Any]], None]


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


@dataclass(frozen=True, slots=True)
class Usage:
    """What LM calls used: requests to the model, tokens, and cost in US dollars (None if any is unpriced)."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            cost,
        )


ONE_REQUEST = Usage(requests=1)


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

    `kind` is ``"fill"`` (write the fields of `schema`) or ``"choose"`` (answer ``{"choice": name}``). `inputs` and
    `source` hold JSON values. `place`, where in the graph the answer goes, and `node_type`, the class that is filled or
    routed from, are not for the model.
    """

    kind: Literal["fill", "choose"]
    target: str
    instruction: str
    schema: Mapping[str, Any]
    options: tuple[Option, ...] = ()
    source_name: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rejected: tuple[Rejection, ...] = ()
    place: str = ""
    node_type: type[Node] | None = field(default=None, repr=False)

    def at(self, place: str) -> LMRequest:
        """Return the request as asked at *place*."""
        return replace(self, place=place)

    def after(self, rejection: Rejection) -> LMRequest:
        """Return the request that tells the model what was wrong with its last answer."""
        return replace(self, rejected=(*self.rejected, rejection))


@dataclass(frozen=True, slots=True)
class LMResponse:
    """A model's answer: `data` is the JSON value it wrote, or the JSON text."""

    data: Any
    usage: Usage = field(default_factory=lambda: Usage(requests=1))
    model: str = ""


class LMCall:
    """One call of an LM, seen from inside it: where it is asked, and whom to tell what happens.

    A back-end need not use it. `BaseLM` does, so that each attempt is an event and each token is counted.
    """

    __slots__ = ("attempt", "key", "usage")

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.attempt = 0
        self.usage: Usage | None = None

    @property
    def place(self) -> str:
        """The key of the attempt going on, as ``2:Report/fill``, then ``2:Report/fill#2``."""
        return self.key if self.attempt <= 1 else f"{self.key}#{self.attempt}"

    def add(self, usage: Usage) -> None:
        """Count *usage* as this call's."""
        self.usage = usage if self.usage is None else self.usage + usage

    def begin(self) -> None:
        """Say that the model is asked, for the first time or again."""
        self.attempt += 1

    def turn_to(self, part: str) -> None:
        """Say that the call goes on with another question, whose attempts are counted anew."""
        if self.attempt:
            self.key, self.attempt = f"{self.key}/{part}", 0

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Say that the answer is good."""
        self.add(response.usage)

    def rejected(self, request: LMRequest, response: LMResponse, reasons: tuple[str, ...]) -> None:
        """Say that the answer is not good, and why."""
        self.add(response.usage)

    def partial(self, values: Mapping[str, Any]) -> None:
        """Say what is already there of the answer being written."""


current_call: ContextVar[LMCall | None] = ContextVar("weft_lm_call", default=None)
