import asyncio

import pytest


@pytest.fixture
async def nothing_left_behind():
    """No task outlives a test, and no callback fails unseen."""
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    yield
    assert not problems
    assert asyncio.all_tasks() == {asyncio.current_task()}
