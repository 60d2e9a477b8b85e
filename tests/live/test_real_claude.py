"""ClaudeCLIBackend with the real command `claude`, which reaches a stub of the API on loopback and nothing else.

``make test-claude`` installs the command and runs this in a network namespace. Nothing here costs anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import messages_stub
import pytest
from messages_stub import Stub
from pydantic import BaseModel, Field, HttpUrl

from weft import (
    ClaudeCLIBackend,
    FillError,
    Graph,
    LMAuthenticationError,
    LMConnectionError,
    LMRequestError,
    LMTimeoutError,
    Node,
)
from weft.events import FieldDelta

CACHE = Path(__file__).parents[2] / ".cache" / "claude"
PROGRAMS = sorted(CACHE.glob("*/node_modules/.bin/claude"))

pytestmark = [
    pytest.mark.claude,
    pytest.mark.skipif(
        [name for _, name in socket.if_nameindex()] != ["lo"], reason="the network is not closed: run make test-claude"
    ),
]


class Question(Node):
    text: str

    async def __call__(self) -> Answer | Refusal: ...


class Answer(Node):
    city: str
    score: Annotated[int, Field(ge=3)]


class Refusal(Node):
    reason: str


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    friends: list[Cat | Dog] = []


class Odd(Node):
    """Types whose schemas hold what Ajv does not know."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pair: tuple[int, int]
    named: dict[Annotated[str, Field(pattern="^x")], int]
    price: Annotated[float, Field(multiple_of=0.01, ge=0)]
    anything: Annotated[str, Field(json_schema_extra={"x-order": 1})]
    word: Annotated[str, Field(pattern=r"^(?i)stub \w+$")]
    several: set[str]
    maybe: int | None


class Formats(Node):
    day: date
    key: UUID
    link: HttpUrl
    data: bytes


@pytest.fixture(params=PROGRAMS or [None], ids=lambda path: path and path.parents[2].name)
def program(request):
    if request.param is None:
        pytest.skip("the command claude is not in .cache/claude: run make test-claude")
    return request.param


@pytest.fixture
def api():
    Stub.bodies.clear()
    Stub.is_over.clear()
    server = messages_stub.started()
    yield f"http://127.0.0.1:{server.server_port}"
    Stub.is_over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path):
    """A home with settings that would be noticed."""
    folder = tmp_path / "home"
    (folder / ".claude").mkdir(parents=True)
    (folder / ".claude" / "CLAUDE.md").write_text("CANARY of the user's memory")
    hook = {"hooks": [{"type": "command", "command": f"touch {tmp_path}/hooked"}]}
    hooks = {name: [hook] for name in ("SessionStart", "UserPromptSubmit", "Stop", "SessionEnd")}
    (folder / ".claude" / "settings.json").write_text(json.dumps({"hooks": hooks, "env": {"CANARY": "1"}}))
    servers = {"canary": {"command": "touch", "args": [f"{tmp_path}/served"]}}
    (folder / ".claude.json").write_text(json.dumps({"mcpServers": servers}))
    return folder


@pytest.fixture
def lm(program, api, home):
    def make(path: str = "", **options: Any) -> ClaudeCLIBackend:
        env = {"HOME": str(home), "ANTHROPIC_BASE_URL": f"{api}{path}", "ANTHROPIC_API_KEY": "sk-ant-stub-0123456789"}
        env |= options.pop("env", {})
        return ClaudeCLIBackend("claude-sonnet-4-5", executable=str(program), env=env, **{"timeout": 60, **options})

    return make


def sent() -> str:
    return json.dumps(Stub.bodies, ensure_ascii=False)


async def test_it_chooses_fills_streams_and_counts(lm):
    events: list[Any] = []
    result = await Graph(start=Question).arun(Question(text="Where?"), lm=lm(), on_event=events.append)

    assert result.result == Answer(city="stub text", score=3)
    usage = result.usage
    assert (usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (2, 280, 80, 40)
    assert usage.cost is not None
    assert usage.cost > 0
    assert len([event for event in events if isinstance(event, FieldDelta)]) > 3


async def test_the_prompt_holds_the_task_and_the_data_and_one_tool(lm):
    await lm().make(Question(text="Where?"), Answer)

    (body,) = Stub.bodies
    assert [tool["name"] for tool in body["tools"]] == ["StructuredOutput"]
    assert "Task: Answer" in json.dumps(body["system"])
    assert body["messages"][-1]["content"][-1]["text"].startswith("What you are given:\n\nSource: Question\n{")


@pytest.mark.parametrize(
    "text", ["@/etc/hostname", "/help", "x\n/clear\n@/etc/hostname", "!id", "#remember", "\x1b[2J"]
)
async def test_data_is_data(lm, text):
    await lm().make(Question(text=f"{text} @{__file__} and so on"), Answer)

    assert json.dumps(json.dumps(text)[1:-1])[1:-1] in sent()
    assert "Nothing here costs anything" not in sent()


async def test_data_would_be_more_than_data_without_the_protection(program, api, home, tmp_path):
    """So that the test above could fail: the same prompt, and nothing that protects."""
    secret = tmp_path / "secret.txt"
    secret.write_text("CANARY of a file")
    flags = ["-p", "--model", "claude-sonnet-4-5", "--tools", "", "--output-format", "json"]
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": api, "ANTHROPIC_API_KEY": "sk-ant-stub"}
    run = {"cwd": tmp_path, "env": {**env, "CLAUDE_CODE_MAX_RETRIES": "0"}, "timeout": 60, "capture_output": True}

    await asyncio.to_thread(subprocess.run, [program, *flags], input=f"look: @{secret}".encode(), check=False, **run)

    assert "CANARY of a file" in sent()


async def test_the_users_settings_hooks_servers_and_sessions_take_no_part(lm, home, tmp_path):
    await lm().make(Question(text="Where?"), Answer)

    assert "CANARY" not in sent()
    assert not (tmp_path / "hooked").exists()
    assert not (tmp_path / "served").exists()
    assert not list(home.rglob("*.jsonl"))
    assert "projects" not in json.loads((home / ".claude.json").read_text())


async def test_the_schema_of_any_type_is_taken(lm):
    got = await lm().make(Question(text="?"), Odd)

    assert (got.pet, got.pair, got.price) == (Cat(kind="cat"), (7, 7), 0)


async def test_an_answer_that_pydantic_rejects_goes_back_with_the_reason(lm):
    with pytest.raises(FillError, match="day: Input should be a valid date") as caught:
        await lm().make(Question(text="?"), Formats)

    assert len(caught.value.attempts) == len(Stub.bodies) == 3
    assert "Your answer was rejected" in sent()


@pytest.mark.parametrize(
    ("status", "error"), [(400, LMRequestError), (401, LMAuthenticationError), (500, LMConnectionError)]
)
async def test_a_failure_is_an_error_of_its_kind(lm, status, error):
    with pytest.raises(error):
        await lm(f"/fails/{status}", env={"CLAUDE_CODE_MAX_RETRIES": "0"}).make(Question(text="?"), Answer)


async def test_without_a_login_it_says_how_to_log_in(lm):
    with pytest.raises(LMAuthenticationError, match="type /login"):
        await lm(env={"ANTHROPIC_API_KEY": ""}).make(Question(text="?"), Answer)


async def test_a_stalled_answer_ends_with_the_clock_and_leaves_no_process(lm, program):
    with pytest.raises(LMTimeoutError):
        await lm("/stalls", timeout=4).make(Question(text="?"), Answer)

    assert processes_of(program) == []


async def test_a_cancelled_call_leaves_no_process(lm, program):
    call = asyncio.create_task(lm("/stalls").make(Question(text="?"), Answer))
    async with asyncio.timeout(30):
        while not Stub.bodies:  # noqa: ASYNC110  another thread tells
            await asyncio.sleep(0.05)

    assert len(processes_of(program)) == 1
    call.cancel()
    await asyncio.wait([call])
    assert processes_of(program) == []


def processes_of(program: Path) -> list[str]:
    """Return the numbers of the processes that run *program*."""
    real = str(program.resolve())
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/exe") if reads(path) == real]


def reads(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
