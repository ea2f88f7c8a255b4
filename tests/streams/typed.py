"""What type checkers are told of streams and channels. Nothing here runs: ``mypy`` reads it, with the package."""

from __future__ import annotations

from typing import Any, assert_type

from cwschannel import (
    BroadcastReader,
    BroadcastStream,
    Disconnector,
    MultiChannel,
    Stream,
    StreamChannel,
    StreamChannelCompleter,
    StreamChannelController,
    StreamChannelTransformer,
    StreamController,
    StreamSink,
    VirtualChannel,
    WebSocketChannel,
    byte_channels,
    json_document,
    msgspec_document,
)


async def streams(stream: Stream[int]) -> None:
    assert_type(await stream.first(), int)
    assert_type(await stream.to_list(), list[int])
    assert_type(stream.map(str), Stream[str])
    assert_type(stream.where(lambda item: item > 1), Stream[int])
    assert_type(stream.expand(lambda item: [str(item)]), Stream[str])
    assert_type(stream.cast(bool), Stream[bool])
    assert_type(stream.broadcast(on_slow="drop"), BroadcastStream[int])
    assert_type(stream.broadcast().reader(), BroadcastReader[int])
    async for item in stream:
        assert_type(item, int)
    stream.listen(lambda item: item + 1, on_error=lambda error: error.args)
    stream.listen(lambda item: item.upper())  # type: ignore[attr-defined]
    stream.broadcast(on_slow="forget")  # type: ignore[arg-type]


async def controllers() -> None:
    controller = StreamController[int]()
    controller.add("text")  # type: ignore[arg-type]
    await controller.add_stream([1, 2])
    await controller.add_stream(["text"])  # type: ignore[list-item]
    assert_type(controller.stream, Stream[int])
    two = StreamChannelController[str]()
    assert_type(two.local, StreamChannel[str])
    assert_type(two.foreign.sink, StreamSink[str])


async def channels(channel: StreamChannel[str], web_socket: WebSocketChannel) -> None:
    assert_type(channel.stream, Stream[str])
    assert_type(channel.sink, StreamSink[str])
    assert_type(channel.cast(bytes), StreamChannel[bytes])
    assert_type(StreamChannel.with_guarantees(channel.stream, channel.sink), StreamChannel[str])
    assert_type(channel.transform(StreamChannelTransformer.from_codec(str, int)), StreamChannel[int])
    assert_type(channel.transform(json_document), StreamChannel[Any])
    assert_type(channel.transform(msgspec_document(int)), StreamChannel[int])
    assert_type(channel.transform(Disconnector[str]()), StreamChannel[str])
    assert_type(channel.change_stream(lambda stream: stream.where(str.isdigit)), StreamChannel[str])
    channel.change_stream(lambda stream: stream.map(len))  # type: ignore[arg-type]
    async for item in channel:
        assert_type(item, str)
    channel.pipe(StreamChannelController[bytes]().local)  # type: ignore[arg-type]

    async def make() -> StreamChannel[str]:
        return channel

    assert_type(StreamChannelCompleter.from_future(make()), StreamChannel[str])
    multi: MultiChannel[str] = MultiChannel(channel)
    assert_type(multi.virtual_channel(), VirtualChannel[str])
    assert_type(await web_socket.recv(), str | bytes)
    web_socket.pipe(web_socket)
    near, _far = byte_channels.memory_pair()
    assert_type(WebSocketChannel(near, server_side=False), WebSocketChannel)
    near.sink.add("text")  # type: ignore[arg-type]
