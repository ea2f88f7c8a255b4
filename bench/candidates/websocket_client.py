"""websocket-client, which blocks."""

from __future__ import annotations

from ..adaptor import Blocking


class WebsocketClient(Blocking):
    """``ws.send_binary()`` or ``ws.send()``, and ``ws.recv()``."""

    requires = "websocket"
    packages = ("websocket-client",)

    def open(self, uri: str) -> None:
        import websocket

        options = {} if self.tls is None else {"sslopt": {"context": self.tls}}
        self._socket = websocket.create_connection(uri, **options)
        self.send = self._socket.send if self.work.text else self._socket.send_binary
        self.recv = self._socket.recv

    def close(self) -> None:
        self._socket.close()


CANDIDATES = {"websocket-client": WebsocketClient}
