"""Choosing and filling with a language model: requests, validation, feedback. The only place that does it."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from ._spec import NodeSpec, spec_of
from .errors import ChoiceError, FillError, name_of, reasons_of, sentence, shorten, what_is
from .events import jsonable
from .lm import LM, ONE_REQUEST, LMCall, LMRequest, LMResponse, OnPartial, Option, Rejection, call_guard, current_call
from .nodes import Node, route_of

N = TypeVar("N", bound=Node)
T = TypeVar("T")

STOP = "None"
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
        options = options_of(types)
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
        on_partial = call.partial if call.wants_partials else None
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


async def fill_with(lm: LM, spec: NodeSpec, injected: Mapping[str, Any], source: Node | None) -> Node:
    """Return *spec*'s node with *injected*, validated before, in its Dep and Recall fields and the rest from *lm*.

    Whatever the LM, the node is of the right class and holds *injected*; raises FillError if it is not.
    """
    node = check_filled(await lm.fill(spec.node, injected, spec.instruction, source), spec.node)
    if not injected or all(node.__dict__.get(name, spec) is value for name, value in injected.items()):
        return node
    return spec.with_injected(node, injected)


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


# --- What the model is shown -------------------------------------------------------------------------------------


def fill_request(spec: NodeSpec, resolved: Mapping[str, Any], instruction: str, source: Node | None) -> LMRequest:
    """Return what a model is shown to fill *spec*'s node."""
    return LMRequest(
        kind="fill",
        target=spec.node.__name__,
        instruction=instruction,
        schema=spec.schema,
        source_name=None if source is None else type(source).__name__,
        source={} if source is None else _shown_fields(source),
        source_type=None if source is None else type(source),
        inputs=_shown_values(spec.node, resolved),
        tools=tuple(spec.node.node_config.tools or ()),
        node_type=spec.node,
    )


def choice_request(context: Node, options: Sequence[Option]) -> LMRequest:
    """Return what a model is shown to choose where to go from *context*."""
    names = [option.name for option in options]
    properties = {"choice": {"type": "string", "enum": names}}
    return LMRequest(
        kind="choose",
        target=type(context).__name__,
        instruction="Choose what comes next.",
        schema={"type": "object", "properties": properties, "required": ["choice"]},
        options=tuple(options),
        source_name=type(context).__name__,
        source=_shown_fields(context),
        node_type=type(context),
        source_type=type(context),
    )


def options_of(types: Sequence[type[Node] | None]) -> tuple[Option, ...]:
    """Return *types*, None for a stop, as a model sees them that is to choose one."""
    return tuple(_option(each) for each in types)


def _option(candidate: type[Node] | None) -> Option:
    if candidate is None:
        return Option(STOP, "Stop here: nothing comes next.", {}, None)
    spec = spec_of(candidate)
    described = {name: candidate.model_fields[name].description or "" for name in spec.plain}
    return Option(candidate.__name__, spec.instruction, described, candidate)


def _shown_fields(node: Node) -> dict[str, Any]:
    shown = {name: field for name, field in type(node).model_fields.items() if not field.exclude}
    return {name: jsonable(node.__dict__[name]) for name in shown if name in node.__dict__}


def _shown_values(cls: type[Node], values: Mapping[str, Any]) -> dict[str, Any]:
    fields = cls.model_fields
    return {name: jsonable(value) for name, value in values.items() if not fields[name].exclude}


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
