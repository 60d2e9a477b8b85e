"""A cassette: answers of language models in a file, each with the question that it answers.

The file is JSON to be read in a review: the recordings stand in the order of their places in the graph, and each holds
all that a model was shown. A recording is found by its question alone. Where the same question was asked more than
once, the place in the graph tells which answer is meant, and at one place the order of asking does.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import CassetteError, LMRefusalError, LMRequestError, shorten
from ..lm import LMResponse, Usage
from ._scrubbing import Scrub, Scrubber

FORMAT = "weft cassette"
VERSION = 1

# What a model or its provider says to a question each time. Other errors are of the network, the load or the key.
LASTING = (LMRefusalError, LMRequestError)


class _Strict:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Question(_Strict):
    """All that a model is shown, as JSON values without secrets."""

    kind: Literal["fill", "choose"]
    target: str
    instruction: str
    schema: dict[str, Any]
    options: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    source_name: str | None = None
    source: dict[str, Any] = field(default_factory=dict[str, Any])
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    rejected: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tools: list[str] = field(default_factory=list[str])

    @property
    def key(self) -> str:
        """What two questions share that are the same."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Failure(_Strict):
    """An error of the model in the place of an answer."""

    type: Literal["LMRefusalError", "LMRequestError"]
    message: str
    hint: str = ""
    backend: str = ""

    @property
    def raised(self) -> LMRefusalError | LMRequestError:
        """The error."""
        cls = LMRefusalError if self.type == "LMRefusalError" else LMRequestError
        return cls(self.message, self.hint, backend=self.backend)


@dataclass(frozen=True)
class Answer(_Strict):
    """What the LM answered at a place."""

    place: str
    data: Any = None
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    reasons: tuple[str, ...] = ()
    error: Failure | None = None

    def response(self) -> LMResponse:
        """Return the answer as the LM gave it; raises the error that it raised."""
        if self.error is not None:
            raise self.error.raised
        return LMResponse(self.data, self.usage, self.model, self.reasons)

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the file."""
        if self.error is not None:
            return {"place": self.place, "error": asdict(self.error)}
        numbers = {name: number for name, number in asdict(self.usage).items() if not name.startswith("by_")}
        unread = {"reasons": self.reasons} if self.reasons else {}
        return {"place": self.place, "data": self.data, "model": self.model, "usage": numbers, **unread}


@dataclass(frozen=True)
class Recording(_Strict):
    """A question, and its answers."""

    question: Question
    answers: list[Answer]

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the file; parts of a question that are empty are left out."""
        question = {name: value for name, value in asdict(self.question).items() if value}
        return {"question": _sorted(question), "answers": [answer.to_json() for answer in self.answers]}


@dataclass(frozen=True)
class _File(_Strict):
    format: Literal["weft cassette"]
    version: int
    retries: int
    recordings: list[Recording]


_HEAD = TypeAdapter(dict[str, Any])
_FILE = TypeAdapter(_File)
# At each place the answers in the order of asking; None stands for one that is awaited.
_Answers = dict[str, list[Answer | None]]


class Cassette:
    """The recordings in a file, by question and place.

    Args:
        path: The file.
        scrub: What else to take out of everything written, besides keys in the environment: patterns, or a function.
        how_to_record: What to tell whoever misses a recording.
    """

    def __init__(self, path: Path, scrub: Scrub = (), how_to_record: str = "") -> None:
        self.path = path
        self.scrub = Scrubber(scrub)
        self.how_to_record = how_to_record or f'Record it: RecordingLM(lm, "{path}").'
        self.retries = 2
        self._questions: dict[str, Question] = {}
        self._answers: dict[str, _Answers] = {}
        self._asked: Counter[tuple[str, str]] = Counter()
        self._used: set[tuple[str, str, int]] = set()
        self._seen: str | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Take what is in the file; raises CassetteError."""
        found = self.check()
        if found is None:
            raise self._error("there is no such file", self.how_to_record)
        self._merge(found)

    def check(self) -> _File | None:
        """Return what is in the file, if there is one, and remember having seen it; raises CassetteError."""
        self._seen = self._text()
        return None if self._seen is None else self._parsed(self._seen)

    def _text(self) -> str | None:
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"it cannot be read: {shorten(error)}", "Is it the right file?") from error

    def _parsed(self, text: str) -> _File:
        hint = "If it is the right file, delete it and record again."
        try:
            head = _HEAD.validate_json(text)
            if head.get("format") != FORMAT:
                raise self._error("this is no cassette", "Is it the right file?")
            if head.get("version") != VERSION:
                version = shorten(head.get("version"), 20)
                raise self._error(f"its version is {version}, and this Weft reads {VERSION}", hint)
            return _FILE.validate_json(text)
        except ValidationError as error:
            reasons = [f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors()]
            raise self._error(f"it is damaged: {shorten('; '.join(reasons))}", hint) from error

    def _error(self, message: str, hint: str) -> CassetteError:
        return CassetteError(str(self.path), message, hint)

    # --- Asking

    def find(self, question: Question, place: str) -> Answer | None:
        """Return the answer recorded at *place*, or at the nearest before it: there the next, and the last for ever."""
        key = question.key
        with self._lock:
            answered = _answered(self._answers.get(key, {}))
            if not answered:
                return None
            nearest = _nearest(place, answered)
            number, answer = answered[nearest][min(self._asked[key, place], len(answered[nearest]) - 1)]
            self._asked[key, place] += 1
            self._used.add((key, nearest, number))
            return answer

    def questions(self) -> list[tuple[str, Question]]:
        """Return each question with the first place where it was asked, in the order of the places."""
        return [(recording.answers[0].place, recording.question) for recording in self._recordings()]

    def unused(self) -> list[str]:
        """Return the places of the answers that were not asked for, in their order."""
        return sorted({place for _, place, _ in self._unused()}, key=_in_order)

    def _unused(self) -> list[tuple[str, str, int]]:
        return [
            (key, place, number)
            for key, answers in self._answers.items()
            for place, numbered in _answered(answers).items()
            for number, _ in numbered
            if (key, place, number) not in self._used
        ]

    # --- Recording

    def reserve(self, question: Question, place: str) -> int:
        """Return the number of the answer that *question* is going to have at *place*."""
        key = question.key
        with self._lock:
            self._questions[key] = question
            answers = self._answers.setdefault(key, {}).setdefault(place, [])
            answers.append(None)
            return len(answers) - 1

    def keep(self, question: Question, number: int, answer: Answer) -> None:
        """Write *answer* into the file; raises OSError, and CassetteError if another has spoilt it meanwhile."""
        key = question.key
        with self._lock:
            self._answers[key][answer.place][number] = answer
            self._used.add((key, answer.place, number))
            self._write()

    def prune(self) -> None:
        """Drop from the file what was not asked for."""
        with self._lock:
            unused = self._unused()
            for key, place, number in unused:
                self._answers[key][place][number] = None
            if unused:
                self._write()

    def _merge(self, found: _File) -> None:
        """Take what is in *found*, where nothing is known."""
        self.retries = max(self.retries, found.retries)
        for recording in found.recordings:
            key = recording.question.key
            self._questions.setdefault(key, recording.question)
            answers = self._answers.setdefault(key, {})
            known = set(_answered(answers))
            for answer in recording.answers:
                if answer.place not in known:
                    answers.setdefault(answer.place, []).append(answer)

    def _write(self) -> None:
        text = self._text()
        if text is not None and text != self._seen:  # another has recorded into it meanwhile
            self._merge(self._parsed(text))
        recordings = [recording.to_json() for recording in self._recordings()]
        content = {"format": FORMAT, "version": VERSION, "retries": self.retries, "recordings": recordings}
        self._seen = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(self.path, self._seen)

    def _recordings(self) -> list[Recording]:
        """Return what there is, in the order of the first places."""
        found = [
            (key, [answer for place in sorted(answered, key=_in_order) for _, answer in answered[place]])
            for key, answers in self._answers.items()
            if (answered := _answered(answers))
        ]
        found.sort(key=lambda each: (_in_order(each[1][0].place), each[0]))
        return [Recording(self._questions[key], answers) for key, answers in found]


def _answered(answers: _Answers) -> dict[str, list[tuple[int, Answer]]]:
    """Return the answers that are there, with their numbers, by place."""
    found = {place: [(number, each) for number, each in enumerate(every) if each] for place, every in answers.items()}
    return {place: numbered for place, numbered in found.items() if numbered}


def _replace(path: Path, text: str) -> None:
    """Put *text* into the file, which at no moment is half written."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        fresh.write_text(text, "utf-8", newline="\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _sorted(value: Any) -> Any:
    """Return the JSON *value* with its names sorted, so that the same is written the same."""
    return json.loads(json.dumps(value, sort_keys=True))


def _in_order(place: str) -> list[tuple[int, str]]:
    """Return what sorts places by step: 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", place)]


def _nearest(place: str, places: Collection[str]) -> str:
    """Return which of *places* is *place*, or like it at an earlier step; else the last before it, or the first."""
    if place in places:
        return place
    alike = [each for each in places if _without_steps(each) == _without_steps(place)]
    ordered = sorted(alike or places, key=_in_order)
    before = [each for each in ordered if _in_order(each) < _in_order(place)]
    return before[-1] if before else ordered[0]


def _without_steps(place: str) -> str:
    return re.sub(r"\d+:", "", place)
