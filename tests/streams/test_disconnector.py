"""Cutting channels off from outside."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from cwschannel import Disconnector, StreamChannelController, StreamController, json_document
from cwschannel.streams.channel import StreamChannel


async def test_disconnecting_ends_all_bound_channels_and_closes_those_below() -> None:
    disconnector: Disconnector[Any] = Disconnector()
    pairs: list[StreamChannelController[Any]] = [StreamChannelController() for _ in range(3)]
    bound = [pair.local.transform(disconnector) for pair in pairs]
    for pair, channel in zip(pairs, bound, strict=True):
        channel.sink.add("there")
        assert await pair.foreign.stream.first() == "there"
        pair.foreign.sink.add("back")
        assert await channel.stream.first() == "back"
        pair.foreign.sink.add("not read any more")
    assert not disconnector.is_disconnected
    await disconnector.disconnect()
    await disconnector.disconnect()
    assert disconnector.is_disconnected
    for pair, channel in zip(pairs, bound, strict=True):
        assert await channel.stream.to_list() == []
        assert await pair.foreign.stream.to_list() == []
        channel.sink.add("dropped silently")
        await channel.sink.close()


async def test_a_channel_that_is_bound_later_is_disconnected_at_once() -> None:
    disconnector: Disconnector[Any] = Disconnector()
    disconnector.disconnect()
    pair: StreamChannelController[Any] = StreamChannelController()
    channel = pair.local.transform(disconnector)
    channel.sink.add("dropped silently")
    assert await channel.stream.to_list() == []
    assert await pair.foreign.stream.to_list() == []


async def test_it_reaches_a_channel_of_which_only_another_one_is_kept() -> None:
    disconnector: Disconnector[Any] = Disconnector()
    pair: StreamChannelController[Any] = StreamChannelController()
    channel = pair.local.transform(disconnector).transform(json_document)
    gc.collect()
    await disconnector.disconnect()
    assert await channel.stream.to_list() == []
    assert await pair.foreign.stream.to_list() == []


async def test_it_takes_effect_though_nobody_awaits_it_and_wakes_readers() -> None:
    disconnector: Disconnector[Any] = Disconnector()
    pair: StreamChannelController[Any] = StreamChannelController()
    channel = pair.local.transform(disconnector)
    reading = asyncio.create_task(channel.stream.to_list())
    await asyncio.sleep(0)
    disconnector.disconnect()
    async with asyncio.timeout(5):
        assert await reading == []
        await channel.sink.done


async def test_it_waits_for_all_of_them_though_one_fails() -> None:
    class Failing(StreamController[Any]):
        async def _fail(self) -> None:
            raise LookupError("cannot be closed")

        def close(self) -> Any:
            return asyncio.ensure_future(self._fail())

    disconnector: Disconnector[Any] = Disconnector()
    pairs: list[StreamChannelController[Any]] = [StreamChannelController() for _ in range(2)]
    channels = [pair.local for pair in pairs]
    channels.insert(1, StreamChannel(StreamController().stream, Failing()))
    bound = [channel.transform(disconnector) for channel in channels]
    with pytest.raises(LookupError, match="cannot be closed"):
        await disconnector.disconnect()
    for channel in bound:
        assert await channel.stream.to_list() == []


async def test_channels_that_are_gone_are_not_kept() -> None:
    disconnector: Disconnector[Any] = Disconnector()
    for _ in range(50):
        pair: StreamChannelController[Any] = StreamChannelController()
        await pair.local.transform(disconnector).sink.close()
    del pair
    await asyncio.sleep(0.01)
    gc.collect()
    assert len(disconnector._channels) <= 1
