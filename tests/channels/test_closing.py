"""How channels end: codes and reasons at both ends, context managers, lost connections, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

import cwschannel
from cwschannel import ConnectionClosed, ProtocolError, status

from .running import connected, each_loop, echo, open_sockets, serving, until, within
from .wire import CLOSE, TEXT, close_frame, frame, raw_client, raw_server

CODES = [1000, 1001, 1002, 1003, 1007, 1014, 3000, 4999]


@pytest.mark.parametrize("closer", ["client", "server"])
@pytest.mark.parametrize("code", CODES)
@each_loop
async def test_code_and_reason_arrive_and_are_echoed(closer: str, code: int) -> None:
    async with connected() as pair:
        ours, theirs = (pair.client, pair.server) if closer == "client" else (pair.server, pair.client)
        assert (ours.close_code, ours.close_reason) == (None, None)
        await ours.sink.close(code, "grün")
        await theirs.sink.done
        assert (theirs.close_code, theirs.close_reason) == (code, "grün")
        assert (ours.close_code, ours.close_reason) == (code, "grün")
        assert f"closed with {code}" in repr(ours)


@pytest.mark.parametrize("closer", ["client", "server"])
@each_loop
async def test_closing_without_a_code_is_seen_as_1005(closer: str) -> None:
    async with connected() as pair:
        ours, theirs = (pair.client, pair.server) if closer == "client" else (pair.server, pair.client)
        await ours.sink.close()
        await theirs.sink.done
        assert (theirs.close_code, theirs.close_reason) == (status.NO_STATUS_RECEIVED, "")
        assert (ours.close_code, ours.close_reason) == (status.NO_STATUS_RECEIVED, "")


@each_loop
async def test_closing_without_a_code_sends_an_empty_close_frame_and_the_answer_to_one_is_empty() -> None:
    seen = []

    async def script(wire) -> None:
        await wire.accept()
        seen.append(await wire.read_frame())
        await wire.send(close_frame())

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        await channel.sink.close()
        assert [(received.opcode, received.payload, received.masked) for received in seen] == [(CLOSE, b"", True)]
    async with serving() as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        await wire.send(close_frame(masked=True))
        assert (await wire.read_frame()) == (CLOSE, b"", True, False)
        assert await wire.read_all() == b""


@pytest.mark.parametrize("aborter", ["client", "server"])
@each_loop
async def test_aborting_is_seen_as_1006_at_both_ends(aborter: str) -> None:
    async with connected() as pair:
        ours, theirs = (pair.client, pair.server) if aborter == "client" else (pair.server, pair.client)
        ours.abort()
        await ours.sink.done
        await theirs.sink.done
        for channel in (ours, theirs):
            assert (channel.close_code, channel.close_reason) == (status.ABNORMAL_CLOSURE, "")
        with pytest.raises(ConnectionClosed) as caught:
            async for _ in theirs.stream:
                pass
        assert caught.value.code == 1006
        assert isinstance(caught.value.__cause__, OSError)


@each_loop
async def test_aborting_ends_our_own_stream_quietly() -> None:
    async with connected() as pair:
        pair.client.abort()
        assert [message async for message in pair.client.stream] == []


@pytest.mark.parametrize("code", [None, 1000, 1001])
@each_loop
async def test_the_stream_ends_quietly_when_the_peer_closes_in_good_order(code: int | None) -> None:
    async with connected() as pair:
        pair.server.sink.add("last")
        pair.server.sink.close(code)
        assert [message async for message in pair.client.stream] == ["last"]
        with pytest.raises(ConnectionClosed) as caught:
            await pair.client.recv()
        assert caught.value.code == (code or 1005)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("code", [1002, 1008, 1011, 1012, 3000, 4999])
@each_loop
async def test_the_stream_ends_with_connection_closed_for_other_codes(code: int) -> None:
    async with connected() as pair:
        pair.server.sink.add("last")
        pair.server.sink.close(code, "why")
        received: list[object] = []
        with pytest.raises(ConnectionClosed, match="why") as caught:
            await _read(pair.client, received)
        assert received == ["last"]
        assert (caught.value.code, caught.value.reason) == (code, "why")


@each_loop
async def test_the_stream_ends_quietly_when_we_closed_whatever_the_peer_answers() -> None:
    async def script(wire) -> None:
        await wire.accept()
        await wire.read_frame()
        await wire.send(close_frame(3000, "answer"))

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        received: list[object] = []
        reading = asyncio.create_task(_read(channel, received))
        await asyncio.sleep(0)
        await channel.sink.close(1011)
        await reading
        assert received == []
        assert (channel.close_code, channel.close_reason) == (3000, "answer")


async def _read(channel: cwschannel.IOWebSocketChannel, received: list[object]) -> None:
    async for message in channel.stream:
        received.append(message)


@each_loop
async def test_a_listener_gets_the_error_and_then_the_end() -> None:
    async with connected() as pair:
        events: list[object] = []
        pair.client.stream.listen(
            events.append,
            on_error=lambda error: events.append(error.code),
            on_done=lambda: events.append("done"),
        )
        pair.server.sink.add("last")
        pair.server.sink.close(3000)
        await until(lambda: "done" in events)
        assert events == ["last", 3000, "done"]


@each_loop
async def test_cancel_on_error_leaves_the_end_out() -> None:
    async with connected() as pair:
        events: list[object] = []
        pair.client.stream.listen(
            on_error=lambda error: events.append(error.code),
            on_done=lambda: events.append("done"),
            cancel_on_error=True,
        )
        await pair.server.sink.close(3000)
        await pair.client.sink.done
        await asyncio.sleep(0.01)
        assert events == [3000]


@each_loop
async def test_an_error_that_no_listener_takes_is_logged_once(logs) -> None:
    async with connected() as pair:
        pair.client.stream.listen()
        await pair.server.sink.close(3000)
        await until(lambda: logs)
        await pair.client.sink.done
        assert [(record.name, "3000" in record.getMessage()) for record in logs] == [("cwschannel", True)]


@each_loop
async def test_messages_that_came_before_the_close_can_be_read_after_it() -> None:
    async with connected() as pair:
        for number in range(100):
            pair.client.sink.add(str(number))
        await pair.client.sink.close(3000)
        await pair.server.sink.done
        assert pair.server.close_code == 3000
        assert [await pair.server.recv() for _ in range(100)] == [str(number) for number in range(100)]
        for _ in range(2):
            with pytest.raises(ConnectionClosed):
                await pair.server.recv()


@pytest.mark.parametrize(
    ("bad", "code", "rule"),
    [
        (frame(TEXT, b"x", masked=True), 1002, "mask-forbidden"),
        (frame(TEXT, b"x", rsv=0x40), 1002, "reserved-bits"),
        (frame(3, b""), 1002, "reserved-opcode"),
        (frame(0, b""), 1002, "continuation-without-start"),
        (frame(TEXT, b"\xff"), 1007, "invalid-utf-8"),
        (b"\x88\x01\x03", 1002, "close-payload"),
        (close_frame(1005), 1002, "close-code"),
        (b"\x88\x04\x03\xe8\xff\xff", 1007, "close-reason"),
        (b"\x82\x7f" + (2**20 + 1).to_bytes(8, "big"), 1009, "message-too-big"),
    ],
)
@each_loop
async def test_the_rule_that_the_peer_broke_is_the_cause(bad: bytes, code: int, rule: str) -> None:
    seen = []

    async def script(wire) -> None:
        await wire.accept(then=frame(TEXT, b"good") + bad + frame(TEXT, b"not read any more"))
        seen.append(await wire.read_frame())

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        assert await channel.recv() == "good"
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert caught.value.code == channel.close_code == 1006
        assert isinstance(caught.value.__cause__, ProtocolError)
        assert (caught.value.__cause__.code, caught.value.__cause__.rule) == (code, rule)
        assert str(caught.value.__cause__) in str(caught.value)
        await channel.sink.done
        assert [received.code for received in seen] == [code]


@each_loop
async def test_leaving_the_context_closes_with_1000_and_waits_for_the_end() -> None:
    async with serving() as (server, uri):
        async with cwschannel.connect(uri) as channel:
            (peer,) = server.channels
        assert channel.close_code == 1000
        assert (peer.close_code, peer.close_reason) == (1000, "")
        with pytest.raises(cwschannel.ChannelStateError):
            channel.sink.add("x")


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError])
@each_loop
async def test_leaving_the_context_with_an_error_closes_with_1011(error: type[BaseException]) -> None:
    async def fail() -> None:
        async with cwschannel.connect(uri) as channel:
            peers.extend([channel, *server.channels])
            raise error

    peers: list[cwschannel.IOWebSocketChannel] = []
    async with serving() as (server, uri):
        with pytest.raises(error):
            await fail()
        assert [(peer.close_code, peer.close_reason) for peer in peers] == [(1011, "")] * 2


@each_loop
async def test_a_code_given_within_the_context_stands() -> None:
    async with serving() as (server, uri):
        async with cwschannel.connect(uri) as channel:
            (peer,) = server.channels
            channel.sink.close(4000, "own")
        assert (peer.close_code, peer.close_reason) == (4000, "own")


@each_loop
async def test_leaving_the_context_after_the_peer_closed_is_quiet() -> None:
    async with connected() as pair, pair.client:
        await pair.server.sink.close(3000)
    assert pair.client.close_code == 3000


@each_loop
async def test_leaving_the_context_raises_what_add_error_was_given() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with connected() as pair, pair.client:
            pair.client.sink.add_error(LookupError("mine"))


@each_loop
async def test_the_client_lets_the_server_close_tcp_first() -> None:
    order: list[str] = []

    async def script(wire) -> None:
        await wire.accept()
        assert (await wire.read_frame()).code == 1000
        await wire.send(close_frame(1000))
        ending = asyncio.create_task(wire.read_all())
        await asyncio.sleep(0.15)
        order.append("client closed" if ending.done() else "server closes")
        ending.cancel()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        with within(3, at_least=0.05):
            await channel.sink.close(1000)
        assert order == ["server closes"]


@each_loop
async def test_the_server_closes_tcp_at_once_when_both_close_frames_have_passed() -> None:
    async with serving() as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        await wire.send(close_frame(1000, masked=True))
        with within(1):
            assert (await wire.read_frame()).code == 1000
            assert await wire.read_all() == b""
        await until(lambda: not server.channels)


# What is left behind.


@each_loop
async def test_a_hundred_connections_leave_no_task_and_no_socket() -> None:
    async with serving() as (server, uri):
        await asyncio.sleep(0)
        tasks, sockets = len(asyncio.all_tasks()), open_sockets()
        for number in range(100):
            channel = await cwschannel.connect(uri)
            channel.sink.add("x")
            assert await channel.recv() == "x"
            if number % 3:
                await channel.sink.close(1000 if number % 2 else 3000)
            else:
                channel.abort()
        await until(lambda: not server.channels and open_sockets() <= sockets, "sockets were left open")
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "tasks were left")


@each_loop
async def test_channels_that_are_closed_are_not_kept_in_memory() -> None:
    references = []

    async def remember(channel: cwschannel.IOWebSocketChannel) -> None:
        references.append(weakref.ref(channel))
        await echo(channel)

    async with serving(remember) as (server, uri):
        for _ in range(10):
            async with cwschannel.connect(uri) as channel:
                references.append(weakref.ref(channel))
        del channel
        await until(lambda: not server.channels)
        await asyncio.sleep(0.02)
        gc.collect()
        assert len(references) == 20
        assert [reference for reference in references if reference() is not None] == []


@each_loop
async def test_a_channel_that_nobody_holds_any_more_still_follows_the_protocol() -> None:
    async with serving() as (server, uri):
        channel = await cwschannel.connect(uri)
        (peer,) = server.channels
        del channel
        gc.collect()
        assert await peer.ping() > 0
        await peer.sink.close(1001)
        assert peer.close_code == 1001


@each_loop
async def test_a_channel_that_is_forgotten_before_it_could_fail_logs_nothing() -> None:
    async def script(wire) -> None:
        await wire.read_head()
        await wire.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(script) as uri:
        sockets = open_sockets()
        channel = cwschannel.connect(uri)
        channel.sink.add("x")
        del channel
        gc.collect()
        await asyncio.sleep(0.05)
        gc.collect()
        await until(lambda: open_sockets() <= sockets)
