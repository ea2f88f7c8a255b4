"""What goes out: the socket itself or the transport, at once or at the end of a pass, and always in order."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest

from cwschannel import ConnectionClosed
from cwschannel.channels.direct import descriptor_of
from cwschannel.channels.outbox import WRITTEN_IN_PLACE, BufferLimits, Outbox
from cwschannel.channels.passes import passes_of

from .running import LOOPS, connected, each_loop, serving, until


class Recorded(asyncio.Transport):
    """A transport of nobody's kind, which keeps what is written to it."""

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.full = full

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written)) if self.full else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def outbox_on(transport: asyncio.Transport) -> Outbox:
    outbox = Outbox(asyncio.get_running_loop(), BufferLimits())
    outbox.attach(transport)
    return outbox


@each_loop
async def test_the_first_two_go_out_at_once_and_the_others_of_the_pass_together() -> None:
    transport = Recorded()
    outbox = outbox_on(transport)
    for number in range(6):
        outbox.write(b"%d" % number)
    assert transport.written == [b"0", b"1"]
    await asyncio.sleep(0)
    assert transport.written == [b"0", b"1", b"2345"]


@each_loop
async def test_somebody_who_only_sends_is_as_quick_in_each_pass() -> None:
    transport = Recorded()
    outbox = outbox_on(transport)
    for number in range(20):
        outbox.write(b"%d" % number)
        assert transport.written[-1] == b"%d" % number, "it was held back, and nothing followed it"
        await asyncio.sleep(0)


@each_loop
async def test_a_control_frame_takes_what_is_held_together_along() -> None:
    transport = Recorded()
    outbox = outbox_on(transport)
    for number in range(4):
        outbox.write(b"%d" % number)
    outbox.write_now(b"ping")
    assert transport.written == [b"0", b"1", b"23ping"]
    await asyncio.sleep(0)
    assert transport.written == [b"0", b"1", b"23ping"]


@each_loop
async def test_a_connection_that_cannot_be_written_to_does_not_keep_others_from_it(logs: list[Any]) -> None:
    class Broken(Recorded):
        def write(self, data: Any) -> None:
            if self.written:
                raise RuntimeError("broken")
            super().write(data)

    transports = [Broken(), Recorded()]
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    broken, sound = map(outbox_on, transports)
    broken.write(b"0")
    for outbox in (broken, sound):
        outbox.burst = 2
        outbox._burst_pass = outbox._passes.number
        for number in range(3):
            outbox.write(b"%d" % number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transports[1].written == [b"012"]
    assert [str(problem["exception"]) for problem in problems] == ["broken"]


def test_a_loop_is_forgotten_with_its_passes() -> None:
    for factory in LOOPS.values():
        loop = factory()
        passes_of(loop)
        loop.close()
        gone = weakref.ref(loop)
        del loop
        gc.collect()
        assert gone() is None


@each_loop
async def test_plain_sockets_are_written_to_directly_and_others_are_not() -> None:
    async with connected() as pair:
        transport = pair.client._io._transport
        assert descriptor_of(transport) == transport.get_extra_info("socket").fileno()
    assert descriptor_of(Recorded()) == -1


@each_loop
async def test_a_transport_that_wraps_another_is_asked_itself() -> None:
    class Wrapping(Recorded):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return inner.get_extra_info(name, default)

    async with connected() as pair:
        inner = pair.client._io._transport
        assert descriptor_of(Wrapping()) == -1


@each_loop
async def test_tls_is_never_passed_by(server_tls: Any, client_tls: Any) -> None:
    async with connected(server={"ssl": server_tls}, client={"ssl": client_tls}) as pair:
        assert descriptor_of(pair.client._io._transport) == -1
        pair.client.sink.add("through TLS")
        assert await pair.server.recv() == "through TLS"


def small_buffers() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.parametrize("size", [30_000, 300_000])  # written in one piece, and in two
@each_loop
async def test_what_the_socket_does_not_take_the_transport_writes_later_and_in_order(size: int) -> None:
    """The direct write is cut short (a partial write), then refused (EAGAIN), and taken up again when all is written."""
    async with connected(server={"sock": small_buffers(), "max_message_size": 2**24}) as pair:
        outbox = pair.server._io.outbox
        hold = pair.client.stream.listen(None)
        hold.pause()
        messages = [bytes([number % 256]) * size for number in range(9_000_000 // size)]
        for message in messages:
            pair.server.sink.add(message)
        assert outbox.backlog() > 0
        assert outbox._own_descriptor == -1
        got: list[object] = []
        hold._on_data = got.append  # type: ignore[attr-defined]
        hold.resume()
        await until(lambda: len(got) == len(messages), seconds=15)
        assert got == messages
        await until(lambda: not outbox.backlog())
        pair.server.sink.add(b"small again")
        await until(lambda: got[-1] == b"small again")
        assert outbox._own_descriptor == outbox._descriptor >= 0


@each_loop
async def test_a_large_frame_goes_out_in_two_pieces_after_what_is_held_together() -> None:
    near, far = socket.socketpair()
    far.settimeout(10)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
    outbox = outbox_on(transport)
    for number in range(4):
        outbox.write(b"%d" % number)
    outbox.write_large(b"header", b"payload")
    assert outbox._own_descriptor >= 0
    assert far.recv(100) == b"0123headerpayload"
    assert outbox.progress() == 17
    transport.abort()
    far.close()


@each_loop
@pytest.mark.parametrize("taken", [0, 3, 6, 10])
async def test_the_rest_of_a_large_frame_is_the_transports(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(Recorded):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return near

    def take_some(_: int, pieces: tuple[bytes, bytes]) -> int:
        if not taken:
            raise BlockingIOError
        return taken

    near, far = socket.socketpair()
    with near, far:
        outbox = outbox_on(transport := Plain())
        outbox._descriptor = near.fileno()
        monkeypatch.setattr("os.writev", take_some)
        outbox.write_large(b"header", b"payload")
        assert b"".join(transport.written) == b"headerpayload"[taken:]
        assert outbox._own_descriptor == -1


@each_loop
async def test_a_transport_that_has_to_be_asked_gets_a_large_frame_in_one_piece() -> None:
    transport = Recorded()
    outbox_on(transport).write_large(b"header", b"payload")
    assert transport.written == [b"headerpayload"]


@pytest.mark.parametrize("secure", [False, True])
@each_loop
async def test_large_messages_of_all_kinds_keep_their_order(secure: bool, server_tls: Any, client_tls: Any) -> None:
    options = {"server": {"ssl": server_tls}, "client": {"ssl": client_tls}} if secure else {}
    async with connected(**options, max_message_size=None) as pair:
        for end, other in ((pair.server, pair.client), (pair.client, pair.server)):
            messages: list[Any] = [
                kind(size) if kind is not str else "x" * size
                for size in (WRITTEN_IN_PLACE - 1, WRITTEN_IN_PLACE, 65535, 65536, 200_000)
                for kind in (bytes, bytearray, str)
            ]
            for message in messages:
                end.sink.add(b"small")
                end.sink.add(message)
            for message in messages:
                assert await other.recv() == b"small"
                assert await other.recv() == message


@each_loop
async def test_a_large_message_to_a_closed_connection_is_refused() -> None:
    async with connected() as pair:
        await pair.client.sink.close()
        with pytest.raises(ConnectionClosed):
            await pair.server.send(bytes(WRITTEN_IN_PLACE))


@each_loop
async def test_a_connection_that_is_reset_is_noticed_and_its_number_not_used_again() -> None:
    async with connected() as pair:
        outbox = pair.server._io.outbox
        pair.server.sink.add("direct")
        assert await pair.client.recv() == "direct"
        pair.client.abort()
        for _ in range(200):
            pair.server.sink.add("x" * 1000)
            await asyncio.sleep(0.001)
        await pair.server.sink.done
        assert pair.server.close_code == 1006
        assert outbox._descriptor == outbox._own_descriptor == -1


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_in_debug_mode_all_is_as_usual(loop_kind: str) -> None:
    async def exchange() -> None:
        async with serving() as (_, uri):
            import cwschannel

            async with cwschannel.connect(uri) as channel:
                for number in range(50):
                    channel.sink.add(f"{number}" * number)
                assert [await channel.recv() for _ in range(50)] == [f"{number}" * number for number in range(50)]

    with asyncio.Runner(loop_factory=LOOPS[loop_kind], debug=True) as runner:
        runner.run(asyncio.wait_for(exchange(), 20))
