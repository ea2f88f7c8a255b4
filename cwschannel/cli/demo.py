"""`cwschannel demo`: an echo server in a second process, and what a client measures against it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import signal
import statistics
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import cwschannel

from .. import status
from ..exceptions import WebSocketChannelException
from .terminal import CommandError, Progress, closing, explain, say, table, version_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from .. import IOWebSocketChannel

SIZES = ((16, "16 B"), (1024, "1 KiB"), (65536, "64 KiB"), (1048576, "1 MiB"))
PHASE = 0.2  # seconds one measurement takes
FEWEST = 5  # round trips of a measurement, however slow
WINDOW = 100  # messages under way when pipelined,
WINDOW_BYTES = 2 * 1048576  # and bytes
PATIENCE = 15.0  # seconds any single wait may take
LIFETIME = 120.0  # seconds after which a forgotten server process ends
CODE, REASON = status.NORMAL_CLOSURE, "demo done"


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare the verb."""
    parser = commands.add_parser(
        "demo",
        help="measure echoes between two processes",
        description="Exchange messages with an echo server in a second process, and show how fast that was.",
    )
    parser.set_defaults(run=run, where=lambda _: "the demo's server")


def run(_: argparse.Namespace) -> int:
    """Run the demo; 0 if every echo was right and both ends report the same close code."""
    say(f"{version_line()}, on {sys.platform}")
    context = multiprocessing.get_context("spawn")  # sys.path carries over
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    try:
        _start(server)
        theirs.close()
        port = _report(ours)
        say(f"echo server in process {server.pid} at ws://127.0.0.1:{port}\n")
        result = asyncio.run(_measure(f"ws://127.0.0.1:{port}"))
        code, reason = _report(ours)
    finally:
        if server.pid is not None:
            server.join(1.0)
            server.kill()
            server.join(PATIENCE)
        ours.close()
    say(f"{table([_HEADINGS, *(row.cells() for row in result.rows)])}\n")
    say(
        "One message at a time (median and p99 of the round trip), then pipelined: up to "
        f"{WINDOW} messages\nor {WINDOW_BYTES // 1048576} MiB under way. MB/s count one direction.\n"
    )
    say(f"echoes equal to what was sent: {result.right} of {result.echoes}")
    say(f"server saw: {closing(code, reason)}")
    say(f"client saw: {closing(result.close_code, result.close_reason)}")
    if result.right != result.echoes:
        raise CommandError("some echoes were not what was sent")
    if not code == result.close_code == CODE:
        raise CommandError("the two ends do not agree how the connection closed")
    return 0


def _start(server: BaseProcess) -> None:
    """Start the process deaf to Ctrl-C, which the terminal sends to both: it ends when this one does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _report(pipe: Connection) -> Any:
    """The server process's next report; raises if it says that it failed, or says nothing."""
    try:
        if not pipe.poll(PATIENCE):
            raise CommandError(f"the server process said nothing for {PATIENCE:g} seconds")
        failure, report = pipe.recv()
    except EOFError:
        raise CommandError("the server process ended unexpectedly") from None
    if failure:
        raise CommandError(failure)
    return report


# In the server process. Reports are pairs: (None, what) or (sentence of a failure, None).


def _serve(pipe: Connection) -> None:
    try:
        asyncio.run(_serve_one(pipe))
    except (OSError, TimeoutError, WebSocketChannelException) as error:
        with contextlib.suppress(OSError):  # nobody listens any more
            pipe.send((explain(error, "the server process"), None))
    finally:
        pipe.close()


async def _serve_one(pipe: Connection) -> None:
    """Echo to one client, then report how its connection closed."""
    closed: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

    async def echo(channel: IOWebSocketChannel) -> None:
        async for message in channel.stream:
            channel.sink.add(message)  # no need to wait: the client bounds what is under way
        await channel.sink.close()
        if not closed.done():
            closed.set_result((channel.close_code, channel.close_reason))

    async with asyncio.timeout(LIFETIME):
        async with cwschannel.serve(echo, "127.0.0.1", 0, max_message_size=SIZES[-1][0]) as server:
            pipe.send((None, server.port))
            pipe.send((None, await closed))


# The client.


@dataclass
class _Row:
    """What was measured with one kind of message."""

    label: str
    size: int
    times: list[float]
    pipelined: int
    pipelined_time: float

    def cells(self) -> list[str]:
        alone = len(self.times) / sum(self.times)
        burst = self.pipelined / self.pipelined_time
        p99 = statistics.quantiles(self.times, n=100, method="inclusive")[98]
        times = [_duration(statistics.median(self.times)), _duration(p99)]
        rates = [(f"{rate:,.0f}", f"{rate * self.size / 1e6:,.1f}") for rate in (alone, burst)]
        return [self.label, *times, *rates[0], *rates[1]]


_HEADINGS = ["message", "median", "p99", "messages/s", "MB/s", "pipelined/s", "MB/s"]


@dataclass
class _Result:
    rows: list[_Row]
    echoes: int
    right: int
    close_code: int | None
    close_reason: str | None


async def _measure(url: str) -> _Result:
    """Measure every kind of message over one connection, and close it."""
    cases = [(f"{kind} {name}", size, kind) for size, name in SIZES for kind in ("text", "binary")]
    progress = Progress(2 * len(cases))
    rows: list[_Row] = []
    async with cwschannel.connect(url, max_message_size=SIZES[-1][0], connect_timeout=PATIENCE) as channel:
        client = _Client(channel)
        try:
            for label, size, kind in cases:
                messages = _messages(kind, size)
                progress.step(f"{label}, one at a time")
                times = await client.alone(messages)
                progress.step(f"{label}, pipelined")
                rows.append(_Row(label, size, times, *await client.pipelined(messages, size)))
        except TimeoutError:
            raise CommandError(f"{label}: the server did not answer within {PATIENCE:g} seconds") from None
        finally:
            progress.clear()
        async with asyncio.timeout(PATIENCE):
            await channel.sink.close(CODE, REASON)
    return _Result(rows, client.echoes, client.right, channel.close_code, channel.close_reason)


class _Client:
    """Sends, receives, and counts the echoes that are what was sent."""

    def __init__(self, channel: IOWebSocketChannel) -> None:
        self._channel = channel
        self.echoes = 0
        self.right = 0

    async def alone(self, messages: Sequence[str | bytes]) -> list[float]:
        """Round trips one after the other; the seconds each took."""
        add, receive = self._channel.sink.add, self._channel.recv
        times: list[float] = []
        end = perf_counter() + PHASE
        async with asyncio.timeout(PATIENCE):  # one for all: a timeout for each message would be measured too
            for message in itertools.cycle(messages):
                began = perf_counter()
                add(message)
                answer = await receive()
                now = perf_counter()
                times.append(now - began)
                self._count(message, answer)
                if now > end and len(times) >= FEWEST:
                    break
        return times

    async def pipelined(self, messages: Sequence[str | bytes], size: int) -> tuple[int, float]:
        """As many as the window allows under way at a time; how many came back, and in how many seconds."""
        add, receive = self._channel.sink.add, self._channel.recv
        window = max(2, min(WINDOW, WINDOW_BYTES // size))
        expected = itertools.cycle(messages)
        outgoing = itertools.cycle(messages)
        sent = received = 0
        began = perf_counter()
        async with asyncio.timeout(PATIENCE):
            while sent < FEWEST or perf_counter() < began + PHASE or received < sent:
                while sent - received < window and (sent < FEWEST or perf_counter() < began + PHASE):
                    add(next(outgoing))
                    sent += 1
                if received < sent:
                    self._count(next(expected), await receive())
                    received += 1
        return received, perf_counter() - began

    def _count(self, message: str | bytes, answer: str | bytes) -> None:
        self.echoes += 1
        self.right += type(answer) is type(message) and answer == message


def _messages(kind: str, size: int) -> list[str | bytes]:
    """Some different messages of `size` bytes, so that an echo out of order is noticed."""
    return [_text(at, size) if kind == "text" else os.urandom(size) for at in range(4)]


def _text(number: int, size: int) -> str:
    """`size` bytes of UTF-8 with characters of every length."""
    start = f"{number} aé€🚀 "
    whole, rest = divmod(size, len(start.encode()))
    return start * whole + "." * rest


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
