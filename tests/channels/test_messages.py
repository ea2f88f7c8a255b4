"""Messages between our client and our server: sizes, order, the ways to read and to send."""

from __future__ import annotations

import asyncio
import random

import pytest

import cwschannel
from cwschannel import ChannelStateError, ConnectionClosed

from .running import connected, each_loop, echo, serving, until
from .wire import BINARY, TEXT, close_frame, frame, raw_server

SIZES = [0, 1, 125, 126, 127, 1023, 65535, 65536, 262_143, 262_144, 262_145, 2**20, 2**24]


@pytest.mark.parametrize("size", SIZES)
@each_loop
async def test_binary_of_any_size_comes_back(size: int) -> None:
    async with serving(max_message_size=None) as (_, uri), cwschannel.connect(uri, max_message_size=None) as channel:
        message = random.Random(size).randbytes(size)
        await channel.send(message)
        received = await channel.recv()
        assert type(received) is bytes
        assert received == message


@pytest.mark.parametrize("size", SIZES)
@each_loop
async def test_text_of_any_size_comes_back(size: int) -> None:
    async with serving(max_message_size=None) as (_, uri), cwschannel.connect(uri, max_message_size=None) as channel:
        alphabet = "aé€😀"
        message = (alphabet * (size // 10 + 1))[: max(0, size * 4 // 10)] + "a" * (size % 10)
        await channel.send(message)
        received = await channel.recv()
        assert type(received) is str
        assert received == message


@each_loop
async def test_all_kinds_of_buffers_are_sent_as_binary() -> None:
    async with connected() as pair:
        changed_later = bytearray(b"kept")
        for message in (b"bytes", bytearray(b"bytearray"), memoryview(b"xmemoryviewx")[1:-1], changed_later):
            pair.client.sink.add(message)
        changed_later[:] = b"lost"
        assert [await pair.server.recv() for _ in range(4)] == [b"bytes", b"bytearray", b"memoryview", b"kept"]
        pair.client.sink.add(memoryview(bytes(range(8))).cast("H"))
        assert await pair.server.recv() == bytes(range(8))


@each_loop
async def test_messages_keep_their_order_in_both_directions() -> None:
    async with connected() as pair:
        numbers = random.Random(1)
        messages = [numbers.randbytes(numbers.choice([0, 1, 100, 5000, 70_000])) for _ in range(300)]

        async def send_all(channel: cwschannel.IOWebSocketChannel) -> None:
            for number, message in enumerate(messages):
                if number % 3:
                    channel.sink.add(message)
                else:
                    await channel.send(message)

        async def receive_all(channel: cwschannel.IOWebSocketChannel) -> list[object]:
            return [await channel.recv() for _ in messages]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(receive_all(channel)) for channel in (pair.client, pair.server)]
            group.create_task(send_all(pair.client))
            group.create_task(send_all(pair.server))
        assert tasks[0].result() == messages
        assert tasks[1].result() == messages


@each_loop
async def test_a_burst_arrives_whole_and_in_order() -> None:
    async with connected() as pair:
        burst = [f"{number}" if number % 2 else b"%d" % number for number in range(5000)]
        for message in burst:
            pair.client.sink.add(message)
        assert [await pair.server.recv() for _ in burst] == burst


@each_loop
async def test_a_ping_and_the_close_frame_keep_their_places_in_a_burst() -> None:
    order: list[object] = []

    async def script(wire) -> None:
        await wire.accept()
        while True:
            received = await wire.read_frame()
            order.append(received.opcode)
            if received.opcode == 9:
                await wire.send(frame(10, received.payload))
            if received.opcode == 8:
                await wire.send(close_frame(1000))
                return

    async with raw_server(script) as uri, cwschannel.connect(uri) as channel:
        for _ in range(4):
            channel.sink.add("a")
        pinging = asyncio.create_task(channel.ping())
        await asyncio.sleep(0)
        channel.sink.add(b"b")
        channel.sink.add(b"b")
        await pinging
        for _ in range(4):
            channel.sink.add("c")
        await channel.sink.close(1000)
        assert order == [1, 1, 1, 1, 9, 2, 2, 1, 1, 1, 1, 8]


@each_loop
async def test_frames_of_one_segment_are_all_delivered() -> None:
    async def script(wire) -> None:
        frames = [frame(TEXT, b"%d" % number) for number in range(500)] + [frame(BINARY, b"end"), close_frame(1000)]
        await wire.accept(then=b"".join(frames))
        await wire.read_frame()

    async with raw_server(script) as uri, cwschannel.connect(uri) as channel:
        received = [message async for message in channel.stream]
        assert received == [*map(str, range(500)), b"end"]
        assert channel.close_code == 1000


@each_loop
async def test_frames_that_arrive_byte_by_byte_are_put_together() -> None:
    data = frame(TEXT, "grün".encode()) + frame(BINARY, b"x" * 130) + frame(TEXT, b"a", fin=False) + frame(9, b"!")
    data += frame(0, b"b") + close_frame(3000, "schön")

    async def script(wire) -> None:
        await wire.accept()
        for value in data:
            await wire.send(bytes([value]))
            await asyncio.sleep(0)
        await wire.read_frame()

    async with raw_server(script) as uri, cwschannel.connect(uri) as channel:
        received: list[object] = []

        async def read() -> None:
            async for message in channel:
                received.append(message)

        with pytest.raises(ConnectionClosed) as caught:
            await read()
        assert received == ["grün", b"x" * 130, "ab"]
        assert (caught.value.code, caught.value.reason) == (3000, "schön")


# Ways to read.


@each_loop
async def test_listen_hands_messages_to_plain_functions_on_both_sides() -> None:
    ended: list[str] = []

    def handler(channel: cwschannel.IOWebSocketChannel) -> None:
        channel.stream.listen(channel.sink.add, on_done=lambda: ended.append("server"))

    received: list[object] = []
    async with serving(handler) as (_, uri):
        channel = cwschannel.connect(uri)
        channel.stream.listen(received.append, on_done=lambda: ended.append("client"))
        for number in range(200):
            channel.sink.add(str(number))
        await until(lambda: len(received) == 200)
        assert received == [str(number) for number in range(200)]
        await channel.sink.close(1000)
        await until(lambda: len(ended) == 2)


@each_loop
async def test_a_callback_that_raises_is_reported_and_the_next_message_still_comes(logs) -> None:
    async with connected() as pair:
        received: list[object] = []

        def on_data(message: object) -> None:
            received.append(message)
            if message == "bad":
                raise ValueError("of the callback")

        pair.server.stream.listen(on_data)
        for message in ("a", "bad", "b"):
            pair.client.sink.add(message)
        await until(lambda: received == ["a", "bad", "b"])
        assert [record.exc_info[0] for record in logs] == [ValueError]


@each_loop
async def test_listen_refuses_coroutine_functions() -> None:
    async with connected() as pair:
        with pytest.raises(TypeError, match="coroutine function"):
            pair.server.stream.listen(echo)
        pair.server.stream.listen(lambda _: None)


@each_loop
async def test_a_loop_can_be_left_and_reading_goes_on_where_it_ended() -> None:
    async with connected() as pair:
        for number in range(10):
            pair.client.sink.add(str(number))
        received = []
        async for message in pair.server.stream:
            received.append(message)
            if message == "3":
                break
        received.append(await pair.server.recv())
        async for message in pair.server:
            received.append(message)
            if message == "9":
                break
        assert received == [str(number) for number in range(10)]


@each_loop
async def test_recv_and_async_for_may_be_mixed_from_one_task() -> None:
    async with connected() as pair:
        for number in range(6):
            pair.client.sink.add(str(number))
        pair.client.sink.close(1000)
        assert await pair.server.recv() == "0"
        received = []
        async for message in pair.server.stream:
            received += [message, await pair.server.recv()] if message != "5" else [message]
        assert received == ["1", "2", "3", "4", "5"]


@each_loop
async def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    async with connected() as pair:
        received = []
        numbers = random.Random(2)

        async def send() -> None:
            for number in range(300):
                pair.client.sink.add(str(number))
                if numbers.random() < 0.5:
                    await asyncio.sleep(0.0005)

        sending = asyncio.create_task(send())
        cancelled = 0
        while len(received) < 300:
            receiving = asyncio.create_task(pair.server.recv())
            for _ in range(numbers.randrange(4)):
                await asyncio.sleep(0)
            receiving.cancel()
            try:
                received.append(await receiving)
            except asyncio.CancelledError:
                cancelled += 1
        await sending
        assert received == [str(number) for number in range(300)]
        assert cancelled > 0


@each_loop
async def test_a_receive_that_times_out_loses_nothing() -> None:
    async with connected() as pair:

        async def send() -> None:
            for number in range(60):
                pair.client.sink.add(str(number))
                await asyncio.sleep(0.002)

        sending = asyncio.create_task(send())
        received = []
        timeouts = 0
        while len(received) < 60:
            try:
                received.append(await asyncio.wait_for(pair.server.recv(), 0.001))
            except TimeoutError:
                timeouts += 1
        await sending
        assert received == [str(number) for number in range(60)]
        assert timeouts > 0


@each_loop
async def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    async with connected() as pair:
        first = asyncio.create_task(pair.server.recv())
        await asyncio.sleep(0)
        with pytest.raises(ChannelStateError, match="one reader"):
            await pair.server.recv()
        with pytest.raises(ChannelStateError, match="one reader"):
            async for _ in pair.server.stream:
                pass
        with pytest.raises(ChannelStateError, match="one reader"):
            pair.server.stream.listen(print)
        pair.client.sink.add("x")
        assert await first == "x"


@each_loop
async def test_ending_the_connection_wakes_the_reader() -> None:
    async with connected() as pair:
        reading = asyncio.create_task(pair.server.recv())
        await asyncio.sleep(0.01)
        await pair.client.sink.close(3001)
        with pytest.raises(ConnectionClosed) as caught:
            await reading
        assert caught.value.code == 3001


# Ways to send.


@each_loop
async def test_what_is_sent_before_the_connection_is_open_arrives_in_order() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        assert channel.close_code is None
        assert channel.protocol is None
        for number in range(100):
            channel.sink.add(str(number))
        await asyncio.gather(*[channel.send(str(number)) for number in range(100, 110)])
        channel.sink.add("110")
        assert [await channel.recv() for _ in range(111)] == [str(number) for number in range(111)]
        await channel.sink.close()


@each_loop
async def test_several_tasks_may_send_and_each_keeps_its_order() -> None:
    async with connected() as pair:

        async def send(letter: str) -> None:
            for number in range(100):
                await pair.client.send(f"{letter}{number}")

        async with asyncio.TaskGroup() as group:
            for letter in "abc":
                group.create_task(send(letter))
            received = [await pair.server.recv() for _ in range(300)]
        for letter in "abc":
            assert [message for message in received if message[0] == letter] == [f"{letter}{n}" for n in range(100)]


@pytest.mark.parametrize("message", [None, 1, 1.5, ["a"], {"a": 1}, object()], ids=lambda value: type(value).__name__)
@each_loop
async def test_what_is_neither_text_nor_bytes_is_refused(message: object) -> None:
    async with connected() as pair:
        with pytest.raises(TypeError, match="a message is str"):
            pair.client.sink.add(message)
        with pytest.raises(TypeError, match="a message is str"):
            await pair.client.send(message)
        with pytest.raises(TypeError, match="a message is str"):
            await pair.client.sink.add_stream([message])
        pair.client.sink.add("good")
        assert await pair.server.recv() == "good"


@each_loop
async def test_text_that_is_no_unicode_is_refused() -> None:
    async with connected() as pair:
        with pytest.raises(UnicodeEncodeError):
            pair.client.sink.add("\ud800")
        pair.client.sink.add("good")
        assert await pair.server.recv() == "good"


@each_loop
async def test_text_that_is_no_unicode_is_refused_before_the_connection_is_open() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri, connect_timeout=0.5)
        with pytest.raises(UnicodeEncodeError):
            channel.sink.add("\ud800")
        channel.sink.add("good")
        assert await channel.recv() == "good"
        await channel.sink.close()


@each_loop
async def test_what_is_no_message_is_refused_in_the_same_words_before_the_connection_is_open() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        with pytest.raises(TypeError, match="a message is str"):
            channel.sink.add(1)
        await channel.ready
        await channel.sink.close()


@each_loop
async def test_a_message_over_the_limit_of_the_receiver_closes_with_1009() -> None:
    async with connected(server={"max_message_size": 1000}) as pair:
        pair.client.sink.add(b"x" * 1000)
        pair.client.sink.add(b"x" * 1001)
        assert await pair.server.recv() == b"x" * 1000
        with pytest.raises(ConnectionClosed) as caught:
            await pair.client.recv()
        assert caught.value.code == 1009
        with pytest.raises(ConnectionClosed) as caught:
            await pair.server.recv()
        assert isinstance(caught.value.__cause__, cwschannel.ProtocolError)
        assert caught.value.__cause__.rule == "message-too-big"


# Pings.


@each_loop
async def test_pings_are_answered_and_timed_in_both_directions() -> None:
    async with connected() as pair:
        for channel in (pair.client, pair.server):
            assert channel.latency == 0.0
            seconds = await channel.ping()
            assert 0 < seconds < 5
            assert channel.latency == seconds
            await asyncio.gather(channel.ping(b"a"), channel.ping(b"b"), channel.ping(bytearray(125)))
            with pytest.raises(ValueError, match="125"):
                await channel.ping(bytes(126))


@each_loop
async def test_keepalive_pings_give_the_latency() -> None:
    async with connected(client={"ping_interval": 0.02}) as pair:
        await until(lambda: pair.client.latency > 0)
        assert pair.server.latency == 0.0


@each_loop
async def test_a_ping_that_waits_when_the_connection_is_lost_raises() -> None:
    async def script(wire) -> None:
        await wire.accept()
        await wire.read_frame()

    async with raw_server(script) as uri:
        channel = await cwschannel.connect(uri)
        with pytest.raises(ConnectionClosed) as caught:
            await channel.ping()
        assert caught.value.code == 1006
        with pytest.raises(ConnectionClosed):
            await channel.ping()
