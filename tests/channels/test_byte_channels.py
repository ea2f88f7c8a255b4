"""Each channel of bytes by itself: bytes both ways, back pressure both ways, and its ends."""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from cwschannel import BackPressureError, ChannelStateError, byte_channels

from .over_bytes import KINDS, dropped, tcp
from .running import each_loop, open_sockets, until

if TYPE_CHECKING:
    import ssl

    from cwschannel import StreamChannel

each_kind = pytest.mark.parametrize("kind", KINDS)
SYSTEM = [kind for kind in KINDS if kind != "memory"]  # those with something of the system's below


async def read(channel: StreamChannel[bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await channel.stream.first()
    return bytes(data)


@each_kind
@each_loop
async def test_bytes_pass_both_ways_in_order(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        for one, other in ((near, far), (far, near)):
            sent = b""
            for number in range(300):
                chunk = str(number).encode() * (number % 50)
                if chunk:
                    one.sink.add(chunk)
                sent += chunk
            assert await read(other, len(sent)) == sent


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_what_is_added_is_taken_as_it_is_then(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        mutable = bytearray(b"before")
        for _ in range(5):
            near.sink.add(mutable)
        near.sink.add(memoryview(mutable)[::-1])
        near.sink.add(b"")
        mutable[:] = b"after!"
        assert await read(far, 36) == b"before" * 5 + b"erofeb"


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_what_is_no_bytes_is_refused_and_hurts_nothing_else(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        for _ in range(4):  # the third and later are collected before they are written
            near.sink.add(b"good")
            for bad in ("text", 5, None, [1]):
                with pytest.raises(TypeError, match=rf"carries bytes-like objects, and this is {type(bad).__name__}"):
                    near.sink.add(bad)
        assert await read(far, 16) == b"good" * 4


@each_kind
@each_loop
async def test_closing_the_sink_hands_on_what_was_added_and_ends_both_ends(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        if kind == "memory":  # elsewhere the system resets what has something unread
            far.sink.add(b"never read")
        near.sink.add(b"x" * 1_000_000)
        near.sink.add(b"last")
        reading = asyncio.create_task(far.stream.to_list())
        near.sink.close()
        assert await near.stream.to_list() == []
        assert b"".join(await reading) == b"x" * 1_000_000 + b"last"
        await near.sink.done
        far.sink.add(b"dropped silently")
        await far.sink.close()
        await near.sink.close()
        for channel in (near, far):
            with pytest.raises(ChannelStateError):
                channel.sink.add(b"x")


@each_kind
@each_loop
async def test_a_listener_is_told_the_end(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        events: list[Any] = []
        far.stream.listen(events.append, on_done=lambda: events.append("done"))
        near.sink.add(b"a")
        await until(lambda: events)
        near.sink.close()
        await until(lambda: "done" in events)
        assert events == [b"a", "done"]
        await far.sink.done


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_aborting_ends_both_ends(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        near.abort()
        near.abort()
        assert await near.stream.to_list() == []
        await near.sink.done
        try:
            assert await far.stream.to_list() == []
        except OSError:
            pass
        await far.sink.done
        far.sink.add(b"dropped silently")


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_aborting_within_the_first_pass_of_the_loop_ends_the_stream(kind: str) -> None:
    async with KINDS[kind]() as (near, _):
        events: list[str] = []
        near.stream.listen(on_done=lambda: events.append("done"))
        near.abort()
        await until(lambda: events)
        await near.sink.done


@pytest.mark.parametrize("kind", ["streams", "transport"])
@each_loop
async def test_a_reset_is_an_error_of_the_stream_and_then_its_end(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        events: list[Any] = []
        far.stream.listen(events.append, on_error=events.append, on_done=lambda: events.append("done"))
        sock = near.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.abort()
        await until(lambda: "done" in events)
        assert isinstance(events[0], ConnectionResetError)
        assert events[1:] == ["done"]
        await far.sink.done


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_an_error_closes_the_sink_and_ends_done(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        near.sink.add(b"before")
        near.sink.add_error(LookupError("mine"))
        assert b"".join(await far.stream.to_list()) == b"before"
        for _ in range(2):
            with pytest.raises(LookupError, match="mine"):
                await near.sink.done


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_a_sender_waits_for_a_slow_reader_and_what_waits_is_bounded(kind: str) -> None:
    chunk, sent = b"x" * 65536, 0
    async with KINDS[kind]() as (near, far):

        async def send() -> None:
            nonlocal sent
            for _ in range(1000):
                near.sink.add(chunk)
                sent += len(chunk)
                await near.sink.wait_for_room()

        sending = asyncio.create_task(send())
        await stalls(lambda: sent)
        assert not sending.done()
        assert sent < 40_000_000  # mostly of the system's own buffers
        flushing = asyncio.ensure_future(near.sink.flush())
        total = 0
        async for data in far.stream:
            total += len(data)
            if total == 1000 * len(chunk):
                break
        await sending
        await flushing
        await near.sink.flush()


async def stalls(progress: Any, quiet: float = 0.3) -> None:
    """Wait until nothing more happens."""
    seen = None
    while seen != progress():
        seen = progress()
        await asyncio.sleep(quiet)


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_a_paused_listener_pauses_the_sender(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        total = 0

        def take(data: bytes) -> None:
            nonlocal total
            total += len(data)

        listener = far.stream.listen(take)
        listener.pause()
        sending = asyncio.create_task(near.sink.add_stream(b"x" * 65536 for _ in range(500)))  # noqa: RUF006
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert total == 0
        with pytest.raises(ChannelStateError, match="add_stream"):
            near.sink.close()
        listener.resume()
        await sending
        await until(lambda: total == 500 * 65536)


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_adding_without_end_is_refused(kind: str) -> None:
    async with KINDS[kind]() as (near, _):
        with pytest.raises(BackPressureError, match=r"wait_for_room|flush"):  # noqa: PT012
            for _ in range(1000):
                near.sink.add(b"x" * 2**20)


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_whoever_waits_for_room_goes_on_when_it_is_dropped(kind: str) -> None:
    async with KINDS[kind]() as (near, _):
        for _ in range(30):
            near.sink.add(b"x" * 2**20)
        room = asyncio.create_task(near.sink.wait_for_room())
        flushed = asyncio.ensure_future(near.sink.flush())
        await asyncio.sleep(0.05)
        assert not room.done()
        assert not flushed.done()
        near.abort()
        await room
        await flushed
        await near.sink.flush()
        await near.sink.wait_for_room()


@pytest.mark.parametrize("kind", SYSTEM)
@each_loop
async def test_two_may_flush_at_once(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        near.sink.add(b"x" * 30_000_000)
        flushes = [asyncio.ensure_future(near.sink.flush()) for _ in range(3)]
        await asyncio.sleep(0.02)
        assert not any(flush.done() for flush in flushes)
        await read(far, 30_000_000)
        await asyncio.gather(*flushes)
        near.sink.add(b"y" * 30_000)
        await near.sink.wait_for_room()  # less than the usual limit: its own is in force again


@pytest.mark.parametrize("kind", ["socketpair", "streams", "transport"])
@each_loop
async def test_write_eof_ends_one_direction(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        far_end: list[str] = []
        near.sink.add(b"last")
        near.sink.add(b"of")
        near.sink.add(b"all")
        near.write_eof()
        near.write_eof()
        far.stream.listen(on_done=lambda: far_end.append("done"))
        await until(lambda: far_end)


@pytest.mark.parametrize("kind", ["streams", "transport"])
@each_loop
async def test_extra_info_is_that_of_the_transport(kind: str) -> None:
    async with KINDS[kind]() as (near, far):
        assert near.get_extra_info("peername") == far.get_extra_info("sockname")
        assert near.get_extra_info("nothing", 5) == 5


@pytest.mark.parametrize("make", ["streams", "transport"])
@each_loop
async def test_over_tls(make: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with tcp(make=make, server_tls=server_tls, client_tls=client_tls) as (near, far):
        assert near.get_extra_info("ssl_object") is not None
        near.sink.add(b"x" * 1_000_000)
        assert await read(far, 1_000_000) == b"x" * 1_000_000
        near.sink.close()
        assert await far.stream.to_list() == []
        await near.sink.done


# Beginnings.


@pytest.mark.parametrize("make", ["streams", "transport"])
@each_loop
async def test_what_was_read_already_is_not_lost(make: str) -> None:
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    with far:
        far.sendall(b"first" + b"x" * 200_000)  # more than a StreamReader holds: it has paused the transport
        head = await reader.readexactly(5)
        await asyncio.sleep(0.05)
        assert head == b"first"
        if make == "streams":
            channel = byte_channels.from_streams(reader, writer)
        else:
            held = reader._buffer  # there is no public way to see what it holds
            assert held
            channel = byte_channels.from_transport(writer, held)
        del reader, writer
        gc.collect()
        async with dropped(channel):
            assert await read(channel, 200_000) == b"x" * 200_000
            channel.sink.add(b"answer")
            far.settimeout(5)
            assert far.recv(10) == b"answer"


@each_loop
async def test_a_writer_that_nobody_keeps_does_not_close_the_channel() -> None:
    near, far = socket.socketpair()
    channel = byte_channels.from_transport((await asyncio.open_connection(sock=near))[1])
    with far:
        async with dropped(channel):
            await asyncio.sleep(0.01)
            gc.collect()
            far.sendall(b"still open")
            assert await read(channel, 10) == b"still open"


@each_loop
async def test_a_transport_that_is_closed_already_makes_a_channel_that_ends() -> None:
    for passes in (0, 3):
        near, far = socket.socketpair()
        with far:
            _, writer = await asyncio.open_connection(sock=near)
            writer.close()
            for _ in range(passes):
                await asyncio.sleep(0.01)
            channel = byte_channels.from_transport(writer)
            assert await channel.stream.to_list() == []
            await channel.sink.done


@pytest.mark.parametrize("wrong", [None, "text", 5, object()])
@each_loop
async def test_what_is_no_transport_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=type(wrong).__name__):
        byte_channels.from_transport(wrong)


@each_loop
async def test_a_transport_that_goes_one_way_is_refused() -> None:
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    if type(child.stdin.transport).__module__.startswith("asyncio"):  # uvloop's have all methods
        with pytest.raises(TypeError, match="to read and write"):
            byte_channels.from_transport(child.stdin.transport)
    child.stdin.close()
    await child.wait()


@each_loop
async def test_received_bytes_that_are_text_are_refused_before_anything_is_taken_over() -> None:
    near, far = socket.socketpair()
    with far:
        reader, writer = await asyncio.open_connection(sock=near)
        with pytest.raises(TypeError, match="str"):
            byte_channels.from_transport(writer, "text")
        far.sendall(b"x")
        assert await reader.read(1) == b"x"
        writer.close()


@each_loop
async def test_a_socket_of_the_wrong_kind_is_closed_and_refused() -> None:
    sockets = open_sockets()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    with pytest.raises(ValueError):
        await byte_channels.from_socket(sock)
    assert open_sockets() == sockets


@each_loop
async def test_a_process_without_pipes_is_refused() -> None:
    child = await asyncio.create_subprocess_exec("true")
    with pytest.raises(ValueError, match="PIPE"):
        byte_channels.from_process(child)
    await child.wait()


@each_loop
async def test_a_process_that_ends_ends_the_channel() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('bye', end='')", stdin=-1, stdout=-1)
    channel = byte_channels.from_process(child)
    assert await channel.stream.to_list() == [b"bye"]
    await channel.sink.done
    await child.wait()


ECHO = """
import asyncio, sys, warnings
warnings.simplefilter("error")
sys.unraisablehook = lambda unraisable: (sys.stderr.write(f"{unraisable}"), sys.stderr.flush())
from cwschannel import byte_channels

async def main():
    channel = await byte_channels.from_stdio()
    async for data in channel.stream:
        channel.sink.add(data.upper())
        await channel.sink.flush()
    await channel.sink.close()

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_standard_input_and_output(kind: str) -> None:
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", ECHO, kind],
        input=b"hello" * 50_000,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"HELLO" * 50_000
    assert done.stderr == b""
    assert done.returncode == 0


def test_they_are_made_where_a_loop_runs() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        byte_channels.memory_pair()


def test_without_anyio_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"from_anyio\(\) needs .*pip install 'cwschannel\[anyio\]'"):
        byte_channels.from_anyio(cast("Any", None))


@each_loop
@pytest.mark.parametrize("kind", ["socket", "streams"])
async def test_what_came_before_the_end_can_still_be_answered(kind: str) -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    with far:
        near.setblocking(False)
        if kind == "socket":
            channel = await byte_channels.from_socket(near)
        else:
            channel = byte_channels.from_streams(*(await asyncio.open_connection(sock=near)))
        questions = aiter(channel.stream)  # somebody reads, and is not there yet when the end comes
        await loop.sock_sendall(far, b"a question")
        far.shutdown(socket.SHUT_WR)
        await until(lambda: channel.stream.finished)
        async for question in questions:
            assert question == b"a question"
            await asyncio.sleep(0.01)
            channel.sink.add(b"an answer")
        await channel.sink.done
        assert await loop.sock_recv(far, 100) == b"an answer"
        assert await loop.sock_recv(far, 100) == b""


@each_loop
@pytest.mark.parametrize("kind", ["socket", "streams"])
async def test_the_end_closes_a_channel_that_nobody_reads(kind: str) -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        near.setblocking(False)
        if kind == "socket":
            channel = await byte_channels.from_socket(near)
        else:
            channel = byte_channels.from_streams(*(await asyncio.open_connection(sock=near)))
        await asyncio.get_running_loop().sock_sendall(far, b"unread")
        far.shutdown(socket.SHUT_WR)
        await channel.sink.done
        assert await asyncio.get_running_loop().sock_recv(far, 100) == b""
