"""A run as its user sees it: what starts when, what is made once, what fails how, and what custom bodies may do."""

import asyncio
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Annotated, Optional, TypeVar

import pytest
from pydantic import BaseModel, Field
from running import finish, never, others

from weft import (
    LM,
    Dep,
    DepError,
    Graph,
    Node,
    NodeConfig,
    Recall,
    RecallError,
    RouteError,
    RunError,
    RunTimeoutError,
    StepLimitError,
    WeftError,
)
from weft.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

VARIABLE = contextvars.ContextVar("variable", default="unset")


# --- Dataflow ---


async def test_a_dependent_starts_as_soon_as_its_own_inputs_are_there():
    log = []
    dependent_ran = asyncio.Event()

    async def quick() -> int:
        return 1

    async def slow() -> int:
        await dependent_ran.wait()
        log.append("slow")
        return 2

    async def dependent(q: Annotated[int, Dep(quick)]) -> int:
        log.append("dependent")
        dependent_ran.set()
        return q

    class Only(Node):
        a: Annotated[int, Dep(slow)]
        b: Annotated[int, Dep(dependent)]

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["dependent", "slow"]


async def test_independent_dependencies_and_sub_nodes_run_at_the_same_time():
    together = asyncio.Barrier(4)

    async def one() -> int:
        await together.wait()
        return 1

    async def two() -> int:
        await together.wait()
        return 2

    class Meeting(ScriptedLM):
        async def generate(self, request, on_partial=None):
            if request.target != "Only":
                await together.wait()
            return await super().generate(request, on_partial)

    class Left(Node):
        words: str

    class Right(Node):
        words: str

    class Start(Node):
        async def __call__(self) -> "Only": ...

    class Only(Node):
        a: Annotated[int, Dep(one)]
        b: Annotated[int, Dep(two)]
        left: Annotated[Left, Dep()]
        right: Right = Dep()
        words: str

    lm = Meeting({Left: {"words": "l"}, Right: {"words": "r"}, Only: {"words": "o"}})
    result = await finish(Graph(start=Start).arun(Start(), lm=lm))

    assert (result.result.a, result.result.b) == (1, 2)
    assert (result.result.left.words, result.result.right.words) == ("l", "r")


async def test_async_dependencies_are_started_before_a_sync_one_holds_the_loop():
    log = []

    def sync() -> int:
        log.append("sync")
        return 1

    async def asynchronous() -> int:
        log.append("async")
        await asyncio.sleep(0)
        return 2

    class Only(Node):
        a: Annotated[int, Dep(sync)]
        b: Annotated[int, Dep(asynchronous)]

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["async", "sync"]


async def test_a_dependency_is_made_once_for_all_who_want_it():
    calls = []

    async def base() -> object:
        calls.append("base")
        await asyncio.sleep(0)
        return object()

    async def left(b: Annotated[object, Dep(base)]) -> object:
        return b

    def right(b: Annotated[object, Dep(base)]) -> object:
        return b

    class Sub(Node):
        inside: object = Dep(base)

    class First(Node):
        a: Annotated[object, Dep(left)]
        b: Annotated[object, Dep(right)]
        sub: Annotated[Sub, Dep()]

        async def __call__(self, c: Annotated[object, Dep(base)]) -> "Second":
            assert c is self.a
            return Second()

    class Second(Node):
        a: Annotated[object, Dep(base)]

    result = await finish(Graph(start=First).arun(First()))

    first, second = result.trace
    assert calls == ["base"]
    assert first.a is first.b is first.sub.inside is second.a


async def test_two_runs_share_nothing():
    calls = []

    def make() -> int:
        calls.append(1)
        return len(calls)

    class Only(Node):
        a: Annotated[int, Dep(make)]

    graph = Graph(start=Only)
    first, second = await finish(asyncio.gather(graph.arun(Only()), graph.arun(Only())))

    assert {first.result.a, second.result.a} == {1, 2}


async def test_none_and_other_false_values_are_values():
    calls = []

    async def nothing() -> None:
        calls.append("nothing")

    def zero(n: Annotated[None, Dep(nothing)]) -> int:
        calls.append("zero")
        return 0

    class Loop(Node):
        left: int
        n: Annotated[None, Dep(nothing)]
        z: Annotated[int, Dep(zero)]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    result = await finish(Graph(start=Loop).arun(Loop(left=2)))

    assert calls == ["nothing", "zero"]
    assert [(node.n, node.z) for node in result.trace] == [(None, 0)] * 3


# --- What may be a dependency ---


class Adder:
    def __init__(self, number):
        self.number = number

    def __call__(self) -> int:
        return self.number

    def method(self) -> int:
        return self.number + 1

    async def async_method(self) -> int:
        return self.number + 2


class AsyncAdder(Adder):
    async def __call__(self) -> int:
        return self.number


class Config(BaseModel):
    number: int = 3


def plus(number: int, more: int = 0) -> int:
    return number + more


async def async_plus(number: int) -> int:
    return number


def future_of() -> "asyncio.Future[int]":
    return asyncio.ensure_future(async_plus(8))


class Awaitable:
    def __init__(self, number):
        self.number = number

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.number


CALLABLES = [
    (Adder(1), 1),
    (AsyncAdder(1), 1),
    (Adder(1).method, 2),
    (Adder(1).async_method, 3),
    (functools.partial(plus, 4, more=1), 5),
    (functools.partial(async_plus, 6), 6),
    (functools.partial(Adder(1).method), 2),
    (lambda: 7, 7),
    (future_of, 8),
    (lambda: async_plus(9), 9),
    (lambda: Awaitable(10), 10),
]
SYNC = [0, 2, 4, 6, 7, 9, 10]


@pytest.mark.parametrize(("function", "expected"), CALLABLES, ids=range(len(CALLABLES)))
async def test_any_callable_is_a_dependency_and_any_awaitable_is_awaited(function, expected):
    class Only(Node):
        a: Annotated[int, Dep(function)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == expected


@pytest.mark.parametrize(("function", "expected"), [CALLABLES[each] for each in SYNC], ids=SYNC)
async def test_any_sync_callable_runs_in_a_thread_and_an_awaitable_result_on_the_loop(function, expected):
    class Only(Node):
        a: Annotated[int, Dep(function, thread=True)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == expected


async def test_a_class_is_a_dependency():
    class Only(Node):
        a: Annotated[Config, Dep(Config)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == Config()


async def test_positional_only_parameters_defaults_and_annotated_are_all_injected():
    def one() -> int:
        return 1

    def both(
        first: Annotated[int, Dep(one)],
        second: int = Dep(one),
        /,
        third: int = 3,
        *,
        fourth: int = Dep(one),
        fifth: Annotated[int, Dep(one)] = 50,
    ) -> list[int]:
        return [first, second, third, fourth, fifth]

    class Only(Node):
        a: Annotated[list[int], Dep(both)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == [1, 1, 3, 1, 1]


async def test_a_positional_only_default_before_an_injected_parameter_keeps_its_place():
    def one() -> int:
        return 1

    def both(first: int = 7, second: int = Dep(one), /) -> list[int]:
        return [first, second]

    class Only(Node):
        a: Annotated[list[int], Dep(both)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == [7, 1]


async def test_a_functions_lm_parameter_is_the_runs_lm():
    class Note(Node):
        words: str

    async def ask(lm: LM) -> str:
        note = await lm.fill(Note, {}, "Write a note.")
        return note.words

    class Only(Node):
        a: Annotated[str, Dep(ask)]

    lm = ScriptedLM({Note: {"words": "hello"}})
    result = await finish(Graph(start=Only).arun(Only(), lm=lm))

    assert result.result.a == "hello"
    assert result.usage.requests == 1


class Refusing(Executor):
    """An executor that takes nothing."""

    def submit(self, fn, /, *args, **kwargs):
        raise AssertionError("the loop's default executor was used")


async def test_threads_are_wefts_own_and_see_the_context():
    seen = []

    def blocking() -> str:
        seen.append((threading.current_thread().name, VARIABLE.get()))
        return "x"

    class Only(Node):
        a: Annotated[str, Dep(blocking, thread=True)]

    loop = asyncio.get_running_loop()
    loop._default_executor = Refusing()
    VARIABLE.set("from the caller")
    try:
        await finish(Graph(start=Only).arun(Only()))
    finally:
        loop._default_executor = None

    [(name, value)] = seen
    assert name.startswith("weft")
    assert value == "from the caller"


async def test_blocking_functions_in_threads_run_at_the_same_time():
    together = threading.Barrier(3, timeout=5)

    class Only(Node):
        a: Annotated[int, Dep(lambda: together.wait() and 0, thread=True)]
        b: Annotated[int, Dep(lambda: together.wait() and 0, thread=True)]
        c: Annotated[int, Dep(lambda: together.wait() and 0, thread=True)]

    await finish(Graph(start=Only).arun(Only()))


async def test_each_dependency_has_a_copy_of_the_runs_context():
    def first() -> str:
        VARIABLE.set("set by a dependency")
        return VARIABLE.get()

    async def second(a: Annotated[str, Dep(first)]) -> str:
        return VARIABLE.get()

    class Only(Node):
        a: Annotated[str, Dep(second)]

        async def __call__(self) -> None:
            assert VARIABLE.get() == "of the run"

    VARIABLE.set("of the run")
    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == "of the run"
    assert VARIABLE.get() == "of the run"


async def test_a_sync_function_that_held_the_loop_is_reported_once_with_the_remedy(caplog):
    def busy() -> int:
        end = time.perf_counter() + 0.11
        while time.perf_counter() < end:
            pass
        return 1

    def quick() -> int:
        return 1

    class Loop(Node):
        left: int
        b: Annotated[int, Dep(busy, per="visit")]
        q: Annotated[int, Dep(quick)]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    with caplog.at_level(logging.WARNING, "weft"):
        await finish(Graph(start=Loop).arun(Loop(left=1)))

    [record] = caplog.records
    assert record.name == "weft"
    assert "busy" in record.getMessage()
    assert "thread=True" in record.getMessage()


@pytest.mark.parametrize("where", ["set-up", "tear-down"])
async def test_a_sync_generator_that_held_the_loop_is_reported_once_with_the_remedy(where, caplog):
    def hold():
        end = time.perf_counter() + 0.11
        while time.perf_counter() < end:
            pass

    def busy() -> Iterator[int]:
        if where == "set-up":
            hold()
        yield 1
        if where == "tear-down":
            hold()

    class Loop(Node):
        left: int
        b: Annotated[int, Dep(busy, per="visit")]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    with caplog.at_level(logging.WARNING, "weft"):
        await finish(Graph(start=Loop).arun(Loop(left=1)))

    [record] = caplog.records
    assert record.name == "weft"
    assert "busy" in record.getMessage()
    assert "thread=True" in record.getMessage()


# --- Given values, validation ---


async def test_a_given_value_wins_and_its_dependency_does_not_run():
    def fail() -> str:
        raise AssertionError

    class First(Node):
        a: str = Dep(fail)

        async def __call__(self) -> "Second":
            return Second(a="by the body")

    class Second(Node):
        a: str = Dep(fail)
        first: Annotated[First, Recall()]

    result = await finish(Graph(start=First).arun(First(a="by the caller")))

    assert [node.a for node in result.trace] == ["by the caller", "by the body"]
    assert result.result.first is result.trace[0]


async def test_the_callers_start_node_is_not_changed():
    class Only(Node):
        given: list[int]
        a: Annotated[int, Dep(lambda: 1)]

    start = Only(given=[1])
    result = await finish(Graph(start=Only).arun(start))

    assert "a" not in start.__dict__
    assert "a" not in start.model_fields_set
    assert result.result.a == 1
    assert result.result is not start


async def test_a_value_is_converted_and_validated_once():
    seen = []

    class Counted(BaseModel):
        number: int

        def model_post_init(self, context):
            seen.append(self.number)

    def make() -> Counted:
        return Counted.model_construct(number=1)

    class Only(Node):
        a: Annotated[Counted, Dep(make)]
        b: Annotated[int, Dep(lambda: "5")]
        c: int = Field(ge=1)

    result = await finish(Graph(start=Only).arun(Only(c=1)))

    assert result.result.b == 5
    assert len(seen) <= 1


async def test_a_value_that_does_not_fit_the_field_is_a_dep_error_with_the_field():
    class Only(Node):
        a: Annotated[int, Dep(lambda: "many"), Field(ge=0)]

    with pytest.raises(DepError, match="valid integer") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert (caught.value.node_type, caught.value.field_name) == (Only, "a")


# --- Recall ---


async def test_every_form_of_recall_finds_the_newest_value():
    class Start(Node):
        words: str
        number: int

        async def __call__(self) -> "Step":
            return Step(number=1, note="first", tags=["a"])

    class Step(Node):
        number: int
        note: str
        tags: list[str]

        async def __call__(self) -> "Step | Last":
            if self.number < 3:
                return Step(number=self.number + 1, note=f"note {self.number + 1}", tags=[*self.tags, "b"])
            return Last()

    class Last(Node):
        newest: Annotated[Step, Recall()]
        by_type: Annotated[list[str], Recall()]
        by_name: Annotated[str, Recall("note")]
        of_node: Annotated[str, Recall(Start, "words")]
        node: Annotated[Start, Recall(Start)]
        assigned: int = Recall(Start, "number")
        kind: Annotated[int, Recall(Step)]

    result = await finish(Graph(start=Start).arun(Start(words="hi", number=100)))

    last = result.result
    assert last.newest is result.trace[3]
    assert last.by_type == ["a", "b", "b"]
    assert last.by_name == "note 3"
    assert last.of_node == "hi"
    assert last.node is result.trace[0]
    assert last.assigned == 100
    assert last.kind == 3


async def test_recall_of_none_is_a_value_and_of_an_unreached_field_an_error():
    class Start(Node):
        words: Optional[str] = None  # noqa: UP045
        go: bool

        async def __call__(self) -> "Detour | Last":
            return Detour(number=5) if self.go else Last()

    class Detour(Node):
        number: int

        async def __call__(self) -> "Last":
            return Last()

    class Last(Node):
        words: Annotated[str | None, Recall()]
        number: Annotated[int, Recall("number")]

    graph = Graph(start=Start)
    result = await finish(graph.arun(Start(go=True)))
    assert (result.result.words, result.result.number) == (None, 5)

    with pytest.raises(RecallError) as caught:
        await finish(graph.arun(Start(go=False)))

    assert (caught.value.node_type, caught.value.field_name) == (Last, "number")
    assert [type(node) for node in caught.value.trace] == [Start]


async def test_recall_takes_plain_fields_only_by_type():
    class Start(Node):
        words: str
        made: Annotated[str, Dep(lambda: "made")]

        async def __call__(self) -> "Last":
            return Last()

    class Last(Node):
        words: Annotated[str, Recall()]

    result = await finish(Graph(start=Start).arun(Start(words="plain")))

    assert result.result.words == "plain"


async def test_recall_in_a_function_of_the_start_node_sees_the_callers_plain_fields():
    async def shout(words: Annotated[str, Recall()], start: Annotated["Start", Recall()]) -> str:
        return f"{words.upper()} {start.words}"

    class Start(Node):
        words: str
        loud: Annotated[str, Dep(shout)]

    result = await finish(Graph(start=Start).arun(Start(words="hi")))

    assert result.result.loud == "HI hi"


SAME = Recall()
T = TypeVar("T")
Newest = Annotated[T, Recall()]


def number_by_default(it: int = SAME) -> str:
    return f"number {it}"


def word_by_default(it: str = SAME) -> str:
    return f"word {it}"


def number_by_alias(it: Newest[int]) -> str:
    return f"number {it}"


def word_by_alias(it: Newest[str]) -> str:
    return f"word {it}"


@pytest.mark.parametrize(
    ("number", "word"),
    [(number_by_default, word_by_default), (number_by_alias, word_by_alias)],
    ids=["default", "alias"],
)
async def test_functions_that_share_one_recall_marker_each_get_a_value_of_their_own_type(number, word):
    class Start(Node):
        a: int
        b: str

        async def __call__(self) -> "Last":
            return Last()

    class Last(Node):
        x: Annotated[str, Dep(number)]
        y: Annotated[str, Dep(word)]

    result = await finish(Graph(start=Start).arun(Start(a=1, b="two")))

    assert (result.result.x, result.result.y) == ("number 1", "word two")


async def test_what_reads_the_trace_is_made_again_when_the_trace_moved_and_shared_when_not():
    calls = []

    def read(number: Annotated[int, Recall("number")]) -> int:
        calls.append(number)
        return number * 10

    def from_read(r: Annotated[int, Dep(read)]) -> int:
        return r + 1

    class Start(Node):
        async def __call__(self) -> "Step":
            return Step(number=1)

    class Step(Node):
        number: int

        async def __call__(self) -> "Look":
            return Look(before=self.number)

    class Look(Node):
        before: int
        a: Annotated[int, Dep(read)]
        b: Annotated[int, Dep(from_read)]

        async def __call__(self, c: Annotated[int, Dep(read)]) -> "Again | Step | None":
            assert c == self.a
            return Again(before=self.before) if self.before < 2 else None

    class Again(Node):
        before: int
        a: Annotated[int, Dep(read)]

        async def __call__(self) -> "Step":
            return Step(number=self.before + 1)

    result = await finish(Graph(start=Start).arun(Start()))

    assert calls == [1, 2]
    looks = [node for node in result.trace if type(node) is Look]
    assert [(look.a, look.b) for look in looks] == [(10, 11), (20, 21)]


async def test_what_reads_equal_values_at_two_entries_is_made_for_each():
    calls = []

    def read(number: Annotated[int, Recall("number")]) -> int:
        calls.append(number)
        return len(calls)

    class Step(Node):
        number: int
        left: int
        a: Annotated[int, Dep(read)]

        async def __call__(self) -> "Middle | None":
            return Middle(number=1, left=self.left - 1) if self.left else None

    class Middle(Node):
        number: int
        left: int

        async def __call__(self) -> "Step":
            return Step(number=1, left=self.left)

    result = await finish(Graph(start=Step).arun(Step(number=1, left=2)))

    assert [node.a for node in result.trace if type(node) is Step] == [1, 2, 3]


async def test_per_visit_runs_at_each_visit_and_so_does_what_depends_on_it():
    calls = []

    def tick() -> int:
        calls.append("tick")
        return calls.count("tick")

    def tock(t: Annotated[int, Dep(tick, per="visit")], base: Annotated[str, Dep(lambda: "b")]) -> str:
        calls.append("tock")
        return f"{base}{t}"

    class Sub(Node):
        t: Annotated[int, Dep(tick, per="visit")]

    class Loop(Node):
        left: int
        a: Annotated[str, Dep(tock)]
        b: Annotated[int, Dep(tick, per="visit")]
        sub: Annotated[Sub, Dep()]

        async def __call__(self, again: Annotated[int, Dep(tick, per="visit")]) -> "Loop | None":
            assert again == self.b == self.sub.t
            return Loop(left=self.left - 1) if self.left else None

    result = await finish(Graph(start=Loop).arun(Loop(left=2)))

    assert [(node.a, node.b) for node in result.trace] == [("b1", 1), ("b2", 2), ("b3", 3)]
    assert calls == ["tick", "tock"] * 3


async def test_one_function_may_be_per_run_here_and_per_visit_there():
    calls = []

    def tick() -> int:
        calls.append(1)
        return len(calls)

    class Loop(Node):
        left: int
        once: Annotated[int, Dep(tick)]
        each: Annotated[int, Dep(tick, per="visit")]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    result = await finish(Graph(start=Loop).arun(Loop(left=2)))

    assert len({node.once for node in result.trace}) == 1
    assert len({node.each for node in result.trace}) == 3


async def test_a_sub_node_is_filled_again_for_each_source_and_once_for_one():
    class Sub(Node):
        words: str

    class Start(Node):
        async def __call__(self) -> "Loop":
            return Loop(left=2)

    class Loop(Node):
        left: int
        sub: Annotated[Sub, Dep()]

        async def __call__(self) -> "Loop | None":
            return Loop(left=self.left - 1) if self.left else None

    lm = ScriptedLM({Sub: [{"words": "a"}, {"words": "b"}, {"words": "c"}]})
    with lm:
        result = await finish(Graph(start=Start).arun(Start(), lm=lm))

    assert [node.sub.words for node in result.trace[1:]] == ["a", "b", "c"]


# --- Failing ---


async def test_the_first_failure_cancels_and_awaits_the_siblings_and_names_the_path():
    log = []
    sibling_started = asyncio.Event()

    async def sibling() -> str:
        try:
            sibling_started.set()
            await never()
        finally:
            await asyncio.sleep(0)
            log.append("sibling ended")
        return ""

    async def get_profile() -> str:
        await sibling_started.wait()
        raise LookupError("nobody")

    class GenerateWardrobe(Node):
        career: Annotated[str, Dep(get_profile)]
        words: str

    class Start(Node):
        async def __call__(self) -> "Recommend": ...

    class Recommend(Node):
        wardrobe: Annotated[GenerateWardrobe, Dep()]
        other: Annotated[str, Dep(sibling)]
        words: str

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Start).arun(Start(), lm=ScriptedLM()))

    error = caught.value
    assert log == ["sibling ended"]
    assert not others()
    assert error.path == ("Recommend.wardrobe", "GenerateWardrobe.career", "get_profile")
    assert (error.node_type, error.field_name) == (Recommend, "wardrobe")
    assert [type(node) for node in error.trace] == [Start]
    assert isinstance(error.__cause__, LookupError)
    assert "Recommend.wardrobe → GenerateWardrobe.career → get_profile" in str(error)
    assert "\n" not in str(error)


async def test_many_failures_at_once_are_one_dep_error_not_a_group():
    together = asyncio.Barrier(3)

    def failing(number):
        async def fail() -> int:
            await together.wait()
            raise ValueError(number)

        return fail

    class Only(Node):
        a: Annotated[int, Dep(failing(1))]
        b: Annotated[int, Dep(failing(2))]
        c: Annotated[int, Dep(failing(3))]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert type(caught.value.__cause__) is ValueError
    assert not others()


async def test_a_sibling_that_fails_while_being_cancelled_does_not_hide_the_first_failure():
    started = asyncio.Event()

    async def stubborn() -> int:
        try:
            started.set()
            await never()
        except asyncio.CancelledError:
            raise OSError("second") from None
        return 1

    async def first() -> int:
        await started.wait()
        raise ValueError("first")

    class Only(Node):
        a: Annotated[int, Dep(stubborn)]
        b: Annotated[int, Dep(first)]

    with pytest.raises(DepError, match="first") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert caught.value.field_name == "b"
    assert not others()


async def test_a_dependency_that_raises_a_group_is_a_dep_error_with_it_as_cause():
    async def fail() -> int:
        raise ExceptionGroup("many", [ValueError(1), KeyError(2)])

    class Only(Node):
        a: Annotated[int, Dep(fail)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert isinstance(caught.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize("kind", ["async", "async after a wait", "sync", "sync after a wait", "thread"])
async def test_a_dependency_that_raises_cancelled_error_itself_fails_the_run_and_never_hangs_it(kind):
    async def wait() -> int:
        await asyncio.sleep(0)
        return 1

    async def cancel_async() -> int:
        raise asyncio.CancelledError

    async def cancel_later() -> int:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    def cancel_sync() -> int:
        raise asyncio.CancelledError

    def cancel_sync_later(w: Annotated[int, Dep(wait)]) -> int:
        raise asyncio.CancelledError

    functions = {
        "async": cancel_async,
        "async after a wait": cancel_later,
        "sync": cancel_sync,
        "sync after a wait": cancel_sync_later,
        "thread": cancel_sync,
    }

    class Only(Node):
        a: Annotated[int, Dep(functions[kind], thread=kind == "thread")]
        b: Annotated[int, Dep(wait)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()), 2)

    assert caught.value.field_name == "a"
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert not others()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_dependency_leaves_the_run_and_its_tasks_ended(error, later, is_async):
    log = []

    async def wait() -> int:
        if later:
            await asyncio.sleep(0)
        return 1

    async def sibling() -> int:
        try:
            await never()
        finally:
            log.append("sibling ended")
        return 1

    def interrupt(w: Annotated[int, Dep(wait)]) -> int:
        raise error

    async def interrupt_async(w: Annotated[int, Dep(wait)]) -> int:
        raise error

    class Only(Node):
        s: Annotated[int, Dep(sibling)]
        a: Annotated[int, Dep(interrupt_async if is_async else interrupt)]

    with pytest.raises(error):
        Graph(start=Only).run(Only())

    assert log == ["sibling ended"]


async def test_the_failed_values_of_one_run_are_not_remembered():
    calls = []

    async def flaky() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise OSError
        return len(calls)

    class Inner(Node):
        a: Annotated[int, Dep(flaky)]

    inner = Graph(start=Inner)

    class Outer(Node):
        async def __call__(self) -> "Last":
            with pytest.raises(DepError):
                await inner.arun(Inner())
            return Last()

    class Last(Node):
        a: Annotated[int, Dep(flaky)]

    result = await finish(Graph(start=Outer).arun(Outer()))

    assert result.result.a == 2


@pytest.mark.parametrize("where", ["dep", "body", "fill"])
async def test_cancelling_a_run_cancels_and_awaits_all_of_it(where):
    log = []
    is_there = asyncio.Event()

    async def hang():
        is_there.set()
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    async def dep() -> int:
        if where == "dep":
            await hang()
        return 1

    class Hanging(ScriptedLM):
        async def generate(self, request, on_partial=None):
            await hang()

    class Only(Node):
        a: Annotated[int, Dep(dep)]

        async def __call__(self) -> "type[Last]":
            if where == "body":
                await hang()
            return Last

    class Last(Node):
        words: str

    run = asyncio.ensure_future(Graph(start=Only).arun(Only(), lm=Hanging()))
    await finish(is_there.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["ended"]
    assert not others()


# --- Timeouts and retries ---


@pytest.mark.parametrize("kind", ["sync", "async", "awaitable", "thread"])
async def test_a_dependency_is_tried_again_after_an_exception(kind):
    calls = []

    def sync() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError(len(calls))
        return len(calls)

    async def asynchronous() -> int:
        await asyncio.sleep(0)
        return sync()

    def awaitable() -> int:
        return asynchronous()

    function = {"sync": sync, "async": asynchronous, "awaitable": awaitable, "thread": sync}[kind]

    class Only(Node):
        a: Annotated[int, Dep(function, retries=2, thread=kind == "thread")]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == 3


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_when_the_tries_are_used_up_the_last_error_is_the_cause(kind):
    calls = []

    def sync() -> int:
        calls.append(1)
        raise ConnectionError(len(calls))

    async def asynchronous() -> int:
        return sync()

    class Only(Node):
        a: Annotated[int, Dep(sync if kind == "sync" else asynchronous, retries=2)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert caught.value.__cause__.args == (3,)
    assert calls == [1, 1, 1]


async def test_a_timeout_of_a_dependency_cancels_it_and_is_a_timeout_error():
    log = []

    async def hang() -> int:
        try:
            await never()
        finally:
            log.append("ended")
        return 1

    class Only(Node):
        a: Annotated[int, Dep(hang, timeout=0.01, retries=1)]

    with pytest.raises(DepError, match=r"0\.01") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert log == ["ended", "ended"]
    assert not others()


async def test_a_thread_that_takes_too_long_is_abandoned_and_does_no_harm():
    go_on = threading.Event()

    def block() -> int:
        go_on.wait(5)
        return 1

    class Only(Node):
        a: Annotated[int, Dep(block, timeout=0.02, thread=True)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))
    go_on.set()

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert not others()


async def test_cancellation_is_not_retried():
    calls = []
    started = asyncio.Event()

    async def hang() -> int:
        calls.append(1)
        started.set()
        await never()
        return 1

    class Only(Node):
        a: Annotated[int, Dep(hang, retries=5)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(started.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert calls == [1]


async def test_a_runs_timeout_is_a_run_timeout_error_with_the_trace():
    class Start(Node):
        async def __call__(self) -> "Hang":
            return Hang()

    class Hang(Node):
        async def __call__(self) -> None:
            await never()

    with pytest.raises(RunTimeoutError) as caught:
        await finish(Graph(start=Start).arun(Start(), timeout=0.02))

    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, RunError)
    assert caught.value.timeout == 0.02
    assert [type(node) for node in caught.value.trace] == [Start, Hang]
    assert not others()


async def test_a_timeout_error_of_the_users_own_is_not_the_runs():
    class Only(Node):
        async def __call__(self) -> None:
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await finish(Graph(start=Only).arun(Only(), timeout=3))

    assert not isinstance(caught.value, WeftError)


async def test_a_caller_that_cancels_sees_a_cancellation_not_a_timeout():
    started = asyncio.Event()

    class Only(Node):
        async def __call__(self) -> None:
            started.set()
            await never()

    run = asyncio.ensure_future(Graph(start=Only).arun(Only(), timeout=60))
    await finish(started.wait())
    run.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await finish(run)


# --- Custom bodies ---


async def test_a_body_is_given_lm_dep_and_recall():
    class Start(Node):
        words: str

        async def __call__(self) -> "Body":
            return Body()

    class Body(Node):
        async def __call__(
            self,
            lm: LM,
            number: Annotated[int, Dep(lambda: 4)],
            start: Annotated[Start, Recall()],
            me: Annotated["Body", Recall()],
            text: str = Recall(Start, "words"),
        ) -> "Last":
            assert me is self
            made = await lm.make(self, Last)
            return Last(words=f"{made.words} {number} {start.words} {text}")

    class Last(Node):
        words: str

    result = await finish(Graph(start=Start).arun(Start(words="w"), lm=ScriptedLM({Last: {"words": "made"}})))

    assert result.result.words == "made 4 w w"
    assert result.usage.requests == 1


async def test_a_body_may_return_a_class_and_the_lm_fills_it():
    class Start(Node):
        number: int

        async def __call__(self) -> "type[Small] | type[Large] | None":  # noqa: PYI055
            return None if self.number == 0 else Small if self.number < 5 else Large

    class Small(Node):
        words: str

    class Large(Node):
        words: str
        number: Annotated[int, Recall()]

    graph = Graph(start=Start)
    lm = ScriptedLM({Small: {"words": "s"}, Large: {"words": "l"}})

    assert (await finish(graph.arun(Start(number=0), lm=lm))).result == Start(number=0)
    assert (await finish(graph.arun(Start(number=1), lm=lm))).result == Small(words="s")
    large = (await finish(graph.arun(Start(number=9), lm=lm))).result
    assert (large.words, large.number) == ("l", 9)


@pytest.mark.parametrize("what", ["stranger", "class", "none", "thing", "node for class"])
async def test_a_body_that_returns_what_its_annotation_does_not_allow_is_a_route_error(what):
    class Stranger(Node):
        pass

    class Last(Node):
        pass

    class Start(Node):
        async def __call__(self) -> "Last":
            return {"stranger": Stranger(), "class": Last, "none": None, "thing": "Last"}.get(what)

    class ByClass(Node):
        async def __call__(self) -> "type[Last]":
            return Last()

    start = ByClass if what == "node for class" else Start
    with pytest.raises(RouteError, match="Last") as caught:
        await finish(Graph(start=start).arun(start()))

    assert caught.value.node_type is start
    assert [type(node) for node in caught.value.trace] == [start]


async def test_a_body_may_return_a_subclass_only_if_its_annotation_names_it():
    class Last(Node):
        pass

    class Special(Last):
        pass

    class Start(Node):
        async def __call__(self) -> "Last":
            return Special()

    with pytest.raises(RouteError):
        await finish(Graph(start=Start).arun(Start()))


async def test_an_error_of_the_body_is_raised_as_it_is_with_its_place():
    class Start(Node):
        async def __call__(self) -> "Broken":
            return Broken()

    class Broken(Node):
        async def __call__(self) -> None:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        await finish(Graph(start=Start).arun(Start()))

    assert any("1:Broken/body" in note for note in caught.value.__notes__)


async def test_a_dependency_of_a_body_that_fails_is_a_dep_error_with_its_parameter():
    def fail() -> int:
        raise LookupError

    class Start(Node):
        async def __call__(self, number: Annotated[int, Dep(fail)]) -> None:
            raise AssertionError(number)

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Start).arun(Start()))

    assert caught.value.node_type is Start
    assert caught.value.field_name == "number"
    assert caught.value.path[-1] == "fail"


async def test_a_body_may_gather_many_lm_calls():
    together = asyncio.Barrier(5)

    class Part(Node):
        words: str

    class Meeting(ScriptedLM):
        async def generate(self, request, on_partial=None):
            await together.wait()
            return await super().generate(request, on_partial)

    class Start(Node):
        async def __call__(self, lm: LM) -> "Last":
            parts = await asyncio.gather(*(lm.make(self, Part) for _ in range(5)))
            return Last(words=[part.words for part in parts])

    class Last(Node):
        words: list[str]

    result = await finish(Graph(start=Start).arun(Start(), lm=Meeting({Part: {"words": "p"}})))

    assert result.result.words == ["p"] * 5
    assert result.usage.requests == 5


async def test_a_body_may_fill_with_raw_values_and_decide():
    class Source(Node):
        words: str

        async def __call__(self, lm: LM) -> "Left | Right | None":
            left = await lm.fill(Left, {"number": 3}, "Write it.", self)
            assert left.number == 3
            return await lm.decide(self)

    class Left(Node):
        number: Annotated[int, Dep(lambda: 1)]
        words: str

    class Right(Node):
        words: str

    lm = ScriptedLM({Left: {"words": "l"}, Right: {"words": "r"}}, routes={Source: Right})
    with lm:
        result = await finish(Graph(start=Source).arun(Source(words="w"), lm=lm))

    assert result.result == Right(words="r")
    assert result.usage.requests == 3


async def test_what_a_body_makes_has_its_dependencies_resolved_when_it_is_visited():
    class Start(Node):
        async def __call__(self, lm: LM) -> "Last":
            last = await lm.make(self, Last)
            assert "number" not in last.__dict__
            return last

    class Last(Node):
        number: Annotated[int, Dep(lambda: 1)]
        words: str

    result = await finish(Graph(start=Start).arun(Start(), lm=ScriptedLM({Last: {"words": "w"}})))

    assert (result.result.number, result.result.words) == (1, "w")


async def test_a_decorated_and_an_inherited_body_run():
    def traced(function):
        @functools.wraps(function)
        async def wrapper(self, *args, **kwargs):
            log.append("before")
            return await function(self, *args, **kwargs)

        return wrapper

    log = []

    class Base(Node):
        @traced
        async def __call__(self, number: Annotated[int, Dep(lambda: 4)]) -> "Last":
            return Last(number=number)

    class Start(Base):
        pass

    class Last(Node):
        number: int

    result = await finish(Graph(start=Start).arun(Start()))

    assert (log, result.result.number) == (["before"], 4)


# --- Steps ---


class Loop(Node):
    left: int

    async def __call__(self) -> "Loop | None":
        return Loop(left=self.left - 1) if self.left else None


@pytest.mark.parametrize(("left", "max_steps"), [(0, 1), (24, 25), (4, 5), (60, None)])
async def test_max_steps_counts_the_start_and_none_is_no_limit(left, max_steps):
    result = await finish(Graph(start=Loop).arun(Loop(left=left), max_steps=max_steps))

    assert len(result.trace) == left + 1


@pytest.mark.parametrize("max_steps", [1, 5, 25])
async def test_one_visit_too_many_is_a_step_limit_error_with_the_trace(max_steps):
    with pytest.raises(StepLimitError) as caught:
        await finish(Graph(start=Loop).arun(Loop(left=max_steps), max_steps=max_steps))

    assert caught.value.limit == max_steps
    assert len(caught.value.trace) == max_steps
    assert caught.value.node_type is Loop


async def test_the_step_limit_is_25_unless_said():
    with pytest.raises(StepLimitError) as caught:
        await finish(Graph(start=Loop).arun(Loop(left=100)))

    assert caught.value.limit == 25


# --- Entering ---


async def test_run_in_a_loop_names_arun():
    with pytest.raises(RuntimeError, match="arun"):
        Graph(start=Loop).run(Loop(left=0))


def test_run_works_where_no_loop_runs():
    assert Graph(start=Loop).run(Loop(left=2)).result == Loop(left=0)


async def test_a_start_node_of_another_class_is_a_type_error():
    class Other(Node):
        pass

    with pytest.raises(TypeError, match="Loop"):
        await Graph(start=Loop).arun(Other())


async def test_a_start_node_of_a_class_made_again_is_told_apart_from_its_namesake():
    graph = Graph(start=Loop)
    again = type("Loop", (Node,), {"__annotations__": {"left": int}})

    with pytest.raises(TypeError, match=r"another class called Loop.* again\."):
        await graph.arun(again(left=1))


async def test_a_result_tells_the_trace_the_end_and_the_usage():
    result = await finish(Graph(start=Loop).arun(Loop(left=1)))

    assert [node.left for node in result.trace] == [1, 0]
    assert result.result is result.trace[-1]
    assert result.usage.requests == 0


async def test_a_node_with_nothing_for_the_lm_to_write_costs_no_call():
    class Start(Node):
        async def __call__(self) -> "Last": ...

    class Last(Node):
        number: Annotated[int, Dep(lambda: 1)]
        node_config = NodeConfig(instruction="never asked")

    result = await finish(Graph(start=Start).arun(Start()))

    assert result.result.number == 1
    assert result.usage.requests == 0
