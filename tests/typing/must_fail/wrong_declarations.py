"""Declarations that must not pass. A checker reports exactly the lines marked `# E:`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from weft import Dep, Node, NodeConfig, Recall


class Session:
    def count(self) -> int:
        return 1


class CallableObject:
    def __call__(self) -> bytes:
        return b""


def get_city() -> str:
    return "Oslo"


async def get_temperature() -> float:
    return 3.5


def open_session() -> Iterator[Session]:
    yield Session()


async def connect() -> AsyncIterator[Session]:
    yield Session()


def scale(by: int) -> int:
    return by


class Summary(Node):
    words: str


class WrongTypes(Node):
    by_sync: int = Dep(get_city)  # E: a str
    by_async: str = Dep(get_temperature)  # E: a float, awaited
    by_generator: str = Dep(open_session)  # E: a Session
    by_async_generator: str = Dep(connect)  # E: a Session
    by_class: str = Dep(Session)  # E: a Session
    by_partial: str = Dep(functools.partial(scale, 2))  # E: an int
    by_method: str = Dep(Session().count)  # E: an int
    by_object: str = Dep(CallableObject())  # E: bytes
    by_lambda: str = Dep(lambda: 3)  # E: an int
    the_iterator: Iterator[Session] = Dep(open_session)  # E[pyright]: mypy lets the field decide; the Graph says it
    narrower: Session = Dep(get_city, per="visit", timeout=3)  # E: a str, with options too


class WrongOptions(Node):
    not_callable: int = Dep(3)  # E: not callable
    no_such_span: str = Dep(get_city, per="sometimes")  # E: run or visit
    no_such_option: str = Dep(get_city, retry=1)  # E: retries
    no_thread_for_an_lm: Summary = Dep(thread=True)  # E: an LM's filling runs on the loop
    recall_by_number: str = Recall(3)  # E: a Node class or a field's name
    recall_no_node: str = Recall(Session)  # E: not a Node
    recall_two_names: str = Recall("words", 3)  # E: the field's name is a string


class Start(Node):
    message: str
    mood: str = Field(description="read from the message")
    city: str = Dep(get_city)
    before: Summary = Recall()


Start(message="hi", mood="good")
Start(message=1, mood="good")  # E: wrong type
Start(message="hi", mood="good", temper="bad")  # E: unknown name
Start(message="hi")  # E: a described field is plain, and missing
Start()  # E: nothing given
Start(message="hi", mood="good", city=3)  # E: wrong type of a given dependency
Start(message="hi", mood="good", before=Session())  # E: wrong type of a given recall
Start("hi", "good")  # E: keywords only


class Demanding(Node):
    message: str
    city: Annotated[str, Dep(get_city)]


Demanding(message="hi", city="Rome")
Demanding(message="hi")  # E: the Annotated form is demanded

T = TypeVar("T")


class Box(Node, Generic[T]):
    content: T


class BoxOfInts(Box[int]):
    count: int


Box[int](content="three")  # E: not an int
BoxOfInts(content="three", count=3)  # E: not an int, inherited
BoxOfInts(content=3)  # E: its own field is missing


class Configured(Node):
    node_config = NodeConfig(retrys=2)  # E: unknown name

    words: str


NodeConfig("offline")  # E: keywords only
NodeConfig(routes="nobody")  # E: lm or code
NodeConfig(lm=3)  # E: a name or an LM
