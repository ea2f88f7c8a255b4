"""The blocking channel between threads, across a fork, and at the end of the interpreter."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

import cwschannel
from cwschannel import ConnectionClosed
from cwschannel.sync import connect

from .blocking import Bare, Task, _nothing_is_left, bare_server, connected, logs, send_on_and_on, serving, until
from .running import within
from .wire import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame

if TYPE_CHECKING:
    import ssl

__all__ = ["_nothing_is_left", "logs"]

SENDERS = 8
EACH = 60


def number_of(message: bytes) -> tuple[int, int]:
    """Sender and number of a message, whose body must be what that sender sends."""
    sender, number = message[0], int.from_bytes(message[1:3], "big")
    assert message[3:] == bytes([sender]) * (len(message) - 3)
    return sender, number


def send_all(channel: cwschannel.SocketWebSocketChannel, sender: int) -> None:
    lengths = random.Random(sender)
    for number in range(EACH):
        size = lengths.choice([0, 10, 1000, 70_000, 300_000])
        channel.send(bytes([sender]) + number.to_bytes(2, "big") + bytes([sender]) * size)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_many_senders_and_one_reader(
    secure: bool, background: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with (
        serving(**({"ssl": server_tls} if secure else {})) as (_, uri),
        connect(uri, ssl=client_tls if secure else None, background=background) as channel,
    ):
        senders = [Task(send_all, channel, sender) for sender in range(SENDERS)]
        pings = Task(lambda: [channel.ping() for _ in range(20)])
        seen: dict[int, list[int]] = defaultdict(list)
        for _ in range(SENDERS * EACH):
            message = channel.recv(timeout=20)
            assert isinstance(message, bytes)
            sender, number = number_of(message)
            seen[sender].append(number)
        for task in senders:
            task.result()
        pings.result()
    assert seen == {sender: list(range(EACH)) for sender in range(SENDERS)}


def test_frames_of_many_threads_stay_whole_on_the_wire() -> None:
    frames = []

    def script(bare: Bare) -> None:
        bare.accept()
        while not frames or frames[-1].opcode != CLOSE:
            bare.send(frame(PING, b"p"))
            frames.append(bare.read_frame())
        assert bare.read_all() == b""

    def send(channel: cwschannel.SocketWebSocketChannel, sender: int) -> None:
        with contextlib.suppress(ConnectionClosed, cwschannel.ChannelStateError):
            while True:
                send_all(channel, sender)

    with bare_server(script) as uri:
        channel = connect(uri, close_timeout=0.5)
        senders = [Task(send, channel, sender) for sender in range(4)]
        reader = Task(list, channel)
        until(lambda: len(frames) > 200)
        closers = [Task(channel.sink.close, 1000 + number, "") for number in range(3)]
        for task in [*closers, *senders, reader]:
            task.result()
    assert {one.opcode for one in frames} == {BINARY, PONG, CLOSE}
    assert all(one.fin and one.masked for one in frames)
    for one in frames:
        if one.opcode == BINARY:
            number_of(one.payload)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_close_wakes_the_reader_at_once(pause: float, background: bool) -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        assert bare.read_frame().opcode == CLOSE  # and no answer
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri, close_timeout=3.0, background=background)
        readers = Task(lambda: (list(channel), time.monotonic()))
        time.sleep(pause)
        start = time.monotonic()
        with within(10.0, at_least=2.5):
            closers = [Task(channel.sink.close, 1001, "bye") for _ in range(3)]
            messages, woken = readers.result()
            assert messages == []
            assert woken - start < 2.0
            for closer in closers:
                closer.result()
        assert channel.close_code == 1006


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_abort_wakes_everybody(
    secure: bool, background: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with connected(
        server={"ssl": server_tls} if secure else {},
        client={"ssl": client_tls if secure else None, "background": background},
    ) as pair:
        reader = Task(list, pair.client)
        pinging = Task(pair.client.ping)
        until(lambda: pair.client._io._pings)
        sender = Task(send_on_and_on, pair.client)
        time.sleep(0.1)
        with within(10.0):
            pair.client.abort()
            assert reader.result() == []
            with pytest.raises(ConnectionClosed):
                pinging.result()
            with pytest.raises(ConnectionClosed):
                sender.result()
        with pytest.raises(ConnectionClosed):
            list(pair.server)


def test_a_blocked_sender_does_not_hold_up_the_reader() -> None:
    go = threading.Event()

    def script(bare: Bare) -> None:
        bare.accept()
        for number in range(5):
            bare.send(frame(TEXT, str(number).encode()))
        assert go.wait(20)
        size = 0
        while (one := bare.read_frame()).opcode == BINARY:
            size += len(one.payload)
        assert size == 50 * 2**20
        assert one.opcode == CLOSE
        bare.send(close_frame(1000))

    with bare_server(script, buffers=4096) as uri, connect(uri) as channel:
        sender = Task(lambda: [channel.send(bytes(2**20)) for _ in range(50)])
        assert [channel.recv(timeout=20) for _ in range(5)] == ["0", "1", "2", "3", "4"]
        assert sender.is_running()
        go.set()
        sender.result()


def test_a_blocked_sender_reads_if_nobody_else_does() -> None:
    """An echo that answers before it reads on, and a client that sends everything before it reads."""
    with (
        serving() as (_, uri),
        connect(uri, read_limit=2**26) as channel,
    ):
        message = bytes(2**20)
        for _ in range(30):
            channel.send(message)
        for _ in range(30):
            assert channel.recv(timeout=20) == message


def test_two_peers_that_only_send_end_by_their_deadline() -> None:
    with connected(send_timeout=1.0) as pair:

        def send(channel: cwschannel.SocketWebSocketChannel) -> None:
            with pytest.raises(ConnectionClosed):
                send_on_and_on(channel)

        with within(15.0):
            both = [Task(send, pair.client), Task(send, pair.server)]
            for one in both:
                one.result()
        assert pair.client.sink.done or pair.server.sink.done


FORKING = """
import os, sys, threading
from cwschannel.sync import connect, serve

def echo(channel):
    for message in channel:
        channel.send(message)

with serve(echo, "127.0.0.1", 0) as server:
    channel = connect(f"ws://127.0.0.1:{server.port}/", background=sys.argv[1] == "background")
    other = connect(f"ws://127.0.0.1:{server.port}/")
    channel.send("before")
    assert channel.recv(timeout=10) == "before"
    child = os.fork()
    if not child:
        if sys.argv[2] == "drop":
            del channel, other
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for one in (channel, other):
        one.send("after")
        assert one.recv(timeout=10) == "after"
    channel.close()
    other.close()
    print("done", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("background", ["background", "none"])
@pytest.mark.parametrize("how", ["drop", "exit"])
def test_a_fork_does_no_harm(background: str, how: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, background, how]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.stderr) == ("done\n", "")


ENDING = """
import sys, threading, time
from cwschannel.sync import connect, serve

def echo(channel):
    for message in channel:
        channel.send(message)

server = serve(echo, "127.0.0.1", 0)
server.start()
channels = [connect(f"ws://127.0.0.1:{server.port}/", background=number % 2 == 0) for number in range(4)]
for channel in channels:
    channel.send("x")
    assert channel.recv(timeout=10) == "x"
if sys.argv[1] == "reading":
    threading.Thread(target=channels[1].recv, daemon=True).start()
    threading.Thread(target=channels[2].recv, daemon=True).start()
    time.sleep(0.1)
print("end", flush=True)
"""


@pytest.mark.parametrize("what", ["reading", "idle"])
def test_an_interpreter_ends_with_open_channels(what: str) -> None:
    with within(40.0):
        command = [sys.executable, "-c", ENDING, what]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("end\n", "", 0)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no such signal")
def test_a_signal_in_the_middle_of_a_send_leaves_whole_frames() -> None:
    """What was begun is finished by whoever sends next."""
    go = threading.Event()
    frames = []

    def script(bare: Bare) -> None:
        bare.accept()
        assert go.wait(20)
        while not frames or frames[-1].opcode != CLOSE:
            frames.append(bare.read_frame())
        bare.send(close_frame(1000))

    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    before = signal.signal(signal.SIGUSR1, stop)
    with bare_server(script, buffers=4096) as uri, connect(uri) as channel:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            with pytest.raises(StoppedError):
                send_on_and_on(channel)
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, before)
        go.set()
        channel.send(b"next")
    assert [one.payload for one in frames[:-2]] == [bytes(2**20)] * len(frames[:-2])
    assert frames[-2].payload == b"next"


def test_a_background_thread_with_a_full_queue_ends_with_its_channel() -> None:
    def script(bare: Bare) -> None:
        bare.accept()
        bare.send(frame(TEXT, bytes(1000)) * 100)
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(uri, background=True, read_limit=1000)
        queue, thread = channel._io.queue, channel._io._thread
        until(lambda: len(queue) > 1)
        assert thread is not None
        del channel
        until(lambda: not thread.is_alive())


def test_who_comes_to_send_while_the_socket_is_being_closed_is_told_when_that_is_done() -> None:
    """Whoever closes it has taken all tokens, and gives them back."""
    with connected(client={"send_timeout": None}) as pair:
        io = pair.client._io
        close, closing = io._line.close, threading.Event()

        def close_slowly() -> None:
            del io._line.close  # only this once
            closing.set()
            until(lambda: io._followers)
            close()

        io._line.close = close_slowly  # type: ignore[method-assign]
        aborting = Task(pair.client.abort)
        assert closing.wait(10)
        sending = Task(pair.client.sink.add, "late")
        sending.result()
        aborting.result()
