"""The other end of every exchange, the same for all candidates, which does as little as it can: see wire.py.

``python bench/peer.py LOOP CERTIFICATES`` listens as a server, plain and with TLS, and is told on standard input what to do
as a client. Pure Python is enough for it: its time is not the candidate's, and it allocates nothing per message.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))  # behind the installed package, which is what is measured

from bench import lines, tls
from bench.wire import ClientWire, ServerWire, Work

ATONCE = 50  # connections that open at the same time, when many do


def clock_of(pid: int) -> int:
    """The id of the clock that counts a process's CPU time, user and system: see clock_getcpuclockid(3)."""
    return (~pid << 3) | 2


class Timed:
    """Wall time, and another process's CPU time, of a ``with`` block."""

    def __init__(self, pid: int) -> None:
        self._clock = clock_of(pid)

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.clock_gettime(self._clock)

    def __exit__(self, *_: object) -> None:
        cpu = time.clock_gettime(self._clock) - self._cpu
        self.answer = {"wall": time.perf_counter() - self._wall, "cpu": cpu}


class Crowd:
    """Many connections to one server, of which the first sends and all receive."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.members: list[Member] = []

    async def grow(self, count: int, port: int) -> None:
        while len(self.members) < count:
            new = [Member(self) for _ in range(min(ATONCE, count - len(self.members)))]
            await asyncio.gather(*(member.connect(port) for member in new))
            self.members += new

    async def run(self, trips: int) -> None:
        self.trips = trips
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send()
        await self.done

    def send(self) -> None:
        self.missing = len(self.members)
        self.members[0].transport.write(self.members[0].burst)

    def received(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.trips -= 1
            if self.trips:
                self.send()
            else:
                self.done.set_result(None)

    async def close(self) -> None:
        for member in self.members:
            member.transport.abort()
        await asyncio.gather(*(member.lost for member in self.members))


class Member(ClientWire):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd.work)
        self.crowd = crowd

    def complete(self) -> None:
        self.crowd.received()


class Peer:
    """What it can be asked for. ``id`` names one of its connections, or crowds of them."""

    def __init__(self, certificates: str) -> None:
        self._certificates = certificates
        self._client_tls = tls.client_context(certificates) if certificates else None
        self._connections: dict[str, ClientWire | Crowd] = {}

    async def listen(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(ServerWire, "127.0.0.1", 0, backlog=1024)
        ports = {"port": self._server.sockets[0].getsockname()[1]}
        if self._certificates:
            context = tls.server_context(self._certificates)
            self._secure = await loop.create_server(ServerWire, "127.0.0.1", 0, ssl=context)
            ports["secure"] = self._secure.sockets[0].getsockname()[1]
        return ports

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        return await getattr(self, "do_" + request.pop("op"))(**request) or {}

    async def do_connect(self, id: str, port: int, secure: bool, work: dict[str, Any]) -> None:  # noqa: A002
        self._connections[id] = wire = ClientWire(Work(**work))
        await wire.connect(port, self._client_tls if secure else None)

    async def do_crowd(self, id: str, port: int, count: int, work: dict[str, Any]) -> None:  # noqa: A002
        crowd = self._connections.setdefault(id, Crowd(Work(**work)))
        assert isinstance(crowd, Crowd)
        await crowd.grow(count, port)

    async def do_run(self, id: str, pid: int, count: int) -> dict[str, Any]:  # noqa: A002
        timed = Timed(pid)
        with timed:
            await self._connections[id].run(count)
        return timed.answer

    async def do_open(self, port: int, pid: int, count: int, work: dict[str, Any]) -> dict[str, Any]:
        """Open and close connections, one after the other."""
        timed = Timed(pid)
        with timed:
            for _ in range(count):
                wire = ClientWire(Work(**work))
                await wire.connect(port)
                await wire.close()
        return timed.answer

    async def do_close(self, id: str) -> None:  # noqa: A002
        connection = self._connections.pop(id, None)
        if connection is not None:
            await asyncio.wait_for(connection.close(), 10)


async def main(certificates: str, write: Any) -> None:
    peer = Peer(certificates)
    write(await peer.listen())
    await lines.answer_lines(write, peer.handle)


if __name__ == "__main__":
    writer = lines.prepare()
    lines.run(sys.argv[1], lambda: main(sys.argv[2], writer))
