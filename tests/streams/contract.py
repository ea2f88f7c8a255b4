"""Every kind of channel, and what is the same for all: ``for_each_kind`` runs a test over them.

A kind says what it carries and how it differs, and a test that is about such a difference names it in ``when``. Tests speak
in numbers, which each kind turns into items of its own. What they do with an end goes through ``End`` wherever it is not
about callbacks, tasks or awaitables themselves. Such tests say ``blocking=True``, and run over channels that block, too:
those have an ``End`` of their own, which lets threads wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import cwschannel.sync
from cwschannel import IOWebSocketChannel, WebSocketChannel
from cwschannel.channels import byte_channels
from cwschannel.channels.socket_channel import SocketWebSocketChannel
from cwschannel.streams.channel import DelegatingStreamChannel, StreamChannel
from cwschannel.streams.channel_controller import StreamChannelController
from cwschannel.streams.codecs import json_document
from cwschannel.streams.completer import StreamChannelCompleter
from cwschannel.streams.disconnector import Disconnector
from cwschannel.streams.multi_channel import MultiChannel
from cwschannel.streams.sink import StreamSink
from cwschannel.streams.stream import Stream, StreamSubscription
from cwschannel.testing import FaultyByteChannel, connected_pair, memory_pair

from ..channels import blocking
from ..channels.running import LOOPS, connected, recorded_logs, serving, until
from .ends import Channels, Kind, Listener, Pair, end_of

__all__ = ["KINDS", "Listener", "Pair", "for_each_kind"]

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable


def for_each_kind(test: Any = None, *, when: Callable[[Kind], bool] = lambda kind: True, blocking: bool = False) -> Any:
    """Run an ``async def`` test over each kind for which ``when`` holds; it fails if it logs, or leaves tasks.

    Args:
        blocking: whether it is about nothing that only channels for tasks have, and runs over those that block, too.
    """
    if test is None:
        return functools.partial(for_each_kind, when=when, blocking=blocking)

    def run(kind: Kind, loop_kind: str) -> None:
        with recorded_logs() as records, asyncio.Runner(loop_factory=LOOPS[loop_kind]) as runner:
            runner.run(_run(test, kind))
        assert not records, [record.getMessage() for record in records]

    run.__doc__ = test.__doc__
    cases = [
        pytest.param(kind, loop, id=f"{kind.name}-{loop}")
        for kind in KINDS
        if when(kind) and (blocking or not kind.blocks)
        for loop in (LOOPS if kind.wire else ("asyncio",))
    ]
    return pytest.mark.parametrize(("kind", "loop_kind"), cases)(run)


async def _run(test: Callable[[Pair], Awaitable[None]], kind: Kind) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with asyncio.timeout(20):
        async with kind.open() as (near, far):
            await test(Pair(kind, end_of(kind, near), end_of(kind, far), problems))
        await until(lambda: len(asyncio.all_tasks()) == 1, "the test left tasks")
    assert problems == []


# What the kinds carry.


def _text(number: int, size: int) -> str:
    return f"{number:06d};".ljust(size, ".")


def _number(text: str) -> int:
    match = re.fullmatch(r"(\d{6});\.*", text)
    assert match, text[:100]
    return int(match[1])


OBJECTS: dict[str, Any] = {"item": lambda number, size: number, "number": lambda item: item}
TEXT: dict[str, Any] = {"item": _text, "number": _number, "large": 65536}
BYTES: dict[str, Any] = {
    "item": lambda number, size: _text(number, size).encode(),
    "number": lambda item: _number(item.decode()),
}
CHUNKS: dict[str, Any] = {**BYTES, "merges": True, "wire": True, "forwards_errors": False, "large": 65536}
DOCUMENTS: dict[str, Any] = {
    "item": lambda number, size: {"number": number, "text": "." * size},
    "number": lambda document: document["number"],
}


class Careless(Stream[Any], StreamSink[Any]):
    """One direction, a stream and a sink that keep no rule: nothing stops it, neither ``cancel`` nor ``close``."""

    def __init__(self) -> None:
        self._callbacks: Any = None

    def listen(
        self, on_data: Any = None, *, on_error: Any = None, on_done: Any = None, cancel_on_error: bool = False
    ) -> Any:
        self._callbacks = on_data, on_error, on_done
        return _Deaf()

    def __aiter__(self) -> AsyncIterator[Any]:
        raise NotImplementedError

    def _call(self, which: int, *arguments: Any) -> None:
        asyncio.get_running_loop().call_soon(lambda: self._callbacks[which](*arguments))

    def add(self, item: Any) -> None:
        self._call(0, item)

    def add_error(self, error: Exception) -> None:
        self._call(1, error)

    async def add_stream(self, items: AsyncIterable[Any] | Iterable[Any]) -> None:
        raise NotImplementedError

    async def wait_for_room(self) -> None: ...

    def flush(self) -> Awaitable[None]:
        return self._nothing()

    def close(self) -> Awaitable[None]:
        self._call(2)
        self._call(0, "after the end")
        return self._nothing()

    @property
    def done(self) -> Awaitable[None]:
        return self._nothing()

    def _nothing(self) -> Awaitable[None]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class _Deaf(StreamSubscription):
    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


# How they are made.


def _kind(make: Callable[..., Any], /, name: str, *arguments: Any, **properties: Any) -> Kind:
    """Of a function that returns both ends, or a context manager for them."""

    @contextlib.asynccontextmanager
    async def open_both() -> AsyncIterator[Channels]:
        made = make(*arguments)
        if hasattr(made, "__aenter__"):
            async with made as channels:
                yield channels
        else:
            yield made

    return Kind(name=name, open=open_both, **properties)


def controlled(**options: Any) -> Channels:
    controller = StreamChannelController[Any](**options)
    return controller.foreign, controller.local


def guaranteed(closes: bool) -> Channels:
    there, back = Careless(), Careless()
    near = StreamChannel.with_guarantees(back, there, allow_sink_errors=not closes)
    return near, StreamChannel.with_guarantees(there, back)


def over_memory(wrap: Callable[[StreamChannel[Any]], StreamChannel[Any]]) -> Channels:
    near, far = memory_pair()
    return wrap(near), wrap(far)


def late() -> Channels:
    completers: list[StreamChannelCompleter[Any]] = []
    for seconds, channel in zip((0.004, 0.002), memory_pair(), strict=True):
        completers.append(StreamChannelCompleter())
        asyncio.get_running_loop().call_later(seconds, completers[-1].set_channel, channel)
    return completers[0].channel, completers[1].channel


@contextlib.asynccontextmanager
async def virtual(websocket: bool, made_here: bool) -> AsyncIterator[Channels]:
    below = [channel.transform(json_document) for channel in connected_pair()] if websocket else memory_pair()
    multi = [MultiChannel[Any](channel) for channel in below]
    near = multi[0].virtual_channel()
    channels = near, multi[1].virtual_channel(near.id)
    yield channels if made_here else channels[::-1]
    await asyncio.gather(*(_wait(one.sink.close()) for one in multi))


async def _wait(awaitable: Awaitable[Any]) -> None:
    await awaitable


async def _of_transport(sock: socket.socket) -> Any:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)
    return byte_channels.from_transport(transport)


async def _of_streams(sock: socket.socket) -> Any:
    return byte_channels.from_streams(*await asyncio.open_connection(sock=sock))


@contextlib.asynccontextmanager
async def over_sockets(make: Callable[[socket.socket], Awaitable[Any]]) -> AsyncIterator[Channels]:
    near, far = [await make(sock) for sock in socket.socketpair()]
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()


@contextlib.asynccontextmanager
async def anyio_socket(swapped: bool) -> AsyncIterator[Channels]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = await anyio.connect_tcp(*listening.getsockname())
        far = await byte_channels.from_socket(listening.accept()[0])
    try:
        async with byte_channels.from_anyio(stream) as near:
            yield (far, near) if swapped else (near, far)
    finally:
        far.abort()


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[Channels]:
    yield memory_pair()


@contextlib.asynccontextmanager
async def websocket_over(make: Callable[[], Any]) -> AsyncIterator[Channels]:
    async with make() as (near, far):
        channels = WebSocketChannel(near, server_side=False), WebSocketChannel(far)
        yield channels
        await _let_go(channels)


@contextlib.asynccontextmanager
async def json_over_websocket() -> AsyncIterator[Channels]:
    async with websocket_over(in_memory) as (near, far):
        yield near.transform(json_document), far.transform(json_document)


@contextlib.asynccontextmanager
async def websocket_wrapping() -> AsyncIterator[Channels]:
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(asyncio.Protocol, sock=sock))[0] for sock in socket.socketpair()]
    channels = tuple(IOWebSocketChannel(one, server_side=one is transports[1]) for one in transports)
    yield channels  # type: ignore[misc]
    await _let_go(channels)


async def _let_go(channels: Any) -> None:
    """No test may wait for the closing handshake that it does not test."""
    for channel in channels:
        channel.abort()
        with contextlib.suppress(Exception):
            await channel.sink.done


@contextlib.asynccontextmanager
async def websocket_of_server(swapped: bool) -> AsyncIterator[Channels]:
    async with connected() as pair:
        yield (pair.server, pair.client) if swapped else (pair.client, pair.server)


@contextlib.asynccontextmanager
async def blocking_client() -> AsyncIterator[Channels]:
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    async with serving(opened.set_result) as (_, uri):
        client: Any = await asyncio.to_thread(cwschannel.sync.connect, uri, close_timeout=5)
        server = await opened
        yield client, server
        client.abort()
        server.abort()


@contextlib.asynccontextmanager
async def blocking_server() -> AsyncIterator[Channels]:
    opened, over = threading.Event(), threading.Event()
    channels: list[Any] = []

    def handle(channel: Any) -> None:
        channels.append(channel)
        opened.set()
        over.wait()

    with blocking.serving(handle) as (_, uri):
        client = cwschannel.connect(uri, close_timeout=5)
        await client.ready
        await asyncio.to_thread(opened.wait)
        yield channels[0], client
        over.set()
        channels[0].abort()
        await _let_go((client,))


@contextlib.asynccontextmanager
async def blocking_both() -> AsyncIterator[Channels]:
    with blocking.connected(background=True) as pair:
        yield pair.client, pair.server  # type: ignore[misc]


@contextlib.asynccontextmanager
async def blocking_wrapping() -> AsyncIterator[Channels]:
    ends: Any = [
        SocketWebSocketChannel(sock, server_side=i > 0, background=True) for i, sock in enumerate(socket.socketpair())
    ]
    yield ends[0], ends[1]
    for end in ends:
        end.abort()


@contextlib.asynccontextmanager
async def swapped(make: Callable[[], contextlib.AbstractAsyncContextManager[Channels]]) -> AsyncIterator[Channels]:
    async with make() as (near, far):
        yield far, near


@contextlib.asynccontextmanager
async def blocking_json() -> AsyncIterator[Channels]:
    async with blocking_client() as (near, far):
        yield near.transform(json_document), far.transform(json_document)


WEBSOCKET: dict[str, Any] = {**TEXT, "forwards_errors": False}

KINDS = [
    _kind(memory_pair, "memory", **BYTES),
    _kind(functools.partial(controlled, sync=True), "controller-sync", **OBJECTS),
    _kind(functools.partial(controlled, allow_foreign_errors=False), "controller-closing", **OBJECTS, forwards_errors=False),
    _kind(guaranteed, "guarantees", False, **OBJECTS, holds_back=False),
    _kind(guaranteed, "guarantees-closing", True, **OBJECTS, holds_back=False, forwards_errors=False),
    _kind(
        over_memory,
        "close-guarantee",
        lambda one: StreamChannel.with_close_guarantee(one.stream.expand(lambda item: (item,)), one.sink),
        **BYTES,
    ),
    _kind(over_memory, "json", lambda one: one.transform(json_document), **DOCUMENTS),
    _kind(over_memory, "cast", lambda one: one.cast(bytes), **BYTES),
    _kind(over_memory, "delegating", DelegatingStreamChannel, **BYTES),
    _kind(over_memory, "disconnector", lambda one: one.transform(Disconnector()), **BYTES),
    _kind(over_memory, "faulty", FaultyByteChannel, **BYTES, forwards_errors=False, large=65536),
    _kind(late, "late", **BYTES),
    _kind(virtual, "virtual", False, True, **OBJECTS, forwards_errors=False),
    _kind(virtual, "virtual-joined", False, False, **OBJECTS, forwards_errors=False),
    _kind(virtual, "virtual-websocket", True, True, **DOCUMENTS, large=65536, forwards_errors=False),
    _kind(over_sockets, "transport", _of_transport, **CHUNKS),
    _kind(over_sockets, "socket", byte_channels.from_socket, **CHUNKS),
    _kind(over_sockets, "streams", _of_streams, **CHUNKS),
    _kind(anyio_socket, "anyio", False, **CHUNKS),
    _kind(anyio_socket, "anyio-far", True, **CHUNKS),
    _kind(websocket_over, "websocket-memory", in_memory, **WEBSOCKET),
    _kind(websocket_over, "websocket-socket", lambda: over_sockets(byte_channels.from_socket), **WEBSOCKET, wire=True),
    _kind(json_over_websocket, "json-websocket", **{**DOCUMENTS, "large": 65536}, forwards_errors=False),
    _kind(websocket_wrapping, "websocket-wrapping", **WEBSOCKET, wire=True),
    _kind(websocket_of_server, "websocket-client", False, **WEBSOCKET, wire=True),
    _kind(websocket_of_server, "websocket-server", True, **WEBSOCKET, wire=True),
    _kind(blocking_client, "blocking-client", **WEBSOCKET, blocks=True),
    _kind(swapped, "blocking-client-far", blocking_client, **WEBSOCKET, blocks=True, answers=False),
    _kind(blocking_server, "blocking-server", **WEBSOCKET, blocks=True),
    _kind(swapped, "blocking-server-far", blocking_server, **WEBSOCKET, blocks=True, answers=False),
    _kind(blocking_both, "blocking-background", **WEBSOCKET, blocks=True),
    _kind(blocking_wrapping, "blocking-wrapping", **WEBSOCKET, blocks=True),
    _kind(blocking_json, "blocking-json", **DOCUMENTS, forwards_errors=False, blocks=True),
]
