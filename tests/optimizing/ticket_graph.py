"""A graph with a route and an LM-filled dependency, a model that learns it, and rows of labelled data."""

from __future__ import annotations

from typing import Annotated, Any

from rules import Asked, Model

from weft import Dep, Graph, Node


def get_orders() -> list[str]:
    return ["umbrella"]


class Mood(Node):
    tone: str


class Ticket(Node):
    text: str

    async def __call__(self) -> Billing | Technical | None: ...


class Billing(Node):
    orders: Annotated[list[str], Dep(get_orders)]
    mood: Annotated[Mood, Dep()]
    team: str


class Technical(Node):
    team: str
    steps: list[str]


GRAPH = Graph(start=Ticket)
ROWS = [
    {"text": "easy money 1", "team": "billing"},
    {"text": "easy machine 1", "team": "technical"},
    {"text": "easy money 2", "team": "billing"},
    {"text": "easy machine 2", "team": "technical"},
    {"text": "money 3", "team": "billing"},
    {"text": "machine 3", "team": "technical"},
    {"text": "money 4", "team": "billing"},
    {"text": "machine 4", "team": "technical"},
]


def rule(asked: Asked) -> dict[str, Any] | str:
    """Answer well where it is easy, or with a demo, or with the word CAREFULLY in the instruction."""
    wanted = asked.wanted
    if not set(wanted) <= {"choice", "tone", "team", "steps"}:
        return propose(asked)
    is_good = asked.demos > 0 or "CAREFULLY" in asked.instruction or "easy" in asked.question
    is_money = "money" in asked.question.partition("mood")[0]
    answers = {"choice": "Billing" if is_money else "Technical", "tone": "calm", "steps": ["restart"]}
    answers["team"] = ("billing" if "umbrella" in asked.question else "technical") if is_good else "nobody"
    return {name: answers[name] for name in wanted}


def propose(asked: Asked) -> dict[str, Any] | str:
    """Answer an optimiser that asks for better instructions."""
    if "new_instruction" in asked.wanted:
        return '{"new_instruction": "Answer CAREFULLY."}'
    if "module_advice" in asked.wanted:
        return {"discussion": "", "module_advice": {"nodes['Ticket/Billing']": "Answer CAREFULLY."}}
    return dict.fromkeys(asked.wanted, "Answer CAREFULLY.")


def model() -> Model:
    return Model(rule)


def score(compiled: Any) -> float:
    """Return how many of the rows are right; the team is all there is to it."""
    return sum(compiled(text=row["text"]).get("team") == row["team"] for row in ROWS) / len(ROWS)
