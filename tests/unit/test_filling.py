"""BaseLM: what a model is shown, what of its answers is accepted, and what happens to the rest."""

import asyncio
import json
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, HttpUrl, ValidationError, field_validator, model_validator
from running import finish

from weft import (
    BaseLM,
    ChoiceError,
    Dep,
    DepError,
    FillError,
    Graph,
    LMError,
    LMResponse,
    LMTimeoutError,
    Node,
    NodeConfig,
    Recall,
    UnresolvedFieldError,
    Usage,
)
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Answers(BaseLM):
    """Gives the answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers, retries=2):
        self.answers = list(answers)
        self.requests = []
        self.retries = retries

    async def generate(self, request, on_partial=None):
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return LMResponse(answer, Usage(1, 10, 5, 0.01))


class Colour(Enum):
    """For people."""

    RED = "red"


class Address(BaseModel):
    """For people."""

    street: str = Field(description="with the number")


class Source(Node):
    """For people."""

    text: str
    secret: str = Field("s", exclude=True)
    when: date = date(2025, 1, 2)
    made: Annotated[dict[str, Any], Dep(lambda: {"day": date(2025, 1, 3)})]


class Target(Node):
    """For people."""

    given: Annotated[Address, Dep(lambda: Address(street="x"))]
    hidden: Annotated[str, Dep(lambda: "h")] = Field(exclude=True)
    source: Annotated[Source, Recall()]
    home: Address = Field(description="where to")
    colour: Colour = Colour.RED
    words: str = Field(min_length=2, description="a few")


# --- What the model is shown ---


async def test_to_fill_a_model_is_shown_exactly_these_things():
    lm = Answers({"home": {"street": "Main"}, "words": "ok"})
    source = Source(text="hi", made={"day": date(2025, 1, 3)})
    resolved = {"given": Address(street="y"), "source": source, "hidden": "h"}
    filled = await lm.fill(Target, resolved, "Write a target.", source)

    [request] = lm.requests
    assert (request.kind, request.target, request.instruction) == ("fill", "Target", "Write a target.")
    assert request.source_name == "Source"
    assert request.source == {"text": "hi", "when": "2025-01-02", "made": {"day": "2025-01-03"}}
    assert request.inputs["given"] == {"street": "y"}
    assert "hidden" not in request.inputs
    assert request.options == ()
    assert request.rejected == ()
    assert sorted(request.schema["properties"]) == ["colour", "home", "words"]
    assert request.schema["required"] == ["home", "words"]
    assert request.schema["properties"]["words"] == {"description": "a few", "minLength": 2, "type": "string"}
    assert "For people" not in json.dumps(request.schema)
    assert "with the number" in json.dumps(request.schema)
    assert filled.source is source


async def test_what_is_not_resolved_yet_or_excluded_is_not_shown():
    lm = Answers({"home": {"street": "Main"}, "words": "ok"})
    await lm.fill(Target, {}, "Write.", Source(text="hi"))

    assert lm.requests[0].source == {"text": "hi", "when": "2025-01-02"}
    assert lm.requests[0].inputs == {}


async def test_without_a_source_none_is_shown():
    lm = Answers({"home": {"street": "Main"}, "words": "ok"})
    await lm.fill(Target, {}, "Write.")

    assert (lm.requests[0].source_name, lm.requests[0].source) == (None, {})


class Fork(Node):
    text: str

    async def __call__(self) -> "Left | Right | None": ...


class Left(Node):
    """For people."""

    node_config = NodeConfig(instruction="Go left.")
    made: Annotated[str, Dep(lambda: "m")] = Field(description="never shown")
    words: str = Field(description="what to say")
    more: int = 3


class Right(Node):
    words: str


async def test_to_choose_a_model_is_shown_the_routing_node_and_each_candidate():
    lm = Answers({"choice": "Right"})
    chosen = await lm.choose_type([Left, Right, None], Fork(text="hi"))

    assert chosen is Right
    [request] = lm.requests
    assert (request.kind, request.target) == ("choose", "Fork")
    assert (request.source_name, request.source) == ("Fork", {"text": "hi"})
    assert request.schema["properties"]["choice"]["enum"] == ["Left", "Right", "None"]
    left, right, stop = request.options
    assert (left.name, left.instruction, left.fields) == ("Left", "Go left.", {"words": "what to say", "more": ""})
    assert (right.name, right.instruction, right.fields) == ("Right", "Right", {"words": ""})
    assert (stop.name, stop.type, stop.fields) == ("None", None, {})
    assert "For people" not in repr(request)


async def test_the_schema_and_instruction_stay_the_same_while_sources_change():
    lm = Answers({"words": "w"})
    await lm.fill(Right, {}, "Right", Fork(text="a"))
    await lm.fill(Right, {}, "Right", Fork(text="b"))

    first, second = lm.requests
    assert json.dumps(first.schema) == json.dumps(second.schema)
    assert first.source != second.source


# --- What is accepted ---


class Everything(Node):
    home: Address
    homes: list[Address]
    by_name: dict[str, Address]
    maybe: Address | None
    either: Address | int
    colour: Colour
    day: date
    url: HttpUrl
    mood: Literal["good", "bad"]
    pair: tuple[int, str]


ANSWER = {
    "home": {"street": "a"},
    "homes": [{"street": "b"}],
    "by_name": {"x": {"street": "c"}},
    "maybe": None,
    "either": {"street": "d"},
    "colour": "red",
    "day": "2025-02-03",
    "url": "https://example.com/",
    "mood": "good",
    "pair": [1, "x"],
}


@pytest.mark.parametrize("answer", [ANSWER, json.dumps(ANSWER), json.dumps(ANSWER).encode()], ids=type)
async def test_values_become_what_the_types_say_from_json_values_and_text(answer):
    filled = await Answers(answer).fill(Everything, {}, "Write.")

    assert type(filled) is Everything
    assert filled.home == Address(street="a")
    assert filled.homes == [Address(street="b")]
    assert filled.by_name == {"x": Address(street="c")}
    assert filled.either == Address(street="d")
    assert filled.colour is Colour.RED
    assert filled.day == date(2025, 2, 3)
    assert isinstance(filled.url, HttpUrl)
    assert filled.pair == (1, "x")


async def test_given_values_are_taken_as_they_are():
    address = Address.model_construct(street=5)
    source = Source(text="t")
    answer = {"home": {"street": "Main"}, "words": "ok"}
    filled = await Answers(answer).fill(Target, {"given": address, "source": source}, "Write.")

    assert filled.given is address
    assert filled.source is source
    with pytest.raises(UnresolvedFieldError):
        _ = filled.hidden


async def test_the_model_cannot_write_dep_and_recall_fields():
    answer = {"words": "ok", "home": {"street": "m"}, "given": {"street": "forged"}, "source": {"text": "forged"}}
    lm = Answers(answer)
    kept = await lm.fill(Target, {"given": Address(street="real")}, "Write.")
    unresolved = await lm.fill(Target, {}, "Write.")

    assert kept.given.street == "real"
    assert "source" not in kept.__dict__
    assert "given" not in unresolved.__dict__
    assert "given" not in unresolved.model_fields_set


async def test_the_model_cannot_write_an_injected_field_by_its_alias():
    class Aliased(Node):
        secret: Annotated[str, Dep(lambda: "s"), Field(alias="theSecret")]
        choice: Annotated[str, Dep(lambda: "s"), Field(validation_alias="other_name")]
        words: str

    filled = await Answers({"words": "w", "theSecret": "forged", "other_name": "forged"}).fill(Aliased, {}, "Write.")

    assert "secret" not in filled.__dict__
    assert "choice" not in filled.__dict__


async def test_a_validator_sees_what_was_injected():
    class Checked(Node):
        limit: Annotated[int, Dep(lambda: 3)]
        words: str

        @model_validator(mode="after")
        def fits(self):
            if len(self.words) > self.limit:
                raise ValueError(f"at most {self.limit} letters")
            return self

    lm = Answers({"words": "too long"}, {"words": "ok"})
    filled = await lm.fill(Checked, {"limit": 3}, "Write.")

    assert (filled.words, filled.limit) == ("ok", 3)
    assert "at most 3 letters" in lm.requests[1].rejected[0].reasons[0]


async def test_a_node_without_plain_fields_is_not_asked_for():
    class Empty(Node):
        made: Annotated[int, Dep(lambda: 1)]

    lm = Answers({})
    filled = await lm.fill(Empty, {"made": 4}, "Write.")

    assert filled.made == 4
    assert lm.requests == []


# --- What is not ---


async def test_a_rejected_answer_goes_back_with_the_reasons_and_the_repaired_one_is_taken():
    class Picky(Node):
        number: int = Field(ge=5)
        word: str

        @field_validator("word")
        @classmethod
        def lower(cls, value):
            if value != value.lower():
                raise ValueError("only lower case")
            return value

    bad = {"number": 1, "word": "BAD"}
    lm = Answers(bad, {"number": 5, "word": "good"})
    filled = await lm.fill(Picky, {}, "Write.")

    assert (filled.number, filled.word) == (5, "good")
    first, second = lm.requests
    assert first.rejected == ()
    [rejection] = second.rejected
    assert rejection.answer == bad
    assert any("number" in reason and "greater than or equal to 5" in reason for reason in rejection.reasons)
    assert any("word" in reason and "only lower case" in reason for reason in rejection.reasons)
    assert (second.schema, second.source, second.instruction) == (first.schema, first.source, first.instruction)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("not json at all", "not JSON"),
        ('{"words": "cut of', "not JSON"),
        ("[1, 2]", "object"),
        (["words"], "object"),
        ("null", "object"),
        (None, "object"),
        (5, "object"),
        ({}, "words"),
        ({"words": 5}, "words"),
        ({"words": None}, "words"),
        ({"words": object()}, "words"),
        (b"\xff\xfe", "not JSON"),
        ("", "not JSON"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_no_answer_is_fed_back_and_then_a_fill_error(answer, reason):
    lm = Answers(answer, retries=1)
    with pytest.raises(FillError) as caught:
        await lm.fill(Right, {}, "Write.")

    assert len(lm.requests) == 2
    assert len(caught.value.attempts) == 2
    assert reason in caught.value.attempts[0].reasons[0]
    assert caught.value.node_type is Right
    assert "\n" not in str(caught.value)


async def test_a_lone_surrogate_in_an_answer_is_fed_back_and_no_crash():
    lm = Answers({"words": "\ud800"}, {"words": "fine"})
    filled = await lm.fill(Right, {}, "Write.")

    assert filled.words in ("fine", "\ud800")


@pytest.mark.parametrize(("own", "asked"), [(None, 3), (0, 1), (4, 5)])
async def test_node_config_says_how_often_an_answer_goes_back(own, asked):
    class Picky(Node):
        node_config = NodeConfig(retries=own)
        number: int

    lm = Answers({"number": "many"})
    with pytest.raises(FillError) as caught:
        await lm.fill(Picky, {}, "Write.")

    assert len(lm.requests) == asked == len(caught.value.attempts)
    assert [len(request.rejected) for request in lm.requests] == list(range(asked))


async def test_retries_are_inherited_by_subclasses_of_a_node():
    class Base(Node):
        node_config = NodeConfig(retries=0)

    class Picky(Base):
        node_config = NodeConfig(instruction="Write.")
        number: int

    lm = Answers({"number": "many"})
    with pytest.raises(FillError):
        await lm.fill(Picky, {}, "Write.")

    assert len(lm.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"choice": "Middle"},
        {"choice": "left"},
        {"choice": "Left | Right"},
        {"choice": None},
        {"choice": ["Left"]},
        {"choose": "Left"},
        "Left",
        {},
        None,
    ],
    ids=repr,
)
async def test_a_choice_outside_the_offer_is_fed_back_and_then_a_choice_error_never_the_first(answer):
    lm = Answers(answer)
    with pytest.raises(ChoiceError) as caught:
        await lm.choose_type([Left, Right], Fork(text="t"))

    assert len(lm.requests) == 3
    assert lm.requests[1].rejected[0].answer == answer
    assert caught.value.offered == ("Left", "Right")
    assert caught.value.answered == answer
    assert len(caught.value.attempts) == 3
    assert caught.value.node_type is Fork


@pytest.mark.parametrize("answer", ["None", None])
async def test_none_is_chosen_where_it_is_offered(answer):
    assert await Answers({"choice": answer}).choose_type([Left, None], Fork(text="t")) is None


@pytest.mark.parametrize("answer", [{}, {"next": "Left"}, {"choose": None}, {"None": None}, "{}"], ids=repr)
async def test_an_answer_without_a_choice_is_a_choice_error_also_where_none_is_offered(answer):
    lm = Answers(answer)
    with pytest.raises(ChoiceError) as caught:
        await lm.choose_type([Left, None], Fork(text="t"))

    assert len(lm.requests) == 3
    assert caught.value.answered == answer
    assert caught.value.node_type is Fork


async def test_none_is_refused_where_it_is_not_offered():
    with pytest.raises(ChoiceError):
        await Answers({"choice": "None"}).choose_type([Left, Right], Fork(text="t"))


async def test_a_choice_as_json_text_is_accepted_and_a_repaired_one_too():
    lm = Answers('{"choice": "Nowhere"}', '{"choice": "Left"}')

    assert await lm.choose_type([Left, Right], Fork(text="t")) is Left
    assert "Nowhere" in lm.requests[1].rejected[0].reasons[0]


async def test_make_writes_from_the_node_and_leaves_dependencies_open():
    lm = Answers({"words": "w"})
    made = await lm.make(Fork(text="t"), Left)

    assert (made.words, made.more) == ("w", 3)
    assert lm.requests[0].instruction == "Go left."
    assert lm.requests[0].source == {"text": "t"}
    with pytest.raises(UnresolvedFieldError):
        _ = made.made


async def test_decide_chooses_and_writes():
    lm = Answers({"choice": "Right"}, {"words": "w"})
    assert await lm.decide(Fork(text="t")) == Right(words="w")
    assert [request.kind for request in lm.requests] == ["choose", "fill"]

    assert await Answers({"choice": "None"}).decide(Fork(text="t")) is None


async def test_decide_does_not_ask_where_there_is_one_way():
    class One(Node):
        async def __call__(self) -> "Right": ...

    lm = Answers({"words": "w"})

    assert await lm.decide(One()) == Right(words="w")
    assert [request.kind for request in lm.requests] == ["fill"]


# --- In a run ---


class Begin(Node):
    async def __call__(self) -> "Right": ...


class BeginFork(Node):
    async def __call__(self) -> "Left | Right": ...


class Strict(Node):
    made: Annotated[int, Dep(lambda: 1)]

    @model_validator(mode="after")
    def fits(self):
        raise ValueError("never fits")


async def test_a_node_with_nothing_to_write_whose_validator_rejects_it_is_a_fill_error_that_names_it():
    class Start(Node):
        async def __call__(self) -> "Strict": ...

    with pytest.raises(FillError, match="never fits") as caught:
        await finish(Graph(start=Start).arun(Start()))

    assert caught.value.node_type is Strict
    assert caught.value.path == ("Strict",)
    assert isinstance(caught.value.__cause__, ValidationError)


async def test_a_sub_node_with_nothing_to_write_whose_validator_rejects_it_is_a_dep_error_of_a_fill_error():
    class Only(Node):
        sub: Annotated[Strict, Dep()]

    with pytest.raises(DepError, match="never fits") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert (caught.value.node_type, caught.value.field_name) == (Only, "sub")
    assert isinstance(caught.value.__cause__, FillError)
    assert caught.value.__cause__.node_type is Strict


async def test_a_node_with_nothing_to_write_that_is_rejected_by_hand_is_a_fill_error_too():
    lm = Answers({})
    with pytest.raises(FillError, match="never fits") as caught:
        await lm.fill(Strict, {"made": 1}, "Write.")

    assert caught.value.node_type is Strict
    assert lm.requests == []


async def test_every_attempt_is_counted_also_of_a_call_that_fails():
    class Picky(Node):
        async def __call__(self) -> "Number":
            with pytest.raises(FillError) as caught:
                await graph.arun(Begin2())
            assert caught.value.node_type is Number
            return Number(number=1)

    class Begin2(Node):
        async def __call__(self) -> "Number": ...

    class Number(Node):
        number: int

    graph = Graph(start=Begin2)
    result = await finish(Graph(start=Picky).arun(Picky(), lm=Answers({"number": "many"})))

    assert result.usage == Usage(3, 30, 15, pytest.approx(0.03))


async def test_a_fill_error_in_a_run_has_its_trace():
    with pytest.raises(FillError) as caught:
        await finish(Graph(start=Begin).arun(Begin(), lm=Answers({})))

    assert [type(node) for node in caught.value.trace] == [Begin]
    assert caught.value.node_type is Right


async def test_a_choice_error_in_a_run_has_its_trace():
    with pytest.raises(ChoiceError) as caught:
        await finish(Graph(start=BeginFork).arun(BeginFork(), lm=Answers({"choice": "Nowhere"})))

    assert [type(node) for node in caught.value.trace] == [BeginFork]
    assert caught.value.node_type is BeginFork


async def test_a_nodes_timeout_covers_its_attempts_and_is_an_lm_timeout_error():
    cancelled = []

    class Hanging(BaseLM):
        async def generate(self, request, on_partial=None):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(request.target)

    class Slow(Node):
        node_config = NodeConfig(timeout=0.02)
        words: str

    class Start(Node):
        async def __call__(self) -> "Slow": ...

    with pytest.raises(LMTimeoutError, match=r"0\.02") as caught:
        await finish(Graph(start=Start).arun(Start(), lm=Hanging()))

    assert caught.value.is_retryable
    assert caught.value.node_type is Slow
    assert caught.value.key == "1:Slow/fill"
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert cancelled == ["Slow"]


async def test_a_timeout_error_of_the_back_ends_own_is_not_the_nodes():
    class Broken(BaseLM):
        async def generate(self, request, on_partial=None):
            raise TimeoutError("the socket's")

    class Slow(Node):
        node_config = NodeConfig(timeout=5)
        words: str

    class Start(Node):
        async def __call__(self) -> "Slow": ...

    with pytest.raises(TimeoutError, match="the socket's"):
        await finish(Graph(start=Start).arun(Start(), lm=Broken()))


async def test_the_timeout_of_a_routing_node_covers_its_choice():
    class Hanging(BaseLM):
        async def generate(self, request, on_partial=None):
            await asyncio.Event().wait()

    class Start(Node):
        node_config = NodeConfig(timeout=0.02)

        async def __call__(self) -> "Left | Right": ...

    with pytest.raises(LMTimeoutError):
        await finish(Graph(start=Start).arun(Start(), lm=Hanging()))


async def test_an_lm_error_is_raised_as_it_is_with_its_place():
    class Broken(BaseLM):
        async def generate(self, request, on_partial=None):
            raise LMError("the key is wrong", "Get another.", backend="mine")

    with pytest.raises(LMError, match="1:Right/fill: the key is wrong") as caught:
        await finish(Graph(start=Begin).arun(Begin(), lm=Broken()))

    assert caught.value.key == "1:Right/fill"
    assert caught.value.node_type is Right
    assert [type(node) for node in caught.value.trace] == [Begin]


class Foreign:
    """An LM that shares nothing with BaseLM."""

    def __init__(self, *, choice=None, filled=None):
        self.choice = choice
        self.filled = filled

    async def choose_type(self, types, context):
        return self.choice

    async def fill(self, target, resolved, instruction, source=None):
        return self.filled

    async def make(self, node, target):
        return self.filled

    async def decide(self, node):
        return self.filled


@pytest.mark.parametrize("choice", [Fork, None, "Left", Left(words="w"), object])
async def test_a_foreign_lm_that_chooses_outside_the_offer_is_a_choice_error(choice):
    with pytest.raises(ChoiceError) as caught:
        await finish(Graph(start=BeginFork).arun(BeginFork(), lm=Foreign(choice=choice)))

    assert caught.value.offered == ("Left", "Right")


@pytest.mark.parametrize("filled", [None, Left(words="w"), {"words": "w"}, Right, "w"])
async def test_a_foreign_lm_that_fills_another_class_is_a_fill_error(filled):
    with pytest.raises(FillError, match="Right"):
        await finish(Graph(start=Begin).arun(Begin(), lm=Foreign(filled=filled)))


async def test_what_a_foreign_lm_puts_into_injected_fields_is_replaced():
    class Last(Node):
        made: Annotated[str, Dep(lambda: "real")]
        words: str

    class Start(Node):
        async def __call__(self) -> "Last": ...

    lm = Foreign(filled=Last(words="w", made="forged"))
    result = await finish(Graph(start=Start).arun(Start(), lm=lm))

    assert (result.result.made, result.result.words) == ("real", "w")


async def test_a_foreign_lm_that_returns_one_object_twice_does_not_change_what_is_in_the_trace():
    ticks = iter(range(9))

    class Start(Node):
        async def __call__(self) -> "Loop": ...

    class Loop(Node):
        tick: Annotated[int, Dep(lambda: next(ticks), per="visit")]
        words: str

        async def __call__(self) -> "type[Loop] | None":
            return Loop if self.tick < 2 else None

    result = await finish(Graph(start=Start).arun(Start(), lm=Foreign(filled=Loop(words="w"))))

    assert [node.tick for node in result.trace[1:]] == [0, 1, 2]


async def test_node_config_instruction_reaches_the_model():
    lm = Answers({"words": "w"})
    await finish(Graph(start=BeginLeft).arun(BeginLeft(), lm=lm))

    assert lm.requests[0].instruction == "Go left."
    assert lm.requests[0].inputs == {"made": "m"}
    assert lm.requests[0].place == "1:Left/fill"


class BeginLeft(Node):
    async def __call__(self) -> "Left": ...


async def test_a_sub_node_is_shown_the_source_node_and_its_own_inputs_only():
    class Sub(Node):
        made: Annotated[str, Dep(lambda: "for sub")]
        words: str

    class Start(Node):
        text: str

        async def __call__(self) -> "Last": ...

    class Last(Node):
        sub: Annotated[Sub, Dep()]
        other: Annotated[str, Dep(lambda: "for last")]
        words: str

    lm = Answers({"words": "w"})
    await finish(Graph(start=Start).arun(Start(text="t"), lm=lm))

    sub, last = lm.requests
    assert (sub.target, sub.source, sub.inputs) == ("Sub", {"text": "t"}, {"made": "for sub"})
    assert last.inputs == {"sub": {"made": "for sub", "words": "w"}, "other": "for last"}
    assert last.source == {"text": "t"}


async def test_a_scripted_fill_is_validated_like_any_other():
    with pytest.raises(FillError):
        await finish(Graph(start=Begin).arun(Begin(), lm=ScriptedLM({Right: {"words": 5}})))
