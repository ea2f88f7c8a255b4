"""Servers that start, close and open channels while something else happens to them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
from typing import Any

import pytest

import cwschannel
from cwschannel import ChannelStateError, ConnectionClosed, HandshakeRejected, OpeningFailed, Response

from .running import each_loop, echo, serving, until, within
from .wire import REQUEST, TEXT, bound_socket, frame, raw_client

# Starting and closing.


def _free_port() -> int:
    with bound_socket() as sock:
        return sock.getsockname()[1]


async def _assert_nobody_listens(port: int) -> None:
    with pytest.raises(OpeningFailed, match="refused"):
        await cwschannel.connect(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("passes", range(6))
@each_loop
async def test_a_server_that_is_closed_while_it_starts_does_not_listen_afterwards(passes: int) -> None:
    port = _free_port()
    server = cwschannel.serve(echo, "127.0.0.1", port, close_timeout=0.5)
    starting = asyncio.create_task(server.start())
    for _ in range(passes):
        await asyncio.sleep(0)
    server.close()
    await asyncio.wait_for(server.wait_closed(), 3)
    with contextlib.suppress(ChannelStateError):  # it may have been there in time
        await asyncio.wait_for(starting, 3)
    assert server.sockets == ()
    await _assert_nobody_listens(port)


@pytest.mark.parametrize("passes", range(4))
@each_loop
async def test_a_server_that_is_closed_after_its_start_was_cancelled_does_not_listen(passes: int) -> None:
    port = _free_port()
    server = cwschannel.serve(echo, "127.0.0.1", port, close_timeout=0.5)
    starting = asyncio.create_task(server.start())
    for _ in range(passes):
        await asyncio.sleep(0)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    server.close()
    await asyncio.wait_for(server.wait_closed(), 3)
    await until(lambda: len(asyncio.all_tasks()) == 1)  # the start, which nobody waits for any more
    assert server.sockets == ()
    await _assert_nobody_listens(port)


@each_loop
async def test_starting_twice_at_once_listens_once() -> None:
    port = _free_port()
    server = cwschannel.serve(echo, "127.0.0.1", port)
    await asyncio.gather(server.start(), server.start())
    (listening,) = server.sockets
    await server.start()
    assert [sock.fileno() for sock in server.sockets] == [listening.fileno()]
    async with cwschannel.connect(f"ws://127.0.0.1:{port}/") as channel:
        channel.sink.add("x")
        assert await channel.recv() == "x"
    server.close()
    await asyncio.wait_for(server.wait_closed(), 3)
    await _assert_nobody_listens(port)


@each_loop
async def test_a_start_that_failed_can_be_tried_again() -> None:
    with bound_socket() as sock:
        sock.listen()
        port = sock.getsockname()[1]
        server = cwschannel.serve(echo, "127.0.0.1", port)
        for result in await asyncio.gather(server.start(), server.start(), return_exceptions=True):
            assert isinstance(result, OSError)
        with pytest.raises(OSError):
            await server.start()
        assert server.sockets == ()
    async with server, cwschannel.connect(f"ws://127.0.0.1:{server.port}/") as channel:
        assert server.port == port
        channel.sink.add("x")
        assert await channel.recv() == "x"


@each_loop
async def test_a_start_that_failed_and_is_forgotten_is_no_log_line() -> None:
    async with serving() as (server, _):
        other = cwschannel.serve(echo, "127.0.0.1", server.port)
        starting = asyncio.create_task(other.start())
        await asyncio.sleep(0)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await starting
        await asyncio.sleep(0.02)
        del other, starting
        gc.collect()


# Clients that are gone before anybody noticed.


@pytest.mark.parametrize("how", ["reset", "closed"])
@each_loop
async def test_a_client_that_vanishes_during_process_request_does_not_keep_the_server_from_closing(how: str) -> None:
    held = asyncio.Event()

    async def hook(request: cwschannel.Request) -> None:
        if request.target == "/":  # the raw client's
            held.set()
            await asyncio.Event().wait()

    async with serving(process_request=hook, close_timeout=0.5) as (server, uri):
        channels = [await cwschannel.connect(f"{uri}{name}") for name in ("one", "two")]
        async with raw_client(server.port) as wire:
            await wire.send(REQUEST)
            await held.wait()
            if how == "reset":
                wire.reset()
            else:
                wire.sock.close()
            await asyncio.sleep(0.02)
            server.close()
            with within(2):
                await asyncio.wait_for(server.wait_closed(), 3)
        for channel in channels:
            await asyncio.wait_for(_done(channel), 2)
            assert channel.close_code == 1001


async def _done(channel: cwschannel.IOWebSocketChannel) -> None:
    await channel.sink.done


@pytest.mark.parametrize("how", ["reset", "closed"])
@each_loop
async def test_a_client_that_vanishes_during_process_request_is_let_go_at_the_deadline(how: str) -> None:
    held = asyncio.Event()
    given_up = asyncio.Event()

    async def hook(request: cwschannel.Request) -> None:
        held.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with serving(process_request=hook, connect_timeout=0.25) as (server, _), raw_client(server.port) as wire:
        await wire.send(REQUEST)
        await held.wait()
        if how == "reset":
            wire.reset()
        else:
            wire.sock.close()
        await asyncio.wait_for(given_up.wait(), 2)
        await until(lambda: not server._opening)


@pytest.mark.parametrize("request_bytes", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x02\x01\x00"])
@each_loop
async def test_a_client_that_does_not_wait_for_its_refusal_is_no_log_line(request_bytes: bytes) -> None:
    async with serving() as (server, uri):
        for _ in range(10):
            async with raw_client(server.port) as wire:
                await wire.send(request_bytes)
                wire.reset()
        async with cwschannel.connect(uri) as channel:
            channel.sink.add("x")
            assert await channel.recv() == "x"


@pytest.mark.parametrize("closes", [False, True], ids=["reads", "closes"])
@pytest.mark.parametrize("how", ["reset", "closed"])
@each_loop
async def test_a_peer_that_is_gone_after_a_bad_frame_raises_nothing_anywhere(how: str, closes: bool) -> None:
    results: list[object] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        try:
            async for message in channel.stream:
                results.append(message)
                if closes:
                    try:
                        channel.sink.close(1000)
                    except Exception as error:
                        results.append(error)
        except ConnectionClosed as error:
            results.append(error.code)

    async with serving(handler, close_timeout=0.3) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        (channel,) = server.channels
        await wire.send(frame(TEXT, b"good", masked=True) + frame(3, masked=True))
        if how == "reset":
            wire.reset()
        else:
            wire.sock.close()
        await asyncio.wait_for(_done(channel), 3)
        await until(lambda: not server.channels)
    if how == "reset" and results == [1006]:
        return  # the system may throw away what came before a reset
    assert results == (["good"] if closes else ["good", 1006])  # our own close ends our stream quietly


# Hooks and handlers that run in unusual ways.


@each_loop
async def test_a_process_request_that_is_cancelled_by_something_of_its_own_is_500(logs) -> None:
    async def hook(request: cwschannel.Request) -> None:
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    async with serving(process_request=hook, connect_timeout=None) as (_, uri):
        with within(3), pytest.raises(HandshakeRejected) as caught:
            await cwschannel.connect(uri, connect_timeout=3)
        assert caught.value.status == 500
        assert [record.exc_info[0] for record in logs] == [asyncio.CancelledError]


def _eagerly(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """What ``asyncio.eager_task_factory`` does, which uvloop calls with an option that it does not take."""
    return asyncio.Task(coroutine, loop=loop, **{**options, "eager_start": True})


eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")


@eager
@each_loop
async def test_a_handler_that_starts_eagerly_finds_an_open_channel() -> None:
    asyncio.get_running_loop().set_task_factory(_eagerly)
    seen: list[object] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        seen.extend([channel.remote_address, channel.local_address, channel in server.channels])
        await channel.send("first")
        await echo(channel)

    async with serving(handler) as (server, uri), cwschannel.connect(uri) as channel:
        assert await channel.recv() == "first"
        assert seen == [channel.local_address, channel.remote_address, True]
        await channel.send("second")
        assert await channel.recv() == "second"


@eager
@each_loop
async def test_a_handler_that_ends_eagerly_closes_its_channel() -> None:
    asyncio.get_running_loop().set_task_factory(_eagerly)

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channel.sink.add("all")

    async with serving(handler) as (server, uri):
        channel = cwschannel.connect(uri)
        assert [message async for message in channel.stream] == ["all"]
        assert channel.close_code == 1000
        await channel.sink.done
        await until(lambda: not server.channels)


@eager
@pytest.mark.parametrize("answer", [None, Response.text(404)], ids=["accepts", "refuses"])
@each_loop
async def test_a_process_request_that_ends_eagerly_is_followed(answer: Response | None) -> None:
    asyncio.get_running_loop().set_task_factory(_eagerly)

    async def hook(request: cwschannel.Request) -> Response | None:
        return answer

    async with serving(process_request=hook) as (_, uri):
        channel = cwschannel.connect(uri)
        if answer is None:
            await channel.send("x")
            assert await channel.recv() == "x"
            await channel.sink.close()
        else:
            with pytest.raises(HandshakeRejected, match="404"):
                await channel.ready


@each_loop
async def test_a_handler_knows_the_address_of_its_peer_from_the_start() -> None:
    seen: list[object] = []

    def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        seen.append(channel.remote_address)

    async with serving(handler) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        await until(lambda: seen)
        assert seen == [wire.sock.getsockname()]
        wire.sock.shutdown(socket.SHUT_WR)
