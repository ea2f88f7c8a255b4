"""Errors among the items of a stream that somebody else fills, and deliveries within deliveries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.streams.controlled import ControlledStream

from .test_controlled import Listener, Source, settle


class TestErrors:
    async def test_a_reader_gets_them_in_their_places_and_goes_on(self) -> None:
        source = Source(OSError("the end"))
        source.stream.deliver([1])
        for number in range(2):
            source.stream.deliver_error(KeyError(number))
        source.stream.deliver([2])
        source.stream.finish()
        assert await anext(source.stream) == 1
        for number in range(2):
            with pytest.raises(KeyError) as caught:
                await anext(source.stream)
            assert caught.value.args == (number,)
        assert await anext(source.stream) == 2
        with pytest.raises(OSError, match="the end"):
            await anext(source.stream)
        with pytest.raises(StopAsyncIteration):
            await anext(source.stream)

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_one_wakes_a_reader_that_waits(self, at_once: bool) -> None:
        source = Source()
        log: list[str] = []

        async def read() -> None:
            with pytest.raises(KeyError):
                await anext(source.stream)
            log.append("raised")

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)

        def fail() -> None:
            source.stream.deliver_error(KeyError(), at_once=at_once)
            log.append("delivered")

        asyncio.get_running_loop().call_soon(fail)
        await reading
        assert log == (["raised", "delivered"] if at_once else ["delivered", "raised"])

    async def test_a_listener_gets_them_in_their_places(self) -> None:
        source = Source()
        listener = Listener(source)
        errors = [KeyError(number) for number in range(3)]
        source.stream.deliver_error(errors[0])
        source.stream.deliver([1, 2])
        source.stream.deliver_error(errors[1])
        source.stream.deliver_error(errors[2])
        source.stream.deliver([3])
        source.stream.finish()
        assert listener.log == [errors[0], 1, 2, errors[1], errors[2], 3, "done"]

    async def test_without_on_error_they_are_logged_and_the_items_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        source = Source()
        got: list[int] = []
        source.stream.listen(got.append)
        source.stream.deliver([1])
        source.stream.deliver_error(KeyError("among"))
        source.stream.deliver([2])
        assert got == [1, 2]
        assert [(record.name, record.levelname) for record in caplog.records] == [("cwschannel", "ERROR")]
        assert "among" in caplog.text

    async def test_cancel_on_error_drops_what_follows(self) -> None:
        source = Source()
        listener = Listener(source, cancel_on_error=True)
        error = KeyError()
        listener.subscription.pause()
        source.stream.deliver([1])
        source.stream.deliver_error(error)
        source.stream.deliver([2])
        source.stream.deliver_error(KeyError("later"))
        listener.subscription.resume()
        await settle()
        source.stream.deliver_error(KeyError("later"))
        source.stream.finish()
        assert listener.log == [1, error]
        assert not source.stream.queue

    async def test_a_pause_keeps_them_too(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.pause()
        error = KeyError()
        source.stream.deliver_error(error)
        source.stream.deliver([1])
        await settle()
        assert listener.log == []
        listener.subscription.resume()
        await settle()
        assert listener.log == [error, 1]

    async def test_a_pause_within_on_error_holds_at_once(self) -> None:
        for why_ended in (None, OSError("the end")):
            source = Source(why_ended)
            log: list[Any] = []

            def on_error(error: Exception, log: list[Any] = log) -> None:
                log.append(error)
                subscription.pause()  # noqa: B023

            subscription = source.stream.listen(log.append, on_error=on_error, on_done=lambda log=log: log.append("done"))
            error = KeyError()
            source.stream.deliver_error(error)
            source.stream.deliver([1])
            source.stream.finish()
            assert log == [error]
            subscription.resume()
            await settle()
            if why_ended is None:
                assert log == [error, 1, "done"]
                continue
            assert log == [error, 1, why_ended], "the end waits for the pause, as everything does"
            subscription.resume()
            await settle()
            assert log == [error, 1, why_ended, "done"], "and its error is told once"

    async def test_none_comes_after_the_end_or_after_discarding(self) -> None:
        for discarded in (False, True):
            source = Source()
            listener = Listener(source)
            source.stream.discard() if discarded else source.stream.finish()
            source.stream.deliver_error(KeyError())
            source.stream.deliver([1])
            await settle()
            assert listener.log == ["done"]
            assert not source.stream.queue

    async def test_items_after_the_end_are_not_read(self) -> None:
        source = Source()
        source.stream.deliver([1])
        source.stream.finish()
        source.stream.deliver([2])
        assert [item async for item in source.stream] == [1]

    async def test_one_that_is_the_last_of_what_was_held_back_asks_for_more(self) -> None:
        source = Source()
        source.stream.deliver_error(KeyError())
        source.stream.held_back = True
        with pytest.raises(KeyError):
            await anext(source.stream)
        assert source.demand == [True]


class TestNested:
    """Who is called back brings about more."""

    @pytest.mark.parametrize("queued", [False, True])
    async def test_what_comes_within_a_callback_waits_its_turn(self, queued: bool) -> None:
        source = Source()
        if queued:
            source.stream.deliver([1, 2])
        listener = Listener(source)
        error = KeyError()

        def deliver_more() -> None:
            source.stream.deliver([3, 4])
            source.stream.deliver_error(error)
            source.stream.deliver([5])
            assert listener.log == [1]

        listener.at[1] = deliver_more
        listener.at[5] = source.stream.finish
        if not queued:
            await source.deliver(1, 2)
        await settle()
        assert listener.log == [1, 2, 3, 4, error, 5, "done"]

    async def test_a_callback_for_an_error_may_bring_about_more(self) -> None:
        source = Source()
        log: list[Any] = []

        def on_error(error: Exception) -> None:
            log.append(error)
            source.stream.deliver([2])
            source.stream.finish()

        source.stream.listen(log.append, on_error=on_error, on_done=lambda: log.append("done"))
        error = KeyError()
        source.stream.deliver_error(error)
        assert log == [error, 2, "done"]

    async def test_a_long_chain_is_no_recursion(self) -> None:
        source = Source()
        listener = Listener(source)

        class Chain(dict[int, Any]):
            def __contains__(self, item: object) -> bool:
                return isinstance(item, int) and item < 5000

            def __getitem__(self, item: int) -> Any:
                return lambda: source.stream.deliver([item + 1])

        listener.at = Chain()
        source.stream.deliver([0])
        assert listener.log == list(range(5001))

    async def test_a_pause_within_a_nested_delivery_keeps_the_order(self) -> None:
        source = Source()
        listener = Listener(source)

        def deliver_and_pause() -> None:
            source.stream.deliver([3])
            listener.subscription.pause()
            source.stream.deliver([4])

        listener.at[1] = deliver_and_pause
        await source.deliver(1, 2)
        assert listener.log == [1]
        assert list(source.stream.queue) == [2, 3, 4]
        listener.subscription.resume()
        await settle()
        assert listener.log == [1, 2, 3, 4]

    async def test_a_task_that_is_woken_within_a_delivery_reads_what_it_brings_about(self) -> None:
        source = Source()
        got: list[int] = []

        async def read() -> None:
            async for item in source.stream:
                got.append(item)
                if item == 1:
                    source.stream.deliver([3], at_once=True)
                    source.stream.finish(at_once=True)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await source.deliver(1, 2)
        await reading
        assert got == [1, 2, 3]

    async def test_on_listen_may_fill_the_stream(self) -> None:
        for finish in (False, True):
            stream: ControlledStream[int]

            def fill(finish: bool = finish) -> None:
                stream.deliver([1, 2])  # noqa: B023
                if finish:
                    stream.finish()  # noqa: B023

            stream = ControlledStream(asyncio.get_running_loop(), lambda wanted: None, on_listen=fill)
            log: list[Any] = []
            stream.listen(log.append, on_done=lambda log=log: log.append("done"))
            assert log == []
            await settle()
            assert log == ([1, 2, "done"] if finish else [1, 2])
