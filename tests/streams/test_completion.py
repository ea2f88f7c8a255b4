"""Something that will be over once."""

from __future__ import annotations

import asyncio
import gc

import pytest

from cwschannel.streams.completion import Completion


async def test_it_ends_for_everybody_who_waits_and_for_those_who_come_later() -> None:
    completion = Completion()

    async def wait() -> str:
        await completion
        return "over"

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not completion.done()
    completion.finish()
    assert completion.done()
    assert await asyncio.gather(*tasks) == ["over"] * 3
    assert await wait() == "over"


async def test_an_error_is_raised_for_everybody_and_is_claimed_by_that() -> None:
    completion = Completion()
    error = OSError("gone")

    async def wait() -> None:
        await completion

    tasks = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    completion.finish(error)
    assert completion.error() is error
    assert completion.claimed, "the tasks will get it"
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error, error]
    assert completion.claimed
    with pytest.raises(OSError, match="gone"):
        await completion


def test_it_needs_no_loop_and_an_error_that_nobody_asks_for_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    completion = Completion()
    completion.finish(OSError("gone"))
    assert completion.done()
    assert isinstance(completion.error(), OSError)
    assert not completion.claimed
    del completion
    gc.collect()
    assert caplog.records == []


def test_it_ends_once() -> None:
    completion = Completion()
    first, calls = OSError("first"), []
    completion.when_done(lambda: calls.append(completion.error()))
    assert calls == []
    completion.finish(first)
    completion.finish(OSError("second"))
    completion.finish()
    assert completion.error() is first
    assert calls == [first]


async def test_the_callback_comes_before_those_who_wait() -> None:
    completion = Completion()
    log = []

    async def wait() -> None:
        await completion
        log.append("waiter")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    completion.when_done(lambda: log.append("callback"))
    completion.finish()
    await task
    assert log == ["callback", "waiter"]


def test_a_callback_that_comes_late_is_called_at_once() -> None:
    completion = Completion()
    completion.finish()
    calls = []
    completion.when_done(lambda: calls.append(1))
    assert calls == [1]


async def test_a_waiter_who_is_cancelled_cancels_nobody_else() -> None:
    completion = Completion()

    async def wait() -> None:
        await completion

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    assert not completion.done()
    completion.finish()
    await second


async def test_a_timeout_leaves_it_as_it_was() -> None:
    completion = Completion()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(completion, 0.001)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await completion
    assert not completion.claimed
    completion.finish()
    await completion


async def test_a_waiter_who_is_cancelled_does_not_claim_the_error() -> None:
    completion = Completion()

    async def wait() -> None:
        await completion

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    completion.finish(OSError())
    await asyncio.wait([task])
    assert task.cancelled()
    assert not completion.claimed


async def test_waiters_who_were_cancelled_leave_nothing_behind() -> None:
    completion = Completion()

    async def wait() -> None:
        await completion

    for _ in range(10):
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert not completion._waiters


@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_those_who_wait_for_the_end_only_claim_no_error(error: Exception | None) -> None:
    completion = Completion()

    async def wait() -> str:
        await completion.ended()
        return "over"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not task.done()
    completion.finish(error)
    assert await task == await wait() == "over"
    assert not completion.claimed
    assert completion.error() is error
