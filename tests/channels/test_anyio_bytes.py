"""The WebSocket over anyio's streams, under asyncio and under trio, against servers and clients of ``websockets``."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import websockets.sync.client
import websockets.sync.server

from cwschannel import ConnectionClosed, WebSocketChannel
from cwschannel.channels.byte_channels import from_anyio, memory_pair

from .wire import CLOSE, REQUEST, TEXT, accept_value, close_frame, frame, header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def run(backend: str, test: Callable[..., Any], *arguments: Any) -> None:
    async def bounded() -> None:
        with anyio.fail_after(20):
            await test(*arguments)

    anyio.run(bounded, backend=backend)


@contextlib.contextmanager
def their_server() -> Iterator[int]:
    """An echo of theirs in a thread. Yields its port."""

    def handle(connection: Any) -> None:
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            for message in connection:
                if message == "close":
                    connection.close(4000, "theirs")
                elif message == "vanish":
                    connection.socket.shutdown(2)
                else:
                    connection.send(message)

    with websockets.sync.server.serve(handle, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


async def read_head(stream: anyio.abc.ByteStream) -> str:
    """Everything up to the blank line; nothing may follow it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive(1)
    return head.decode("latin-1")


async def opened(port: int) -> anyio.abc.ByteStream:
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(REQUEST)
    assert " 101 " in await read_head(stream)
    return stream


@contextlib.asynccontextmanager
async def client_of(port: int, **options: Any) -> AsyncIterator[WebSocketChannel]:
    async with (
        from_anyio(await opened(port)) as byte_channel,
        WebSocketChannel(byte_channel, server_side=False, **options) as channel,
    ):
        yield channel


def test_send_recv_iterate_listen_ping_and_close(backend: str) -> None:
    async def test(port: int) -> None:
        async with client_of(port) as channel:
            await channel.send("hello")
            assert await channel.recv() == "hello"
            for number in range(100):
                channel.sink.add(str(number))
            got = []
            async for message in channel.stream:
                got.append(message)
                if len(got) == 100:
                    break
            assert got == list(map(str, range(100)))
            assert await channel.ping() > 0
            await channel.send(b"x" * 500_000)
            assert await channel.recv() == b"x" * 500_000
            await channel.sink.add_stream(["a", "b"])
            await channel.sink.flush()
            events: list[Any] = []
            channel.stream.listen(events.append, on_done=lambda: events.append("done"))
            while events != ["a", "b"]:
                await anyio.sleep(0.002)
            await channel.sink.close(3000, "ours")
            assert (channel.close_code, channel.close_reason) == (3000, "ours")
            while "done" not in events:
                await anyio.sleep(0.002)

    with their_server() as port:
        run(backend, test, port)


def test_their_close_and_their_vanishing(backend: str) -> None:
    async def test(port: int) -> None:
        for message, code in (("close", 4000), ("vanish", 1006)):
            async with client_of(port) as channel:
                channel.sink.add(message)
                with pytest.raises(ConnectionClosed) as caught:
                    await channel.recv()
                assert caught.value.code == channel.close_code == code
                await channel.sink.done

    with their_server() as port:
        run(backend, test, port)


def test_leaving_while_it_is_open_hangs_nowhere(backend: str) -> None:
    async def test(port: int) -> None:
        async with from_anyio(await opened(port)) as byte_channel:
            channel = WebSocketChannel(byte_channel, server_side=False)
            reading: list[str] = []

            async def read() -> None:
                try:
                    await channel.recv()
                except ConnectionClosed:
                    reading.append("closed")

            async with anyio.create_task_group() as outside:
                outside.start_soon(read)
                await anyio.sleep(0.01)
                byte_channel.abort()
            assert reading == ["closed"]
        async with anyio.create_task_group() as outside:
            async with from_anyio(await opened(port)) as byte_channel:
                channel = WebSocketChannel(byte_channel, server_side=False)
                outside.start_soon(read)
                await anyio.sleep(0.01)
            assert channel.close_code == 1006
            with pytest.raises(ConnectionClosed):
                await channel.send("x")
            await channel.sink.done
        assert reading == ["closed", "closed"]

    with their_server() as port:
        run(backend, test, port)


def test_cancelling(backend: str) -> None:
    async def test(port: int) -> None:
        with anyio.CancelScope() as scope:
            async with client_of(port) as channel:
                scope.cancel()
                await channel.recv()
        assert scope.cancelled_caught
        assert channel.close_code == 1006
        async with client_of(port) as channel:
            with anyio.move_on_after(0.02):
                await channel.recv()
            await channel.send("still open")
            assert await channel.recv() == "still open"

    with their_server() as port:
        run(backend, test, port)


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[anyio.abc.ByteStream, anyio.abc.ByteStream]]:
    """Both ends of TCP."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        near: Any = None

        async def connect() -> None:
            nonlocal near
            near = await anyio.connect_tcp("127.0.0.1", listener.extra(anyio.abc.SocketAttribute.local_port))

        async with anyio.create_task_group() as group:
            group.start_soon(connect)
            far = await listener.listeners[0].accept()
        async with near, far:
            yield near, far


def test_keepalive_drops_a_silent_peer(backend: str) -> None:
    async def test() -> None:
        async with (
            pair() as (near, _),
            from_anyio(near) as byte_channel,
            WebSocketChannel(byte_channel, ping_interval=0.05, ping_timeout=0.1) as channel,
        ):
            with pytest.raises(ConnectionClosed) as caught:
                await channel.recv()
            assert isinstance(caught.value.__cause__, TimeoutError)

    run(backend, test)


def test_a_peer_that_never_answers_is_dropped(backend: str) -> None:
    async def test() -> None:
        async with pair() as (near, far), from_anyio(near) as byte_channel:
            async with WebSocketChannel(byte_channel, close_timeout=0.1) as channel:
                for _ in range(100):
                    channel.sink.add(b"x" * 200_000)  # and it does not read either
            assert channel.close_code == 1006
            with pytest.raises(anyio.EndOfStream), contextlib.suppress(anyio.BrokenResourceError):  # noqa: PT012
                while True:
                    await far.receive()
                raise anyio.EndOfStream

    run(backend, test)


def test_a_bad_frame_is_answered(backend: str) -> None:
    async def test() -> None:
        async with (
            pair() as (near, far),
            from_anyio(near) as byte_channel,
            WebSocketChannel(byte_channel, server_side=False) as channel,
        ):
            await far.send(frame(TEXT, b"good") + frame(TEXT, b"\xff") + b"x" * 1000)
            assert await channel.recv() == "good"
            with pytest.raises(ConnectionClosed, match="UTF-8"):
                await channel.recv()
            answer = await far.receive()
            assert answer[0] & 15 == CLOSE
            with pytest.raises(anyio.EndOfStream):
                await far.receive()  # it is closed for writing, and still read
            await far.send(close_frame(1000))
            await far.aclose()
            await channel.sink.done

    run(backend, test)


def test_back_pressure_both_ways(backend: str) -> None:
    async def test() -> None:
        sent = 0

        async def send(channel: WebSocketChannel) -> None:
            nonlocal sent
            for _ in range(300):
                await channel.send(b"x" * 100_000)
                sent += 1

        async with pair() as (near, far), from_anyio(near) as one, from_anyio(far) as other:
            client, server = WebSocketChannel(one, server_side=False), WebSocketChannel(other)
            async with anyio.create_task_group() as group:
                group.start_soon(send, client)
                seen = -1
                while seen != sent:
                    seen = sent
                    await anyio.sleep(0.3)
                assert sent < 300
                for _ in range(300):
                    assert len(await server.recv()) == 100_000
            await client.sink.close()
            await server.sink.done

    run(backend, test)


def test_our_server_and_their_client(backend: str) -> None:
    async def test() -> None:
        async def serve(stream: anyio.abc.ByteStream) -> None:
            key = header(await read_head(stream), "Sec-WebSocket-Key")
            assert WebSocketChannel.sign_key(key) == accept_value(key)
            await stream.send(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {WebSocketChannel.sign_key(key)}\r\n\r\n".encode()
            )
            async with from_anyio(stream) as byte_channel, WebSocketChannel(byte_channel) as channel:
                async for message in channel.stream:
                    await channel.send(message)
                codes.append(channel.close_code)

        def their_client(port: int) -> None:
            with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/", compression=None) as client:
                for message in ("hello", b"x" * 300_000):
                    client.send(message)
                    assert client.recv(timeout=10) == message
                client.close(1001)

        codes: list[Any] = []
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            await anyio.to_thread.run_sync(their_client, port)
            while not codes:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert codes == [1001]

    run(backend, test)


def test_extra_info(backend: str) -> None:
    async def test() -> None:
        async with pair() as (near, far), from_anyio(near) as byte_channel:
            peer = far.extra(anyio.abc.SocketAttribute.local_address)
            assert byte_channel.get_extra_info("peername") == peer
            assert byte_channel.get_extra_info("nothing", 5) == 5

    run(backend, test)


def test_what_is_no_bytes_is_refused_and_hurts_nothing_else(backend: str) -> None:
    async def test() -> None:
        async with pair() as (near, far), from_anyio(near) as byte_channel:
            byte_channel.sink.add(b"good")
            with pytest.raises(TypeError, match="str"):
                byte_channel.sink.add("text")
            byte_channel.sink.add(bytearray(b"too"))
            await byte_channel.sink.close()
            assert await byte_channel.stream.to_list() == []
            got = b""
            with contextlib.suppress(anyio.EndOfStream):
                while True:
                    got += await far.receive()
            assert got == b"goodtoo"

    run(backend, test)


def test_outside_of_the_context_there_is_no_loop(backend: str) -> None:
    async def test() -> None:
        async with pair() as (near, _), from_anyio(near):
            memory_pair()
        if backend == "trio":
            with pytest.raises(RuntimeError, match="no running event loop"):
                memory_pair()

    run(backend, test)
