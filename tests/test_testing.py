"""What the package offers to the tests of others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel import ConnectionClosed, WebSocketChannel
from cwschannel.testing import Faults, FaultyByteChannel, connected_pair, memory_pair


async def read(channel: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await channel.stream.first()
    return bytes(data)


async def test_a_connected_pair() -> None:
    client, server = connected_pair("chat", max_message_size=10)
    assert client.protocol == server.protocol == "chat"
    client.sink.add("hello")
    assert await server.recv() == "hello"
    server.sink.add(b"x" * 11)
    with pytest.raises(ConnectionClosed, match="10"):
        await client.recv()
    await server.sink.done


@pytest.mark.parametrize("wrong", [{"delay": -1}, {"split": 0}, {"cut_at": -1}])
def test_faults_are_checked(wrong: Any) -> None:
    with pytest.raises(ValueError, match="at least"):
        Faults(**wrong)


@pytest.mark.parametrize("way", ["incoming", "outgoing"])
async def test_delay_keeps_the_order_and_what_was_closed_after_it(way: str) -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near, **{way: Faults(delay=0.02)})
    source, target = (far, faulty) if way == "incoming" else (faulty, far)
    for number in range(50):
        source.sink.add(b"%d," % number)
    source.sink.close()
    assert b"".join(await target.stream.to_list()) == b"".join(b"%d," % number for number in range(50))


@pytest.mark.parametrize("way", ["incoming", "outgoing"])
async def test_splitting(way: str) -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near, **{way: Faults(split=3)})
    source, target = (far, faulty) if way == "incoming" else (faulty, far)
    source.sink.add(memoryview(b"abcdefgh"))
    assert [await target.stream.first() for _ in range(3)] == [b"abc", b"def", b"gh"]


async def test_dropping() -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near, incoming=Faults(split=1, drop=lambda number: number % 2 == 1))
    far.sink.add(b"a1b2")
    far.sink.add(b"c3")
    assert await read(faulty, 3) == b"abc"


async def test_an_error_keeps_its_place_among_late_chunks() -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near, incoming=Faults(delay=0.02))
    far.sink.add(b"before")
    far.sink.add_error(LookupError("below"))
    assert await faulty.stream.first() == b"before"
    with pytest.raises(LookupError, match="below"):
        await faulty.stream.first()


@pytest.mark.parametrize("way", ["incoming", "outgoing"])
async def test_cutting_anywhere_leaves_whole_messages_and_1006(way: str) -> None:
    messages = ["a", b"bc", "d" * 130, ""]
    size = 6 + 1 + 6 + 2 + 8 + 130 + 6
    for cut_at in range(size + 1):
        near, far = memory_pair()
        faulty = FaultyByteChannel(far, incoming=Faults(cut_at=cut_at)) if way == "incoming" else None
        sender = near if faulty else FaultyByteChannel(near, outgoing=Faults(cut_at=cut_at, split=7))
        client = WebSocketChannel(sender, server_side=False)
        server = WebSocketChannel(faulty or far)
        for message in messages:
            client.sink.add(message)
        got = []
        with pytest.raises(ConnectionClosed) as caught:  # noqa: PT012
            while True:
                got.append(await server.recv())
        assert caught.value.code == server.close_code == 1006
        ends = [7, 15, 153, 159]
        assert got == messages[: sum(end <= cut_at for end in ends)]
        async with asyncio.timeout(5):
            await server.sink.done
            with pytest.raises(ConnectionClosed):
                await client.recv()
            await client.sink.done


@pytest.mark.parametrize("faults", [Faults(), Faults(delay=0.001), Faults(split=1000)])
async def test_what_waits_is_bounded_both_ways(faults: Faults) -> None:
    for way in ("incoming", "outgoing"):
        near, far = memory_pair()
        faulty = FaultyByteChannel(near, **{way: faults})
        source, target = (far, faulty) if way == "incoming" else (faulty, far)
        sent = 0

        async def send(source: Any = source) -> None:
            nonlocal sent
            for _ in range(200):
                source.sink.add(b"x" * 100_000)
                sent += 1
                await source.sink.wait_for_room()

        sending = asyncio.create_task(send())
        await asyncio.sleep(0.1)
        assert not sending.done()
        assert await read(target, 20_000_000) == b"x" * 20_000_000
        await sending
        await source.sink.flush()


async def test_a_paused_listener_stays_paused_though_something_late_comes() -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near, incoming=Faults(delay=0.01))
    got: list[bytes] = []
    listener = faulty.stream.listen(got.append)
    far.sink.add(b"a")
    listener.pause()
    await asyncio.sleep(0.05)
    far.sink.add(b"b")
    await asyncio.sleep(0.05)
    assert got == []
    listener.resume()
    async with asyncio.timeout(5):
        while got != [b"a", b"b"]:
            await asyncio.sleep(0.001)


async def test_a_websocket_over_late_and_split_bytes() -> None:
    near, far = memory_pair()
    faults = Faults(delay=0.001, split=100)
    client = WebSocketChannel(FaultyByteChannel(near, incoming=faults, outgoing=faults), server_side=False)
    server = WebSocketChannel(far)
    client.sink.add("x" * 50_000)
    assert await server.recv() == "x" * 50_000
    server.sink.add("back")
    assert await client.recv() == "back"
    await client.sink.close(3000)
    await server.sink.done
    assert (client.close_code, server.close_code) == (3000, 3000)


async def test_aborting_ends_both_ends_quietly() -> None:
    near, far = memory_pair()
    faulty = FaultyByteChannel(near)
    faulty.abort()
    assert await faulty.stream.to_list() == []
    assert await far.stream.to_list() == []
