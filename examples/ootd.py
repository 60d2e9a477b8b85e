"""Outfit of the day: dependencies, a route that the LM chooses, sub-nodes filled at the same time, and Recall.

    python examples/ootd.py                    # no key, no network: the words are made up from the types
    WEFT_LM=anthropic:claude-sonnet-5-5 python examples/ootd.py
    weft graph show examples/ootd.py

The files in examples/data are in the shape that real services answer.
"""

import os
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasPath, BaseModel, BeforeValidator, Field, HttpUrl

from weft import Dep, Graph, GraphResult, Node, Recall

DATA = Path(__file__).parent / "data"
TODAY = date(2025, 10, 14)  # the day that the files are about

# What the world knows: ordinary functions, async or not.


class Location(BaseModel):
    city: str
    country: str


class Weather(BaseModel):
    """What of OpenWeatherMap's answer matters here, in °C and m/s."""

    sky: str = Field(validation_alias=AliasPath("weather", 0, "description"))
    temperature: float = Field(validation_alias=AliasPath("main", "temp"))
    feels_like: float = Field(validation_alias=AliasPath("main", "feels_like"))
    wind: float = Field(validation_alias=AliasPath("wind", "speed"))


class Event(BaseModel):
    title: str = Field(validation_alias="SUMMARY")
    starts: Annotated[datetime, BeforeValidator(datetime.fromisoformat)] = Field(validation_alias="DTSTART")
    where: str = Field("", validation_alias="LOCATION")
    notes: str = Field("", validation_alias="DESCRIPTION")


async def get_location() -> Location:
    return Location(city="Zurich", country="CH")


def get_weather(place: Annotated[Location, Dep(get_location)]) -> Weather:
    return Weather.model_validate_json((DATA / f"weather-{place.city.lower()}.json").read_bytes())


def get_calendar() -> list[Event]:
    events = read_ics((DATA / "calendar.ics").read_text(encoding="utf-8"))
    return sorted((each for each in events if each.starts.date() == TODAY), key=lambda each: each.starts.time())


def read_ics(text: str) -> Iterator[Event]:
    """Yield the events of an iCalendar file, each at the time of day that is written there, in whatever zone."""
    unfolded = re.sub(r"\n[ \t]", "", text)
    without_alarms = re.sub(r"BEGIN:VALARM.*?END:VALARM", "", unfolded, flags=re.DOTALL)
    for event in re.findall(r"BEGIN:VEVENT(.*?)END:VEVENT", without_alarms, re.DOTALL):
        lines = re.findall(r'^([\w-]+)(?:;(?:"[^"]*"|[^":])*)?:(.*)$', event, re.MULTILINE)
        values = {name: re.sub(r"\\(.)", lambda it: "\n" if it[1] in "nN" else it[1], value) for name, value in lines}
        yield Event.model_validate(values)


# The graph: plain fields are the caller's on the first node, and the LM's on all others.


class User(BaseModel):
    name: str
    style: str
    owns: list[str]


class IsTheUserGettingDressed(Node):
    user: User
    user_message: str

    async def __call__(self) -> "AnticipateUsersDay | No": ...


class No(Node):
    final_response: str = Field(description="A short and friendly answer to the message")


class AnticipateUsersDay(Node):
    weather: Annotated[Weather, Dep(get_weather, thread=True)]  # a blocking function, moved off the event loop
    calendar: Annotated[list[Event], Dep(get_calendar)]
    mood: Literal["sleepy", "cheerful", "rushed", "nervous"] = Field(description="Read from the message")
    demands: str = Field(description="What the day asks of the clothes, in one sentence")

    async def __call__(self) -> "RecommendOOTD": ...


class PickClothes(Node):
    user: Annotated[User, Recall()]
    top: str
    bottom: str
    shoes: str


class PackBag(Node):
    umbrella: bool
    take_along: list[str] = Field(max_length=3, description="For the evening, and against the weather")


class GenerateWardrobe(Node):
    clothes: Annotated[PickClothes, Dep()]  # nodes as dependencies: the LM fills both at once, then this one
    bag: Annotated[PackBag, Dep()]
    look: str = Field(description="The whole outfit in one line")


class RecommendOOTD(Node):
    asked: Annotated[IsTheUserGettingDressed, Recall()]  # from two nodes back
    place: Annotated[Location, Dep(get_location)]  # known already: it ran once, for the weather
    wardrobe: Annotated[GenerateWardrobe, Dep()]
    shops: list[HttpUrl] = Field(min_length=1, max_length=3, description="Near the place, for what is missing")
    final_response: str = Field(description="What to wear and why, in two warm sentences")


graph = Graph(start=IsTheUserGettingDressed, end=RecommendOOTD | No)


def show(result: GraphResult[RecommendOOTD | No]) -> None:
    print(" → ".join(type(node).__name__ for node in result.trace), end="\n\n")
    for node in result.trace:
        if isinstance(node, AnticipateUsersDay):
            now = node.weather
            print(f"weather   {now.sky}, {now.temperature} °C (feels like {now.feels_like}), wind {now.wind} m/s")
            for event in node.calendar:
                print(f"{event.starts:%H:%M}     {event.title}, {event.where}")
    if isinstance(result.result, RecommendOOTD):
        clothes, bag = result.result.wardrobe.clothes, result.result.wardrobe.bag
        print(f"\ntop       {clothes.top}\nbottom    {clothes.bottom}\nshoes     {clothes.shoes}")
        print("bag      ", ", ".join([*(["umbrella"] if bag.umbrella else []), *bag.take_along]))
        print("shops    ", ", ".join(map(str, result.result.shops)))
    print(f"\n{result.result.final_response}")


if __name__ == "__main__":
    ada = User(name="Ada", style="plain, with one bold colour", owns=["navy suit", "white shirt", "oxfords"])
    start = IsTheUserGettingDressed(user=ada, user_message="ugh, i just got up and it is a long day")
    show(graph.run(start, lm=os.environ.get("WEFT_LM") or "offline"))
