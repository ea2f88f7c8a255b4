"""Sinks over sinks, and what all sinks share beyond the contract in ``test_contract_sink.py``."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.streams.controller import StreamController
from cwschannel.streams.sink import ForwardingSink, MappedSink, RuledSink
from cwschannel.testing import connected_pair

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator


class Bottomless(RuledSink[Any]):
    """Always has room, and is gone after so many items."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.items: list[Any] = []
        self.last = last

    async def wait_for_room(self) -> None: ...

    def flush(self) -> Awaitable[None]:
        raise NotImplementedError

    @property
    def done(self) -> Awaitable[None]:
        raise NotImplementedError

    def _put(self, item: Any) -> None:
        self.items.append(item)

    def _put_error(self, error: Exception) -> None:
        self.items.append(error)

    def _finish(self) -> None: ...

    def _is_gone(self) -> bool:
        return len(self.items) >= self.last


def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


class TestAddStream:
    async def test_it_takes_nothing_more_once_the_sink_is_gone(self) -> None:
        for asynchronous in (False, True):
            sink = Bottomless(3)
            taken: list[int] = []

            async def generate(taken: list[int] = taken) -> Any:
                for number in endless():
                    taken.append(number)
                    yield number

            def generate_plainly(taken: list[int] = taken) -> Iterator[int]:
                for number in endless():
                    taken.append(number)
                    yield number

            await sink.add_stream(generate() if asynchronous else generate_plainly())
            assert sink.items == taken == [0, 1, 2]

    async def test_it_leaves_the_loop_to_others(self) -> None:
        sink = Bottomless(10**9)
        adding = asyncio.create_task(sink.add_stream(endless()))
        for _ in range(5):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait([adding])
        assert 0 < len(sink.items) < 10_000
        assert sink.items == list(range(len(sink.items)))

    async def test_an_error_is_dropped_like_an_item_once_the_sink_is_gone(self) -> None:
        sink = Bottomless(1)
        sink.add("last")
        sink.add_error(KeyError())
        assert sink.items == ["last"]

    async def test_what_it_leaves_in_the_middle_leaves_no_task_behind(self) -> None:
        for function in (None, str):
            sink: Any = Bottomless(2)
            source = StreamController[int]()
            for number in range(5):
                source.add(number)
            mapped = sink if function is None else MappedSink(sink, function)
            await mapped.add_stream(source.stream)
            gc.collect()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert await source.stream.first() == 2


class TestOverAnother:
    async def test_a_mapped_sink_adds_what_the_function_makes(self) -> None:
        controller = StreamController[str]()
        sink = MappedSink[int](controller, str)
        sink.add(1)
        await sink.add_stream([2, 3])

        async def generate() -> Any:
            yield 4

        await sink.add_stream(generate())
        await sink.wait_for_room()
        await sink.close()
        await sink.done
        assert await controller.stream.to_list() == ["1", "2", "3", "4"]

    async def test_what_the_function_raises_is_raised_and_nothing_is_added(self) -> None:
        controller = StreamController[int]()
        sink = MappedSink[Any](controller, int)
        with pytest.raises(ValueError, match="nonsense"):
            sink.add("nonsense")
        with pytest.raises(ValueError, match="nonsense"):
            await sink.add_stream(["1", "nonsense", "2"])
        sink.add("3")
        sink.close()
        assert await controller.stream.to_list() == [1, 3]

    async def test_errors_and_flush_and_the_arguments_of_close_pass(self) -> None:
        for make in (ForwardingSink, lambda inner: MappedSink(inner, str)):
            near, far = connected_pair()
            sink: Any = make(near.sink)
            sink.add("a")
            await sink.add_stream(["b"])
            await sink.flush()
            await sink.wait_for_room()
            await sink.close(3000, "passed")
            await sink.done
            assert [await far.recv(), await far.recv(), far.close_code, far.close_reason] == ["a", "b", 3000, "passed"]
            near, far = connected_pair()
            make(near.sink).add_error(KeyError("given"))
            with pytest.raises(KeyError, match="given"):
                await near.sink.done
