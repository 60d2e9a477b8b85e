"""explore finds what is wrong with graphs that no check of a definition can see: one planted fault in each."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from weft import Dep, Graph, Node, Recall
from weft.testing import ExplorationError, explore

# --- 1: code that returns, in a rare case, what its annotation does not allow


class Ticket(Node):
    text: str

    async def __call__(self) -> "Triage": ...


class Triage(Node):
    urgency: int = Field(ge=1, le=5)

    async def __call__(self) -> "Escalation | Answer":
        if self.urgency == 5:
            return Ticket(text="again")
        return Escalation(reason="urgent") if self.urgency > 2 else Answer(text="soon")


class Escalation(Node):
    reason: str


class Answer(Node):
    text: str


# --- 2: a division by what the model wrote


class Order(Node):
    async def __call__(self) -> "Quote": ...


class Quote(Node):
    price: float = Field(ge=0)
    items: int = Field(ge=0)

    async def __call__(self) -> "type[Receipt]":
        assert self.price / self.items >= 0
        return Receipt


class Receipt(Node):
    text: str


# --- 3: a loop that never ends for some answers


class Guess(Node):
    async def __call__(self) -> "Check": ...


class Check(Node):
    score: int = Field(ge=0, le=10)

    async def __call__(self) -> "type[Check] | None":
        return None if self.score > 6 else Check


# --- 4: a validator that breaks on an answer it should reject


class Ask(Node):
    async def __call__(self) -> "Reply": ...


class Reply(Node):
    word: str

    @field_validator("word", mode="before")
    @classmethod
    def is_short(cls, value):
        return value.strip()


# --- 5: an edge that no value takes


class Payment(Node):
    amount: int = Field(ge=1, le=100)

    async def __call__(self) -> "type[Refund] | type[Invoice]":  # noqa: PYI055
        return Refund if self.amount < 0 else Invoice


class Refund(Node):
    reason: str


class Invoice(Node):
    number: int


# --- 6: a resource that breaks when it is closed after a failure


def open_ledger() -> Iterator[list[str]]:
    rows: list[str] = []
    try:
        yield rows
    except Exception:
        rows.pop()
        raise


class Entry(Node):
    ledger: list[str] = Dep(open_ledger)

    async def __call__(self) -> "Booked": ...


class Booked(Node):
    text: str


# --- 7: a Recall that one way through the graph does not provide


class Door(Node):
    async def __call__(self) -> "Key | Window": ...


class Key(Node):
    teeth: int

    async def __call__(self) -> "Room": ...


class Window(Node):
    is_open: bool

    async def __call__(self) -> "Room": ...


class Room(Node):
    key: Annotated[Key, Recall()]
    colour: str


# --- 8: a dependency that waits for ever when asked about something unusual


class Topic(Node):
    async def __call__(self) -> "Subject": ...


class Subject(Node):
    kind: Literal["plain", "odd"]

    async def __call__(self) -> "Article": ...


async def search(subject: Annotated[Subject, Recall()]) -> str:
    if subject.kind == "odd":
        await asyncio.Event().wait()
    return "found"


class Article(Node):
    found: str = Dep(search)
    text: str


# --- 9: state that is carried from one run to the next

numbers = itertools.count()


def take_number() -> int:
    number = next(numbers)
    if number > 1:
        msg = "the last number is taken"
        raise RuntimeError(msg)
    return number


class Queue(Node):
    number: int = Dep(take_number)

    async def __call__(self) -> "Served": ...


class Served(Node):
    text: str


# --- 10: a way that depends on a value of the world, and fails there


class Stock(BaseModel):
    pieces: int
    warehouse: str | None = "north"


def get_stock() -> Stock:
    return Stock(pieces=3)


class Purchase(Node):
    stock: Stock = Dep(get_stock)

    async def __call__(self) -> "type[Shipment] | type[BackOrder]":  # noqa: PYI055
        return Shipment if self.stock.pieces > 0 else BackOrder


class Shipment(Node):
    label: str


class BackOrder(Node):
    days: int = Field(ge=0)

    async def __call__(self) -> "type[Apology]":
        assert 60 / self.days
        return Apology


class Apology(Node):
    text: str


FAULTS = {
    "code returns another node": (Ticket, "Ticket → Triage", "RouteError"),
    "division by zero": (Order, "Order → Quote", "ZeroDivisionError"),
    "endless loop": (Guess, "Check → Check → Check", "StepLimitError"),
    "validator breaks": (Ask, "Ask → Reply", "AttributeError"),
    "edge never taken": (Payment, "Refund", "no run reached this node"),
    "closing breaks": (Entry, "Entry → Booked", "IndexError"),
    "recall of nothing": (Door, "Door → Window → Room", "RecallError"),
    "endless wait": (Topic, "Topic → Subject → Article", "RunTimeoutError"),
    "state between runs": (Queue, "Queue", "the last number is taken"),
    "fails behind a value of the world": (Purchase, "Purchase → BackOrder", "ZeroDivisionError"),
}


@pytest.mark.parametrize(("start", "where", "what"), FAULTS.values(), ids=FAULTS)
def test_the_planted_fault_is_found(start, where, what):
    found = explore(Graph(start=start), timeout=0.2)

    findings = list(found.findings())
    assert any(where in line and what in line for line in findings), found
    assert all(what in line for line in findings), found
    with pytest.raises(ExplorationError, match=what):
        found.check()
