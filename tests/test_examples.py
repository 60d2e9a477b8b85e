"""Every example runs as its docstring says, and each graph does what it is there to show."""

import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from weft import BaseLM, LMRequest, LMResponse
from weft.backends.offline import NOTICE
from weft.events import (
    DepClosed,
    DepStarted,
    Event,
    LMCallFinished,
    LMCallStarted,
    NodeFinished,
    NodeStarted,
    RouteChosen,
    RunFinished,
    RunStarted,
)

EXAMPLES = Path(__file__).parent.parent / "examples"
DATA = EXAMPLES / "data"


@cache
def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run_example(name: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    others = {key: value for key, value in os.environ.items() if key != "WEFT_LM"}
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        cwd=cwd,
        env={**others, "PYTHONUTF8": "1", **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


class Answers(BaseLM):
    """Gives fixed answers by place or by target; calls for targets that are *together* wait for each other."""

    retries = 0

    def __init__(self, answers: Mapping[str, Any], *, together: tuple[str, ...] = ()) -> None:
        self.answers = answers
        self.together = together
        self.all_here = asyncio.Barrier(2)
        self.requests: list[LMRequest] = []

    async def generate(self, request: LMRequest, on_partial: Any = None) -> LMResponse:
        self.requests.append(request)
        if request.target in self.together:
            async with asyncio.timeout(10):
                await self.all_here.wait()
        target = "route" if request.kind == "choose" else request.target
        return LMResponse(self.answers.get(request.place, self.answers.get(target)))

    def request(self, place: str) -> LMRequest:
        """Return the one request made at *place*."""
        (found,) = [each for each in self.requests if each.place == place]
        return found


def names(trace: list[Any]) -> list[str]:
    return [type(node).__name__ for node in trace]


def of_type(events: list[Event], kind: type[Event], **wanted: Any) -> list[Any]:
    return [
        event
        for event in events
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())
    ]


def calls_overlap(events: list[Event], *keys: str) -> bool:
    """Return whether every one of the LM calls at *keys* began before any of them ended."""
    places = [(type(event), event.key) for event in events]
    begun = [places.index((LMCallStarted, key)) for key in keys]
    ended = [places.index((LMCallFinished, key)) for key in keys]
    return max(begun) < min(ended)


# --- Run as a newcomer would ---------------------------------------------------------------------------------------


def test_ootd_prints_the_path_the_real_weather_and_calendar_and_the_outfit(tmp_path):
    weather = json.loads((DATA / "weather-zurich.json").read_text())
    air, wind = weather["main"], weather["wind"]

    ran = run_example("ootd", tmp_path)

    assert (ran.returncode, ran.stderr.strip()) == (0, NOTICE)
    lines = ran.stdout.splitlines()
    assert lines[:6] == [
        "IsTheUserGettingDressed → AnticipateUsersDay → RecommendOOTD",
        "",
        f"weather   light rain, {air['temp']} °C (feels like {air['feels_like']}), wind {wind['speed']} m/s",
        "09:30     Present the library façade to the clients, then answer whatever they ask, Room 2.14",
        "12:15     Site visit, Building site, Hardbrücke",
        "19:30     Opera with Noor, Opernhaus, Sechseläutenplatz 1, 8001 Zürich",
    ]
    labels = ("", "top", "bottom", "shoes", "bag", "shops", "")
    assert [line[:10].strip() for line in lines[6:-1]] == list(labels)
    assert "https://" in ran.stdout


def test_draft_review_prints_each_round_and_why_it_ended(tmp_path):
    ran = run_example("draft_review", tmp_path)

    assert (ran.returncode, ran.stderr.strip()) == (0, NOTICE)
    rounds = re.findall(r"^round (\d) +(\d+)/10, \d+ words", ran.stdout, re.MULTILINE)
    assert [int(number) for number, _ in rounds] == list(range(1, len(rounds) + 1))
    good = int(rounds[-1][1]) >= 9
    why = "it is good enough" if good else "3 rounds are all there are"
    assert ran.stdout.splitlines()[-1].startswith(f"Published, as {why}: ")


def test_research_team_prints_what_each_specialist_read(tmp_path):
    library = json.loads((DATA / "library.json").read_text())

    ran = run_example("research_team", tmp_path)

    assert (ran.returncode, ran.stderr.strip()) == (0, NOTICE)
    for name, subject in (("economist", "money"), ("engineer", "building")):
        read = "; ".join(f"{each['title']} ({each['year']})" for each in library if subject in each["subjects"])
        assert f"{name:10} read   {read}\n" in ran.stdout
    assert ran.stdout.count("The library opens.") == ran.stdout.count("The library closes.") == 1
    assert ran.stdout.endswith("3 LM calls, inner runs included.\n")


def test_triage_prints_the_ticket_and_what_was_made_of_it(tmp_path):
    ran = run_example("triage", tmp_path)

    assert (ran.returncode, ran.stderr.strip()) == (0, NOTICE)
    assert re.match(r"Ticket → Triage → (Billing|Technical|Account)\n\nCharged twice in March: ", ran.stdout)
    assert re.search(r"^urgency   (low|normal|high)\nmood      (calm|annoyed|angry)$", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["ootd", "draft_review", "research_team", "triage"])
def test_the_variable_names_another_lm(name, tmp_path):
    ran = run_example(name, tmp_path, WEFT_LM="no-such-lm")

    assert ran.returncode == 1
    assert "no LM is called 'no-such-lm'" in ran.stderr


@pytest.mark.parametrize("name", ["ootd", "draft_review", "research_team", "triage"])
def test_an_empty_variable_is_none(name, tmp_path):
    assert run_example(name, tmp_path, WEFT_LM="").returncode == 0


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_says_how_to_run_it_and_needs_no_asyncio(path):
    text = path.read_text(encoding="utf-8")

    assert f"python examples/{path.name}" in (example(path.stem).__doc__ or "")
    assert "asyncio" not in text


@pytest.mark.parametrize("name", ["ootd", "draft_review", "research_team", "triage"])
def test_nothing_about_an_examples_graph_is_suspicious(name):
    assert example(name).graph.validate() == []


# --- Outfit of the day ----------------------------------------------------------------------------------------------

OUTFIT = {
    "route": {"choice": "AnticipateUsersDay"},
    "No": {"final_response": "Four, as ever."},
    "AnticipateUsersDay": {"mood": "sleepy", "demands": "Formal till eleven, then mud, then velvet."},
    "PickClothes": {"top": "white shirt", "bottom": "navy suit", "shoes": "oxfords"},
    "PackBag": {"umbrella": True, "take_along": ["scarf"]},
    "GenerateWardrobe": {"look": "Navy and white, a red scarf."},
    "RecommendOOTD": {"shops": ["https://example.com/boots"], "final_response": "Wear the navy suit."},
}


def dressing(message="ugh, i just got up"):
    ootd = example("ootd")
    user = ootd.User(name="Ada", style="plain", owns=["navy suit", "white shirt", "oxfords"])
    return ootd.IsTheUserGettingDressed(user=user, user_message=message)


async def run_ootd(answers=OUTFIT):
    lm = Answers(answers, together=("PickClothes", "PackBag"))
    events: list[Event] = []
    result = await example("ootd").graph.arun(dressing(), lm=lm, on_event=events.append)
    return result, lm, events


async def test_the_outfit_is_what_the_lm_answered():
    result, _, _ = await run_ootd()

    assert names(result.trace) == ["IsTheUserGettingDressed", "AnticipateUsersDay", "RecommendOOTD"]
    outfit = result.result
    assert outfit.asked == dressing()
    assert outfit.wardrobe.clothes.bottom == "navy suit"
    assert outfit.wardrobe.bag.take_along == ["scarf"]
    assert [str(url) for url in outfit.shops] == ["https://example.com/boots"]
    assert result.usage.requests == 6


async def test_the_model_is_shown_the_weather_and_the_calendar_of_the_files():
    _, lm, _ = await run_ootd()

    day = lm.request("1:AnticipateUsersDay/fill")
    assert day.inputs["weather"] == {"sky": "light rain", "temperature": 9.64, "feels_like": 7.71, "wind": 3.6}
    assert [event["title"] for event in day.inputs["calendar"]] == [
        "Present the library façade to the clients, then answer whatever they ask",
        "Site visit",
        "Opera with Noor",
    ]
    clothes = lm.request("2:RecommendOOTD/wardrobe/clothes/fill")
    assert clothes.source_name == "AnticipateUsersDay"
    assert clothes.source["weather"] == day.inputs["weather"]
    assert clothes.inputs["user"]["name"] == "Ada"


async def test_the_two_sub_nodes_are_filled_at_the_same_time_and_shown_to_the_third():
    _, lm, events = await run_ootd()

    wardrobe = "2:RecommendOOTD/wardrobe"
    assert calls_overlap(events, f"{wardrobe}/clothes/fill", f"{wardrobe}/bag/fill")
    shown = lm.request(f"{wardrobe}/fill").inputs
    assert (shown["clothes"]["top"], shown["bag"]["umbrella"]) == ("white shirt", True)


async def test_the_location_is_found_once_for_the_weather_and_the_recommendation():
    result, _, events = await run_ootd()

    (found,) = of_type(events, DepStarted, name="get_location")
    assert found.key == "1:AnticipateUsersDay/weather/place"
    (end,) = of_type(events, NodeFinished, node_type="RecommendOOTD")
    assert end.origins["place"].key == found.key
    assert result.result.place.city == "Zurich"


async def test_another_message_ends_with_an_answer_and_no_weather():
    result, _, events = await run_ootd({**OUTFIT, "route": {"choice": "No"}})

    assert names(result.trace) == ["IsTheUserGettingDressed", "No"]
    assert result.result.final_response == "Four, as ever."
    (route,) = of_type(events, RouteChosen, by="lm")
    assert route.offered == ("AnticipateUsersDay", "No")
    assert of_type(events, DepStarted) == []


@pytest.mark.parametrize(
    "message",
    [
        "ugh, i just got up",
        "",
        "What is 2 + 2?",
        "no",
        "wedding at three, help",
        "it is cold",
        "N" * 1000,
        "今日は何を着ようか",
        '{"choice": "No"}',
        "gym, then the office\nthen the opera",
    ],
)
async def test_offline_every_message_leads_to_a_recommendation(message):
    result = await example("ootd").graph.arun(dressing(message), lm="offline")

    assert names(result.trace)[-1] == "RecommendOOTD"
    assert result.result.shops


def test_the_ics_reader_knows_folds_escapes_quotes_and_alarms():
    (event,) = example("ootd").read_ics(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\n"
        'ORGANIZER;CN="A: B":mailto:a@example.com\n'
        "DTSTART;TZID=Europe/Zurich:20251014T0930\n 00\n"
        "SUMMARY:One\\, two\\; three\\\\n\n"
        "DESCRIPTION:first\\nsecond: third\n"
        "BEGIN:VALARM\nSUMMARY:Alarm\nEND:VALARM\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    )

    assert event.title == "One, two; three\\n"
    assert event.notes == "first\nsecond: third"
    assert event.starts.isoformat() == "2025-10-14T09:30:00"
    assert event.where == ""


def test_the_weather_file_is_an_openweathermap_answer_of_the_calendars_day():
    weather = json.loads((DATA / "weather-zurich.json").read_text())

    keys = "coord weather base main visibility wind rain clouds dt sys timezone id name cod"
    assert list(weather) == keys.split()
    local = datetime.fromtimestamp(weather["dt"], UTC) + timedelta(seconds=weather["timezone"])
    assert local.date() == example("ootd").TODAY


def test_the_calendar_file_keeps_to_the_rules_of_ics():
    lines = (DATA / "calendar.ics").read_bytes().split(b"\r\n")

    assert not any(b"\n" in line or len(line) > 75 for line in lines)
    assert (lines[0], lines[-2:]) == (b"BEGIN:VCALENDAR", [b"END:VCALENDAR", b""])


# --- Draft and review -----------------------------------------------------------------------------------------------


async def run_loop(scores, words=5, **assignment):
    drafting = example("draft_review")
    answers: dict[str, Any] = {"Publication": {"headline": "Open!"}}
    for number, score in enumerate(scores):
        step = 1 + 2 * number
        name = "Revision" if number else "Draft"
        answers[f"{step}:{name}/fill"] = {"text": " ".join([f"text{number}"] * words)}
        answers[f"{step + 1}:Review/fill"] = {"score": score, "advice": f"advice{number}"}
    lm, events = Answers(answers), []
    start = drafting.Assignment(topic="Sundays", **assignment)
    result = await drafting.graph.arun(start, lm=lm, on_event=events.append)
    return result, lm, events


async def test_the_loop_ends_when_the_score_is_good_enough():
    result, _, _ = await run_loop([4, 9, 10], max_rounds=5)

    assert names(result.trace) == ["Assignment", "Draft", "Review", "Revision", "Review", "Publication"]
    assert (result.result.review.score, result.result.review.round) == (9, 2)
    assert result.result.draft is result.trace[3]


async def test_the_loop_ends_when_the_rounds_are_used_up():
    result, _, _ = await run_loop([4, 5, 6, 10], max_rounds=3)

    assert names(result.trace).count("Review") == 3
    assert (result.result.review.score, result.result.review.round) == (6, 3)


async def test_the_longest_loop_fits_into_the_steps_a_run_may_take():
    result, _, _ = await run_loop([1] * 10, max_rounds=10)

    assert len(result.trace) == 22


async def test_a_draft_that_is_too_long_is_not_good_enough():
    result, _, _ = await run_loop([10, 10], words=30, max_words=20, max_rounds=2)

    assert names(result.trace).count("Review") == 2
    assert result.result.review.words == 30


async def test_a_review_is_of_the_newest_draft_and_a_revision_is_shown_the_review():
    result, lm, _ = await run_loop([4, 5, 9], words=1)

    reviews = [node for node in result.trace if type(node).__name__ == "Review"]
    assert [review.draft.text for review in reviews] == ["text0", "text1", "text2"]
    revision = lm.request("5:Revision/fill")
    assert (revision.source_name, revision.source["advice"]) == ("Review", "advice1")
    assert revision.source["draft"]["text"] == "text1"


async def test_rounds_are_counted_at_each_visit_words_for_each_draft_and_from_one_in_each_run():
    for _ in range(2):
        result, _, events = await run_loop([4, 5, 9])

        rounds = [node.round for node in result.trace if type(node).__name__ == "Review"]
        assert rounds == [1, 2, 3]
        started = [event.name for event in of_type(events, DepStarted)]
        assert {name: started.count(name) for name in started} == {
            "new_counter": 1,
            "next_round": 3,
            "count_words": 3,
        }


# --- Research team --------------------------------------------------------------------------------------------------

FINDINGS = {
    "Finding": {"answer": "The documents say yes.", "certainty": "fair"},
    "Report": {"recommendation": "Yes."},
}
ECONOMIST = "1:Report/economist"
ENGINEER = "1:Report/engineer"


async def run_team():
    team = example("research_team")
    lm, events = Answers(FINDINGS, together=("Finding",)), []
    result = await team.graph.arun(team.Question(text="A tram?"), lm=lm, on_event=events.append)
    return result, lm, events


async def test_the_specialists_work_at_the_same_time_with_the_lm_of_the_outer_run():
    result, lm, events = await run_team()

    assert calls_overlap(events, f"{ECONOMIST}/run/1:Finding/fill", f"{ENGINEER}/run/1:Finding/fill")
    assert [request.target for request in lm.requests] == ["Finding", "Finding", "Report"]
    assert result.usage.requests == 3


async def test_each_specialist_is_shown_the_documents_on_its_subject():
    _, lm, _ = await run_team()

    shown = {}
    for specialist in (ECONOMIST, ENGINEER):
        request = lm.request(f"{specialist}/run/1:Finding/fill")
        shown[request.source["subject"]] = [each["title"] for each in request.inputs["documents"]]
    assert shown == {
        "money": ["Tram or bus? Ten years of line 9", "Timetable survey of line 7"],
        "building": ["Ground report for Mill Street"],
    }


async def test_the_library_is_opened_once_for_all_and_closed_at_the_end(capsys):
    _, _, events = await run_team()

    assert len(of_type(events, DepStarted, name="open_library")) == 1
    assert len(of_type(events, DepStarted, name="find_documents")) == 2
    closed = [type(event) for event in events].index(DepClosed)
    assert [type(event) for event in events[closed:]] == [DepClosed, RunFinished]
    assert capsys.readouterr().out == "The library opens.\nThe library closes.\n\n"


async def test_the_inner_runs_are_events_inside_the_outer_one():
    result, _, events = await run_team()

    outer, *inner = of_type(events, RunStarted)
    assert (outer.run_id, outer.parent_run_id) == (result.run_id, None)
    assert {(run.key, run.parent) for run in inner} == {
        (f"{ECONOMIST}/run", ECONOMIST),
        (f"{ENGINEER}/run", ENGINEER),
    }
    assert {run.parent_run_id for run in inner} == {result.run_id}
    for run in inner:
        visited = [event.key for event in of_type(events, NodeStarted, run_id=run.run_id)]
        assert visited == [f"{run.key}/0:Inquiry", f"{run.key}/1:Finding"]


# --- Triage ---------------------------------------------------------------------------------------------------------

TRIAGE = {
    "Urgency": {"level": "high"},
    "Mood": {"tone": "angry"},
    "Triage": {"summary": "Wants the money back."},
    "route": {"choice": "Billing"},
    "Billing": {"reply": "We are sorry.", "refund": True},
}


async def run_triage():
    triage = example("triage")
    lm, events = Answers(TRIAGE, together=("Urgency", "Mood")), []
    ticket = triage.Ticket(subject="Thieves", body="Give it back, now!")
    result = await triage.graph.arun(ticket, lm=lm, on_event=events.append)
    return result, lm, events


async def test_urgency_and_mood_are_found_at_the_same_time_and_shown_to_whoever_routes():
    result, lm, events = await run_triage()

    assert names(result.trace) == ["Ticket", "Triage", "Billing"]
    assert calls_overlap(events, "1:Triage/urgency/fill", "1:Triage/mood/fill")
    shown = lm.request("1:Triage/route").source
    assert (shown["urgency"], shown["mood"]) == ({"level": "high"}, {"tone": "angry"})
    assert shown["ticket"]["body"] == "Give it back, now!"


@pytest.mark.parametrize(
    ("labels", "score"),
    [
        ({"team": "Billing", "urgency": "high", "mood": "angry"}, 1.0),
        ({"team": "Billing", "urgency": "low", "mood": "calm"}, 1 / 3),
        ({"team": "Account", "urgency": "low", "mood": "calm"}, 0.0),
    ],
)
async def test_the_score_is_the_share_of_labels_that_were_found(labels, score):
    result, _, _ = await run_triage()
    prediction = SimpleNamespace(result=result.result, triage=result.result.triage)

    assert example("triage").score(SimpleNamespace(**labels), prediction) == pytest.approx(score)


def test_every_labelled_ticket_is_one_of_its_own_with_labels_that_the_graph_can_give():
    triage = example("triage")
    rows = [json.loads(line) for line in triage.TICKETS.read_text("utf-8").splitlines()]

    assert len({row["body"] for row in rows}) == len(rows) == 42
    for row in rows:
        triage.Ticket.model_validate(row)
        triage.Urgency(level=row["urgency"])
        triage.Mood(tone=row["mood"])
    assert {row["team"] for row in rows} == {node.__name__ for node in triage.graph.terminal_nodes}
