"""Choosing and filling with a language model: asking, validation, feedback. The only place that does it."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from ._event import jsonable
from ._requests import DECISION, STOP, choice_request, decision_request, fill_request, option_of
from ._spec import NodeSpec, spec_of
from .errors import ChoiceError, FillError, name_of, reasons_of, sentence, shorten, what_is
from .lm import (
    LM,
    ONE_REQUEST,
    LMCall,
    LMRequest,
    LMResponse,
    OnPartial,
    Rejection,
    Routing,
    call_guard,
    current_call,
)
from .nodes import Node, route_of

N = TypeVar("N", bound=Node)
T = TypeVar("T")

_SHOWN_ATTEMPTS = 3


class RejectedAnswerError(Exception):
    """Raised by a check of an answer that the model may put right; `reasons` is what it is told."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


class BaseLM(ABC):
    """An LM made of one method: a back-end says how to `generate`, everything else is here.

    A rejected answer goes back to the model with the reasons, up to `retries` times (a node's own
    `NodeConfig(retries=)` comes first).

    Example:
        >>> from weft import BaseLM, LMResponse
        >>> class Echo(BaseLM):
        ...     async def generate(self, request, on_partial=None):
        ...         return LMResponse({name: request.place for name in request.schema["properties"]})
    """

    retries: int = 2
    routing: Routing | None = None
    """How it is asked to route where neither the node nor the graph says it; with "two-call" never in one call."""
    is_stand_in: ClassVar[bool] = False
    """Whether it answers without a model, and may be asked where a test refuses every call of one."""
    takes_tools: ClassVar[bool] = False
    """Whether it lets the model call a request's `tools`; a stand-in may take them and call none."""

    @abstractmethod
    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return the model's answer to *request*: the JSON value or text it wrote, and what that used.

        Call *on_partial*, which is given where someone listens, with the fields that are there so far, if the
        back-end streams. Raise an LMError where the model cannot be asked; what it answers is checked by the caller.
        """

    def accepted(self, request: LMRequest, response: LMResponse) -> None:  # noqa: B027  most have nothing to note
        """Take note that *response*, which `generate` gave, was a good answer."""

    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        """Return one of *types*; raises ChoiceError when every answer was outside them."""
        options = [option_of(each) for each in types]
        by_name = {option.name: each for option, each in zip(options, types, strict=True)}
        request = choice_request(context, options)

        def check(answer: Any) -> type[Node] | None:
            return by_name[_choice_in(answer, by_name)]

        try:
            return await self._ask(request, check, type(context))
        except _ExhaustedError as exhausted:
            raise _choice_error(type(context), tuple(by_name), exhausted.attempts) from exhausted.__cause__

    async def fill(
        self, target: type[N], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> N:
        """Return a *target* whose plain fields the model wrote; raises FillError when every answer was rejected.

        The values in *resolved* are taken as they are. They are validated already when the engine calls.
        """
        spec = spec_of(target)
        if not spec.plain:
            return cast("N", build_without_lm(spec, resolved))
        request = fill_request(spec, resolved, instruction, source)
        try:
            return cast("N", await self._ask(request, functools.partial(_build, spec, resolved), target))
        except _ExhaustedError as exhausted:
            raise _fill_error(target, exhausted.attempts) from exhausted.__cause__

    async def choose_and_fill(
        self, types: Sequence[type[Node] | None], context: Node, resolved: Mapping[type[Node], Mapping[str, Any]]
    ) -> Node | None:
        """Return a node of one of *types*, chosen and written in one call; None where the model chose to stop.

        *resolved* holds each candidate's values, which are taken as they are. Raises ChoiceError when the last answer
        was outside *types*, and FillError when its fields were rejected.
        """
        options = [option_of(each) for each in types]
        reading = _Decision({option.name: option.type for option in options}, resolved)
        try:
            return await self._ask(decision_request(context, options, resolved), reading.node_in, type(context))
        except _ExhaustedError as exhausted:
            if reading.chosen is not None:
                raise _fill_error(reading.chosen, exhausted.attempts) from exhausted.__cause__
            raise _choice_error(type(context), tuple(reading.by_name), exhausted.attempts) from exhausted.__cause__

    async def make(self, node: Node, target: type[N]) -> N:
        """Return a *target* written with *node* as its source; its Dep and Recall fields stay unresolved."""
        return await self.fill(target, {}, spec_of(target).instruction, node)

    async def decide(self, node: Node) -> Node | None:
        """Return one of *node*'s successors, chosen and written; None where it chose to stop."""
        route = route_of(type(node))
        types: tuple[type[Node] | None, ...] = route.offered
        chosen = types[0] if len(types) == 1 else await self.choose_type(types, node)
        if chosen is None:
            return None
        if (call := current_call.get()) is not None:
            call.turn_to("fill")
        return await self.make(node, chosen)

    async def _ask(self, request: LMRequest, check: Callable[[Any], T], node_type: type[Node]) -> T:
        """Return what *check* makes of the first acceptable answer."""
        call_guard.checked(self, request.target)
        call = current_call.get() or LMCall()
        on_partial = _partial_of(request, call) if call.wants_partials else None
        own = node_type.node_config.retries
        cause: BaseException | None = None
        for _ in range(1 + (self.retries if own is None else own)):
            call.begin()
            request = request.at(call.place)
            try:
                response = _response(self, await _awaitable(self, self.generate(request, on_partial)))
            except BaseException:
                call.add(ONE_REQUEST)
                raise
            try:
                value = check(_readable(response))
            except RejectedAnswerError as error:
                rejection = Rejection(response.data, error.reasons)
                call.rejected(request, response, error.reasons)
                request, cause = request.after(rejection), error.__cause__
            else:
                call.accepted(request, response)
                self.accepted(request, response)
                return value
        raise _ExhaustedError(request.rejected) from cause


class _ExhaustedError(Exception):
    """Raised when the last attempt allowed was rejected too."""

    def __init__(self, attempts: tuple[Rejection, ...]) -> None:
        super().__init__(attempts)
        self.attempts = attempts


def _partial_of(request: LMRequest, call: LMCall) -> OnPartial:
    """Return what is called with an answer while it is written: it tells *call* the fields."""
    if request.kind != "decide":
        return call.partial

    def tell_fields(values: Mapping[str, Any]) -> None:
        fields = _object_in(_object_in(values, DECISION), "fields")
        if fields:
            call.partial(fields)

    return tell_fields


def _object_in(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _awaitable(lm: BaseLM, generated: Any) -> Awaitable[Any]:
    """Return what `generate` gave, which must be awaitable; raises TypeError."""
    if inspect.isawaitable(generated):
        return generated
    hint = "Write: async def generate(self, request, on_partial=None)."
    raise TypeError(sentence(f"{name_of(type(lm))}.generate", f"gave {what_is(generated)} and is not async", hint))


def _response(lm: BaseLM, generated: Any) -> LMResponse:
    """Return what `generate` returned, which must be an LMResponse; raises TypeError."""
    if isinstance(generated, LMResponse):
        return generated
    hint = "Write: return LMResponse(data), data being JSON text or a dict of the fields."
    what = f"returned {what_is(generated)}, not an LMResponse"
    raise TypeError(sentence(f"{name_of(type(lm))}.generate", what, hint))


def _readable(response: LMResponse) -> Any:
    """Return what the model answered; raises RejectedAnswerError if the back-end could not read it."""
    if response.reasons:
        raise RejectedAnswerError(*response.reasons)
    return response.data


async def fill_without_lm(spec: NodeSpec, injected: Mapping[str, Any]) -> Node:
    """Return what `build_without_lm` does, to be awaited like a node that an LM fills."""
    return build_without_lm(spec, injected)


async def fill_with(spec: NodeSpec, injected: Mapping[str, Any], source: Node | None, lm: LM) -> Node:
    """Return *spec*'s node with *injected*, validated before, in its Dep and Recall fields and the rest from *lm*.

    Whatever the LM, the node is of the right class and holds *injected*; raises FillError if it is not.
    """
    node = await lm.fill(spec.node, injected, spec.instruction, source)
    return holding(spec, check_filled(node, spec.node), injected)


def holding(spec: NodeSpec, node: Node, injected: Mapping[str, Any]) -> Node:
    """Return *node*, or a copy of it, that has *injected*, validated before, in its Dep and Recall fields."""
    held = node.__dict__
    for name, value in injected.items():
        if held.get(name, spec) is not value:
            return spec.with_injected(node, injected)
    return node


def build_without_lm(spec: NodeSpec, injected: Mapping[str, Any]) -> Node:
    """Return the node of *spec* that leaves nothing to the LM; raises FillError if its class rejects the values."""
    try:
        return spec.build(injected, b"{}")
    except ValidationError as error:
        hint = "The node's own validators say what fits."
        place: dict[str, Any] = {"node_type": spec.node, "path": (spec.node.__name__,)}
        raise FillError(f"its values were rejected: {'; '.join(reasons_of(error))}", hint, **place) from error


def check_filled(node: N, target: type[N]) -> N:
    """Return *node*, which must be a *target*; raises FillError."""
    if type(node) is target:
        return node
    message = f"the LM returned a {type(node).__name__}, not a {target.__name__}"
    raise FillError(message, "An LM's fill must return the target.", node_type=target, path=(target.__name__,))


def offered_names(types: Sequence[type[Node] | None]) -> tuple[str | None, ...]:
    """Return the names of candidates, None for a stop."""
    return tuple(None if each is None else each.__name__ for each in types)


def check_choice(chosen: type[Node] | None, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
    """Return *chosen*, which must be one of *types*; raises ChoiceError."""
    if chosen in types:
        return chosen
    offered = [str(name) for name in offered_names(types)]
    raise ChoiceError(
        f"the LM chose {name_of(chosen)}, which is not one of {', '.join(offered)}",
        "An LM must return one of the classes it was offered.",
        node_type=type(context),
        path=(type(context).__name__,),
        offered=offered,
        answered=chosen,
    )


# --- Checking what it answers --------------------------------------------------------------------------------------


def _build(spec: NodeSpec, resolved: Mapping[str, Any], answer: Any) -> Node:
    values = _json_object(answer)
    own = {name: value for name, value in values.items() if name not in spec.injected_keys}
    try:
        return spec.build(resolved, to_json(own, fallback=_no_json))
    except ValidationError as error:
        raise RejectedAnswerError(*reasons_of(error)) from error
    except PydanticSerializationError as error:
        reason = f"the answer cannot be written as JSON: {error}"
        raise RejectedAnswerError(reason) from error


def _no_json(value: Any) -> Any:
    return {"not JSON": type(value).__name__}


def _json_object(answer: Any) -> dict[str, Any]:
    if isinstance(answer, str | bytes):
        try:
            answer = from_json(answer)
        except ValueError as error:
            reason = f"the answer is not JSON: {error}"
            raise RejectedAnswerError(reason) from error
    if not isinstance(answer, dict):
        reason = f"the answer must be a JSON object, not {shorten(jsonable(answer), 100)}"
        raise RejectedAnswerError(reason)
    return cast("dict[str, Any]", answer)


def _choice_in(answer: Any, names: Mapping[str, Any]) -> str:
    values = _json_object(answer)
    choice = values.get("choice")
    if choice is None and "choice" in values and STOP in names:
        choice = STOP
    if not isinstance(choice, str) or choice not in names:
        reason = f"choice: {shorten(repr(choice))} is not one of {', '.join(names)}"
        raise RejectedAnswerError(reason)
    return choice


class _Decision:
    """Reads answers that choose and fill; `chosen` is what the last one chose, if that was offered."""

    def __init__(
        self, by_name: Mapping[str, type[Node] | None], resolved: Mapping[type[Node], Mapping[str, Any]]
    ) -> None:
        self.by_name = by_name
        self.resolved = resolved
        self.chosen: type[Node] | None = None

    def node_in(self, answer: Any) -> Node | None:
        """Return the node that *answer* chooses and writes, None being a stop; raises RejectedAnswerError."""
        self.chosen = None
        values = _json_object(answer).get(DECISION)
        if not isinstance(values, dict):
            reason = f"{DECISION}: this must be an object with choice and fields, not {shorten(jsonable(values), 100)}"
            raise RejectedAnswerError(reason)
        decided = cast("dict[str, Any]", values)
        self.chosen = self.by_name[_choice_in(decided, self.by_name)]
        if self.chosen is None:
            return None
        spec, injected = spec_of(self.chosen), self.resolved[self.chosen]
        return _build(spec, injected, decided.get("fields", {})) if spec.plain else build_without_lm(spec, injected)


def _choice_error(node: type[Node], offered: tuple[str, ...], attempts: tuple[Rejection, ...]) -> ChoiceError:
    answered = attempts[-1].answer
    return ChoiceError(
        f"the LM answered {shorten(repr(answered))}, which is not one of {', '.join(offered)}",
        f"It was asked {_times(len(attempts))}; NodeConfig(retries=) allows more.",
        node_type=node,
        path=(node.__name__,),
        offered=offered,
        answered=answered,
        attempts=attempts,
    )


def _fill_error(target: type[Node], attempts: tuple[Rejection, ...]) -> FillError:
    reasons = "; ".join(attempts[-1].reasons[:_SHOWN_ATTEMPTS])
    return FillError(
        f"the LM's answer was rejected {_times(len(attempts))}, last because {shorten(reasons)}",
        "See .attempts for each answer; NodeConfig(retries=) allows more.",
        node_type=target,
        path=(target.__name__,),
        attempts=attempts,
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
