"""Any run does what a simple sequential evaluator says: loops, routes, lifetimes, Recall, resources, subgraphs.

A world is drawn: parts (functions, resources, LM-filled sub-nodes, subgraphs) made from other parts and from what they
Recall, node classes that want some of them in their fields and bodies, and the path that the run takes through the
classes, with loops. Code and LM follow that path. What is async yields to the loop a drawn number of times, so that the
order of completion varies and is the same at every replay. What happened is told by a log, not by time.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import operator
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from weft import BaseLM, Dep, DepError, Graph, LMResponse, Node, Recall, RecallError
from weft.events import DepFinished, DepStarted, Event, LMCallFinished, LMCallStarted, NodeFinished, NodeStarted, Origin

# --- A world -----------------------------------------------------------------------------------------------------


class Red(Node):
    said: str


class Green(Node):
    said: str


class Blue(Node):
    said: str
    mark: int


@dataclass(frozen=True)
class Recalled:
    """A Recall, and what it means: of the newest node of that class the field, or the node itself."""

    name: str
    annotation: Any
    node: type[Node]
    field: str | None = None

    def __repr__(self) -> str:
        return self.name


RECALLS = (
    Recalled("recall_by_type", Annotated[str, Recall()], Node, "said"),
    Recalled("recall_by_name", Annotated[str, Recall("said")], Node, "said"),
    Recalled("recall_red", Annotated[Red, Recall()], Red),
    Recalled("recall_green_said", Annotated[str, Recall(Green, "said")], Green, "said"),
    Recalled("recall_blue", Annotated[Blue, Recall(Blue)], Blue),
    Recalled("recall_mark_by_type", Annotated[int, Recall()], Blue, "mark"),
    Recalled("recall_mark_by_name", Annotated[int, Recall("mark")], Blue, "mark"),
)


@dataclass(frozen=True)
class Use:
    """A part wanted, once per run or anew at each visit."""

    index: int
    per: Any

    @property
    def name(self) -> str:
        return f"{self.per}_{self.index}"


Want = Use | Recalled
RESOURCES = ("generator", "async generator")
KINDS = ("sync", "async", "node", "node", "subgraph", *RESOURCES)


@dataclass
class Part:
    """What a value is made from, and how often that yields, in each of two patterns.

    A resource is used in one way only, `per`. A subgraph runs a graph of one node inside: that wants `inside`.
    """

    index: int
    kind: str
    wants: tuple[Want, ...]
    yields: tuple[int, int]
    per: Any = None
    inside: Stop | None = None

    @property
    def name(self) -> str:
        return f"{'Sub' if self.kind == 'node' else 'part'}{self.index}"


@dataclass
class Stop:
    """A class that the run visits; `given` are the fields that code gives when it makes the node."""

    name: str
    colour: type[Node]
    routing: str
    fields: tuple[Want, ...]
    given: frozenset[str]
    body: tuple[Want, ...]
    leads: tuple[int | None, ...] = ()
    yields: tuple[int, int] = (0, 0)


@dataclass
class World:
    parts: list[Part]
    stops: list[Stop]
    path: list[int]

    @property
    def has_subgraphs(self) -> bool:
        return any(part.kind == "subgraph" for part in self.parts)

    def stop_at(self, step: int) -> Stop | None:
        return self.stops[self.path[step]] if step < len(self.path) else None

    def is_per_visit(self, want: Want) -> bool:
        if isinstance(want, Recalled):
            return False
        return want.per == "visit" or any(map(self.is_per_visit, self.parts[want.index].wants))

    def reads_source(self, want: Want) -> bool:
        if isinstance(want, Recalled):
            return False
        part = self.parts[want.index]
        return part.kind == "node" or any(map(self.reads_source, part.wants))

    def recalls(self, want: Want) -> set[Recalled]:
        if isinstance(want, Recalled):
            return {want}
        return set().union(*map(self.recalls, self.parts[want.index].wants))

    def is_shared(self, want: Use) -> bool:
        """Return whether all runs inside each other share one value."""
        return not (self.is_per_visit(want) or self.reads_source(want) or self.recalls(want))


YIELDS = st.tuples(st.integers(0, 2), st.integers(0, 2))


LIFETIMES = ("run", "run", "run", "visit")


def some(draw: st.DrawFn, choices: Sequence[Any], most: int) -> list[Any]:
    """Draw some of *choices*, every number of them up to *most* being as likely: lists alone are mostly short."""
    count = min(draw(st.integers(0, most)), len(choices))
    return draw(st.lists(st.sampled_from(choices), min_size=count, max_size=count, unique_by=id)) if count else []


def uses(draw: st.DrawFn, parts: list[Part], most: int, lifetimes: Sequence[str] = LIFETIMES) -> tuple[Use, ...]:
    found = some(draw, parts, most)
    return tuple(Use(part.index, part.per or draw(st.sampled_from(lifetimes))) for part in found)


@st.composite
def worlds(draw: st.DrawFn, kinds: Sequence[str] = KINDS, lifetimes: Sequence[str] = LIFETIMES) -> World:
    count = draw(st.integers(1, 4))
    colours = draw(st.lists(st.sampled_from([Red, Green, Blue]), min_size=count + 1, max_size=count + 1))
    # What a node of the loop says can be recalled anywhere in it, if only in the second round; mostly it is there.
    seen = colours[: count if draw(st.integers(0, 5)) == 0 else 1]
    legal = [each for each in RECALLS if any(issubclass(colour, each.node) for colour in seen)]

    def recalls(most: int) -> list[Recalled]:
        return some(draw, legal, most)

    parts: list[Part] = []
    for index in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(kinds))
        per = draw(st.sampled_from(lifetimes)) if kind in RESOURCES else None
        part = Part(index, kind, (*uses(draw, parts, 3, lifetimes), *recalls(1)), draw(YIELDS), per)
        if kind == "subgraph":
            part.inside = inside(draw, World(parts, [], []), f"In{index}", lifetimes)
        parts.append(part)

    loop = [draw(st.integers(0, count - 1)) for _ in range(draw(st.integers(0, 6)))]
    path = [0, *loop, *([count] if draw(st.booleans()) else [])]
    stops = []
    for index in range(count + 1):
        routing = draw(st.sampled_from(["code", "class", "lm"])) if index < count else "end"
        fields = (*uses(draw, parts, 4, lifetimes), *(recalls(2) if index else ()))
        given = draw(st.frozensets(st.sampled_from(fields), max_size=1)) if fields else ()
        body = (*uses(draw, parts, 2, lifetimes), *recalls(1)) if routing in ("code", "class") else ()
        names = frozenset(each.name for each in given if isinstance(each, Use))
        leads = (*range(count + 1), None) if index < count else ()
        stops.append(Stop(f"N{index}", colours[index], routing, fields, names, body, leads, draw(YIELDS)))
    narrow(stops, path, draw(st.sets(st.integers(1, count))))
    return World(parts, stops, path)


def inside(draw: st.DrawFn, world: World, name: str, lifetimes: Sequence[str]) -> Stop:
    """Return the node of a subgraph; its parts can recall nothing else."""
    colour = draw(st.sampled_from([Red, Green, Blue]))
    wanted = uses(draw, world.parts, 3, lifetimes)
    legal = (each for each in wanted if all(issubclass(colour, other.node) for other in world.recalls(each)))
    return Stop(name, colour, "end", tuple(legal), frozenset(), ())


def narrow(stops: list[Stop], path: list[int], wanted: set[int]) -> None:
    """Let those of *wanted* that have one follower only lead to it alone, as long as every node is on a loop."""
    following: dict[int, set[int | None]] = {}
    for index, after in itertools.zip_longest(path, path[1:]):
        following.setdefault(index, set()).add(after)
    for index in wanted:
        only = following.get(index, set())
        wide = {number for number, each in enumerate(stops) if len(each.leads) > 1 and number != index}
        if len(only) == 1 and only <= wide:
            stops[index].leads = tuple(only)


# --- What must happen ----------------------------------------------------------------------------------------------


class MissingError(Exception):
    """Nothing is there to be recalled."""


def text(name: str, inputs: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{each}={inputs[each]}' for each in sorted(inputs))})"


class Sequential:
    """Evaluates a world: visit after visit, value after value, each made when it is first asked for.

    `fields` and `bodies` hold each visit's values, with their origins. `makings` are the parts made: at which step and
    place, and with what value. `moments` are the points at which something can go wrong; `missing` is the step that
    fails because something recalled is not there.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.run = 0
        self.runs = itertools.count(1)
        self.visited: list[Stop] = []
        self.fields: list[dict[str, tuple[Any, Origin]]] = []
        self.bodies: dict[int, dict[str, Any]] = {}
        self.makings: list[tuple[int, int, str]] = []
        self.places: list[str] = []
        self.calls = 0
        self.moments: list[tuple[int, Hashable]] = []
        self.missing: int | None = None
        self._made: dict[Hashable, tuple[str, str]] = {}
        for self.step in range(len(world.path)):
            try:
                self.visit(world.stops[world.path[self.step]])
            except MissingError:
                self.missing = self.step
                return

    def visit(self, stop: Stop) -> None:
        place = f"{self.step}:{stop.name}"
        by_code = not self.step or self.visited[-1].routing == "code"
        if not self.step:
            self.visited.append(stop)
        said = Origin("given") if by_code else Origin("lm", f"{place}/fill")
        fields = {name: (plain(stop, self.step)[name], said) for name in stop.colour.model_fields}
        for want in stop.fields:
            is_given = by_code and want.name in stop.given
            fields[want.name] = ("given", Origin("given")) if is_given else self.look(want, place)
        self.fields.append(fields)
        if self.step:
            self.visited.append(stop)
            if not by_code:
                self.call(("fill", self.step))
        if stop.routing in ("code", "class"):
            self.bodies[self.step] = {want.name: self.look(want, f"{place}/body")[0] for want in stop.body}
            self.moments.append((self.step, ("body", self.step)))
        elif len(stop.leads) > 1:
            self.call(("route", self.step))

    def call(self, moment: Hashable) -> None:
        self.calls += 1
        self.moments.append((self.step, moment))

    def look(self, want: Want, place: str) -> tuple[Any, Origin]:
        """Return the value that meets *want*, and where it came from."""
        if isinstance(want, Recalled):
            position = self.newest(want)
            stop = self.visited[position]
            value = plain(stop, position)[want.field or "said"]
            return value, Origin("recall", f"{position}:{stop.name}")
        identity = self.identity(want)
        if identity not in self._made:
            self._made[identity] = self.make(self.world.parts[want.index], f"{place}/{want.name}")
        value, made_at = self._made[identity]
        return value, Origin("dep", made_at)

    def identity(self, want: Use) -> Hashable:
        """Return what two uses of a part share when they share its value."""
        visit = self.step if self.world.is_per_visit(want) else None
        read = frozenset((each.name, self.newest(each)) for each in self.world.recalls(want))
        source = len(self.visited) if self.world.reads_source(want) else None
        return (want, visit, read, source, None if self.world.is_shared(want) else self.run)

    def make(self, part: Part, place: str) -> tuple[str, str]:
        inputs = {want.name: self.look(want, place)[0] for want in part.wants}
        if part.kind == "node":
            inputs["source"] = plain(self.visited[-1], len(self.visited) - 1)["said"]
            self.calls += 1
        value = text(part.name, inputs)
        number = sum(index == part.index for _, index, _ in self.makings)
        self.makings.append((self.step, part.index, value))
        self.places.append(place)
        self.moments.append((self.step, (part.name, number)))
        return value + self.run_inside(part.inside) if part.inside else value, place

    def run_inside(self, stop: Stop) -> str:
        """Return what the values in a run of its own are."""
        outer = self.run, self.visited
        self.run, self.visited = next(self.runs), [stop]
        try:
            return text(stop.name, {want.name: self.look(want, "")[0] for want in stop.fields})
        finally:
            self.run, self.visited = outer

    def newest(self, want: Recalled) -> int:
        found = [position for position, stop in enumerate(self.visited) if issubclass(stop.colour, want.node)]
        if not found:
            raise MissingError
        return found[-1]


def plain(stop: Stop, step: int) -> dict[str, Any]:
    """Return what the node visited at *step* says: its plain fields."""
    return {"said": f"{stop.name}@{step}", **({"mark": step} if stop.colour is Blue else {})}


# --- What happens --------------------------------------------------------------------------------------------------


class DrawnError(Exception):
    pass


class Built:
    """The functions and classes of a world, a log of what they do, and the trouble that strikes at one moment."""

    def __init__(self, world: World, pattern: int = 0, routing: Any = None, prefetch: Any = "off") -> None:
        self.world = world
        self.pattern = pattern
        self.trouble: tuple[str, Hashable] | None = None
        self.raised: DrawnError | None = None
        self.task: asyncio.Task[Any] | None = None
        self.step: int | None = None
        self.log: list[tuple[Any, ...]] = []
        self.events: list[Event] = []
        self.bodies: dict[int, dict[str, Any]] = {}
        self.shown: dict[int, dict[str, Any]] = {}
        self.decided = 0
        self.numbers: Counter[str] = Counter()
        self.holders: dict[Any, asyncio.Task[Any] | None] = {}
        self.made: list[Any] = []
        for part in world.parts:
            self.made.append(self.sub_node(part) if part.kind == "node" else self.function(part))
        self.stops = [self.node(stop) for stop in world.stops]
        self.stop_of = {stop.name: node for stop, node in zip(world.stops, self.stops, strict=True)}
        for stop, node in zip(world.stops, self.stops, strict=True):
            self.annotate_body(stop, node)
        self.graph: Graph[Any, Any] = Graph(start=self.stops[0], routing=routing, prefetch=prefetch)

    def annotation(self, want: Want) -> Any:
        if isinstance(want, Recalled):
            return want.annotation
        made = self.made[want.index]
        return Annotated[made, Dep(per=want.per)] if is_node(made) else Annotated[Any, Dep(made, per=want.per)]

    def node(self, stop: Stop) -> type[Node]:
        namespace: dict[str, Any] = {"__module__": __name__}
        namespace["__annotations__"] = {want.name: self.annotation(want) for want in stop.fields}
        if stop.routing != "end":
            namespace["__call__"] = empty_body() if stop.routing == "lm" else self.body(stop)
        return type(stop.colour)(stop.name, (stop.colour,), namespace)

    def annotate_body(self, stop: Stop, node: type[Node]) -> None:
        if stop.routing == "end":
            return
        steps = [self.stops[index] for index in stop.leads if index is not None]
        wrapped = [type[each] for each in steps] if stop.routing == "class" else steps
        returns = functools.reduce(operator.or_, [*wrapped, *([None] if None in stop.leads else [])])
        self_ = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        vars(node)["__call__"].__signature__ = self.signature(stop.body, returns, self_)

    def signature(self, wants: tuple[Want, ...], returns: Any, *first: inspect.Parameter) -> inspect.Signature:
        keyword = inspect.Parameter.KEYWORD_ONLY
        rest = [inspect.Parameter(want.name, keyword, annotation=self.annotation(want)) for want in wants]
        return inspect.Signature([*first, *rest], return_annotation=returns)

    def body(self, stop: Stop) -> Any:
        async def follow(node: Any, **arguments: Any) -> Any:
            step = int(node.said.partition("@")[2])
            self.log.append(("body", step))
            self.bodies[step] = {name: text_of(value) for name, value in arguments.items()}
            await pause(stop.yields[self.pattern])
            self.happen(("body", step))
            following = self.world.stop_at(step + 1)
            if following is None:
                return None
            return self.stop_of[following.name] if stop.routing == "class" else self.written(following, step + 1)

        return follow

    def written(self, stop: Stop, step: int) -> Node:
        """Return the node that code makes: with its plain fields, and the fields that are given."""
        given: dict[str, Any] = {}
        for want in stop.fields:
            if want.name in stop.given and isinstance(want, Use):
                made = self.made[want.index]
                given[want.name] = made(text="given") if is_node(made) else "given"
        return self.stop_of[stop.name](**plain(stop, step), **given)

    def sub_node(self, part: Part) -> type[Node]:
        annotations = {"text": str, **{want.name: self.annotation(want) for want in part.wants}}
        return type(Node)(part.name, (Node,), {"__module__": __name__, "__annotations__": annotations})

    def function(self, part: Part) -> Any:
        def sync(**inputs: Any) -> str:
            value, moment = self.start(part, inputs)
            self.happen(moment)
            return value

        async def asynchronous(**inputs: Any) -> str:
            value, moment = self.start(part, inputs)
            await pause(part.yields[self.pattern])
            self.happen(moment)
            await pause(part.yields[self.pattern])
            return value

        def generator(**inputs: Any) -> Iterator[str]:
            value, moment = self.start(part, inputs)
            self.happen(moment)
            thrown = None
            token = self.open(part)
            try:
                yield value
            except BaseException as error:
                thrown = error
                raise
            finally:
                self.close(token, thrown)

        async def async_generator(**inputs: Any) -> AsyncIterator[str]:
            value, moment = self.start(part, inputs)
            await pause(part.yields[self.pattern])
            self.happen(moment)
            thrown = None
            token = self.open(part)
            try:
                yield value
            except BaseException as error:
                thrown = error
                raise
            finally:
                await pause(part.yields[self.pattern])
                self.close(token, thrown)

        inside = Graph(start=self.node(part.inside)) if part.inside is not None else None

        async def subgraph(**inputs: Any) -> str:
            value, moment = self.start(part, inputs)
            await pause(part.yields[self.pattern])
            self.happen(moment)
            assert inside is not None
            result = await inside.arun(inside.start(**plain(part.inside, 0)))
            found = {name: text_of(each) for name, each in result.result if name.startswith(("run_", "visit_"))}
            return value + text(part.inside.name, found)

        made: Any = {"generator": generator, "async generator": async_generator, "async": asynchronous}
        made = {**made, "sync": sync, "subgraph": subgraph}[part.kind]
        returns = {"generator": Iterator[str], "async generator": AsyncIterator[str]}.get(part.kind, str)
        made.__name__ = made.__qualname__ = part.name
        made.__signature__ = self.signature(part.wants, returns)
        return made

    # --- The log, and trouble ---

    def start(self, part: Part, inputs: dict[str, Any]) -> tuple[str, Hashable]:
        value = text(part.name, {name: text_of(value) for name, value in inputs.items()})
        self.log.append(("made", self.step, part.index, value))
        self.numbers[part.name] += 1
        return value, (part.name, self.numbers[part.name] - 1)

    def open(self, part: Part) -> Hashable:
        token = (part.index, len(self.holders), self.step)
        self.holders[token] = asyncio.current_task()
        self.log.append(("open", token))
        return token

    def close(self, token: Any, thrown: BaseException | None) -> None:
        assert asyncio.current_task() is self.holders[token], "closed in another task than it was opened in"
        self.log.append(("close", token, thrown))

    def happen(self, moment: Hashable) -> None:
        kind, when = self.trouble or ("", None)
        if moment != when:
            return
        if kind == "fail":
            self.raised = DrawnError(moment)
            raise self.raised
        assert self.task is not None
        self.task.cancel()

    def hear(self, told: Event) -> None:
        self.events.append(told)
        if isinstance(told, NodeStarted) and "/" not in told.key:
            self.step = told.step
            self.log.append(("visit", told.step))

    # --- Running ---

    async def run(self, *, is_heard: bool = True, turns: int | None = None) -> Any:
        """Return the result, or the error; nothing is left behind in either case."""
        problems: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        before = asyncio.all_tasks()
        start = self.written(self.world.stops[0], 0)
        running = self.graph.arun(start, lm=FollowingLM(self), on_event=self.hear if is_heard else None)
        self.task = asyncio.ensure_future(running)
        if turns is not None:
            await pause(turns)
            self.task.cancel()
        async with asyncio.timeout(60):  # a hanging run must not hang the test
            await asyncio.wait([self.task])
        assert asyncio.all_tasks() == before, "a task survived the run"
        assert not problems
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception() or self.task.result()

    def makings(self) -> Counter[tuple[int | None, int, str]]:
        return Counter((step, index, value) for what, step, index, value in filter(is_making, self.log))

    def check_resources(self, error: BaseException | None) -> None:
        """Each is closed once, in reverse, at the end of its visit or of the run, with the error thrown in."""
        opened = Counter(each[1] for each in self.log if each[0] == "open")
        assert Counter(each[1] for each in self.log if each[0] == "close") == opened
        if isinstance(error, asyncio.CancelledError):
            return
        stacks: dict[bool, list[Hashable]] = {True: [], False: []}
        closing: set[bool] = set()
        for what, *rest in self.log:
            if what in ("open", "close") and self.may_be_of_run_inside(rest[0]):
                continue
            if what == "open":
                stacks[self.is_of_visit(rest[0])].append(rest[0])
            elif what != "close":
                assert False not in closing, "something began when the run's resources were being closed"
                assert what == "visit" or True not in closing or self.step is None, "and so did it within a visit"
                assert what != "visit" or not stacks[True], "a visit's resource was open at the next visit"
                closing.clear()
            elif error is not None and isinstance(rest[1], asyncio.CancelledError):
                stacks[self.is_of_visit(rest[0])].remove(rest[0])  # nobody had it yet
            else:
                is_of_visit = self.is_of_visit(rest[0])
                closing.add(is_of_visit)
                assert is_of_visit or not stacks[True], "a run's resource was closed before its visit's"
                assert stacks[is_of_visit].pop() == rest[0], "not in reverse"
                is_unknown = is_of_visit and self.step is None
                is_earlier = is_of_visit and rest[0][2] != self.step
                assert rest[1] is (None if is_earlier else error) or is_unknown

    def use_of(self, token: Any) -> Use:
        return Use(token[0], self.world.parts[token[0]].per)

    def may_be_of_run_inside(self, token: Any) -> bool:
        return self.world.has_subgraphs and not self.world.is_shared(self.use_of(token))

    def is_of_visit(self, token: Any) -> bool:
        return self.world.is_per_visit(self.use_of(token))


class FollowingLM(BaseLM):
    """Takes the drawn path, and writes into a sub-node what it is shown."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.parts = {part.name: part for part in built.world.parts}
        self.stops = {stop.name: stop for stop in built.world.stops}

    async def generate(self, request: Any, on_partial: Any = None) -> LMResponse:
        part = self.parts.get(request.target)
        if part is not None:
            value, moment = self.built.start(part, {**request.inputs, "source": request.source["said"]})
            await pause(part.yields[self.built.pattern])
            self.built.happen(moment)
            return LMResponse({"text": value})
        stop, step = self.stops[request.target], int(request.place.partition(":")[0])
        kind = "fill" if request.kind == "fill" else "route"
        self.built.log.append((kind, step))
        await pause(stop.yields[self.built.pattern])
        self.built.happen((kind, step))
        if kind == "fill":
            self.built.shown[step] = dict(request.inputs)
            return LMResponse(plain(stop, step))
        following = self.built.world.stop_at(step + 1)
        choice = following.name if following else "None"
        if request.kind == "choose":
            return LMResponse({"choice": choice})
        if following is None:
            return LMResponse({"decision": {"choice": choice}})
        self.built.decided += 1
        self.built.shown[step + 1] = request.inputs.get(choice, {})
        return LMResponse({"decision": {"choice": choice, "fields": plain(following, step + 1)}})


def empty_body() -> Callable[..., Any]:
    async def empty(self: Any) -> Any: ...

    return empty


async def pause(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def is_node(made: Any) -> bool:
    return isinstance(made, type)


def is_making(entry: tuple[Any, ...]) -> bool:
    return entry[0] == "made"


def text_of(value: Any) -> Any:
    """Return what stands for a value: of a node, or of one as JSON, what it says."""
    if isinstance(value, Node):
        value = value.__dict__
    return (value.get("text") or value["said"]) if isinstance(value, dict) else value


def forget_steps(makings: list[tuple[int, int, str]]) -> Counter[tuple[int | None, int, str]]:
    return Counter((None, index, value) for _, index, value in makings)


def what_was_told(built: Built) -> list[Any]:
    """Return the kinds, keys and parents of all events, whence each value came, and each dependency's value."""
    told = [(type(each).__name__, each.key, each.parent, getattr(each, "status", "")) for each in built.events]
    taken = {each.key: dict(each.inputs) for each in built.events if isinstance(each, DepStarted)}
    fields = {each.key: dict(each.origins) for each in built.events if isinstance(each, NodeFinished)}
    values = {each.key: text_of(each.value) for each in built.events if isinstance(each, DepFinished)}
    return [Counter(told), taken, fields, values]


def root_of(error: BaseException | None) -> BaseException | None:
    return root_of(error.__cause__) if isinstance(error, DepError) else error


# --- The properties ------------------------------------------------------------------------------------------------

PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(PROFILE, max_examples=150)
@given(worlds(), st.booleans())
def test_a_run_makes_each_value_as_often_and_of_what_the_sequential_evaluator_says(world: World, is_heard: bool):
    expected, built = Sequential(world), Built(world)

    result = asyncio.run(built.run(is_heard=is_heard))

    if expected.missing is not None:
        event("nothing to recall")
        assert isinstance(result, RecallError)
        assert len(result.trace) in (max(expected.missing, 1), expected.missing + 1)
        built.check_resources(result)
        return
    assert [type(node).__name__ for node in result.trace] == [world.stops[index].name for index in world.path]
    for node, fields in zip(result.trace, expected.fields, strict=True):
        assert {name: text_of(value) for name, value in node} == {name: value for name, (value, _) in fields.items()}
    assert built.bodies == expected.bodies
    assert built.makings() == (Counter(expected.makings) if is_heard else forget_steps(expected.makings))
    assert result.usage.requests == expected.calls
    built.check_resources(None)


@PROFILE
@given(worlds(), st.data())
def test_a_failure_at_any_moment_ends_the_run_there_and_leaves_nothing_behind(world: World, data: st.DataObject):
    expected, built = Sequential(world), Built(world)
    if not expected.moments:
        return
    step, moment = data.draw(st.sampled_from(expected.moments))
    built.trouble = ("fail", moment)

    error = asyncio.run(built.run())

    built.check_resources(error)
    event(f"fails at {moment[0].strip('0123456789')}")
    if expected.missing == step and isinstance(error, RecallError):
        return
    assert built.raised is not None
    assert root_of(error) is built.raised
    is_part = moment[0] not in ("fill", "route", "body")
    assert isinstance(error, DepError) == is_part
    if isinstance(error, DepError):
        assert error.node_type is built.stops[world.path[step]]
        assert [type(node) for node in error.trace] == [built.stops[each] for each in world.path[: len(error.trace)]]
        assert len(error.trace) in (max(step, 1), step + 1)
    must = Counter(each for each in expected.makings if each[0] < step)
    may = Counter(each for each in expected.makings if each[0] <= step)
    assert must <= built.makings()
    # A failure is not remembered: a run inside that still goes on may try once more.
    assert built.makings() <= may or world.has_subgraphs or expected.missing == step


@PROFILE
@given(worlds(), st.data())
def test_a_run_cancelled_at_any_moment_leaves_nothing_behind(world: World, data: st.DataObject):
    prefetch = data.draw(st.sampled_from(["off", "certain", "candidates"]))
    expected, built = Sequential(world), Built(world, prefetch=prefetch)
    turns = data.draw(st.none() | st.integers(0, 40))
    if turns is None and expected.moments:
        built.trouble = ("cancel", data.draw(st.sampled_from(expected.moments))[1])

    error = asyncio.run(built.run(turns=turns))

    built.check_resources(error if isinstance(error, BaseException) else None)
    event("cancelled" if isinstance(error, asyncio.CancelledError) else "over before")
    if built.trouble is not None:
        assert isinstance(error, asyncio.CancelledError if expected.missing is None else BaseException)
    made = Counter(each for each in built.makings().elements() if each[0] != expected.missing)
    assert made <= Counter(expected.makings) or prefetch != "off"


@PROFILE
@given(worlds())
def test_keys_and_origins_are_the_same_whatever_ends_first(world: World):
    expected = Sequential(world)
    first, second = Built(world, 0), Built(world, 1)

    results = [asyncio.run(first.run()), asyncio.run(second.run())]

    if expected.missing is not None:
        assert [type(each) for each in results] == [RecallError, RecallError]
        return
    assert what_was_told(first) == what_was_told(second)
    started = [each.key for each in first.events if isinstance(each, DepStarted)]
    assert len(set(started)) == len(started), "two values were made at one place"
    if not world.has_subgraphs:
        origins = [dict(each.origins) for each in first.events if isinstance(each, NodeFinished)]
        assert origins == [{name: origin for name, (_, origin) in fields.items()} for fields in expected.fields]
        assert sorted(started) == sorted(expected.places)


@PROFILE
@given(worlds(kinds=("subgraph", "subgraph", "sync", "async", *RESOURCES), lifetimes=["run"]))
def test_runs_inside_each_other_make_what_they_share_once(world: World):
    expected, built = Sequential(world), Built(world)

    result = asyncio.run(built.run())

    if expected.missing is None:
        assert not isinstance(result, BaseException)
        assert built.makings() == Counter(expected.makings)
    made = Counter(index for _, index, _ in built.makings().elements())
    shared = [index for index in made if world.is_shared(Use(index, "run"))]
    assert all(made[index] == 1 for index in shared)
    event(f"{len(shared)} shared")


@settings(PROFILE, max_examples=150)
@given(worlds(), st.sampled_from(["off", "certain", "candidates"]))
def test_a_run_that_routes_in_one_call_is_the_same_but_for_the_calls_it_saves(world: World, prefetch: str):
    one, two = Built(world, routing="one-call", prefetch=prefetch), Built(world, routing="two-call")

    results = [asyncio.run(each.run()) for each in (one, two)]

    event(f"{min(one.decided, 3)} decided, prefetch {prefetch}")
    assert one.shown == two.shown
    assert one.bodies == two.bodies
    if prefetch == "off":
        assert one.makings() == two.makings()
    assert two.decided == 0
    if isinstance(results[1], BaseException):
        assert type(results[0]) is type(results[1])
        assert str(results[0]) == str(results[1])
        return
    traces = [[(type(node).__name__, {k: text_of(v) for k, v in node}) for node in each.trace] for each in results]
    assert traces[0] == traces[1]
    assert results[0].usage.requests == results[1].usage.requests - one.decided
    assert told_but_calls(one) == told_but_calls(two)
    origins = [origins_of(built) for built in (one, two)]
    for key, by_name in origins[0].items():
        for name, origin in by_name.items():
            assert origin == origins[1][key][name] or (origin.kind == "lm" and origin.key.endswith("/route"))


def told_but_calls(built: Built) -> Counter[tuple[str, str, str | None]]:
    """Return the kinds, keys and parents of all events but those of LM calls."""
    told = [each for each in built.events if not isinstance(each, LMCallStarted | LMCallFinished)]
    return Counter((type(each).__name__, each.key, each.parent) for each in told)


def origins_of(built: Built) -> dict[str, dict[str, Origin]]:
    """Return whence each visit's values came."""
    return {each.key: dict(each.origins) for each in built.events if isinstance(each, NodeFinished)}
