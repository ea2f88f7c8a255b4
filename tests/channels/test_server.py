"""The server: what it answers to bad input, how it chooses, and how handlers end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest

import cwschannel
from cwschannel import ConnectionClosed, ProtocolError, Response

from .running import connected, each_loop, echo, serving, until, within
from .wire import ACCEPT, BINARY, REQUEST, TEXT, bound_socket, close_frame, frame, header, raw_client

# Requests.


async def _answer(port: int, request: bytes) -> str:
    """What the server answers until it closes the connection."""
    async with raw_client(port) as wire:
        await wire.send(request)
        return (await asyncio.wait_for(wire.read_all(), 3)).decode("latin-1")


def _without(line: bytes) -> bytes:
    return b"".join(kept for kept in REQUEST.splitlines(keepends=True) if not kept.startswith(line))


@pytest.mark.parametrize("seed", range(8))
@each_loop
async def test_random_bytes_are_answered_with_400_and_do_not_disturb_others(seed: int) -> None:
    async with serving() as (server, uri), cwschannel.connect(uri) as channel:
        answer = await _answer(server.port, random.Random(seed).randbytes(2000))
        assert answer.startswith(("HTTP/1.1 400 ", "HTTP/1.1 431 "))
        channel.sink.add("undisturbed")
        assert await channel.recv() == "undisturbed"
        assert len(server.channels) == 1


@each_loop
async def test_a_browser_page_load_is_answered_with_426() -> None:
    async with serving() as (server, _):
        answer = await _answer(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith("HTTP/1.1 426 Upgrade Required\r\n")
        assert header(answer, "Upgrade") == "websocket"
        assert header(answer, "Connection") == "Upgrade, close"
        head, _, body = answer.partition("\r\n\r\n")
        assert int(header(head, "Content-Length")) == len(body)
        assert "WebSocket" in body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (REQUEST.replace(b"GET", b"POST"), 405),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (REQUEST.replace(b"Version: 13", b"Version: 8"), 426),
        (_without(b"Sec-WebSocket-Version"), 400),
        (_without(b"Sec-WebSocket-Key"), 400),
        (_without(b"Host"), 400),
        (_without(b"Upgrade"), 426),
        (REQUEST.replace(b"Connection: Upgrade", b"Connection: notupgrade"), 426),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), 400),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"), 400),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: https://elsewhere.example\r\n\r\n"), 403),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nA: b\r\n folded\r\n\r\n"), 400),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 20_000 + b"\r\n\r\n"), 431),
        (REQUEST.replace(b"\r\n", b"\n"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
@each_loop
async def test_a_request_that_opens_no_websocket_is_refused(request_bytes: bytes, status: int) -> None:
    async with serving() as (server, _):
        answer = await _answer(server.port, request_bytes)
        assert answer.startswith(f"HTTP/1.1 {status} ")
        assert header(answer, "Connection").endswith("close")
        if status == 405:
            assert header(answer, "Allow") == "GET"
        if status == 426:
            assert header(answer, "Sec-WebSocket-Version") == "13"
        assert not server.channels


@each_loop
async def test_origins_are_compared_with_the_host_or_a_list() -> None:
    async with serving() as (server, uri):
        async with cwschannel.connect(uri, origin=f"http://127.0.0.1:{server.port}"):
            pass
        with pytest.raises(cwschannel.HandshakeRejected, match="403"):
            await cwschannel.connect(uri, origin="http://127.0.0.1")
    async with serving(allowed_origins=["https://a.example"]) as (_, uri):
        async with cwschannel.connect(uri, origin="https://a.example"), cwschannel.connect(uri):
            pass
        with pytest.raises(cwschannel.HandshakeRejected, match="403"):
            await cwschannel.connect(uri, origin="https://a.example.evil")
    async with serving(allowed_origins="*") as (_, uri), cwschannel.connect(uri, origin="https://any.example"):
        pass


def _hook(answer: object, *, later: bool):
    def sync(request: cwschannel.Request) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def coroutine(request: cwschannel.Request) -> object:
        await asyncio.sleep(0.01)
        return sync(request)

    return coroutine if later else sync


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("status", [200, 301, 404])
@each_loop
async def test_process_request_may_answer_itself(later: bool, status: int) -> None:
    response = Response.text(status, "my words", {"X-Mine": "yes"})
    async with serving(process_request=_hook(response, later=later)) as (server, uri):
        with pytest.raises(cwschannel.HandshakeRejected) as caught:
            await cwschannel.connect(uri)
        assert caught.value.status == status
        assert caught.value.response.body == b"my words\n"
        assert caught.value.response.headers["x-mine"] == "yes"
        answer = await _answer(server.port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@each_loop
async def test_process_request_that_returns_none_lets_the_client_in(later: bool) -> None:
    async with (
        serving(process_request=_hook(None, later=later)) as (server, _),
        raw_client(server.port) as wire,
    ):
        await wire.upgrade(then=frame(TEXT, b"early", masked=True))
        assert (await wire.read_frame()).payload == b"early"


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@each_loop
async def test_process_request_that_raises_is_500_and_logged_without_details_on_the_wire(later: bool, logs) -> None:
    async with serving(process_request=_hook(LookupError("secret"), later=later)) as (_, uri):
        with pytest.raises(cwschannel.HandshakeRejected) as caught:
            await cwschannel.connect(uri)
        assert caught.value.status == 500
        assert b"secret" not in caught.value.response.body
        assert [record.exc_info[0] for record in logs] == [LookupError]


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", REQUEST[:-2]])
@each_loop
async def test_a_client_that_never_finishes_its_request_gets_408_while_others_are_served(beginning: bytes) -> None:
    async with serving(connect_timeout=0.3) as (server, uri), raw_client(server.port) as wire:
        await wire.send(beginning)
        with within(2, at_least=0.25):
            reading = asyncio.create_task(wire.read_all())
            async with cwschannel.connect(uri) as channel:
                channel.sink.add("served meanwhile")
                assert await channel.recv() == "served meanwhile"
                assert not reading.done()
            assert (await reading).startswith(b"HTTP/1.1 408 ")


@each_loop
async def test_a_hook_that_takes_too_long_is_408_too() -> None:
    cancelled = asyncio.Event()

    async def hook(request: cwschannel.Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(connect_timeout=0.2, process_request=hook) as (server, _):
        assert (await _answer(server.port, REQUEST)).startswith("HTTP/1.1 408 ")
        await asyncio.wait_for(cancelled.wait(), 2)


# Frames.

BAD = [
    (b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0", 1009, "message-too-big"),
    (frame(TEXT, b"x"), 1002, "mask-missing"),
    (frame(TEXT, b"\xc3\x28", masked=True), 1007, "invalid-utf-8"),
    (frame(TEXT, b"\xf0\x9f", fin=False, masked=True) + frame(0, b"a", masked=True), 1007, "invalid-utf-8"),
    (frame(9, b"x" * 126, masked=True), 1002, "control-too-long"),
    (frame(TEXT, b"x", rsv=0x40, masked=True), 1002, "reserved-bits"),
]


@pytest.mark.parametrize(("bad", "code", "rule"), BAD)
@each_loop
async def test_a_good_frame_is_answered_before_a_bad_one_that_came_with_it(bad: bytes, code: int, rule: str) -> None:
    ended: list[BaseException | None] = []

    async def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        try:
            await echo(channel)
        except ConnectionClosed as error:
            ended.append(error.__cause__)

    async with serving(handler) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        await wire.send(frame(TEXT, b"good", masked=True) + bad)
        assert await wire.read_frame() == (TEXT, b"good", True, False)
        last = await wire.read_frame()
        assert last.code == code
        assert last.payload[2:]
        with pytest.raises(EOFError):
            await wire.read(1)
        assert isinstance(ended[0], ProtocolError)
        assert ended[0].rule == rule


@pytest.mark.parametrize(("bad", "code", "rule"), BAD)
@each_loop
async def test_a_bad_frame_alone_closes_with_its_code(bad: bytes, code: int, rule: str) -> None:
    async with serving(lambda channel: None) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        (channel,) = server.channels
        await wire.send(bad)
        assert (await wire.read_frame()).code == code
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert caught.value.__cause__.rule == rule


@each_loop
async def test_bytes_after_a_bad_frame_do_not_destroy_our_close_frame() -> None:
    async with serving(lambda channel: None) as (server, _), raw_client(server.port) as wire:
        await wire.upgrade()
        await wire.send(frame(3, masked=True) + bytes(2**20))
        await asyncio.sleep(0.05)
        assert (await wire.read_frame()).code == 1002


@each_loop
async def test_random_frames_end_in_a_close_frame_and_no_log_line() -> None:
    async with serving(lambda channel: None, close_timeout=0.5) as (server, _):
        for seed in range(20):
            async with raw_client(server.port) as wire:
                await wire.upgrade()
                with contextlib.suppress(ConnectionError):
                    await wire.send(random.Random(seed).randbytes(3000))
                assert (await asyncio.wait_for(wire.read_frame(), 3)).code in (1002, 1007, 1009)


@each_loop
async def test_without_a_size_limit_an_absurd_length_does_not_disturb_others() -> None:
    async with serving(max_message_size=None) as (server, uri), raw_client(server.port) as wire:
        await wire.upgrade()
        await wire.send(b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0" + bytes(1000))
        async with cwschannel.connect(uri) as channel:
            channel.sink.add("undisturbed")
            assert await channel.recv() == "undisturbed"


@each_loop
async def test_frames_that_come_with_the_request_are_not_lost() -> None:
    async with serving() as (server, _), raw_client(server.port) as wire:
        early = frame(TEXT, b"one", masked=True) + frame(BINARY, b"two", masked=True)
        await wire.upgrade(then=early + close_frame(3000, masked=True))
        assert [await wire.read_frame() for _ in range(3)] == [
            (TEXT, b"one", True, False),
            (BINARY, b"two", True, False),
            (8, (3000).to_bytes(2, "big"), True, False),
        ]


# What both sides see.


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["a", "b"], ["b", "a"], "a"),
        (["a"], ["b"], None),
        (["a"], [], None),
        ([], ["a"], None),
        (["B", "b"], ["b"], "b"),
    ],
)
@each_loop
async def test_the_servers_favourite_among_the_offered_subprotocols_is_chosen(ours, theirs, chosen) -> None:
    async with connected(server={"protocols": ours}, client={"protocols": theirs}) as pair:
        assert pair.client.protocol == pair.server.protocol == chosen


@each_loop
async def test_request_and_response_are_visible_on_both_sides() -> None:
    server = {"headers": {"Server": "tests", "X-Room": "1"}}
    client = {"headers": [("X-Token", "a"), ("X-Token", "b")], "user_agent": "me"}
    async with connected(server=server, client=client) as pair:
        for channel in (pair.client, pair.server):
            assert channel.request.method == "GET"
            assert channel.request.path == "/"
            assert channel.request.headers["user-agent"] == "me"
            assert channel.request.headers.get_all("x-token") == ["a", "b"]
            assert channel.response.status == 101
            assert channel.response.headers["x-room"] == "1"
        assert pair.server.remote_address == pair.client.local_address
        assert pair.client.remote_address == ("127.0.0.1", pair.listening.port)
        assert pair.listening.channels == {pair.server}


@each_loop
async def test_path_and_query_arrive_as_they_were_given() -> None:
    async with serving(lambda channel: None) as (server, uri), cwschannel.connect(uri + "a%20b/ü?q=1&r=é"):
        (channel,) = server.channels
        assert channel.request.target == "/a%20b/%C3%BC?q=1&r=%C3%A9"
        assert channel.request.path == "/a%20b/%C3%BC"


@each_loop
async def test_a_socket_that_is_bound_already_can_be_served() -> None:
    sock = bound_socket()
    port = sock.getsockname()[1]
    async with serving(sock=sock) as (server, uri), cwschannel.connect(uri) as channel:
        assert server.port == port
        channel.sink.add("x")
        assert await channel.recv() == "x"


@each_loop
async def test_a_connected_socket_can_be_given_to_connect() -> None:
    async with serving() as (server, _):
        sock = bound_socket()
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        async with cwschannel.connect("ws://some.name/path", sock=sock) as channel:
            assert channel.request.headers["host"] == "some.name"
            channel.sink.add("x")
            assert await channel.recv() == "x"


@each_loop
async def test_the_first_answer_is_computed_from_the_key() -> None:
    async with serving() as (server, _), raw_client(server.port) as wire:
        assert ACCEPT in await wire.upgrade()


@each_loop
async def test_refusals_are_logged_for_those_who_ask(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cwschannel")
    async with serving() as (server, _):
        await _answer(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: any("426" in record.getMessage() for record in caplog.records))
