"""The server's side of a connection until it is open, or refused, over a blocking socket in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl as tls
from time import monotonic
from typing import Any, Final

from ..exceptions import InvalidHandshake
from ..http import Request, Response
from ..protocol.opening import ServerOpening
from .options import ServeOptions, encode_refusal, hook_failed, refused, shutting_down, too_late
from .socket_channel import SocketWebSocketChannel
from .socket_protocol import open_line
from .socket_waiting import Wake, wait

__all__ = ["Accepted", "open_channel"]

# How long a client that was refused may take to read the answer and close: closing at once could destroy the answer.
_LINGER: Final = 2.0


class _GoneError(Exception):
    """The client is gone, or not worth waiting for."""


class Accepted:
    """A connection that was accepted by the system.

    Args:
        sock: its socket.
        address: the client's, which a socket does not know any more when the client is gone.
        stop: is set when the server shuts down.
        full: whether the server has all the connections that it takes.
    """

    def __init__(self, sock: socket.socket, address: Any, options: ServeOptions, stop: Wake, *, full: bool) -> None:
        self.sock = sock
        self._address = address
        self._options = options
        self._stop = stop
        self._full = full
        self._opening = ServerOpening()
        timeout = options.connect_timeout
        self._deadline = None if timeout is None else monotonic() + timeout

    def start_tls(self, context: tls.SSLContext) -> None:
        """Do the handshake of TLS."""
        self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock.setblocking(False)
        while True:
            try:
                self.sock.do_handshake()
                return
            except tls.SSLWantReadError:
                waiting = self._wait(read=True)
            except tls.SSLWantWriteError:
                waiting = self._wait(read=False)
            if not waiting or self._stop.is_set:
                raise _GoneError

    def decide(self) -> tuple[bytes, Response, str | None] | None:
        """Read the request. Returns what opens the connection; nothing if it was refused, with an answer that says why."""
        self.sock.setblocking(False)
        try:
            refusal = self._judge()
            if refusal is None:
                return self._options.accept(self._opening, secure=isinstance(self.sock, tls.SSLSocket))
        except InvalidHandshake as error:
            refusal = refused(error)
        self._refuse(refusal)
        return None

    def _judge(self) -> Response | None:
        """Read the request. Returns the answer to it, unless it is to be looked at as a WebSocket's."""
        request = self._read_request()
        if isinstance(request, Response):
            return request
        if self._full:
            return Response.text(503, "the server has all the connections it takes; try again later")
        hook = self._options.process_request
        if hook is None:
            return None
        try:
            answer = hook(request)
        except Exception:
            return hook_failed()
        # It may have taken its time.
        return shutting_down() if answer is None and self._stop.is_set else answer

    def open(
        self, data: bytes, response: Response, protocol: str | None, *, read_limit: int, send_timeout: float | None
    ) -> tuple[SocketWebSocketChannel, bytes]:
        """Answer with an upgrade. Returns the channel, and what came together with the request: frames."""
        self._write(data)
        assert self._opening.request is not None
        limits = self._options.connection
        io = open_line(self.sock, limits, client_side=False, read_limit=read_limit, send_timeout=send_timeout)
        channel = SocketWebSocketChannel.on(io, self._opening.request, response, protocol)
        channel.remote_address = self._address
        return channel, self._opening.trailing

    def _read_request(self) -> Request | Response:
        """Return the request, or the answer to none."""
        while not self._stop.is_set:
            if not self._has_pending() and not self._wait(read=True):
                return too_late()
            with contextlib.suppress(BlockingIOError, tls.SSLWantReadError):
                data = self.sock.recv(65536)
                if not data:
                    raise _GoneError
                request = self._opening.received(data)
                if request is not None:
                    return request
        return shutting_down()

    def _refuse(self, response: Response) -> None:
        try:
            data = encode_refusal(self._opening, response)
        except Exception:  # it is no Response, or one that cannot be sent
            data = encode_refusal(self._opening, hook_failed())
        now = monotonic()
        self._deadline = now + _LINGER if self._deadline is None else max(min(self._deadline, now + _LINGER), now + 0.2)
        self._write(data)
        socket.socket.shutdown(self.sock, socket.SHUT_WR)
        # Read on, so that no reset destroys our answer before the client has read it.
        while wait(self.sock, self._deadline - monotonic(), read=True, write=False) and monotonic() < self._deadline:
            if not socket.socket.recv(self.sock, 65536):
                break

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except (BlockingIOError, tls.SSLWantWriteError):
                if not self._wait(read=False):
                    raise _GoneError from None

    def _has_pending(self) -> bool:
        return isinstance(self.sock, tls.SSLSocket) and self.sock.pending() > 0

    def _wait(self, *, read: bool) -> bool:
        """Wait for the client. Returns false at the deadline."""
        remaining = None if self._deadline is None else self._deadline - monotonic()
        return wait(self.sock, remaining, read=read, write=not read, wake=self._stop if read else None)


def open_channel(
    accepted: Accepted, context: tls.SSLContext | None, *, read_limit: int, send_timeout: float | None
) -> tuple[SocketWebSocketChannel, bytes] | None:
    """Open a channel over a connection, or refuse it. Returns what ``open`` does; nothing if it did not come to that."""
    try:
        if context is not None:
            accepted.start_tls(context)
        decision = accepted.decide()
        if decision is not None:
            return accepted.open(*decision, read_limit=read_limit, send_timeout=send_timeout)
    except (_GoneError, OSError):
        pass
    except BaseException:
        accepted.sock.close()
        raise
    accepted.sock.close()
    return None
