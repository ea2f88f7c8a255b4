"""The rules of the stream, over every kind of channel."""

from __future__ import annotations

import asyncio
import functools

import pytest

from cwschannel.exceptions import BackPressureError

from ..channels.running import until
from .contract import Listener, Pair, for_each_kind


@for_each_kind(blocking=True)
async def test_breaking_out_leaves_the_stream_usable(pair: Pair) -> None:
    pair.near.add(1, 2, 3)
    assert await pair.far.read(1) == [1]
    assert await pair.far.read(1) == [2]
    pair.near.add(4)
    closing = pair.near.start_closing()
    assert await pair.far.read_all() == [3, 4]
    assert await pair.far.read_all() == []
    await closing


@for_each_kind
async def test_a_listener_may_come_after_a_reader_has_left(pair: Pair) -> None:
    pair.near.add(1)
    assert await pair.far.read(1) == [1]
    listener = Listener(pair.far)
    pair.near.add(2)
    pair.near.sink.close()
    await until(lambda: listener.done)
    assert listener.numbers == [2]


@for_each_kind
async def test_a_listener_is_called_for_each_item_in_order_and_once_for_the_end(pair: Pair) -> None:
    pair.near.add(0)
    listener = Listener(pair.far)
    for number in range(1, 30):
        pair.near.add(number)
        if number % 7 == 0:
            await pair.near.flush()
    pair.near.sink.close()
    await until(lambda: listener.done)
    await pair.far.close()
    await asyncio.sleep(0.002)
    assert listener.numbers == list(range(30))
    assert listener.log == [*listener.items, "done"]


@for_each_kind
async def test_nothing_is_called_within_listen(pair: Pair) -> None:
    pair.near.add(1)
    await asyncio.sleep(0.01)
    listener = Listener(pair.far)
    assert listener.log == []
    await until(lambda: listener.numbers == [1])


@for_each_kind
async def test_all_callbacks_may_be_left_out(pair: Pair) -> None:
    pair.far.stream.listen()
    pair.near.add(1, 2)
    await pair.near.close()
    await pair.far.done()


@for_each_kind
async def test_a_pause_keeps_everything_until_it_is_taken_back(pair: Pair) -> None:
    listener = Listener(pair.far)
    pair.near.add(0)
    await until(lambda: listener.numbers == [0])
    listener.subscription.pause()
    listener.subscription.pause()
    pair.near.add(1, 2, 3)
    pair.near.sink.close()
    await asyncio.sleep(0.01)
    listener.subscription.resume()
    await asyncio.sleep(0.002)
    assert listener.numbers == [0]
    assert not listener.done
    listener.subscription.resume()
    await until(lambda: listener.done)
    assert listener.numbers == [0, 1, 2, 3]


@for_each_kind
async def test_a_pause_within_a_callback_holds_at_once(pair: Pair) -> None:
    listener = Listener(pair.far)
    listener.at = listener.subscription.pause
    pair.near.add(*range(6))
    pair.near.sink.close()
    await until(lambda: listener.items)
    for _ in range(6):
        seen = len(listener.items)
        await asyncio.sleep(0.002)
        assert len(listener.items) == seen
        assert not listener.done
        if len(listener.numbers) == 6:
            break
        listener.subscription.resume()
        await until(lambda seen=seen: len(listener.items) > seen)
        assert len(listener.items) == seen + 1
    listener.subscription.resume()
    await until(lambda: listener.done)
    assert listener.numbers == list(range(6))


@for_each_kind
async def test_cancelling_within_a_callback_is_the_last_call(pair: Pair) -> None:
    listener = Listener(pair.far)
    listener.at = listener.subscription.cancel
    pair.near.add(1)
    await until(lambda: listener.items)
    pair.near.add(2, 3)
    await pair.near.close()
    await pair.far.done()
    assert listener.numbers == [1]
    assert not listener.done


@for_each_kind
async def test_cancelling_a_paused_subscription_lets_the_end_be_noticed(pair: Pair) -> None:
    listener = Listener(pair.far)
    listener.subscription.pause()
    pair.near.add(1, 2)
    await asyncio.sleep(0.002)
    listener.subscription.cancel()
    listener.subscription.resume()
    await pair.near.close()
    await pair.far.done()
    assert listener.log == []


@for_each_kind(when=lambda kind: kind.forwards_errors)
async def test_errors_come_in_their_places(pair: Pair) -> None:
    errors = [ValueError(number) for number in range(3)]
    listener = Listener(pair.far)
    pair.near.add_error(errors[0])
    pair.near.add(1)
    pair.near.add_error(errors[1])
    pair.near.add_error(errors[2])
    pair.near.add(2)
    pair.near.sink.close()
    await until(lambda: listener.done)
    one, two = listener.items
    assert listener.log == [errors[0], one, errors[1], errors[2], two, "done"]
    assert listener.numbers == [1, 2]


@for_each_kind(when=lambda kind: kind.forwards_errors)
async def test_cancel_on_error_makes_the_first_error_the_last_call(pair: Pair) -> None:
    error = ValueError("the first")
    listener = Listener(pair.far, cancel_on_error=True)
    pair.near.add(1)
    pair.near.add_error(error)
    pair.near.add(2)
    pair.near.add_error(ValueError("the second"))
    pair.far.add(3)
    assert await pair.near.read(1) == [3]
    await pair.near.close()
    await pair.far.done()
    assert listener.numbers == [1]
    assert listener.log[1:] == [error]


@for_each_kind(when=lambda kind: kind.forwards_errors and kind.holds_back)
async def test_errors_that_nobody_reads_are_bounded_like_items(pair: Pair) -> None:
    async def add_without_end() -> None:
        for number in range(70_000):
            pair.near.add_error(ValueError(number))
            if number % 50 == 0:
                await asyncio.sleep(0)

    # What is full in the end is what the sender fills: all that is between it and the reader has paused before.
    with pytest.raises(BackPressureError):
        await add_without_end()


@for_each_kind
async def test_what_callbacks_raise_is_reported_and_loses_nothing(pair: Pair) -> None:
    items: list[object] = []

    def fail(*arguments: object) -> None:
        items.extend(arguments or ["done"])
        raise LookupError("of a callback")

    pair.far.stream.listen(fail, on_done=fail)
    for number in range(5):
        pair.near.add(number)
        await pair.near.flush()
    pair.near.sink.close()
    await until(lambda: "done" in items)
    await pair.far.done()
    reported, pair.problems[:] = list(pair.problems), []
    assert pair.kind.numbers(items[:-1]) == list(range(5))
    assert len(reported) == len(items)
    assert all(type(context["exception"]) is LookupError for context in reported)


@for_each_kind
async def test_coroutine_functions_are_refused_and_the_stream_stays_free(pair: Pair) -> None:
    async def callback(*_: object) -> None: ...

    for options in ({"on_data": callback}, {"on_error": callback}, {"on_done": functools.partial(callback, 1)}):
        with pytest.raises(TypeError, match="coroutine function"):
            pair.far.stream.listen(**options)  # type: ignore[arg-type]
    pair.near.add(1)
    assert await pair.far.read(1) == [1]


@for_each_kind
async def test_a_waiting_reader_that_is_cancelled_loses_nothing(pair: Pair) -> None:
    got: list[int] = []
    for number in range(20):
        reading = asyncio.create_task(pair.far.read(1))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        pair.near.add(number)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        if not reading.cancelled():
            got += reading.result()
    pair.near.sink.close()
    got += await pair.far.read_all()
    assert got == list(range(20))
