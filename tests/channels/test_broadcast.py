"""One message to many channels: what each gets, and what becomes of the slow ones."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect as websockets_connect

import cwschannel
from cwschannel import status
from cwschannel.testing import connected_pair

from .running import each_loop, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cwschannel import IOWebSocketChannel, Server


@contextlib.asynccontextmanager
async def server_with(clients: int, **options: Any) -> AsyncIterator[tuple[Server, list[IOWebSocketChannel]]]:
    """A server whose channels stay open, and clients of ours."""
    async with serving(lambda channel: None, **options) as (server, uri), contextlib.AsyncExitStack() as stack:
        yield server, [await stack.enter_async_context(cwschannel.connect(uri)) for _ in range(clients)]


@each_loop
async def test_every_channel_gets_the_message() -> None:
    async with server_with(20) as (server, clients):
        for message in ("text ✓", b"binary", bytearray(b"\x00\x01"), memoryview(b"abcd")[::1], "x" * 70_000, ""):
            report = cwschannel.broadcast(server.channels, message)
            assert set(report.sent) == server.channels
            assert report.dropped == report.disconnected == report.waiting == report.not_open == []
            expected = message if isinstance(message, str) else bytes(message)
            assert [await client.recv() for client in clients] == [expected] * 20
            assert await report is report


@each_loop
async def test_it_reaches_another_library() -> None:
    async with (
        serving(lambda channel: None) as (server, uri),
        websockets_connect(uri, proxy=None) as one,
        websockets_connect(uri, proxy=None) as other,
    ):
        for number in range(100):
            cwschannel.broadcast(server.channels, f"message {number}")
        for client in (one, other):
            assert [await client.recv() for _ in range(100)] == [f"message {number}" for number in range(100)]


@each_loop
async def test_clients_mask_each_frame_with_a_key_of_its_own() -> None:
    received: list[object] = []

    async def handler(channel: IOWebSocketChannel) -> None:
        received.append(await channel.recv())

    async with serving(handler) as (_, uri), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(cwschannel.connect(uri)) for _ in range(3)]
        cwschannel.broadcast(clients, b"masked")
        await until(lambda: received == [b"masked"] * 3)


@each_loop
async def test_channels_that_are_not_open_are_reported() -> None:
    async with server_with(2) as (server, clients):
        closed, still_open = server.channels
        await asyncio.gather(closed.sink.close(), *(client.stream.drain() for client in clients if client.close_code))
        report = cwschannel.broadcast([closed, still_open], "who is there?")
        assert (report.sent, report.not_open) == ([still_open], [closed])
        opening = cwschannel.connect("ws://127.0.0.1:9/")
        assert cwschannel.broadcast([opening], "x").not_open == [opening]
        opening.abort()


@each_loop
async def test_mistakes_raise_before_anything_is_sent() -> None:
    async with server_with(1) as (server, clients):
        with pytest.raises(TypeError, match="a message is str"):
            cwschannel.broadcast(server.channels, 7)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            cwschannel.broadcast(server.channels, "\ud800")
        with pytest.raises(ValueError, match="on_slow"):
            cwschannel.broadcast(server.channels, "x", on_slow="ignore")  # type: ignore[arg-type]
        cwschannel.broadcast(server.channels, "only this")
        assert await clients[0].recv() == "only this"


BIG = b"x" * 2**20


@contextlib.asynccontextmanager
async def a_slow_one_and_a_fast_one() -> AsyncIterator[tuple[Any, Any, Any, Any]]:
    """Both ends of a connection whose client has paused, with much on its way to it, and of one whose client reads."""
    async with server_with(2) as (server, clients):
        slow, fast = clients
        clients_of = {}
        for channel in server.channels:
            await channel.send("you are")
            client = slow if channel.remote_address == slow.local_address else fast
            assert await client.recv() == "you are"
            clients_of[client] = channel
        got: list[object] = []
        hold = slow.stream.listen(got.append, on_error=lambda error: None)
        hold.pause()
        before = 0
        while clients_of[slow]._io.outbox.waiting() <= 2**21:
            clients_of[slow].sink.add(BIG)
            before += 1
            await asyncio.sleep(0)
        yield (hold, got, before), clients_of[slow], fast, clients_of[fast]


@each_loop
async def test_drop_leaves_the_slow_one_out() -> None:
    async with a_slow_one_and_a_fast_one() as ((hold, got, before), slow, fast, fast_channel):
        report = cwschannel.broadcast([slow, fast_channel], "news")
        assert (report.sent, report.dropped) == ([fast_channel], [slow])
        assert await fast.recv() == "news"
        hold.resume()
        await until(lambda: len(got) == before)
        await slow.send("end")
        await until(lambda: got[-1] == "end")
        assert "news" not in got


@each_loop
async def test_disconnect_closes_the_slow_one() -> None:
    async with a_slow_one_and_a_fast_one() as ((hold, got, before), slow, fast, fast_channel):
        report = cwschannel.broadcast([slow, fast_channel], "news", on_slow="disconnect")
        assert (report.sent, report.disconnected) == ([fast_channel], [slow])
        assert await fast.recv() == "news"
        hold.resume()
        await slow.sink.done
        assert slow.close_code == status.TRY_AGAIN_LATER  # the client's answer to it
        await until(lambda: len(got) == before)


@each_loop
async def test_wait_sends_it_later_and_in_order() -> None:
    async with a_slow_one_and_a_fast_one() as ((hold, got, before), slow, fast, fast_channel):
        reports = [cwschannel.broadcast([slow, fast_channel], f"news {n}", on_slow="wait") for n in range(3)]
        assert [report.waiting for report in reports] == [[slow]] * 3
        assert [await fast.recv() for _ in range(3)] == ["news 0", "news 1", "news 2"]
        hold.resume()
        for report in reports:
            await report
            assert (report.waiting, set(report.sent)) == ([], {slow, fast_channel})
        cwschannel.broadcast([slow], "news 3", on_slow="wait")
        await until(lambda: len(got) == before + 4)
        assert got[before:] == ["news 0", "news 1", "news 2", "news 3"]


@each_loop
async def test_waiting_ends_when_the_slow_one_goes() -> None:
    async with a_slow_one_and_a_fast_one() as (_, slow, _, _):
        report = cwschannel.broadcast([slow], "news", on_slow="wait")
        slow.abort()
        await report
        assert (report.sent, report.not_open) == ([], [slow])


@each_loop
async def test_channels_over_bytes_take_part() -> None:
    pairs = [connected_pair() for _ in range(3)]
    report = cwschannel.broadcast([server for _, server in pairs], "hello")  # type: ignore[misc]
    assert len(report.sent) == 3
    assert [await client.recv() for client, _ in pairs] == ["hello"] * 3
    for client, server in pairs:
        await asyncio.gather(client.sink.close(), server.stream.drain())
