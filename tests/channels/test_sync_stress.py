"""Two hundred threads, with random closes from both ends, for as many seconds as CWSCHANNEL_STRESS says, or three."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cwschannel import ConnectionClosed
from cwschannel.channels.socket_protocol import SocketProtocol
from cwschannel.sync import connect

from .blocking import Task, _nothing_is_left, logs, serving, until
from .running import open_sockets

if TYPE_CHECKING:
    import ssl

    from cwschannel import SocketWebSocketChannel

__all__ = ["_nothing_is_left", "logs"]

SECONDS = float(os.environ.get("CWSCHANNEL_STRESS", "3"))
CLIENTS = 200


def handler(channel: SocketWebSocketChannel) -> None:
    """Echo, and close after some messages, or drop the connection, or leave it to the client."""
    chance = random.Random(channel.remote_address[1])
    left = chance.randrange(1, 60)
    for message in channel.stream:
        channel.sink.add(message)
        left -= 1
        if not left:
            match chance.randrange(4):
                case 0:
                    channel.sink.close(1001, "enough")
                case 1:
                    channel.abort()
                case 2:
                    return
                case _:
                    left = 1000


def client(uri: str, context: ssl.SSLContext | None, number: int, end: float) -> tuple[int, int]:
    """Open, exchange and close until the end. Returns how many messages came back, and how many connections there were."""
    chance = random.Random(number)
    messages = connections = 0
    while time.monotonic() < end:
        channel = connect(
            uri, ssl=context, ping_interval=0.05, ping_timeout=20, connect_timeout=60, background=chance.random() < 0.2
        )
        connections += 1
        try:
            for _ in range(chance.randrange(80)):
                message = chance.randbytes(chance.choice([0, 5, 500, 80_000]))
                channel.send(message)
                if chance.random() < 0.1:
                    channel.ping(timeout=60)
                answer = channel.recv(timeout=60)
                assert answer == message, "a message was lost, or changed"
                messages += 1
        except ConnectionClosed:
            assert channel.close_code in (1000, 1001, 1006)
        match chance.randrange(4):
            case 0:
                channel.abort()
            case 1:
                closers = [Task(channel.close) for _ in range(2)]
                for closer in closers:
                    closer.result(60)
            case 2:
                del channel
            case _:
                channel.close()
    return messages, connections


def memory() -> int:
    """Bytes of memory that this process has, where the system tells it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, AttributeError):
        return 0


@pytest.mark.timeout(300 + 4 * SECONDS)
@pytest.mark.parametrize("secure", [False, True])
def test_two_hundred_threads(secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    context = client_tls if secure else None

    def run(seconds: float) -> list[tuple[int, int]]:
        end = time.monotonic() + seconds
        tasks = [Task(client, uri, context, number, end) for number in range(CLIENTS)]
        return [task.result(seconds + 240) for task in tasks]

    with serving(handler, **({"ssl": server_tls} if secure else {}), backlog=CLIENTS, connect_timeout=60) as (server, uri):
        run(0.5)  # what is made once is made now
        gc.collect()
        until(lambda: not server.channels)
        threads = {one for one in threading.enumerate() if one.name != "cwschannel handler"}
        sockets, before = open_sockets(), memory()
        results = run(SECONDS)
        until(lambda: not server.channels, "channels are left")
        gc.collect()
        until(lambda: not {one for one in threading.enumerate() if one.name != "cwschannel handler"} - threads)
        until(lambda: open_sockets() <= sockets, "sockets are left")
        assert not [one for one in gc.get_objects() if isinstance(one, SocketProtocol)], "channels live on"
        grown = memory() - before
        assert grown < 256 * 2**20  # of which the most is what malloc keeps for each of 400 threads
    messages, connections = (sum(column) for column in zip(*results, strict=True))
    print(f"{messages} messages over {connections} connections, {grown / 2**20:.0f} MiB more")
    assert messages > CLIENTS
    assert connections >= CLIENTS
