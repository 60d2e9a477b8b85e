"""Every LM keeps every promise of an LM; and every check of a promise notices an LM that breaks it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from adapters import ADAPTERS, WRITTEN, answer_for, maker
from broken_lms import BROKEN, Blames, NeverEnds
from provider import provider

sys.path.append(str(Path(__file__).parents[1] / "backends"))

from claude_program import install_fake
from lm_stub import Stub

from weft import OfflineLM
from weft.testing import LMContractError, check_lm, lm_checks
from weft.testing._checks import CANARY

CHECKS = {check.name: check for check in lm_checks()}

each_check = pytest.mark.parametrize("check", lm_checks(), ids=str)

# What an LM has nothing of: it has no provider, or no model that could be wrong.
NOT_OF = {
    "offline": {check.scenario for check in lm_checks()} - {"ok"},
    "scripted": {"html", "dropped", "stalled", "slow"},
    "reference": set(),
    "anthropic": set(),
    "chat": set(),
    "dspy": set(),
    "claude-cli": {"dropped"},
}
REAL = {"reference", "anthropic", "chat", "dspy", "claude-cli"}


@pytest.fixture(scope="module")
def url():
    with provider() as url:
        yield url


@dataclass(frozen=True)
class Places:
    """Where the providers are, the stand-in for the Claude CLI, and the file that it answers from."""

    reference: str
    stub: Stub
    claude: Path
    answers: str


@pytest.fixture(scope="module")
def places(url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claude")
    answers = folder / "answers.json"
    by_name = {node.__name__: answer_for(node.__name__) for node in WRITTEN}
    answers.write_text(json.dumps(by_name), "utf8")
    with Stub(by_name).running() as stub:
        yield Places(url, stub, install_fake(folder), str(answers))


@each_check
@pytest.mark.parametrize("name", ADAPTERS)
async def test_it_keeps_its_promise(name, check, places, monkeypatch):
    monkeypatch.setenv("WEFT_LM_KEY", CANARY)

    outcome = await check(maker(name, places))

    is_left_out = check.scenario in NOT_OF[name] or (name in REAL and check.name == "stand_in_needs_nothing")
    is_left_out = is_left_out or (name in ("scripted", "dspy") and "one_call" in check.name)  # they take two
    assert outcome.status == ("skipped" if is_left_out else "passed"), outcome.why


# --- The checks themselves


@pytest.mark.parametrize(("name", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_broken_promise_is_noticed(name, broken, seen, url):
    with pytest.raises(LMContractError) as caught:
        await CHECKS[name](lambda scenario: broken(f"{url}/{scenario}"))

    [violation] = caught.value.violations
    assert violation.name == name
    assert re.search(seen, violation.seen)


def test_every_check_has_an_lm_that_it_notices():
    assert {name for name, _, _ in BROKEN} == CHECKS.keys()


def test_every_check_says_what_it_promises():
    assert all(re.fullmatch(r"[`A-Z].+\.", check.promise) for check in lm_checks())
    assert len(CHECKS) == len(lm_checks())


async def test_all_that_is_broken_is_told_at_once(url):
    def make(scenario):
        return Blames(f"{url}/{scenario}")

    with pytest.raises(LMContractError) as caught:
        await check_lm(make, only=["status_400", "status_401", "status_500"])

    assert [violation.name for violation in caught.value.violations] == ["status_400", "status_401"]
    head, *lines = str(caught.value).splitlines()
    assert head == "2 promises of an LM are broken:"
    assert lines[0].startswith(
        "  status_400: An LM raises LMRequestError when the provider rejects the request. Expected"
    )
    assert isinstance(caught.value.__cause__, AssertionError)


async def test_the_outcomes_say_what_was_skipped_and_why():
    outcomes = await check_lm(lambda scenario: OfflineLM() if scenario == "ok" else None)

    assert [outcome.name for outcome in outcomes] == list(CHECKS)
    skipped = {outcome.name: outcome.why for outcome in outcomes if outcome.status == "skipped"}
    assert skipped["status_429"] == "it has no scenario '429'"


async def test_a_check_ends_in_time_though_the_lm_does_not(url):
    with pytest.raises(LMContractError, match=r"an end within 0\.05 s"):
        await CHECKS["fill_returns_the_target"](lambda scenario: NeverEnds(url), timeout=0.05)


async def test_an_unknown_name_of_a_check_is_refused():
    with pytest.raises(ValueError, match="no check is called nothing"):
        await check_lm(lambda scenario: OfflineLM(), only=["nothing"])


@pytest.mark.parametrize("kind", ["coroutine", "context manager"])
async def test_an_lm_may_be_made_in_a_coroutine_or_a_context_manager(kind):
    closed = []

    async def coroutine(scenario):
        return OfflineLM()

    @asynccontextmanager
    async def context(scenario):
        yield OfflineLM()
        closed.append(scenario)

    outcome = await CHECKS["is_an_lm"](coroutine if kind == "coroutine" else context)

    assert outcome.status == "passed"
    assert closed == ([] if kind == "coroutine" else ["ok"])


async def test_what_make_raises_is_no_broken_promise():
    with pytest.raises(ZeroDivisionError):
        await check_lm(lambda scenario: 1 / 0)


async def test_a_check_is_cancelled_like_anything_else(url):
    check = asyncio.ensure_future(CHECKS["fill_returns_the_target"](lambda scenario: NeverEnds(url)))
    await asyncio.sleep(0)
    check.cancel()

    with pytest.raises(asyncio.CancelledError):
        await check
