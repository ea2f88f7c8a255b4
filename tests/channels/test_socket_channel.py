"""The blocking channel: messages, waits, and its ends."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel
from cwschannel import ConnectionClosed, SocketWebSocketChannel, status
from cwschannel.channels.socket_reading import SPARSE_SIZE
from cwschannel.channels.socket_waiting import READ_SIZE
from cwschannel.sync import connect

from .blocking import Bare, Task, _nothing_is_left, asyncio_serving, bare_server, connected, logs, serving, until
from .running import echo as asyncio_echo
from .running import within
from .wire import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame

if TYPE_CHECKING:
    import ssl

__all__ = ["_nothing_is_left", "logs"]

SIZES = [0, 1, 125, 126, 65535, 65536, 1_000_003]
LARGE = 16 * 2**20


def echoed(channel: SocketWebSocketChannel) -> None:
    for size in SIZES:
        for message in (os.urandom(size), "ä€😀x"[: max(1, size % 5)] * (size // 4)):
            channel.sink.add(message)
            assert channel.recv(timeout=20) == message


@pytest.mark.parametrize("secure", [False, True])
def test_messages_come_back_from_our_blocking_server(
    secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    limits: dict[str, Any] = {"max_message_size": None}
    with (
        serving(**limits, **({"ssl": server_tls} if secure else {})) as (_, uri),
        connect(uri, **limits, ssl=client_tls if secure else None) as channel,
    ):
        echoed(channel)
    assert channel.close_code == 1000


@pytest.mark.parametrize("secure", [False, True])
def test_messages_come_back_from_our_asyncio_server(
    secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def start() -> Any:
        return cwschannel.serve(asyncio_echo, "127.0.0.1", 0, max_message_size=None, ssl=server_tls if secure else None)

    with asyncio_serving(start) as port:
        uri = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
        with connect(uri, max_message_size=None, ssl=client_tls if secure else None) as channel:
            echoed(channel)
    assert channel.close_code == 1000


@pytest.mark.parametrize("timeout", [None, 20])
def test_messages_of_every_size_in_any_mixture(timeout: float | None) -> None:
    """Alone and in bursts, cut anywhere, and around the sizes at which another way of reading begins."""
    sizes = [0, 1, 125, *range(SPARSE_SIZE - 6, SPARSE_SIZE + 2), 5000, READ_SIZE - 4, READ_SIZE, 200_000, 300_000]
    generator = random.Random(7)
    messages = [generator.randbytes(generator.choice(sizes)) for _ in range(300)]
    received: list[Any] = []
    near, far = socket.socketpair()

    def write() -> None:
        waiting = b""
        for number, message in enumerate(messages):
            waiting += frame(BINARY, message)
            if generator.random() < 0.5:
                cut = generator.randrange(len(waiting)) if generator.random() < 0.5 else len(waiting)
                far.sendall(waiting[:cut])
                waiting = waiting[cut:]
            if not waiting and generator.random() < 0.5:
                until(lambda number=number: len(received) > number)
        far.sendall(waiting)

    with far, SocketWebSocketChannel(near, server_side=False, close_timeout=0.01) as channel:
        writing = Task(write)
        for _ in messages:
            received.append(channel.recv(timeout))
        writing.result()
    assert received == messages


@pytest.mark.parametrize("secure", [False, True])
def test_a_large_message(secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with connected(
        max_message_size=None, server={"ssl": server_tls} if secure else {}, client={"ssl": client_tls if secure else None}
    ) as pair:
        message = os.urandom(LARGE)
        task = Task(pair.server.send, message)
        assert pair.client.recv(timeout=20) == message
        task.result()
        task = Task(pair.server.recv, 20)
        pair.client.send(bytearray(message))
        assert task.result() == message


def test_fragments_with_pings_between_them() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(frame(TEXT, b"\xe2\x82", fin=False) + frame(PING, b"1") + frame(0, b"\xac", fin=False))
        assert bare.read_frame()[:2] == (PONG, b"1")
        bare.send(frame(PING, b"2") + frame(0, b"!") + frame(BINARY, b""))
        assert bare.read_frame()[:2] == (PONG, b"2")
        assert bare.read_frame().opcode == CLOSE
        bare.send(close_frame(1000))

    with bare_server(script) as uri, connect(uri) as channel:
        assert channel.recv(timeout=20) == "€!"
        assert channel.recv(timeout=20) == b""


def test_recv_with_a_timeout_loses_nothing() -> None:
    go = threading.Event()

    def script(bare: Bare) -> None:
        data = frame(TEXT, b"hello")
        bare.accept(then=data[:3])
        assert go.wait(20)
        bare.send(data[3:])
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri)
        with within(5.0), pytest.raises(TimeoutError):
            channel.recv(timeout=0)
        with within(5.0, at_least=0.05), pytest.raises(TimeoutError):
            channel.recv(timeout=0.05)
        with within(5.0, at_least=0.003), pytest.raises(TimeoutError):
            channel.recv(timeout=0.003)
        go.set()
        assert channel.recv(timeout=20) == "hello"
        channel.abort()


@pytest.mark.parametrize("secure", [False, True])
def test_recv_polls_for_what_is_there(secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with connected(server={"ssl": server_tls} if secure else {}, client={"ssl": client_tls if secure else None}) as pair:
        with pytest.raises(TimeoutError):
            pair.client.recv(timeout=0)
        for number in range(3):
            pair.server.send(str(number))
        pair.server.ping  # noqa: B018
        got: list[Any] = []

        def poll() -> bool:
            try:
                got.append(pair.client.recv(timeout=0))
            except TimeoutError:
                return False
            return len(got) == 3

        until(poll)
        assert got == ["0", "1", "2"]


def test_one_thread_reads() -> None:
    with connected() as pair:
        reader = Task(pair.client.recv)
        until(lambda: not pair.client._io._turn)
        with pytest.raises(cwschannel.ChannelStateError, match="another thread is reading"):
            pair.client.recv(timeout=1)
        pair.server.send("for the first")
        assert reader.result() == "for the first"
        pair.server.send("again")
        assert pair.client.recv(timeout=20) == "again"


@pytest.mark.parametrize(("code", "quiet"), [(1000, True), (1001, True), (None, True), (1008, False), (4000, False)])
def test_how_the_stream_ends(code: int | None, quiet: bool) -> None:
    with connected() as pair:
        pair.server.send("last")
        closing = Task(pair.server.sink.close, code, "" if code is None else "why")
        got = []
        if quiet:
            got.extend(pair.client)
        else:
            with pytest.raises(ConnectionClosed, match="why"):
                got.extend(pair.client.stream)
        assert got == ["last"]
        assert pair.client.close_code == (1005 if code is None else code)
        assert pair.client.close_reason == ("" if code is None else "why")
        with pytest.raises(ConnectionClosed):
            pair.client.recv()
        with pytest.raises(ConnectionClosed):
            pair.client.send("too late")
        pair.client.sink.add("dropped")
        pair.client.close()
        closing.result()
        assert pair.server.sink.done


@pytest.mark.parametrize("end", [close_frame(1000), frame(3, b"reserved"), frame(TEXT, b"\xff"), frame(CLOSE, b"x")])
def test_messages_before_the_end_can_be_answered(end: bytes) -> None:
    seen = []

    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(frame(TEXT, b"one") + frame(TEXT, b"two") + end)
        while not seen or seen[-1].opcode != CLOSE:
            seen.append(bare.read_frame())
        bare.sock.shutdown(socket.SHUT_WR)
        bare.read_all()

    with bare_server(script) as uri, connect(uri) as channel, contextlib.suppress(ConnectionClosed):
        for message in channel:
            channel.sink.add(f"re: {message}")
    assert [one.payload for one in seen[:-1]] == [b"re: one", b"re: two"]


def test_pings_and_latency() -> None:
    with connected() as pair:
        assert pair.client.latency == 0.0
        answering = Task(list, pair.server)
        pair.client.send("before")
        assert 0 < pair.client.ping() == pair.client.latency
        assert pair.client.ping(b"own") > 0
        with pytest.raises(ValueError, match="125"):
            pair.client.ping(bytes(126))
        pair.client.close()
        assert answering.result() == ["before"]
        with pytest.raises(ConnectionClosed):
            pair.client.ping()


def test_a_ping_beside_a_reader_and_with_messages_between() -> None:
    with connected() as pair:
        echoing = Task(lambda: [pair.server.send(message) for message in pair.server])
        reader = Task(pair.client.recv)
        until(lambda: not pair.client._io._turn)
        assert pair.client.ping() > 0
        pair.client.send("x")
        assert reader.result() == "x"
        for number in range(100):
            pair.client.send(str(number))
        pair.client.ping()
        assert [pair.client.recv(timeout=0) for _ in range(100)] == [str(number) for number in range(100)]
        pair.client.close()
        echoing.result()


def test_a_ping_without_a_pong_ends_in_time() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        bare.read_frame()
        bare.send(frame(TEXT, b"no pong"))
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri)
        with within(5.0, at_least=0.2), pytest.raises(TimeoutError, match="pong"):
            channel.ping(timeout=0.2)
        assert channel.recv(timeout=0) == "no pong"
        channel.abort()


def test_a_pong_the_peer_keeps_back_behind_messages_nobody_reads() -> None:
    with connected(client={"read_limit": 1000}) as pair:
        flood = Task(lambda: [pair.server.sink.add(bytes(1000)) for _ in range(100)])
        flood.result()
        with within(5.0), pytest.raises(TimeoutError):
            pair.client.ping(timeout=0.3)
        assert len(pair.client._io.queue) < 100
        assert [pair.client.recv(timeout=20) for _ in range(100)] == [bytes(1000)] * 100


@pytest.mark.parametrize("timeout", [None, 5])
def test_what_a_ping_has_kept_does_not_hinder_what_comes_later(timeout: float | None) -> None:
    with connected(client={"read_limit": 1000, "ping_interval": None}) as pair:
        pair.server.sink.add(bytes(5000))
        answering = Task(pair.server.recv, 20)
        with contextlib.suppress(TimeoutError):  # the pong comes in the same read as the message, or is not read
            pair.client.ping(timeout=0.2)
        assert pair.client.recv() == bytes(5000)
        reading = Task(pair.client.recv, timeout)
        time.sleep(0.1)
        pair.server.sink.add("late")
        with within(3.0):
            assert reading.result() == "late"
        pair.client.send("end")
        assert answering.result() == "end"


def test_what_was_read_and_forgotten_does_not_count_when_more_is_kept() -> None:
    near, far = socket.socketpair()
    with far, SocketWebSocketChannel(near, server_side=False, read_limit=1000, close_timeout=0.01) as channel:
        far.sendall(frame(BINARY, bytes(5000)))
        with pytest.raises(TimeoutError):
            channel.ping(timeout=0.1)
        assert channel.recv(5) == bytes(5000)
        far.sendall(frame(TEXT, b"1") + frame(TEXT, b"2") + frame(TEXT, b"3"))
        assert channel.recv(5) == "1"
        far.sendall(frame(PONG, b"ping"))
        assert channel.ping(b"ping", timeout=5) < 5, "two small messages are kept meanwhile"
        assert [channel.recv(5), channel.recv(5)] == ["2", "3"]


def test_a_message_that_fills_the_small_buffer_is_followed_by_large_reads() -> None:
    near, far = socket.socketpair()
    with far, SocketWebSocketChannel(near, server_side=False, close_timeout=0.01) as channel:
        for size, sparse in ((SPARSE_SIZE - 4, False), (SPARSE_SIZE - 4, False), (SPARSE_SIZE - 5, True)):
            far.sendall(frame(BINARY, bytes(size)))
            assert channel.recv() == bytes(size)
            assert channel._io._sparse is sparse


def test_the_parts_of_a_channel() -> None:
    with connected(protocols=["chat"], server={"headers": {"X-Who": "me"}}) as pair:
        channel = pair.client
        assert channel.protocol == pair.server.protocol == "chat"
        assert channel.request.path == "/"
        assert channel.response.headers["x-who"] == "me"
        assert channel.local_address == pair.server.remote_address
        assert channel.remote_address == pair.server.local_address
        assert channel.get_extra_info("peername") == channel.remote_address
        assert isinstance(channel.get_extra_info("socket"), socket.socket)
        assert channel.get_extra_info("ssl_object", "none") == "none"
        assert SocketWebSocketChannel.sign_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert repr(channel) == "<SocketWebSocketChannel / open>"
        assert channel.close_code is None
        assert channel.close_reason is None
        channel.abort()
        assert repr(channel) == "<SocketWebSocketChannel / closed with 1006>"
        assert channel.close_reason == ""


def test_connect_by_the_class() -> None:
    with serving() as (_, uri), SocketWebSocketChannel.connect(uri, ping_interval=None) as channel:
        channel.send("x")
        assert channel.recv() == "x"


def test_what_a_sink_takes() -> None:
    with connected() as pair:
        sink = pair.client.sink
        for item in ("text", b"bytes", bytearray(b"array"), memoryview(b"view")):
            sink.add(item)
        assert [pair.server.recv(timeout=20) for _ in range(4)] == ["text", b"bytes", b"array", b"view"]
        for wrong in (None, 5, ["x"]):
            with pytest.raises(TypeError, match="a message is str"):
                sink.add(wrong)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            sink.add("\ud800")

        def items() -> Any:
            yield "first"
            with pytest.raises(cwschannel.ChannelStateError):
                sink.add("between")
            with pytest.raises(cwschannel.ChannelStateError):
                pair.client.send("between")
            with pytest.raises(cwschannel.ChannelStateError):
                sink.close()
            yield b"second"

        sink.add_stream(items())
        sink.flush()
        assert [pair.server.recv(timeout=20) for _ in range(2)] == ["first", b"second"]


def test_errors_close_the_sink() -> None:
    with connected() as pair:
        reading = Task(list, pair.server)
        pair.client.sink.add_error(ValueError("mine"))
        with pytest.raises(ConnectionClosed, match="1011"):
            reading.result()
        with pytest.raises(ValueError, match="mine"):
            pair.client.sink.wait_done()
        with pytest.raises(cwschannel.ChannelStateError):
            pair.client.sink.add("after")


def test_close_is_told_to_be_wrong_before_anything_is_sent() -> None:
    with connected() as pair:
        for code, reason in ((1006, ""), (999, ""), (None, "reason"), (1000, "x" * 124)):
            with pytest.raises(ValueError, match="clos"):
                pair.client.sink.close(code, reason)
        pair.client.send("still open")
        assert pair.server.recv(timeout=20) == "still open"


def test_leaving_with_closes() -> None:
    with serving() as (_, uri):
        with connect(uri) as channel:
            pass
        assert channel.close_code == status.NORMAL_CLOSURE
        assert channel.sink.done
        with pytest.raises(ZeroDivisionError), connect(uri) as channel:
            raise ZeroDivisionError
        assert channel.close_code == status.INTERNAL_SERVER_ERROR
        channel.close()  # again changes nothing
        assert channel.sink.wait_done(0)
        with pytest.raises(cwschannel.ChannelStateError):
            channel.send("x")


@pytest.mark.parametrize("background", [False, True])
def test_a_channel_that_nobody_has_any_more_is_dropped(background: bool) -> None:
    ended = threading.Event()

    def script(bare: Bare) -> None:
        bare.accept()
        bare.read_all()
        ended.set()

    with bare_server(script) as uri:
        channel = connect(uri, background=background)
        stream = channel.stream
        reference = weakref.ref(channel)
        del channel
        gc.collect()
        assert reference() is None
        assert not ended.wait(0.1)
        del stream
        gc.collect()
        assert ended.wait(20)


@pytest.mark.parametrize("background", [False, True])
def test_a_channel_in_a_circle_of_garbage_is_dropped_without_a_warning(background: bool) -> None:
    with serving() as (server, uri):
        circle: list[Any] = [connect(uri, background=background)]
        circle.append(circle)
        until(lambda: server.channels)
        del circle
        gc.collect()
        until(lambda: not server.channels)


def test_time_is_not_lost_between_two_messages() -> None:
    """The reader's own wait, and the one that follows it, both notice a message at once."""
    with connected() as pair:
        for pause in (0, 0.005, 0.03):
            reader = Task(pair.client.recv)
            time.sleep(pause)
            pair.server.send("now")
            with within(5.0):
                assert reader.result() == "now"
