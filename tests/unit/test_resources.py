"""Resources are set up once, torn down once in reverse order, and live in one task and one context throughout."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio
import pytest
from running import finish, others

from weft import Dep, DepError, Graph, GraphError, Node, Recall, RunTimeoutError
from weft.events import DepClosed, DepFinished, RunFinished

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

VARIABLE = contextvars.ContextVar("variable", default="unset")
KINDS = [("sync", False), ("sync", True), ("asynchronous", False)]


class Log(list):
    """What happened, in order."""

    def sync(self, name):
        def resource() -> Iterator[str]:
            self.append(f"+{name}")
            try:
                yield name
            except BaseException as error:
                self.append(f"!{name}:{type(error).__name__}")
                raise
            finally:
                self.append(f"-{name}")

        return resource

    def asynchronous(self, name):
        async def resource() -> AsyncIterator[str]:
            self.append(f"+{name}")
            try:
                yield name
            except BaseException as error:
                self.append(f"!{name}:{type(error).__name__}")
                raise
            finally:
                self.append(f"-{name}")

        return resource


# --- Kinds and order ---


@pytest.mark.parametrize(("kind", "thread"), KINDS)
async def test_a_resource_is_set_up_before_use_and_torn_down_when_the_run_ends(kind, thread):
    log = Log()
    make = getattr(log, kind)("a")

    class Only(Node):
        a: Annotated[str, Dep(make, thread=thread)]

        async def __call__(self) -> None:
            log.append(f"use {self.a}")

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["+a", "use a", "-a"]


async def test_a_threaded_generator_runs_in_wefts_own_threads_with_the_runs_context():
    seen = []

    def make() -> Iterator[str]:
        seen.append((threading.current_thread().name, VARIABLE.get()))
        yield "x"
        seen.append((threading.current_thread().name, VARIABLE.get()))

    class Only(Node):
        a: Annotated[str, Dep(make, thread=True)]

    VARIABLE.set("from the caller")
    await finish(Graph(start=Only).arun(Only()))

    assert [value for _, value in seen] == ["from the caller"] * 2
    assert all(name.startswith("weft-dep") for name, _ in seen)


async def test_a_threaded_generator_may_reset_after_the_yield_what_it_set_before_and_leaks_nothing():
    seen = []

    def make() -> Iterator[str]:
        seen.append(VARIABLE.get())
        token = VARIABLE.set("set in set-up")
        yield "x"
        seen.append(VARIABLE.get())
        VARIABLE.reset(token)

    class Only(Node):
        left: int
        a: Annotated[str, Dep(make, thread=True, per="visit")]

        async def __call__(self) -> "Only | None":
            return Only(left=self.left - 1) if self.left else None

    await finish(Graph(start=Only).arun(Only(left=9)))

    assert seen == ["unset", "set in set-up"] * 10


async def test_resources_are_torn_down_in_reverse_order_of_set_up():
    log = Log()
    first, second = log.sync("first"), log.asynchronous("second")

    async def third(a: Annotated[str, Dep(first)], b: Annotated[str, Dep(second)]) -> AsyncIterator[str]:
        log.append(f"+third {a} {b}")
        yield "third"
        log.append("-third")

    class Only(Node):
        x: Annotated[str, Dep(third)]

    await finish(Graph(start=Only).arun(Only()))

    assert log[-3] == "-third"
    assert [f"-{each[1:]}" for each in log[:2]] == log[:-3:-1]


async def test_a_resource_is_shared_by_nodes_and_lives_until_the_run_ends():
    log = Log()
    make = log.asynchronous("a")

    class First(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> "Second":
            return Second()

    class Second(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            log.append("second")

    await finish(Graph(start=First).arun(First()))

    assert log == ["+a", "second", "-a"]


async def test_a_resource_per_visit_ends_with_its_visit():
    log = Log()
    make = log.asynchronous("a")

    class Round(Node):
        left: int
        a: Annotated[str, Dep(make, per="visit")]

        async def __call__(self) -> "Round | None":
            log.append(f"round {self.left}")
            return Round(left=self.left - 1) if self.left else None

    await finish(Graph(start=Round).arun(Round(left=1)))

    assert log == ["+a", "round 1", "-a", "+a", "round 0", "-a"]


async def test_what_is_made_from_a_per_visit_resource_is_torn_down_before_it():
    log = Log()
    outer = log.asynchronous("outer")

    def inner(a: Annotated[str, Dep(outer, per="visit")]) -> Iterator[str]:
        log.append("+inner")
        yield "inner"
        log.append("-inner")

    class Round(Node):
        left: int
        x: Annotated[str, Dep(inner)]

        async def __call__(self) -> "Round | None":
            return Round(left=self.left - 1) if self.left else None

    await finish(Graph(start=Round).arun(Round(left=1)))

    assert log == ["+outer", "+inner", "-inner", "-outer"] * 2


async def test_a_resource_that_a_body_asks_for_is_torn_down_too():
    log = Log()
    make = log.asynchronous("a")

    class Only(Node):
        async def __call__(self, a: Annotated[str, Dep(make, per="visit")]) -> "Last":
            log.append(f"use {a}")
            return Last()

    class Last(Node):
        async def __call__(self) -> None:
            log.append("last")

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["+a", "use a", "-a", "last"]


# --- One task, one context ---


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("per", ["run", "visit"])
async def test_set_up_and_tear_down_share_one_task_and_one_context(per, fails):
    seen = []

    async def make() -> AsyncIterator[str]:
        token = VARIABLE.set("inside")
        seen.append(asyncio.current_task())
        try:
            yield "x"
        finally:
            seen.append(asyncio.current_task())
            VARIABLE.reset(token)
            seen.append(VARIABLE.get())

    class Only(Node):
        a: Annotated[str, Dep(make, per=per)]

        async def __call__(self) -> None:
            seen.append(VARIABLE.get())
            if fails:
                raise ValueError

    VARIABLE.set("outside")
    run = Graph(start=Only).arun(Only())
    if fails:
        with pytest.raises(ValueError):
            await finish(run)
    else:
        await finish(run)

    assert seen[0] is seen[2]
    assert [seen[1], seen[3]] == ["outside", "outside"]


@pytest.mark.parametrize("how", ["done", "failed", "cancelled"])
async def test_anyio_cancel_scopes_and_task_groups_work_around_a_yield(how):
    ended = []
    is_used = asyncio.Event()

    async def worker():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("worker")

    async def make() -> AsyncIterator[str]:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(worker)
                try:
                    yield "x"
                finally:
                    group.cancel_scope.cancel()
                    scope.cancel()
        ended.append("scope left")

    class Only(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            await asyncio.sleep(0)
            is_used.set()
            if how == "failed":
                raise ValueError("the body's own")
            if how == "cancelled":
                await asyncio.Event().wait()

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_used.wait())
    if how == "cancelled":
        run.cancel()
    if how == "done":
        await finish(run)
    else:
        with pytest.raises({"failed": ValueError, "cancelled": asyncio.CancelledError}[how]):
            await finish(run)

    assert "worker" in ended
    assert not others()


async def test_a_resource_that_cancels_its_own_scope_in_use_does_not_cancel_the_run():
    async def make() -> AsyncIterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            yield scope

    class Only(Node):
        scope: Annotated[anyio.CancelScope, Dep(make)]

        async def __call__(self) -> None:
            self.scope.cancel()
            await asyncio.sleep(0)

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.scope.cancel_called


async def test_asyncio_timeout_and_task_group_work_around_a_yield():
    log = []

    async def make() -> AsyncIterator[str]:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            yield "x"
        log.append("left")

    class Only(Node):
        a: Annotated[str, Dep(make)]

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["left"]


# --- Errors ---


@pytest.mark.parametrize(("kind", "thread"), KINDS)
@pytest.mark.parametrize("per", ["run", "visit"])
async def test_the_runs_error_is_thrown_in_at_the_yield(kind, thread, per):
    log = Log()
    make = getattr(log, kind)("a")

    class Only(Node):
        a: Annotated[str, Dep(make, thread=thread, per=per)]

        async def __call__(self) -> None:
            raise ValueError("the body's own")

    with pytest.raises(ValueError, match="the body's own") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert log == ["+a", "!a:ValueError", "-a"]
    assert not any("Closing" in note for note in caught.value.__notes__)
    assert not others()


async def test_a_resource_sees_the_very_error_that_the_run_raises():
    seen = []

    def broken() -> str:
        raise KeyError("gone")

    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        except BaseException as error:
            seen.append(error)
            raise

    class First(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> "Second":
            return Second()

    class Second(Node):
        b: Annotated[str, Dep(broken)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=First).arun(First()))

    assert seen == [caught.value]


@pytest.mark.parametrize("per", ["run", "visit"])
async def test_an_error_that_a_resource_swallows_is_raised_all_the_same(per):
    log = []

    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        except ValueError:
            log.append("swallowed")

    class Only(Node):
        a: Annotated[str, Dep(make, per=per)]

        async def __call__(self) -> None:
            raise ValueError("the body's own")

    with pytest.raises(ValueError, match="the body's own"):
        await finish(Graph(start=Only).arun(Only()))

    assert log == ["swallowed"]


@pytest.mark.parametrize("per", ["run", "visit"])
async def test_an_error_in_tear_down_alone_is_the_runs_error(per):
    log = Log()
    other = log.asynchronous("other")

    async def make(before: Annotated[str, Dep(other)]) -> AsyncIterator[str]:
        yield "x"
        raise OSError("disk full")

    class Only(Node):
        a: Annotated[str, Dep(make, per=per)]

    with pytest.raises(DepError, match="disk full") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.path[-1] == "make"
    assert [type(node) for node in caught.value.trace] == [Only]
    assert log[-1] == "-other"
    assert not others()


@pytest.mark.parametrize("per", ["run", "visit"])
async def test_an_error_in_tear_down_is_a_note_on_the_error_that_was_on_its_way(per, caplog):
    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        finally:
            raise OSError("disk full")

    class Only(Node):
        a: Annotated[str, Dep(make, per=per)]

        async def __call__(self) -> None:
            raise ValueError("the body's own")

    with pytest.raises(ValueError, match="the body's own") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert any("make" in note and "OSError: disk full" in note for note in caught.value.__notes__)


async def test_an_error_in_tear_down_does_not_keep_others_open_and_the_first_is_raised():
    log = Log()

    def failing(name):
        async def make() -> AsyncIterator[str]:
            yield name
            log.append(f"-{name}")
            raise OSError(name)

        return make

    class Only(Node):
        a: Annotated[str, Dep(failing("a"))]
        b: Annotated[str, Dep(log.sync("b"))]
        c: Annotated[str, Dep(failing("c"))]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert sorted(each for each in log if each.startswith("-")) == ["-a", "-b", "-c"]
    assert len(caught.value.__notes__) == 1
    assert not others()


async def test_a_generator_that_yields_twice_is_an_error_and_is_closed():
    async def make() -> AsyncIterator[str]:
        yield "x"
        yield "y"

    class Only(Node):
        a: Annotated[str, Dep(make)]

    with pytest.raises(DepError, match="didn't stop"):
        await finish(Graph(start=Only).arun(Only()))


async def test_a_generator_that_yields_nothing_is_an_error_with_its_path():
    async def make() -> AsyncIterator[str]:
        return
        yield

    class Only(Node):
        a: Annotated[str, Dep(make)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert caught.value.path == ("Only.a", "make")
    assert not others()


@pytest.mark.parametrize("thread", [False, True])
async def test_a_failure_in_set_up_names_its_path_and_closes_what_was_open(thread):
    log = Log()
    base = log.asynchronous("base")

    def make(a: Annotated[str, Dep(base)]) -> Iterator[str]:
        raise OSError("no disk")
        yield

    class Only(Node):
        a: Annotated[str, Dep(make, thread=thread)]

    with pytest.raises(DepError, match="no disk") as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.path == ("Only.a", "make")
    assert log == ["+base", "!base:DepError", "-base"]
    assert not others()


# --- Retries and timeouts of set-up ---


@pytest.mark.parametrize(("kind", "thread"), KINDS)
async def test_a_set_up_that_fails_is_tried_again_and_closed_once(kind, thread):
    log = []

    def begin():
        log.append("+")
        if log.count("+") < 3:
            raise ConnectionError

    def make_sync() -> Iterator[str]:
        begin()
        yield "x"
        log.append("-")

    async def make_async() -> AsyncIterator[str]:
        begin()
        yield "x"
        log.append("-")

    class Only(Node):
        a: Annotated[str, Dep(make_sync if kind == "sync" else make_async, retries=2, thread=thread)]

    result = await finish(Graph(start=Only).arun(Only()))

    assert result.result.a == "x"
    assert log == ["+", "+", "+", "-"]


async def test_a_set_up_that_takes_longer_than_its_timeout_is_taken_down_before_the_next_try():
    log = []

    async def make() -> AsyncIterator[str]:
        log.append("+")
        try:
            if log.count("+") == 1:
                await asyncio.Event().wait()
            yield "x"
        finally:
            log.append("-")

    class Only(Node):
        a: Annotated[str, Dep(make, retries=1, timeout=0.02)]

    await finish(Graph(start=Only).arun(Only()))

    assert log == ["+", "-", "+", "-"]


async def test_the_timeout_is_about_set_up_not_about_use():
    async def make() -> AsyncIterator[str]:
        yield "x"

    class Only(Node):
        a: Annotated[str, Dep(make, timeout=0.01)]

        async def __call__(self) -> None:
            async with asyncio.timeout(0.05) as deadline:
                deadline.reschedule(asyncio.get_running_loop().time() + 0.03)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 0.02)

    await finish(Graph(start=Only).arun(Only()))


# --- Cancellation ---


@pytest.mark.parametrize("kind", ["sync", "asynchronous"])
async def test_cancellation_in_use_is_thrown_in_and_awaited(kind):
    log = Log()
    make = getattr(log, kind)("a")
    is_used = asyncio.Event()

    class Only(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            is_used.set()
            await asyncio.Event().wait()

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_used.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["+a", "!a:CancelledError", "-a"]
    assert not others()


async def test_tear_down_may_await_while_the_run_is_being_cancelled():
    log = []
    is_used, is_closing, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        finally:
            log.append("closing")
            is_closing.set()
            await may_end.wait()
            log.append("closed")

    class Only(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            is_used.set()
            await asyncio.Event().wait()

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_used.wait())
    run.cancel()
    await finish(is_closing.wait())
    assert not run.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["closing", "closed"]


async def test_cancellation_during_set_up_takes_the_half_made_resource_down():
    log = []
    is_setting_up = asyncio.Event()

    async def make() -> AsyncIterator[str]:
        try:
            is_setting_up.set()
            await asyncio.Event().wait()
            yield "x"
        finally:
            await asyncio.sleep(0)
            log.append("down")

    class Only(Node):
        a: Annotated[str, Dep(make)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_setting_up.wait())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["down"]
    assert not others()


async def test_a_sibling_that_fails_during_set_up_takes_the_half_made_resource_down():
    log = []
    is_setting_up = asyncio.Event()

    async def make() -> AsyncIterator[str]:
        try:
            is_setting_up.set()
            await asyncio.Event().wait()
            yield "x"
        finally:
            log.append("down")

    async def broken() -> str:
        await is_setting_up.wait()
        raise OSError

    class Only(Node):
        a: Annotated[str, Dep(make)]
        b: Annotated[str, Dep(broken)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))

    assert caught.value.field_name == "b"
    assert log == ["down"]
    assert not others()


async def test_a_threaded_set_up_that_is_cancelled_is_still_torn_down_before_the_run_is_over():
    log = []
    loop = asyncio.get_running_loop()
    is_setting_up = asyncio.Event()
    go_on = threading.Event()

    def make() -> Iterator[str]:
        loop.call_soon_threadsafe(is_setting_up.set)
        go_on.wait(5)
        log.append("up")
        try:
            yield "x"
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            log.append("down")

    class Only(Node):
        a: Annotated[str, Dep(make, thread=True)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_setting_up.wait())
    run.cancel()
    loop.call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await finish(run)
    is_over = list(log)
    go_on.set()

    assert is_over == ["up", "CancelledError", "down"]
    assert not others()


@pytest.mark.parametrize("per", ["run", "visit"])
async def test_cancellation_during_tear_down_still_closes_every_resource(per):
    log = Log()
    is_closing, may_end = asyncio.Event(), asyncio.Event()
    first = log.asynchronous("first")

    async def second(a: Annotated[str, Dep(first, per=per)]) -> AsyncIterator[str]:
        log.append("+second")
        try:
            yield "x"
        finally:
            is_closing.set()
            await may_end.wait()
            log.append("-second")

    class Only(Node):
        x: Annotated[str, Dep(second, per=per)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    await finish(is_closing.wait())
    run.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert [each for each in log if each.startswith("-")] == ["-second", "-first"]
    assert not others()


async def test_a_run_cancelled_during_tear_down_still_tells_its_end():
    events = []
    is_closing, may_end = asyncio.Event(), asyncio.Event()

    async def make() -> AsyncIterator[str]:
        yield "x"
        is_closing.set()
        await may_end.wait()

    class Only(Node):
        x: Annotated[str, Dep(make)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only(), on_event=events.append))
    await finish(is_closing.wait())
    run.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "cancelled"


async def test_the_timeout_of_a_run_is_thrown_into_its_resources():
    seen = []

    async def make() -> AsyncIterator[str]:
        try:
            yield "x"
        except BaseException as error:
            seen.append(error)
            raise

    class Only(Node):
        x: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            await asyncio.Event().wait()

    with pytest.raises(RunTimeoutError) as caught:
        await finish(Graph(start=Only).arun(Only(), timeout=0.02))

    assert seen == [caught.value]
    assert not others()


async def test_a_resource_that_nobody_waits_for_any_more_is_closed_exactly_once():
    """It is up, and its caller is cancelled in the same turn of the loop."""
    log = Log()

    async def make() -> AsyncIterator[str]:
        log.append("+")
        try:
            await asyncio.sleep(0)
            run.cancel()
            yield "x"
        finally:
            log.append("-")

    class Only(Node):
        x: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            await asyncio.Event().wait()

    run = asyncio.ensure_future(Graph(start=Only).arun(Only()))
    with pytest.raises(asyncio.CancelledError):
        await finish(run)

    assert log == ["+", "-"]
    assert not others()


def session_and_threaded_work(log):
    """Return a resource, a function in a thread that uses it, when that began, and what lets it go on."""
    loop = asyncio.get_running_loop()
    is_working, go_on = asyncio.Event(), threading.Event()

    async def session() -> AsyncIterator[str]:
        log.append("+session")
        try:
            yield "s"
        finally:
            log.append("-session")

    def work(s: Annotated[str, Dep(session)]) -> int:
        loop.call_soon_threadsafe(is_working.set)
        go_on.wait(5)
        log.append("used")
        return 1

    return work, is_working, go_on


async def test_a_thread_is_awaited_before_its_resource_is_closed_when_a_sibling_fails():
    log = []
    work, is_working, go_on = session_and_threaded_work(log)

    async def broken() -> int:
        await is_working.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        raise OSError

    class Only(Node):
        a: Annotated[int, Dep(work, thread=True)]
        b: Annotated[int, Dep(broken)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))
    is_over = list(log)
    go_on.set()

    assert caught.value.field_name == "b"
    assert is_over == ["+session", "used", "-session"]
    assert not others()


@pytest.mark.parametrize("timeout", [None, 0.02])
async def test_a_thread_is_awaited_before_its_resource_is_closed_when_the_run_is_cancelled_or_out_of_time(timeout):
    log = []
    work, is_working, go_on = session_and_threaded_work(log)

    class Only(Node):
        a: Annotated[int, Dep(work, thread=True)]

    run = asyncio.ensure_future(Graph(start=Only).arun(Only(), timeout=timeout))
    await finish(is_working.wait())
    asyncio.get_running_loop().call_later(0.1, go_on.set)
    if timeout is None:
        run.cancel()
    with pytest.raises((asyncio.CancelledError, RunTimeoutError)):
        await finish(run)
    is_over = list(log)
    go_on.set()

    assert is_over == ["+session", "used", "-session"]
    assert not others()


async def test_a_thread_is_abandoned_when_its_own_timeout_is_over_though_its_resource_is_closed():
    log = []
    work, _, go_on = session_and_threaded_work(log)

    class Only(Node):
        a: Annotated[int, Dep(work, thread=True, timeout=0.02)]

    with pytest.raises(DepError) as caught:
        await finish(Graph(start=Only).arun(Only()))
    is_over = list(log)
    go_on.set()

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert is_over == ["+session", "-session"]
    assert not others()


# --- With the rest ---


async def test_a_resource_that_recalls_is_set_up_again_when_the_trace_moved_and_all_are_closed():
    log = Log()

    async def make(last: Annotated["Round", Recall()]) -> AsyncIterator[str]:
        log.append(f"+{last.left}")
        yield f"for {last.left}"
        log.append(f"-{last.left}")

    class Start(Node):
        async def __call__(self) -> "Round":
            return Round(left=1)

    class Round(Node):
        left: int

        async def __call__(self, a: Annotated[str, Dep(make)]) -> "Round | None":
            log.append(a)
            return Round(left=self.left - 1) if self.left else None

    await finish(Graph(start=Start).arun(Start()))

    assert log == ["+1", "for 1", "+0", "for 0", "-0", "-1"]


async def test_a_subgraphs_own_resources_end_with_it_and_shared_ones_with_the_outer_run():
    log = Log()
    shared, own = log.asynchronous("shared"), log.asynchronous("own")

    class Inner(Node):
        number: int
        s: Annotated[str, Dep(shared)]
        o: Annotated[str, Dep(own, per="visit")]

    inner = Graph(start=Inner)

    async def sub() -> str:
        result = await inner.arun(Inner(number=1))
        log.append("inner over")
        return result.result.s

    class Outer(Node):
        x: Annotated[str, Dep(sub)]

        async def __call__(self, s: Annotated[str, Dep(shared)]) -> None:
            log.append(f"outer {s}")

    await finish(Graph(start=Outer).arun(Outer()))

    assert log.count("+shared") == 1
    assert log[-4:] == ["-own", "inner over", "outer shared", "-shared"]


async def test_closing_is_told_with_its_key_and_how_it_ended():
    events = []

    async def good() -> AsyncIterator[str]:
        yield "x"

    async def bad() -> AsyncIterator[str]:
        yield "x"
        raise OSError("disk full")

    class Only(Node):
        x: Annotated[str, Dep(good)]
        y: Annotated[str, Dep(bad)]

    with pytest.raises(DepError):
        await finish(Graph(start=Only).arun(Only(), on_event=events.append))

    closed = {event.key: event.status for event in events if isinstance(event, DepClosed)}
    assert closed == {"0:Only/x": "done", "0:Only/y": "failed"}
    assert sum(isinstance(event, DepFinished) for event in events) == 2


async def test_resolving_by_hand_refuses_a_resource():
    from weft import resolve_dep

    async def make() -> AsyncIterator[str]:
        yield "x"

    with pytest.raises(GraphError, match="resource"):
        await resolve_dep(make, {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_body_closes_resources_on_its_way_out(error):
    log = Log()
    make = log.asynchronous("a")

    class Only(Node):
        a: Annotated[str, Dep(make)]

        async def __call__(self) -> None:
            raise error

    with pytest.raises(error):
        Graph(start=Only).run(Only())

    assert log[-1] == "-a"
