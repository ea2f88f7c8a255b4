"""Peers that never finish closing, vanish, or fall silent: what becomes of an open connection, and within what time."""

from __future__ import annotations

import asyncio

import pytest

import cwschannel
from cwschannel import ConnectionClosed

from .running import connected, each_loop, until, within
from .wire import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, raw_server

SHORT = 0.25  # the deadline that is tried out
LATER = SHORT + 1.5  # with patience for a busy machine

# Closing.


@each_loop
async def test_a_close_frame_that_is_never_answered_ends_in_a_drop() -> None:
    async def script(wire) -> None:
        await wire.accept()
        await wire.read_all()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, close_timeout=SHORT)
        with within(LATER, at_least=SHORT - 0.05):
            await channel.sink.close(1000)
        assert channel.close_code == 1006
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert isinstance(caught.value.__cause__, TimeoutError)


@each_loop
async def test_data_after_our_close_frame_does_not_put_the_deadline_off() -> None:
    async def script(wire) -> None:
        await wire.accept()
        while True:
            await wire.send(frame(BINARY, bytes(1000)))
            await asyncio.sleep(0.01)

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, close_timeout=SHORT)
        await channel.recv()
        with within(LATER, at_least=SHORT - 0.05):
            await channel.sink.close(1000)


@pytest.mark.parametrize("message_first", [False, True])
@each_loop
async def test_a_server_that_answers_the_close_frame_but_never_closes_tcp_is_dropped(
    message_first: bool,
) -> None:
    async def script(wire) -> None:
        await wire.accept()
        await wire.read_frame()
        await wire.send((frame(TEXT, b"late") if message_first else b"") + close_frame(1000))
        await wire.read_all()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, close_timeout=SHORT)
        try:
            with within(LATER, at_least=SHORT - 0.05):
                await asyncio.wait_for(_done(channel.sink.close(1000)), LATER)
            assert channel.close_code == 1000
        finally:
            channel.abort()


async def _done(awaitable) -> None:
    await awaitable


@each_loop
async def test_a_peer_that_does_not_read_our_close_frame_is_dropped() -> None:
    async def script(wire) -> None:
        await wire.accept()
        await asyncio.Event().wait()

    async with raw_server(script, buffers=2**16) as uri:
        channel = await cwschannel.connect(uri, close_timeout=SHORT)
        channel.sink.add(bytes(2**24))
        with within(LATER, at_least=SHORT - 0.05):
            await channel.sink.close(1000)


@each_loop
async def test_a_peer_that_broke_a_rule_and_stays_is_dropped() -> None:
    seen: list[object] = []

    async def script(wire) -> None:
        await wire.accept(then=frame(3))
        assert (await wire.read_frame()).code == 1002
        seen.append(await wire.read_all())
        await asyncio.Event().wait()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, close_timeout=SHORT)
        with within(LATER, at_least=SHORT - 0.05):
            await channel.sink.done
        assert seen == [b""]  # it was told at once that no more comes


# Lost connections.


@each_loop
async def test_a_peer_that_vanishes_in_the_middle_of_a_message_is_1006_with_a_cause() -> None:
    async def script(wire) -> None:
        await wire.accept(then=frame(TEXT, b"whole") + frame(BINARY, bytes(1000))[:500])

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        assert await channel.recv() == "whole"
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert (caught.value.code, channel.close_code) == (1006, 1006)
        assert isinstance(caught.value.__cause__, ConnectionResetError)


@each_loop
async def test_a_reset_is_1006_with_the_systems_error_as_the_cause() -> None:
    async def script(wire) -> None:
        await wire.accept(then=frame(TEXT, b"whole"))
        await wire.read_frame()
        wire.reset()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        assert await channel.recv() == "whole"
        channel.sink.add("reset now")
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert caught.value.code == 1006
        assert isinstance(caught.value.__cause__, ConnectionResetError)


@each_loop
async def test_a_peer_that_stops_answering_pings_is_dropped() -> None:
    seen: list[object] = []

    async def script(wire) -> None:
        await wire.accept()
        ping = await wire.read_frame()
        assert ping.opcode == PING
        await wire.send(frame(PONG, ping.payload))
        while True:
            seen.append(await wire.read_frame())

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, ping_interval=0.1, ping_timeout=0.1)
        with within(LATER, at_least=0.15), pytest.raises(ConnectionClosed, match="ping_timeout") as caught:
            await channel.recv()
        assert caught.value.code == 1006
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert channel.latency > 0
        await channel.sink.done
        await until(lambda: len(seen) == 2)
        assert [(received.opcode, received.code) for received in seen[1:]] == [(CLOSE, 1011)]


@each_loop
async def test_messages_in_place_of_pongs_keep_the_connection() -> None:
    async def script(wire) -> None:
        await wire.accept()
        while True:
            await wire.send(frame(TEXT, b"alive"))
            await asyncio.sleep(0.02)

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri, ping_interval=0.05, ping_timeout=0.1, close_timeout=SHORT)
        async with asyncio.timeout(5):
            for _ in range(40):
                assert await channel.recv() == "alive"
        channel.abort()


@each_loop
async def test_idle_connections_are_kept_by_their_pings() -> None:
    async with connected(ping_interval=0.03, ping_timeout=0.3) as pair:
        await asyncio.sleep(0.4)
        pair.client.sink.add("still there")
        assert await pair.server.recv() == "still there"
        assert pair.client.latency > 0
        assert pair.server.latency > 0
