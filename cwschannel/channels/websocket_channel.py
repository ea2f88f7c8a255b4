"""The interface of WebSocket channels on every platform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..exceptions import ChannelStateError
from ..kernels import sign_key
from ..kernels.frame import BytesLike, Message
from ..status import BAD_GATEWAY, INTERNAL_SERVER_ERROR, NO_STATUS_RECEIVED, NORMAL_CLOSURE, may_be_sent
from ..streams.channel import StreamChannel
from ..streams.sink import StreamSink

__all__ = ["WebSocketChannel", "WebSocketSink"]

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    # Type checkers forbid calling a class with abstract methods, and WebSocketChannel(byte_channel) returns one without.
    def implemented(method: F) -> F: ...
else:
    implemented = abstractmethod


class WebSocketSink(StreamSink[str | BytesLike]):
    """A sink of messages: ``str`` is sent as text, anything with a contiguous buffer as binary.

    Beyond what ``StreamSink`` says, an error given to ``add_error`` cannot be sent: it closes the connection with 1011 and
    ends ``done``. Over TLS, ``flush`` waits until TLS has taken everything, which may still hold it for the socket.
    """

    __slots__ = ()

    @abstractmethod
    def close(self, code: int | None = None, reason: str = "") -> Awaitable[None]:
        """Start the closing handshake, after what was added. Takes effect at once, whether awaited or not.

        Calling it again changes nothing. The result is ``done``: the end of the connection, within ``close_timeout`` from
        now. What was added before and is still on its way counts against that time; ``await flush()`` first to give it more.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999. Without one the close frame is empty, and the peer sees 1005.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ValueError: code or reason may not be sent (RFC 6455 sections 5.5 and 7.4). Nothing was sent.
            ChannelStateError: ``add_stream`` is running.
        """


class WebSocketChannel(StreamChannel[Message], ABC):
    """A two-way channel of messages over a WebSocket.

    ``stream`` brings ``str`` for text and ``bytes`` for binary, and ends when the connection does: quietly if it was closed
    with 1000, 1001 or no code, or by us; else with ``ConnectionClosed``.

    It is the interface of all WebSocket channels: ``IOWebSocketChannel`` over asyncio's transports, and what
    ``WebSocketChannel(byte_channel)`` itself makes: a WebSocket over any channel of bytes, on which the opening handshake
    was done by whoever did it. See ``cwschannel.byte_channels`` for channels of bytes.

    Args:
        byte_channel: what comes may be any bytes-like, split anywhere; what is sent is ``bytes``.
        protocol: the subprotocol that was agreed on in the opening handshake, for ``protocol`` to return.
        ping_interval: seconds from a pong to the next keepalive ping; ``None`` for no keepalive.
        server_side: whether this is the server's end (the frames that come are masked, and ours are not).

    The other options are those of ``connect``. ``connect_timeout`` is none of them: the connection is open.

    Raises:
        ValueError: a mistake in the options.
        RuntimeError: there is no running event loop.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            byte_channel: StreamChannel[Any],
            protocol: str | None = None,
            ping_interval: float | None = None,
            server_side: bool = True,
            *,
            ping_timeout: float | None = 20,
            close_timeout: float = 10,
            max_message_size: int | None = 2**20,
            max_fragments: int | None = 4096,
            read_limit: int = 2**20,
            write_limit: int = 2**16,
            max_buffered: int = 2**26,
        ) -> None: ...
    else:

        def __new__(cls, *arguments: Any, **options: Any) -> Self:
            if cls is WebSocketChannel:
                from .byte_channel import ByteWebSocketChannel as cls  # noqa: N813
            return super().__new__(cls)

    @staticmethod
    def sign_key(key: str) -> str:
        """Return the ``Sec-WebSocket-Accept`` value for a ``Sec-WebSocket-Key`` (RFC 6455 section 4.2.2, step 5.4).

        Raises:
            ValueError: the key is not 16 bytes in base64.
        """
        return sign_key(key)

    @staticmethod
    def connect(uri: str, **options: Any) -> WebSocketChannel:
        """Connect by the platform's own means; takes what ``cwschannel.connect`` takes."""
        from .connect import connect

        return connect(uri, **options)

    @property
    @implemented
    def sink(self) -> WebSocketSink:
        raise NotImplementedError

    @property
    @implemented
    def ready(self) -> Awaitable[None]:
        """Ends when the connection is open; raises ``OpeningFailed`` if it could not be opened.

        One failure has one owner: whoever awaits this gets it. If nobody does, the stream raises it.
        """
        raise NotImplementedError

    @property
    @implemented
    def protocol(self) -> str | None:
        """The subprotocol that was agreed on, or ``None``; settled once ``ready``."""
        raise NotImplementedError

    @property
    @implemented
    def close_code(self) -> int | None:
        """The close code that the peer sent; 1005 if it sent none, 1006 if the connection was lost; ``None`` while open."""
        raise NotImplementedError

    @property
    @implemented
    def close_reason(self) -> str | None:
        """The reason that the peer sent, else an empty string; ``None`` while open."""
        raise NotImplementedError

    @implemented
    async def send(self, message: str | BytesLike) -> None:
        """Send a message, and wait while more than ``write_limit`` bytes are on their way out.

        Raises:
            ConnectionClosed: the connection is closed, or the peer is closing it.
            ChannelStateError: after our own ``close()``, or while ``add_stream`` runs.
            OpeningFailed: it could not be opened.
        """
        raise NotImplementedError

    @implemented
    async def recv(self) -> Message:
        """Return the next message. Cancelling loses nothing.

        Raises:
            ConnectionClosed: there will be no more.
            OpeningFailed: the connection could not be opened.
        """
        raise NotImplementedError

    @implemented
    def abort(self) -> None:
        """Drop the connection now, without a closing handshake. The peer sees 1006."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.ready
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # "1011 indicates that a server is terminating the connection because it encountered an unexpected condition" (7.4.1)
        try:
            done = self.sink.close(NORMAL_CLOSURE if kind is None else INTERNAL_SERVER_ERROR)
        except ChannelStateError:  # add_stream() is in the middle of it, and nothing may stay open behind us
            self.abort()
            done = self.sink.done
        await done

    def _close_like(self, other: StreamChannel[Any]) -> Awaitable[None]:
        """A gateway hands on why the other side was closed, and reports a connection that was lost as 1014."""
        code = other.close_code if isinstance(other, WebSocketChannel) else None
        if code is None or code == NO_STATUS_RECEIVED:
            return self.sink.close()
        if may_be_sent(code):
            assert isinstance(other, WebSocketChannel)
            return self.sink.close(code, other.close_reason or "")
        return self.sink.close(BAD_GATEWAY)
