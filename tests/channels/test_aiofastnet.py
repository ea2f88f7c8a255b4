"""Over the transports of aiofastnet, which an application may have its loop use in place of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel import ConnectionClosed

from .running import LOOPS, Pair, connected, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

aiofastnet = pytest.importorskip("aiofastnet")

MESSAGES = ["", "text", b"bytes", "Привет, 😀" * 1000, os.urandom(32_768), os.urandom(65_536), b"x" * 1_000_003]


@pytest.fixture(params=[(loop, secure) for loop in LOOPS for secure in (False, True)], ids=lambda param: f"{param}")
def run(request: pytest.FixtureRequest, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> Any:
    """Runs a function with both ends of a connection."""
    loop, secure = request.param
    options: dict[str, Any] = {"server": {"ssl": server_tls}, "client": {"ssl": client_tls}} if secure else {}

    async def main(test: Callable[[Pair], Awaitable[None]]) -> None:
        async with asyncio.timeout(20), connected(**options, max_message_size=None) as pair:
            for end in (pair.client, pair.server):
                assert type(end._io._transport).__module__.startswith("aiofastnet")
                assert end._io.outbox._descriptor == -1  # it is quicker to ask it than to pass it by
            await test(pair)

    def start(test: Callable[[Pair], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=aiofastnet.loop_factory(LOOPS[loop])) as runner:
            runner.run(main(test))

    return start


def test_messages_go_both_ways_and_closing_is_seen(run: Any) -> None:
    async def test(pair: Pair) -> None:
        for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
            for message in MESSAGES:
                one.sink.add(message)
            for message in MESSAGES:
                assert await other.recv() == message
        assert await pair.client.ping() > 0
        await pair.client.sink.close(4000, "enough")
        await pair.server.sink.done
        assert (pair.server.close_code, pair.server.close_reason, pair.client.close_code) == (4000, "enough", 4000)

    run(test)


def test_listeners_are_called_in_order(run: Any) -> None:
    async def test(pair: Pair) -> None:
        got: list[object] = []
        pair.server.stream.listen(got.append, on_done=lambda: got.append("done"))
        for number in range(2000):
            pair.client.sink.add(f"{number}")
        await pair.client.sink.close()
        await until(lambda: got[-1:] == ["done"])
        assert got[:-1] == [f"{number}" for number in range(2000)]

    run(test)


def test_a_reader_who_pauses_holds_back_the_sender_and_loses_nothing(run: Any) -> None:
    async def test(pair: Pair) -> None:
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 3000:
                await pair.server.send(sent.to_bytes(4, "big") * 16_384)
                sent += 1

        sending = asyncio.create_task(send())
        before = -1
        while before < sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 3000, "the sender was not held back"
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        closing = pair.server.sink.close()
        numbers = [int.from_bytes(message[:4], "big") async for message in pair.client.stream]
        await closing
        assert numbers in (list(range(sent)), list(range(sent + 1)))

    run(test)


def test_a_connection_that_is_dropped_is_noticed(run: Any) -> None:
    async def test(pair: Pair) -> None:
        pair.client.abort()
        with pytest.raises(ConnectionClosed):
            await pair.server.recv()
        assert pair.server.close_code == 1006

    run(test)
