"""Routing in one call: what the model is shown and asked for, when two calls are made all the same, what is told."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

from weft import (
    LM,
    BaseLM,
    ChoiceError,
    Dep,
    DepError,
    FallbackLM,
    FillError,
    Graph,
    LMConnectionError,
    LMResponse,
    Node,
    NodeConfig,
    OfflineLM,
    Recall,
    RecordingLM,
    ReplayLM,
    Usage,
)
from weft.events import FieldDelta, LMCallFinished, LMCallStarted, NodeFinished, RouteChosen
from weft.lm import OneCallLM, one_call
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Answers(BaseLM):
    """Gives the answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers, retries=2, routing=None):
        self.answers = list(answers)
        self.requests = []
        self.retries = retries
        self.routing = routing

    async def generate(self, request, on_partial=None):
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return LMResponse(answer, Usage(1, 10, 5, 0.01))

    @property
    def kinds(self):
        return [request.kind for request in self.requests]


def decision(choice, **fields):
    return {"decision": {"choice": choice, "fields": fields}}


def get_fee() -> int:
    return 3


class Ticket(Node):
    text: str
    fee: Annotated[int, Dep(get_fee)]

    async def __call__(self) -> "Refund | Reply | None": ...


class Address(BaseModel):
    street: str


class Refund(Node):
    fee: Annotated[int, Dep(get_fee)]
    said: Annotated[str, Recall(Ticket, "text")]
    amount: int = Field(description="in euros")
    to: Address


class Reply(Node):
    node_config = NodeConfig(instruction="Reply in a few words.")
    words: str


REFUND = decision("Refund", amount=20, to={"street": "here"})
GIVEN = {"fee": 3, "said": "It broke."}
graph = Graph(start=Ticket, routing="one-call")


async def run(lm, *, start=None, **options):
    start = start or Ticket(text="It broke.")
    return await Graph(start=type(start), routing="one-call").arun(start, lm=lm, **options)


# --- The request ---


async def test_one_call_chooses_and_fills():
    lm = Answers(REFUND)
    result = await run(lm)

    assert result.trace == [Ticket(text="It broke.", fee=3), Refund(**GIVEN, amount=20, to=Address(street="here"))]
    assert lm.kinds == ["decide"]
    assert result.usage.requests == 1
    assert result.usage.by_node["Ticket"].requests == 1
    assert list(result.usage.by_node) == ["Ticket"]


async def test_a_stop_is_offered_and_taken():
    result = await run(Answers({"decision": {"choice": "None"}}))

    assert result.trace == [Ticket(text="It broke.", fee=3)]


async def test_the_model_is_shown_the_source_the_options_and_the_inputs_of_each():
    lm = Answers(REFUND)
    await run(lm)

    [request] = lm.requests
    assert request.target == request.source_name == "Ticket"
    assert request.source == {"text": "It broke.", "fee": 3}
    assert [option.name for option in request.options] == ["Refund", "Reply", "None"]
    assert request.options[0].fields == {"amount": "in euros", "to": ""}
    assert request.inputs == {"Refund": GIVEN}
    assert request.place == "0:Ticket/route"


async def test_the_schema_is_a_union_told_apart_by_the_choice_below_an_object():
    lm = Answers(REFUND)
    await run(lm)

    schema = lm.requests[0].schema
    assert schema["type"] == "object"
    branches = schema["properties"]["decision"]["anyOf"]
    assert [each["properties"]["choice"]["const"] for each in branches] == ["Refund", "Reply", "None"]
    assert all(each["additionalProperties"] is False for each in branches)
    assert [each["required"] for each in branches] == [["choice", "fields"], ["choice", "fields"], ["choice"]]
    fields = branches[0]["properties"]["fields"]
    assert list(fields["properties"]) == ["amount", "to"]
    assert fields["properties"]["to"] == {"$ref": "#/$defs/Address"}
    assert list(schema["$defs"]) == ["Address"]


async def test_types_of_one_name_stay_apart():
    def part(kind: Any) -> Any:
        class Part(BaseModel):
            value: kind

        return Part

    whole, text = part(int), part(str)

    class First(Node):
        part: whole

    class Second(Node):
        part: text

    class Fork(Node):
        async def __call__(self) -> First | Second: ...

    lm = Answers(decision("Second", part={"value": "text"}))
    result = await run(lm, start=Fork())

    schema = lm.requests[0].schema
    referred = [
        branch["properties"]["fields"]["properties"]["part"]["$ref"].rpartition("/")[2]
        for branch in schema["properties"]["decision"]["anyOf"]
    ]
    assert [schema["$defs"][name]["properties"]["value"]["type"] for name in referred] == ["integer", "string"]
    assert result.result.part.value == "text"


async def test_the_fields_are_those_that_a_fill_is_asked_for():
    lm = Answers(REFUND)
    await run(lm)
    filled = Answers({"choice": "Refund"}, {"amount": 20, "to": {"street": "here"}})
    await Graph(start=Ticket).arun(Ticket(text="It broke."), lm=filled)

    union = lm.requests[0].schema
    fields = union["properties"]["decision"]["anyOf"][0]["properties"]["fields"]
    assert {**fields, "$defs": union["$defs"]} == filled.requests[1].schema
    assert filled.requests[1].inputs == lm.requests[0].inputs["Refund"]


# --- The answer ---


class Wary(Node):
    fee: Annotated[int, Dep(get_fee)]
    amount: int

    @field_validator("amount")
    @classmethod
    def more_than_the_fee(cls, amount, info):
        seen.append(info.data["fee"])
        if amount <= info.data["fee"]:
            raise ValueError("it must be more than the fee")
        return amount

    @model_validator(mode="after")
    def count(self):
        seen.append("whole")
        return self


class Till(Node):
    fee: Annotated[int, Dep(get_fee)]

    async def __call__(self) -> Wary | Reply: ...


seen: list[Any] = []


async def test_validators_run_once_and_see_what_is_injected_and_a_rejected_answer_goes_back():
    seen.clear()
    lm = Answers(decision("Wary", amount=2), decision("Wary", amount=7))
    result = await run(lm, start=Till())

    assert seen == [3, 3, "whole"]
    assert result.result == Wary(fee=3, amount=7)
    [rejection] = lm.requests[1].rejected
    assert rejection.reasons == ("amount: Value error, it must be more than the fee",)
    assert lm.kinds == ["decide", "decide"]


async def test_dependency_values_are_validated_once():
    looked = []

    class Kept(Node):
        fee: Annotated[int, Dep(get_fee)]
        word: str

        @field_validator("fee")
        @classmethod
        def look(cls, fee):
            looked.append(fee)
            return fee + 1

    class Start(Node):
        fee: Annotated[int, Dep(get_fee)]

        async def __call__(self) -> Kept | Reply: ...

    result = await run(Answers(decision("Kept", word="x")), start=Start())

    assert result.result.fee == 4
    assert looked == [3]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (decision("Elsewhere"), "choice: 'Elsewhere' is not one of Refund, Reply, None"),
        ({"choice": "Reply"}, "decision: this must be an object with choice and fields, not None"),
        ("no JSON", "the answer is not JSON"),
        ({"decision": {}}, "choice: None is not one of Refund, Reply, None"),
    ],
)
async def test_an_answer_outside_the_offer_is_a_choice_error(answer, reason):
    with pytest.raises(ChoiceError) as caught:
        await run(Answers(answer))

    error = caught.value
    assert error.node_type is Ticket
    assert error.offered == ("Refund", "Reply", "None")
    assert len(error.attempts) == 3
    assert reason in error.attempts[-1].reasons[0]
    assert error.trace == [Ticket(text="It broke.", fee=3)]


@pytest.mark.parametrize("fields", [{"words": 1}, {}, "no JSON", None])
async def test_fields_that_stay_rejected_are_a_fill_error_of_the_chosen_node(fields):
    with pytest.raises(FillError) as caught:
        await run(Answers(REFUND["decision"], {"decision": {"choice": "Reply", "fields": fields}}))

    error = caught.value
    assert error.node_type is Reply
    assert error.path == ("Reply",)
    assert len(error.attempts) == 3
    assert error.trace == [Ticket(text="It broke.", fee=3)]


async def test_the_last_answer_says_which_error_it_is():
    with pytest.raises(ChoiceError):
        await run(Answers(decision("Reply", words=1), decision("Elsewhere"), retries=1))


async def test_fields_may_come_as_json_text_and_those_injected_are_not_the_models_to_write():
    lm = Answers({"decision": {"choice": "Refund", "fields": '{"amount": 20, "to": {"street": "x"}, "fee": 99}'}})

    assert (await run(lm)).result.fee == 3


async def test_the_retries_are_those_of_the_routing_node():
    class Once(Node):
        node_config = NodeConfig(retries=0)

        async def __call__(self) -> Refund2 | Reply: ...

    lm = Answers(decision("Elsewhere"))
    with pytest.raises(ChoiceError) as caught:
        await run(lm, start=Once())

    assert len(caught.value.attempts) == 1


class Refund2(Node):
    amount: int


# --- When there are two calls all the same ---


def fork(*candidates, **config) -> type[Node]:
    class Fork(Node):
        node_config = NodeConfig(**config)
        fee: Annotated[int, Dep(get_fee)]

        async def __call__(self) -> Any: ...

    Fork.__call__.__annotations__["return"] = candidates[0] | Reply
    return Fork


def get_other() -> int:
    return 4


class NeedsMore(Node):
    other: Annotated[int, Dep(get_other)]
    words: str


class PerVisit(Node):
    fee: Annotated[int, Dep(get_fee, per="visit")]
    words: str


class WithSub(Node):
    sub: Annotated[Refund2, Dep()]
    words: str


class Pinned(Node):
    node_config = NodeConfig(lm="offline")
    words: str


class Timed(Node):
    node_config = NodeConfig(timeout=5)
    words: str


class Patient(Node):
    node_config = NodeConfig(retries=5)
    words: str


class Tooled(Node):
    node_config = NodeConfig(tools=[get_fee])
    words: str


class ByTools(Answers):
    takes_tools = True


APART = [NeedsMore, PerVisit, WithSub, Pinned, Timed, Patient, Tooled]


@pytest.mark.parametrize("candidate", APART)
async def test_what_is_not_there_or_goes_its_own_way_takes_two_calls(candidate):
    start = fork(candidate)
    lm = ByTools({"choice": "Reply"}, {"words": "x"})
    result = await run(lm, start=start())

    assert lm.kinds == ["choose", "fill"]
    assert result.result == Reply(words="x")


@pytest.mark.parametrize("candidate", [NeedsMore, Timed, Patient])
async def test_what_is_there_or_goes_the_routing_nodes_way_takes_one(candidate):
    config = {"timeout": 5} if candidate is Timed else {"retries": 5} if candidate is Patient else {}
    lm = Answers(decision("Reply", words="x"))
    await run(lm, start=fork(candidate, **config)(), provide={get_other: 9})

    assert lm.kinds == ["decide"]


async def test_with_an_override_the_pinned_lm_is_not_another():
    start = fork(Pinned)
    graph = Graph(start=start, routing="one-call")
    lm = Answers(decision("Pinned", words="x"))
    with graph.override(lm=lm):
        await graph.arun(start())

    assert lm.kinds == ["decide"]


async def test_a_value_that_does_not_fit_fails_the_visit_only_if_it_is_chosen():
    def get_text() -> Any:
        return "no number"

    class Misfit(Node):
        fee: Annotated[int, Dep(get_text)]
        words: str

    class Start(Node):
        text: Annotated[str, Dep(get_text)]

        async def __call__(self) -> Misfit | Reply: ...

    lm = Answers({"choice": "Reply"}, {"words": "x"})
    assert (await run(lm, start=Start())).result == Reply(words="x")

    with pytest.raises(DepError, match=r"Misfit\.fee"):
        await run(Answers({"choice": "Misfit"}), start=Start())


async def test_candidates_without_plain_fields_are_only_chosen():
    class Yes(Node):
        fee: Annotated[int, Dep(get_fee)]

    class No(Node):
        pass

    class Start(Node):
        fee: Annotated[int, Dep(get_fee)]

        async def __call__(self) -> Yes | No: ...

    lm = Answers({"choice": "Yes"})
    result = await run(lm, start=Start())

    assert result.result == Yes(fee=3)
    assert lm.kinds == ["choose"]


async def test_a_candidate_without_plain_fields_may_be_chosen_beside_others():
    class Yes(Node):
        fee: Annotated[int, Dep(get_fee)]

    class Start(Node):
        fee: Annotated[int, Dep(get_fee)]

        async def __call__(self) -> Yes | Reply: ...

    lm = Answers({"decision": {"choice": "Yes"}})

    assert (await run(lm, start=Start())).result == Yes(fee=3)
    assert lm.kinds == ["decide"]


# --- Who says it ---


CASES = [
    (None, None, None, "two"),
    ("one-call", None, None, "one"),
    (None, "one-call", None, "one"),
    (None, None, "one-call", "one"),
    ("two-call", "one-call", None, "two"),
    ("one-call", "two-call", None, "one"),
    (None, "two-call", "one-call", "two"),
    (None, "one-call", "two-call", "two"),
    ("one-call", None, "two-call", "two"),
]


@pytest.mark.parametrize(("node", "of_graph", "own", "calls"), CASES)
async def test_the_node_comes_before_the_graph_and_the_lm_but_one_that_cannot_never_does(node, of_graph, own, calls):
    start = fork(Refund2, routing=node)
    answers = [decision("Reply", words="x")] if calls == "one" else [{"choice": "Reply"}, {"words": "x"}]
    lm = Answers(*answers, routing=own)
    await Graph(start=start, routing=of_graph).arun(start(), lm=lm)

    assert len(lm.requests) == (1 if calls == "one" else 2)


@pytest.mark.parametrize("make", [lambda: NodeConfig(routing="three"), lambda: Graph(start=Reply, routing="three")])
def test_there_are_two_ways(make: Callable[[], Any]):
    with pytest.raises(ValueError, match="routing='three' is neither 'one-call' nor 'two-call'"):
        make()


async def test_an_lm_of_four_methods_is_asked_in_two_calls():
    class Plain:
        def __init__(self):
            self.lm = ScriptedLM({Reply: {"words": "x"}}, routes={Ticket: Reply})
            self.choose_type, self.fill = self.lm.choose_type, self.lm.fill
            self.make, self.decide = self.lm.make, self.lm.decide

    result = await run(Plain())

    assert result.result == Reply(words="x")
    assert result.usage.requests == 2


async def test_a_script_means_the_same_in_both_ways():
    with ScriptedLM({"1:Reply/fill": {"words": "x"}}, routes={"0:Ticket/route": Reply}) as lm:
        assert (await run(lm)).result == Reply(words="x")


def test_a_graph_tells_of_a_node_that_can_never_route_in_one_call():
    start = fork(Tooled, routing="one-call")

    assert Graph(start=start).validate() == [
        "Fork: routing='one-call' takes two calls, since Tooled has tools.",
    ]
    assert Graph(start=fork(Tooled), routing="one-call").validate() == []


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (PerVisit, "is visited before fee can be made"),
        (WithSub, "is visited before sub can be made"),
        (Pinned, "has another LM"),
        (Timed, "has another timeout"),
        (Patient, "has another retries"),
    ],
)
def test_it_says_why(candidate, why):
    [line] = Graph(start=fork(candidate, routing="one-call")).validate()

    assert line == f"Fork: routing='one-call' takes two calls, since {candidate.__name__} {why}."


# --- What is told ---


async def test_the_call_is_told_at_the_route_and_the_visit_without_one():
    events = []
    await run(Answers(decision("Elsewhere"), REFUND), on_event=events.append)

    asked = [each for each in events if isinstance(each, LMCallStarted)]
    assert [(each.key, each.kind, each.target) for each in asked] == [
        ("0:Ticket/route", "decide", "Ticket"),
        ("0:Ticket/route#2", "decide", "Ticket"),
    ]
    assert asked[0].offered == ("Refund", "Reply", None)
    answered = [each for each in events if isinstance(each, LMCallFinished)]
    assert [each.is_accepted for each in answered] == [False, True]
    assert answered[1].request.kind == "decide"
    [route] = [each for each in events if isinstance(each, RouteChosen)]
    assert (route.key, route.chosen, route.by) == ("0:Ticket/route", "Refund", "lm")
    visited = [each for each in events if isinstance(each, NodeFinished)][1]
    origins = {name: (origin.kind, origin.key) for name, origin in visited.origins.items()}
    assert origins == {
        "fee": ("dep", "0:Ticket/fee"),
        "said": ("recall", "0:Ticket"),
        "amount": ("lm", "0:Ticket/route"),
        "to": ("lm", "0:Ticket/route"),
    }


async def test_of_an_answer_being_written_the_fields_are_told():
    class Streaming(Answers):
        async def generate(self, request, on_partial=None):
            for part in ({}, {"decision": {}}, decision("Reply"), decision("Reply", words="x")):
                on_partial(part)
            return await super().generate(request)

    events = []
    await run(Streaming(decision("Reply", words="xy")), on_event=events.append)

    assert [(each.key, each.values) for each in events if isinstance(each, FieldDelta)] == [
        ("0:Ticket/route", {"words": "x"})
    ]


# --- Other LMs ---


async def test_offline_answers_the_same_in_one_call_as_in_two():
    one, two = [
        await Graph(start=Ticket, routing=routing).arun(Ticket(text="?"), lm=OfflineLM())
        for routing in ("one-call", "two-call")
    ]

    assert one.trace == two.trace
    assert (one.usage.requests, two.usage.requests) == (1, 2)


async def test_of_several_lms_the_next_is_asked_in_one_call_too():
    result = await run(FallbackLM(Answers(LMConnectionError("busy")), Answers(REFUND)))

    assert result.result.amount == 20
    assert result.usage.requests == 2


async def test_several_lms_take_two_calls_where_one_of_them_must():
    lm = Answers({"choice": "Reply"}, {"words": "x"})
    result = await run(FallbackLM(lm, ScriptedLM()))

    assert result.result == Reply(words="x")
    assert FallbackLM(Answers(routing="one-call"), OfflineLM()).routing == "one-call"
    assert FallbackLM(OfflineLM(), Answers(routing="one-call")).routing is None


async def test_a_recording_is_replayed_in_the_same_way(tmp_path):
    file = tmp_path / "cassette.json"
    of_two_ways = Graph(start=Ticket)
    start = Ticket(text="It broke.")
    recorded = await of_two_ways.arun(start, lm=RecordingLM(Answers(REFUND, routing="one-call"), file))
    replayed = await of_two_ways.arun(start, lm=ReplayLM(file))

    assert replayed.trace == recorded.trace
    assert replayed.usage.requests == 1


async def test_a_body_that_lets_the_lm_decide_is_answered_in_one_call():
    class Body(Node):
        async def __call__(self, lm: LM) -> NeedsMore | Reply | None:
            decided = await lm.decide(self)
            assert isinstance(decided, NeedsMore | Reply | None)
            return decided

    lm = Answers(decision("NeedsMore", words="x"))
    result = await run(lm, start=Body())

    assert result.result == NeedsMore(other=4, words="x")
    assert lm.kinds == ["decide"]


def test_an_lm_says_whether_it_can():
    assert isinstance(OfflineLM(), OneCallLM)
    assert one_call(OfflineLM(), "one-call") is not None
    assert one_call(OfflineLM()) is None
    assert one_call(ScriptedLM(), "one-call") is None


async def test_runs_at_once_keep_their_nodes_apart():
    class Echo(BaseLM):
        async def generate(self, request, on_partial=None):
            await asyncio.sleep(0)
            return LMResponse(decision("Reply", words=request.source["text"]))

    lm = Echo()
    results = await asyncio.gather(*[graph.arun(Ticket(text=str(number)), lm=lm) for number in range(20)])

    assert [result.result.words for result in results] == [str(number) for number in range(20)]


async def test_a_loop_decides_at_each_round():
    class Round(Node):
        number: int
        before: Annotated[int, Dep(get_fee)]

        async def __call__(self) -> "Round | Reply": ...

    class Counting(BaseLM):
        async def generate(self, request, on_partial=None):
            number = request.source["number"] + 1
            more = decision("Round", number=number) if number < 5 else decision("Reply", words="done")
            return LMResponse(more)

    result = await Graph(start=Round, routing="one-call").arun(Round(number=0), lm=Counting())

    assert [getattr(node, "number", None) for node in result.trace] == [0, 1, 2, 3, 4, None]
    assert result.usage.requests == 5


class Shop(Node):
    """Both ways from here need something to be made first."""

    async def __call__(self) -> "Swap | Repair": ...


def get_order() -> str:
    return "umbrella"


async def get_parts() -> list[str]:
    return ["spring"]


async def get_price(parts: Annotated[list[str], Dep(get_parts)]) -> int:
    return 3 * len(parts)


class Swap(Node):
    order: str = Dep(get_order)
    words: str


class Repair(Node):
    price: int = Dep(get_price)
    words: str


@pytest.mark.parametrize(("prefetch", "kinds"), [("certain", ["choose", "fill"]), ("candidates", ["decide"])])
async def test_what_candidates_need_is_made_first_where_they_are_prefetched(prefetch, kinds):
    lm = (
        Answers({"choice": "Repair"}, {"words": "ok"})
        if prefetch == "certain"
        else Answers(decision("Repair", words="ok"))
    )
    graph = Graph(start=Shop, prefetch=prefetch, routing="one-call")
    events = []

    result = await graph.arun(Shop(), lm=lm, on_event=events.append)

    assert lm.kinds == kinds
    assert result.result == Repair(price=3, words="ok")
    made = [event.key for event in events if type(event).__name__ == "DepFinished"]
    assert made == ["1:Repair/price/parts", "1:Repair/price"]


async def test_a_candidate_whose_dependency_is_not_to_be_prefetched_takes_two_calls_at_once():
    began = []

    def get_key() -> str:
        return "key"

    async def get_other() -> str:
        began.append("get_other")
        return "other"

    class Here(Node):
        async def __call__(self) -> "Left | Right": ...

    class Left(Node):
        key: str = Dep(get_key, prefetch=False)
        words: str

    class Right(Node):
        other: str = Dep(get_other)
        words: str

    lm = Answers({"choice": "Left"}, {"words": "ok"})

    result = await Graph(start=Here, prefetch="candidates", routing="one-call").arun(Here(), lm=lm)

    assert lm.kinds == ["choose", "fill"]
    assert result.result == Left(key="key", words="ok")


async def test_a_candidate_whose_dependency_fails_is_an_error_only_if_it_is_chosen():
    def fail() -> str:
        raise ValueError("no")

    class Here(Node):
        async def __call__(self) -> "Left | Right": ...

    class Left(Node):
        key: str = Dep(fail)
        words: str

    class Right(Node):
        words: str

    graph = Graph(start=Here, prefetch="candidates", routing="one-call")
    result = await graph.arun(Here(), lm=Answers({"choice": "Right"}, {"words": "ok"}))

    assert result.result == Right(words="ok")
    with pytest.raises(DepError):
        await graph.arun(Here(), lm=Answers({"choice": "Left"}, {"words": "ok"}))
