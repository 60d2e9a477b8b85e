"""ScriptedLM: an LM that answers from a script, and fails on what the script does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from .._event import jsonable
from .._requests import STOP
from .._spec import spec_of
from ..errors import name_of, sentence, what_is
from ..filling import BaseLM
from ..lm import LMRequest, LMResponse, OnPartial, Usage
from ..nodes import Node

Answer = Node | Mapping[str, Any] | type[Node] | BaseException | str | None
Script = Mapping[Any, Answer | Sequence[Answer]]


class UnexpectedCallError(AssertionError):
    """Raised when a ScriptedLM is asked something that its script does not answer."""


class UnconsumedStepsError(AssertionError):
    """Raised when a ScriptedLM was not asked everything that its script answers; `steps` names what is left."""

    def __init__(self, steps: Sequence[str]) -> None:
        self.steps = tuple(steps)
        super().__init__(f"The script has steps that nobody asked for: {', '.join(self.steps)}.")


class ScriptedLM(BaseLM):
    """An LM that answers from a script: by node type, or by place in the graph.

    Args:
        fills: The plain fields of a node, by its class or by place (``"1:Answer/fill"``, ``"1:Answer/fill#2"`` for a
            second attempt): a mapping, a node of that class, or an exception to raise. A list holds one for each
            visit, in their order; anything else answers every time. A place comes before a class.
        routes: The class to go to, or None to stop, by the routing node's class or by place (``"0:Question/route"``).

    It chooses and fills in two calls whatever `routing` says, so that a script is the same for both.

    As a context manager it checks at the end that every step was used.

    Example:
        >>> from weft import Graph, Node
        >>> from weft.testing import ScriptedLM
        >>> class Question(Node):
        ...     text: str
        ...     async def __call__(self) -> "Answer | None": ...
        >>> class Answer(Node):
        ...     words: str
        >>> with ScriptedLM({Answer: {"words": "Because."}}, routes={Question: Answer}) as lm:
        ...     Graph(start=Question).run(Question(text="Why?"), lm=lm).result
        Answer(words='Because.')
    """

    is_stand_in = True
    takes_tools = True
    routing = "two-call"

    def __init__(self, fills: Script | None = None, *, routes: Script | None = None) -> None:
        self._steps = {"fill": _Steps("fills", fills or {}), "choose": _Steps("routes", routes or {})}

    async def generate(self, request: LMRequest, on_partial: OnPartial | None = None) -> LMResponse:
        """Return the script's answer; raises UnexpectedCallError if it has none."""
        answer = self._steps[request.kind].answer(request)
        if isinstance(answer, BaseException):
            raise answer
        data = _fields(answer) if request.kind == "fill" else {"choice": _choice(answer)}
        return LMResponse(data, Usage(requests=1), "scripted")

    def check(self) -> None:
        """Raise UnconsumedStepsError if any step of the script was not used."""
        left = [step for steps in self._steps.values() for step in steps.left()]
        if left:
            raise UnconsumedStepsError(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.check()

    def __repr__(self) -> str:
        return f"ScriptedLM({', '.join(name for steps in self._steps.values() for name in steps.names())})"


class _Steps:
    """One half of a script: answers by class or place, and which of them were used."""

    def __init__(self, what: str, script: Script) -> None:
        _check_script(what, script)
        self._what = what
        self._script = {
            key: list(answer) if isinstance(answer, list | tuple) else answer for key, answer in script.items()
        }
        self._visits: dict[Any, list[str]] = {key: [] for key in script}

    def names(self) -> list[str]:
        return [key if isinstance(key, str) else name_of(key) for key in self._script]

    def answer(self, request: LMRequest) -> Any:
        key = request.place if request.place in self._script else request.node_type
        if key not in self._script:
            raise UnexpectedCallError(self._unexpected(request, "has no step for it"))
        answer, visit = self._script[key], self._visit(key, request.place)
        if not isinstance(answer, list):
            return answer
        if visit >= len(answer):
            raise UnexpectedCallError(self._unexpected(request, f"has only {len(answer)} for {name_of(key)}"))
        return answer[visit]

    def _visit(self, key: Any, place: str) -> int:
        """Return which visit of *key* this is, further attempts being the same one."""
        visits = self._visits[key]
        here = place.partition("#")[0]
        if not here or here not in visits:
            visits.append(here)
            return len(visits) - 1
        return visits.index(here)

    def _unexpected(self, request: LMRequest, why: str) -> str:
        asked = "fill" if request.kind == "fill" else "choose what follows"
        what = f"the LM was asked to {asked} {request.target}, and the script {why}"
        has = f"Its {self._what} have: {', '.join(self.names()) or 'nothing'}."
        if request.target in self._script:
            has = f"A name in quotes is a place: write {request.target} without them."
        return sentence(request.place or request.kind, what, has)

    def left(self) -> list[str]:
        unused: list[str] = []
        for name, (key, answer) in zip(self.names(), self._script.items(), strict=True):
            used = len(self._visits[key])
            if isinstance(answer, list):
                unused.extend(f"{name}[{index}]" for index in range(used, len(answer)))
            elif not used:
                unused.append(name)
        return unused


def _check_script(what: str, script: Any) -> None:
    if not isinstance(script, Mapping):
        hint = "Write: {SomeNode: answer}."
        raise TypeError(sentence("ScriptedLM", f"{what} are {what_is(script)}, not a mapping", hint))


def _fields(answer: Any) -> Any:
    if isinstance(answer, Node):
        return {name: jsonable(getattr(answer, name)) for name in spec_of(type(answer)).plain}
    return jsonable(answer)


def _choice(answer: Any) -> str:
    if answer is None:
        return STOP
    return answer if isinstance(answer, str) else name_of(answer)
