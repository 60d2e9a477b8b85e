"""RecordingLM and ReplayLM: a replayed run is the recorded one; what a miss says; what is never written."""

import asyncio
import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr, create_model

import weft
from weft import (
    LM,
    BaseLM,
    CassetteError,
    Dep,
    FallbackLM,
    FillError,
    Graph,
    LMRateLimitError,
    LMRefusalError,
    LMRequest,
    LMResponse,
    Node,
    NodeConfig,
    OfflineLM,
    RecordingLM,
    ReplayLM,
    Usage,
)
from weft.events import LMCallFinished
from weft.lm import Option, Rejection
from weft.testing import CassetteMissError, ScriptedLM


class Begin(Node):
    message: str = "hello"

    async def __call__(self) -> "Answer | None": ...


class Answer(Node):
    words: str


graph = Graph(start=Begin)


class Counting(BaseLM):
    """Says the number of the request; raises what it is told to at some of them."""

    def __init__(self, errors=(), delays=()):
        self.errors = dict(errors)
        self.asked = 0

    async def generate(self, request, on_partial=None):
        self.asked += 1
        if self.asked in self.errors:
            raise self.errors[self.asked]
        usage = Usage(1, 10 * self.asked, 5, 0.25, 3)
        if request.kind == "choose":
            return LMResponse({"choice": request.options[0].name}, usage, "counting-1")
        return LMResponse(dict.fromkeys(request.schema["properties"], f"no. {self.asked}"), usage, "counting-1")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cassette.json"


def recordings(file):
    return json.loads(file.read_text("utf-8"))["recordings"]


def places(file):
    return [[answer["place"] for answer in each["answers"]] for each in recordings(file)]


def calls_of(graph, start, lm):
    """Run *graph*, and return the run and what was told of each call."""
    events: list[Any] = []
    result = graph.run(start, lm=lm, on_event=events.append)
    told = [
        (event.key, event.kind, event.status, event.request, event.answer, event.model, event.usage)
        for event in events
        if isinstance(event, LMCallFinished)
    ]
    return result, told


# --- Recorded and replayed


def test_a_replayed_run_is_the_recorded_one(file):
    recorded = calls_of(graph, Begin(), RecordingLM(Counting(), file))

    replayed = calls_of(graph, Begin(), ReplayLM(file))

    assert replayed[0].trace == recorded[0].trace == [Begin(), Answer(words="no. 2")]
    assert replayed[0].usage == recorded[0].usage == Usage(2, 30, 10, 0.5, 6)
    assert replayed[0].usage.by_model == recorded[0].usage.by_model
    assert replayed[1] == recorded[1]


def test_the_file_is_written_to_be_read(file):
    graph.run(Begin(), lm=RecordingLM(Counting(), file))

    assert file.read_text("utf-8").endswith("\n")
    assert recordings(file)[1] == {
        "question": {
            "kind": "fill",
            "target": "Answer",
            "instruction": "Answer",
            "schema": {"properties": {"words": {"type": "string"}}, "required": ["words"], "type": "object"},
            "source": {"message": "hello"},
            "source_name": "Begin",
        },
        "answers": [
            {
                "place": "1:Answer/fill",
                "data": {"words": "no. 2"},
                "model": "counting-1",
                "usage": {
                    "requests": 1,
                    "input_tokens": 20,
                    "output_tokens": 5,
                    "cost": 0.25,
                    "cached_tokens": 3,
                    "tool_calls": 0,
                },
            }
        ],
    }


def test_the_same_run_writes_the_same_file(file):
    graph.run(Begin(), lm=RecordingLM(Counting(), file))
    first = file.read_bytes()
    graph.run(Begin(), lm=RecordingLM(Counting(), file))

    assert file.read_bytes() == first
    assert [each.name for each in file.parent.iterdir()] == ["cassette.json"]


def test_texts_of_any_language_are_written_as_they_are(file):
    graph.run(Begin(message="blåbær 🫐"), lm=RecordingLM(Counting(), file))

    assert "blåbær 🫐" in file.read_text("utf-8")
    assert graph.run(Begin(message="blåbær 🫐"), lm=ReplayLM(file)).result.words == "no. 2"


def test_rejected_answers_are_replayed_with_what_followed_them(file):
    lm = ScriptedLM({"1:Answer/fill": {}, "1:Answer/fill#2": "no JSON", Answer: {"words": "x"}}, routes={Begin: Answer})

    recorded = calls_of(graph, Begin(), RecordingLM(lm, file))

    assert calls_of(graph, Begin(), ReplayLM(file))[1] == recorded[1]
    assert len(recorded[1]) == 4


def test_as_many_retries_are_made_as_the_recorded_lm_made(file):
    stubborn = ScriptedLM({Answer: {}}, routes={Begin: Answer})
    stubborn.retries = 4
    with pytest.raises(FillError):
        graph.run(Begin(), lm=RecordingLM(stubborn, file))

    with pytest.raises(FillError) as caught:
        graph.run(Begin(), lm=ReplayLM(file))
    assert len(caught.value.attempts) == 5


def test_a_refusal_is_replayed(file):
    refusal = LMRefusalError("it declined", "Ask something else.", backend="counting")
    with pytest.raises(LMRefusalError):
        graph.run(Begin(), lm=RecordingLM(Counting({2: refusal}), file))

    with pytest.raises(LMRefusalError, match=r"^1:Answer/fill: it declined. Ask something else.$") as caught:
        graph.run(Begin(), lm=ReplayLM(file))
    assert caught.value.backend == "counting"


def test_what_was_answered_before_a_failure_is_kept_and_the_failure_is_not(file):
    with pytest.raises(LMRateLimitError):
        graph.run(Begin(), lm=RecordingLM(Counting({2: LMRateLimitError("busy")}), file))

    assert places(file) == [["0:Begin/route"]]


async def test_a_cancelled_run_keeps_what_was_answered(file):
    began = asyncio.Event()

    class Waiting(Counting):
        async def generate(self, request, on_partial=None):
            if request.kind == "fill":
                began.set()
                await asyncio.Event().wait()
            return await super().generate(request, on_partial)

    run = asyncio.create_task(graph.arun(Begin(), lm=RecordingLM(Waiting(), file)))
    async with asyncio.timeout(5):
        await began.wait()
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    assert places(file) == [["0:Begin/route"]]


# --- The same question more than once


class Part(Node):
    words: str


class Parts(Node):
    async def __call__(self, lm: LM) -> "Report":
        made = await asyncio.gather(*(lm.make(self, Part) for _ in range(12)))
        return Report(words=[part.words for part in made])


class Report(Node):
    words: list[str]


class Shuffled(BaseLM):
    """Answers each with where it was asked, in the order that *ranks* say."""

    def __init__(self, ranks):
        self.ranks = iter(ranks)

    async def generate(self, request, on_partial=None):
        for _ in range(next(self.ranks)):
            await asyncio.sleep(0)
        return LMResponse({"words": request.place})


def test_of_the_same_question_asked_at_once_the_place_tells_which_answer_is_meant(file):
    words = Graph(start=Parts).run(Parts(), lm=RecordingLM(Shuffled(range(24, 0, -2)), file)).result.words

    assert len(set(words)) == 12
    assert places(file) == [words]  # make2 before make10
    assert Graph(start=Parts).run(Parts(), lm=ReplayLM(file)).result.words == words


def test_runs_one_after_another_get_their_answers_in_order_and_the_last_one_stays(file):
    lm = RecordingLM(Counting(), file)
    recorded = [graph.run(Begin(), lm=lm).result.words for _ in range(2)]

    replay = ReplayLM(file)

    assert recorded == ["no. 2", "no. 4"]
    assert [graph.run(Begin(), lm=replay).result.words for _ in range(3)] == ["no. 2", "no. 4", "no. 4"]


async def test_runs_at_once_into_one_file_lose_nothing(file):
    lm = RecordingLM(Counting(), file)

    runs = await asyncio.gather(*(graph.arun(Begin(message=str(number)), lm=lm) for number in range(8)))

    replay = ReplayLM(file)
    for number, run in enumerate(runs):
        assert (await graph.arun(Begin(message=str(number)), lm=replay)).result == run.result
    assert replay.unused() == []


async def test_threads_that_record_into_one_file_lose_nothing(file):
    lm = RecordingLM(OfflineLM(), file)

    await asyncio.gather(*(asyncio.to_thread(graph.run, Begin(message=str(each)), lm=lm) for each in range(8)))

    assert len(recordings(file)) == 16


def test_two_that_record_into_one_file_keep_each_others_answers(file):
    class Left(Node):
        node_config = NodeConfig(lm=RecordingLM(Counting(), file))
        words: str

    class Right(Node):
        node_config = NodeConfig(lm=RecordingLM(Counting(), file))
        words: str

    class Both(Node):
        left: Annotated[Left, Dep()]
        right: Annotated[Right, Dep()]

    Graph(start=Both).run(Both())

    assert places(file) == [["0:Both/left/fill"], ["0:Both/right/fill"]]


def test_a_question_that_has_moved_to_another_step_is_found(file):
    async def ask(lm: LM) -> str:
        return " ".join([(await lm.make(Begin(), Part)).words for _ in range(2)])

    class Before(Node):
        found: Annotated[str, Dep(ask)]

    class After(Node):
        async def __call__(self) -> Before: ...

    Graph(start=Before).run(Before(), lm=RecordingLM(Counting(), file))

    assert places(file) == [["0:Before/found/lm/make", "0:Before/found/lm/make2"]]
    moved = Graph(start=After).run(After(), lm=ReplayLM(file)).result
    assert moved.found == "no. 1 no. 2"


def test_lms_of_a_fallback_are_recorded_and_replayed_as_one(file):
    first = RecordingLM(Counting({1: LMRateLimitError("busy"), 2: LMRateLimitError("busy")}), file)
    second = RecordingLM(Counting(), file)

    recorded = graph.run(Begin(), lm=FallbackLM(first, second))

    assert graph.run(Begin(), lm=ReplayLM(file)).trace == recorded.trace


# --- What is kept, what is dropped


def test_recording_again_drops_what_is_not_asked_again(file):
    lm = RecordingLM(Counting(), file)
    for message in ("old", "hello"):
        graph.run(Begin(message=message), lm=lm)

    graph.run(Begin(), lm=RecordingLM(Counting(), file))

    assert [each["question"]["source"] for each in recordings(file)] == [{"message": "hello"}] * 2


def test_nothing_is_dropped_before_something_is_recorded(file):
    graph.run(Begin(), lm=RecordingLM(Counting(), file))
    before = file.read_bytes()
    RecordingLM(Counting(), file)

    assert file.read_bytes() == before


def test_only_what_is_new_is_asked_and_pruning_drops_the_rest(file):
    first = RecordingLM(Counting(), file)
    for message in ("old", "hello"):
        graph.run(Begin(message=message), lm=first)
    model = Counting()
    lm = RecordingLM(model, file, only_new=True)

    assert graph.run(Begin(), lm=lm).result.words == "no. 4"
    assert model.asked == 0
    assert graph.run(Begin(message="new"), lm=lm).result.words == "no. 2"
    assert len(recordings(file)) == 6
    lm.prune()
    assert {each["question"]["source"]["message"] for each in recordings(file)} == {"hello", "new"}


def test_the_unused_are_told_by_their_places(file):
    graph.run(Begin(), lm=RecordingLM(Counting(), file))
    lm = ReplayLM(file)

    assert lm.unused() == ["0:Begin/route", "1:Answer/fill"]
    graph.run(Begin(), lm=lm)
    assert lm.unused() == []


# --- What a miss says


class Weather(BaseModel):
    temperature: int


BASE: dict[str, Any] = {
    "kind": "fill",
    "target": "Plan",
    "instruction": "Plan the day.",
    "schema": {
        "properties": {"vibe": {"type": "string", "description": "mood"}, "old": {"type": "integer"}},
        "required": ["vibe"],
        "$defs": {"Stop": {"properties": {"place": {"type": "string"}}}},
    },
    "source_name": "Ask",
    "source": {"text": "Why?"},
    "inputs": {"weather": {"temperature": 12, "winds": [1, 2]}},
    "options": (Option("Go", "Go.", {"where": "a town"}, None), Option("Stay", "Stay.", {}, None)),
    "rejected": (Rejection({"vibe": 1}, ("not a string",)),),
    "tools": (len,),
    "place": "1:Plan/fill",
}


def changed(**parts):
    return LMRequest(**{**BASE, **parts})


def schema(**vibe):
    fields = {**BASE["schema"]["properties"], "vibe": {**BASE["schema"]["properties"]["vibe"], **vibe}}
    return {**BASE["schema"], "properties": fields}


async def recorded(file, *requests):
    lm = RecordingLM(ScriptedLM({request.place: {"vibe": "x"} for request in requests}), file)
    for request in requests:
        await lm.generate(request)


async def missed(file, request):
    with pytest.raises(CassetteMissError) as caught:
        await ReplayLM(file).generate(request)
    return caught.value


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (
            {"schema": schema(description="mood read from the message")},
            "description of field `vibe` changed: 'mood' → 'mood read from the message'",
        ),
        ({"schema": schema(type="integer")}, "type of field `vibe` changed: 'string' → 'integer'"),
        ({"schema": schema(maxLength=9)}, "maxLength of field `vibe` is new: 9"),
        (
            {"schema": {**BASE["schema"], "properties": {"vibe": BASE["schema"]["properties"]["vibe"]}}},
            "field `old` is gone",
        ),
        (
            {"schema": {**BASE["schema"], "properties": {**BASE["schema"]["properties"], "top": {}}}},
            "field `top` is new",
        ),
        ({"schema": {**BASE["schema"], "required": ["vibe", "old"]}}, "field `old` must be written"),
        (
            {"schema": {**BASE["schema"], "$defs": {"Stop": {"properties": {"place": {"type": "integer"}}}}}},
            "type of field `Stop.place` changed: 'string' → 'integer'",
        ),
        ({"instruction": "Plan the night."}, "instruction changed: 'Plan the day.' → 'Plan the night.'"),
        ({"inputs": {"weather": {"temperature": 13, "winds": [1, 2]}}}, "input `weather.temperature` was 12, is 13"),
        ({"inputs": {"weather": {"temperature": 12, "winds": [1]}}}, "input `weather.winds[1]` is gone: 2"),
        ({"inputs": {**BASE["inputs"], "city": "Oslo"}}, "input `city` is new: 'Oslo'"),
        ({"source": {"text": "How?"}}, "input `Ask.text` was 'Why?', is 'How?'"),
        ({"source_name": "Question"}, "source was Ask, is Question"),
        ({"options": BASE["options"][:1]}, "option Stay is gone"),
        (
            {"options": (Option("Go", "Go!", {"where": "a town"}, None), BASE["options"][1])},
            "instruction of option Go changed: 'Go.' → 'Go!'",
        ),
        (
            {"options": (Option("Go", "Go.", {"where": "a city"}, None), BASE["options"][1])},
            "description of field `Go.where` changed: 'a town' → 'a city'",
        ),
        ({"options": BASE["options"][::-1]}, "order of the options changed: Go, Stay → Stay, Go"),
        (
            {"rejected": (Rejection({"vibe": 2}, ("not a string",)),)},
            'answer rejected before is different: {"vibe": 1} → {"vibe": 2}',
        ),
        (
            {"rejected": (Rejection({"vibe": 1}, ("too short",)),)},
            "the reason why an answer was rejected is different: 'not a string' → 'too short'",
        ),
        ({"rejected": ()}, "answers rejected before were 1, are 0"),
        ({"tools": ()}, "tools were len, are none"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_miss_says_in_a_line_what_changed(file, parts, line):
    await recorded(file, changed())

    miss = await missed(file, changed(**parts))

    assert miss.changes == [line]
    assert f"\n  {line}\n" in str(miss)


async def test_a_miss_says_where_what_and_how_to_record_again(file):
    await recorded(file, changed())

    assert str(await missed(file, changed(instruction="Plan it."))) == (
        f"1:Plan/fill: the LM was asked to fill Plan, and {file} has no answer to it.\n"
        "Since 1:Plan/fill was recorded:\n"
        "  instruction changed: 'Plan the day.' → 'Plan it.'\n"
        f'Record it: RecordingLM(lm, "{file}").'
    )


async def test_a_miss_compares_with_the_recording_most_like_it(file):
    far = changed(instruction="Other.", source={"text": "Else?"}, place="1:Plan/fill")
    near = changed(place="7:Plan/fill")
    await recorded(file, far, near)

    miss = await missed(file, changed(source={"text": "Where?"}))

    assert miss.changes == ["input `Ask.text` was 'Why?', is 'Where?'"]
    assert "Since 7:Plan/fill was recorded:" in str(miss)


async def test_a_miss_of_a_node_never_recorded_says_which_are(file):
    await recorded(file, changed())

    miss = await missed(file, changed(target="Dinner"))

    assert "It has none for this node at all, only for: Plan." in str(miss)
    assert miss.changes == []


async def test_long_texts_are_cut_to_where_they_differ(file):
    long = "word " * 200
    await recorded(file, changed(source={"text": f"{long}old end"}))

    [line] = (await missed(file, changed(source={"text": f"{long}new end"}))).changes

    assert line == "input `Ask.text` was …word word word old end', is …word word word new end'"


async def test_a_miss_obeys_no_control_characters(file):
    await recorded(file, changed())

    miss = await missed(file, changed(inputs={"x\x1b[31m": "\x1b]0;title\x07"}, instruction="line\nbreak"))

    assert "\x1b" not in str(miss)
    assert all("\n" not in line for line in miss.changes)


def test_a_miss_in_a_run_fails_it_and_asks_nobody(file):
    graph.run(Begin(), lm=RecordingLM(Counting(), file))

    with pytest.raises(AssertionError, match=r"input `Begin.message` was 'hello', is 'hi'"):
        graph.run(Begin(message="hi"), lm=FallbackLM(ReplayLM(file), Counting()))


# --- Secrets


CANARY = "canary-sings-12345"


def everything_written(file):
    text = file.read_text("utf-8")
    return text + json.dumps(json.loads(text), ensure_ascii=False)


@pytest.mark.parametrize("name", ["ACME_API_KEY", "ACME_TOKEN", "ACME_SECRET", "AWS_SECRET_ACCESS_KEY", "db_password"])
async def test_keys_of_the_environment_are_not_written_wherever_they_stand(file, monkeypatch, name):
    monkeypatch.setenv(name, CANARY)
    request = changed(
        instruction=f"Use {CANARY}.",
        schema=schema(description=f"like {CANARY}", default=CANARY),
        inputs={"nested": [{"a": f"-{CANARY}-"}], CANARY: 1},
        source={"text": CANARY},
        rejected=(Rejection(f'{{"{CANARY}"', (f"no {CANARY}",)),),
    )
    lm = RecordingLM(ScriptedLM({"1:Plan/fill": {"vibe": CANARY}}), file)

    response = await lm.generate(request)

    assert response.data == {"vibe": CANARY}
    assert CANARY not in everything_written(file)
    assert (await ReplayLM(file).generate(request)).data == {"vibe": f"[{name}]"}
    assert CANARY not in str(await missed(file, changed(source={"text": f"new {CANARY}"})))


async def test_a_key_that_json_writes_otherwise_is_not_written(file, monkeypatch):
    key = 'line one "quoted"\nlíne two'
    monkeypatch.setenv("ACME_SECRET", key)
    answer = json.dumps({"vibe": key})
    lm = RecordingLM(ScriptedLM({"1:Plan/fill": LMRefusalError(f"wrong key {key}")}), file)

    with pytest.raises(LMRefusalError):
        await lm.generate(changed(source={"text": key, "quoted": answer}))
    assert "two" not in everything_written(file).replace("two-call", "")


async def test_short_values_and_other_names_are_no_keys(file, monkeypatch):
    monkeypatch.setenv("ACME_TOKEN", "Plan")
    monkeypatch.setenv("ACME_TOKENS", "Plan the day.")
    await recorded(file, changed())

    assert recordings(file)[0]["question"]["instruction"] == "Plan the day."


@pytest.mark.parametrize(
    "scrub", [["canary-[a-z]+-", r"\d{5}"], "canary-sings-12345", lambda text: text.replace(CANARY, "[bird]")]
)
async def test_the_users_own_scrubbing_holds_for_everything(file, scrub):
    request = changed(source={"text": f"a {CANARY}"})
    await RecordingLM(ScriptedLM({"1:Plan/fill": {"vibe": CANARY}}), file, scrub=scrub).generate(request)

    assert "12345" not in everything_written(file)
    assert CANARY not in str((await ReplayLM(file, scrub=scrub).generate(request)).data)


class Login(BaseModel):
    user: str
    password: SecretStr


class Account(Node):
    login: Login
    others: list[Login] = Field(min_length=1)
    recovery: dict[str, SecretStr]
    pin: SecretStr | None
    pair: tuple[str, SecretStr]


class Show(Node):
    account: Account
    token: SecretStr

    async def __call__(self) -> "Account": ...


SECRET_ANSWER = {
    "login": {"user": "ada", "password": f"{CANARY}-1"},
    "others": [{"user": "bob", "password": f"{CANARY}-2"}],
    "recovery": {"mail": f"{CANARY}-3"},
    "pin": f"{CANARY}-4",
    "pair": ["open", f"{CANARY}-5"],
}


@pytest.mark.parametrize("as_text", [False, True])
def test_values_of_secret_fields_are_not_written(file, as_text):
    class Writing(BaseLM):
        async def generate(self, request, on_partial=None):
            rejected = {**SECRET_ANSWER, "others": []} if not request.rejected else SECRET_ANSWER
            return LMResponse(json.dumps(rejected) if as_text else rejected)

    start = Show(account=Account.model_validate(SECRET_ANSWER), token=SecretStr(f"{CANARY}-6"))
    recorded = Graph(start=Show).run(start, lm=RecordingLM(Writing(), file)).result

    assert recorded.login.password.get_secret_value() == f"{CANARY}-1"
    assert CANARY not in everything_written(file)
    replayed = Graph(start=Show).run(start, lm=ReplayLM(file)).result
    assert replayed.others[0].user == "bob"
    assert replayed.login.password.get_secret_value() == "**********"


def test_an_answer_that_is_no_json_where_a_secret_was_asked_is_not_written(file):
    class Vault(Node):
        code: SecretStr

    class Ask(Node):
        async def __call__(self) -> "Vault": ...

    lm = ScriptedLM({"1:Vault/fill": f'{{"code": "{CANARY}', Vault: {"code": "x"}})
    Graph(start=Ask).run(Ask(), lm=RecordingLM(lm, file))

    assert CANARY not in everything_written(file)


def test_reasons_that_quote_a_secret_do_not_show_it(file):
    request = LMRequest(
        "fill", "Vault", "", {"properties": {"code": {"type": "string", "writeOnly": True}}}, place="x"
    ).after(Rejection({"code": "hush"}, ("hush is too short",)))
    asyncio.run(RecordingLM(ScriptedLM({"x": {"code": "hush-hush"}}), file).generate(request))

    assert "hush" not in everything_written(file)


# --- Files and LMs that will not do


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": "weft cassette", "vers', "it is damaged: Invalid JSON"),
        ("[]", "it is damaged: Input should be an object"),
        ('{"name": "my-package"}', "this is no cassette. Is it the right file?"),
        (
            '{"format": "weft cassette", "version": 2}',
            "its version is 2, and this Weft reads 1. If it is the right file",
        ),
        (
            '{"format": "weft cassette", "version": 1, "retries": 2, "recordings": [{"question": {}}]}',
            "it is damaged: recordings.0.question.kind Field required",
        ),
        (b"\xff\xfe", "it cannot be read"),
    ],
    ids=["cut", "list", "foreign", "newer", "edited", "binary"],
)
def test_a_file_that_is_no_cassette_is_named_and_left_alone(file, text, said):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = file.read_bytes()

    for make in (ReplayLM, lambda file: RecordingLM(Counting(), file)):
        with pytest.raises(CassetteError) as caught:
            make(file)
        assert str(caught.value).startswith(f"{file}: {said}")
    assert file.read_bytes() == before


def test_a_file_that_is_not_there_says_how_to_record_it(file):
    with pytest.raises(CassetteError) as caught:
        ReplayLM(file)

    assert str(caught.value) == f'{file}: there is no such file. Record it: RecordingLM(lm, "{file}").'


def test_an_lm_that_generates_nothing_cannot_be_recorded(file):
    with pytest.raises(TypeError, match=r"RecordingLM: FallbackLM is no BaseLM.*FallbackLM\(RecordingLM\(a"):
        RecordingLM(FallbackLM("offline", "offline"), file)


def test_a_back_end_that_gives_no_response_is_told_by_base_lm(file):
    class Broken(BaseLM):
        async def generate(self, request, on_partial=None):
            return {"words": "x"}

    with pytest.raises(TypeError, match="returned a dict, not an LMResponse"):
        graph.run(Begin(), lm=RecordingLM(Broken(), file))


def test_what_they_are(file):
    recording = RecordingLM("offline", file)

    assert repr(recording) == f"RecordingLM(OfflineLM(), {str(file)!r})"
    assert recording.is_stand_in
    assert not RecordingLM(Counting(), file).is_stand_in
    assert not RecordingLM(Counting(), file).takes_tools
    graph.run(Begin(), lm=recording)
    assert repr(ReplayLM(file)) == f"ReplayLM({str(file)!r})"
    assert ReplayLM(file).is_stand_in
    assert ReplayLM(file).takes_tools


def test_changing_a_description_is_told_by_the_name_of_the_field(file):
    def world(description):
        made = create_model("Plan", __base__=Node, vibe=(str, Field(description=description)))

        class Ask(Node):
            async def __call__(self) -> made: ...

        return Graph(start=Ask), Ask()

    before, start = world("mood")
    before.run(start, lm=RecordingLM("offline", file))
    after, start = world("mood read from the message")

    with pytest.raises(CassetteMissError) as caught:
        after.run(start, lm=ReplayLM(file))
    assert caught.value.changes == ["description of field `vibe` changed: 'mood' → 'mood read from the message'"]
    assert weft.RecordingLM is RecordingLM
