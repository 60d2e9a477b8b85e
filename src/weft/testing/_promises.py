"""What every LM must do when its model answers, well or not so well at first."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from ..errors import ChoiceError, FillError, UnresolvedFieldError, what_is
from ..events import Event, LMCallFinished
from ..graph import Graph
from ..lm import LM, LMCall, LMRequest, OneCallLM, current_call, one_call
from ..nodes import Node
from ._checks import BrokenPromiseError, LMCheck, NotTestedError, Promise, expect
from ._targets import (
    Answer,
    Crossroads,
    DeadEnd,
    Essay,
    Letter,
    Number,
    OneWay,
    Possession,
    Rebuttal,
    SingleTry,
    SingleTurn,
    question,
    zoo_nodes,
)

T = TypeVar("T")
_LONG = 1_000_000


def check_of(function: Any, scenario: str, *, takes_key: bool = False) -> LMCheck:
    """Return the check that *function* is; its name and docstring are the check's name and promise."""
    return LMCheck(function.__name__.lstrip("_"), scenario, inspect.getdoc(function) or "", function, takes_key)


def expect_type(node: object, target: type) -> None:
    """Expect *node* to be a *target*, and no other class."""
    expect(type(node) is target, f"an instance of {target.__name__}", what_is(node))


async def error_of(asked: Awaitable[object]) -> Exception:
    """Return the exception that *asked* ends with."""
    try:
        answer = await asked
    except Exception as error:  # noqa: BLE001  which it is, the check looks at
        return error
    raise BrokenPromiseError("an exception", told(answer))


def told(answer: object) -> str:
    """Return *answer* as people read it: a class by its name."""
    return what_is(answer) if isinstance(answer, type) else f"the answer {answer!r}"


# --- Filling ------------------------------------------------------------------------------------------------------


async def is_an_lm(lm: LM) -> None:
    """An LM has the four async methods of weft.LM."""
    for name in ("choose_type", "fill", "make", "decide"):
        expect(callable(getattr(lm, name, None)), f"a method {name}", what_is(getattr(lm, name, None)))


async def fill_returns_the_target(lm: LM) -> None:
    """`fill` returns an instance of the very class that it is given."""
    expect_type(await lm.fill(Answer, {}, "Answer.", question), Answer)


async def fill_needs_no_source(lm: LM) -> None:
    """`fill` writes a node without a source, too."""
    expect_type(await lm.fill(Answer, {}, "Answer."), Answer)


async def fill_keeps_given_values(lm: LM) -> None:
    """`fill` puts the given values into the node as they are, whatever they are."""
    given = Possession()
    letter = await lm.fill(Letter, {"possession": given}, "Write.", question)

    expect_type(letter, Letter)
    expect(letter.__dict__.get("possession") is given, "the given object", what_is(letter.__dict__.get("possession")))


async def fill_shows_instruction_and_source(lm: LM) -> None:
    """`fill` shows the model the instruction, and the fields of the source that are not excluded."""
    request = await _shown(lm)

    expect(request.instruction == Answer.node_config.instruction, "the instruction of the node", request.instruction)
    expect(dict(request.source) == {"text": question.text}, "the source's fields", dict(request.source))


async def _shown(lm: LM) -> LMRequest:
    events: list[Event] = []
    graph = Graph(start=OneWay)
    await graph.arun(OneWay(text=question.text), lm=lm, on_event=events.append)
    requests = [each.request for each in events if isinstance(each, LMCallFinished) and each.request is not None]
    if not requests:
        raise NotTestedError("it does not tell what the model was shown")
    return requests[0]


async def _fill_writes(group: str, lm: LM) -> None:
    target = zoo_nodes()[group]
    node = await lm.fill(target, {}, "Write.")
    expect_type(node, target)
    again = target.model_validate_json(node.model_dump_json(round_trip=True, by_alias=True, warnings=False))
    for name, field in target.model_fields.items():
        seen, wanted = getattr(node, name), getattr(again, name)
        kind = f"{type(wanted).__name__}, as {field.annotation} asks for,"
        expect(_is_same(seen, wanted), f"{kind} in {name}", f"{seen!r}, which is {what_is(seen)}")


def _is_same(one: Any, other: Any) -> bool:
    """Return whether both are equal, and made of the same types: 1 is not True, and a text is no enum."""
    kind = one.__class__
    if kind is not other.__class__:
        return False
    if issubclass(kind, BaseModel):
        return _is_same(one.__dict__, other.__dict__)
    if issubclass(kind, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if issubclass(kind, Sequence) and not issubclass(kind, str | bytes):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def _zoo_checks() -> Iterator[LMCheck]:
    for group in zoo_nodes():
        promise = f"`fill` writes {group.replace('_', ' ')} of every type, as instances of that type."
        yield LMCheck(f"fill_writes_{group}", "ok", promise, functools.partial(_fill_writes, group))


async def giant_answer(lm: LM) -> None:
    """A text of a million characters arrives whole."""
    essay = await lm.fill(Essay, {}, "Write at length.", question)

    expect(len(essay.text) >= _LONG, f"{_LONG:,} characters or more", f"{len(essay.text):,}")


async def slow_answer(lm: LM) -> None:
    """An answer that drips in arrives whole."""
    expect_type(await lm.fill(Answer, {}, "Answer.", question), Answer)


# --- Choosing, making, deciding -----------------------------------------------------------------------------------


_OFFERS: tuple[Sequence[type[Node] | None], ...] = (
    [Answer, Rebuttal],
    [Rebuttal, Answer],
    [Answer],
    [Answer, None, Rebuttal],
)


async def choice_is_one_of_those_offered(lm: LM) -> None:
    """`choose_type` returns one of the offered classes, or None where it is offered, whatever their order."""
    for types in _OFFERS:
        chosen = await lm.choose_type(types, question)
        expect(chosen in types, f"one of {_named(types)}", told(chosen))


async def choice_of_a_stop(lm: LM) -> None:
    """`choose_type` returns None where the model chooses to stop."""
    chosen = await lm.choose_type([None], Crossroads(text="Why?"))

    expect(chosen is None, "None, the only one offered", told(chosen))


def _named(types: Sequence[type[Node] | None]) -> str:
    return ", ".join("None" if each is None else each.__name__ for each in types)


async def choice_is_never_a_guess(lm: LM) -> None:
    """`choose_type` raises ChoiceError with every attempt when the model's last answer is none of those offered."""
    error = await error_of(lm.choose_type([Answer, Rebuttal], SingleTurn(text="Why?")))

    expect(isinstance(error, ChoiceError), "a ChoiceError", repr(error))
    expect(_is_told(error), "an attempt with its answer and the reasons", getattr(error, "attempts", ()))


async def make_leaves_dependencies(lm: LM) -> None:
    """`make` returns the target with its plain fields written, and its Dep and Recall fields unresolved."""
    letter = await lm.make(question, Letter)
    expect_type(letter, Letter)
    expect({"day", "words"} <= letter.__dict__.keys(), "day and words", sorted(letter.__dict__))
    try:
        value = letter.possession
    except UnresolvedFieldError:
        return
    raise BrokenPromiseError("an unresolved field", what_is(value))


async def decision_is_a_successor(lm: LM) -> None:
    """`decide` returns a written node of one of the classes that may follow."""
    for node in (question, OneWay(text="Why?")):
        decided = await lm.decide(node)
        expect(type(decided) in type(node).successors(), "an instance of a successor", what_is(decided))


async def decision_to_stop(lm: LM) -> None:
    """`decide` returns None where nothing may follow."""
    decided = await lm.decide(DeadEnd(text="Why?"))

    expect(decided is None, "None", what_is(decided))


_WRITTEN_OFFERS: tuple[Sequence[type[Node] | None], ...] = (
    [Letter, Rebuttal],
    [Letter],
    [Rebuttal, None, Letter],
)


async def one_call_chooses_and_fills(lm: LM) -> None:
    """`choose_and_fill`, where it can, returns a written node of one of the offered classes, with the given values."""
    given = Possession()
    values: dict[type[Node], dict[str, Any]] = {Letter: {"possession": given}, Rebuttal: {}}
    for types in _WRITTEN_OFFERS:
        decided = await _able(lm).choose_and_fill(types, question, values)
        allowed = f"an instance of one of {_named(types)}, or None for a stop"
        expect((None if decided is None else type(decided)) in types, allowed, told(decided))
        if isinstance(decided, Letter):
            expect({"day", "words"} <= decided.__dict__.keys(), "day and words", sorted(decided.__dict__))
            found = decided.__dict__.get("possession")
            expect(found is given, "the given object", what_is(found))


async def one_call_may_stop(lm: LM) -> None:
    """`choose_and_fill` returns None where the model chooses to stop."""
    decided = await _able(lm).choose_and_fill([None], Crossroads(text="Why?"), {})

    expect(decided is None, "None, the only one offered", told(decided))


def _able(lm: LM) -> OneCallLM:
    able = one_call(lm, "one-call")
    if able is None:
        raise NotTestedError("it chooses and fills in two calls")
    return able


# --- Rejection and repair -----------------------------------------------------------------------------------------


async def repair_of_a_node(lm: LM) -> None:
    """`fill` tells the model why its answer was rejected, and takes the repaired one."""
    expect_type(await lm.fill(Number, {}, "Write a number.", question), Number)


async def repair_of_a_choice(lm: LM) -> None:
    """`choose_type` tells the model why its answer was rejected, and takes the repaired one."""
    chosen = await lm.choose_type([Answer, Rebuttal], question)

    expect(chosen in (Answer, Rebuttal), "one of those offered", told(chosen))


async def repair_in_one_call(lm: LM) -> None:
    """`choose_and_fill` tells the model why its answer was rejected, and takes the repaired one."""
    decided = await _able(lm).choose_and_fill([Number], question, {Number: {}})

    expect_type(decided, Number)


async def one_call_is_never_a_guess(lm: LM) -> None:
    """`choose_and_fill` raises ChoiceError or FillError with every attempt when the model's last answer is rejected."""
    error = await error_of(_able(lm).choose_and_fill([Number], SingleTurn(text="Why?"), {Number: {}}))

    expect(isinstance(error, ChoiceError | FillError), "a ChoiceError or FillError", repr(error))
    expect(_is_told(error), "an attempt with its answer and the reasons", getattr(error, "attempts", ()))


async def rejection_of_a_node(lm: LM) -> None:
    """`fill` raises FillError with every attempt when the last that NodeConfig(retries=) allows is rejected."""
    error = await error_of(lm.fill(SingleTry, {}, "Write a number.", question))

    expect(isinstance(error, FillError), "a FillError", repr(error))
    expect(_is_told(error), "an attempt with its answer and the reasons", getattr(error, "attempts", ()))


def _is_told(error: Exception) -> bool:
    attempts = getattr(error, "attempts", ())
    return bool(attempts) and all(attempt.reasons for attempt in attempts)


# --- Usage --------------------------------------------------------------------------------------------------------


async def usage_is_told(lm: LM) -> None:
    """A call of an LM tells what it used: one request or more."""
    await _expect_requests(lm.fill(Answer, {}, "Answer.", question), 1)


async def usage_counts_repairs(lm: LM) -> None:
    """What was used for a rejected answer is told, too."""
    await _expect_requests(lm.fill(Number, {}, "Write a number.", question), 2)


async def _expect_requests(asked: Awaitable[Node], least: int) -> None:
    call = LMCall()
    token = current_call.set(call)
    try:
        await asked
    finally:
        current_call.reset(token)
    if call.usage is None:
        raise NotTestedError("it does not tell what it used: a run counts one request, its cost unknown")
    expect(call.usage.requests >= least, f"{least} requests or more", call.usage)
    expect(min(call.usage.input_tokens, call.usage.output_tokens) >= 0, "no negative tokens", call.usage)


_IN_OK: tuple[Promise, ...] = (
    is_an_lm,
    fill_returns_the_target,
    fill_needs_no_source,
    fill_keeps_given_values,
    fill_shows_instruction_and_source,
    choice_is_one_of_those_offered,
    choice_of_a_stop,
    make_leaves_dependencies,
    decision_is_a_successor,
    decision_to_stop,
    one_call_chooses_and_fills,
    one_call_may_stop,
    usage_is_told,
)
_IN_REPAIR: tuple[Promise, ...] = (
    repair_of_a_node,
    repair_of_a_choice,
    repair_in_one_call,
    rejection_of_a_node,
    choice_is_never_a_guess,
    one_call_is_never_a_guess,
    usage_counts_repairs,
)


def answering() -> Iterator[LMCheck]:
    """Yield the checks of an LM whose model answers."""
    yield from (check_of(function, "ok") for function in _IN_OK)
    yield from _zoo_checks()
    yield from (check_of(function, "repair") for function in _IN_REPAIR)
    yield check_of(slow_answer, "slow")
    yield check_of(giant_answer, "giant")
