"""websockets: its asyncio API, with and without its C extension, and its blocking one."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ..adaptor import LARGEST, Blocking, ByAwait

OPTIONS: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": LARGEST}


class Websockets(ByAwait):
    """``await connection.send()`` and ``await connection.recv()``; servers receive with ``async for``."""

    requires = "websockets"
    packages = ("websockets",)
    fans = True

    @classmethod
    def check(cls) -> str:
        if cls.pure:
            sys.modules["websockets.speedups"] = None  # type: ignore[assignment]
        return super().check()

    async def open(self, uri: str) -> None:
        connect = import_module(self.requires).connect
        self._connection = await connect(uri, ssl=self.tls, proxy=None, **OPTIONS)
        self.send, self.recv = self._connection.send, self._connection.recv

    async def close(self) -> None:
        await self._connection.close()

    async def serve(self) -> int:
        serve = import_module(self.requires).serve

        async def handle(connection: Any) -> None:
            await self.answer(connection, connection.send)

        self._server = await serve(handle, "127.0.0.1", 0, ssl=self.tls, backlog=1024, **OPTIONS)
        return next(iter(self._server.sockets)).getsockname()[1]  # type: ignore[no-any-return]

    def broadcast(self, message: Any) -> None:
        import_module(self.requires).broadcast(self._server.connections, message)


class Pure(Websockets):
    pure = True
    fans = False


class Sync(Blocking):
    """``websockets.sync``, which has a thread for each connection."""

    requires = "websockets.sync.client"
    packages = ("websockets",)

    def open(self, uri: str) -> None:
        from websockets.sync.client import connect

        self._connection = connect(uri, ssl=self.tls, proxy=None, **OPTIONS)
        self.send, self.recv = self._connection.send, self._connection.recv

    def close(self) -> None:
        self._connection.close()


CANDIDATES = {"websockets": Websockets, "websockets, pure": Pure, "websockets.sync": Sync}
