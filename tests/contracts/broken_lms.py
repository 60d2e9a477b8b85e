"""LMs that break one promise each, as real ones have: the checks of the contract must notice them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx
from provider import CANARY, ReferenceLM
from pydantic_core import from_json

from weft import (
    ChoiceError,
    FillError,
    LMConnectionError,
    LMRateLimitError,
    LMRequestError,
    LMResponse,
    LMTimeoutError,
    Usage,
)
from weft._spec import spec_of
from weft.testing import _targets


class Half:
    def __init__(self, url):
        self.lm = ReferenceLM(url)
        self.choose_type, self.fill, self.make = self.lm.choose_type, self.lm.fill, self.lm.make


class GivesAMapping(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        return (await super().fill(target, resolved, instruction, source)).model_dump()


class NeedsASource(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        return await super().fill(target, resolved, f"{instruction} From {source.text}.", source)


class LosesWhatIsGiven(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        return await super().fill(target, {}, instruction, source)


class CopiesWhatIsGiven(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        copies = {name: type(value)() for name, value in resolved.items()}
        return await super().fill(target, copies, instruction, source)


class IgnoresTheInstruction(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        return await super().fill(target, resolved, target.__name__, source)


class ShowsNoSource(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        return await super().fill(target, resolved, instruction)


class TakesValuesUnread(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        request = _request(target)
        return target.model_construct(**resolved, **from_json((await self.generate(request)).data))


class ChoosesByName(ReferenceLM):
    async def choose_type(self, types, context):
        return (await super().choose_type(types, context)).__name__


class ChoosesOutsideTheOffer(ReferenceLM):
    async def choose_type(self, types, context):
        return _targets.Letter


class NeverStops(ReferenceLM):
    async def choose_type(self, types, context):
        return await super().choose_type([each for each in types if each] or [_targets.Answer], context)


class TakesTheFirst(ReferenceLM):
    async def choose_type(self, types, context):
        try:
            return await super().choose_type(types, context)
        except ChoiceError:
            return types[0]


class ResolvesByItself(ReferenceLM):
    async def make(self, node, target):
        return await self.fill(target, {"possession": _targets.Possession()}, "Write.", node)


class DecidesOnAClass(ReferenceLM):
    async def decide(self, node):
        return type(await super().decide(node))


class NeverDecidesToStop(ReferenceLM):
    async def decide(self, node):
        return await super().decide(node) or node


class WritesWithoutWhatIsGiven(ReferenceLM):
    async def choose_and_fill(self, types, context, resolved):
        return await super().choose_and_fill(types, context, {each: {} for each in resolved})


class GivesTheClass(ReferenceLM):
    async def choose_and_fill(self, types, context, resolved):
        return type(await super().choose_and_fill(types, context, resolved))


class NeverStopsInOneCall(ReferenceLM):
    async def choose_and_fill(self, types, context, resolved):
        return await super().choose_and_fill(types, context, resolved) or context


class TakesTheFirstInOneCall(ReferenceLM):
    async def choose_and_fill(self, types, context, resolved):
        try:
            return await super().choose_and_fill(types, context, resolved)
        except (ChoiceError, FillError):
            return types[0].model_construct()


class CountsNothing(ReferenceLM):
    async def generate(self, request, on_partial=None):
        return replace(await super().generate(request), usage=Usage())


class CountsTheLastOnly(ReferenceLM):
    async def generate(self, request, on_partial=None):
        return replace(await super().generate(request), usage=Usage(requests=bool(request.rejected)))


class CountsAllAsItsOwn(ReferenceLM):
    used = Usage()

    async def generate(self, request, on_partial=None):
        response = await super().generate(request)
        self.used += response.usage
        return replace(response, usage=self.used)


class TellsNoReasons(ReferenceLM):
    async def generate(self, request, on_partial=None):
        return await super().generate(replace(request, rejected=()))


class TakesARejectedAnswer(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        try:
            return await super().fill(target, resolved, instruction, source)
        except FillError as error:
            return target.model_construct(**from_json(error.attempts[-1].answer))


class HasNoPatience(ReferenceLM):
    async def sent(self, asked):
        try:
            async with asyncio.timeout(0.05):
                return await super().sent(asked)
        except TimeoutError as error:
            raise LMTimeoutError("no answer within 0.05 s") from error


class CutsLongTexts(ReferenceLM):
    async def fill(self, target, resolved, instruction, source=None):
        node = await super().fill(target, resolved, instruction, source)
        return node.model_copy(update={"text": node.text[: 2**16]})


class TakesAnyStop(ReferenceLM):
    def decoded(self, response):
        return {**super().decoded(response), "stop": "end"}


class TakesAPart(TakesAnyStop):
    async def fill(self, target, resolved, instruction, source=None):
        text = (await self.generate(_request(target))).data
        return target.model_construct(**from_json(text, allow_partial=True))


class Blames(ReferenceLM):
    """Raises one error for all."""

    error = LMConnectionError

    def decoded(self, response):
        if response.is_error:
            raise self.error("no answer")
        return super().decoded(response)


class BlamesTheRequest(Blames):
    error = LMRequestError


class SaysTryAgain(Blames):
    def error(self, message):
        error = LMRequestError(message)
        error.is_retryable = True
        return error


class WaitsForAWord(Blames):
    def error(self, message):
        return LMRateLimitError(message, retry_after="soon")


class ShowsTheKey(ReferenceLM):
    def decoded(self, response):
        key, self.key = self.key, "another"
        try:
            return super().decoded(response)
        finally:
            self.key = key


class SpokenInLinesError(LMRequestError):
    def __str__(self):
        return "no,\nno"


class RaisesLines(Blames):
    error = SpokenInLinesError


class LetsForeignErrorsOut(ReferenceLM):
    async def sent(self, asked):
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            return await client.post(self.url, json=asked, headers=headers)

    def decoded(self, response):
        return response.json()


class HidesTheCause(ReferenceLM):
    async def sent(self, asked):
        try:
            return await super().sent(asked)
        except LMConnectionError:
            raise LMConnectionError("the provider was not reached") from None


class MistakesCancellation(ReferenceLM):
    async def sent(self, asked):
        try:
            return await super().sent(asked)
        except asyncio.CancelledError as error:
            raise LMConnectionError("the connection was closed") from error


class LeavesATask(ReferenceLM):
    async def sent(self, asked):
        return await asyncio.shield(asyncio.ensure_future(super().sent(asked)))


class LingersOn(ReferenceLM):
    async def sent(self, asked):
        with suppress(asyncio.CancelledError):
            await super().sent(asked)
        await asyncio.sleep(30)


@dataclass
class ShowsItself(ReferenceLM):
    url: str
    key: str = CANARY


class SharesItsRequest(ReferenceLM):
    async def generate(self, request, on_partial=None):
        self.request = request
        await asyncio.sleep(0)
        return await super().generate(self.request)


class KeepsALock(ReferenceLM):
    def __init__(self, url):
        super().__init__(url)
        self.lock = asyncio.Lock()

    async def generate(self, request, on_partial=None):
        async with self.lock:
            return await super().generate(request)


class PretendsToStandIn(ReferenceLM):
    is_stand_in = True


class NeverEnds(ReferenceLM):
    async def generate(self, request, on_partial=None):
        await asyncio.Event().wait()
        return LMResponse({})


def _request(target):
    from weft.filling import fill_request

    return fill_request(spec_of(target), {}, "Write.", None)


# The check that must notice it, and what the check must have seen.
BROKEN = [
    ("is_an_lm", Half, "None"),
    ("fill_returns_the_target", GivesAMapping, "a dict"),
    ("fill_needs_no_source", NeedsASource, "AttributeError"),
    ("fill_keeps_given_values", LosesWhatIsGiven, "None"),
    ("fill_keeps_given_values", CopiesWhatIsGiven, "a Possession"),
    ("fill_shows_instruction_and_source", IgnoresTheInstruction, "Answer"),
    ("fill_shows_instruction_and_source", ShowsNoSource, "{}"),
    *((f"fill_writes_{group}", TakesValuesUnread, "which is a|SerializationError") for group in _targets.zoo_nodes()),
    ("choice_is_one_of_those_offered", ChoosesByName, "Answer|Rebuttal"),
    ("choice_is_one_of_those_offered", ChoosesOutsideTheOffer, "Letter"),
    ("choice_of_a_stop", NeverStops, "Answer"),
    ("choice_is_never_a_guess", TakesTheFirst, "the class Answer"),
    ("make_leaves_dependencies", ResolvesByItself, "a Possession"),
    ("decision_is_a_successor", DecidesOnAClass, "the class"),
    ("decision_to_stop", NeverDecidesToStop, "a DeadEnd"),
    ("one_call_chooses_and_fills", WritesWithoutWhatIsGiven, "None"),
    ("one_call_chooses_and_fills", GivesTheClass, "the class"),
    ("one_call_may_stop", NeverStopsInOneCall, "Crossroads"),
    ("repair_in_one_call", TellsNoReasons, "ChoiceError|FillError"),
    ("one_call_is_never_a_guess", TakesTheFirstInOneCall, "the answer Number"),
    ("usage_is_told", CountsNothing, "requests=0"),
    ("usage_counts_repairs", CountsTheLastOnly, "requests=1"),
    ("parallel_calls", CountsAllAsItsOwn, "50"),
    ("repair_of_a_node", TellsNoReasons, "FillError"),
    ("repair_of_a_choice", TellsNoReasons, "ChoiceError"),
    ("rejection_of_a_node", TakesARejectedAnswer, "the answer SingleTry"),
    ("slow_answer", HasNoPatience, "LMTimeoutError"),
    ("giant_answer", CutsLongTexts, "65,536"),
    ("refusal", TakesAnyStop, "FillError"),
    ("truncated", TakesAnyStop, "FillError"),
    ("truncated", TakesAPart, "the answer Answer"),
    *((f"status_{status}", Blames, "LMConnectionError") for status in (400, 401, 403, 404, 413, 429, 529)),
    ("status_500", BlamesTheRequest, "LMRequestError"),
    ("status_400", SaysTryAgain, "True"),
    ("status_429", WaitsForAWord, "TypeError"),
    ("status_401", ShowsTheKey, r"^\['LMAuthenticationError'\]"),
    ("status_400", RaisesLines, r"no,\\+nno"),
    ("html", LetsForeignErrorsOut, "JSONDecodeError"),
    ("dropped", LetsForeignErrorsOut, "RemoteProtocolError"),
    ("dropped", HidesTheCause, "LMConnectionError"),
    ("stalled_call", MistakesCancellation, "LMConnectionError"),
    ("key_is_not_shown", ShowsItself, "the key"),
    ("parallel_calls", SharesItsRequest, "FillError"),
    ("event_loops_in_turn", KeepsALock, "different event loop"),
    ("threads_at_once", KeepsALock, "different event loop"),
    ("cancelled_call", MistakesCancellation, "LMConnectionError"),
    ("cancelled_call", LeavesATask, "sent"),
    ("cancelled_call", LingersOn, "none"),
    ("stand_in_needs_nothing", PretendsToStandIn, "socket.connect"),
]
