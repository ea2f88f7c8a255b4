"""What waits on sockets, and what reads and writes them: plain ones, and ones with TLS on them.

The system's waits cannot be interrupted by another thread, except by something that happens to a socket. So whoever waits
here waits for a ``Wake``, too. The exception is a plain socket's read, which costs the least where messages come quickly: it
waits by itself for ``PATIENCE`` at most, and only then for both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl as tls
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["NOW", "PATIENCE", "READ_SIZE", "PlainLine", "TLSLine", "Wake", "check_connected", "make_line", "wait"]

_ON_WINDOWS: Final = sys.platform == "win32"

PATIENCE: Final = 0.0 if _ON_WINDOWS else 0.01
"""Seconds that a read of a plain socket waits by itself. A wait and a read of their own cost 1.5 us more a message; more
patience would let a thread that closes the channel wait longer for the reader. Windows leaves a socket whose read has timed
out in no state to be used."""

NOW: Final = getattr(socket, "MSG_DONTWAIT", 0)

READ_SIZE: Final = 2**16 + 2**10
"""What one read asks for: a message of 64 KiB with its header."""


# Sockets in use. A channel that is garbage is told so, and closes its socket; but the socket must not be garbage with it, as
# it might be told first, and would complain that nobody had closed it.
_in_use: set[socket.socket] = set()


class Wake:
    """Ends waits from another thread."""

    __slots__ = ("_ends", "_number", "_readable", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._ends: tuple[socket.socket, ...] = ()
        self._number = -1
        if sys.platform == "linux":
            self._number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
            self._number = self._ends[0].fileno()

    def fileno(self) -> int:
        return self._number

    def set(self) -> None:
        """End the wait that is going on, or else the next one."""
        self.is_set = True
        with contextlib.suppress(OSError):  # it is full, which will do
            if self._ends:
                self._ends[1].send(b"\0")
            else:
                os.write(self._number, b"\1\0\0\0\0\0\0\0")

    def clear(self) -> None:
        self.is_set = False
        with contextlib.suppress(BlockingIOError):
            if self._ends:
                self._ends[0].recv(4096)
            else:
                os.read(self._number, 8)

    def close(self) -> None:
        number, self._number = self._number, -1
        for end in self._ends:
            end.close()
        if number >= 0 and not self._ends:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def wait(sock: socket.socket, timeout: float | None, *, read: bool, write: bool, wake: Wake | None = None) -> bool:
    """Wait until the socket can be read or written, or is lost, or until the wake is set. Returns false at the timeout."""
    if timeout is not None and timeout < 0:
        timeout = 0.0
    if _ON_WINDOWS:
        reading: list[Any] = [sock] if read else []
        if wake is not None:
            reading.append(wake)
        writing = [sock] if write else []
        return any(select.select(reading, writing, writing, timeout))
    poll = select.poll()
    if read or write:
        poll.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
    if wake is not None:
        poll.register(wake, select.POLLIN)
    # Rounded up: a wait that ends a little too soon would be followed by many that end at once.
    return bool(poll.poll(None if timeout is None else int(timeout * 1000) + 1))


class PlainLine:
    """A connected socket.

    Attributes:
        sock: the socket.
        patient: whether ``read`` waits by itself.
        read: returns at most so many bytes, none at their end. Raises ``BlockingIOError`` if nothing came within
            ``PATIENCE``.
        read_into: the same, into memory; returns how many bytes came, 0 at their end.
        send: writes without waiting, given the flag ``NOW``; returns how many bytes were taken. May raise
            ``BlockingIOError`` if none were.
        write: the same, without flag and without that error.
    """

    secure = False
    patient = PATIENCE > 0

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(bool(PATIENCE))
        if PATIENCE:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(PATIENCE * 1e6)))
        with contextlib.suppress(OSError):  # it is no TCP socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read: Callable[[int], bytes] = sock.recv
        self.read_into: Callable[[memoryview], int] = sock.recv_into
        self.send: Callable[[bytes | memoryview, int], int] = sock.send

    def read_now(self, size: int) -> bytes:
        """As ``read``, without waiting."""
        return self.sock.recv(size, NOW)

    def read_into_now(self, memory: memoryview) -> int:
        """As ``read_into``, without waiting."""
        return self.sock.recv_into(memory, 0, NOW)

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self.send(data, NOW)
        except BlockingIOError:
            return 0

    def wait(self, timeout: float | None, *, read: bool, write: bool, wake: Wake | None = None) -> bool:
        """Wait until there is something to read or room to write, for ``timeout`` seconds at most."""
        return wait(self.sock, timeout, read=read, write=write, wake=wake)

    def addresses(self) -> tuple[Any, Any]:
        """Return our end of the socket, and the peer's."""
        try:
            return self.sock.getsockname(), self.sock.getpeername()
        except OSError:  # it is lost already
            return None, None

    def get_extra_info(self, name: str) -> Any:
        """Return what is known of the socket; ``None`` if nothing is."""
        return self.sock if name == "socket" else None

    def half_close(self) -> None:
        """Say that nothing more will be written."""
        self._shut_down(socket.SHUT_WR)

    def hang_up(self, *, reset: bool) -> None:
        """End the connection, and every wait for it. ``close`` is to follow."""
        if reset:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@hh" if _ON_WINDOWS else "@ii", 1, 0))
        self._shut_down(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back to the system. Nobody may be reading or writing it."""
        _in_use.discard(self.sock)
        self.sock.close()

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError):  # it is lost already
            socket.socket.shutdown(self.sock, how)  # not that of SSLSocket, which forgets its TLS first


class TLSLine(PlainLine):
    """A connected socket with TLS on it, whose handshake is done.

    OpenSSL's session is for one thread at a time, be it to read or to write, so there is a lock around each use of it. None
    of them waits.
    """

    secure = True
    patient = False

    def __init__(self, sock: tls.SSLSocket) -> None:
        self._session = threading.Lock()
        self._write_waits_to_read = False
        self.sock: tls.SSLSocket = sock
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read = self.read_now
        self.read_into = self.read_into_now
        self.send = self._send

    def read_now(self, size: int) -> bytes:
        with self._session:
            try:
                return self.sock.recv(size)
            except (tls.SSLWantReadError, tls.SSLWantWriteError):
                raise BlockingIOError from None

    def read_into_now(self, memory: memoryview) -> int:
        with self._session:
            try:
                return self.sock.recv_into(memory)
            except (tls.SSLWantReadError, tls.SSLWantWriteError):
                raise BlockingIOError from None

    def write(self, data: bytes | memoryview) -> int:
        with self._session:
            self._write_waits_to_read = False
            try:
                return self.sock.send(data)
            except tls.SSLWantWriteError:  # it has a record of the data ready, and wants the same data again
                return 0
            except tls.SSLWantReadError:
                self._write_waits_to_read = True
                return 0

    def _send(self, data: bytes | memoryview, flags: int) -> int:
        return self.write(data)

    def wait(self, timeout: float | None, *, read: bool, write: bool, wake: Wake | None = None) -> bool:
        # What OpenSSL has decrypted already makes no socket readable.
        if read:
            with self._session:
                if self.sock.pending():
                    return True
        if write and self._write_waits_to_read:
            read, write = True, False
        return wait(self.sock, timeout, read=read, write=write, wake=wake)

    def get_extra_info(self, name: str) -> Any:
        if name == "ssl_object":
            return self.sock
        with self._session, contextlib.suppress(ValueError):
            if name == "peercert":
                return self.sock.getpeercert()
            if name == "cipher":
                return self.sock.cipher()
        return super().get_extra_info(name)

    def half_close(self) -> None:
        self._notify()
        super().half_close()

    def hang_up(self, *, reset: bool) -> None:
        if not reset:
            self._notify()
        super().hang_up(reset=reset)

    def _notify(self) -> None:
        """Send close_notify, and do not wait for the peer's."""
        with self._session, contextlib.suppress(OSError, ValueError):
            self.sock.unwrap()


def check_connected(sock: socket.socket) -> None:
    """Refuse what ``make_line`` could not work with.

    Raises:
        TypeError: it is no stream socket.
        ValueError: it is closed, was never connected, or its handshake of TLS is still to be done.
    """
    if not isinstance(sock, socket.socket) or sock.type != socket.SOCK_STREAM:
        raise TypeError(f"a WebSocket goes over a connected stream socket, not over {sock!r}")
    if sock.fileno() < 0:
        raise ValueError("the socket is closed")
    if isinstance(sock, tls.SSLSocket) and sock.version() is None:
        raise ValueError("the handshake of TLS is not done on this socket: call its do_handshake() first")
    try:
        sock.getpeername()
    except OSError:  # it was never connected, or it was, and is lost: then the channel will tell
        sock.setblocking(False)
        try:
            socket.socket.recv(sock, 1, socket.MSG_PEEK)
        except OSError as error:
            if error.errno in (errno.ENOTCONN, errno.EINVAL):
                raise ValueError("the socket is not connected") from None


def make_line(sock: socket.socket) -> PlainLine:
    """Take over a socket."""
    _in_use.add(sock)
    return TLSLine(sock) if isinstance(sock, tls.SSLSocket) else PlainLine(sock)
