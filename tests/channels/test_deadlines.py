"""Servers that are slow, silent, not there, or something else than a WebSocket: how opening a channel fails, and when."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

import cwschannel
from cwschannel import HandshakeRejected, InvalidHandshake, OpeningFailed, OpeningTimeout

from .running import each_loop, open_sockets, until, within
from .wire import bound_socket, raw_server, switching

SHORT = 0.25  # the deadline that is tried out
LATER = SHORT + 1.5  # with patience for a busy machine


async def _silent(wire) -> None:
    await wire.read_all()


def _refused() -> tuple[socket.socket, str]:
    sock = bound_socket()  # bound, but nobody listens
    return sock, f"ws://127.0.0.1:{sock.getsockname()[1]}/"


# Opening.


@each_loop
async def test_a_server_that_never_answers_ends_in_opening_timeout() -> None:
    async with raw_server(_silent) as uri:
        sockets = open_sockets()
        channel = cwschannel.connect(uri, connect_timeout=SHORT)
        with within(LATER, at_least=SHORT - 0.05), pytest.raises(OpeningTimeout, match="connect_timeout") as caught:
            await channel.ready
        assert isinstance(caught.value, TimeoutError)
        assert channel.close_code == 1006
        await channel.sink.done
        await until(lambda: open_sockets() <= sockets)


@each_loop
async def test_a_server_that_never_finishes_tls_ends_in_opening_timeout() -> None:
    async with raw_server(_silent) as uri:
        with within(LATER, at_least=SHORT - 0.05), pytest.raises(OpeningTimeout):
            await cwschannel.connect(uri.replace("ws:", "wss:"), ssl=ssl.create_default_context(), connect_timeout=SHORT)


@each_loop
async def test_an_answer_that_comes_byte_by_byte_does_not_put_the_deadline_off() -> None:
    async def script(wire) -> None:
        await wire.read_head()
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Filler: y\r\n" * 100:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.1)

    async with raw_server(script) as uri:
        with within(LATER, at_least=SHORT - 0.05), pytest.raises(OpeningTimeout):
            await cwschannel.connect(uri, connect_timeout=SHORT)


@each_loop
async def test_a_refusal_whose_body_never_ends_is_a_refusal() -> None:
    async def script(wire) -> None:
        await wire.read_head()
        await wire.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nthe beginning")
        await asyncio.Event().wait()

    async with raw_server(script) as uri:
        with within(LATER), pytest.raises(HandshakeRejected) as caught:
            await cwschannel.connect(uri, connect_timeout=SHORT)
        assert (caught.value.status, caught.value.response.body) == (503, b"the beginning")


@each_loop
async def test_a_refusal_carries_status_headers_and_body() -> None:
    async def script(wire) -> None:
        await wire.read_head()
        await wire.send(b"HTTP/1.1 404 Not Here\r\nX-Why: because\r\nContent-Length: 7\r\n\r\nnothing")

    async with raw_server(script) as uri:
        channel = cwschannel.connect(uri)
        with pytest.raises(HandshakeRejected, match="404 Not Here") as caught:
            await channel.ready
        response = caught.value.response
        assert (response.status, response.reason, response.headers["x-why"]) == (404, "Not Here", "because")
        assert response.body == b"nothing"
        with pytest.raises(HandshakeRejected):
            await channel.recv()
        with pytest.raises(HandshakeRejected):
            await channel.send("x")
        channel.sink.add("dropped")
        await channel.sink.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        bytes(range(256)) * 100,
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"A: b\r\n" * 10_000,
        b"",
        b"HTTP/1.1 101 Swit",
    ],
)
@each_loop
async def test_an_answer_that_is_no_http_fails_at_once(answer: bytes) -> None:
    async def script(wire) -> None:
        await wire.read_head()
        await wire.send(answer)

    async with raw_server(script) as uri:
        with within(3), pytest.raises(InvalidHandshake):
            await cwschannel.connect(uri)


@pytest.mark.parametrize(
    ("accept", "headers"),
    [
        ("AAAAAAAAAAAAAAAAAAAAAA==", ""),
        (None, "Sec-WebSocket-Protocol: not-offered\r\n"),
        (None, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        (None, "Content-Length: 5\r\n"),
    ],
)
@each_loop
async def test_a_101_that_does_not_fit_our_request_fails_at_once(accept: str | None, headers: str) -> None:
    async def script(wire) -> None:
        if accept is None:
            await wire.accept(headers=headers)
        else:
            await wire.read_head()
            await wire.send(switching(accept, headers))
        assert await wire.read_all() == b"", "the client went on"

    async with raw_server(script) as uri:
        channel = cwschannel.connect(uri)
        channel.sink.add("must not be sent")
        with within(3), pytest.raises(InvalidHandshake):
            await channel.ready


@each_loop
async def test_a_server_that_resets_the_connection_ends_in_opening_failed() -> None:
    async def script(wire) -> None:
        await wire.read_head()
        wire.reset()

    async with raw_server(script) as uri:
        with within(3), pytest.raises(OpeningFailed) as caught:
            await cwschannel.connect(uri)
        assert isinstance(caught.value.__cause__, ConnectionError)


@each_loop
async def test_a_connection_that_is_refused_says_so() -> None:
    sock, uri = _refused()
    with sock, within(3), pytest.raises(OpeningFailed, match="refused") as caught:
        await cwschannel.connect(uri)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@each_loop
async def test_an_unknown_host_is_named() -> None:
    with within(10), pytest.raises(OpeningFailed, match=r"no-such-host\.invalid") as caught:
        await cwschannel.connect("ws://no-such-host.invalid/")
    assert isinstance(caught.value.__cause__, OSError)


# One failure has one owner.


@each_loop
async def test_a_failure_goes_to_the_stream_when_nobody_waits_for_ready() -> None:
    sock, uri = _refused()
    with sock:
        channel = cwschannel.connect(uri)
        with pytest.raises(OpeningFailed):
            async for _ in channel.stream:
                pass
        assert [message async for message in channel.stream] == []


@each_loop
async def test_a_failure_goes_to_a_listener_when_nobody_waits_for_ready() -> None:
    sock, uri = _refused()
    with sock:
        channel = cwschannel.connect(uri)
        events: list[object] = []
        channel.stream.listen(on_error=lambda error: events.append(type(error)), on_done=lambda: events.append("done"))
        await until(lambda: "done" in events)
        assert events == [OpeningFailed, "done"]


@each_loop
async def test_a_failure_goes_to_ready_when_that_is_awaited_and_the_stream_only_ends() -> None:
    sock, uri = _refused()
    with sock:
        channel = cwschannel.connect(uri)
        reading = asyncio.create_task(_read(channel))
        with pytest.raises(OpeningFailed):
            await channel.ready
        assert await reading == []


async def _read(channel: cwschannel.IOWebSocketChannel) -> list[object]:
    return [message async for message in channel.stream]


@each_loop
async def test_a_failure_goes_to_ready_when_that_is_awaited_and_the_listener_only_gets_the_end() -> None:
    sock, uri = _refused()
    with sock:
        channel = cwschannel.connect(uri)
        events: list[object] = []
        channel.stream.listen(on_error=events.append, on_done=lambda: events.append("done"))
        with pytest.raises(OpeningFailed):
            await channel.ready
        await until(lambda: "done" in events)
        assert events == ["done"]


@each_loop
async def test_a_failure_that_nobody_asks_for_is_no_log_line() -> None:
    sock, uri = _refused()
    with sock:
        channel = cwschannel.connect(uri)
        await channel.sink.done
        del channel
        gc.collect()
        await asyncio.sleep(0.01)


# Giving up.


@each_loop
async def test_aborting_during_the_opening_ends_it() -> None:
    async with raw_server(_silent) as uri:
        sockets = open_sockets()
        channel = cwschannel.connect(uri)
        reading = asyncio.create_task(channel.recv())
        await asyncio.sleep(0.02)
        channel.abort()
        with within(1):
            with pytest.raises(OpeningFailed, match="given up"):
                await channel.ready
            with pytest.raises(OpeningFailed):
                await reading
            await channel.sink.done
        assert channel.close_code == 1006
        await until(lambda: open_sockets() <= sockets)


@each_loop
async def test_aborting_at_once_ends_the_opening() -> None:
    async with raw_server(_silent) as uri:
        channel = cwschannel.connect(uri)
        channel.abort()
        with pytest.raises(OpeningFailed):
            await asyncio.wait_for(channel.ready, 0.5)


@pytest.mark.parametrize("passes", [1, 2, 3, 5, 20])
@each_loop
async def test_cancelling_async_with_leaks_nothing(passes: int) -> None:
    async def enter(uri: str) -> None:
        async with cwschannel.connect(uri):
            raise AssertionError("it opened")

    async with raw_server(_silent) as uri:
        sockets = open_sockets()
        entering = asyncio.create_task(enter(uri))
        for _ in range(passes):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await until(lambda: open_sockets() <= sockets)
        # each_loop looks for tasks that are left


@each_loop
async def test_a_timeout_around_connect_leaks_nothing() -> None:
    async with raw_server(_silent) as uri:
        sockets = open_sockets()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await cwschannel.connect(uri)
        await until(lambda: open_sockets() <= sockets)


@each_loop
async def test_closing_during_the_opening_is_bounded_by_both_deadlines() -> None:
    async with raw_server(_silent) as uri:
        channel = cwschannel.connect(uri, connect_timeout=SHORT, close_timeout=SHORT)
        with within(LATER):
            await channel.sink.close(1000)
        assert [message async for message in channel.stream] == []
