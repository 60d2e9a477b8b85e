"""A value for each event loop: opened once, closed with its loop, and never another loop's."""

import asyncio
import threading

import pytest

from weft.backends._loops import PerLoop


class Line:
    def __init__(self, log):
        self.loop = asyncio.get_running_loop()
        self.log = log
        log.append("opened")

    async def close(self):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        self.log.append("closed")


@pytest.fixture
def log():
    return []


@pytest.fixture
def lines(log):
    async def open_one():
        await asyncio.sleep(0)
        return Line(log)

    return PerLoop(open_one)


def test_a_loop_opens_its_value_once_and_closes_it_at_its_end(lines, log):
    async def several():
        return await asyncio.gather(*(lines.get() for _ in range(10)))

    first, second = asyncio.run(several()), asyncio.run(several())

    assert log == ["opened", "closed"] * 2
    assert {*first} != {*second}
    assert len({*first, *second}) == 2
    assert len(lines) == 1


def test_loops_in_threads_have_their_own(lines, log):
    barrier = threading.Barrier(4)

    async def wait():
        line = await lines.get()
        barrier.wait(5)
        assert line is await lines.get()

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(log) == ["closed"] * 4 + ["opened"] * 4


def test_what_belongs_to_a_loop_that_just_stopped_is_let_go(lines, log):
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(lines.get())
        loop.close()
    asyncio.run(lines.get())

    assert log.count("opened") == 6
    assert len(lines) == 1


async def test_what_could_not_be_opened_is_tried_again():
    attempts = iter([OSError("not yet"), Line([])])

    async def open_one():
        found = next(attempts)
        if isinstance(found, OSError):
            raise found
        return found

    lines = PerLoop(open_one)

    with pytest.raises(OSError, match="not yet"):
        await lines.get()
    assert isinstance(await lines.get(), Line)
