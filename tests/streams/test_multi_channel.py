"""Several channels over one: the wire format of Dart's ``MultiChannel``, closing, hostile input, and bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cwschannel import (
    BackPressureError,
    ChannelStateError,
    MultiChannel,
    MultiChannelError,
    StreamChannelController,
    json_document,
)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


class Wire:
    """A ``MultiChannel``, and the bare far end of the channel below it, which sees what is sent."""

    def __init__(self, **options: Any) -> None:
        self.pair: StreamChannelController[Any] = StreamChannelController()
        self.multi: MultiChannel[Any] = MultiChannel(self.pair.local, **options)
        self.sent: list[Any] = []
        self.ended = False
        self.pair.foreign.stream.listen(self.sent.append, on_done=self._end)

    def _end(self) -> None:
        self.ended = True

    async def send(self, *messages: Any) -> None:
        for message in messages:
            self.pair.foreign.sink.add(message)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def both() -> tuple[MultiChannel[Any], MultiChannel[Any]]:
    pair: StreamChannelController[Any] = StreamChannelController()
    return MultiChannel(pair.local), MultiChannel(pair.foreign)


# The format.


async def test_the_bytes_are_those_of_dart() -> None:
    # What two programs that use Dart's MultiChannel over jsonDocument write for the same calls.
    pair: StreamChannelController[str] = StreamChannelController()
    multi = MultiChannel(pair.local.transform(json_document))
    sent: list[str] = []
    pair.foreign.stream.listen(sent.append)
    multi.sink.add("main")
    first, second = multi.virtual_channel(), multi.virtual_channel()
    assert (first.id, second.id) == (1, 3)
    multi.sink.add(first.id)
    first.sink.add({"a": [1, None, True]})
    second.sink.add("grün")
    pair.foreign.sink.add('[1,"theirs"]')  # their first channel has the same id as ours, and is another one
    pair.foreign.sink.add('[2,"answer on ours"]')
    theirs = multi.virtual_channel(1)
    assert await theirs.stream.first() == "theirs"
    assert await first.stream.first() == "answer on ours"
    theirs.sink.add("back")
    theirs.sink.close()
    first.sink.close()
    await until(lambda: len(sent) == 7)
    assert sent == ['[0,"main"]', "[0,1]", '[1,{"a":[1,null,true]}]', '[3,"grün"]', '[2,"back"]', "[2]", "[1]"]


async def test_ids_never_collide_though_both_ends_make_channels() -> None:
    one, other = both()
    made = {end: [end.virtual_channel() for _ in range(20)] for end in (one, other)}
    for end, far in ((one, other), (other, one)):
        for number, channel in enumerate(made[end]):
            channel.sink.add(number)
            twin = far.virtual_channel(channel.id)
            twin.sink.add(-number)
            assert await twin.stream.first() == number
            assert await channel.stream.first() == -number


async def test_items_of_all_channels_keep_their_order() -> None:
    one, other = both()
    channels = [one, *(one.virtual_channel() for _ in range(3))]
    twins = [other, *(other.virtual_channel(channel.id) for channel in channels[1:])]
    for number in range(1000):
        channels[number % 4].sink.add(number)
    for offset, twin in enumerate(twins):
        assert [await twin.stream.first() for _ in range(250)] == list(range(offset, 1000, 4))


async def test_none_and_lists_are_items() -> None:
    one, other = both()
    for item in (None, [], [1], [1, 2], {}):
        one.sink.add(item)
        assert await other.stream.first() == item


async def test_an_integral_float_is_an_id_as_javascript_writes_it() -> None:
    wire = Wire()
    await wire.send([1.0, "x"], [0.0, "main"])
    assert await wire.multi.virtual_channel(1).stream.first() == "x"
    assert await wire.multi.stream.first() == "main"


# Closing.


async def test_a_close_is_answered_and_ends_both_sides_of_that_channel_alone() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    await wire.send([2, "last"], [2])
    assert await channel.stream.to_list() == ["last"]
    await channel.sink.done
    channel.sink.add("dropped silently")
    channel.sink.close()
    await wire.send([2, "late"], [2])
    wire.multi.sink.add("still open")
    await until(lambda: wire.sent == [[1], [0, "still open"]])


async def test_our_close_is_sent_once_and_what_comes_late_is_dropped() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    channel.sink.close()
    await channel.sink.close()
    assert await channel.stream.to_list() == []
    await wire.send([2, "on its way"], [2], [2])
    with pytest.raises(ChannelStateError):
        channel.sink.add("x")
    assert wire.sent == [[1]]


@pytest.mark.parametrize("last", ["main", "virtual", "theirs"])
async def test_when_all_are_closed_the_channel_below_is(last: str) -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    await wire.send([1, "x"])
    channels = {"main": wire.multi, "virtual": channel, "theirs": wire.multi.virtual_channel(1)}
    for name in [*(channels.keys() - {last}), last]:
        await wire.settle()
        assert not wire.ended
        channels[name].sink.close()
    await until(lambda: wire.ended)
    assert sorted(wire.sent) == [[0], [1], [2]]
    assert await wire.multi.virtual_channel().stream.to_list() == []


async def test_both_ends_close_when_one_has_closed_all() -> None:
    one, other = both()
    channel = one.virtual_channel()
    twin = other.virtual_channel(channel.id)
    one.sink.close()
    channel.sink.close()
    assert await twin.stream.to_list() == []
    assert await other.stream.to_list() == []
    for end in (one, other, channel, twin):
        await end.sink.done
    await other.inner.sink.done


async def test_a_channel_closed_before_it_was_asked_for_keeps_its_items() -> None:
    wire = Wire()
    await wire.send([1, "a"], [1, "b"], [1], [1, "after its end"], [1])
    assert wire.sent == [[2]]
    channel = wire.multi.virtual_channel(1)
    assert await channel.stream.to_list() == ["a", "b"]
    await channel.sink.done
    with pytest.raises(ValueError, match="is or was"):
        wire.multi.virtual_channel(1)


async def test_a_closed_channel_that_nobody_asked_for_keeps_nothing_open() -> None:
    for order in ("main last", "main first"):
        wire = Wire()
        if order == "main first":
            await wire.send([1, "a"])
            wire.multi.sink.close()
            await wire.send([1])
        else:
            await wire.send([1, "a"], [1])
            wire.multi.sink.close()
        await until(lambda wire=wire: wire.ended)
        assert await wire.multi.virtual_channel(1).stream.to_list() == ["a"]


async def test_the_end_of_the_channel_below_ends_all_of_them() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    await wire.send([1, "kept"], [0, "main"], [2, "ours"])
    wire.pair.foreign.sink.close()
    assert await wire.multi.stream.to_list() == ["main"]
    assert await channel.stream.to_list() == ["ours"]
    assert await wire.multi.virtual_channel(1).stream.to_list() == ["kept"]
    assert await wire.multi.virtual_channel(3).stream.to_list() == []
    for one in (wire.multi, channel):
        await one.sink.done
        one.sink.add("dropped silently")


async def test_an_error_of_the_channel_below_comes_out_of_the_main_stream() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    wire.pair.foreign.sink.add_error(LookupError("below"))
    await wire.send([0, "main"], [2, "ours"])
    with pytest.raises(LookupError, match="below"):
        await wire.multi.stream.first()
    assert await wire.multi.stream.first() == "main"
    assert await channel.stream.first() == "ours"


async def test_the_channel_below_closed_from_elsewhere_ends_all_of_them() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    wire.pair.local.sink.close()
    with pytest.raises(ChannelStateError):
        channel.sink.add("x")
    channel.sink.close()
    assert await wire.multi.stream.to_list() == []
    await wire.multi.sink.done


async def test_an_error_closes_the_channel_and_ends_done() -> None:
    wire = Wire()
    channel = wire.multi.virtual_channel()
    channel.sink.add_error(LookupError("mine"))
    with pytest.raises(LookupError, match="mine"):
        await channel.sink.done
    assert await channel.stream.to_list() == []
    await until(lambda: wire.sent == [[1]])


# What is refused.


@pytest.mark.parametrize("wrong", [2, 0, 4, -1, 2**53 + 1])
async def test_ids_that_the_other_end_cannot_have_made_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="id"):
        Wire().multi.virtual_channel(wrong)


@pytest.mark.parametrize("wrong", ["1", True, 1.5, float("nan"), float("inf"), [], {}])
async def test_what_is_no_id_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an id is an integer"):
        Wire().multi.virtual_channel(wrong)


async def test_an_id_is_used_once() -> None:
    wire = Wire()
    wire.multi.virtual_channel(1)
    with pytest.raises(ValueError, match="is or was"):
        wire.multi.virtual_channel(1)
    wire.multi.virtual_channel(3).sink.close()
    with pytest.raises(ValueError, match="is or was"):
        wire.multi.virtual_channel(3)


@pytest.mark.parametrize(
    "hostile",
    [
        *(None, "text", 5, {}, {"0": 1}, b"bytes", [], [1, 2, 3], [0, 1, 2]),
        *([True, "x"], [False], [-1, "x"], ["1", "x"], [None], [[1], 2], [0.5, "x"], [2**53, "x"], [10**400]),
        *([float("nan"), 1], [float("inf"), 1], [-0.5], [1e300, "x"]),
        *([2, "x"], [4], [2.0]),
    ],
    ids=lambda hostile: repr(hostile)[:20],
)
async def test_what_is_not_in_the_format_closes_all_with_a_clear_error(hostile: Any) -> None:
    wire = Wire()
    await wire.send([1, "kept"], [0, "good"], hostile, [0, "not read any more"])
    assert await wire.multi.stream.first() == "good"
    with pytest.raises(MultiChannelError, match="the other end"):
        await wire.multi.stream.first()
    assert await wire.multi.stream.to_list() == []
    assert await wire.multi.virtual_channel(1).stream.to_list() == ["kept"]
    await until(lambda: wire.ended)
    await wire.multi.sink.done


def test_options_are_checked() -> None:
    async def make(**options: Any) -> None:
        Wire(**options)

    for options in ({"on_full": "drop"}, {"max_waiting": 0}, {"max_pending": -1}):
        with pytest.raises(ValueError):
            asyncio.run(make(**options))


# Bounds.


async def test_new_ids_without_end_close_all() -> None:
    wire = Wire(max_pending=10)
    await wire.send(*([number * 2 + 1, "x"] for number in range(11)))
    with pytest.raises(MultiChannelError, match="max_pending"):
        await wire.multi.stream.first()
    await until(lambda: wire.ended)
    assert len(wire.multi._channels) == 10


async def test_new_ids_that_are_closed_at_once_count_too() -> None:
    wire = Wire(max_pending=10)
    await wire.send(*([number * 2 + 1] for number in range(11)))
    with pytest.raises(MultiChannelError, match="max_pending"):
        await wire.multi.stream.first()


@pytest.mark.parametrize("on_full", ["pause", "close"])
async def test_what_waits_on_channels_that_nobody_asked_for_is_bounded_together(on_full: Any) -> None:
    wire = Wire(max_waiting=20, on_full=on_full)
    await wire.send(*([number % 7 * 2 + 1, number] for number in range(200)))
    waiting = sum(len(channel._virtual_stream.queue) for channel in wire.multi._channels.values())
    assert waiting <= 20
    await wire.send([0, "main is not held up"])
    assert await wire.multi.stream.first() == "main is not held up"
    assert len(wire.multi._closed_ids) > 0


async def test_a_full_channel_pauses_all_until_it_is_read() -> None:
    wire = Wire(max_waiting=10)
    channel = wire.multi.virtual_channel()
    sending = asyncio.create_task(wire.pair.foreign.sink.add_stream([2, number] for number in range(1000)))
    await asyncio.sleep(0.05)
    assert not sending.done()
    assert len(channel._virtual_stream.queue) < 100
    for number in range(1000):
        assert await channel.stream.first() == number
    await sending


async def test_a_channel_taken_up_full_pauses_and_goes_on_when_read() -> None:
    wire = Wire(max_waiting=10)
    await wire.send(*([1, number] for number in range(10)))
    channel = wire.multi.virtual_channel(1)
    for number in range(10):
        assert await channel.stream.first() == number
    await wire.send([1, "more"])
    assert await channel.stream.first() == "more"


async def test_closing_a_full_channel_lets_the_others_go_on() -> None:
    wire = Wire(max_waiting=10)
    channel = wire.multi.virtual_channel()
    await wire.send(*([2, number] for number in range(30)))
    await wire.send([0, "main"])
    channel.sink.close()
    assert await wire.multi.stream.first() == "main"


async def test_a_paused_listener_of_one_channel_holds_up_only_when_it_is_full() -> None:
    wire = Wire(max_waiting=10)
    channel = wire.multi.virtual_channel()
    got: list[Any] = []
    listener = channel.stream.listen(got.append)
    listener.pause()
    await wire.send(*([2, number] for number in range(9)), [0, "main"])
    assert await wire.multi.stream.first() == "main"
    await wire.send(*([2, number] for number in range(9, 12)), [0, "held up"])
    reading = asyncio.create_task(wire.multi.stream.first())
    await asyncio.sleep(0.02)
    assert not reading.done()
    listener.resume()
    assert await reading == "held up"
    await until(lambda: got == list(range(12)))


async def test_a_full_channel_can_be_closed_instead() -> None:
    wire = Wire(max_waiting=10, on_full="close")
    channel = wire.multi.virtual_channel()
    await wire.send(*([2, number] for number in range(30)), [0, "main is not held up"])
    assert await wire.multi.stream.first() == "main is not held up"
    for number in range(10):
        assert await channel.stream.first() == number
    with pytest.raises(BackPressureError, match="max_waiting"):
        await channel.stream.first()
    assert await channel.stream.to_list() == []
    assert wire.sent == [[1]]


@pytest.mark.parametrize("on_full", ["pause", "close"])
async def test_errors_without_end_are_bounded_too(on_full: Any) -> None:
    pair: StreamChannelController[str] = StreamChannelController()
    multi = MultiChannel(pair.local.transform(json_document), max_waiting=10, on_full=on_full)
    sending = asyncio.create_task(pair.foreign.sink.add_stream("no JSON" for _ in range(2000)))  # noqa: RUF006
    await asyncio.sleep(0.05)
    assert len(multi.stream.queue) <= 80
    sending.cancel()


async def test_remembered_ids_are_bounded() -> None:
    wire = Wire()
    for number in range(5000):
        wire.multi.virtual_channel(number * 2 + 1).sink.close()
        if number % 50 == 0:
            await wire.settle()
    assert len(wire.multi._closed_ids) <= 4096


async def test_back_pressure_outward() -> None:
    pair: StreamChannelController[Any] = StreamChannelController()
    multi = MultiChannel(pair.local)
    channel = multi.virtual_channel()
    sending = asyncio.create_task(channel.sink.add_stream(range(1000)))
    await asyncio.sleep(0.02)
    assert not sending.done()
    with pytest.raises(ChannelStateError, match="add_stream"):
        channel.sink.close()
    assert [await pair.foreign.stream.first() for _ in range(1000)] == [[1, number] for number in range(1000)]
    await sending
    await channel.sink.flush()


async def test_whoever_waits_outward_goes_on_when_the_channel_below_ends() -> None:
    pair: StreamChannelController[Any] = StreamChannelController()
    multi = MultiChannel(pair.local)
    channel = multi.virtual_channel()
    sending = asyncio.create_task(channel.sink.add_stream(range(100_000)))
    await asyncio.sleep(0.02)
    pair.foreign.sink.close()
    async with asyncio.timeout(5):
        await sending
    await multi.sink.done


async def test_what_json_cannot_say_is_refused_and_hurts_nothing_else() -> None:
    pair: StreamChannelController[str] = StreamChannelController()
    multi = MultiChannel(pair.local.transform(json_document))
    with pytest.raises(TypeError):
        multi.virtual_channel().sink.add({1, 2})
    multi.sink.add("good")
    assert json.loads(await pair.foreign.stream.first()) == [0, "good"]
