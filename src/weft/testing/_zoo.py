"""One of every kind of type that a field may have: what an LM must be able to write, and a sampler to make."""

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from re import Pattern
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    AnyHttpUrl,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    JsonValue,
    NegativeInt,
    NewPath,
    NonNegativeFloat,
    PastDate,
    PastDatetime,
    PositiveInt,
    PostgresDsn,
    RootModel,
    SecretBytes,
    SecretStr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
)


class _Model(BaseModel):
    model_config = ConfigDict(defer_build=True)  # most imports of this file never write one


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


Odd = Enum("Odd", {"LIST": [1, 2], "TEXT": "text", "NUMBER": 1.5})


class Only(Enum):
    ONE = "one"


class Leaf(_Model):
    worth: int


class Tree(_Model):
    left: "Tree | Leaf"
    right: "Tree | Leaf"


class Chain(_Model):
    link: int
    following: "Chain | None"


class Folder(_Model):
    name: str
    folders: list["Folder"]
    by_name: dict[str, "Folder"] = Field({})


class Hen(_Model):
    egg: "Egg | None" = None
    eggs: list["Egg"]


class Egg(_Model):
    hen: Hen


class Wide(_Model):
    a: list["Wide"]
    b: dict[str, "Wide"]
    c: "Wide | None"
    d: tuple["Wide | None", "Wide | int"]
    e: list["Wide"]
    f: list["Wide"]
    g: "list[Wide] | Wide | None"


class Start(_Model):
    way: "Long | Short | Start"


class Long(_Model):
    way: "Longer | Start"


class Longer(_Model):
    way: "Start | Leaf"


class Short(_Model):
    worth: float


class Cat(_Model):
    kind: Literal["cat"]
    lives: PositiveInt


class Dog(_Model):
    kind: Literal["dog", "wolf"]
    barks: bool = True


class Owner(_Model):
    model_config = ConfigDict(extra="forbid")

    pet: Cat | Dog = Field(discriminator="kind")
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(min_length=1, max_length=3)
    favourite: Leaf | None = Field(None, description="What she likes most\nof all")


class Point(NamedTuple):
    x: float
    y: float = 0.0
    label: str = "origin"


@dataclass
class Person:
    name: str
    age: Annotated[int, Field(ge=0, lt=150)]
    homes: list[Leaf]


class Frozen(_Model):
    model_config = ConfigDict(frozen=True)

    word: str


class Extra(_Model):
    model_config = ConfigDict(extra="allow", json_schema_extra={"minProperties": 3})

    word: str


class Aliased(_Model):
    number: int = Field(alias="theNumber", gt=3)
    texts: tuple[str, ...] = Field(alias="the-texts", min_length=2)


class Numbers(RootModel[list[int]]):
    model_config = ConfigDict(defer_build=True)


class Merged(_Model):
    word: str = Field(json_schema_extra={"allOf": [{"minLength": 40}, {"maxLength": 50}]})


Letters = Annotated[str, Field(pattern="^[a-c]{1,2}$")]

Lazy = Iterable[str]  # gone once it is read: its values cannot be compared

ZOO: Mapping[str, Sequence[Any]] = {
    "numbers": [
        int,
        float,
        bool,
        complex | int,
        StrictInt,
        StrictFloat,
        StrictBool,
        PositiveInt,
        NegativeInt,
        NonNegativeFloat,
        ByteSize,
        Fraction,
        Decimal,
        Decimal | None,
        Annotated[int, Field(gt=3, multiple_of=7)],
        Annotated[int, Field(le=-5)],
        Annotated[int, Field(lt=3, multiple_of=100)],
        Annotated[int, Field(gt=2**70, lt=2**70 + 2)],
        Annotated[int, Field(ge=-3, le=-3)],
        Annotated[int, Field(gt=10, le=20, multiple_of=5)],
        Annotated[float, Field(ge=0, le=1)],
        Annotated[float, Field(gt=0, lt=1e-9)],
        Annotated[float, Field(gt=0.1, lt=0.1000001)],
        Annotated[float, Field(gt=0.1, lt=math.nextafter(math.nextafter(0.1, 1), 1))],
        Annotated[float, Field(gt=1e300)],
        Annotated[float, Field(lt=-1e300)],
        Annotated[float, Field(ge=0.5, le=0.5)],
        Annotated[float, Field(multiple_of=0.1)],
        Annotated[float, Field(gt=0.3, le=0.7, multiple_of=0.2)],
        Annotated[float, Field(ge=-2.5, lt=0, multiple_of=0.5)],
        Annotated[Decimal, Field(gt=1, le=2, max_digits=5, decimal_places=2)],
        Annotated[Decimal, Field(max_digits=2)],
        Annotated[Decimal, Field(multiple_of=0.25)],
        Annotated[int | float, Field(ge=200, lt=300)],
        Annotated[int | None, Field(ge=50)],
    ],
    "few_values": [
        None,
        Literal["only"],
        Literal[1, "one", True] | None,
        Colour,
        Size,
        Odd,
        Only,
        dict[Colour, int],
        dict[Size, bool],
    ],
    "texts": [
        str,
        Annotated[str, Field(max_length=0)],
        Annotated[str, Field(max_length=3)],
        Annotated[str, Field(min_length=300)],
        Annotated[str, Field(min_length=8, max_length=8)],
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=8, max_length=8)],
        Annotated[str, StringConstraints(to_upper=True, pattern="^[A-Z]{3}$")],
        Annotated[str, Field(pattern="text")],
        Annotated[str, Field(pattern=r"^[a-z]+$", max_length=4)],
        Annotated[str, Field(pattern=r"^[a-z]+\d$", min_length=12)],
        Annotated[str, Field(pattern="^x", min_length=40)],
        Annotated[str, Field(pattern=r"^\d{4}-[^a-z]{2}$")],
        Annotated[str, Field(pattern=r"^(\+|-)?\S+@\S+\.(com|org)$")],
        bytes,
        Annotated[bytes, Field(min_length=1, max_length=3)],
        Base64Bytes,
        Base64Str,
        Base64UrlBytes,
        Annotated[Base64Bytes, Field(min_length=50)],
        Annotated[Base64Str, Field(max_length=9)],
        SecretStr,
        SecretBytes,
        Annotated[SecretStr, Field(min_length=30)],
        Pattern,
        Json,
        Json[list[PositiveInt]],
        Annotated[Json[list[int]], Field(min_length=3)],
    ],
    "times": [
        date,
        time,
        datetime,
        timedelta,
        PastDate,
        PastDatetime,
        AwareDatetime,
    ],
    "addresses": [
        HttpUrl,
        AnyUrl,
        AnyHttpUrl,
        PostgresDsn,
        Annotated[HttpUrl, Field(max_length=24)],
        IPv4Address,
        IPv4Interface,
        IPv4Network,
        IPv6Address,
        IPv6Interface,
        IPv6Network,
        IPvAnyAddress,
        IPvAnyInterface,
        IPvAnyNetwork,
        UUID,
        UUID1,
        UUID3,
        UUID4,
        UUID5,
        UUID6,
        UUID7,
        UUID8,
        Path,
        NewPath,
    ],
    "collections": [
        list,
        dict,
        set,
        tuple,
        list[list[int]],
        tuple[()],
        tuple[int, str, Colour],
        tuple[int, ...],
        Sequence[int],
        Lazy,
        deque[int],
        OrderedDict[str, int],
        Mapping[str, bool],
        Annotated[list[int], Field(min_length=3, max_length=3)],
        Annotated[list[int], Field(min_length=0, max_length=0)],
        set[int],
        set[Colour],
        frozenset[Literal[1, 2]],
        Annotated[set[bool], Field(min_length=2)],
        Annotated[set[Colour], Field(min_length=3)],
        Annotated[set[Frozen], Field(min_length=4)],
        Annotated[set[str], Field(min_length=30)],
        Annotated[set[tuple[str, ...]], Field(min_length=5)],
        Annotated[set[Annotated[str, Field(max_length=2)]], Field(min_length=9)],
        Annotated[set[Annotated[int, Field(ge=1, le=50)]], Field(min_length=50)],
        Annotated[set[Letters], Field(min_length=12)],
        Annotated[set[HttpUrl], Field(min_length=5)],
        Annotated[list[int] | set[int], Field(min_length=4)],
        dict[str, int],
        dict[int, str],
        dict[float, str],
        dict[bool, str],
        dict[UUID, date],
        dict[date, UUID],
        dict[Letters, int],
        dict[Annotated[str, Field(min_length=3, max_length=5)], int],
        dict[Literal["left", "right"], int],
        Annotated[dict[str, int], Field(min_length=3, max_length=4)],
        Annotated[dict[Colour, int], Field(min_length=3)],
        Annotated[dict[Letters, int], Field(min_length=12)],
    ],
    "models": [
        Tree,
        Chain,
        Folder,
        Hen,
        Egg,
        Wide,
        Start,
        JsonValue,
        Owner,
        Annotated[Cat | Dog, Field(discriminator="kind")],
        Cat | Dog | None,
        Point,
        Person,
        Frozen,
        Extra,
        Aliased,
        Numbers,
        Merged,
    ],
    "unions": [
        date | Colour,
        Any,
        object,
        Hashable,
        Optional[int],  # noqa: UP045 - the older spelling is a type of its own
        int | str,
        int | str | list[int] | None,
        Letters | PositiveInt,
        Annotated[str | bytes, Field(min_length=2)],
    ],
}
