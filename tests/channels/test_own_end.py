"""What reading and sending raise after we closed or dropped the connection ourselves."""

from __future__ import annotations

import asyncio

import pytest

import cwschannel
from cwschannel import ConnectionClosed

from .running import connected, each_loop, serving


@each_loop
async def test_receiving_after_our_own_close_says_that_this_side_is_closing() -> None:
    async with connected() as pair:
        pair.client.sink.close(4000, "enough")
        with pytest.raises(ConnectionClosed, match="this side is closing it") as caught:
            await pair.client.recv()
        assert (caught.value.code, caught.value.reason) == (4000, "enough")
        assert pair.client.close_code is None
        await pair.client.sink.done
        with pytest.raises(ConnectionClosed) as caught:
            await pair.client.recv()
        assert (caught.value.code, caught.value.reason) == (4000, "enough")  # the peer's answer


@each_loop
async def test_a_task_that_receives_during_our_own_close_is_told_that_this_side_is_closing() -> None:
    async with connected() as pair:
        receiving = asyncio.create_task(pair.client.recv())
        await asyncio.sleep(0.01)
        pair.client.sink.close()
        with pytest.raises(ConnectionClosed, match="this side is closing it") as caught:
            await asyncio.wait_for(receiving, 3)
        assert caught.value.code == 1005


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@each_loop
async def test_receiving_after_our_own_abort_has_that_as_its_cause(waits: bool) -> None:
    async with connected() as pair:
        pair.client.abort()
        if waits:
            await pair.client.sink.done
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(pair.client.recv(), 3)
        assert caught.value.code == 1006
        assert isinstance(caught.value.__cause__, ConnectionAbortedError)


@each_loop
async def test_sending_after_our_own_abort_has_that_as_its_cause() -> None:
    async with connected() as pair:
        pair.client.abort()
        await pair.client.sink.done
        with pytest.raises(ConnectionClosed) as caught:
            await pair.client.send("x")
        assert isinstance(caught.value.__cause__, ConnectionAbortedError)


@each_loop
async def test_receiving_after_closing_a_channel_that_is_still_opening_says_so() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        channel.sink.close(4000, "enough")
        try:
            with pytest.raises(ConnectionClosed, match="this side is closing it"):
                await asyncio.wait_for(channel.recv(), 3)
        finally:
            await channel.sink.done
