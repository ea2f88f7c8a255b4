"""The other end of every exchange, the same for all candidates, which does as little as it can: see wire.py.

``python bench/peer.py LOOP CERTIFICATES`` listens as a server, plain and with TLS, and is told on standard input what to do
as a client. Pure Python is enough for it: its time is not the candidate's, and it allocates nothing per message.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))  # behind the installed package, which is what is measured

from bench import lines, tls
from bench.clock import Timed
from bench.wire import ClientWire, ServerWire, Work

ATONCE = 50  # connections that open at the same time, when many do


class Crowd:
    """Many connections to one server, of which the first sends and all receive."""

    def __init__(self, work: Work, port: int) -> None:
        self.work = work
        self.port = port
        self.members: list[Member] = []

    async def grow(self, count: int) -> None:
        while len(self.members) < count:
            new = [Member(self) for _ in range(min(ATONCE, count - len(self.members)))]
            await asyncio.gather(*(member.connect(self.port) for member in new))
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
        await self.do_close(id)
        self._connections[id] = wire = ClientWire(Work(**work))
        await wire.connect(port, self._client_tls if secure else None)

    async def do_crowd(self, id: str, port: int, count: int, work: dict[str, Any]) -> None:  # noqa: A002
        """Connect so many, or as many more as are missing."""
        crowd = self._connections.get(id)
        if not isinstance(crowd, Crowd) or crowd.port != port:
            await self.do_close(id)
            self._connections[id] = crowd = Crowd(Work(**work), port)
        await crowd.grow(count)

    async def do_run(self, id: str, pid: int, count: int) -> dict[str, Any]:  # noqa: A002
        with Timed(pid) as timed:
            await self._connections[id].run(count)
        return timed.answer

    async def do_open(self, port: int, pid: int, count: int, work: dict[str, Any]) -> dict[str, Any]:
        """Open and close connections, one after the other."""
        with Timed(pid) as timed:
            for _ in range(count):
                wire = ClientWire(Work(**work))
                await wire.connect(port)
                await wire.close()
        return timed.answer

    async def do_close(self, id: str) -> None:  # noqa: A002
        connection = self._connections.pop(id, None)
        if connection is not None:
            async with asyncio.timeout(10):
                await connection.close()


async def main(certificates: str, write: Any) -> None:
    peer = Peer(certificates)
    write(await peer.listen())
    await lines.answer_lines(write, peer.handle)


if __name__ == "__main__":
    writer = lines.prepare()
    lines.run(sys.argv[1], lambda: main(sys.argv[2], writer))
