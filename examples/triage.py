"""Support tickets: what is urgent, and how the writer feels, at the same time; then the team that answers.

    python examples/triage.py                  # no key, no network: the words are made up from the types
    WEFT_LM=anthropic:claude-sonnet-5-5 python examples/triage.py
    weft eval examples/triage.py --data examples/data/tickets.jsonl --metric examples/triage.py:score --lm offline

The tickets in examples/data carry what a person made of them: the team, the urgency and the mood. `score` compares.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from weft import Dep, Graph, GraphResult, Node, Recall

TICKETS = Path(__file__).parent / "data" / "tickets.jsonl"


class Ticket(Node):
    subject: str
    body: str
    plan: Literal["free", "team", "enterprise"] = "free"

    async def __call__(self) -> "Triage": ...


class Urgency(Node):
    level: Literal["low", "normal", "high"] = Field(
        description="high: work has stopped or money is being lost; low: it can wait for weeks"
    )


class Mood(Node):
    tone: Literal["calm", "annoyed", "angry"] = Field(description="how the writer sounds, whatever the matter is")


class Triage(Node):
    ticket: Annotated[Ticket, Recall()]
    urgency: Annotated[Urgency, Dep()]  # these two need the ticket only,
    mood: Annotated[Mood, Dep()]  # so the LM fills both at the same time
    summary: str = Field(description="what the writer wants, in one sentence")

    async def __call__(self) -> "Billing | Technical | Account": ...


class Answer(Node):
    ticket: Annotated[Ticket, Recall()]
    triage: Annotated[Triage, Recall()]
    reply: str = Field(description="two or three sentences to the writer")


class Billing(Answer):
    refund: bool = Field(description="whether money should go back to the writer")


class Technical(Answer):
    questions: list[str] = Field(max_length=3, description="what the engineers still need to know")


class Account(Answer):
    needs_proof: bool = Field(description="whether the writer must show who they are first")


graph = Graph(start=Ticket, end=Billing | Technical | Account)


def score(example: Any, prediction: Any, *_: Any) -> float:
    """Return which share of team, urgency and mood a run got as the ticket's labels say."""
    triage = prediction.triage
    found = [type(prediction.result).__name__, triage.urgency.level, triage.mood.tone]
    hits = sum(each == label for each, label in zip(found, [example.team, example.urgency, example.mood], strict=True))
    return hits / len(found)


def show(result: GraphResult[Billing | Technical | Account]) -> None:
    answer = result.result
    print(" → ".join(type(node).__name__ for node in result.trace))
    print(f"\n{answer.ticket.subject}: {answer.triage.summary}")
    print(f"urgency   {answer.triage.urgency.level}")
    print(f"mood      {answer.triage.mood.tone}")
    print(f"\n{answer.reply}")


if __name__ == "__main__":
    first = json.loads(TICKETS.read_text(encoding="utf-8").splitlines()[0])
    show(graph.run(Ticket.model_validate(first), lm=os.environ.get("WEFT_LM") or "offline"))
