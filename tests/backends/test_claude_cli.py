"""ClaudeCLIBackend against a stand-in program, which replays what two versions of the real one have written."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from claude_program import install_fake
from pydantic import AfterValidator, BaseModel, Field, HttpUrl

from weft import (
    ChoiceError,
    ClaudeCLIBackend,
    FillError,
    Graph,
    LMAuthenticationError,
    LMConnectionError,
    LMError,
    LMNotConfiguredError,
    LMRateLimitError,
    LMRefusalError,
    LMRequestError,
    LMResponseError,
    LMTimeoutError,
    Node,
)
from weft.backends import lm_named, lm_names
from weft.backends._claude_process import environment
from weft.backends._claude_schema import acceptable
from weft.events import FieldDelta, LMCallFinished

ROOT = Path(__file__).parents[2]
OLD, NEW = "2.1.197", "2.1.330"
KEY = "canary-key-0123456789"
HOSTILE = "@/etc/hostname and /help; $(touch owned) `id` && rm -rf ~ \x1b[2J\x07 \u202e '\" \\ \n/clear\n@/etc/passwd"


class Question(Node):
    text: str

    async def __call__(self) -> Answer | Refusal: ...


class Answer(Node):
    city: str
    score: int = Field(ge=0)


class Refusal(Node):
    reason: str


graph = Graph(start=Question)


class Fake:
    """The stand-in: where it is, what it was given, and back-ends that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = install_fake(folder)

    def lm(self, scenario: str = "ok", version: str = NEW, **options: Any) -> ClaudeCLIBackend:
        more = options.pop("env", {})
        env = {"FAKE_CLAUDE": scenario, "FAKE_VERSION": version, **more}
        return ClaudeCLIBackend(**{"executable": str(self.program), "env": env, "timeout": 30, **options})

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text("utf8")) for path in (self.folder / "seen").glob("*.json")]

    @property
    def last(self) -> dict[str, Any]:
        return max(self.seen, key=lambda each: each["began"])

    async def running(self, count: int = 1) -> list[int]:
        """Return the processes' numbers once *count* of them have come to their question."""
        async with asyncio.timeout(20):
            while sum("stdin" in each for each in self.seen) < count:  # noqa: ASYNC110  another process tells
                await asyncio.sleep(0.02)
        return [each["pid"] for each in self.seen]


@pytest.fixture
def fake(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return Fake(folder)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def filled(lm: ClaudeCLIBackend, text: str = "Where?") -> Answer:
    return await lm.make(Question(text=text), Answer)


# --- What comes back


@pytest.mark.parametrize("version", [OLD, NEW])
async def test_the_model_chooses_and_fills_and_what_it_used_is_counted(fake, version):
    result = await graph.arun(Question(text="Where?"), lm=fake.lm(version=version))

    assert result.result == Answer(city="a text", score=0)
    usage = result.usage
    assert (usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (2, 280, 80, 40)
    assert usage.cost == pytest.approx(2 * 0.000612)
    assert set(usage.by_model) == {"claude-sonnet-4-5"}


async def test_what_the_cli_had_put_right_itself_counts_as_requests(fake):
    result = await graph.arun(Question(text="Where?"), lm=fake.lm("repair"))

    assert isinstance(result.result, Answer)
    assert (result.usage.requests, result.usage.input_tokens) == (4, 560)


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    ("scenario", "error", "says"),
    [
        ("refusal", LMRefusalError, "declined"),
        ("truncated", LMResponseError, "CLAUDE_CODE_MAX_OUTPUT_TOKENS"),
        ("no-key", LMAuthenticationError, "Run `claude` and type /login"),
        ("400", LMRequestError, "the provider answered 400: stub bad request"),
        ("401", LMAuthenticationError, "type /login"),
        ("403", LMAuthenticationError, "403"),
        ("404", LMRequestError, "Check the model's name"),
        ("413", LMRequestError, "Shorten"),
        ("too-long", LMRequestError, "Shorten"),
        ("429", LMRateLimitError, "429"),
        ("500", LMConnectionError, "500"),
        ("529", LMRateLimitError, "529"),
        ("html", LMConnectionError, "JSON"),
    ],
)
async def test_a_failure_is_an_error_of_its_kind(fake, scenario, version, error, says):
    with pytest.raises(LMError) as caught:
        await filled(fake.lm(scenario, version))

    assert type(caught.value) is error
    assert str(caught.value).startswith("claude-cli: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    ("scenario", "reason"),
    [("prose", "not JSON"), ("dropped", "not JSON"), ("empty", "not JSON"), ("rejected", "city: Field required")],
)
async def test_an_answer_that_does_not_fit_goes_back_with_the_reason_and_is_an_error_in_the_end(
    fake, scenario, reason, version
):
    with pytest.raises(FillError, match=reason) as caught:
        await filled(fake.lm(scenario, version))

    assert len(caught.value.attempts) == 3
    assert "Your answer was rejected" in json.loads(fake.last["stdin"])["message"]["content"]


async def test_prose_is_no_choice(fake):
    with pytest.raises(ChoiceError, match="plain text"):
        await graph.arun(Question(text="Where?"), lm=fake.lm("prose"))


@pytest.mark.parametrize(
    ("code", "error"), [("1", LMRequestError), ("143", LMConnectionError), ("0", LMConnectionError)]
)
async def test_an_end_without_a_result_is_told_with_what_the_cli_said(fake, code, error):
    with pytest.raises(LMError, match=f"code {code}.*boom: something broke") as caught:
        await filled(fake.lm("silent", env={"FAKE_CODE": code}))

    assert type(caught.value) is error


async def test_lines_that_are_no_event_are_passed_over(fake):
    assert await filled(fake.lm("noisy")) == Answer(city="a text", score=0)


async def test_a_line_without_an_end_is_an_error(fake):
    with pytest.raises(LMResponseError, match="64 MiB"):
        await filled(fake.lm("endless"))


class Long(Node):
    one: str
    two: str


async def test_values_of_a_megabyte_go_there_and_back(fake):
    sent = "é" * 2**20

    got = await fake.lm("giant").make(Question(text=sent), Long)

    assert (len(got.one), len(got.two)) == (2**20, 2**20)
    assert sent in json.loads(fake.last["stdin"])["message"]["content"]


# --- The program itself


async def test_a_missing_program_says_how_to_get_it():
    with pytest.raises(LMNotConfiguredError) as caught:
        await filled(ClaudeCLIBackend(executable="claude-that-is-not-there"))

    assert "'claude-that-is-not-there' is not installed, or not on PATH. Install Claude Code" in str(caught.value)


@pytest.mark.parametrize(
    ("says", "why"),
    [("2.1.196 (Claude Code)", "oldest.*claude update"), ("1.0.128 (Claude Code)", "oldest"), ("hello", "no version")],
)
async def test_a_program_that_is_too_old_or_another_is_told(fake, says, why):
    with pytest.raises(LMNotConfiguredError, match=why):
        await filled(fake.lm(env={"FAKE_SAYS": says}))

    assert not (fake.folder / "seen").exists()


async def test_a_program_that_cannot_be_started_is_told(fake):
    fake.program.write_bytes(b"\x7fELF nothing")

    with pytest.raises(LMNotConfiguredError, match="cannot be started"):
        await filled(fake.lm())


def test_it_has_a_name_and_one_for_each_model():
    assert "claude-cli" in lm_names()
    assert repr(lm_named("claude-cli")) == "ClaudeCLIBackend(timeout=300.0)"
    assert repr(lm_named("claude-cli:opus")) == "ClaudeCLIBackend('opus', timeout=300.0)"


@pytest.mark.parametrize("options", [{"model": "--bare"}, {"model": ""}, {"timeout": 0}, {"max_concurrency": 0}])
def test_what_cannot_be_is_rejected_at_once(options):
    with pytest.raises(ValueError, match=r"model's name|must be"):
        ClaudeCLIBackend(**options)


def test_the_model_is_named_to_the_cli_and_nothing_of_the_user_takes_part(fake):
    asyncio.run(filled(fake.lm(model="opus", bare=True)))

    argv = fake.last["argv"]
    assert {"--model=opus", "--bare", "--strict-mcp-config", "--no-session-persistence"} <= set(argv)
    assert argv[argv.index("--tools") + 1] == argv[argv.index("--setting-sources") + 1] == ""
    assert not Path(fake.last["cwd"]).exists()


# --- Security


@pytest.mark.parametrize("version", [OLD, NEW])
async def test_data_reads_no_file_runs_no_command_and_is_on_no_command_line(fake, version):
    await filled(fake.lm(version=version), HOSTILE)

    seen = fake.last
    message = json.loads(seen["stdin"])
    content = message["message"]["content"]
    assert message["client_composed"] is True
    assert seen["files"] == []
    assert json.dumps(HOSTILE, ensure_ascii=False) in content
    assert content.splitlines()[0] == "What you are given:"
    assert not any("hostname" in word or "owned" in word for word in seen["argv"])
    assert "hostname" not in seen["instructions"]


async def test_what_protects_the_user_cannot_be_switched_off(fake):
    await filled(fake.lm(version=OLD, env={"CLAUDE_CODE_DISABLE_ATTACHMENTS": "0"}), HOSTILE)

    assert fake.last["env"]["CLAUDE_CODE_DISABLE_ATTACHMENTS"] == "1"
    assert fake.last["files"] == []


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_stand_in_does_harm_where_nothing_protects(fake, version):
    """The two tests above could not fail otherwise."""
    seen = {}
    for content in ("/help", "look: @/etc/hostname"):
        prompt = fake.folder / "prompt.txt"
        prompt.write_text("")
        flags = ["--system-prompt-file", prompt, "--json-schema", '{"type": "object"}']
        message = json.dumps({"message": {"content": content}})
        env = {"FAKE_VERSION": version}
        done = subprocess.run(
            [fake.program, "-p", *flags], input=message, env=env, capture_output=True, text=True, check=True
        )
        seen[content] = (done.stdout, fake.last["files"])

    assert "Available commands" in seen["/help"][0]
    assert seen["look: @/etc/hostname"][1] == ["/etc/hostname"]


async def test_the_cli_sees_of_the_environment_what_it_needs_only(fake, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "not for others")
    monkeypatch.setenv("CLAUDECODE", "1")
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "10")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    await filled(fake.lm())

    seen = fake.last["env"]
    assert {"DATABASE_PASSWORD", "CLAUDECODE"} & set(seen) == set()
    assert (seen["ANTHROPIC_API_KEY"], seen["CLAUDE_CODE_MAX_RETRIES"]) == (KEY, "2")


async def test_a_key_is_in_no_event_error_log_or_repr(fake, monkeypatch, caplog):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    program = fake.program.read_text("utf8")
    fake.program.write_text(program.replace("boom:", f"boom: {KEY} sk-ant-other-key"), "utf8")
    events: list[Any] = []
    lm = fake.lm("silent", env={"FAKE_CODE": "1", "ANTHROPIC_AUTH_TOKEN": f"{KEY}-2"})

    with pytest.raises(LMRequestError) as caught:
        await graph.arun(Question(text="Where?"), lm=lm, on_event=events.append)

    everything = f"{caught.value!r} {caught.value} {vars(caught.value)} {events} {lm!r} {caplog.text}"
    assert "boom: *** ***" in str(caught.value)
    assert KEY not in everything
    assert "sk-ant-other-key" not in everything


# --- Processes


async def test_at_most_four_processes_run_at_once(fake):
    lm = fake.lm("slow")

    answers = await asyncio.gather(*(filled(lm, str(number)) for number in range(50)))

    assert len(answers) == 50
    moments = [(each["began"], 1) for each in fake.seen] + [(each["ended"], -1) for each in fake.seen]
    at_once = peak = 0
    for _, change in sorted(moments):
        at_once += change
        peak = max(peak, at_once)
    assert 2 <= peak <= 4


@pytest.mark.parametrize("scenario", ["stalled", "child"])
async def test_a_cancelled_call_leaves_no_process(fake, scenario):
    calls = [asyncio.create_task(filled(fake.lm(scenario))) for _ in range(2)]
    pids = await fake.running(2)
    children = [each["child"] for each in fake.seen if "child" in each]

    for call in calls:
        call.cancel()
    await asyncio.wait(calls)

    assert all(call.cancelled() for call in calls)
    assert [pid for pid in (*pids, *children) if is_alive(pid)] == []
    assert len(children) == (2 if scenario == "child" else 0)


async def test_a_call_past_its_time_is_an_error_and_leaves_no_process(fake):
    began = time.monotonic()

    with pytest.raises(LMTimeoutError, match=r"no answer within 1.5 s\. ClaudeCLIBackend\(timeout=\)"):
        await filled(fake.lm("stalled", timeout=1.5))

    assert time.monotonic() - began < 5
    assert not is_alive(fake.last["pid"])


async def test_a_process_that_does_not_listen_is_killed_after_two_seconds(fake):
    call = asyncio.create_task(filled(fake.lm("deaf")))
    (pid,) = await fake.running()
    began = time.monotonic()

    call.cancel()
    await asyncio.wait([call])

    assert 1.9 < time.monotonic() - began < 6
    assert not is_alive(pid)


async def test_a_second_cancellation_kills_at_once(fake):
    call = asyncio.create_task(filled(fake.lm("deaf")))
    (pid,) = await fake.running()
    began = time.monotonic()

    call.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])

    assert time.monotonic() - began < 1.5
    assert not is_alive(pid)


def test_a_loop_that_ends_leaves_no_process(fake):
    async def leave() -> list[int]:
        asyncio.get_running_loop().unfinished = asyncio.create_task(filled(fake.lm("stalled")))  # type: ignore[attr-defined]
        return await fake.running()

    (pid,) = asyncio.run(leave())

    assert not is_alive(pid)


def test_one_back_end_serves_loops_in_turn_and_threads_with_their_own(fake):
    lm = fake.lm()
    answers: list[Answer] = []

    def ask() -> None:
        answers.extend(asyncio.run(filled(lm)) for _ in range(2))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    ask()
    for thread in threads:
        thread.join()

    assert answers == [Answer(city="a text", score=0)] * 8
    assert asyncio.run(filled(lm))
    assert len(lm._slots) == 1  # those of closed loops are gone


# --- What is there so far


async def test_an_answer_is_told_as_it_is_written(fake):
    events: list[Any] = []

    await graph.arun(Question(text="Where?"), lm=fake.lm(), on_event=events.append)

    told = [event.values for event in events if isinstance(event, FieldDelta) and event.key == "1:Answer/fill"]
    assert told[-1] == {"city": "a text", "score": 0}
    assert told[0] != told[-1]
    assert len(told) > 4
    assert all(each for each in told)
    (finished,) = [event for event in events if isinstance(event, LMCallFinished) and event.key == "1:Answer/fill"]
    assert finished.model == "claude-sonnet-4-5"


# --- Schemas


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[float, Field(multiple_of=0.5)] = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Many(Node):
    link: HttpUrl
    code: Annotated[str, Field(pattern=r"^(?i)\w+$")]
    pair: tuple[int, str]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    tree: Tree
    named: dict[Annotated[str, Field(pattern="^x")], int]
    anything: Annotated[str, Field(json_schema_extra={"x-order": 1})]
    data: bytes
    even: Annotated[int, AfterValidator(lambda number: number)]


@pytest.mark.parametrize("version", [OLD, NEW])
async def test_both_versions_take_the_schema_of_any_type(fake, version):
    with pytest.raises(FillError) as caught:
        await fake.lm(version=version).make(Question(text="?"), Many)

    assert fake.last["unknown"] == []
    assert isinstance(caught.value.attempts[0].answer, dict)  # not prose, which a dropped schema would give


def test_what_the_cli_does_not_know_is_said_in_words():
    schema = {"type": "object", "properties": {"link": {"type": "string", "format": "uri", "description": "Where"}}}

    assert acceptable(schema)[0]["properties"]["link"] == {"type": "string", "description": "Where (format: uri)"}


def test_a_tuple_is_a_list_of_its_length():
    schema = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2}
    cleaned, is_wrapped = acceptable(schema)

    assert is_wrapped
    assert cleaned["properties"]["value"] == {
        "type": "array",
        "description": '(in this order: [{"type": "integer"}, {"type": "string"}])',
        "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "minItems": 2,
        "maxItems": 2,
    }


def test_a_reference_at_the_root_is_what_it_refers_to():
    cleaned, is_wrapped = acceptable(Tree.model_json_schema())

    assert (cleaned["type"], is_wrapped) == ("object", False)
    assert "Tree" in cleaned["$defs"]
    assert "$ref" not in cleaned


async def test_a_schema_that_is_too_long_is_told_before_anything_runs(fake):
    class Wide(Node):
        word: str = Field(description="long " * 30_000)

    with pytest.raises(LMRequestError, match=r"the schema of Wide has 146 KiB; the CLI takes 120 at most"):
        await fake.lm().make(Question(text="?"), Wide)

    assert not (fake.folder / "seen").exists()


async def test_a_long_instruction_is_no_problem(fake):
    await fake.lm().fill(Answer, {}, "Say it. " * 50_000)

    assert len(fake.last["instructions"]) > 400_000


def test_the_environment_is_the_users_own_for_the_login(monkeypatch):
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "token")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", "/somewhere")

    kept = environment({})

    assert {"HOME", "PATH", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"} <= set(kept)


# --- An example, as it is


def run(fake: Fake, folder: Path, *command: str | Path, **variables: str) -> str:
    path = f"{fake.folder}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder, env=env, capture_output=True, encoding="utf8", timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


PATH_OF_OOTD = "IsTheUserGettingDressed → AnticipateUsersDay → RecommendOOTD"


def test_an_example_runs_with_it_unchanged(fake, tmp_path):
    said = run(fake, tmp_path, ROOT / "examples" / "ootd.py", WEFT_LM="claude-cli:sonnet")

    assert PATH_OF_OOTD in said
    assert "--model=sonnet" in fake.last["argv"]
    assert len(fake.seen) == 6


def test_the_command_line_names_it(fake, tmp_path):
    given = ["--set", "user_message=hi", "--set", 'user={"name": "Ada", "style": "plain", "owns": []}', "--json"]

    said = run(fake, tmp_path, "-m", "weft", "run", ROOT / "examples" / "ootd.py", "--lm", "claude-cli", *given)

    assert json.loads(said)["result"]["final_response"] == "a text"
    assert len(fake.seen) == 6
