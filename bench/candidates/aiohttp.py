"""aiohttp: client and server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ..adaptor import LARGEST, ByAwait


class Aiohttp(ByAwait):
    """``await ws.send_bytes()`` and ``await ws.receive()``; servers receive with ``async for``."""

    requires = "aiohttp"
    packages = ("aiohttp",)
    fans = True
    _session: Any = None

    async def open(self, uri: str) -> None:
        import aiohttp

        if self._session is None:  # one for all connections, as its documentation asks for
            self._session = aiohttp.ClientSession()
        options = {"max_msg_size": LARGEST} if self.tls is None else {"max_msg_size": LARGEST, "ssl": self.tls}
        self._socket = await self._session.ws_connect(uri, **options)
        self.send = self._socket.send_str if self.work.text else self._socket.send_bytes
        self.recv = self._socket.receive

    def judge(self) -> None:
        self.last = self.last.data
        super().judge()

    async def close(self) -> None:
        await self._socket.close()

    async def serve(self) -> int:
        from aiohttp import web

        self._everyone: set[Any] = set()

        async def handle(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST)
            await socket.prepare(request)
            send = socket.send_str if self.work.text else socket.send_bytes
            self._everyone.add(socket)
            try:
                if self.work.take == self.work.give and not self.work.fan:
                    async for message in socket:
                        await send(message.data)
                        message = None  # noqa: PLW2901  # or a large message that is kept would be kept by us
                else:
                    await self.answer(payloads(socket), send)
            finally:
                self._everyone.discard(socket)
            return socket

        application = web.Application()
        application.router.add_get("/{path:.*}", handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls, backlog=1024).start()
        return self._runner.addresses[0][1]  # type: ignore[no-any-return]

    async def broadcast(self, message: Any) -> None:
        for socket in self._everyone:
            await socket.send_bytes(message)


async def payloads(socket: Any) -> AsyncIterator[Any]:
    async for message in socket:
        yield message.data


CANDIDATES = {"aiohttp": Aiohttp}
