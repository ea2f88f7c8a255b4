"""Peers and readers that are too slow: who waits, who is told, and how much memory that takes."""

from __future__ import annotations

import asyncio
import socket

import pytest

import cwschannel
from cwschannel import BackPressureError

from .running import connected, each_loop, serving, until, within
from .wire import BINARY, PING, TEXT, bound_socket, close_frame, frame, raw_client, raw_server

SMALL = 2**16  # the size of the system's buffers in these tests, which the system may double
MESSAGE = 2**14
BOUND = 2**21  # more than all limits and buffers that are in between


def _small_socket():
    return bound_socket(receive_buffer=SMALL)


async def _never_read(wire) -> None:
    await wire.accept()
    await asyncio.Event().wait()


@each_loop
async def test_a_server_that_does_not_read_its_stream_stops_reading_the_socket() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    async with (
        serving(channels.append, sock=_small_socket(), read_limit=2**18) as (server, _),
        raw_client(server.port, buffers=SMALL) as wire,
    ):
        await wire.upgrade()
        sent = await wire.flood(frame(BINARY, bytes(MESSAGE), masked=True))
        assert 2**18 < sent < BOUND
        for _ in range(sent // (MESSAGE + 8)):
            assert len(await channels[0].recv()) == MESSAGE
        assert await wire.flood(frame(BINARY, bytes(MESSAGE), masked=True)) > 0, "reading never went on"


@each_loop
async def test_a_client_that_does_not_read_its_stream_stops_reading_the_socket() -> None:
    sent: list[int] = []

    async def script(wire) -> None:
        await wire.accept()
        sent.append(await wire.flood(frame(BINARY, bytes(MESSAGE)), most=2**26))
        await wire.read_all()

    # Nothing bounds the client's receive buffer but the system: see how much it took before the application asked for any.
    async with raw_server(script, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri, read_limit=2**18)
        await until(lambda: sent, seconds=10)
        assert 2**18 < sent[0] < 2**26
        queued = len(channel._io.stream.queue) * MESSAGE
        assert queued < 2**18 + 2**18 + MESSAGE
        channel.abort()


@each_loop
async def test_small_messages_count_with_what_their_objects_take() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    async with (
        serving(channels.append, sock=_small_socket(), read_limit=2**18) as (server, _),
        raw_client(server.port, buffers=SMALL) as wire,
    ):
        await wire.upgrade()
        sent = await wire.flood(frame(TEXT, b"", masked=True) * 1000)
        assert sent < BOUND
        assert len(channels[0]._io.stream.queue) < 2**18 / 40 + 2**18 / 6 + 1


@each_loop
async def test_keepalive_does_not_kill_a_connection_while_we_do_not_read() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    options = {"sock": _small_socket(), "read_limit": 2**16, "ping_interval": 0.2, "ping_timeout": 0.2}
    async with serving(channels.append, **options) as (server, _), raw_client(server.port, buffers=SMALL) as wire:
        await wire.upgrade()
        sent = await wire.flood(frame(BINARY, bytes(MESSAGE), masked=True), quiet=1.0)
        (channel,) = channels
        assert channel.close_code is None
        received = [await channel.recv() for _ in range(sent // (MESSAGE + 8))]
        assert all(len(message) == MESSAGE for message in received)


@each_loop
async def test_a_paused_subscription_pauses_the_socket() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    received: list[object] = []
    async with serving(channels.append, sock=_small_socket()) as (server, _), raw_client(server.port, buffers=SMALL) as wire:
        await wire.upgrade()
        subscription = channels[0].stream.listen(received.append)
        await wire.send(frame(TEXT, b"first", masked=True))
        await until(lambda: received == ["first"])
        subscription.pause()
        subscription.pause()
        sent = await wire.flood(frame(BINARY, bytes(MESSAGE), masked=True))
        assert sent < BOUND
        assert received == ["first"]
        subscription.resume()
        await asyncio.sleep(0.02)
        assert received == ["first"]
        subscription.resume()
        await until(lambda: len(received) == 1 + sent // (MESSAGE + 8))
        assert await wire.flood(frame(BINARY, bytes(MESSAGE), masked=True), most=BOUND) >= BOUND


@each_loop
async def test_a_callback_may_pause_in_the_middle_of_a_burst() -> None:
    async with connected() as pair:
        received: list[object] = []

        def on_data(message: object) -> None:
            received.append(message)
            if message == "4":
                subscription.pause()

        subscription = pair.server.stream.listen(on_data, on_done=lambda: received.append("done"))
        for number in range(10):
            pair.client.sink.add(str(number))
        await pair.client.sink.flush()
        await asyncio.sleep(0.02)
        assert received == [str(number) for number in range(5)]
        subscription.resume()
        await until(lambda: len(received) == 10)
        assert received == [str(number) for number in range(10)]
        subscription.pause()
        pair.client.sink.close(1000)
        await asyncio.sleep(0.02)
        assert received[-1] == "9"
        subscription.resume()
        await until(lambda: received[-1] == "done")


@each_loop
async def test_a_subscription_paused_before_the_connection_is_open_pauses_the_socket() -> None:
    sent: list[int] = []
    most = 2**25

    async def script(wire) -> None:
        await wire.accept()
        sent.append(await wire.flood(frame(BINARY, bytes(MESSAGE)), most=most))
        await wire.read_all()

    async with raw_server(script, buffers=SMALL) as uri:
        channel = cwschannel.connect(uri, read_limit=2**18)
        channel.stream.listen(lambda _: None).pause()
        try:
            await channel.ready
            await until(lambda: sent, seconds=10)
            assert sent[0] < most
        finally:
            channel.abort()
            await channel.sink.done


@each_loop
async def test_cancelling_a_paused_subscription_lets_the_connection_go_on() -> None:
    async with connected(server={"read_limit": 2**16}) as pair:
        subscription = pair.server.stream.listen(lambda _: None)
        subscription.pause()
        sending = asyncio.create_task(_send(pair.client, 500))
        await asyncio.sleep(0.05)
        subscription.cancel()
        await sending
        await pair.client.sink.close(3000)
        assert pair.server.close_code == 3000


def _add_until_refused(channel: cwschannel.IOWebSocketChannel) -> int:
    """Add within one pass of the loop; the bytes that were taken."""
    for number in range(2**26 // MESSAGE):
        try:
            channel.sink.add(bytes(MESSAGE))
        except BackPressureError:
            return number * MESSAGE
    raise AssertionError("all of it was taken")


async def _send(channel: cwschannel.IOWebSocketChannel, count: int) -> None:
    for _ in range(count):
        await channel.send(bytes(MESSAGE))


@each_loop
async def test_closing_a_paused_channel_does_not_wait_for_its_reader() -> None:
    async with connected(server={"read_limit": 2**16}, client={"close_timeout": 3.0}) as pair:
        sending = asyncio.create_task(_send(pair.client, 2000))
        await asyncio.sleep(0.05)
        assert not sending.done()
        with within(2):
            await pair.server.sink.close(3000)
        with pytest.raises(cwschannel.ConnectionClosed):
            await sending
        assert pair.client.close_code == 3000


@each_loop
async def test_send_waits_for_a_slow_peer_and_then_goes_on() -> None:
    read = asyncio.Event()
    received: list[int] = []

    async def script(wire) -> None:
        await wire.accept()
        await read.wait()
        while (got := await wire.read_frame()).opcode == BINARY:
            received.append(len(got.payload))
        await wire.send(close_frame(1000))

    async with raw_server(script, buffers=SMALL) as uri, cwschannel.connect(uri) as channel:
        sent = 0

        async def send_on() -> None:
            nonlocal sent
            while True:
                sent += 1  # also the one that waits is on its way
                await channel.send(bytes(MESSAGE))

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_on(), 0.5)
        waiting = asyncio.create_task(channel.send(bytes(MESSAGE)))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        read.set()
        await waiting
        await channel.sink.close(1000)
        assert received == [MESSAGE] * (sent + 1)


@each_loop
async def test_add_stream_waits_for_a_slow_peer() -> None:
    taken = 0

    def items():
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MESSAGE)

    async with raw_server(_never_read, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri)
        adding = asyncio.create_task(channel.sink.add_stream(items()))
        await asyncio.sleep(0.3)
        before = taken
        await asyncio.sleep(0.1)
        assert taken == before
        assert not adding.done()
        channel.abort()
        await asyncio.wait_for(adding, 2)


@each_loop
async def test_add_raises_when_more_than_max_buffered_waits() -> None:
    async with raw_server(_never_read, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri, max_buffered=2**20)
        added = 0

        async def add_on() -> None:
            nonlocal added
            while added < 2**26:
                channel.sink.add(bytes(MESSAGE))
                added += MESSAGE
                await asyncio.sleep(0)

        with pytest.raises(BackPressureError, match="max_buffered"):
            await add_on()
        assert 2**20 <= added < 2**25
        assert channel.close_code is None
        channel.abort()
        await channel.sink.done


@each_loop
async def test_add_raises_within_one_pass_of_the_loop_too() -> None:
    async with raw_server(_never_read, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri, max_buffered=2**20)
        added = _add_until_refused(channel)
        assert 2**20 <= added < 2**25
        channel.abort()
        await channel.sink.done


@pytest.mark.parametrize("ending", ["close frame", "end of TCP"])
@each_loop
async def test_add_is_silent_after_the_stream_has_ended_however_much_waits(ending: str) -> None:
    end = asyncio.Event()

    async def script(wire) -> None:
        await wire.accept()
        await end.wait()
        if ending == "close frame":
            await wire.send(close_frame(1000))
        else:
            wire.sock.shutdown(socket.SHUT_WR)
        await asyncio.Event().wait()

    async with raw_server(script, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri, max_buffered=2**20)
        _add_until_refused(channel)
        end.set()
        await until(lambda: channel.close_code is not None)
        for _ in range(3):
            channel.sink.add(bytes(MESSAGE))
        await channel.sink.add_stream([b"x"])
        channel.abort()
        await channel.sink.done


@each_loop
async def test_add_raises_when_more_than_max_buffered_waits_for_the_opening() -> None:
    async with raw_server(lambda wire: wire.read_all()) as uri:
        channel = cwschannel.connect(uri, max_buffered=2**20)
        assert _add_until_refused(channel) <= 2**20 + MESSAGE
        await asyncio.sleep(0.02)
        channel.abort()
        with pytest.raises(cwschannel.OpeningFailed):
            await asyncio.wait_for(channel.ready, 5)


@each_loop
async def test_flush_waits_until_everything_is_written() -> None:
    read = asyncio.Event()
    size = 0

    async def script(wire) -> None:
        nonlocal size
        await wire.accept()
        await read.wait()
        while (got := await wire.read_frame()).opcode == BINARY:
            size += len(got.payload)
        await wire.send(close_frame(1000))

    async with raw_server(script, buffers=SMALL) as uri, cwschannel.connect(uri) as channel:
        await channel.sink.flush()
        channel.sink.add(bytes(2**23))
        flushes = [asyncio.create_task(_flush(channel)) for _ in range(2)]
        await asyncio.sleep(0.2)
        assert not any(flush.done() for flush in flushes)
        read.set()
        await asyncio.gather(*flushes)
        assert channel._io._transport.get_write_buffer_size() == 0
        for _ in range(10):
            channel.sink.add(b"more")
        await channel.sink.flush()
        await channel.sink.close(1000)
        assert size == 2**23 + 40


async def _flush(channel: cwschannel.IOWebSocketChannel) -> None:
    await channel.sink.flush()


@each_loop
async def test_flush_and_send_end_when_the_connection_is_lost() -> None:
    async with raw_server(_never_read, buffers=SMALL) as uri:
        channel = await cwschannel.connect(uri)
        channel.sink.add(bytes(2**23))
        flushing = asyncio.create_task(_flush(channel))
        sending = asyncio.create_task(channel.send("x"))
        await asyncio.sleep(0.05)
        assert not flushing.done()
        assert not sending.done()
        channel.abort()
        await asyncio.wait_for(asyncio.gather(flushing, sending, return_exceptions=True), 2)


@each_loop
async def test_pings_whose_pongs_are_not_read_are_not_answered_without_end() -> None:
    async with serving(sock=_small_socket()) as (server, _), raw_client(server.port, buffers=SMALL) as wire:
        await wire.upgrade()
        sent = await wire.flood(frame(PING, bytes(125), masked=True) * 100, most=2**26)
        assert sent < 2**24
        (channel,) = server.channels
        assert channel._io._transport.get_write_buffer_size() < BOUND
        # The peer reads at last: every ping that came is answered.
        for _ in range(100):
            assert (await wire.read_frame()).payload == bytes(125)
