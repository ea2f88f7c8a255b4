"""The rules of the sink, over every kind of channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.exceptions import ChannelStateError

from ..channels.running import until
from .contract import Listener, Pair, for_each_kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@for_each_kind(when=lambda kind: kind.answers, blocking=True)
async def test_adding_after_close_raises(pair: Pair) -> None:
    closing = pair.near.start_closing()
    for _ in range(2):
        with pytest.raises(ChannelStateError, match="after close"):
            pair.near.add(1)
        with pytest.raises(ChannelStateError, match="after close"):
            pair.near.add_error(ValueError())
        with pytest.raises(ChannelStateError, match="after close"):
            await pair.near.add_all([1])
        await closing
    assert await pair.far.read_all() == []


@for_each_kind
async def test_nothing_else_can_be_done_with_the_sink_while_add_stream_runs(pair: Pair) -> None:
    go_on = asyncio.Event()

    async def generate() -> AsyncIterator[Any]:
        yield pair.kind.item(1, 0)
        await go_on.wait()
        yield pair.kind.item(2, 0)

    adding = asyncio.create_task(pair.near.sink.add_stream(generate()))
    assert await pair.far.read(1) == [1]
    forbidden: list[Callable[[], object]] = [
        lambda: pair.near.add(9),
        pair.near.sink.close,
        lambda: pair.near.add_error(ValueError()),
    ]
    for call in forbidden:
        with pytest.raises(ChannelStateError, match="add_stream"):
            call()
    with pytest.raises(ChannelStateError, match="add_stream"):
        await pair.near.add_all([9])
    go_on.set()
    await adding
    pair.near.add(3)
    assert await pair.far.read(2) == [2, 3]
    await pair.near.close()
    assert await pair.far.read_all() == []


@for_each_kind(blocking=True)
async def test_what_is_added_one_by_one_and_by_iterables_keeps_its_order(pair: Pair) -> None:
    reading = asyncio.create_task(pair.far.read_all())
    for start in range(0, 600, 60):
        pair.near.add(*range(start, start + 30))
        await pair.near.add_all(range(start + 30, start + 60))
    closing = pair.near.start_closing()
    assert await reading == list(range(600))
    await closing


@for_each_kind(blocking=True)
async def test_nothing_else_can_be_done_with_the_sink_while_an_iterable_is_added(pair: Pair) -> None:
    called: list[str] = []

    def generate() -> Iterator[int]:
        yield 1
        for name, arguments in (("add", (9,)), ("add_error", (ValueError(),)), ("start_closing", ())):
            with pytest.raises(ChannelStateError, match="add_stream"):
                getattr(pair.near, name)(*arguments)
            called.append(name)
        yield 2

    await pair.near.add_all(generate())
    assert called == ["add", "add_error", "start_closing"]
    pair.near.add(3)
    assert await pair.far.read(3) == [1, 2, 3]


@for_each_kind
async def test_add_stream_takes_iterables_of_either_kind_and_reorders_nothing(pair: Pair) -> None:
    async def generate(start: int) -> AsyncIterator[Any]:
        for number in range(start, start + 20):
            yield pair.kind.item(number, 0)
            if number % 3:
                await asyncio.sleep(0)

    reading = asyncio.create_task(pair.far.read_all())
    for start in range(0, 600, 60):
        pair.near.add(*range(start, start + 20))
        await pair.near.sink.add_stream(generate(start + 20))
        await pair.near.add_all(range(start + 40, start + 60))
    await pair.near.sink.add_stream(iter(()))
    pair.near.sink.close()
    assert await reading == list(range(600))


@for_each_kind(blocking=True)
async def test_both_directions_at_once_keep_their_order(pair: Pair) -> None:
    received: list[list[int]] = await asyncio.gather(
        pair.near.read(300), pair.far.read(300), *(end.add_all(range(300)) for end in (pair.near, pair.far))
    )
    assert received[:2] == [list(range(300))] * 2


@for_each_kind(blocking=True)
async def test_an_iterable_that_fails_hands_its_error_on_and_leaves_the_sink_usable(pair: Pair) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise LookupError("of the iterable")

    with pytest.raises(LookupError, match="of the iterable"):
        await pair.near.add_all(fail())
    pair.near.add(2)
    assert await pair.far.read(2) == [1, 2]


@for_each_kind
async def test_add_stream_that_is_cancelled_leaves_the_sink_usable(pair: Pair) -> None:
    async def generate() -> AsyncIterator[Any]:
        yield pair.kind.item(1, 0)
        await asyncio.Event().wait()

    adding = asyncio.create_task(pair.near.sink.add_stream(generate()))
    assert await pair.far.read(1) == [1]
    adding.cancel()
    await asyncio.wait([adding])
    assert adding.cancelled()
    pair.near.add(2)
    await pair.near.close()
    assert await pair.far.read_all() == [2]


@for_each_kind
async def test_something_that_is_no_iterable_leaves_the_sink_usable(pair: Pair) -> None:
    with pytest.raises(TypeError):
        await pair.near.sink.add_stream(1)  # type: ignore[arg-type]
    pair.near.add(2)
    assert await pair.far.read(1) == [2]


@for_each_kind
async def test_flush_ends_when_everything_is_on_its_way_or_the_channel_is_over(pair: Pair) -> None:
    listener = Listener(pair.far)
    await pair.near.flush()
    pair.near.add(1, 2, 3)
    first, second = pair.near.sink.flush(), pair.near.sink.flush()
    await first
    await second
    await until(lambda: listener.numbers == [1, 2, 3])
    pair.near.add(4)
    flushing = asyncio.create_task(pair.near.flush())
    await asyncio.sleep(0)
    pair.near.sink.close()
    await flushing
    await pair.near.done()
    await pair.near.flush()
    assert listener.numbers == [1, 2, 3, 4]


@for_each_kind
async def test_there_is_room_while_little_is_on_its_way_and_when_nobody_will_take_it(pair: Pair) -> None:
    await pair.near.sink.wait_for_room()
    pair.near.add(1)
    await pair.near.sink.wait_for_room()
    await pair.near.close()
    await pair.near.sink.wait_for_room()
    await pair.far.done()
    await pair.far.sink.wait_for_room()


class HeldBack:
    """A task that adds 2000 items, unless it is told that it is enough."""

    def __init__(self, pair: Pair) -> None:
        self.kind = pair.kind
        self.taken = 0
        self.enough = False
        self.adding = asyncio.create_task(pair.near.sink.add_stream(self._generate()))

    async def _generate(self) -> AsyncIterator[Any]:
        while self.taken < 2000 and not self.enough:
            self.taken += 1
            yield self.kind.item(self.taken, self.kind.large)

    async def until_it_waits(self) -> None:
        before = -1
        while before < self.taken:
            before = self.taken
            await asyncio.sleep(0.03)
        assert self.taken < 2000, "the sender was not held back"
        assert not self.adding.done()


@for_each_kind(when=lambda kind: kind.holds_back)
async def test_a_reader_that_pauses_holds_back_the_sender_and_loses_nothing(pair: Pair) -> None:
    listener = Listener(pair.far)
    listener.subscription.pause()
    sender = HeldBack(pair)
    await sender.until_it_waits()
    assert listener.log == []
    sender.enough = True
    listener.subscription.resume()
    await sender.adding
    pair.near.sink.close()
    await until(lambda: listener.done)
    assert listener.numbers == list(range(1, sender.taken + 1))


@for_each_kind(when=lambda kind: kind.holds_back)
async def test_a_sender_that_is_held_back_is_let_go_when_the_reader_closes(pair: Pair) -> None:
    sender = HeldBack(pair)
    await sender.until_it_waits()
    pair.far.sink.close()
    await sender.adding
    assert sender.taken < 2000
    await pair.near.done()
