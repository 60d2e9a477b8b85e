"""The nodes that the checks of an LM have it write and choose."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, create_model

from ..nodes import Dep, Node, NodeConfig
from ._zoo import ZOO, Lazy

PARALLEL = 50


class Possession:
    """What no JSON can hold, as a connection."""


class Question(Node):
    text: str
    secret: str = Field(default="hidden-from-the-model", exclude=True)

    async def __call__(self) -> "Answer | Rebuttal": ...  # noqa: UP037  as users write it


class Answer(Node):
    node_config = NodeConfig(instruction="Answer the question in a few words.")
    words: str = Field(description="what to say")
    is_sure: bool


class Rebuttal(Node):
    words: str


class Letter(Node):
    possession: Annotated[Possession, Dep(Possession)]
    day: date
    words: str = Field(description="what it says")


class Crossroads(Node):
    text: str

    async def __call__(self) -> Answer | Rebuttal | None: ...


class DeadEnd(Node):
    text: str

    async def __call__(self) -> None: ...


class OneWay(Node):
    text: str

    async def __call__(self) -> Answer: ...


class Number(Node):
    number: int
    day: date


class SingleTry(Node):
    node_config = NodeConfig(retries=0)
    number: int
    day: date


class SingleTurn(Node):
    node_config = NodeConfig(retries=0)
    text: str

    async def __call__(self) -> Answer | Rebuttal: ...


class Essay(Node):
    text: str = Field(description="as long as it may be")


class Hurry(Node):
    async def __call__(self) -> Hurried: ...


class Hurried(Node):
    node_config = NodeConfig(timeout=1.0)
    words: str


class SingleTryPart(Node):
    node_config = NodeConfig(retries=0)


question = Question(text="Why?")


@functools.cache
def zoo_nodes() -> Mapping[str, type[Node]]:
    """Return a node class for each group of the zoo, each type of which is a plain field."""
    return {group: node_of(f"Zoo{group.title().replace('_', '')}", types) for group, types in ZOO.items()}


def node_of(name: str, types: Sequence[Any]) -> type[Node]:
    """Return a node class with a plain field for each of *types* whose values can be compared."""
    return _node(name, {f"field_{number}": _comparable(each) for number, each in enumerate(types) if each != Lazy})


def _comparable(annotation: Any) -> Any:
    """Return *annotation*, so that its value comes back from the JSON it is written as."""
    is_secret = "Secret" in str(annotation)
    return Annotated[annotation, _REVEALED] if is_secret else annotation


_REVEALED = PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")


def _node(name: str, fields: Mapping[str, Any], base: type[Node] = Node) -> type[Node]:
    make: Any = create_model
    required = {each: (annotation, ...) for each, annotation in fields.items()}
    node: type[Node] = make(name, __base__=base, __module__=__name__, **required)
    return node


@functools.cache
def parts() -> tuple[type[Node], ...]:
    """Return many node classes, each with one answer that fits, and no second try."""
    literal: Any = Literal
    return tuple(
        _node(f"Part{number}", {"own": literal[f"part {number}"]}, SingleTryPart) for number in range(PARALLEL)
    )


@functools.cache
def whole() -> type[Node]:
    """Return a node class whose dependencies are the parts, all written at once."""
    return _node("Whole", {f"part_{number}": Annotated[part, Dep()] for number, part in enumerate(parts())})
