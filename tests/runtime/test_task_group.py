"""A task group whose owner is canceled while one of its tasks fails."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest

import sarlens
from sarlens.runtime.task_group import TaskGroup


async def fail_after(started: asyncio.Event) -> None:
    """Fail once ``started`` is set."""
    await started.wait()
    raise ValueError("x")


@pytest.mark.parametrize("canceled_first", [True, False])
async def test_a_cancellation_at_the_moment_of_a_failure_is_kept(*, canceled_first: bool) -> None:
    """The owner ends with CancelledError, whether it is canceled just before or just after a task failed."""
    started = asyncio.Event()

    async def own() -> None:
        with suppress(ExceptionGroup):  # Python 3.13 cancels at the next await
            async with TaskGroup() as group:
                group.create_task(fail_after(started))
        await asyncio.sleep(60)

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    started.set()
    if not canceled_first:
        asyncio.get_running_loop().call_soon(owner.cancel)
    else:
        owner.cancel()
    await asyncio.wait([owner], timeout=5)
    assert owner.cancelled()


async def test_a_failure_during_a_cancellation_does_not_end_it() -> None:
    """A task that fails because the group is canceled doesn't replace the cancellation of the owner."""

    async def fail_when_canceled() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("x")

    async def own() -> None:
        with suppress(ExceptionGroup):
            async with TaskGroup() as group:
                group.create_task(fail_when_canceled())
        await asyncio.sleep(60)

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    owner.cancel()
    await asyncio.wait([owner], timeout=5)
    assert owner.cancelled()


async def test_failures_are_raised_without_a_cancellation() -> None:
    """The failures of the tasks are a group, and an earlier, handled cancellation of the owner has no effect."""
    started = asyncio.Event()
    started.set()

    async def own() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        with pytest.raises(ExceptionGroup) as failures:
            async with TaskGroup() as group:
                group.create_task(fail_after(started))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 1
        return repr(failures.value.exceptions)

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    owner.cancel()
    assert await owner == "(ValueError('x'),)"


def test_the_gateway_uses_no_other_task_group() -> None:
    """No module of the gateway makes a task group of asyncio."""
    folder = Path(sarlens.__file__).parent
    users = [path.name for path in folder.rglob("*.py") if re.search(r"asyncio\.TaskGroup\(\)", path.read_text())]
    assert users == []
