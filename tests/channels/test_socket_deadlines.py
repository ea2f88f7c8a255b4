"""The blocking channel and time: keepalive, deadlines, and peers that vanish or never had good manners."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

import cwschannel
from cwschannel import ConnectionClosed
from cwschannel.sync import connect

from .blocking import Bare, Task, _nothing_is_left, bare_server, connected, logs, send_on_and_on, until
from .running import within
from .wire import CLOSE, PING, PONG, TEXT, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["_nothing_is_left", "logs"]


def silent(bare: Bare) -> None:
    """A server that opens, and then neither reads nor writes."""
    bare.accept()
    bare.sock.settimeout(None)
    threading.Event().wait(2.0)


def test_a_send_that_the_peer_does_not_take() -> None:
    with bare_server(silent, buffers=4096) as uri:
        channel = connect(uri, send_timeout=0.5)
        with within(15.0, at_least=0.4), pytest.raises(cwschannel.SendTimeout, match="send_timeout") as caught:
            send_on_and_on(channel)
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, ConnectionClosed)
        assert caught.value.code == channel.close_code == 1006
        with pytest.raises(ConnectionClosed, match="send_timeout"):
            channel.recv()
        with pytest.raises(ConnectionClosed):
            channel.send("more")
        channel.close()


def test_senders_that_wait_for_a_sender() -> None:
    with bare_server(silent, buffers=4096) as uri:
        channel = connect(uri, send_timeout=1.0)
        with within(15.0):
            for task in [Task(send_on_and_on, channel) for _ in range(5)]:
                with pytest.raises(ConnectionClosed):
                    task.result()
        channel.close()


def test_close_while_the_peer_takes_nothing() -> None:
    with bare_server(silent, buffers=4096) as uri:
        channel = connect(uri, send_timeout=60, close_timeout=0.5)
        sender = Task(lambda: [channel.send(bytes(2**20)) for _ in range(1000)])
        time.sleep(0.2)
        with within(10.0, at_least=0.4):
            channel.close()
        with pytest.raises((ConnectionClosed, cwschannel.ChannelStateError)):
            sender.result()


def test_a_peer_that_sends_on_and_on_does_not_put_off_the_close_deadline() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        while True:
            bare.send(frame(TEXT, b"on and on"))

    with bare_server(script) as uri:
        channel = connect(uri, close_timeout=0.5)
        assert channel.recv() == "on and on"
        with within(10.0, at_least=0.4):
            channel.close()
        assert channel.close_code == 1006
        assert list(channel) == []


def test_a_poll_ends_though_pings_come_on_and_on() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        while True:
            bare.send(frame(PING, b"on and on") * 100)

    with bare_server(script) as uri:
        channel = connect(uri)
        with within(10.0), pytest.raises(TimeoutError):
            channel.recv(timeout=0.2)
        channel.abort()


def test_pings_whose_pongs_are_not_read_do_not_fill_the_memory() -> None:
    sent = []

    def script(bare: Bare) -> None:
        bare.accept()
        bare.sock.settimeout(0.5)
        data = frame(PING, bytes(125)) * 1000
        with contextlib.suppress(TimeoutError):
            while True:
                sent.append(bare.sock.send(data))

    with bare_server(script, buffers=4096) as uri:
        channel = connect(uri)
        reader = Task(channel.recv)
        until(lambda: channel._io._out_size > 65536 or not reader.is_running())
        time.sleep(0.2)
        assert channel._io._out_size < 2**20
        with within(10.0):
            channel.abort()
            with pytest.raises(ConnectionClosed):
                reader.result()


@pytest.mark.parametrize("background", [False, True])
def test_keepalive_pings_and_their_latency(background: bool) -> None:
    pings = []

    def script(bare: Bare) -> None:
        bare.accept()
        while len(pings) < 3:
            one = bare.read_frame()
            assert one.opcode == PING
            pings.append(one.payload)
            bare.send(frame(PONG, one.payload))
        bare.send(frame(TEXT, b"enough"))
        assert bare.read_frame().opcode in (CLOSE, PING)
        bare.send(close_frame(1000))

    with bare_server(script) as uri, connect(uri, ping_interval=0.1, ping_timeout=5, background=background) as channel:
        if background:
            until(lambda: len(pings) == 3)
        assert channel.recv(timeout=20) == "enough"
        assert 0 < channel.latency < 10
    assert len(set(pings)) == 3


@pytest.mark.parametrize("background", [False, True])
def test_keepalive_notices_a_peer_that_is_gone(background: bool) -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri, ping_interval=0.1, ping_timeout=0.3, background=background)
        with within(10.0, at_least=0.3), pytest.raises(ConnectionClosed, match="ping_timeout") as caught:
            channel.recv()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert channel.close_code == 1006


def test_a_pong_that_nobody_read_in_time_counts() -> None:
    with connected(client={"ping_interval": 0.1, "ping_timeout": 0.1}) as pair:
        answering = Task(list, pair.server)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                pair.client.recv(timeout=0.15)
            time.sleep(0.3)  # nobody is in the channel
        assert pair.client.ping() > 0
        pair.client.close()
        assert answering.result() == []


def test_keepalive_goes_on_while_messages_come() -> None:
    pings = []

    def script(bare: Bare) -> None:
        bare.accept()
        bare.sock.settimeout(0.002)
        while len(pings) < 2:
            bare.send(frame(TEXT, b"x"))
            try:
                one = bare.read_frame()
            except TimeoutError:
                continue
            pings.append(one.payload)
            bare.send(frame(PONG, one.payload))
        bare.send(close_frame(1000))
        bare.sock.settimeout(20)
        assert bare.read_frame().opcode == CLOSE

    with bare_server(script) as uri, connect(uri, ping_interval=0.1, ping_timeout=5) as channel:
        assert set(channel) == {"x"}
    assert len(pings) == 2


def test_a_background_thread_answers_pings_and_reads_ahead_up_to_its_limit() -> None:
    sent = []

    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(frame(PING, b"alone?"))
        assert bare.read_frame()[:2] == (PONG, b"alone?")
        bare.sock.settimeout(0.5)
        data = frame(TEXT, bytes(1000))
        try:
            for _ in range(100_000):
                bare.send(data)
                sent.append(1)
        except TimeoutError:
            pass
        bare.sock.settimeout(20)
        bare.sock.shutdown(socket.SHUT_WR)
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri, background=True, read_limit=10_000)
        until(lambda: channel._io.queue)
        time.sleep(1.0)
        assert len(channel._io.queue) < 2000
        got = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                channel.recv(timeout=20)
                got += 1
        assert channel.close_code == 1006
        assert got >= len(sent)
        channel.close()


def test_a_background_thread_lets_the_last_messages_be_answered() -> None:
    seen = []

    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(frame(TEXT, b"last") + close_frame(1000))
        while not seen or seen[-1].opcode != CLOSE:
            seen.append(bare.read_frame())

    with bare_server(script) as uri, connect(uri, background=True) as channel:
        time.sleep(0.1)
        for message in channel:
            channel.send(f"re: {message}")
    assert [one.payload for one in seen[:-1]] == [b"re: last"]


def reset(bare: Bare) -> None:
    bare.reset()


def stop(bare: Bare) -> None:
    bare.sock.close()


def garbage(bare: Bare) -> None:
    bare.send(bytes(range(7, 200)))
    bare.read_all()


def half(bare: Bare) -> None:
    bare.send(frame(TEXT, b"hello")[:4])
    bare.sock.close()


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("how", [reset, stop, garbage, half])
def test_a_peer_that_ends_badly(how: Callable[[Bare], None], background: bool) -> None:
    def script(bare: Bare) -> None:
        bare.accept(then=frame(TEXT, b"before"))
        assert bare.read_frame().payload == b"go"
        how(bare)

    with bare_server(script) as uri:
        channel = connect(uri, close_timeout=1.0, background=background)
        assert channel.recv(timeout=20) == "before"
        channel.send("go")
        with within(10.0), pytest.raises(ConnectionClosed) as caught:
            channel.recv()
        assert caught.value.__cause__ is not None
        assert channel.close_code == 1006
        with within(10.0):
            channel.close()
        assert channel.sink.done


def test_a_sender_learns_why_the_peer_is_gone() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        assert bare.read_frame().payload == b"go"
        bare.send(frame(TEXT, b"last words") + close_frame(1008, "not you"))

    with bare_server(script) as uri:
        channel = connect(uri)
        channel.send("go")
        with pytest.raises(ConnectionClosed, match="not you") as caught:
            send_on_and_on(channel)
        assert caught.value.code == channel.close_code == 1008
        assert channel.recv() == "last words"
        with pytest.raises(ConnectionClosed, match="not you"):
            channel.recv()
        channel.close()


def test_a_peer_that_does_not_hang_up_after_the_closing_handshake() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(close_frame(1000))
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri, close_timeout=0.5)
        assert list(channel) == []
        with within(10.0, at_least=0.2):
            channel.close()
        assert channel.close_code == 1000
