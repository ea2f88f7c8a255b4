"""The limit: as many bytes, written at once and thrown away unread. A bare BufferedProtocol, and a bare blocking socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from ..adaptor import Asynchronous, Blocking
from ..wire import MASKED_CLOSE, ClientWire, ServerWire, frames, header, request


class Raw(Asynchronous):
    """Both ends are those of wire.py, which the constant peers are too."""

    fans = True

    async def open(self, uri: str) -> None:
        self._wire = ClientWire(self.work)
        await self._wire.connect(int(uri.split(":")[2].split("/", maxsplit=1)[0]), self.tls)

    async def run(self, trips: int) -> None:
        await self._wire.run(trips)

    async def close(self) -> None:
        await self._wire.close()

    async def serve(self) -> int:
        self._everyone: set[asyncio.Transport] = set()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
        return self._server.sockets[0].getsockname()[1]  # type: ignore[no-any-return]

    def _accept(self) -> ServerWire:
        return FanWire(self) if self.work.fan else ServerWire()

    def broadcast(self, message: Any) -> None:
        """Write a frame that was built once."""
        frame = frames(len(message), 1, self.work.text, False)
        for transport in self._everyone:
            transport.write(frame)


class FanWire(ServerWire):
    def __init__(self, raw: Raw) -> None:
        super().__init__()
        self._raw = raw

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._raw._everyone.add(transport)

    def complete(self) -> None:
        self._raw.broadcast(bytes(self._raw.work.size))

    def connection_lost(self, error: Exception | None) -> None:
        self._raw._everyone.discard(self.transport)


class RawBlocking(Blocking):
    """``sendall`` and ``recv_into``."""

    def open(self, uri: str) -> None:
        address, _, path = uri.split("://")[1].partition("/")
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            self._socket = self.tls.wrap_socket(self._socket, server_hostname=host)
        self._socket.sendall(request(f"/{path}"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(4096)

    def run(self, trips: int) -> None:
        work = self.work
        burst = frames(work.size, work.take, work.text, True)
        answer = work.give * (len(header(work.size, work.text, False)) + work.size)
        view = memoryview(bytearray(262144))
        send, recv = self._socket.sendall, self._socket.recv_into
        for _ in range(trips):
            send(burst)
            missing = answer
            while missing:
                nbytes = recv(view)
                assert nbytes
                missing -= nbytes

    def close(self) -> None:
        self._socket.sendall(MASKED_CLOSE)
        while self._socket.recv(4096):
            pass
        self._socket.close()


CANDIDATES = {"raw": Raw, "raw blocking": RawBlocking}
