"""`cwschannel connect URL`: type a line, see the answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any

import cwschannel

from .. import status
from ..exceptions import ConnectionClosed
from .terminal import closing, field_value, header, say, seconds, show, stop_signals, token

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from .. import IOWebSocketChannel

QUIET = 1.0  # seconds without an answer after which input from a pipe counts as answered
LONGEST_WAIT = 15.0  # seconds after the end of that input; a server that never stops talking is left then
CHUNK = 65536

_ORDERLY = (status.NORMAL_CLOSURE, status.GOING_AWAY, status.NO_STATUS_RECEIVED)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare the verb and its options."""
    parser = commands.add_parser(
        "connect", help="talk to a server", description="Send each line typed, show each message received."
    )
    parser.add_argument("url", metavar="URL", help="ws://... or wss://...")
    parser.add_argument(
        "--header",
        action="append",
        type=header,
        default=[],
        metavar="'NAME: VALUE'",
        help="header to send with the opening (repeatable)",
    )
    parser.add_argument("--protocol", action="append", type=token, default=[], help="to offer (repeatable)")
    parser.add_argument("--origin", type=field_value, help="value of the Origin header")
    parser.add_argument("--binary", action="store_true", help="send the lines as binary messages")
    parser.add_argument("--insecure", action="store_true", help="do not verify the server's certificate")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long opening may take (default: %(default)g)",
    )
    parser.set_defaults(run=run, where=lambda _: "the connection")


def run(args: argparse.Namespace) -> int:
    """Talk until either side closes; 0 if the close code says that all was well."""
    return asyncio.run(_talk(args))


async def _talk(args: argparse.Namespace) -> int:
    interactive = sys.stdin is not None and sys.stdin.isatty()
    failure: BaseException | None = None
    async with cwschannel.connect(
        args.url,
        protocols=args.protocol,
        headers=args.header,
        origin=args.origin,
        ssl=_unverified() if args.insecure and args.url.lower().startswith("wss:") else None,
        connect_timeout=args.timeout,
    ) as channel:
        with stop_signals() as stop:
            protocol = f", protocol {channel.protocol}" if channel.protocol else ""
            hint = "; each line is a message, Ctrl-D closes" if interactive else ""
            say(f"connected{protocol}{hint}")
            try:
                await _converse(channel, binary=args.binary, interactive=interactive, stop=stop)
            except ConnectionClosed as error:
                failure = error.__cause__  # the rest of it is in the close code and reason
            await channel.sink.close(status.NORMAL_CLOSURE)
    say(f"closed: {closing(channel.close_code, channel.close_reason)}")
    if failure is not None:
        raise failure
    return 0 if channel.close_code in _ORDERLY else 1


async def _converse(
    channel: IOWebSocketChannel,
    *,
    binary: bool,
    interactive: bool,
    stop: asyncio.Event,
) -> None:
    """Send and show until the peer closes, the input ends (and is answered), or a signal comes."""
    listener = _Listener(channel)
    receiving = asyncio.create_task(listener.show_messages())
    sending = asyncio.create_task(_send_lines(channel, binary))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({receiving, sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and not interactive:
            await listener.quiet({receiving, stopping})
    finally:
        for task in (receiving, sending, stopping):
            task.cancel()
        outcomes = await asyncio.gather(receiving, sending, stopping, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


class _Listener:
    """Prints what arrives and knows when that was."""

    def __init__(self, channel: IOWebSocketChannel) -> None:
        self._channel = channel
        self._clock = asyncio.get_running_loop().time
        self._heard = 0.0

    async def show_messages(self) -> None:
        async for message in self._channel.stream:
            self._heard = self._clock()
            say(f"< {show(message)}")

    async def quiet(self, enders: set[asyncio.Task[Any]]) -> None:
        """Wait until nothing has come for QUIET, at most LONGEST_WAIT, or until one of `enders` is done."""
        began = self._clock()
        while not any(task.done() for task in enders):
            until = min(max(began, self._heard) + QUIET, began + LONGEST_WAIT)
            if until <= self._clock():
                return
            await asyncio.wait(enders, timeout=until - self._clock(), return_when=asyncio.FIRST_COMPLETED)


async def _send_lines(channel: IOWebSocketChannel, binary: bool) -> None:
    # a closed connection ends the listener's stream too, and with it the conversation
    with contextlib.suppress(ConnectionClosed):
        async for line in _lines():
            if binary:
                await channel.send(line.removesuffix(b"\r") if os.name == "nt" else line)
            else:
                await channel.send(line.removesuffix(b"\r").decode("utf-8", "replace"))


async def _lines() -> AsyncIterator[bytes]:
    """The lines of standard input without their ends; the next chunk is read when the last is used up."""
    parts: list[bytes] = []
    while chunk := await _read_stdin():
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for part in others:
            yield b"".join(parts)
            parts = [part]
    if last := b"".join(parts):
        yield last


async def _read_stdin() -> bytes:
    """What standard input has next, empty at its end; blocks neither the loop nor the end of the process.

    Waits for readiness instead of making the descriptor non-blocking: a terminal's is often stdout's too.
    """
    if sys.stdin is None:
        return b""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bytes | None] = loop.create_future()
    # the raw file: a thread that waits in the buffered one holds a lock the interpreter wants at exit
    raw = sys.stdin.buffer.raw if isinstance(sys.stdin.buffer, io.BufferedReader) else sys.stdin.buffer

    def settle(data: bytes | None) -> None:
        if not ready.done():
            ready.set_result(data)

    def read_in_thread() -> None:
        try:
            data = raw.read(CHUNK)
        except OSError:
            data = b""
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, data or b"")

    try:
        loop.add_reader(raw, settle, None)
    except (OSError, NotImplementedError):  # a plain file, or a loop that watches only sockets
        threading.Thread(target=read_in_thread, daemon=True).start()
        return await ready or b""
    try:
        await ready
    finally:
        loop.remove_reader(raw)
    return os.read(raw.fileno(), CHUNK)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
