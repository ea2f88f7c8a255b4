"""Waiting that ends in the very call that ends it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from cwschannel.streams.waiter import Waiter

if TYPE_CHECKING:
    from .conftest import Problems

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Waiting:
    """A task that waits, and says what became of it."""

    def __init__(self) -> None:
        self.waiter = Waiter(asyncio.get_running_loop())
        self.log: list[str] = []
        self.task: asyncio.Task[str] | None = None

    async def _wait(self) -> str:
        try:
            await self.waiter.wait()
        except asyncio.CancelledError as error:
            self.log.append(f"cancelled {error}".strip())
            raise
        self.log.append("resumed")
        return "result"

    async def start(self) -> Waiting:
        self.task = asyncio.create_task(self._wait())
        await asyncio.sleep(0)
        return self


async def in_callback(*steps: object) -> None:
    """Call plain functions from a callback of the loop, and wait until that is done."""
    done = asyncio.Event()

    def run() -> None:
        for step in steps:
            step()  # type: ignore[operator]
        done.set()

    asyncio.get_running_loop().call_soon(run)
    await done.wait()


async def test_a_callback_resumes_the_task_at_once() -> None:
    waiting = await Waiting().start()

    def wake() -> None:
        waiting.waiter.wake(at_once=True)
        waiting.log.append("woken")

    await in_callback(wake)
    assert waiting.log == ["resumed", "woken"]
    assert waiting.task is not None
    assert await waiting.task == "result"


async def test_a_callback_resumes_the_task_later_unless_asked() -> None:
    waiting = await Waiting().start()
    await in_callback(waiting.waiter.wake, lambda: waiting.log.append("woken"))
    await asyncio.sleep(0)
    assert waiting.log == ["woken", "resumed"]


async def test_a_task_resumes_the_other_by_way_of_the_loop() -> None:
    waiting = await Waiting().start()
    waiting.waiter.wake(at_once=True)
    waiting.log.append("woken")
    assert waiting.log == ["woken"]
    await asyncio.sleep(0)
    assert waiting.log == ["woken", "resumed"]


async def test_waking_nobody_changes_nothing() -> None:
    waiting = Waiting()
    await in_callback(lambda: waiting.waiter.wake(at_once=True), waiting.waiter.wake)
    await waiting.start()
    assert waiting.waiter.waiting
    assert waiting.log == []
    await in_callback(lambda: waiting.waiter.wake(at_once=True))
    assert waiting.log == ["resumed"]
    assert not waiting.waiter.waiting


async def test_a_waiter_is_woken_once() -> None:
    waiting = await Waiting().start()
    await in_callback(*[lambda: waiting.waiter.wake(at_once=True)] * 3, waiting.waiter.wake)
    await asyncio.sleep(0)
    assert waiting.log == ["resumed"]


async def test_the_task_keeps_its_context_variables() -> None:
    seen = []

    async def wait(waiter: Waiter) -> None:
        variable.set("the task's")
        await waiter.wait()
        seen.append(variable.get())

    for at_once in (True, False):
        waiter = Waiter(asyncio.get_running_loop())
        task = asyncio.create_task(wait(waiter))
        await asyncio.sleep(0)
        variable.set("the waker's")
        await in_callback(
            lambda waiter=waiter, at_once=at_once: waiter.wake(at_once=at_once), lambda: seen.append(variable.get())
        )
        await task
    assert seen == ["the task's", "the waker's", "the waker's", "the task's"]


async def test_the_task_is_the_current_one_when_it_is_resumed_and_none_is_afterwards() -> None:
    seen: list[object] = []
    waiter = Waiter(asyncio.get_running_loop())

    async def wait() -> None:
        await waiter.wait()
        seen.append(asyncio.current_task())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await in_callback(lambda: waiter.wake(at_once=True), lambda: seen.append(asyncio.current_task()))
    assert seen == [task, None]


async def test_a_resumed_task_may_fail_without_harm_to_who_woke_it(problems: Problems) -> None:
    problems.watch()
    waiter = Waiter(asyncio.get_running_loop())

    async def wait() -> None:
        await waiter.wait()
        raise RuntimeError("mine")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await in_callback(lambda: waiter.wake(at_once=True))
    with pytest.raises(RuntimeError, match="mine"):
        await task


async def test_a_task_that_waits_can_be_cancelled() -> None:
    waiting = await Waiting().start()
    assert waiting.task is not None
    assert waiting.task.cancel("why")
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert waiting.log == ["cancelled why"]
    assert not waiting.waiter.waiting
    waiting.waiter.wake(at_once=True)
    assert waiting.log == ["cancelled why"]


async def test_a_task_that_was_cancelled_first_is_not_woken() -> None:
    for at_once in (True, False):
        waiting = await Waiting().start()
        assert waiting.task is not None
        await in_callback(waiting.task.cancel, lambda waiting=waiting, at_once=at_once: waiting.waiter.wake(at_once=at_once))
        await asyncio.wait([waiting.task])
        assert waiting.log == ["cancelled"]
        assert waiting.task.cancelled()
        await waiting.start()  # and the next one can wait for it
        await in_callback(lambda waiting=waiting: waiting.waiter.wake(at_once=True))
        assert waiting.log == ["cancelled", "resumed"]


async def test_a_task_that_is_cancelled_without_a_message_has_none() -> None:
    waiting = await Waiting().start()
    assert waiting.task is not None
    waiting.task.cancel()
    await asyncio.wait([waiting.task])
    assert waiting.log == ["cancelled"]


async def test_cancelling_a_task_that_was_woken_is_not_lost() -> None:
    waiting = await Waiting().start()
    assert waiting.task is not None
    waiting.waiter.wake()
    waiting.task.cancel()
    await asyncio.wait([waiting.task])
    assert waiting.task.cancelled()
    assert waiting.log == ["cancelled"]


async def test_wait_for_and_timeout_end_the_waiting() -> None:
    for _ in range(2):
        waiting = Waiting()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting._wait(), 0.001)
        assert not waiting.waiter.waiting
        waiting = Waiting()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await waiting._wait()
        assert not waiting.waiter.waiting


async def test_wait_for_and_timeout_pass_on_what_comes_in_time() -> None:
    loop = asyncio.get_running_loop()
    waiting = Waiting()
    loop.call_later(0.001, lambda: waiting.waiter.wake(at_once=True))
    assert await asyncio.wait_for(waiting._wait(), 10) == "result"
    waiting = Waiting()
    loop.call_later(0.001, lambda: waiting.waiter.wake(at_once=True))
    async with asyncio.timeout(10):
        assert await waiting._wait() == "result"


async def test_a_task_may_wait_again_as_soon_as_it_is_resumed() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    passed = 0

    async def wait() -> None:
        nonlocal passed
        for _ in range(100):
            await waiter.wait()
            passed += 1

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    counts = []

    def wake_all() -> None:
        for _ in range(100):
            waiter.wake(at_once=True)
            counts.append(passed)

    await in_callback(wake_all)
    assert counts == list(range(1, 101))
    await task


async def test_a_waiter_of_another_loop_is_refused() -> None:
    other = asyncio.new_event_loop()
    try:
        waiter = Waiter(other)

        async def wait() -> None:
            await waiter.wait()

        with pytest.raises(RuntimeError, match="different loop"):
            await asyncio.create_task(wait())
    finally:
        other.close()


async def test_a_callback_in_the_context_of_the_task_resumes_it_by_way_of_the_loop(problems: Problems) -> None:
    problems.watch()
    loop = asyncio.get_running_loop()
    waiter = Waiter(loop)
    context = contextvars.copy_context()
    log: list[str] = []

    async def wait() -> None:
        for _ in range(2):
            await waiter.wait()
            log.append("resumed")

    def wake() -> None:
        waiter.wake(at_once=True)
        log.append("woken")

    task = loop.create_task(wait(), context=context)
    await asyncio.sleep(0)
    for _ in range(2):
        loop.call_soon(wake, context=context)
        await asyncio.sleep(0.01)
    assert log == ["woken", "resumed"] * 2
    await asyncio.wait_for(task, 10)
    assert problems.copy() == []


async def test_a_task_that_is_cancelled_by_the_callback_in_its_context_is_not_resumed() -> None:
    loop = asyncio.get_running_loop()
    waiter = Waiter(loop)
    context = contextvars.copy_context()

    async def wait() -> None:
        await waiter.wait()

    task = loop.create_task(wait(), context=context)
    await asyncio.sleep(0)
    loop.call_soon(lambda: (waiter.wake(at_once=True), task.cancel()), context=context)
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_a_waiter_whose_task_was_thrown_out_serves_the_next() -> None:
    """By whoever drives the coroutine itself, and leaves the future with a callback of the task that is gone."""
    waiter = Waiter(asyncio.get_running_loop())
    gone = waiter.wait()
    future = gone.send(None)  # type: ignore[attr-defined]
    stale: list[object] = []
    future.add_done_callback(stale.append)
    gone.close()  # type: ignore[attr-defined]
    assert not waiter.waiting

    async def wait() -> str:
        await waiter.wait()
        return "resumed"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await in_callback(lambda: waiter.wake(at_once=True))
    assert await asyncio.wait_for(task, 10) == "resumed"
    assert len(stale) == 1
