"""The six guarantees of ``StreamChannel`` by their numbers, and what closing means, over every kind of channel."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from cwschannel.exceptions import ChannelStateError, ConnectionClosed

from ..channels.running import until
from .contract import Listener, Pair, for_each_kind


async def arrived() -> None:
    """Give what is on its way the time to wait in a stream. What a test says holds without it, too."""
    await asyncio.sleep(0.01)


# The guarantees.


@for_each_kind
async def test_guarantee_1_the_stream_has_one_listener(pair: Pair) -> None:
    listener = Listener(pair.far)
    for _ in range(2):
        with pytest.raises(ChannelStateError, match="one listener"):
            Listener(pair.far)
        with pytest.raises(ChannelStateError, match="listened to"):
            await pair.far.read(1)
        pair.near.add(1)
        await until(lambda: listener.numbers == [1])
        listener.subscription.cancel()


@for_each_kind(blocking=True)
async def test_guarantee_1_who_reads_is_the_one_reader(pair: Pair) -> None:
    reading = asyncio.create_task(pair.far.read(1))
    await pair.far.reads()
    with pytest.raises(ChannelStateError, match="one reader"):
        await pair.far.read(1)
    pair.near.add(1)
    assert await reading == [1]


@for_each_kind
async def test_guarantee_1_nobody_can_listen_while_a_task_reads(pair: Pair) -> None:
    reading = asyncio.create_task(pair.far.read(1))
    await asyncio.sleep(0)
    with pytest.raises(ChannelStateError, match="one reader"):
        Listener(pair.far)
    pair.near.add(1)
    assert await reading == [1]


@for_each_kind(blocking=True)
async def test_guarantee_2_closing_the_sink_ends_the_stream_before_anything_more_comes(pair: Pair) -> None:
    pair.near.add(1)
    assert await pair.far.read(1) == [1]
    pair.near.add(*range(2, 10))
    await arrived()
    closing = pair.far.start_closing()
    assert await pair.far.read_all() == []
    await pair.near.done()
    await closing
    assert await pair.far.read_all() == []


@for_each_kind
async def test_guarantee_2_what_waits_unread_for_the_first_reader_is_dropped(pair: Pair) -> None:
    pair.near.add(1, 2, 3)
    await arrived()
    pair.far.sink.close()
    listener = Listener(pair.far)
    await until(lambda: listener.done)
    assert listener.log == ["done"]


@for_each_kind(blocking=True)
async def test_guarantee_2_holds_for_a_reader_that_waits(pair: Pair) -> None:
    reading = asyncio.create_task(pair.far.read_all())
    await pair.far.reads()
    closing = pair.far.start_closing()
    assert await reading == []
    await pair.near.done()
    await closing


@for_each_kind
async def test_guarantee_2_holds_for_a_listener_that_closes_in_its_callback(pair: Pair) -> None:
    listener = Listener(pair.far)

    def close_at_the_third() -> None:
        assert not listener.done
        if len(listener.items) == 3:
            pair.far.sink.close()

    listener.at = close_at_the_third
    for number in range(6):  # one after the other, so that they are as many chunks
        if len(listener.items) < 3:
            pair.near.add(number)
            await until(lambda number=number: len(listener.items) > number)
        else:
            pair.near.add(number)
    await pair.far.done()
    await until(lambda: listener.done)
    assert listener.numbers == [0, 1, 2]
    assert listener.log[3:] == ["done"]


@for_each_kind(blocking=True)
async def test_guarantee_3_after_the_stream_ends_the_sink_drops_until_close_is_called(pair: Pair) -> None:
    closing = pair.near.start_closing()
    assert await pair.far.read_all() == []
    pair.far.add(1)
    pair.far.add_error(ValueError("dropped"))
    await pair.far.add_all([2, 3])
    await closing
    await pair.far.done()
    pair.far.add(4)
    pair.far.add_error(ValueError("dropped"))
    await pair.far.add_all([5])
    await pair.far.flush()
    await pair.far.wait_for_room()
    await pair.far.close()
    with pytest.raises(ChannelStateError, match="after close"):
        pair.far.add(6)
    await pair.far.done()


@for_each_kind
async def test_guarantee_3_holds_within_the_callback_for_the_end(pair: Pair) -> None:
    got: list[object] = []

    def on_done() -> None:
        got.append("done")
        pair.far.add(1)
        pair.far.add_error(ValueError("dropped"))

    pair.far.stream.listen(got.append, on_error=got.append, on_done=on_done)
    pair.near.sink.close()
    await until(lambda: got)
    await pair.far.done()
    assert got == ["done"]


@for_each_kind
async def test_guarantee_3_add_stream_ends_when_the_other_end_has_closed(pair: Pair) -> None:
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1
            yield pair.kind.item(taken, 0)
            await asyncio.sleep(0)

    adding = asyncio.create_task(pair.far.sink.add_stream(endless()))
    await until(lambda: taken)
    pair.near.sink.close()
    await adding
    await pair.far.done()


@for_each_kind
async def test_guarantee_4_the_sink_drops_when_the_stream_ended_before_it_had_a_listener(pair: Pair) -> None:
    pair.near.sink.close()
    await pair.far.done()
    pair.far.add(1)
    await pair.far.add_all([2])
    await pair.far.flush()
    listener = Listener(pair.far)
    await until(lambda: listener.done)
    pair.far.add(3)
    await pair.far.close()
    assert listener.log == ["done"]


@for_each_kind(blocking=True)
async def test_guarantee_4_the_sink_drops_when_the_stream_ended_before_it_had_a_reader(pair: Pair) -> None:
    closing = pair.near.start_closing()
    await pair.far.done()
    pair.far.add(1)
    await pair.far.add_all([2])
    assert await pair.far.read_all() == []
    await pair.far.close()
    await closing


@for_each_kind
async def test_guarantee_5_cancelling_the_subscription_leaves_the_channel_open(pair: Pair) -> None:
    listener = Listener(pair.far)
    pair.near.add(1)
    await until(lambda: listener.numbers == [1])
    listener.subscription.cancel()
    listener.subscription.cancel()
    pair.near.add(2)
    pair.far.add(3)
    assert await pair.near.read(1) == [3]
    await pair.near.flush()
    pair.near.sink.close()
    await pair.far.done()
    assert listener.numbers == [1]
    assert not listener.done


@for_each_kind(when=lambda kind: kind.forwards_errors)
async def test_guarantee_6_an_error_is_forwarded_in_its_place(pair: Pair) -> None:
    error = ValueError("among the items")
    pair.near.add(1)
    pair.near.add_error(error)
    pair.near.add(2)
    assert await pair.far.read(1) == [1]
    with pytest.raises(ValueError, match="among") as caught:
        await pair.far.read(1)
    assert caught.value is error
    assert await pair.far.read(1) == [2]
    await pair.near.close()
    assert await pair.far.read_all() == []
    await pair.near.done()


@for_each_kind(when=lambda kind: not kind.forwards_errors, blocking=True)
async def test_guarantee_6_or_it_closes_the_channel_and_done_raises_it(pair: Pair) -> None:
    error = ValueError("not for the other end")
    pair.near.add(1)
    pair.near.add_error(error)
    for _ in range(2):
        with pytest.raises(ValueError, match="not for") as caught:
            await pair.near.done()
        assert caught.value is error
    assert await pair.far.read(1) == [1]
    with contextlib.suppress(ConnectionClosed):  # with 1011, over a WebSocket
        assert await pair.far.read_all() == []
    await pair.far.done()
    with pytest.raises(ValueError, match="not for"):
        await pair.near.close()
    with pytest.raises(ChannelStateError):
        pair.near.add(2)


@for_each_kind
async def test_an_error_that_nobody_asks_for_is_no_log_line(pair: Pair) -> None:
    Listener(pair.far)
    pair.near.add_error(ValueError())
    with contextlib.suppress(ChannelStateError):
        pair.near.sink.close()
    await pair.far.done()


# Closing.


@for_each_kind
async def test_closing_one_end_ends_the_stream_of_the_other(pair: Pair) -> None:
    reading = asyncio.create_task(pair.far.read_all())
    listener = Listener(pair.near)
    await asyncio.sleep(0)
    await pair.near.close()
    assert await reading == []
    await until(lambda: listener.done)
    await pair.far.done()
    assert listener.log == ["done"]


@for_each_kind(blocking=True)
async def test_close_that_is_not_awaited_takes_effect_after_what_was_added(pair: Pair) -> None:
    pair.near.add(*range(50))
    closing = pair.near.start_closing()
    assert await pair.far.read_all() == list(range(50))
    await closing
    await pair.near.done()


@for_each_kind
async def test_much_that_was_added_before_close_arrives(pair: Pair) -> None:
    size = pair.kind.large
    for number in range(50):
        pair.near.sink.add(pair.kind.item(number, size))
    closing = pair.near.sink.close()
    assert await pair.far.read_all() == list(range(50))
    await closing


@for_each_kind
async def test_closing_again_changes_nothing(pair: Pair) -> None:
    first, second = pair.near.sink.close(), pair.near.sink.close()
    listener = Listener(pair.near)
    await second
    await first
    await pair.near.close()
    await pair.near.done()
    await until(lambda: listener.done)
    assert listener.log == ["done"]
    assert await pair.far.read_all() == []


@for_each_kind(blocking=True)
async def test_closing_again_waits_for_the_same_end(pair: Pair) -> None:
    closing = [pair.near.start_closing() for _ in range(3)]
    assert await pair.far.read_all() == []
    for one in closing:
        await one
    await pair.near.close()
    await pair.near.done()
    assert await pair.near.read_all() == []


@for_each_kind(blocking=True)
async def test_both_ends_may_close_at_once(pair: Pair) -> None:
    pair.near.add(1)
    pair.far.add(2)
    await asyncio.gather(pair.near.close(), pair.far.close())
    assert await pair.near.read_all() == []
    assert await pair.far.read_all() == []


@for_each_kind(when=lambda kind: kind.answers, blocking=True)
async def test_closing_completes_with_nobody_listening(pair: Pair) -> None:
    pair.near.add(1)
    pair.far.add(2)
    await pair.near.close()
    await pair.far.done()
    await pair.far.close()


@for_each_kind
async def test_closing_completes_for_a_listener_that_has_paused(pair: Pair) -> None:
    listener = Listener(pair.near)
    listener.subscription.pause()
    pair.far.add(1)
    await arrived()
    await pair.near.close()
    await pair.far.done()
    assert listener.log == []
    listener.subscription.resume()
    await until(lambda: listener.done)
    assert listener.log == ["done"]


@for_each_kind
async def test_a_late_listener_still_gets_what_came_before_the_end(pair: Pair) -> None:
    pair.near.add(1, 2, 3)
    pair.near.sink.close()
    await pair.far.done()
    listener = Listener(pair.far)
    await until(lambda: listener.done)
    assert listener.numbers == [1, 2, 3]
    assert listener.log == [*listener.items, "done"]


@for_each_kind(blocking=True)
async def test_a_late_reader_still_gets_what_came_before_the_end(pair: Pair) -> None:
    pair.near.add(1, 2, 3)
    closing = pair.near.start_closing()
    await pair.far.done()
    assert await pair.far.read(2) == [1, 2]
    assert await pair.far.read_all() == [3]
    assert await pair.far.read_all() == []
    await closing


@for_each_kind
async def test_waiting_for_the_end_can_be_given_up_without_harm(pair: Pair) -> None:
    for awaitable in (pair.near.sink.done, pair.near.sink.done):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await awaitable
    waiting = [asyncio.create_task(pair.near.done()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    pair.near.add(1)
    assert await pair.far.read(1) == [1]
    pair.near.sink.close()
    await asyncio.gather(*waiting)
