"""What is measured: one small client for each candidate. All are given the same work, and run in processes of their own.

``python bench/candidates.py NAME LOOP PORT`` reads a line of JSON for each exchange (the arguments of ``Work``), runs it,
and answers with a line of JSON: the seconds of wall time, and of CPU time of this process, user and system.
"""

from __future__ import annotations

import asyncio
import base64
import faulthandler
import functools
import gc
import json
import os
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LONGEST = 60  # seconds that one exchange may take


@dataclass(frozen=True)
class Work:
    """``trips`` times: send ``take`` messages of ``size`` bytes, then receive ``give`` of that size."""

    size: int
    take: int
    give: int
    trips: int


class Candidate(ABC):
    """A client with one open connection."""

    @abstractmethod
    async def open(self, uri: str) -> None: ...

    @abstractmethod
    async def run(self, work: Work) -> None: ...


class ByCallback(Candidate):
    """Clients that are called for each message. ``add`` sends one."""

    add: Callable[[bytes], object]

    async def run(self, work: Work) -> None:
        self.message = os.urandom(work.size)
        self.burst = range(work.take)
        self.give = work.give
        self.trips = work.trips
        self.done = asyncio.get_running_loop().create_future()
        self.send()
        await self.done

    def send(self) -> None:
        self.missing = self.give
        add, message = self.add, self.message
        for _ in self.burst:
            add(message)

    def received(self, message: object) -> None:
        self.missing -= 1
        if not self.missing:
            self.trips -= 1
            if self.trips:
                self.send()
            else:
                self.done.set_result(None)


class ByAwait(Candidate):
    """Clients that are asked for each message. ``channel`` has ``send`` and ``recv``."""

    channel: Any

    async def run(self, work: Work) -> None:
        message = os.urandom(work.size)
        send, recv = self.channel.send, self.channel.recv
        for _ in range(work.trips):
            for _ in range(work.take):
                await send(message)
            for _ in range(work.give):
                await recv()


class Listen(ByCallback):
    """Ours: ``stream.listen`` and ``sink.add``."""

    async def open(self, uri: str) -> None:
        import cwschannel

        channel = await cwschannel.connect(uri, ping_interval=None)
        channel.stream.listen(self.received)
        self.add = channel.sink.add


class Recv(ByAwait):
    """Ours: ``await channel.send()`` and ``await channel.recv()``."""

    async def open(self, uri: str) -> None:
        import cwschannel

        self.channel = await cwschannel.connect(uri, ping_interval=None)


class Picows(ByCallback):
    """picows: ``on_ws_frame`` and ``transport.send``."""

    async def open(self, uri: str) -> None:
        import picows

        received = self.received

        class Listener(picows.WSListener):
            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                received(frame.get_payload_as_bytes())

        transport, _ = await picows.ws_connect(Listener, uri)
        self.add = functools.partial(transport.send, picows.WSMsgType.BINARY)


class Websockets(ByAwait):
    """websockets: ``await connection.send()`` and ``await connection.recv()``."""

    async def open(self, uri: str) -> None:
        from websockets.asyncio.client import connect

        self.channel = await connect(uri, compression=None, ping_interval=None, proxy=None)


class Raw(Candidate, asyncio.BufferedProtocol):
    """The limit: as many bytes, written at once and thrown away unread."""

    async def open(self, uri: str) -> None:
        self.view = memoryview(bytearray(262144))
        self.missing = -1
        self.done = asyncio.get_running_loop().create_future()
        host, _, path = uri.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        await asyncio.get_running_loop().create_connection(lambda: self, name, int(port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        self.transport.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        await self.done

    async def run(self, work: Work) -> None:
        form = 126 if work.size < 65536 else 127
        length = struct.pack("!H" if form == 126 else "!Q", work.size)
        header, length = (form, length) if work.size >= 126 else (work.size, b"")
        self.frames = (bytes((0x82, 0x80 | header)) + length + bytes(4) + bytes(work.size)) * work.take
        self.give = work.give * (2 + len(length) + work.size)
        self.trips = work.trips
        self.done = asyncio.get_running_loop().create_future()
        self.send()
        await self.done

    def send(self) -> None:
        self.missing = self.give
        self.transport.write(self.frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        if self.missing < 0:
            self.done.set_result(None)  # the answer to the opening handshake, which is short
            return
        self.missing -= nbytes
        if not self.missing:
            self.trips -= 1
            if self.trips:
                self.send()
            else:
                self.done.set_result(None)


@dataclass(frozen=True)
class Spec:
    """A candidate.

    Attributes:
        compiled: if it is ours, whether it runs on the compiled kernels.
        without: an extension module that it has to do without.
    """

    kind: type[Candidate]
    compiled: bool | None = None
    without: str = ""


CANDIDATES = {
    "raw": Spec(Raw),
    "cwschannel listen": Spec(Listen, compiled=True),
    "cwschannel recv": Spec(Recv, compiled=True),
    "cwschannel listen, pure": Spec(Listen, compiled=False),
    "picows": Spec(Picows),
    "websockets": Spec(Websockets),
    "websockets, pure": Spec(Websockets, without="websockets.speedups"),
}


async def timed(client: Candidate, work: Work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await client.run(work)
    return time.perf_counter() - wall, time.process_time() - cpu


def main(name: str, loop: str, port: str) -> None:
    spec = CANDIDATES[name]
    if spec.compiled is not None:
        from cwschannel import kernels

        if kernels.COMPILED is not spec.compiled:
            raise SystemExit(f"{name}: {kernels.__file__} does not load the kernels that are to be measured")
    if spec.without:
        sys.modules[spec.without] = None  # type: ignore[assignment]
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    clients: dict[tuple[int, int], Candidate] = {}
    with asyncio.Runner(loop_factory=factory) as runner:
        for line in sys.stdin:
            work = Work(**json.loads(line))
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            client = clients.get((work.take, work.give))
            if client is None:
                client = clients[work.take, work.give] = spec.kind()
                runner.run(client.open(f"ws://127.0.0.1:{port}/{work.take}/{work.give}"))
            gc.collect()
            wall, cpu = runner.run(timed(client, work))
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)
        os._exit(0)  # leave the connections to the system


if __name__ == "__main__":
    main(*sys.argv[1:])
