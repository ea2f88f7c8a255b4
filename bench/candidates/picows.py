"""picows: its callbacks, and ``picows.websockets``, its twin of the API of websockets."""

from __future__ import annotations

import functools
from typing import Any

from ..adaptor import LARGEST, Adaptor, ByCallback
from .websockets import Websockets


class FromPicows(Adaptor):
    requires = "picows"
    packages = ("picows", "aiofastnet")
    fans = True


class Picows(FromPicows, ByCallback):
    """``on_ws_frame`` and ``transport.send``, as its README has them.

    Its client looks at no frame's type, which is the quickest that can be written. Its server does, because it must answer
    a close, and echoes binary messages through ``get_payload_as_memoryview``, without a copy.
    """

    async def open(self, uri: str) -> None:
        import picows

        received, text = self.received, self.work.text

        class Listener(picows.WSListener):
            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                received(frame.get_payload_as_utf8_text() if text else frame.get_payload_as_bytes())

        def closing() -> None:
            nonlocal text
            text = False  # a close frame comes to on_ws_frame, too, and what is in it is not text

        self._closing = closing
        self._transport, _ = await picows.ws_connect(Listener, uri, ssl_context=self.tls, max_frame_size=LARGEST)
        self.add = self._adder(self._transport)

    def _adder(self, transport: Any) -> Any:
        import picows

        if not self.work.text:
            return functools.partial(transport.send, picows.WSMsgType.BINARY)
        send, kind = transport.send, picows.WSMsgType.TEXT
        return lambda message: send(kind, message.encode())

    async def close(self) -> None:
        import picows

        self._closing()
        self._transport.send_close(picows.WSCloseCode.OK)
        await self._transport.wait_disconnected()  # the server answers and hangs up

    async def serve(self) -> int:
        import picows

        self._everyone: set[Any] = set()
        everyone, accept = self._everyone, self._accept
        close, binary = picows.WSMsgType.CLOSE, picows.WSMsgType.BINARY

        class Listener(picows.WSListener):
            def on_ws_connected(self, transport: picows.WSTransport) -> None:
                everyone.add(transport)
                self.received = accept(transport)

            def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
                everyone.discard(transport)

            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                kind = frame.msg_type
                if kind == close:
                    transport.send_close(frame.get_close_code(), frame.get_close_message())
                    transport.disconnect()
                else:
                    self.received(frame.get_payload_as_bytes() if kind == binary else frame.get_payload_as_utf8_text())

        class Echo(Listener):
            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                kind = frame.msg_type
                if kind == binary:
                    transport.send(kind, frame.get_payload_as_memoryview())
                else:
                    super().on_ws_frame(transport, frame)

        def choose(_: Any) -> Any:
            work = self.work
            return Echo() if work.take == work.give and not work.fan else Listener()

        options = {"max_frame_size": LARGEST, "backlog": 1024, "ssl": self.tls}
        self._server = await picows.ws_create_server(choose, "127.0.0.1", 0, **options)
        return self._server.sockets[0].getsockname()[1]

    def _accept(self, transport: Any) -> Any:
        return self.accept(self._adder(transport))

    def broadcast(self, message: Any) -> None:
        import picows

        for transport in self._everyone:
            transport.send(picows.WSMsgType.BINARY, message)


class PicowsWebsockets(FromPicows, Websockets):
    """``picows.websockets``."""

    requires = "picows.websockets"
    packages = ("picows", "aiofastnet")


CANDIDATES = {"picows": Picows, "picows.websockets": PicowsWebsockets}
