"""Runs a test on each kind of event loop, within a deadline, and looks at what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from cwschannel import IOWebSocketChannel, Server

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
with contextlib.suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop

gc.freeze()  # what was imported until here need not be looked at after each test


def each_loop(test: Callable[..., Coroutine[Any, Any, None]] | None = None, *, seconds: float = 20.0) -> Callable[..., Any]:
    """Make an ``async def`` test run on each kind of loop, its other parameters being fixtures as usual.

    It fails if it takes longer than that, logs a warning, or leaves tasks or sockets. A test with a parameter ``logs`` may
    log: it is given the list of the records.
    """
    if test is None:
        return functools.partial(each_loop, seconds=seconds)

    signature = inspect.signature(test)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "logs"]
    kind = inspect.Parameter("loop_kind", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    @functools.wraps(test)
    def run(loop_kind: str, **arguments: Any) -> None:
        sockets = open_sockets()
        with recorded_logs() as records, asyncio.Runner(loop_factory=LOOPS[loop_kind]) as runner:
            if "logs" in signature.parameters:
                arguments["logs"] = records
            runner.run(_bounded(test(**arguments), seconds))
        gc.collect()
        if "logs" not in signature.parameters:
            assert not records, [record.getMessage() for record in records]
        assert open_sockets() <= sockets, "the test left sockets open"

    run.__signature__ = signature.replace(parameters=[kind, *parameters])  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop_kind", LOOPS)(run)


async def _bounded(body: Coroutine[Any, Any, None], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await body
    await until(lambda: len(asyncio.all_tasks()) == 1, "the test left tasks")


async def until(condition: Callable[[], object], message: str = "it did not come to that", seconds: float = 5.0) -> None:
    """Wait until the condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.002)


def open_sockets() -> int:
    """The number of sockets of this process, where the system tells it; else 0."""
    count = 0
    try:
        names = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return 0
    for name in names:
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


class _Recorder(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.WARNING)
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def recorded_logs() -> Any:
    """The warnings and errors that the package and asyncio log."""
    records: list[logging.LogRecord] = []
    handler = _Recorder(records)
    loggers = [logging.getLogger(name) for name in ("asyncio", "cwschannel")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield records
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


@contextlib.contextmanager
def within(seconds: float, *, at_least: float = 0.0) -> Any:
    """Fail unless what is done in it takes as long as that."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert at_least <= took <= seconds, f"it took {took:.3f} s"


async def echo(channel: IOWebSocketChannel) -> None:
    """A handler that sends back what it receives."""
    async for message in channel.stream:
        await channel.send(message)


@contextlib.asynccontextmanager
async def serving(handler: Any = echo, **options: Any) -> AsyncIterator[tuple[Server, str]]:
    """A server of ours, and its URI."""
    if "sock" not in options:
        options |= {"host": "127.0.0.1", "port": 0}
    async with cwschannel.serve(handler, **{"close_timeout": 5.0, **options}) as server:
        yield server, f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{server.port}/"


class Pair:
    """Both ends of one connection: ``client`` and ``server`` are channels, ``listening`` is the server that listens."""

    client: IOWebSocketChannel
    server: IOWebSocketChannel
    listening: Server


@contextlib.asynccontextmanager
async def connected(
    *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any
) -> AsyncIterator[Pair]:
    """A client of ours connected to a server of ours. What is still open afterwards is dropped."""
    pair = Pair()
    opened: asyncio.Future[IOWebSocketChannel] = asyncio.get_running_loop().create_future()

    # A plain function: the channel stays open until the test closes it.
    async with serving(opened.set_result, **{**both, **(server or {})}) as (pair.listening, uri):
        pair.client = cwschannel.connect(uri, **{"close_timeout": 5.0, **both, **(client or {})})
        try:
            await pair.client.ready
            pair.server = await opened
            yield pair
        finally:
            pair.client.abort()
            if opened.done() and not opened.cancelled():
                opened.result().abort()
