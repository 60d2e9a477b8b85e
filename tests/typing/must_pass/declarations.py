"""Nodes as users declare them: the types of fields, and what the constructor asks for."""

# pyright: strict

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterable, Iterator, Sequence
from typing import Annotated, Any, Generic, TypeVar, assert_type

from pydantic import BaseModel, Field

from weft import LM, Dep, Node, NodeConfig, Recall


class Place(BaseModel):
    city: str


class Session:
    def __init__(self, url: str = "memory://") -> None:
        self.url = url

    @classmethod
    def local(cls) -> Session:
        return cls()

    def count(self) -> int:
        return len(self.url)

    def __call__(self) -> bytes:
        return self.url.encode()


def get_city() -> str:
    return "Oslo"


async def get_place(city: Annotated[str, Dep(get_city)]) -> Place:
    return Place(city=city)


async def get_places() -> list[Place]:
    return [Place(city="Oslo")]


def get_later() -> Awaitable[float]:
    raise NotImplementedError


@functools.cache
def get_cached_city() -> str:
    return "Oslo"


def open_session() -> Iterator[Session]:
    yield Session()


def open_session_as_generator() -> Generator[Session, None, None]:
    yield Session()


async def connect() -> AsyncIterator[Session]:
    yield Session()


async def connect_as_generator() -> AsyncGenerator[Session, None]:
    yield Session()


def scale(by: int, city: str = Dep(get_city)) -> int:
    return by * len(city)


def scale_by_two(city: str = Dep(get_city)) -> int:
    return scale(2, city)


class Summary(Node):
    words: str


class EveryKindOfFunction(Node):
    by_sync: str = Dep(get_city)
    by_async: Place = Dep(get_place)
    by_awaitable: float = Dep(get_later)
    by_generator: Session = Dep(open_session)
    by_generator_type: Session = Dep(open_session_as_generator)
    by_async_generator: Session = Dep(connect)
    by_async_generator_type: Session = Dep(connect_as_generator)
    by_class: Session = Dep(Session)
    by_lambda: int = Dep(lambda: 3)
    by_partial: int = Dep(functools.partial(scale, 2))
    by_partial_of_async: Place = Dep(functools.partial(get_place, city="Rome"))
    by_decorated: str = Dep(get_cached_city)
    by_method: int = Dep(Session().count)
    by_class_method: Session = Dep(Session.local)
    by_object: bytes = Dep(Session())
    with_options: Place = Dep(get_place, per="visit", timeout=1.5, retries=2)
    in_a_thread: str = Dep(get_city, thread=True)
    wider: str | None = Dep(get_city)
    wider_async: Place | None = Dep(get_place)
    wider_generator: Session | None = Dep(open_session)
    as_base: BaseModel = Dep(get_place)
    as_sequence: Sequence[Place] = Dep(get_places)
    as_float: float = Dep(scale_by_two)
    as_iterable: Iterable[Place] = Dep(get_places)
    as_anything: Any = Dep(get_place)
    by_node: Summary = Dep()
    recalled: Place = Recall()
    recalled_field: str = Recall("words")
    recalled_node: Summary = Recall(Summary)
    recalled_node_field: str = Recall(Summary, "words")


EveryKindOfFunction()


def a_field_has_its_annotated_type(every: EveryKindOfFunction) -> None:
    assert_type(every.by_sync, str)
    assert_type(every.by_async, Place)
    assert_type(every.by_async_generator, Session)
    assert_type(every.wider, str | None)
    assert_type(every.by_node, Summary)
    assert_type(every.recalled, Place)


# What Dep itself is typed as, where no annotation helps.
def dep_is_typed_as_the_value() -> None:
    assert_type(Dep(get_city), str)
    assert_type(Dep(get_place), Place)
    assert_type(Dep(get_later), float)
    assert_type(Dep(get_places), list[Place])
    assert_type(Dep(open_session), Session)
    assert_type(Dep(open_session_as_generator), Session)
    assert_type(Dep(connect), Session)
    assert_type(Dep(connect_as_generator), Session)
    assert_type(Dep(Session), Session)
    assert_type(Dep(functools.partial(scale, 2)), int)
    assert_type(Dep(Session().count), int)
    assert_type(Dep(Session()), bytes)
    assert_type(Dep(get_place, per="visit", thread=True, timeout=1, retries=1), Place)


# The assignment form is an optional constructor argument; a plain field, with or without a description, is not.
class Assigned(Node):
    message: str
    mood: str = Field(description="read from the message")
    tone: str = "calm"
    place: Place = Dep(get_place)
    before: Summary = Recall()


Assigned(message="hi", mood="good")
Assigned(message="hi", mood="good", tone="loud", place=Place(city="Rome"), before=Summary(words="so far"))


# The Annotated form is one the checkers demand; at run time it may be left out all the same.
class Demanded(Node):
    message: str
    place: Annotated[Place, Dep(get_place)]
    before: Annotated[Summary, Recall()]


Demanded(message="hi", place=Place(city="Rome"), before=Summary(words="so far"))


# Generic and inherited nodes keep their fields.
T = TypeVar("T")


class Box(Node, Generic[T]):
    content: T
    city: str = Dep(get_city)


class BoxOfPlaces(Box[Place]):
    count: int


def generic_fields_have_their_types(box: Box[int]) -> None:
    assert_type(box.content, int)
    assert_type(box.city, str)
    assert_type(Box(content="").content, str)
    assert_type(BoxOfPlaces(content=Place(city="Rome"), count=1).content, Place)


Box[int](content=3)
BoxOfPlaces(content=Place(city="Rome"), count=1, city="Rome")


class Configured(Node):
    node_config = NodeConfig(lm="offline", instruction="Say it in one line", timeout=10, retries=2)

    words: str


# A body overrides __call__ with whatever it wants injected.
class Custom(Node):
    async def __call__(
        self,
        lm: LM,
        place: Annotated[Place, Dep(get_place)],
        *,
        city: str = Dep(get_city),
        before: Annotated[Summary, Recall()],
    ) -> Summary | None:
        assert_type(await lm.make(self, Summary), Summary)
        return Summary(words=place.city + city + before.words) if place.city else None


# An override of an override is held to the first one's parameters, as any method is.
class StillCustom(Custom):
    async def __call__(self, session: Annotated[Session, Dep(open_session)]) -> Summary:  # type: ignore[override]
        return Summary(words=session.url)
