"""Calls of language models while a run goes on: which LM, how many at once, what each used, what is told of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._accounts import Account
from ._routes import filled_apart
from ._run import parent_of
from ._spec import spec_of
from .backends import HINT, lm_named
from .errors import (
    BudgetExceededError,
    ChoiceError,
    FillError,
    LMError,
    LMNotConfiguredError,
    LMTimeoutError,
    shorten,
)
from .events import Event, FieldDelta, LMCallFinished, LMCallStarted, Status, ToolFinished, ToolStarted
from .filling import check_choice, check_filled, offered_names
from .lm import LM, ONE_REQUEST, UNTOLD, LMCall, LMRequest, LMResponse, Usage, call_guard, current_call, one_call
from .nodes import Node, route_of

if TYPE_CHECKING:
    from ._ahead import Prefetched
    from ._engine import Execution

T = TypeVar("T")
N = TypeVar("N", bound=Node)
Kind = Literal["fill", "choose", "make", "decide"]
VARIABLE = "WEFT_LM"


class LMChoice:
    """Who may be asked: an override comes before all, a node's own LM before the run's, the graph's and the outer's."""

    __slots__ = ("default", "forced")

    def __init__(
        self, override: LM | str | None, run: LM | str | None, graph: LM | str | None, outer: LMChoice | None
    ) -> None:
        self.forced: LM | None = _named(override)
        if self.forced is None and outer is not None:
            self.forced = outer.forced
        # An LM that is replaced need not even exist here: its extra may not be installed, its key not be set.
        self.default: LM | None = _named(run) if self.forced is None else None
        if self.forced is None and self.default is None:
            self.default = _named(graph)
            if self.default is None and outer is not None:
                self.default = outer.default

    def of(self, node_type: type[Node]) -> LM:
        """Return the LM that writes, or routes from, *node_type*; raises LMNotConfiguredError if there is none."""
        found = self.default
        if found is None or self.forced is not None or node_type.node_config.lm is not None:
            found = self.find(node_type)
        if found is None:
            what = f"{node_type.__name__} needs an LM, and none is named"
            hint = f"Pass lm= to run() or Graph(), or set {VARIABLE}. {HINT}"
            raise LMNotConfiguredError(what, hint, node_type=node_type)
        return call_guard.checked(found, node_type.__name__) if call_guard.closings else found

    def find(self, node_type: type[Node]) -> LM | None:
        """Return the LM in charge of *node_type*, if one is named."""
        if self.forced is not None:
            return self.forced
        own = node_type.node_config.lm
        found = self.default if own is None else self._adopted(_named(own))
        return _named(os.environ.get(VARIABLE) or None) if found is None else found

    def _adopted(self, own: LM | None) -> LM | None:
        """Return a node's own LM, or what the run's makes of it: tuned prompts are asked of the node's own model."""
        adopt: Callable[[LM], LM] | None = getattr(self.default, "adopt", None)
        return own if own is None or adopt is None else adopt(own)


def _named(lm: LM | str | None) -> LM | None:
    """Return the LM meant; one injected into a function or body means that of its run, which counts the calls."""
    if isinstance(lm, InjectedLM):
        return lm.of_run
    return None if lm is None else lm_named(lm)


class CountedCall(LMCall):
    """A call that counts from the moment the LM is asked: until then it may wait for a place among the calls."""

    __slots__ = ("_account", "_is_reserved", "is_asked", "target")

    def __init__(self, account: Account, key: str, target: str) -> None:
        super().__init__(key)
        self._account = account
        self._is_reserved = False
        self.target = target
        self.is_asked = False

    def ask(self, waited: float = 0.0) -> None:
        """Say that the LM is asked, after as many seconds in the queue; raises BudgetExceededError."""
        self._reserve()
        self.is_asked = True

    def begin(self) -> None:
        super().begin()
        self._reserve()

    def _reserve(self) -> None:
        if not self._is_reserved:
            if self._account.limited:
                self._account.reserve()
            self._is_reserved = True

    def add(self, usage: Usage, model: str = "") -> None:
        super().add(usage, model)
        self._release()
        self._account.add(self.target, model, usage)

    def failed(self, error: Exception, model: str = "") -> None:
        if self._is_reserved:
            self.add(ONE_REQUEST)
        self._tell_failure(error, model)
        self._reserve()
        super().failed(error, model)

    def _tell_failure(self, error: Exception, model: str) -> None:
        """Tell the listeners of the attempt that failed."""

    def told(self, answer: T) -> T:
        """Return *answer*, and count a request, its cost unknown, if the LM has told nothing."""
        if self.usage is None:
            self.usage = UNTOLD
            self._release()
            self._account.add_untold(self.target)
        return answer

    def close(self) -> None:
        """Count a call that ended without an answer, and give back what is still reserved."""
        if self.is_asked and self.usage is None:
            self.add(ONE_REQUEST)
        if self._is_reserved:
            self._release()

    def _release(self) -> None:
        if self._is_reserved:
            self._is_reserved = False
            if self._account.limited:
                self._account.release()


class HeardCall(CountedCall):
    """A call whose every attempt is told to the listeners."""

    __slots__ = ("_is_open", "_kind", "_offered", "_run", "_started_at", "_tools", "teller")

    wants_partials = True

    def __init__(self, run: Execution, kind: Kind, key: str, target: str, offered: tuple[str | None, ...]) -> None:
        super().__init__(run.account, key, target)
        self._run = run
        self.teller: Execution | Prefetched = run
        self._kind: Kind = kind
        self._offered = offered
        self._is_open = False
        self._tools: dict[str, tuple[str, str, float]] = {}

    def ask(self, waited: float = 0.0) -> None:
        super().ask(waited)
        self._open(waited)

    def _open(self, waited: float = 0.0) -> None:
        self._is_open, self._started_at = True, time.time()
        self._emit(LMCallStarted, offered=self._offered, waited=waited)

    def _emit(self, event_type: type[Event], **values: Any) -> None:
        values |= {"kind": self._kind, "target": self.target, "attempt": max(self.attempt, 1)}
        self.teller.emit(event_type, self.place, parent_of(self.key), **values)

    def begin(self) -> None:
        super().begin()
        if not self._is_open:
            self._open()

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        super().accepted(request, response)
        self._close("done", request, response)

    def rejected(self, request: LMRequest, response: LMResponse, reasons: tuple[str, ...]) -> None:
        super().rejected(request, response, reasons)
        self._close("done", request, response, reasons)

    def failed(self, error: Exception, model: str = "") -> None:
        super().failed(error, model)
        self._open()

    def _tell_failure(self, error: Exception, model: str) -> None:
        if self._is_open:
            self._finish("failed", error=error, model=model, usage=ONE_REQUEST)

    def partial(self, values: Mapping[str, Any]) -> None:
        self.teller.emit(FieldDelta, self.place, self.key, values=values)

    def tool_started(self, call_id: str, name: str, arguments: Any) -> None:
        key = self._run.next_call_key(self.place, name)
        self._tools[call_id] = (key, name, time.time())
        self.teller.emit(ToolStarted, key, self.place, name=name, arguments=arguments)

    def tool_finished(self, call_id: str, value: Any, *, is_error: bool = False) -> None:
        key, name, started_at = self._tools.pop(call_id)
        how: dict[str, Any] = {"status": "failed" if is_error else "done", "started_at": started_at}
        self.teller.emit(ToolFinished, key, self.place, name=name, value=value, **how)

    def _close(self, status: Status, request: LMRequest, response: LMResponse, reasons: tuple[str, ...] = ()) -> None:
        answer: dict[str, Any] = {"answer": response.data, "model": response.model, "usage": response.usage}
        self._finish(status, request=request, reasons=reasons, **answer)

    def _finish(self, status: Status, **values: Any) -> None:
        self._is_open = False
        self._emit(LMCallFinished, status=status, started_at=self._started_at, **values)

    def ended(self, error: BaseException | None, usage: Usage) -> None:
        """Say how the call ended, where the LM itself has not said it; one cancelled before it began is not told."""
        if not self.is_asked and not isinstance(error, asyncio.CancelledError):
            self._open()
        if not self._is_open:
            return
        if error is None:
            self._finish("done", usage=self.usage or ONE_REQUEST)
        elif isinstance(error, asyncio.CancelledError):
            self._finish("cancelled", usage=usage)
        else:
            self._finish("failed", error=error, usage=usage)


async def ask(
    run: Execution,
    kind: Kind,
    key: str,
    node_type: type[Node],
    answer: Callable[[LM], Awaitable[T]],
    *,
    offered: tuple[str | None, ...] = (),
    ahead: Prefetched | None = None,
) -> T:
    """Return what the LM in charge of *node_type* answers: counted, bounded, and told to whoever listens."""
    name = node_type.__name__
    call = HeardCall(run, kind, key, name, offered) if run.is_listening else CountedCall(run.account, key, name)
    if ahead is not None and isinstance(call, HeardCall):
        call.teller = ahead
    # What is asked from within a call has that call's place.
    slot = run.limiters.slot(ahead) if run.limiters.limits and current_call.get() is None else None
    token = current_call.set(call)
    failure: BaseException | None = None
    try:
        lm, seconds = run.lms.of(node_type), node_type.node_config.timeout
        if slot is None:
            call.ask()
            return call.told(await (answer(lm) if seconds is None else _in_time(answer(lm), seconds)))
        asked_at = time.perf_counter()
        async with slot:
            call.ask(time.perf_counter() - asked_at)
            return call.told(await (answer(lm) if seconds is None else _in_time(answer(lm), seconds)))
    except BaseException as error:
        failure = _placed(run, call.key, node_type, error)
        raise
    finally:
        current_call.reset(token)
        call.close()
        if isinstance(call, HeardCall):
            call.ended(failure, ONE_REQUEST if call.is_asked else Usage())


async def _in_time(answer: Awaitable[T], seconds: float) -> T:
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            return await answer
    except TimeoutError as error:
        if not deadline.expired():
            raise
        hint = "NodeConfig(timeout=) sets the seconds."
        raise LMTimeoutError(f"no answer within {seconds} s", hint) from error


def _placed(run: Execution, key: str, node_type: type[Node], error: BaseException) -> BaseException:
    """Tell *error* where it happened, if it does not know yet."""
    if isinstance(error, LMError):
        error.key = error.key or key
    if isinstance(error, LMError | FillError | ChoiceError | BudgetExceededError):
        error.node_type = error.node_type or node_type
        error.trace = error.trace or list(run.trace.nodes)
    elif isinstance(error, Exception) and key not in "".join([shorten(error), *getattr(error, "__notes__", ())]):
        error.add_note(f"Raised by the LM's call at {key}.")
    return error


class InjectedLM:
    """The LM that a custom body or a function is given: its calls count, and are told, like the engine's."""

    def __init__(self, run: Execution, key: str) -> None:
        self._run = run
        self._key = key

    @property
    def of_run(self) -> LM | None:
        """The LM that the run it belongs to uses."""
        lms = self._run.lms
        return lms.default if lms.forced is None else lms.forced

    async def choose_type(self, types: Sequence[type[Node] | None], context: Node) -> type[Node] | None:
        """Return one of *types*; raises ChoiceError."""

        async def choose(lm: LM) -> type[Node] | None:
            return check_choice(await lm.choose_type(types, context), types, context)

        key, offered = self._run.next_call_key(self._key, "choose"), offered_names(types)
        return await ask(self._run, "choose", key, type(context), choose, offered=offered)

    async def fill(
        self, target: type[N], resolved: Mapping[str, Any], instruction: str, source: Node | None = None
    ) -> N:
        """Return a filled *target*, *resolved* being validated first; raises FillError and ValidationError."""
        values = spec_of(target).validate_injected(resolved)

        async def fill(lm: LM) -> N:
            return check_filled(await lm.fill(target, values, instruction, source), target)

        return await ask(self._run, "fill", self._run.next_call_key(self._key, "fill"), target, fill)

    async def make(self, node: Node, target: type[N]) -> N:
        """Return a *target* written with *node* as its source; its Dep fields are resolved when it is visited."""

        async def make(lm: LM) -> N:
            return check_filled(await lm.make(node, target), target)

        return await ask(self._run, "make", self._run.next_call_key(self._key, "make"), target, make)

    async def decide(self, node: Node) -> Node | None:
        """Return one of *node*'s successors, chosen and written; None for a stop."""

        async def decide(lm: LM) -> Node | None:
            types = route_of(type(node)).offered
            one = one_call(lm, type(node).node_config.routing, self._run.settings.routing)
            if one is None or len(types) == 1 or any(filled_apart(type(node), each) for each in types if each):
                decided = await lm.decide(node)
            else:
                decided = await one.choose_and_fill(types, node, {each: {} for each in types if each})
            check_choice(None if decided is None else type(decided), types, node)
            return decided

        return await ask(self._run, "decide", self._run.next_call_key(self._key, "decide"), type(node), decide)
