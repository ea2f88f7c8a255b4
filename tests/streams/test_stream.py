"""What every stream can do, and the streams that are made of another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.exceptions import ChannelStateError
from cwschannel.streams.controller import StreamController

from .conftest import settle

if TYPE_CHECKING:
    from cwschannel.streams.stream import Stream


def filled(*items: Any) -> StreamController[Any]:
    """A controller with items, of which exceptions are errors."""
    controller = StreamController[Any]()
    for item in items:
        if isinstance(item, Exception):
            controller.add_error(item)
        else:
            controller.add(item)
    return controller


def closed(*items: Any) -> Stream[Any]:
    controller = filled(*items)
    controller.close()
    return controller.stream


async def everything(stream: Stream[Any]) -> list[Any]:
    """All items, and the errors in their places."""
    log: list[Any] = []
    ended = asyncio.Event()
    stream.listen(log.append, on_error=log.append, on_done=ended.set)
    await ended.wait()
    return log


class TestReadingAtOnce:
    async def test_first_returns_an_item_and_leaves_the_rest(self) -> None:
        stream = closed(1, 2, 3)
        assert await stream.first() == 1
        assert await stream.first() == 2
        assert await stream.to_list() == [3]

    async def test_first_waits(self) -> None:
        controller = StreamController[int]()
        waiting = asyncio.create_task(controller.stream.first())
        await settle()
        controller.add(1)
        assert await waiting == 1

    async def test_first_raises_the_error_or_says_that_there_is_nothing(self) -> None:
        stream = closed(KeyError("first"))
        with pytest.raises(KeyError, match="first"):
            await stream.first()
        for _ in range(2):
            with pytest.raises(ChannelStateError, match="ended without another item"):
                await stream.first()

    async def test_to_list_returns_all_until_the_end_and_raises_an_error(self) -> None:
        assert await closed().to_list() == []
        assert await closed(1, 2).to_list() == [1, 2]
        stream = closed(1, KeyError("among"), 2)
        with pytest.raises(KeyError, match="among"):
            await stream.to_list()
        assert await stream.to_list() == [2]

    async def test_drain_throws_all_away_and_raises_an_error(self) -> None:
        stream = closed(1, 2)
        await stream.drain()
        assert await stream.to_list() == []
        with pytest.raises(KeyError, match="among"):
            await closed(1, KeyError("among")).drain()


class TestDerived:
    async def test_map_where_and_expand(self) -> None:
        assert await closed(1, 2, 3).map(str).to_list() == ["1", "2", "3"]
        assert await closed(1, 2, 3, 4).where(lambda item: item % 2).to_list() == [1, 3]
        assert await closed(0, 1, 2, 3).expand(lambda item: [item] * item).to_list() == [1, 2, 2, 3, 3, 3]
        assert await closed(1, 2).expand(lambda item: (made for made in (item, -item))).to_list() == [1, -1, 2, -2]

    async def test_they_can_be_chained_and_keep_the_order(self) -> None:
        stream = (
            closed(*range(20)).map(lambda item: item * 2).where(lambda item: item % 3 == 0).expand(lambda item: (item, "x"))
        )
        assert await stream.to_list() == [one for item in range(0, 40, 6) for one in (item, "x")]

    async def test_cast_passes_what_is_of_the_kind_and_makes_an_error_of_what_is_not(self) -> None:
        first, error, last = await everything(closed("a", 1, "b").cast(str))
        assert (first, last) == ("a", "b")
        assert type(error) is TypeError
        assert str(error) == "the channel carries str, and this is int"
        (error,) = await everything(closed(None).cast(int | str))  # type: ignore[arg-type]
        assert str(error) == "the channel carries int | str, and this is NoneType"

    async def test_cast_to_what_is_no_class_is_refused_at_once(self) -> None:
        with pytest.raises(TypeError, match="parameterized generic"):
            closed().cast(list[int])

    async def test_what_functions_raise_stands_among_the_items(self) -> None:
        log = await everything(closed(1, 0, 2).map(lambda item: 2 // item))
        assert (log[0], log[2]) == (2, 1)
        assert type(log[1]) is ZeroDivisionError
        for derive in (lambda stream: stream.where(lambda item: 1 / item), lambda stream: stream.expand(lambda item: item)):
            log = await everything(derive(closed(0)))
            assert [type(one) for one in log] in ([ZeroDivisionError], [TypeError])

    async def test_an_iterable_that_fails_half_way_gives_nothing_but_its_error(self) -> None:
        def fail(item: int) -> Any:
            yield item
            raise KeyError(item)

        (error,) = await everything(closed(1).expand(fail))
        assert error.args == (1,)

    async def test_errors_of_the_source_pass_in_their_places(self) -> None:
        error = KeyError("of the source")
        assert await everything(closed(1, error, 2).map(str)) == ["1", error, "2"]
        stream = closed(1, error, 2).where(bool)
        assert await stream.first() == 1
        with pytest.raises(KeyError):
            await stream.first()
        assert await stream.to_list() == [2]

    async def test_they_begin_with_their_first_reader(self) -> None:
        calls: list[int] = []
        controller = filled(1, 2)
        stream = controller.stream.map(calls.append)
        await settle()
        assert calls == []
        assert not controller.has_listener
        await stream.first()
        assert calls[0] == 1
        assert controller.has_listener

    async def test_the_source_has_no_other_reader_then(self) -> None:
        controller = StreamController[int]()
        stream = controller.stream.map(str)
        other = controller.stream.map(str)
        reading = asyncio.create_task(stream.to_list())
        await settle()
        with pytest.raises(ChannelStateError, match="one listener"):
            controller.stream.listen()
        for _ in range(2):
            with pytest.raises(ChannelStateError, match="one listener"):
                await other.first()
        controller.close()
        assert await reading == []

    async def test_cancelling_cancels_the_source(self) -> None:
        cancelled: list[bool] = []
        controller = StreamController[int](on_cancel=lambda: cancelled.append(True))
        got: list[str] = []
        subscription = controller.stream.map(str).where(bool).listen(got.append)
        controller.add(1)
        await settle()
        subscription.cancel()
        assert cancelled == [True]
        controller.add(2)
        await settle()
        assert got == ["1"]

    async def test_a_pause_reaches_the_source(self) -> None:
        log: list[str] = []
        controller = StreamController[int](on_pause=lambda: log.append("pause"), on_resume=lambda: log.append("resume"))
        got: list[int] = []
        subscription = controller.stream.map(abs).map(abs).listen(got.append)
        subscription.pause()
        assert log == ["pause"]
        controller.add(-1)
        await settle()
        assert got == []
        subscription.resume()
        await settle()
        assert log == ["pause", "resume"]
        assert got == [1]

    @pytest.mark.parametrize("errors", [False, True])
    async def test_what_nobody_reads_holds_back_the_source(self, errors: bool) -> None:
        def convert(item: int) -> int:
            if errors:
                raise KeyError(item)
            return item

        controller = StreamController[int](pause_at=10)
        stream = controller.stream.map(convert)
        controller.add(0)
        await asyncio.gather(stream.first(), return_exceptions=True)
        taken = 0

        def generate() -> Any:
            nonlocal taken
            while taken < 2000:
                taken += 1
                yield taken

        adding = asyncio.create_task(controller.add_stream(generate()))
        await asyncio.sleep(0.02)
        assert not adding.done()
        assert taken < 200
        for _ in range(1990):
            await asyncio.gather(stream.first(), return_exceptions=True)
        await adding
        assert taken == 2000

    async def test_a_loop_that_is_left_by_an_error_can_be_gone_on_with(self) -> None:
        stream = closed(3, 0, 1).map(lambda item: 3 // item)
        got: list[int] = []
        failed = 0
        while len(got) < 2:
            try:
                got += [item async for item in stream]
            except ZeroDivisionError:
                failed += 1
                got.append(0)
        assert failed == 1
        assert got == [0, 3]


async def test_first_has_a_default_for_a_stream_that_is_over() -> None:
    controller: StreamController[int] = StreamController()
    controller.add(1)
    controller.close()
    assert await controller.stream.first(default=None) == 1
    assert await controller.stream.first(default=None) is None
    with pytest.raises(ChannelStateError, match="no default"):
        await controller.stream.first()
