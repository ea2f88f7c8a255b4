"""Peers that shut their sending half of TCP: those that never read again are dropped in time, and others get everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel
from cwschannel import ConnectionClosed

from .running import each_loop, serving, until, within
from .wire import BINARY, REQUEST, bound_socket, header, raw_client, raw_server, switching

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

SHORT = 0.3  # the deadline that is tried out
LATER = SHORT + 1.7  # with patience for a busy machine
BUFFERS = 2**14
BACKLOG = 2**24  # more than the system's buffers hold

both = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
orders = pytest.mark.parametrize("closed", ["before", "after", "never"])


class Deaf:
    """A peer that reads no more than its first answer needs."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def shut(self) -> None:
        """Shut the sending half of TCP; of TLS, nothing is said."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)

    async def drop(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def deaf_client(port: int, tls: ssl.SSLContext | None) -> AsyncIterator[Deaf]:
    sock = bound_socket(receive_buffer=BUFFERS)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=tls, server_hostname="localhost" if tls else None, limit=BUFFERS
    )
    deaf = Deaf(writer)
    try:
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        yield deaf
    finally:
        await deaf.drop()


@contextlib.asynccontextmanager
async def deaf_server(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[str, Callable[[], Deaf]]]:
    """Yields the URI, and what returns the peer once there is one."""
    accepted: list[Deaf] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(Deaf(writer))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(switching(header(head, "Sec-WebSocket-Key")))

    listening = await asyncio.start_server(
        answer, sock=bound_socket(receive_buffer=BUFFERS), ssl=tls, limit=BUFFERS, start_serving=True
    )
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/", lambda: accepted[0]
    finally:
        listening.close()
        for deaf in accepted:
            await deaf.drop()


async def _close_around(deaf: Deaf, closed: str, close: Callable[[], object]) -> None:
    if closed == "before":
        close()
        await asyncio.sleep(0.02)
    deaf.shut()
    if closed == "after":
        await asyncio.sleep(0.1)  # it is seen meanwhile
        close()


def _expect_failure(request: pytest.FixtureRequest, secure: bool, closed: str) -> None:
    if secure and closed == "never" and type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        reason = "uvloop's TLS does not tell of the end before everything is written; only pings find out"
        request.applymarker(pytest.mark.xfail(strict=True, raises=TimeoutError, reason=reason))


def _tls(secure: bool, context: ssl.SSLContext) -> dict[str, Any]:
    return {"ssl": context} if secure else {}


@both
@pytest.mark.parametrize("closed", ["before", "after"])
@each_loop
async def test_a_client_that_half_closes_and_never_reads_does_not_keep_the_server(
    secure: bool, closed: str, server_tls, client_tls
) -> None:
    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channel.sink.add(bytes(BACKLOG))
        with contextlib.suppress(ConnectionClosed):
            async for _ in channel.stream:
                pass

    options = {"ping_interval": None, "close_timeout": SHORT, **_tls(secure, server_tls)}
    async with serving(handler, **options) as (server, _), deaf_client(server.port, client_tls if secure else None) as deaf:
        await until(lambda: server.channels)
        await _close_around(deaf, closed, server.close)
        with within(LATER):
            await asyncio.wait_for(server.wait_closed(), LATER)
        assert server.channels == set()


@both
@orders
@each_loop
async def test_a_client_that_half_closes_and_never_reads_is_dropped(
    secure: bool, closed: str, server_tls, client_tls, request
) -> None:
    _expect_failure(request, secure, closed)
    channels: list[cwschannel.IOWebSocketChannel] = []
    options = {"ping_interval": None, "close_timeout": SHORT, **_tls(secure, server_tls)}
    async with (
        serving(channels.append, **options) as (server, _),
        deaf_client(server.port, client_tls if secure else None) as deaf,
    ):
        await until(lambda: channels)
        (channel,) = channels
        channel.sink.add(bytes(BACKLOG))
        await _close_around(deaf, closed, lambda: channel.sink.close(1000))
        with within(LATER):
            await asyncio.wait_for(_done(channel), LATER)
        assert channel.close_code == 1006


@both
@orders
@each_loop
async def test_a_server_that_half_closes_and_never_reads_is_dropped(
    secure: bool, closed: str, server_tls, client_tls, request
) -> None:
    _expect_failure(request, secure, closed)
    async with deaf_server(server_tls if secure else None) as (uri, peer):
        options = {"ping_interval": None, "close_timeout": SHORT, **_tls(secure, client_tls)}
        channel = await cwschannel.connect(uri, **options)
        channel.sink.add(bytes(BACKLOG))
        await _close_around(peer(), closed, lambda: channel.sink.close(1000))
        with within(LATER):
            await asyncio.wait_for(_done(channel), LATER)
        assert channel.close_code == 1006


@both
@each_loop
async def test_leaving_the_context_ends_with_a_server_that_half_closed_and_never_reads(
    secure: bool, server_tls, client_tls
) -> None:
    async with deaf_server(server_tls if secure else None) as (uri, peer):
        options = {"ping_interval": None, "close_timeout": SHORT, **_tls(secure, client_tls)}
        async with asyncio.timeout(LATER), cwschannel.connect(uri, **options) as channel:
            channel.sink.add(bytes(BACKLOG))
            peer().shut()
            await asyncio.sleep(0.1)


@both
@each_loop
async def test_pings_find_out_about_a_server_that_half_closed_and_never_reads(secure: bool, server_tls, client_tls) -> None:
    async with deaf_server(server_tls if secure else None) as (uri, peer):
        options = {"ping_interval": 0.1, "ping_timeout": 0.2, "close_timeout": SHORT, **_tls(secure, client_tls)}
        channel = await cwschannel.connect(uri, **options)
        channel.sink.add(bytes(BACKLOG))
        peer().shut()
        with within(LATER):
            await asyncio.wait_for(_done(channel), LATER)
        assert channel.close_code == 1006


async def _done(channel: cwschannel.IOWebSocketChannel) -> None:
    await channel.sink.done


@each_loop
async def test_those_who_wait_to_send_to_a_peer_that_half_closed_are_told_when_it_is_dropped() -> None:
    async with deaf_server(None) as (uri, peer):
        channel = await cwschannel.connect(uri, ping_interval=None, close_timeout=SHORT)
        channel.sink.add(bytes(BACKLOG))
        waiting = [asyncio.create_task(channel.send("x")), asyncio.create_task(_flush(channel))]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        peer().shut()
        await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), LATER)
        with pytest.raises(ConnectionClosed) as caught:
            await channel.send("x")
        assert caught.value.code == 1006


async def _flush(channel: cwschannel.IOWebSocketChannel) -> None:
    await channel.sink.flush()


@each_loop
async def test_a_client_that_half_closes_and_reads_on_gets_everything_that_was_sent_before() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    async with serving(channels.append) as (server, _), raw_client(server.port, buffers=BUFFERS) as wire:
        await wire.upgrade()
        await until(lambda: channels)
        for _ in range(64):
            channels[0].sink.add(bytes(2**16))
        wire.sock.shutdown(socket.SHUT_WR)
        await until(lambda: channels[0].close_code == 1006)
        for _ in range(64):
            got = await wire.read_frame()
            assert (got.opcode, len(got.payload)) == (BINARY, 2**16)
        assert await wire.read_all() == b""
        await asyncio.wait_for(_done(channels[0]), 3)


@each_loop
async def test_a_server_that_half_closes_and_reads_on_gets_everything_that_was_sent_before() -> None:
    go_on = asyncio.Event()
    sizes: list[int] = []

    async def script(wire) -> None:
        await wire.accept()
        wire.sock.shutdown(socket.SHUT_WR)
        await go_on.wait()
        while True:
            sizes.append(len((await wire.read_frame()).payload))

    async with raw_server(script, buffers=BUFFERS) as uri:
        channel = await cwschannel.connect(uri, close_timeout=5)
        for _ in range(64):
            channel.sink.add(bytes(2**16))
        await until(lambda: channel.close_code == 1006)
        go_on.set()
        await asyncio.wait_for(_done(channel), 3)
        await until(lambda: sizes == [2**16] * 64)
