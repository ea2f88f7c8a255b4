"""What turns streams, sinks and channels into others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.streams.channel_controller import StreamChannelController
from cwschannel.streams.controller import StreamController
from cwschannel.streams.sink import MappedSink
from cwschannel.streams.transformer import StreamChannelTransformer, StreamSinkTransformer, StreamTransformer
from cwschannel.testing import connected_pair

HEXADECIMAL: StreamChannelTransformer[int, str] = StreamChannelTransformer.from_codec(hex, lambda text: int(text, 16))


def channels() -> tuple[Any, Any]:
    controller = StreamChannelController[Any]()
    return controller.local, controller.foreign


async def test_a_stream_transformer_is_a_function_of_streams() -> None:
    controller = StreamController[int]()
    controller.add(1)
    controller.close()
    transformer: StreamTransformer[int, str] = StreamTransformer(lambda stream: stream.map(str))
    assert await transformer.bind(controller.stream).to_list() == ["1"]


async def test_a_sink_transformer_is_a_function_of_sinks() -> None:
    for transformer in (
        StreamSinkTransformer[int, str].mapping(str),
        StreamSinkTransformer[int, str](lambda sink: MappedSink(sink, str)),
    ):
        controller = StreamController[str]()
        sink = transformer.bind(controller)
        sink.add(1)
        await sink.add_stream([2, 3])
        await sink.wait_for_room()
        await sink.close()
        await sink.done
        assert await controller.stream.to_list() == ["1", "2", "3"]


async def test_a_codec_encodes_what_goes_and_decodes_what_comes() -> None:
    near, far = channels()
    channel = near.transform(HEXADECIMAL)
    channel.sink.add(255)
    await channel.sink.add_stream([16, 17])
    far.sink.add("0xa")
    assert await channel.stream.first() == 10
    channel.sink.close()
    assert await far.stream.to_list() == ["0xff", "0x10", "0x11"]


async def test_what_decoding_raises_is_an_error_in_the_place_of_the_item() -> None:
    near, far = channels()
    for text in ("0x1", "nonsense", "0x2"):
        far.sink.add(text)
    far.sink.close()
    log: list[Any] = []
    ended = asyncio.Event()
    near.transform(HEXADECIMAL).stream.listen(log.append, on_error=log.append, on_done=ended.set)
    await ended.wait()
    assert (log[0], log[2]) == (1, 2)
    assert type(log[1]) is ValueError


async def test_what_encoding_raises_add_raises_and_nothing_is_sent() -> None:
    near, far = channels()
    channel = near.transform(HEXADECIMAL)
    with pytest.raises(TypeError):
        channel.sink.add("text")
    with pytest.raises(TypeError):
        await channel.sink.add_stream([1, "text", 2])
    channel.sink.add(3)
    channel.sink.close()
    assert await far.stream.to_list() == ["0x1", "0x3"]


async def test_what_cannot_be_decoded_and_is_not_read_holds_back_the_sender() -> None:
    near, far = channels()
    channel = near.transform(HEXADECIMAL)
    subscription = channel.stream.listen(on_error=lambda error: None)
    subscription.pause()
    taken = 0

    def generate() -> Any:
        nonlocal taken
        while taken < 3000:
            taken += 1
            yield "nonsense"

    adding = asyncio.create_task(far.sink.add_stream(generate()))
    before = -1
    while before < taken:
        before = taken
        await asyncio.sleep(0.02)
    assert taken < 1500
    subscription.resume()
    await adding


async def test_nothing_that_was_decoded_comes_after_close() -> None:
    near, far = channels()
    channel = near.transform(HEXADECIMAL)
    for number in range(10):
        far.sink.add(hex(number))
    assert await channel.stream.first() == 0
    await asyncio.sleep(0.002)
    channel.sink.close()
    assert await channel.stream.to_list() == []


async def test_transformers_can_be_chained_and_close_takes_code_and_reason() -> None:
    near, far = connected_pair()
    channel = near.transform(HEXADECIMAL).transform(StreamChannelTransformer.from_codec(len, range))
    channel.sink.add("four")
    assert await far.recv() == "0x4"
    far.sink.add("0x2")
    assert await channel.stream.first() == range(2)
    await channel.sink.close(3000, "through both")  # type: ignore[call-arg]
    assert (far.close_code, far.close_reason) == (3000, "through both")


async def test_transform_stream_and_transform_sink_change_one_direction() -> None:
    near, far = channels()
    near = near.transform_stream(StreamTransformer(lambda stream: stream.map(abs)))
    near = near.transform_sink(StreamSinkTransformer.mapping(abs))
    far.sink.add(-1)
    near.sink.add(-2)
    assert await near.stream.first() == 1
    assert await far.stream.first() == 2
