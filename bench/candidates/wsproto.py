"""wsproto, which does no I/O, on an ``asyncio.Protocol``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from ..adaptor import ByCallback


class Wsproto(ByCallback):
    """Events in, bytes out. Messages that come in pieces are put together, as the application has to."""

    requires = "wsproto"
    packages = ("wsproto", "h11")
    fans = True

    async def open(self, uri: str) -> None:
        from wsproto import ConnectionType
        from wsproto.events import Request

        host, _, path = uri.split("://")[1].partition("/")
        name, port = host.split(":")
        self._link = Link(ConnectionType.CLIENT, lambda _: self.received)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._link, name, int(port), ssl=self.tls)
        self._link.send(Request(host=host, target=f"/{path}"))
        await self._link.opened
        self.add = self._link.add

    async def close(self) -> None:
        from wsproto.events import CloseConnection

        self._link.send(CloseConnection(code=1000))
        await self._link.closed

    async def serve(self) -> int:
        from wsproto import ConnectionType

        self._everyone: set[Link] = set()

        def accepted(link: Link) -> Callable[[Any], object]:
            self._everyone.add(link)
            link.closed.add_done_callback(lambda _: self._everyone.discard(link))
            return self.accept(link.add)

        def make() -> Link:
            return Link(ConnectionType.SERVER, accepted)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(make, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
        return self._server.sockets[0].getsockname()[1]  # type: ignore[no-any-return]

    def broadcast(self, message: Any) -> None:
        """One frame, made once: servers' frames are the same for all."""
        from wsproto.frame_protocol import FrameProtocol

        frame = FrameProtocol(client=False, extensions=[]).send_data(message)
        for link in self._everyone:
            link.transport.write(frame)


class Link(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, kind: Any, accepted: Callable[[Link], Callable[[Any], object]]) -> None:
        from wsproto import WSConnection

        self._wsproto = WSConnection(kind)
        self._accepted = accepted
        self._pieces: list[Any] = []
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, event: Any) -> None:
        self.transport.write(self._wsproto.send(event))

    def add(self, message: str | bytes) -> None:
        from wsproto.events import BytesMessage, TextMessage

        self.send(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    def data_received(self, data: bytes) -> None:
        from wsproto.events import AcceptConnection, CloseConnection, Message, Request

        self._wsproto.receive_data(data)
        for event in self._wsproto.events():
            if isinstance(event, Message):
                self._message(event)
            elif isinstance(event, Request):
                self._received = self._accepted(self)
                self.send(AcceptConnection())
            elif isinstance(event, AcceptConnection):
                self._received = self._accepted(self)
                self.opened.set_result(None)
            elif isinstance(event, CloseConnection):
                with contextlib.suppress(Exception):  # after our own close, there is nothing to answer
                    self.send(event.response())
                self.transport.close()

    def _message(self, event: Any) -> None:
        if event.message_finished and not self._pieces:
            self._received(event.data if isinstance(event.data, str) else bytes(event.data))
            return
        self._pieces.append(event.data)
        if event.message_finished:
            pieces, self._pieces = self._pieces, []
            self._received("".join(pieces) if isinstance(event.data, str) else b"".join(pieces))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)


CANDIDATES = {"wsproto": Wsproto}
