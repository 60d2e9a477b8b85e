"""The picture of a graph: what it tells, that it is sound XML, and that it can be read in light and in dark."""

import os
import re
from itertools import product
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar
from xml.etree import ElementTree as ET

import pytest
from pydantic import Field, create_model

from weft import LM, Dep, Graph, Node, NodeConfig, Recall
from weft.render.fonts import fitted, width_of
from weft.render.markup import Markup, element
from weft.render.style import COLOURS

SNAPSHOT = Path(__file__).parents[1] / "data" / "graph.svg"
SVG = "{http://www.w3.org/2000/svg}"
T = TypeVar("T")


def get_place() -> str:
    return "Oslo"


def get_weather(place: Annotated[str, Dep(get_place)]) -> str:
    return f"rain in {place}"


class Ask(Node):
    question: str
    days: int = 3

    async def __call__(self) -> "Plan | Refusal | None": ...


class Tone(Node):
    ask: Annotated[Ask, Recall()]
    mood: str


class Plan(Node):
    node_config = NodeConfig(lm="offline")
    weather: Annotated[str, Dep(get_weather)]
    tone: Annotated[Tone, Dep()]
    text: str = Field(description="the plan")

    async def __call__(self, lm: LM) -> "type[Plan] | type[Refusal]":  # noqa: PYI055
        return Refusal


class Refusal(Node):
    reason: Literal["no & never", "<later>"]


def parsed(graph) -> ET.Element:
    return ET.fromstring(graph.to_svg())


def texts(graph) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(graph).iter(f"{SVG}text")]


def tooltips(graph) -> list[str]:
    return [each.text or "" for each in parsed(graph).iter(f"{SVG}title")]


def test_each_value_stands_with_its_source():
    assert texts(Graph(start=Ask))[:21] == [
        *["Ask", "start", "question: str", "caller", "days: int", "caller, or 3", "the LM chooses"],
        *["Plan", "LM offline", "weather: str", "Dep get_weather", "place: str", "Dep get_place"],
        *["tone: Tone", "Dep, filled by the LM", "ask: Ask", "Recall Ask", "mood: str", "LM", "text: str", "LM"],
    ]


def test_the_legend_explains_what_is_in_the_picture_and_no_more():
    whole, small = texts(Graph(start=Ask)), texts(Graph(start=Refusal))

    assert whole[-8:] == [
        *["from the caller", "from the LM", "Dep: from a function", "Dep: a node that the LM fills"],
        *["Recall: from the trace", "the LM chooses", "code chooses, the LM fills", "the run ends"],
    ]
    assert small[-1:] == ["from the caller"]


def test_routes_are_told_apart_by_their_lines():
    def dashes(title: str) -> str | None:
        groups = [each for each in parsed(Graph(start=First)).iter(f"{SVG}g") if each.findtext(f"{SVG}title") == title]
        return groups[0].findall(f"{SVG}path")[0].get("stroke-dasharray")

    found = [
        dashes("First → Second: the only way"),
        dashes("Second → Third: the LM chooses"),
        dashes("Third → First: code chooses"),
        dashes("Fourth → First: code chooses, the LM fills"),
    ]

    assert found[0] is None
    assert len(set(found)) == 4


class First(Node):
    async def __call__(self) -> "Second": ...


class Second(Node):
    async def __call__(self) -> "Third | Fourth": ...


class Third(Node):
    async def __call__(self) -> "First | None":
        return First()


class Fourth(Node):
    async def __call__(self) -> "type[First] | None":
        return First


def test_what_does_not_fit_is_cut_and_told_in_full_by_its_tooltip():
    long = create_model("N" * 200, __base__=Node, **{"f" * 90: (dict[str, list[tuple[int, str, float]]], ...)})
    graph = Graph(start=long)

    assert all(len(text) < 80 for text in texts(graph))
    assert "N" * 200 in tooltips(graph)
    assert f"{'f' * 90}: dict[str, list[tuple[int, str, float]]], caller" in tooltips(graph)


def test_text_is_never_markup():
    hostile = "</title><script>alert('&\"')</script>\x00\x1b[31m\ud800\u202e"
    model = create_model("A<b>&", __base__=Node, field=(str, Field(hostile, description=hostile)))
    source = Graph(start=model).to_svg()

    assert ET.fromstring(source).find(f".//{SVG}script") is None
    assert "\\x1b[31m\\ud800\\u202e" in source
    assert "A&lt;b&gt;&amp;" in source
    source.encode()


def test_a_picture_holds_all_it_needs():
    source = Graph(start=Ask).to_svg()

    assert set(re.findall(r"https?://[^\"' ]+", source)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|<image|<foreignObject|@import|url\(|href", source)


def test_ids_and_styles_are_of_one_picture_only():
    one, other = Graph(start=Ask).to_svg(), Graph(start=First).to_svg()
    ids = [set(re.findall(r'\bid="([^"]+)"', source)) for source in (one, other)]
    scope = ET.fromstring(one).get("id")
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{(.*)\}", r"\1", one.partition("<style>")[2]))

    assert not ids[0] & ids[1]
    assert all(rule.startswith(f"#{scope} ") for rule in rules)


def test_screen_readers_are_told_what_is_shown():
    root = parsed(Graph(start=Ask))
    named = {each.get("id"): each.text for each in root}

    assert root.get("role") == "img"
    assert named[root.get("aria-labelledby")] == "Graph of Ask"
    assert "Ask leads to Plan or Refusal or the end, the LM chooses." in named[root.get("aria-describedby")]


def test_a_picture_is_the_same_each_time():
    assert Graph(start=Ask).to_svg() == Graph(start=Ask).to_svg()


def test_one_picture_has_not_changed():
    """WEFT_RENEW=1 writes it anew; look at the file, in light and in dark, before it is committed."""
    drawn = f"{Graph(start=Ask).to_svg()}\n"
    if os.environ.get("WEFT_RENEW"):
        SNAPSHOT.write_text(drawn, "utf-8")

    assert drawn == SNAPSHOT.read_text("utf-8")


class Box(Node, Generic[T]):
    item: T

    async def __call__(self) -> "Box[int] | None": ...


def test_generic_nodes_and_loops_are_drawn():
    assert texts(Graph(start=Box[str]))[0] == "Box[str]"
    assert "Box[int] → Box[int]: the LM chooses" in tooltips(Graph(start=Box[str]))


def test_sixty_nodes_are_drawn_inside_the_picture():
    names = {f"Step{index}": index for index in range(60)}
    steps = {}
    for name, index in names.items():
        annotation = " | ".join(
            [*(f"Step{each}" for each in (index + 1, index + 3, index - 7) if 0 <= each < 60), "None"]
        )

        async def call(self): ...

        call.__annotations__ = {"return": annotation}
        steps[name] = type(Node)(
            name, (Node,), {"__call__": call, "__module__": __name__, "__annotations__": {"x": int}}
        )
    globals().update(steps)
    root = parsed(Graph(start=steps["Step0"]))
    width, height = float(root.get("width")), float(root.get("height"))

    assert len(root.findall(f".//{SVG}text[@class='title fill-ink']")) == 60
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"


# --- Reading it


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted([luminance(one), luminance(other)], reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


READ = ["ink", "dim", "edge", "caller", "lm", "code", "trace"]


@pytest.mark.parametrize(("name", "ground", "scheme"), list(product(READ, ["page", "card", "head"], [0, 1])))
def test_everything_is_told_from_what_is_behind_it(name, ground, scheme):
    """4.5 : 1 is what level AA of the Web Content Accessibility Guidelines asks of small text."""
    assert contrast(COLOURS[name][scheme], COLOURS[ground][scheme]) >= 4.5


def test_a_picture_follows_the_readers_choice_and_is_light_without_one():
    light, media, dark = Graph(start=Ask).to_svg().partition("@media (prefers-color-scheme:dark)")

    assert media
    assert COLOURS["page"][0] in light
    assert COLOURS["page"][1] in dark
    assert COLOURS["page"][1] not in light


def test_text_is_cut_to_the_room_there_is():
    assert fitted("short", 100, 12) == "short"
    assert fitted("a much longer text", 60, 12).endswith("…")
    assert width_of(fitted("W" * 99, 60, 12, bold=True), 12, bold=True) <= 60
    assert width_of("漢字", 12, mono=True) > width_of("ab", 12, mono=True)


def test_markup_escapes_text_and_leaves_markup():
    inner = element("b", "<&>'\"")

    assert inner == "<b>&lt;&amp;&gt;&#39;&quot;</b>"
    assert element("a", inner, Markup("<c/>"), x=-0.04, y=123456.7, class_="d", a_b='"') == (
        f'<a x="0" y="123457" class="d" a-b="&quot;">{inner}<c/></a>'
    )


# --- Notebooks


def test_notebooks_are_given_the_picture_and_a_line():
    graph = Graph(start=Ask)

    assert graph._repr_mimebundle_() == {"image/svg+xml": graph.to_svg(), "text/plain": "Graph(Ask, 3 nodes)"}
    assert set(graph._repr_mimebundle_(include=["text/plain", "text/html"])) == {"text/plain"}
    assert set(graph._repr_mimebundle_(exclude={"text/plain"})) == {"image/svg+xml"}
