"""RecordingLM and ReplayLM: answers of a real model are written into a file, and tests run on them without it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._event import jsonable
from ..errors import LMRefusalError, LMRequestError, name_of, printable, sentence
from ..filling import BaseLM
from ..lm import LM, LMRequest, LMResponse, OnPartial
from . import lm_named
from ._changes import changes
from ._recordings import LASTING, Answer, Cassette, Failure, Question
from ._scrubbing import MASK, Scrub, masked, secrets_of

File = str | os.PathLike[str] | Cassette
_SHOWN_CHANGES = 12
_ASKED = {"fill": "fill", "choose": "choose what follows", "decide": "choose and write what follows"}


class CassetteMissError(AssertionError):
    """Raised when a ReplayLM is asked something that is not recorded.

    `place` is where in the graph, `changes` says in a line each what differs from the nearest recording of the same
    node, and `path` is the file.
    """

    def __init__(self, place: str, question: Question, cassette: Cassette) -> None:
        self.place = place
        self.path = str(cassette.path)
        self.changes, nearest = _nearest_changes(place, question, cassette)
        asked = _ASKED[question.kind]
        what = f"the LM was asked to {asked} {question.target}, and {self.path} has no answer to it"
        lines = [sentence(place, what)]
        if nearest is None:
            names = dict.fromkeys(each.target for _, each in cassette.questions())
            lines.append(printable(f"It has none for this node at all, only for: {', '.join(names) or 'nothing'}."))
        else:
            lines.append(printable(f"Since {nearest or question.kind} was recorded:"))
            lines += [f"  {line}" for line in self.changes[:_SHOWN_CHANGES]]
            more = len(self.changes) - _SHOWN_CHANGES
            lines += [f"  … and {more} more"] if more > 0 else []
        super().__init__("\n".join([*lines, printable(cassette.how_to_record)]))


def _nearest_changes(place: str, question: Question, cassette: Cassette) -> tuple[list[str], str | None]:
    """Return how *question* differs from the recorded one most like it, and the place of that one."""
    none: tuple[list[str], str | None] = ([], None)
    found = [
        (changes(asdict(each), asdict(question)), at)
        for at, each in cassette.questions()
        if (each.kind, each.target) == (question.kind, question.target)
    ]
    return min(found, key=lambda each: (len(each[0]), each[1] != place), default=none)


class _CassetteLM(BaseLM):
    """What both have: a cassette, and the questions as they stand in it."""

    def __init__(self, file: File, scrub: Scrub) -> None:
        self._cassette = file if isinstance(file, Cassette) else Cassette(Path(file), scrub)

    def _question(self, request: LMRequest) -> Question:
        """Return *request* as it may be written down."""
        rejected: list[dict[str, Any]] = []
        for rejection in request.rejected:
            answer = _json(rejection.answer)
            reasons = [_without(reason, secrets_of(answer, request.schema)) for reason in rejection.reasons]
            rejected.append({"answer": masked(answer, request.schema), "reasons": reasons})
        options = [
            {"name": each.name, "instruction": each.instruction, "fields": dict(each.fields)}
            for each in request.options
        ]
        parts: dict[str, Any] = {
            "instruction": request.instruction,
            "schema": dict(request.schema),
            "options": options,
            "source_name": request.source_name,
            "source": dict(request.source),
            "inputs": dict(request.inputs),
            "rejected": rejected,
            "tools": [name_of(tool) for tool in request.tools],
        }
        return Question(request.kind, request.target, **self._cassette.scrub(jsonable(parts)))


class RecordingLM(_CassetteLM):
    """An LM that asks another, and writes each answer into a file, from which a `ReplayLM` answers.

    The file is written anew: what is not asked again is dropped from it. It is replaced after each answer, so that
    what was answered before a failure is kept. Several runs may record at once. A refusal, and a request that the
    provider rejects, are recorded like answers; other errors are not.

    Secrets are not written: values of ``SecretStr`` fields, keys and tokens in the environment (``…_API_KEY``,
    ``…_TOKEN``, ``…_SECRET`` and the like, of eight characters or more), and what *scrub* says. All else that a model
    is shown stands in the file: look at it before you share it.

    Args:
        lm: A `BaseLM`, or the name of one. Of a FallbackLM those inside are recorded, each by a RecordingLM.
        file: The path of the file.
        only_new: Take the answers that are in the file, keep them, and ask for the others only.
        scrub: Regular expressions of what else to take out of everything written, or a function from text to text.

    Example:
        >>> import tempfile
        >>> from weft import Graph, Node, RecordingLM, ReplayLM
        >>> class Question(Node):
        ...     async def __call__(self) -> "Answer": ...
        >>> class Answer(Node):
        ...     words: str
        >>> graph = Graph(start=Question)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recorded = graph.run(Question(), lm=RecordingLM("offline", f"{folder}/cassette.json"))
        ...     graph.run(Question(), lm=ReplayLM(f"{folder}/cassette.json")).trace == recorded.trace
        True
    """

    def __init__(self, lm: LM | str, file: File, *, only_new: bool = False, scrub: Scrub = ()) -> None:
        super().__init__(file, scrub)
        self._lm = _recordable(lm_named(lm))
        self._only_new = only_new
        self.retries, self.routing = self._lm.retries, self._lm.routing
        # Class variables of BaseLM, which here depend on the LM that is asked.
        vars(self).update(is_stand_in=self._lm.is_stand_in, takes_tools=self._lm.takes_tools)
        if only_new and self._cassette.path.exists():
            self._cassette.load()
        else:
            self._cassette.check()
        self._cassette.retries, self._cassette.routing = self.retries, self.routing

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return the answer of the LM that is recorded, and write it down."""
        question, place = self._question(request), _place(request)
        if self._only_new and (known := self._cassette.find(question, place)) is not None:
            return known.response()
        number = self._cassette.reserve(question, place)
        try:
            response = await self._lm.generate(request, on_partial)
        except LASTING as error:
            self._cassette.keep(question, number, self._failure(place, error))
            raise
        if isinstance(response, LMResponse):  # pyright: ignore[reportUnnecessaryIsInstance]  BaseLM says what is wrong
            self._cassette.keep(question, number, self._answer(request, place, response))
        return response

    def accepted(self, request: LMRequest, response: LMResponse) -> None:
        """Hand on that *response* was good."""
        self._lm.accepted(request, response)

    def _answer(self, request: LMRequest, place: str, response: LMResponse) -> Answer:
        scrub = self._cassette.scrub
        data = masked(_json(response.data), request.schema)
        return Answer(place, scrub(data), scrub(response.model), response.usage, tuple(scrub(list(response.reasons))))

    def _failure(self, place: str, error: LMRefusalError | LMRequestError) -> Answer:
        said = {"message": error.message, "hint": error.hint, "backend": error.backend}
        is_refusal = isinstance(error, LMRefusalError)
        failure = Failure("LMRefusalError" if is_refusal else "LMRequestError", **self._cassette.scrub(said))
        return Answer(place, error=failure)

    def prune(self) -> None:
        """Drop from the file what this LM was not asked for; with ``only_new=True`` that is kept until then."""
        self._cassette.prune()

    def __repr__(self) -> str:
        return f"RecordingLM({self._lm!r}, {str(self._cassette.path)!r})"


class ReplayLM(_CassetteLM):
    """An LM that answers from a file that a `RecordingLM` wrote, and asks no model.

    A recording is found by what a model would be shown: the node, its fields with their descriptions, what it is given,
    the instruction. Where the same was asked more than once, the place in the graph decides, never the order of
    concurrent calls; runs one after another get the answers in their order. Usage and model are those recorded. Tools
    are not called, and nothing is streamed.

    Args:
        file: The path of the file.
        scrub: That of the recording, if it had one.

    Raises:
        CassetteError: if the file is not there, or is no cassette.
    """

    is_stand_in = True
    takes_tools = True

    def __init__(self, file: File, *, scrub: Scrub = ()) -> None:
        super().__init__(file, scrub)
        if not isinstance(file, Cassette):
            self._cassette.load()
        self.retries, self.routing = self._cassette.retries, self._cassette.routing

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return the recorded answer; raises CassetteMissError if there is none, and the error if one was recorded."""
        question = self._question(request)
        found = self._cassette.find(question, _place(request))
        if found is None:
            raise CassetteMissError(request.place, question, self._cassette)
        return found.response()

    def unused(self) -> Sequence[str]:
        """Return the places whose answers were not asked for, as ``"1:Answer/fill"``."""
        return self._cassette.unused()

    def __repr__(self) -> str:
        return f"ReplayLM({str(self._cassette.path)!r})"


def _recordable(lm: LM) -> BaseLM:
    if isinstance(lm, BaseLM):
        return lm
    hint = "Of a FallbackLM, record each: FallbackLM(RecordingLM(a, file), RecordingLM(b, file))."
    raise TypeError(sentence("RecordingLM", f"{name_of(type(lm))} is no BaseLM, with a generate to record", hint))


def _place(request: LMRequest) -> str:
    """Return where *request* is asked, whatever the attempt: the question tells which it is."""
    return re.sub(r"#\d+$", "", request.place)


def _json(answer: Any) -> Any:
    return answer.decode("utf-8", "backslashreplace") if isinstance(answer, bytes) else jsonable(answer)


def _without(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
