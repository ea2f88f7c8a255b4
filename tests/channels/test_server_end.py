"""How handlers end, and how the server does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel
from cwschannel import ConnectionClosed, HandshakeRejected

from .running import each_loop, echo, open_sockets, serving, until, within
from .wire import REQUEST, TEXT, frame, raw_client

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Handlers.


@each_loop
async def test_a_handler_that_returns_closes_with_1000() -> None:
    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channel.sink.add("all")

    async with serving(handler) as (_, uri):
        channel = cwschannel.connect(uri)
        assert [message async for message in channel.stream] == ["all"]
        assert (channel.close_code, channel.close_reason) == (1000, "")
        await channel.sink.done


@each_loop
async def test_a_handler_that_raises_closes_with_1011_and_is_logged_without_details_on_the_wire(logs) -> None:
    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        await channel.recv()
        raise LookupError("secret")

    async with serving(handler) as (_, uri):
        channel = cwschannel.connect(uri)
        channel.sink.add("x")
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert (caught.value.code, caught.value.reason) == (1011, "")
        await channel.sink.done
        assert [(record.name, record.exc_info[0]) for record in logs] == [("cwschannel", LookupError)]


@each_loop
async def test_a_plain_function_that_raises_closes_with_1011(logs) -> None:
    def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        raise LookupError

    async with serving(handler) as (_, uri):
        channel = await cwschannel.connect(uri)
        await channel.sink.done
        assert channel.close_code == 1011
        assert [record.exc_info[0] for record in logs] == [LookupError]


@each_loop
async def test_a_plain_function_needs_no_task_and_leaves_its_channel_open() -> None:
    tasks: list[object] = []

    def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        tasks.append(asyncio.current_task())
        channel.stream.listen(channel.sink.add)

    async with serving(handler) as (server, uri), cwschannel.connect(uri) as channel:
        channel.sink.add("hello")
        assert await channel.recv() == "hello"
        assert tasks == [None]
        assert len(server.channels) == 1


@each_loop
async def test_a_plain_function_may_return_something_to_await() -> None:
    async def handle(channel: cwschannel.IOWebSocketChannel) -> None:
        assert asyncio.current_task() is not None
        channel.sink.add("all")

    def handler(channel: cwschannel.IOWebSocketChannel) -> Coroutine[Any, Any, None]:
        return handle(channel)

    async with serving(handler) as (_, uri):
        channel = cwschannel.connect(uri)
        assert [message async for message in channel.stream] == ["all"]
        assert channel.close_code == 1000
        await channel.sink.done


@each_loop
async def test_a_client_that_vanishes_is_no_failure_of_the_handler() -> None:
    async with serving() as (server, uri):
        channel = await cwschannel.connect(uri)
        channel.abort()
        await until(lambda: not server.channels)


@each_loop
async def test_a_code_that_the_handler_gives_stands() -> None:
    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channel.sink.close(4321, "own")

    async with serving(handler) as (_, uri):
        channel = await cwschannel.connect(uri)
        await channel.sink.done
        assert (channel.close_code, channel.close_reason) == (4321, "own")


# The server.


@pytest.mark.parametrize(("arguments", "code", "reason"), [((), 1001, ""), ((1012, "restart"), 1012, "restart")])
@each_loop
async def test_closing_the_server_closes_every_channel(arguments, code: int, reason: str) -> None:
    async with serving() as (server, uri):
        sockets = open_sockets()
        channels = [await cwschannel.connect(uri) for _ in range(5)]
        server.close(*arguments)
        assert server.is_closing
        with within(2):
            await server.wait_closed()
        for channel in channels:
            await channel.sink.done
            assert (channel.close_code, channel.close_reason) == (code, reason)
        assert server.channels == set()
        assert server.sockets == ()
        with pytest.raises(ValueError):
            _ = server.port
        await until(lambda: open_sockets() < sockets)
        with pytest.raises(cwschannel.OpeningFailed, match="refused"):
            await cwschannel.connect(uri)


@each_loop
async def test_closing_the_server_answers_503_to_those_who_are_still_opening() -> None:
    async with serving() as (server, _), raw_client(server.port) as idle, raw_client(server.port) as halfway:
        await halfway.send(REQUEST[:40])
        await asyncio.sleep(0.05)
        server.close()
        for wire in (idle, halfway):
            assert (await asyncio.wait_for(wire.read_all(), 2)).startswith(b"HTTP/1.1 503 ")
        with within(2):
            await server.wait_closed()


@each_loop
async def test_closing_the_server_answers_503_to_those_whom_process_request_still_looks_at() -> None:
    entered = asyncio.Event()

    async def hook(request: cwschannel.Request) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with serving(process_request=hook) as (server, uri):
        channel = cwschannel.connect(uri)
        await entered.wait()
        server.close()
        with pytest.raises(HandshakeRejected, match="503"):
            await channel.ready
        with within(2):
            await server.wait_closed()


@each_loop
async def test_closing_the_server_again_changes_nothing() -> None:
    async with serving() as (server, uri):
        channel = await cwschannel.connect(uri)
        server.close(1001, "first")
        server.close(1012, "second")
        await asyncio.gather(server.wait_closed(), server.wait_closed())
        server.close()
        await server.wait_closed()
        await channel.sink.done
        assert (channel.close_code, channel.close_reason) == (1001, "first")


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (1001, "x" * 124)])
@each_loop
async def test_a_code_that_may_not_be_sent_leaves_the_server_open(code: int, reason: str) -> None:
    async with serving() as (server, uri):
        with pytest.raises(ValueError):
            server.close(code, reason)
        assert not server.is_closing
        async with cwschannel.connect(uri):
            pass


@each_loop
async def test_handlers_that_do_not_end_are_cancelled_within_the_deadline() -> None:
    ended: list[str] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async with serving(handler, close_timeout=0.2) as (server, uri):
        channel = await cwschannel.connect(uri)
        server.close()
        with within(2):
            await server.wait_closed()
        assert ended == ["cancelled"]
        await channel.sink.done
        assert channel.close_code == 1001


@each_loop
async def test_handlers_may_finish_their_work_within_the_deadline() -> None:
    finished: list[str] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        await echo(channel)
        await asyncio.sleep(0.1)
        finished.append("done")

    async with serving(handler) as (server, uri):
        channel = await cwschannel.connect(uri)
        server.close()
        await server.wait_closed()
        assert finished == ["done"]
        await channel.sink.done


@each_loop
async def test_a_client_that_does_not_answer_the_close_frame_does_not_keep_the_server() -> None:
    async with serving(close_timeout=0.2) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        server.close()
        assert (await wire.read_frame()).code == 1001
        with within(2, at_least=0.1):
            await server.wait_closed()


@each_loop
async def test_what_was_added_before_the_server_closes_is_sent() -> None:
    async with serving(lambda channel: None) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        (channel,) = server.channels
        for number in range(10):
            channel.sink.add(str(number))
        server.close()
        for number in range(10):
            assert await wire.read_frame() == (TEXT, b"%d" % number, True, False)
        assert (await wire.read_frame()).code == 1001
        await wire.send(frame(8, (1001).to_bytes(2, "big"), masked=True))
        await server.wait_closed()


@each_loop
async def test_serve_forever_ends_when_the_server_is_closed() -> None:
    server = cwschannel.serve(echo, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    await until(lambda: server.sockets)
    async with cwschannel.connect(f"ws://127.0.0.1:{server.port}/") as channel:
        channel.sink.add("x")
        assert await channel.recv() == "x"
    assert not forever.done()
    server.close()
    await asyncio.wait_for(forever, 2)


@each_loop
async def test_a_cancelled_serve_forever_leaves_the_server_usable_and_the_context_closes_it() -> None:
    async with serving() as (server, uri):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.serve_forever(), 0.02)
        async with cwschannel.connect(uri):
            pass


@each_loop
async def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = cwschannel.serve(echo, "127.0.0.1", 0)
    assert server.sockets == ()
    server.close()
    await asyncio.wait_for(server.wait_closed(), 1)


@each_loop
async def test_a_server_that_was_closed_before_it_was_started_does_not_listen() -> None:
    server = cwschannel.serve(echo, "127.0.0.1", 0, close_timeout=0.5)
    server.close()
    try:
        await server.start()
    except cwschannel.ChannelStateError:
        pass
    listening = bool(server.sockets)
    server.close()
    await server.wait_closed()
    assert not listening


@each_loop
async def test_an_address_that_is_taken_raises_os_error() -> None:
    async with serving() as (server, _):
        with pytest.raises(OSError):
            await cwschannel.serve(echo, "127.0.0.1", server.port)
