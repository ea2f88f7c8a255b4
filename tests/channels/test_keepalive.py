"""Pings: what keepalive makes of slow peers and of dead ones, and the times that pings give."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

import cwschannel
from cwschannel import ConnectionClosed

from .running import connected, each_loop, serving, until, within
from .wire import PING, PONG, bound_socket, frame, raw_client, raw_server

BUFFERS = 2**15
MESSAGE = 2**12


@pytest.mark.parametrize(
    "buffers",
    [
        BUFFERS,
        pytest.param(None, marks=pytest.mark.xfail(strict=True, reason="what the system still holds counts as written")),
    ],
    ids=["small", "default"],
)
@each_loop
async def test_a_peer_that_reads_slowly_but_steadily_is_not_dropped(buffers: int | None) -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    failures: list[Exception] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channels.append(channel)
        try:
            while True:
                await channel.send(bytes(MESSAGE))
        except ConnectionClosed as error:
            failures.append(error)

    # The system says that it can take more only once it has got rid of a part of what it has: the less, the better.
    listening = bound_socket(receive_buffer=BUFFERS)
    if buffers is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    # A ping stands behind 1 MiB, which takes the peer more than twice as long as the timeout.
    options = {"write_limit": 2**20, "ping_interval": 0.2, "ping_timeout": 0.5, "close_timeout": 0.5}
    async with (
        serving(handler, sock=listening, **options) as (server, _),
        raw_client(server.port, buffers=BUFFERS) as wire,
    ):
        await wire.upgrade()
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.5
        pongs = 0
        while loop.time() < end and not failures:
            for _ in range(2):
                got = await wire.read_frame()
                if got.opcode == PING:
                    await wire.send(frame(PONG, got.payload, masked=True))
                    pongs += 1
            await asyncio.sleep(0.01)
        assert not failures
        assert pongs
        assert channels[0].close_code is None


@each_loop
async def test_a_peer_that_reads_nothing_more_is_dropped_while_send_waits() -> None:
    async def script(wire) -> None:
        await wire.accept()
        await asyncio.Event().wait()

    async with raw_server(script, buffers=BUFFERS) as uri:
        channel = await cwschannel.connect(uri, ping_interval=0.1, ping_timeout=0.2, close_timeout=5)

        async def send_on() -> None:
            while True:
                await channel.send(bytes(MESSAGE))

        with within(2.5), pytest.raises(ConnectionClosed, match="ping_timeout"):
            await send_on()
        await channel.sink.done


@each_loop
async def test_the_latency_is_right_when_pings_have_no_timeout() -> None:
    async with connected(client={"ping_interval": 0.03, "ping_timeout": None}) as pair:
        assert pair.client.latency == 0.0
        await until(lambda: pair.client.latency > 0)
        for _ in range(10):
            assert 0 < pair.client.latency < 2
            await asyncio.sleep(0.01)


@each_loop
async def test_a_payload_can_be_used_again_as_soon_as_its_pong_came() -> None:
    async with connected(ping_interval=None) as pair:

        async def again() -> float:
            while True:
                with contextlib.suppress(ValueError):  # the first still waits for its pong
                    return await pair.client.ping(b"same")
                await asyncio.sleep(0)

        for _ in range(20):
            times = await asyncio.wait_for(asyncio.gather(pair.client.ping(b"same"), again()), 3)
            assert all(0 < seconds < 3 for seconds in times)


@each_loop
async def test_a_ping_that_is_given_up_does_not_take_away_the_next_one_with_its_payload() -> None:
    async with connected(ping_interval=None) as pair:
        for passes in range(6):
            first = asyncio.create_task(pair.client.ping(b"same"))
            for _ in range(passes):
                await asyncio.sleep(0)
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
            assert 0 < await asyncio.wait_for(pair.client.ping(b"same"), 3) < 3


@each_loop
async def test_each_ping_gets_its_own_time() -> None:
    async def script(wire) -> None:
        await wire.accept()
        first = await wire.read_frame()
        await asyncio.sleep(0.15)
        second = await wire.read_frame()
        # In this order the time of the first is longer by what lies between the pings, however slow all of this is.
        await wire.send(frame(PONG, second.payload))
        await wire.send(frame(PONG, first.payload))
        await wire.read_all()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        early = asyncio.create_task(channel.ping())
        await asyncio.sleep(0.1)
        late = asyncio.create_task(channel.ping())
        assert await asyncio.wait_for(early, 3) - await asyncio.wait_for(late, 3) > 0.05
        channel.abort()
